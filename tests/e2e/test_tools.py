"""Tools and reasoning over HTTP: what a client sends, what the model's template makes of it, what comes back."""
import json

from stack import Stack, check_schema
import tap

TOOLS = [{"type": "function", "function": {
    "name": "get_weather", "description": "The weather of a place",
    "parameters": {"type": "object", "properties": {"location": {"type": "string"}, "days": {"type": "integer"}},
                   "required": ["location"]}}},
         {"type": "function", "function": {
             "name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}}}}]


def ask(**more):
    return dict({"model": "primary", "temperature": 0, "max_tokens": 24, "tools": TOOLS,
                 "messages": [{"role": "user", "content": "What is the weather in Paris?"}]}, **more)


def plain(s):
    """A model that need not call anything."""
    client = s.client()
    whole = client.chat.completions.create(**ask())
    check_schema("CreateChatCompletionResponse", json.loads(whole.model_dump_json(exclude_unset=True)), "tools: OpenAI's shape")
    with_tools = whole.usage.prompt_tokens
    without = client.chat.completions.create(**ask(tool_choice="none")).usage.prompt_tokens
    tap.ok(with_tools - without > 60, f"the model is told of its tools ({with_tools} tokens, {without} without)")
    chunks = list(client.chat.completions.create(stream=True, **ask()))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    tap.equal(text, whole.choices[0].message.content or "", "streamed content is the buffered")
    history = ask(messages=ask()["messages"] + [
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{\"location\": \"Paris\"}"}},
            {"id": "call_2", "type": "function", "function": {"name": "add", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "21 degrees"},
        {"role": "tool", "tool_call_id": "call_2", "content": "3"}])
    tap.ok(client.chat.completions.create(**history).choices[0].finish_reason in ("stop", "length", "tool_calls"),
           "a conversation with calls and results goes on")


CALLS = [("get_weather", {"location": "Z\u00fcrich", "days": 2}), ("add", {"a": 1.5, "b": -2})]
HERMES = "<tool_call>\n%s\n</tool_call>"


def written(calls):
    return "\n".join(HERMES % json.dumps({"name": n, "arguments": a}, ensure_ascii=False) for n, a in calls)


def calls_of(message):
    return [(c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls or []]


def rebuilt(client, body):
    """What the client's own accumulator makes of the stream."""
    with client.chat.completions.stream(**body) as stream:
        for _ in stream:
            pass
        return stream.get_final_completion().choices[0]


def says(text, **more):
    """A request whose answer is this text: what it becomes does not depend on how clever the model is."""
    return ask(max_tokens=400, extra_body={"guided_choice": [text]}, **more)


def check_both(client, text, content, calls, finish, name, **more):
    whole = client.chat.completions.create(**says(text, **more)).choices[0]
    stream = rebuilt(client, says(text, **more))
    tap.equal((whole.message.content, calls_of(whole.message), whole.finish_reason), (content, calls, finish), f"{name}, buffered")
    tap.equal((stream.message.content or None, calls_of(stream.message), stream.finish_reason), (content or None, calls, finish),
              f"{name}, streamed")
    ids = [c.id for c in (whole.message.tool_calls or []) + (stream.message.tool_calls or [])]
    tap.equal(len(set(ids)), len(ids), f"{name}: ids are unique")
    return whole


def required(s):
    client = s.client()
    for choice, names in (("required", {"get_weather", "add"}), ({"type": "function", "function": {"name": "add"}}, {"add"})):
        whole = client.chat.completions.create(**ask(tool_choice=choice, max_tokens=300)).choices[0]
        calls = calls_of(whole.message)
        tap.ok(calls and {n for n, _ in calls} <= names and whole.finish_reason == "tool_calls", f"tool_choice {choice}: a call", whole)
        stream = rebuilt(client, ask(tool_choice=choice, max_tokens=300))
        tap.equal(calls_of(stream.message), calls, f"tool_choice {choice}: the same streamed")
    legacy = client.chat.completions.create(**{k: v for k, v in ask(max_tokens=300).items() if k != "tools"}, functions=[t["function"] for t in TOOLS],
                                            function_call={"name": "add"}).choices[0]
    tap.equal((legacy.finish_reason, legacy.message.function_call.name), ("function_call", "add"), "functions and function_call")
    json.loads(legacy.message.function_call.arguments)


def logprobs_and_choices(s):
    client = s.client()
    body = says("Let me see.\n" + written(CALLS), logprobs=True, top_logprobs=1, n=2)
    whole = client.chat.completions.create(**body)
    for choice in whole.choices:
        text = b"".join(bytes(t.bytes) for t in choice.logprobs.content).decode()
        tap.equal((text, len(choice.message.tool_calls)), ("Let me see.\n" + written(CALLS), 2), f"logprobs of all tokens, choice {choice.index}")
    chunks = [c.choices[0] for c in client.chat.completions.create(stream=True, **body) if c.choices]
    for i in range(2):
        text = b"".join(bytes(t.bytes) for c in chunks if c.index == i and c.logprobs for t in c.logprobs.content).decode()
        tap.equal(text, "Let me see.\n" + written(CALLS), f"and streamed, choice {i}")
    tap.equal(sorted((c.index, c.finish_reason) for c in chunks if c.finish_reason), [(0, "tool_calls"), (1, "tool_calls")], "one end each")


def pydantic_tools(s):
    """.parse() with schemas that refer to their own $defs, which move with them."""
    inner = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"], "additionalProperties": False}
    schema = {"type": "object", "properties": {"item": {"$ref": "#/$defs/Inner"}}, "required": ["item"], "$defs": {"Inner": inner},
              "additionalProperties": False}
    tool = {"type": "function", "function": {"name": "query", "strict": True, "parameters": schema}}
    for more in ({}, {"parallel_tool_calls": False}):
        done = s.client().chat.completions.parse(**dict(ask(max_tokens=400, tool_choice="required", **more), tools=[tool])).choices[0]
        tap.ok(all(isinstance(json.loads(c.function.arguments)["item"]["x"], int) for c in done.message.tool_calls) and done.message.tool_calls,
               f"$ref within a tool's schema {more}", done)
    wrong = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}}}
    answer = s.request("POST", "/v1/chat/completions", dict(ask(tool_choice="required"), tools=[wrong]))
    tap.equal((answer.status, answer.json()["error"]["param"]), (400, "tools"), "a schema that cannot be kept is a 400")


FUSSY = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}{% for m in messages %}" \
        "{% if m.role not in ['user', 'assistant'] %}{{ raise_exception('no ' ~ m.role) }}{% endif %}[{{ m.role }}]{{ m.content }}{% endfor %}"
