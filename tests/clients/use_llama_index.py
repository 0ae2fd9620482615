import loopback
from loopback import tap
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel


class Person(BaseModel):
    name: str
    age: int


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


llm = OpenAILike(model="primary", api_base=loopback.url(), api_key="not needed", is_chat_model=True, is_function_calling_model=True,
                 should_use_structured_outputs=True, context_window=2048, max_tokens=200, temperature=0)
question = ChatMessage(role="user", content="What is 2 plus 3?")
tap.ok(llm.chat([question]).message.content, "chat")
tap.ok(len(list(llm.stream_chat([question]))) > 1, "stream_chat")
tap.ok(llm.complete("Say hello.").text, "complete")
done = llm.chat_with_tools([FunctionTool.from_defaults(add)], chat_history=[question], tool_required=True)
calls = llm.get_tool_calls_from_response(done)
tap.ok(calls and calls[0].tool_name == "add" and set(calls[0].tool_kwargs) == {"a", "b"}, "chat_with_tools", done)
history = [question, done.message] + [ChatMessage(role="tool", content="5", additional_kwargs={"tool_call_id": c.tool_id}) for c in calls]
tap.ok(llm.chat(history) is not None, "the results go back")
person = llm.as_structured_llm(Person).complete("Ada is 36 years old.").raw
tap.ok(isinstance(person, Person), "as_structured_llm", person)
plain = OpenAILike(model="primary", api_base=loopback.url(), api_key="not needed", is_chat_model=False, max_tokens=8, temperature=0)
tap.equal(plain.complete("The capital of France is").text.strip()[:5], "Paris", "text completion")
loopback.done()
