"""The Responses API, stateless: OpenAI's client, its own types for every object and event, and the chat's answers."""
import json
import os
import signal

from openai import APIError, BadRequestError
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter, ValidationError

from stack import SERVERS, RawStream, Stack, in_threads, wait_until
import tap
import test_tools

PATH = "/v1/responses"
TOOLS = [dict(t["function"], type="function") for t in test_tools.TOOLS]
EVENT = TypeAdapter(ResponseStreamEvent)


def ask(**more):
    return dict({"model": "primary", "temperature": 0, "max_output_tokens": 40, "input": "What is the capital of France?"}, **more)


def says(text, **more):
    """A response whose text is this."""
    return ask(max_output_tokens=400, tools=TOOLS, guided_choice=[text], **more)


def valid(kind, instance, title):
    """By the client's own model of it, which is made from OpenAI's specification."""
    try:
        kind(instance)
        return True
    except ValidationError as e:
        return tap.ok(False, title, e, instance)


def buffered(s, body):
    answer = s.request("POST", PATH, body)
    if answer.status != 200:
        raise AssertionError(f"{answer.status} {answer.body[:300]}")
    valid(Response.model_validate, answer.json(), f"a response is what the client expects: {body}")
    return answer.json()


def streamed(s, body):
    """The events, checked each by itself and in their order."""
    raw = s.request("POST", PATH, dict(body, stream=True))
    frames = [f for f in raw.body.decode().split("\n\n") if f and not f.startswith(":")]
    events = []
    for frame in frames:
        name, data = frame.split("\n")
        event = json.loads(data[len("data: "):])
        tap.ok(name == "event: " + event["type"], "an event's name is its type", frame) if name != "event: " + event["type"] else None
        valid(EVENT.validate_python, event, f"an event is what the client expects: {event['type']}")
        events.append(event)
    if [e["sequence_number"] for e in events] != list(range(len(events))):
        tap.ok(False, "sequence numbers count from 0", events)
    return events


def output_of(response):
    """What must be the same, however it is told: items without their ids."""
    items = []
    for item in response["output"]:
        if item["type"] == "function_call":
            items.append(("call", item["name"], item["arguments"], item["status"]))
        else:
            items.append((item["type"], "".join(c["text"] for c in item["content"]), item["status"],
                          [t["bytes"] for c in item["content"] for t in c.get("logprobs", [])]))
    return items


def retold(events):
    """The items as the deltas tell them."""
    items, status = {}, {}
    for e in events:
        if e["type"] == "response.output_item.added":
            items[e["output_index"]] = [e["item"]["type"], e["item"].get("name"), "", []]
        elif e["type"].endswith(".delta"):
            items[e["output_index"]][2] += e["delta"]
            items[e["output_index"]][3] += [t["bytes"] for t in e.get("logprobs", [])]
        elif e["type"] == "response.output_item.done":
            status[e["output_index"]] = e["item"]["status"]
    return [("call", i[1], i[2], status[k]) if i[0] == "function_call" else (i[0], i[2], status[k], i[3]) for k, i in sorted(items.items())]


def check_both(s, body, output, title, status="completed"):
    """Buffered and streamed: these items, and events in the order that OpenAI documents.  status None: however it ends."""
    whole = buffered(s, body)
    status = status or whole["status"]
    events = streamed(s, body)
    end = events[-1]["response"]
    if output is not None:
        tap.equal([i[:3] for i in output_of(whole)], output, f"{title}, buffered")
    tap.equal((whole["status"], end["status"], events[-1]["type"]), (status, status, "response." + status), f"{title}: {status}")
    tap.equal(output_of(end), output_of(whole), f"{title}: the stream ends with the buffered response")
    tap.equal(retold(events), output_of(whole), f"{title}: and its deltas are the same")
    tap.equal({k: v for k, v in end.items() if k not in ("id", "created_at", "output", "usage")},
              {k: v for k, v in whole.items() if k not in ("id", "created_at", "output", "usage")}, f"{title}: and so is the rest of it")
    tap.equal([whole["usage"][k] for k in ("input_tokens", "output_tokens", "total_tokens", "output_tokens_details")],
              [end["usage"][k] for k in ("input_tokens", "output_tokens", "total_tokens", "output_tokens_details")], f"{title}: same usage")
    order = [e["type"].removeprefix("response.") for e in events]
    expected = ["created", "in_progress"]
    for item in end["output"]:
        n = sum(1 for e in events if e["type"].endswith(".delta") and e["item_id"] == item["id"])
        kind = {"message": "output_text", "reasoning": "reasoning_text", "function_call": "function_call_arguments"}[item["type"]]
        part = [] if item["type"] == "function_call" else ["content_part.added"], [] if item["type"] == "function_call" else ["content_part.done"]
        expected += ["output_item.added"] + part[0] + [kind + ".delta"] * n + [kind + ".done"] + part[1] + ["output_item.done"]
    tap.equal(order, expected + [status], f"{title}: events in order")
    return whole, events


