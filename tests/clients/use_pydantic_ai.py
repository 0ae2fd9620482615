import loopback
from loopback import tap
from typing import Literal

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider


class Person(BaseModel):
    name: Literal["Ada", "Bob"]     # a small model goes on for long in a string without an end
    age: int


def conversation(kind):
    title = kind.__name__
    model = kind("primary", provider=OpenAIProvider(base_url=loopback.url(), api_key="not needed"))
    settings = {"temperature": 0, "max_tokens": 200, "parallel_tool_calls": False}
    for output in (Person, NativeOutput(Person)):
        done = Agent(model, output_type=output, model_settings=settings, retries=3).run_sync("Ada is 36 years old.")
        tap.ok(isinstance(done.output, Person) and done.usage.output_tokens > 0, f"{title}: {type(output).__name__}", done)
    called = []
    agent = Agent(model, output_type=Person, model_settings=settings, retries=5)

    async def once(context, definition):
        """A small model would never stop asking."""
        return None if called else definition

    @agent.tool_plain(prepare=once)
    def age_of(name: Literal["Ada", "Bob"]) -> int:
        """How old somebody is."""
        called.append(name)
        return 36

    first = agent.run_sync("How old is Ada?")
    again = agent.run_sync("Say it again.", message_history=first.all_messages())
    tap.ok(isinstance(again.output, Person), f"{title}: two turns, with a tool that is called with {called}", again)


conversation(OpenAIChatModel)
conversation(OpenAIResponsesModel)
loopback.done()
