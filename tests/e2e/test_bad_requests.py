"""Malformed input through the web servers, on the sanitized build: the right status, an OpenAI error body, no harm."""
import json
import socket

from stack import SERVERS, Stack, check_schema
import tap

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
HI = [{"role": "user", "content": "Hi!"}]


def chat(**more):
    return dict({"model": "primary", "messages": HI, "max_tokens": 2}, **more)


def response(**more):
    return dict({"model": "primary", "input": "Hi!", "max_output_tokens": 2}, **more)


def message(**m):
    return chat(messages=[m])


def part(**p):
    return message(role="user", content=[{"type": "text", "text": "a"}, p])


# (name, method, path, body, status, param or None, code or None)
CASES = [
    ("no body", "POST", CHAT, b"", 400, None, None),
    ("blank body", "POST", CHAT, b"   ", 400, None, None),
    ("half an object", "POST", CHAT, b'{"model":"primary"', 400, None, None),
    ("text after the object", "POST", CHAT, b'{"model":"primary"} x', 400, None, None),
    ("an array", "POST", CHAT, b"[]", 400, None, None),
    ("a string", "POST", CHAT, b'"hello"', 400, None, None),
    ("single quotes", "POST", CHAT, b"{'model':'primary'}", 400, None, None),
    ("NaN", "POST", CHAT, b'{"model":"primary","temperature":NaN}', 400, None, None),
    ("a comment", "POST", CHAT, b'{"model":"primary" /* x */}', 400, None, None),
    ("invalid UTF-8", "POST", CHAT, b'{"model":"primary","messages":[{"role":"user","content":"\xff\xfe"}]}', 400, None, None),
    ("overlong UTF-8", "POST", CHAT, b'{"model":"primary","messages":[{"role":"user","content":"\xc0\xaf"}]}', 400, None, None),
    ("form data", "POST", CHAT, b"model=primary&messages=hi", 400, None, None),
    ("deep nesting of arrays", "POST", CHAT, b"[" * 100000, 400, None, None),
    ("deep nesting of objects", "POST", CHAT, b'{"a":' * 5000 + b"1" + b"}" * 5000, 400, None, None),
    ("huge body", "POST", CHAT, b'{"model":"' + b"x" * (17 << 20) + b'"}', 413, None, "request_too_large"),
    ("many values", "POST", CHAT, b'{"model":"primary","x":[' + b"0," * 3000000 + b"0]}", None, None, None),
    ("no messages", "POST", CHAT, {"model": "primary"}, 400, "messages", None),
    ("messages null", "POST", CHAT, chat(messages=None), 400, "messages", None),
    ("messages empty", "POST", CHAT, chat(messages=[]), 400, "messages", None),
    ("messages a string", "POST", CHAT, chat(messages="Hi!"), 400, "messages", None),
    ("a message that is a string", "POST", CHAT, chat(messages=["Hi!"]), 400, "messages[0]", None),
    ("no role", "POST", CHAT, message(content="a"), 400, "messages[0].role", None),
    ("unknown role", "POST", CHAT, message(role="king", content="a"), 400, "messages[0].role", None),
    ("role a number", "POST", CHAT, message(role=1, content="a"), 400, "messages[0].role", None),
    ("no content", "POST", CHAT, message(role="user"), 400, "messages[0].content", None),
    ("content a number", "POST", CHAT, message(role="user", content=1), 400, "messages[0].content", None),
    ("content an object", "POST", CHAT, message(role="user", content={}), 400, "messages[0].content", None),
    ("a part that is a string", "POST", CHAT, message(role="user", content=["a"]), 400, "messages[0].content[0]", None),
    ("an image part", "POST", CHAT, part(type="image_url", image_url={"url": "http://127.0.0.1/x.png"}), 400,
     "messages[0].content[1]", "unsupported_value"),
    ("an audio part", "POST", CHAT, part(type="input_audio", input_audio={"data": "", "format": "wav"}), 400,
     "messages[0].content[1]", "unsupported_value"),
    ("a file part", "POST", CHAT, part(type="file", file={"file_id": "x"}), 400, "messages[0].content[1]", "unsupported_value"),
    ("a text part without text", "POST", CHAT, part(type="text"), 400, "messages[0].content[1].text", None),
    ("temperature too high", "POST", CHAT, chat(temperature=2.5), 400, "temperature", None),
    ("temperature negative", "POST", CHAT, chat(temperature=-1), 400, "temperature", None),
    ("temperature a string", "POST", CHAT, chat(temperature="hot"), 400, "temperature", None),
    ("top_p too high", "POST", CHAT, chat(top_p=1.01), 400, "top_p", None),
    ("max_tokens zero", "POST", CHAT, chat(max_tokens=0), 400, "max_tokens", None),
    ("max_tokens negative", "POST", CHAT, chat(max_tokens=-5), 400, "max_tokens", None),
    ("max_tokens a fraction", "POST", CHAT, chat(max_tokens=1.5), 400, "max_tokens", None),
    ("max_completion_tokens zero", "POST", CHAT, chat(max_completion_tokens=0), 400, "max_completion_tokens", None),
    ("stream a string", "POST", CHAT, chat(stream="true"), 400, "stream", None),
    ("stream_options without stream", "POST", CHAT, chat(stream_options={"include_usage": True}), 400, "stream_options", None),
    ("stop an empty string", "POST", CHAT, chat(stop=""), 400, "stop", None),
    ("stop a list of numbers", "POST", CHAT, chat(stop=[1]), 400, "stop[0]", None),
    ("n zero", "POST", CHAT, chat(n=0), 400, "n", None),
    ("n too many", "POST", CHAT, chat(n=129), 400, "n", None),
    ("seed a string", "POST", CHAT, chat(seed="x"), 400, "seed", None),
    ("logit_bias with a word", "POST", CHAT, chat(logit_bias={"cat": 1}), 400, "logit_bias", None),
    ("logit_bias beyond the vocabulary", "POST", CHAT, chat(logit_bias={"4000000": 1}), 400, "logit_bias", None),
    ("logit_bias too strong", "POST", CHAT, chat(logit_bias={"1": 1000}), 400, "logit_bias", None),
    ("top_logprobs without logprobs", "POST", CHAT, chat(top_logprobs=2), 400, "top_logprobs", None),
    ("top_logprobs too many", "POST", CHAT, chat(logprobs=True, top_logprobs=21), 400, "top_logprobs", None),
    ("presence_penalty too high", "POST", CHAT, chat(presence_penalty=3), 400, "presence_penalty", None),
    ("response_format of another kind", "POST", CHAT, chat(response_format={"type": "yaml"}), 400, "response_format", "unsupported_value"),
    ("response_format, not a schema", "POST", CHAT, chat(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "thing"}}}), 400,
     "response_format.json_schema.schema", None),
    ("model a number", "POST", CHAT, chat(model=5), 400, "model", None),
    ("unknown model", "POST", CHAT, chat(model="gpt-99"), 404, "model", "model_not_found"),
    ("unknown model, streamed", "POST", CHAT, chat(model="gpt-99", stream=True), 404, "model", "model_not_found"),
    ("bad temperature, streamed", "POST", CHAT, chat(temperature=9, stream=True), 400, "temperature", None),
    ("prompt too long", "POST", CHAT, message(role="user", content="word " * 9000), 400, None, "context_length_exceeded"),
    ("prompt too long, streamed", "POST", CHAT, dict(message(role="user", content="word " * 9000), stream=True), 400, None,
     "context_length_exceeded"),
    ("completion without prompt", "POST", "/v1/completions", {"model": "primary"}, 400, "prompt", None),
    ("completion of ids beyond the vocabulary", "POST", "/v1/completions", {"model": "primary", "prompt": [9999999]}, 400, None, None),
    ("completion with suffix", "POST", "/v1/completions", {"model": "primary", "prompt": "a", "suffix": "b"}, 400, "suffix",
     "unsupported_value"),
    ("response without input", "POST", RESPONSES, {"model": "primary"}, 400, "input", None),
    ("response to an earlier one", "POST", RESPONSES, response(previous_response_id="resp_1"), 400, "previous_response_id", "unsupported_value"),
    ("response in the background", "POST", RESPONSES, response(background=True, stream=True), 400, "background", "unsupported_value"),
    ("response to an item that is a number", "POST", RESPONSES, response(input=[1]), 400, "input[0]", None),
    ("response to an item by reference", "POST", RESPONSES, response(input=[{"type": "item_reference", "id": "x"}]), 400, "input[0]",
     "unsupported_value"),
    ("response to an image", "POST", RESPONSES, response(input=[{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]), 400,
     "input[0].content[0]", "unsupported_value"),
    ("response with a search tool", "POST", RESPONSES, response(tools=[{"type": "web_search"}]), 400, "tools[0].type", "unsupported_value"),
    ("response in no format", "POST", RESPONSES, response(text={"format": {"type": "yaml"}}), 400, "text.format", "unsupported_value"),
    ("response by an unknown model, streamed", "POST", RESPONSES, response(model="gpt-99", stream=True), 404, "model", "model_not_found"),
    ("response to too much, streamed", "POST", RESPONSES, response(input="word " * 9000, stream=True), 400, None, "context_length_exceeded"),
    ("wrong method", "GET", CHAT, None, 405, None, "method_not_allowed"),
    ("DELETE", "DELETE", "/v1/models", None, 405, None, "method_not_allowed"),
    ("PUT", "PUT", CHAT, chat(), 405, None, "method_not_allowed"),
    ("wrong path", "POST", "/v1/chat/completion", chat(), 404, None, None),
    ("path outside of /v1", "GET", "/chat", None, 404, None, None),
    ("unknown model by path", "GET", "/v1/models/nothing", None, 404, "model", "model_not_found"),
    ("path with an encoded slash", "GET", "/v1/models/a%2Fb", None, 404, "model", "model_not_found"),
    ("path with a bad escape", "GET", "/v1/models/a%zz", None, (400, 404), None, None),
    ("path with NUL", "GET", "/v1/models/a%00b", None, (400, 404), None, None),
]