def plain(s):
    whole, events = check_both(s, ask(), None, f"{s.server}: plain text", status=None)
    chat = s.request("POST", "/v1/chat/completions", {"model": "primary", "temperature": 0, "max_tokens": 40, "messages": [
        {"role": "user", "content": "What is the capital of France?"}]}).json()
    tap.equal(whole["output"][0]["content"][0]["text"], chat["choices"][0]["message"]["content"], f"{s.server}: the chat's own answer")
    tap.equal((whole["usage"]["input_tokens"], whole["usage"]["output_tokens"]),
              (chat["usage"]["prompt_tokens"], chat["usage"]["completion_tokens"]), f"{s.server}: and the chat's usage")
    tap.ok(sum(e["type"] == "response.output_text.delta" for e in events) > 2, f"{s.server}: in several deltas")
    first = events[0]["response"]
    tap.equal((first["status"], first["output"], first["usage"], first["id"]), ("in_progress", [], None, events[-1]["response"]["id"]),
              f"{s.server}: response.created is an empty response of the same id")
    tap.ok(b"[DONE]" not in s.request("POST", PATH, ask(stream=True)).body, f"{s.server}: no [DONE]")
    check_both(s, ask(max_output_tokens=3), None, f"{s.server}: cut", status="incomplete")
    cut = buffered(s, ask(max_output_tokens=3))
    tap.equal((cut["incomplete_details"], cut["output"][0]["status"], cut["usage"]["output_tokens"]),
              ({"reason": "max_output_tokens"}, "incomplete", 3), f"{s.server}: and says why")


