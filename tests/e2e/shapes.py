"""Everything that tests get from the server, held against OpenAI's schemas (shared/openai/schemas.json) as it comes.

stack.py, program.py and the openai client of Stack.client() hand bodies over; tap.done() gets one more line, which fails where any of
them was wrong.  Bodies that differ in nothing that a schema looks at are checked once.  Answers and events may have no members that the
schemas do not know, but for EXTENSIONS.
"""
import json
import os
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests"))

import tap  # noqa: E402

PATH = os.path.join(os.environ.get("AIRSTRIP_SHARED", os.path.join(TOP, "..", "shared")), "openai", "schemas.json")
WHOLE = {"/v1/chat/completions": "CreateChatCompletionResponse", "/v1/completions": "CreateCompletionResponse",
         "/v1/embeddings": "CreateEmbeddingResponse", "/v1/models": "ListModelsResponse"}
EVENTS = {"/v1/chat/completions": "CreateChatCompletionStreamResponse", "/v1/completions": "CreateCompletionResponse"}
EXTENSIONS = {"reasoning_content"}      # as vLLM, llama-server and DeepSeek have it
# Strings of which a schema says which they may be.
WORDS = {"finish_reason", "object", "role", "type"}

_validators, _seen, _wrong, _counts = {}, set(), [], {}


def strict(x):
    """A schema, in place, by which objects have only the members that it describes."""
    for v in x.values() if isinstance(x, dict) else x if isinstance(x, list) else ():
        strict(v)
    if isinstance(x, dict) and isinstance(x.get("properties"), dict) and "additionalProperties" not in x:
        x["additionalProperties"] = False
        x["properties"].update({name: {"type": "string"} for name in EXTENSIONS})
    return x


def validator(name):
    """For one of the schemas; None where they are absent."""
    if not os.path.exists(PATH):
        return None
    if name not in _validators:
        import jsonschema
        document = strict(json.load(open(PATH))) if name in {*WHOLE.values(), *EVENTS.values()} - {"ListModelsResponse"} else json.load(open(PATH))
        _validators[name] = jsonschema.Draft202012Validator({"$ref": "#/$defs/" + name, "$defs": document["$defs"]})
    return _validators[name]


def outline(x, key=None):
    """What a schema sees of it."""
    if isinstance(x, dict):
        return tuple(sorted((k, outline(v, k)) for k, v in x.items()))
    if isinstance(x, list):
        return ("list",) + tuple(sorted({outline(v) for v in x}, key=repr))
    if isinstance(x, str):
        return x if key in WORDS else "text"
    if isinstance(x, bool) or x is None:
        return repr(x)
    return type(x).__name__ + ("" if x >= 0 else "-")


def as_documented(name, x):
    """OpenAI's own answers have what its schemas lack: null for a choice of /v1/completions that goes on, for its usage so far and for the first
    token of an echo; vectors in base64."""
    if name == "CreateEmbeddingResponse":
        return dict(x, data=[dict(d, embedding=[]) if isinstance(d.get("embedding"), str) else d for d in x.get("data", [])])
    if name != "CreateCompletionResponse" or "choices" not in x:
        return x
    choices = []
    for c in x["choices"]:
        c = dict(c, finish_reason=c["finish_reason"] or "stop") if "finish_reason" in c else dict(c)
        if c.get("logprobs"):
            c["logprobs"] = {k: [v for v in values if v is not None] if isinstance(values, list) else values for k, values in c["logprobs"].items()}
        choices.append(c)
    return {k: v for k, v in dict(x, choices=choices).items() if not (k == "usage" and v is None)}


def check(name, x, where):
    if isinstance(x, dict) and "error" in x and name != "Response":
        name = "ErrorResponse"
    _counts[name] = _counts.get(name, 0) + 1
    mark = (name, outline(x))
    if mark in _seen:
        return
    _seen.add(mark)
    if validator(name) is None:
        return
    for e in validator(name).iter_errors(as_documented(name, x) if isinstance(x, dict) else x):
        _wrong.append(f"{where}: {name}: {list(e.absolute_path)}: {e.message[:300]}")


def events(path, text):
    """Those of a stream that came whole."""
    for frame in text.split("\n\n")[:-1]:
        data = "\n".join(line[len("data: "):] for line in frame.split("\n") if line.startswith("data: "))
        if data and data != "[DONE]":
            try:
                x = json.loads(data)
            except ValueError as e:
                _wrong.append(f"{path}: an event is no JSON: {e}: {data[:200]}")
                continue
            if path in EVENTS:
                check(EVENTS[path], x, path)


def note(method, path, status, headers, body):
    """An answer of Airstrip's (it has an x-request-id), or what came of it; headers have lower-case names."""
    path, kind = path.split("?")[0], (headers.get("content-type") or "").split(";")[0]
    if "x-request-id" not in headers or headers.get("content-encoding") or method == "HEAD" or not body:
        return
    if kind == "text/event-stream":
        try:
            events(path, body.decode())
        except UnicodeDecodeError as e:
            if e.end < len(body) - 4:   # not just where it was cut
                _wrong.append(f"{path}: a stream is no UTF-8: {e}")
        return
    name = "ErrorResponse" if status >= 400 else WHOLE.get(path) or ("Model" if path.startswith("/v1/models/") else None)
    if not name:
        return
    try:
        check(name, json.loads(body), f"{method} {path} {status}")
    except ValueError as e:
        _wrong.append(f"{method} {path} {status}: no JSON: {e}: {body[:200]}")


def unchunked(data):
    """The body of an HTTP answer as it came over the connection, as far as it came; and its head."""
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
    status = lines[0].split(" ")[1] if lines[0].startswith("HTTP/") and " " in lines[0] else "0"
    if headers.get("transfer-encoding") != "chunked":
        return int(status), headers, rest
    body = b""
    while b"\r\n" in rest:
        size, _, rest = rest.partition(b"\r\n")
        n = int(size.split(b";")[0] or b"0", 16)
        body += rest[:n]
        rest = rest[n + 2:]
    return int(status), headers, body


def watch(client):
    """An openai client whose answers are noted as well; returns it."""
    from openai import _base_client
    httpx = getattr(_base_client, "httpx2", None) or _base_client.httpx     # by the client's version

    class Tee(httpx.SyncByteStream):
        def __init__(self, response):
            self.response, self.inner, self.data = response, response.stream, b""

        def __iter__(self):
            for piece in self.inner:
                self.data += piece
                yield piece

        def close(self):
            self.inner.close()
            r = self.response
            note(r.request.method, r.request.url.path, r.status_code, {k.lower(): v for k, v in r.headers.items()}, self.data)

    def hook(response):
        response.stream = Tee(response)
    client._client.event_hooks = {"request": [], "response": [hook]}
    return client


def report():
    if not _counts:
        return
    told = ", ".join(f"{n} {name}" for name, n in sorted(_counts.items()))
    if not os.path.exists(PATH):
        tap.skip("every body and event is OpenAI's shape", "shared/openai/schemas.json is not there")
    else:
        tap.ok(not _wrong, f"every body and event is OpenAI's shape: {told}", *_wrong[:40])


tap.at_end(report)
