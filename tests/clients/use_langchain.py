import loopback
from loopback import tap
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


class Person(BaseModel):
    name: str
    age: int


def conversation(title, **more):
    model = ChatOpenAI(base_url=loopback.url(), api_key="not needed", model="primary", temperature=0, max_tokens=200, **more)
    text = model.invoke("Say hello.").content
    tap.ok(text, f"{title}: invoke", text)
    tap.ok(len(list(model.stream("Say hello."))) > 1, f"{title}: stream")
    messages = [HumanMessage("What is 2 plus 3?")]
    answer = model.bind_tools([add], tool_choice="any").invoke(messages)
    tap.ok(answer.tool_calls and answer.tool_calls[0]["name"] == "add", f"{title}: bind_tools", answer)
    results = [ToolMessage(str(add.invoke(c["args"])), tool_call_id=c["id"]) for c in answer.tool_calls]
    tap.ok(model.bind_tools([add]).invoke(messages + [answer] + results) is not None, f"{title}: the results go back")
    person = model.with_structured_output(Person, method="json_schema").invoke("Ada is 36 years old.")
    tap.ok(isinstance(person, Person), f"{title}: with_structured_output", person)


conversation("chat completions")
conversation("responses", use_responses_api=True)
loopback.done()
