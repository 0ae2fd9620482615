"""complaint 12: each kind of error has its status, OpenAI's body and JSON as its type, through every web server, buffered and streamed alike."""
import os
import signal
import tempfile

from stack import wait_until, SERVERS, RawStream, Stack, check_schema, key_line
import tap

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
KEYS = {name: f"a-key-for-{name}-0123456789abcdef" for name in ("all", "other", "slow")}


def chat(**more):
    return dict({"model": "primary", "messages": [{"role": "user", "content": "Hi!"}], "max_tokens": 2}, **more)


def response(**more):
    return dict({"model": "primary", "input": "Hi!", "max_output_tokens": 2}, **more)


LONG = "word " * 4000
# title, path, body, key, status, type, code, header that must be there
ROWS = [
    ("no JSON", CHAT, b"{", "all", 400, "invalid_request_error", None, None),
    ("a value out of range", CHAT, chat(temperature=9), "all", 400, "invalid_request_error", None, None),
    ("what is not supported", RESPONSES, response(background=True), "all", 400, "invalid_request_error", "unsupported_value", None),
    ("a prompt that is too long", CHAT, chat(messages=[{"role": "user", "content": LONG}]), "all", 400, "invalid_request_error",
     "context_length_exceeded", None),
    ("a long input", RESPONSES, response(input=LONG), "all", 400, "invalid_request_error", "context_length_exceeded", None),
    ("no key", CHAT, chat(), None, 401, "invalid_request_error", "invalid_api_key", "WWW-Authenticate"),
    ("a key for another model", CHAT, chat(), "other", 403, "invalid_request_error", "permission_denied", None),
    ("an unknown model", CHAT, chat(model="gpt-99"), "all", 404, "invalid_request_error", "model_not_found", None),
    ("an unknown path", "/v1/chat/completion", chat(), "all", 404, "invalid_request_error", "not_found", None),
    ("a wrong method", "/v1/models", chat(), "all", 405, "invalid_request_error", "method_not_allowed", "Allow"),
    ("a body that is too large", CHAT, chat(user="x" * (17 << 20)), "all", 413, "invalid_request_error", "request_too_large", None),
    ("a key's limit", CHAT, chat(), "slow", 429, "rate_limit_error", "rate_limit_exceeded", "Retry-After"),
]


def check(s, title, answer, status, kind, code, header):
    title = f"complaint 12, {s.server}: {title}"
    if not tap.equal((answer.status, answer.headers.get("Content-Type")), (status, "application/json"), f"{title} is {status}, as JSON",
                     answer.body[:300]):
        return
    error = answer.json()["error"]
    tap.equal((sorted(error), error["type"], error["code"]), (["code", "message", "param", "type"], kind, code), f"{title}: its body", error)
    check_schema("ErrorResponse", answer.json(), f"{title}: OpenAI's shape")
    if header:
        tap.ok(answer.headers.get(header), f"{title}: with {header}", dict(answer.headers))


def rows(s):
    s.request("POST", CHAT, chat(), bearer("slow"))     # the one that is allowed in a minute
    for title, path, body, key, status, kind, code, header in ROWS:
        for stream in (False, True):
            sent = body if isinstance(body, bytes) else dict(body, stream=stream)
            answer = s.request("POST", path, sent, bearer(key) if key else {})
            check(s, f"{title}, stream {stream}", answer, status, kind, code, header)


def bearer(name):
    return {"Authorization": "Bearer " + KEYS[name]}


def shutting_down(s):
    raw = RawStream(s, chat(stream=True, max_tokens=1500, ignore_eos=True))
    raw.wait_for(b'"content":"')
    os.kill(s.pid, signal.SIGTERM)
    wait_until(lambda: s.request("GET", "/readyz").status == 503, 20)  # it has heard of it
    for stream in (False, True):
        check(s, f"a server that ends, stream {stream}", s.request("POST", CHAT, chat(stream=stream)), 503, "server_error", "shutting_down",
              "Retry-After")
    raw.close()


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        keys = os.path.join(folder, "keys")
        with open(keys, "w") as f:
            f.write(key_line("all", KEYS["all"]) + key_line("other", KEYS["other"], "models=none-of-ours") +
                    key_line("slow", KEYS["slow"], "requests_per_minute=1"))
        for server in SERVERS:
            with Stack(server, options=["--max-sequence-length", "2048", "--api-keys", keys]) as s:
                tap.attempt(rows, s)
            with Stack(server) as s:
                tap.attempt(shutting_down, s)
    tap.done()


if __name__ == "__main__":
    main()
