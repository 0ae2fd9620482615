import loopback
from loopback import tap
import instructor
import openai
from pydantic import BaseModel


class Person(BaseModel):
    name: str
    age: int


# Not Mode.JSON: it asks for a schema in words, which a model of this size takes for the answer.
for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA, instructor.Mode.RESPONSES_TOOLS):
    client = instructor.from_openai(openai.OpenAI(base_url=loopback.url(), api_key="not needed"), mode=mode)
    ask = {"model": "primary", "temperature": 0, "max_tokens": 200, "messages": [{"role": "user", "content": "Ada is 36 years old."}]}
    person, raw = client.chat.completions.create_with_completion(response_model=Person, max_retries=3, **ask)
    tap.ok(isinstance(person, Person), f"{mode}: {person}", raw)
    parts = list(client.chat.completions.create_partial(response_model=Person, max_retries=0, **ask))
    tap.ok(len(parts) > 1 and parts[-1].name, f"{mode}: partly, as it comes ({len(parts)} times)", parts[-1:])
loopback.done()