def one_case(s, name, method, path, body, status, param, code):
    answer = s.request(method, path, body)
    title = f"{s.server}: {name}"
    if status is None:      # any clear answer will do: it is refused for its memory, or for what it lacks
        status = (400, 413)
    allowed = status if isinstance(status, tuple) else (status,)
    if not tap.ok(answer.status in allowed, f"{title} gives {status}", answer.status, answer.body[:300]):
        return
    try:
        error = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        # a path that the web server itself refuses never reaches the program
        tap.ok(isinstance(status, tuple) and "a%" in path, f"{title} has an error body", answer.body[:300])
        return
    good = set(error) == {"message", "type", "param", "code"} and error["message"]
    if param is not None:
        good = good and error["param"] == param
    if code is not None:
        good = good and error["code"] == code
    tap.ok(good, f"{title}: the error says what and where", error)
    if answer.status == 405:
        tap.ok(answer.headers.get("Allow"), f"{title}: 405 has Allow")


def raw(s, data, name):
    """Bytes that are no whole request: whatever comes back, the server goes on."""
    with socket.create_connection(("127.0.0.1", s.port), timeout=20) as c:
        c.sendall(data)
        c.shutdown(socket.SHUT_WR)
        try:
            while c.recv(65536):
                pass
        except OSError:
            pass
    tap.equal(s.request("GET", "/livez").status, 200, f"{s.server}: alive after {name}")


