import loopback
from loopback import tap
import asyncio

from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI
from pydantic import BaseModel

set_tracing_disabled(True)
called = []


class Person(BaseModel):
    name: str
    age: int


@function_tool
def weather(city: str) -> str:
    """The weather of a city."""
    called.append(city)
    return "21 degrees"


async def conversation(kind):
    title = kind.__name__
    client = AsyncOpenAI(base_url=loopback.url(), api_key="not needed")
    model = kind(model="primary", openai_client=client)
    settings = ModelSettings(temperature=0, max_tokens=200)
    agent = Agent(name="a", instructions="Be brief.", model=model, tools=[weather],
                  model_settings=ModelSettings(temperature=0, max_tokens=200, tool_choice="required"))
    before = len(called)
    done = await Runner.run(agent, "What is the weather in Paris?", max_turns=8)
    tap.ok(len(called) > before and done.final_output is not None, f"{title}: a tool is called, and then it answers", done)
    streamed = Runner.run_streamed(agent, done.to_input_list() + [{"role": "user", "content": "And in Rome?"}], max_turns=8)
    kinds = {e.type async for e in streamed.stream_events()}
    tap.ok("raw_response_event" in kinds and "run_item_stream_event" in kinds, f"{title}: the next turn, streamed", kinds)
    person = await Runner.run(Agent(name="b", model=model, output_type=Person, model_settings=settings), "Ada is 36 years old.")
    tap.ok(isinstance(person.final_output, Person), f"{title}: output_type", person)
    await client.close()


for kind in (OpenAIChatCompletionsModel, OpenAIResponsesModel):
    asyncio.run(conversation(kind))
loopback.done()
