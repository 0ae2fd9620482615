import loopback
from loopback import tap
import json

import litellm
from pydantic import BaseModel

litellm.telemetry = False
TOOLS = [{"type": "function", "function": {"name": "add", "description": "Adds two numbers.", "parameters": {
    "type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"]}}}]


class Person(BaseModel):
    name: str
    age: int


def ask(messages, **more):
    return litellm.completion(model="openai/primary", api_base=loopback.url(), api_key="not needed", messages=messages, temperature=0,
                              max_tokens=200, **more)


turns = [{"role": "user", "content": "What is 2 plus 3?"}]
tap.ok(ask(turns).choices[0].message.content, "completion")
chunks = list(ask(turns, stream=True, stream_options={"include_usage": True}))
tap.ok(litellm.stream_chunk_builder(chunks).usage.completion_tokens > 0, "streamed, with usage", chunks[-1])
message = ask(turns, tools=TOOLS, tool_choice="required").choices[0].message
call = message.tool_calls[0]
tap.ok(call.function.name == "add" and set(json.loads(call.function.arguments)) == {"a", "b"}, "tools", message)
turns += [message] + [{"role": "tool", "tool_call_id": c.id, "content": "5"} for c in message.tool_calls]
tap.ok(ask(turns, tools=TOOLS).choices[0].finish_reason, "the results go back")
text = ask([{"role": "user", "content": "Ada is 36 years old."}], response_format=Person).choices[0].message.content
tap.ok(Person.model_validate_json(text), "response_format", text)
answer = litellm.responses(model="openai/primary", api_base=loopback.url(), api_key="not needed", input="Say hello.", temperature=0,
                           max_output_tokens=20)
tap.ok(answer.output[0].content[0].text, "responses", answer)
loopback.done()