def settings(s):
    more = {"instructions": "Be brief.", "metadata": {"a": "b"}, "top_p": 0.9, "reasoning": {"effort": "low"}, "store": True, "n": 3,
            "user": "u", "safety_identifier": "x", "prompt_cache_key": "y", "truncation": "disabled", "service_tier": "auto",
            "text": {"verbosity": "low"}, "tools": TOOLS, "tool_choice": "none", "max_tool_calls": 3, "background": False,
            "previous_response_id": None, "conversation": None, "stream_options": None}
    whole = buffered(s, ask(**more))
    for key, value in (("instructions", "Be brief."), ("metadata", {"a": "b"}), ("top_p", 0.9), ("temperature", 0), ("tools", TOOLS),
                       ("tool_choice", "none"), ("max_output_tokens", 40), ("store", False), ("parallel_tool_calls", True),
                       ("text", {"format": {"type": "text"}})):
        tap.equal(whole[key], value, f"the response repeats {key}")
    tap.equal(whole["reasoning"]["effort"], "low", "and the effort")
    count = lambda **body: s.request("POST", PATH + "/input_tokens", body).json()["input_tokens"]  # noqa: E731
    chat = lambda *messages, **more: s.request(  # noqa: E731
        "POST", "/v1/chat/completions/input_tokens", dict({"messages": list(messages)}, **more)).json()["input_tokens"]
    user = {"role": "user", "content": "Hi"}
    tap.equal(count(input="Hi", instructions="Be brief."), chat({"role": "system", "content": "Be brief."}, user),
              "instructions are the system message")
    tap.equal(s.client().responses.input_tokens.count(model="primary", input="Hi").input_tokens, chat(user), "input_tokens counts, by the client")
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{\"a\": 1}"}}
    items = [dict(user), {"type": "reasoning", "id": "rs_1", "summary": []}, {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{\"a\": 1}"},
             {"type": "function_call_output", "call_id": "c1", "output": "3"}]
    tap.equal(count(input=items, tools=TOOLS),
              chat(user, {"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c1", "content": "3"},
                   tools=test_tools.TOOLS), "calls and results are those of a chat")


CALLS = test_tools.CALLS
WRITTEN = test_tools.written(CALLS)


def calls(s):
    told = [("call", n, json.dumps(a, ensure_ascii=False)) for n, a in CALLS]
    whole, events = check_both(s, says("Let me see.\n" + WRITTEN), [("message", "Let me see.", "completed")] + told, "text and two calls")
    check_both(s, says(WRITTEN), told, "calls alone")
    check_both(s, says(WRITTEN, parallel_tool_calls=False), told[:1], "parallel_tool_calls false")
    check_both(s, says(WRITTEN, tool_choice="none"), [("message", WRITTEN, "completed")], "tool_choice none")
    ids = [i["id"] for i in whole["output"]] + [i["call_id"] for i in whole["output"] if "call_id" in i]
    tap.equal(len(set(ids)), 5, "ids are unique")
    tap.ok(sum(e["type"].endswith("arguments.delta") for e in events) >= 2, "arguments in deltas")
    cut = dict(says(WRITTEN), max_output_tokens=24)
    whole, _ = check_both(s, cut, None, "a call that is cut", status="incomplete")
    tap.equal((whole["output"][-1]["type"], whole["output"][-1]["status"]), ("function_call", "incomplete"), "and is incomplete itself")
    for choice in ("required", {"type": "function", "name": "add"},
                   {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "add"}]}):
        whole, _ = check_both(s, ask(tools=TOOLS, tool_choice=choice, max_output_tokens=300), None, f"tool_choice {choice}")
        tap.ok(whole["output"] and all(i["type"] == "function_call" for i in whole["output"]), f"tool_choice {choice}: only calls")


def own_output_goes_back(s):
    """complaint 16: what the server said is taken as it is in the next turn."""
    client = s.client()
    turns = [{"role": "user", "content": "What is 1.5 plus -2?"}]
    first = client.responses.create(**ask(input=turns, tools=TOOLS, tool_choice="required", max_output_tokens=300))
    turns += [i.model_dump(exclude_unset=True) for i in first.output]
    turns += [{"type": "function_call_output", "call_id": i.call_id, "output": [{"type": "input_text", "text": "-0.5"}]} for i in first.output]
    second = client.responses.create(**ask(input=turns, tools=TOOLS))
    turns += second.output + [{"role": "user", "content": "Thanks."}]
    tap.ok(client.responses.create(**ask(input=turns)).output_text, "complaint 16: own output goes back, twice")


def logprobs(s):
    body = ask(include=["message.output_text.logprobs"], top_logprobs=2)
    whole, _ = check_both(s, body, None, "logprobs", status=None)
    content = whole["output"][0]["content"][0]
    tap.equal(bytes(b for t in content["logprobs"] for b in t["bytes"]).decode(), content["text"], "logprobs' bytes are the text")
    tap.equal({len(t["top_logprobs"]) for t in content["logprobs"]}, {2}, "with as many alternatives")
    beside = buffered(s, says("A " + WRITTEN, include=["message.output_text.logprobs"]))["output"][0]["content"][0]
    tap.equal((beside["text"], beside["logprobs"][0]["bytes"]), ("A", [65]), "and beside calls, those of the text")


class Person(BaseModel):
    name: str
    age: int


