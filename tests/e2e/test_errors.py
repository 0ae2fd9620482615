"""complaint 12: each kind of error has its status, OpenAI's body and JSON as its type, through every web server, buffered and streamed alike."""
import json
import os
import subprocess
import tempfile

from program import Program, endless
from stack import SMOLLM2, Answer, Stack, check_schema, free_port, key_line, wait_until
from webservers import KNOWN, WebServer, missing
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


class Front(WebServer):
    """A web server before a program."""

    def __init__(self, name, folder, p):
        super().__init__(name, folder, free_port(), changes=[("/run/airstrip/airstrip.sock", p.socket)])

    def request(self, method, path, body=None, headers=None):
        return Stack.request(self, method, path, body, headers)

    def upload(self, path, body, headers):
        """By curl, which reads an answer that comes before all was sent."""
        where = os.path.join(self.dir, "body")
        with open(where, "w") as f:
            json.dump(body, f)
        options = [x for k, v in headers.items() for x in ("-H", f"{k}: {v}")]
        done = subprocess.run(["curl", "-s", "-i", "-X", "POST", "-H", "Expect:", "-H", "Content-Type: application/json", *options, "-T", where, self.url + path],
                              capture_output=True, timeout=120)
        head, _, data = done.stdout.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1]) if " " in lines[0] else 0
        return Answer(status, {k.title(): v for k, _, v in (line.partition(": ") for line in lines[1:])}, data)


def check(web, title, answer, status, kind, code, header):
    title = f"complaint 12, {web.name}: {title}"
    if not tap.equal((answer.status, answer.headers.get("Content-Type")), (status, "application/json"), f"{title} is {status}, as JSON",
                     answer.body[:300]):
        return
    error = answer.json()["error"]
    tap.equal((sorted(error), error["type"], error["code"]), (["code", "message", "param", "type"], kind, code), f"{title}: its body", error)
    check_schema("ErrorResponse", answer.json(), f"{title}: OpenAI's shape")
    if header:
        tap.ok(answer.headers.get(header), f"{title}: with {header}", dict(answer.headers))


def rows(p, web):
    p.post(chat(), key=KEYS["slow"])     # the one that is allowed in a minute
    for title, path, body, key, status, kind, code, header in ROWS:
        for stream in (False, True):
            sent = body if isinstance(body, bytes) else dict(body, stream=stream)
            headers = bearer(key) if key else {}
            answer = web.upload(path, sent, headers) if status == 413 else web.request("POST", path, sent, headers)
            check(web, f"{title}, stream {stream}", answer, status, kind, code, header)


def bearer(name):
    return {"Authorization": "Bearer " + KEYS[name]}


def shutting_down(p, webs):
    held = p.stream(endless())
    held.wait_for(b'"delta":{"content":"')
    p.process.terminate()
    wait_until(lambda: p.get("/readyz").status == 503, 20)  # it has heard of it
    for web in webs:
        for stream in (False, True):
            check(web, f"a server that ends, stream {stream}", web.request("POST", CHAT, chat(stream=stream)), 503, "server_error", "shutting_down",
                  "Retry-After")
    held.close()


def fronts(folder, p):
    """Every web server there is, before one program."""
    webs = []
    for name in [n for n, known in KNOWN.items() if not known[3]]:
        if missing(name):
            tap.skip(f"complaint 12, {name}", missing(name))
            continue
        home = os.path.join(folder, name)
        os.mkdir(home)
        web = Front(name, home, p)
        try:
            web.start()
            webs.append(web)
        except Exception as e:
            tap.ok(False, f"{name} starts", e)
    for web in webs:
        tap.ok(wait_until(lambda: web.request("GET", "/readyz").status == 200, 60), f"{web.name} starts")
    return webs


def main():
    if not SMOLLM2:
        tap.skip("complaint 12", "AIRSTRIP_SMOLLM2 is not set")
        tap.done()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        keys = os.path.join(folder, "keys")
        with open(keys, "w") as f:
            f.write(key_line("all", KEYS["all"]) + key_line("other", KEYS["other"], "models=none-of-ours") +
                    key_line("slow", KEYS["slow"], "requests_per_minute=1"))
        for options, run in ((["--max-sequence-length", "2048", "--api-keys", keys], lambda p, webs: [tap.attempt(rows, p, web) for web in webs]),
                             ([], lambda p, webs: tap.attempt(shutting_down, p, webs))):
            with Program("--listen-mode", "0666", *options) as p, tempfile.TemporaryDirectory() as homes:
                os.chmod(homes, 0o755)
                webs = fronts(homes, p)
                try:
                    run(p, webs)
                finally:
                    for web in webs:
                        web.stop()
    tap.done()


if __name__ == "__main__":
    main()