def both_numbers(s):
    error = s.request("POST", CHAT, message(role="user", content="word " * 9000)).json()["error"]
    tap.ok("2048" in error["message"] and any(w.strip(",.").isdigit() and int(w.strip(",.")) > 9000
                                              for w in error["message"].split()),
           f"{s.server}: context_length_exceeded tells both numbers", error)


def schema_of_errors(s):
    for body in (b"{", chat(temperature=9), chat(model="x")):
        check_schema("ErrorResponse", s.request("POST", CHAT, body).json(), f"{s.server}: an error is OpenAI's shape")


for server in SERVERS:
    try:
        with Stack(server, sanitized=True, options=["--max-sequence-length", "2048"]) as stack:
            for case in CASES:
                tap.attempt(one_case, stack, *case)
            tap.attempt(both_numbers, stack)
            tap.attempt(schema_of_errors, stack)
            head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
            tap.attempt(raw, stack, head + b'{"model":', "a body cut short")
            tap.attempt(raw, stack, head.replace(b"100", b"-5"), "a negative Content-Length")
            tap.attempt(raw, stack, head.replace(b"100", b"99999999999999999999"), "a Content-Length that wraps")
            tap.attempt(raw, stack, b"\x16\x03\x01\x02\x00\x01\x00", "a TLS hello")
            answer = stack.request("POST", CHAT, chat(temperature=0))
            tap.equal(answer.status, 200, f"{server}: after all of them it still answers")
            status = stack.status()
            tap.equal((status["running"], status["waiting"], status["kv_pages_used"]), (0, 0, 0), f"{server}: no slot is stuck")
            tap.ok(stack.stop_program(), f"{server}: it ends on SIGTERM")
            tap.equal(stack.sanitizer_reports(), "", f"{server}: the sanitizers found nothing")
    except Exception as error:
        tap.ok(False, f"{server} starts", error)
tap.done()