PASTES = "{{ tools | tojson if tools }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% for c in m.tool_calls or [] %}" \
         "<tool_call>{{ c.function.name + ' ' + c.function.arguments }}{% endfor %}{% endfor %}"
HISTORY = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
           {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": {
               "name": "add", "arguments": "{\"a\": 1}"}}]},
           {"role": "tool", "tool_call_id": "call_1", "content": "1"}]


def fussy_template(s):
    text = s.request("POST", "/apply-template", {"messages": HISTORY}).json()["prompt"]
    tap.equal(text, "[user]Be brief.\n\nHi[assistant]<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\":1}}\n</tool_call>"
                    "[user]<tool_response>\n1\n</tool_response>", "a template that knows neither system nor tools is told in words")
    text = s.request("POST", "/apply-template", {"messages": HISTORY[1:2], "tools": TOOLS}).json()["prompt"]
    tap.ok(text.startswith("[user]You can call functions.") and "get_weather" in text and text.endswith("\n\nHi"), "tools, too", text)


def pasting_template(s):
    text = s.request("POST", "/apply-template", {"messages": HISTORY, "tools": TOOLS[1:]}).json()["prompt"]
    tap.ok(text.startswith('[{"type": "function"') and text.endswith('[system]Be brief.[user]Hi[assistant]<tool_call>add {"a":1}[tool]1'),
           "arguments as text where a template pastes them", text)


def conversation(s):
    """Several turns with a real model, every call forced and answered."""
    client = s.client()
    messages = [{"role": "system", "content": "You are a weather bot."}, {"role": "user", "content": "What is the weather in Paris?"}]
    for turn in range(2):
        answer = client.chat.completions.create(**dict(ask(tool_choice="required", max_tokens=300), messages=messages)).choices[0].message
        tap.ok(answer.tool_calls, f"a conversation's turn {turn} calls")
        messages += [answer.model_dump(exclude_unset=True)] + [{"role": "tool", "tool_call_id": c.id, "content": "21 degrees"} for c in answer.tool_calls]
        said = client.chat.completions.create(**dict(ask(), messages=messages)).choices[0].message
        messages += [said.model_dump(exclude_unset=True), {"role": "user", "content": "And in Rome?"}]
    tap.ok(len(messages) >= 10, "a conversation of two rounds")