def client_ways(s):
    client = s.client()
    body = ask(input="Ada is 36 years old.", max_output_tokens=200)
    parsed = client.responses.parse(text_format=Person, **body)
    tap.ok(isinstance(parsed.output_parsed, Person), f"{s.server}: responses.parse", parsed)
    with client.responses.stream(text_format=Person, **body) as stream:
        kinds = [e.type for e in stream]
        tap.equal(stream.get_final_response().output_parsed, parsed.output_parsed, f"{s.server}: responses.stream")
    tap.equal(kinds[-1], "response.completed", f"{s.server}: to its end")
    text = "".join(e.delta for e in client.responses.create(stream=True, **ask()) if e.type == "response.output_text.delta")
    tap.equal(text, client.responses.create(**ask()).output_text, f"{s.server}: responses.create, streamed and not")
    for bad in ({"previous_response_id": "resp_1"}, {"conversation": "conv_1"}, {"background": True}):
        for stream in (False, True):
            try:
                client.responses.create(stream=stream, **ask(**bad))
                tap.ok(False, f"{s.server}: {bad} is refused")
            except BadRequestError as e:
                tap.equal(e.param, next(iter(bad)), f"{s.server}: {bad} is refused, stream {stream}")


def reasoning(s):
    text = "Well, let\nme see.</think>\n\nParis."
    body = says(text, tool_choice="none")
    whole, _ = check_both(s, body, [("reasoning", "Well, let\nme see.", "completed"), ("message", "Paris.", "completed")], "reasoning apart")
    n, total = whole["usage"]["output_tokens_details"]["reasoning_tokens"], whole["usage"]["output_tokens"]
    tap.ok(5 <= n < total, f"reasoning_tokens: {n} of {total}")
    check_both(s, dict(body, max_output_tokens=4), None, "reasoning that is cut", status="incomplete")
    off = says("Paris.", tool_choice="none", reasoning={"effort": "none"})
    check_both(s, off, [("message", "Paris.", "completed")], "effort none")
    check_both(s, says("Hm.</think>" + WRITTEN), [("reasoning", "Hm.", "completed")] + [
        ("call", n, json.dumps(a, ensure_ascii=False)) for n, a in CALLS], "reasoning and calls")


def cut_by_the_server(s):
    """What ends a stream in the middle is an error event, which clients raise, and response.failed."""
    body = ask(max_output_tokens=8000, ignore_eos=True, stream=True, temperature=1, seed=1)
    raw = RawStream(s, body, PATH)
    raw.wait_for(b"output_text.delta")

    def consume():
        for event in s.client(max_retries=0).responses.create(model="primary", input="Tell me a long story.", stream=True, temperature=1,
                                                              extra_body={"ignore_eos": True, "seed": 2}):
            if event.type == "response.output_text.delta" and not told:
                told.append(True)
                os.kill(s.pid, signal.SIGTERM)
    told = []
    raised, = in_threads([consume])
    while raw.read_some():
        pass
    tap.ok(isinstance(raised, APIError) and "shutting down" in raised.message, "a stream that the server ends is an APIError", repr(raised))
    frames = [json.loads(f.split("\ndata: ")[1].split("\n\n")[0]) for f in raw.data.decode(errors="replace").split("event: ")[1:]]
    tap.equal([f["type"] for f in frames[-2:]], ["error", "response.failed"], "error, then response.failed")
    for f in frames[-2:]:
        valid(EVENT.validate_python, f, "of the client's types")
    tap.equal((frames[-1]["response"]["status"], frames[-1]["response"]["error"]["code"]), ("failed", "server_error"), "with the reason")
    tap.ok(wait_until(lambda: not os.path.exists(f"/proc/{s.pid}"), 20), "and the program ends")


def main():
    for server in SERVERS:
        with Stack(server, options=["--default-max-tokens", "300"]) as s:
            for test in (plain, client_ways) + ((settings, calls, own_output_goes_back, logprobs) if server == SERVERS[0] else ()):
                tap.attempt(test, s)
    with Stack(options=["--chat-template", test_tools.THINKING]) as s:
        tap.attempt(reasoning, s)
    with Stack(options=["--drain-timeout", "300ms"]) as s:
        tap.attempt(cut_by_the_server, s)
    tap.done()


if __name__ == "__main__":
    main()