THINKING = "{%- for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}" \
           "{% if add_generation_prompt %}<|im_start|>assistant\n{% if enable_thinking is not defined or enable_thinking %}<think>\n{% endif %}{% endif %}{# </think> #}"


def reasoning(s):
    client = s.client()
    text = "Well, let\nme see.\n</think>\n\nParis."
    whole = client.chat.completions.create(**says(text, tool_choice="none"))
    message = whole.choices[0].message
    tap.equal((message.reasoning_content, message.content), ("Well, let\nme see.", "Paris."), "reasoning apart, buffered")
    n, total = whole.usage.completion_tokens_details.reasoning_tokens, whole.usage.completion_tokens
    tap.ok(5 <= n < total, f"reasoning_tokens: {n} of {total}")
    chunks = list(client.chat.completions.create(stream=True, **says(text, tool_choice="none")))
    deltas = [c.choices[0].delta for c in chunks if c.choices]
    tap.equal(("".join(getattr(d, "reasoning_content", None) or "" for d in deltas), "".join(d.content or "" for d in deltas)),
              ("Well, let\nme see.", "Paris."), "reasoning apart, streamed")
    raw = says(text, tool_choice="none")
    raw["extra_body"]["reasoning_format"] = "none"
    tap.equal(client.chat.completions.create(**raw).choices[0].message.content, text, "reasoning_format none leaves it")
    off = says("Paris.", tool_choice="none")
    off["extra_body"]["chat_template_kwargs"] = {"enable_thinking": False}
    tap.equal(client.chat.completions.create(**off).choices[0].message.content, "Paris.", "chat_template_kwargs reach the template")
    off = says("Paris.", tool_choice="none", reasoning_effort="none")
    tap.equal(client.chat.completions.create(**off).choices[0].message.content, "Paris.", "reasoning_effort none, too")


def endpoints(s):
    """llama-server's neighbours of the chat."""
    post = lambda path, **body: s.request("POST", path, body)  # noqa: E731
    chat = {"messages": [{"role": "user", "content": "Hi <|im_end|> \u20ac"}]}
    prompt = post("/apply-template", **chat).json()["prompt"]
    tap.ok(prompt.endswith("<|im_start|>user\nHi <|im_end|> \u20ac<|im_end|>\n<|im_start|>assistant\n"), "/apply-template", prompt)
    used = s.client().chat.completions.create(model="primary", max_tokens=1, **chat).usage.prompt_tokens
    tap.equal(post("/v1/chat/completions/input_tokens", **chat).json()["input_tokens"], used, "input_tokens counts what the chat uses")
    ids = post("/tokenize", content=prompt).json()["tokens"]
    tap.ok(len(ids) < used, f"/tokenize takes a text's control tokens for such ({len(ids)} ids, {used} where a client's stay text)")
    plain = post("/tokenize", content=prompt, parse_special=False).json()["tokens"]
    tap.ok(len(plain) > used, f"but for parse_special false ({len(plain)} ids)")
    tap.equal(post("/detokenize", tokens=ids).json()["content"], prompt, "/detokenize")
    pieces = post("/tokenize", content="\U0001f9ea a", with_pieces=True).json()["tokens"]
    raw = b"".join(bytes(p["piece"]) if isinstance(p["piece"], list) else p["piece"].encode() for p in pieces)
    tap.equal(raw.decode(), "\U0001f9ea a", "with_pieces: bytes where a piece is no whole character")
    tap.equal([post("/tokenize").status, post("/detokenize", tokens=["a"]).status, post("/detokenize", tokens=[10 ** 8]).status,
               post("/apply-template").status], [400] * 4, "what is wrong is a 400")
    go_on = [{"role": "user", "content": "Count."}, {"role": "assistant", "content": "One, two,"}]
    text = post("/apply-template", messages=go_on, continue_final_message=True).json()["prompt"]
    tap.ok(text.endswith("assistant\nOne, two,"), "continue_final_message", text)


def main():
    with Stack("lighttpd") as s:
        for test in (plain, required, logprobs_and_choices, pydantic_tools, conversation, endpoints):
            tap.attempt(test, s)
    with Stack("lighttpd", options=["--chat-template", THINKING]) as s:
        tap.attempt(reasoning, s)
    for template, test in ((FUSSY, fussy_template), (PASTES, pasting_template)):
        with Stack("lighttpd", options=["--chat-template", template]) as s:
            tap.attempt(test, s)
    tap.done()


if __name__ == "__main__":
    main()
