"""Takeoff's doors: the real takeoff-client against two readers in two groups, through the web servers of conf/takeoff from an installed tree;
who may manage, what is there when the doors are shut, requests and changes under the sanitizers, readers that share a group."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request

import fcgi_client as fcgi
from program import Program
from stack import SMOLLM2, TOP, Answer, in_threads, key_line, wait_until
from test_clients import environment
from webservers import WebServer, installed, missing
import tap

MINILM = os.environ.get("AIRSTRIP_MINILM")
TINY = os.path.join(TOP, "tests", "data", "models", "qwen2_window")
ADMIN, GUEST = "sk-admin-0123456789abcdefghijkl", "sk-guest-0123456789abcdefghijkl"
INFERENCE, MANAGEMENT, OPENAI = 3000, 3001, 3003


class Doors(WebServer):
    """A web server with a file of conf/takeoff; each of its three ports is another one."""

    def __init__(self, name, folder, share):
        super().__init__(name, folder, 0, os.path.join(share, "takeoff"))

    def start(self):
        """Somebody else may take a port before the web server does: then with others."""
        for left in (2, 1, 0):
            held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
            self.ports = {port: s.getsockname()[1] for port, s in zip((INFERENCE, MANAGEMENT, OPENAI), held)}
            self.port = self.ports[OPENAI]
            for s in held:
                s.close()
            try:
                return super().start()
            except RuntimeError:
                if not left:
                    raise

    def conf(self):
        return re.sub(r"\b(300[013])\b", lambda m: str(self.ports[int(m[1])]), super().conf())

    def ask(self, door, method, path, body=None, headers=()):
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports[door]}{path}", data, dict(headers), method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as r:
                return Answer(r.status, r.headers, r.read())
        except urllib.error.HTTPError as e:
            return Answer(e.code, e.headers, e.read())


def config(more="", **models):
    return more + "threads = 2\n" + "".join(f"[model {name}]\nmodel = {path}\n{keys}" for name, (path, keys) in models.items())


def program(text, *options, **more):
    """One that a web server's user may connect to."""
    return Program("--listen-mode", "0666", *options, config=text, model=None, **more)


def client_package(share):
    python, why = environment("third")
    if not python or not MINILM:
        tap.skip("takeoff-client", why or "AIRSTRIP_MINILM is not set")
        return
    folder = os.path.join(TOP, "tests", "clients")
    with program(config("takeoff = on\n", writer=(SMOLLM2, "group = primary\nmax_batch_size = 8\n"), vectors=(MINILM, "group = embed\n"))) as p, Doors("lighttpd", p.dir, share) as w:
        os.symlink(p.socket, os.path.join(p.dir, "airstrip.sock"))
        done = subprocess.run([python, os.path.join(folder, "use_takeoff.py"), *(str(w.ports[d]) for d in (INFERENCE, MANAGEMENT, OPENAI)), TINY],
                              capture_output=True, text=True, timeout=400, cwd=p.dir, env=dict(os.environ, PYTHONPATH=folder))
        comments, lines = [], done.stdout.splitlines()
        for line in lines:
            if line.startswith("#"):
                comments.append(line)
            elif line.startswith(("ok ", "not ok ")):
                tap.ok(line.startswith("ok"), "takeoff-client: " + line.split(" - ", 1)[1], *comments)
                comments = []
        tap.ok(lines and lines[-1].startswith("1.."), "takeoff-client came to its end", done.stdout[-1500:], done.stderr[-3000:])
        v = w.ask(INFERENCE, "POST", "/embed", {"text": ["one", "two"], "consumer_group": "embed"}).json()["result"]
        by_openai = w.ask(OPENAI, "POST", "/v1/embeddings", {"input": ["one", "two"], "model": "embed"}).json()["data"]
        tap.equal(v, [d["embedding"] for d in by_openai], "/embed gives the vectors of /v1/embeddings")


class Sanitized:
    """A tiny model of random weights on the sanitized build; ask() goes through a door, straight over FastCGI."""

    def __init__(self, text, *options):
        self.text, self.options = text, options

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="airstrip-takeoff-")
        reports = "log_path=" + os.path.join(self.folder, "sanitizer")
        before = os.environ.get("AIRSTRIP_E2E_SANITIZED")
        os.environ["AIRSTRIP_E2E_SANITIZED"] = "1"
        self.program = Program(*self.options, config=self.text, model=None, folder=self.folder,
                               env={"ASAN_OPTIONS": reports, "UBSAN_OPTIONS": "print_stacktrace=1:" + reports})
        if before is None:
            del os.environ["AIRSTRIP_E2E_SANITIZED"]
        self.program.wait_ready()
        return self

    def __exit__(self, *exc):
        self.program.__exit__(*exc)
        found = [open(os.path.join(self.folder, name), errors="replace").read()[:3000]
                 for name in os.listdir(self.folder) if name.startswith("sanitizer")]
        tap.equal(self.program.process.returncode, 0, "it ends well", self.program.read_log()[-2000:])
        tap.equal(found, [], "the sanitizers found nothing, nothing leaks")
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, door, method, path, body=None, key=None, address="127.0.0.1", headers=(), timeout=120):
        headers = dict(headers, **({"authorization": "Bearer " + key} if key else {}))
        return fcgi.request(self.program.socket, method, path, body, headers, timeout, REMOTE_ADDR=address, AIRSTRIP_DOOR=door)

    def stream(self, body):
        data = json.dumps(body).encode()
        return fcgi.Stream(self.program.socket, fcgi.whole(
            fcgi.variables("POST", "/generate_stream", data, REMOTE_ADDR="127.0.0.1", AIRSTRIP_DOOR="takeoff"), data), 120)


def message(answer):
    return answer.json()["error"]["message"] if answer.body[:1] == b"{" and "error" in answer.json() else answer.body


def shut():
    """Without the switch the parameter means nothing."""
    with Sanitized(config(primary=(TINY, ""))) as s:
        found = [s.ask(door, *what).status for door in (None, "takeoff", "management") for what in
                 (("POST", "/generate", {"text": "x"}), ("GET", "/reader_groups"), ("POST", "/reader", {}), ("DELETE", "/reader/primary"),
                  ("GET", "/healthz"), ("POST", "/tokenize/primary", {"text": "x"}))]
        tap.equal(set(found), {404}, "takeoff = off: no path of Takeoff's is there, whatever the web server says")
        tap.equal([s.ask(d, "GET", "/v1/models").status for d in (None, "takeoff")], [200, 200], "and OpenAI's are")


def doors():
    with Sanitized(config("takeoff = on\n", primary=(TINY, ""))) as s:
        tap.equal([s.ask(d, "POST", "/generate", {"text": "x", "max_new_tokens": 2}).status for d in (None, "takeoff", "management", "other", "")],
                  [404, 200, 404, 404, 404], "/generate is behind its door only")
        tap.equal([s.ask(d, "GET", "/reader_groups").status for d in (None, "takeoff", "management", "Management")], [404, 404, 200, 404],
                  "/reader_groups likewise")
        tap.equal([s.ask(d, "GET", "/v1/models").status for d in (None, "takeoff", "management", "other")], [200, 404, 404, 404],
                  "and OpenAI's API is not behind Takeoff's")
        tap.equal([s.ask("takeoff", "GET", "/healthz").status, s.ask("takeoff", "GET", "/generate").status, s.ask("takeoff", "PUT", "/status").status],
                  [200, 405, 405], "/healthz, and methods that are not answered")
        status = s.ask("takeoff", "GET", "/status").json()
        tap.equal((status["live_readers"]["primary"]["consumer_groups"], status["live_readers"]["primary"]["model_type"], status["dead_readers"]),
                  (["primary"], "qwen2", {}), "/status tells what lives")


def who_may_manage():
    def manage(s, **more):
        return s.ask("management", "GET", "/reader_groups", **more).status
    with Sanitized(config("takeoff = on\ncors_origin = *\n", primary=(TINY, ""))) as s:
        near, far = ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"], ["10.0.0.1", "128.0.0.1", "::2", "127", "", None, "::ffff:10.0.0.1"]
        tap.equal([manage(s, address=a) for a in near], [200] * 4, "without keys: from this machine")
        tap.equal([manage(s, address=a) for a in far], [403] * 7, "and from no other")
        tap.equal([manage(s, headers={"x-forwarded-for": v}) for v in ("127.0.0.1", "10.0.0.1", "127.0.0.1, 10.0.0.1", "10.0.0.1,127.0.0.1")],
                  [200, 403, 403, 403], "a proxy that speaks for somebody elsewhere does not help")
        tap.equal([manage(s, headers={"forwarded": "for=10.0.0.1"}), manage(s, headers={"origin": "http://evil.example"})], [403, 403],
                  "nor does a page in a browser")
        a = s.ask("management", "OPTIONS", "/reader", headers={"origin": "http://evil.example", "access-control-request-method": "DELETE"})
        tap.ok("access-control-allow-origin" not in a.headers, "which is not told that it may ask, whatever cors_origin says", a.headers)
        a = s.ask("management", "DELETE", "/reader/primary", address="10.0.0.1")
        tap.ok(a.status == 403 and "server's own machine" in message(a) and manage(s) == 200, f"the error says why: {message(a)}")
    with tempfile.TemporaryDirectory() as folder:
        keys = os.path.join(folder, "keys")
        with open(keys, "w") as f:
            f.write(key_line("admin", ADMIN, "manage=yes") + key_line("guest", GUEST))
        with Sanitized(config(f"takeoff = on\napi_keys = {keys}\n", primary=(TINY, ""))) as s:
            tap.equal([manage(s, key=k, address=a) for a in ("127.0.0.1", "10.0.0.1") for k in (ADMIN, GUEST, None, "sk-x")],
                      [200, 403, 401, 401] * 2, "with keys: those with manage=yes, from anywhere")
            tap.equal([s.ask("takeoff", "POST", "/generate", {"text": "x", "max_new_tokens": 1}, key=k).status for k in (GUEST, None)], [200, 401],
                      "the inference API takes any key, and asks for one")


def bodies():
    """What is no request gets an error with its reason, and costs nothing."""
    text = {"text": "x", "max_new_tokens": 2}
    cases = [(b"", "found nothing"), (b"{", "not valid JSON"), (b"[]", "expected a JSON object"), ({}, "text: expected a string"),
             ({"text": None}, "text: expected"), ({"text": 5}, "text: expected"), ({"text": ["a", 5]}, "text[1]: expected"),
             ({"text": ["a"] * 1001}, "at most 1000 texts"), ({"text": "a" * 150001}, "at most 150000 bytes"),
             (dict(text, consumer_group=5), "consumer_group: expected a string"), (dict(text, sampling_topp=2), "sampling_topp: expected"),
             (dict(text, repetition_penalty=0), "repetition_penalty: expected"), (dict(text, no_repeat_ngram_size=-1), "no_repeat_ngram_size: expected"),
             (dict(text, prompt_max_tokens=0), "prompt_max_tokens: expected"), (dict(text, regex_string=5), "regex_string: expected"),
             (dict(text, json_schema=[]), "json_schema: expected"), (dict(text, json_schema="{"), "json_schema: not valid JSON"),
             (dict(text, use_chat_template="yes"), "use_chat_template: expected"), (dict(text, return_metadata=1), "return_metadata: expected"),
             (dict(text, constrained_decoding_backend=1), "constrained_decoding_backend: expected"),
             (dict(text, text="x " * 3000), "context length")]
    with Sanitized(config("takeoff = on\n", primary=(TINY, ""))) as s:
        for path in ("/generate", "/generate_stream"):
            for body, words in cases:
                a = s.ask("takeoff", "POST", path, body)
                tap.ok(a.status == 400 and words in message(a), f"{path}: {message(a)}", a.status, a.body[:300])
        for path, body, words in [("/tokenize/primary", {}, "text: expected"), ("/detokenize/primary", {"tokens": 5}, "tokens: expected"),
                                  ("/detokenize/primary", {"tokens": [-1]}, "tokens: expected"), ("/detokenize/primary", {"tokens": [1 << 30]}, "outside"),
                                  ("/chat_template/primary", {}, "inputs: expected"), ("/chat_template/primary", {"inputs": [[]]}, "inputs[0]: expected"),
                                  ("/chat_template/primary", {"inputs": [[{"role": 5}]]}, "inputs[0][0]"), ("/embed", {"text": []}, "text: expected"),
                                  ("/image_generate", {}, "images are not supported")]:
            a = s.ask("takeoff", "POST", path, body)
            tap.ok(a.status == 400 and words in message(a), f"{path}: {message(a)}", a.status, a.body[:300])
        for body, words in [({}, "missing field model_name"), ({"model_name": TINY}, "missing field device"), ({"model_name": TINY, "device": "tpu"}, "device: expected"),
                            ({"model_name": TINY, "device": "api"}, "api (a remote model) is not offered"),
                            ({"model_name": TINY, "device": "cpu", "max_batch_size": "many"}, "max_batch_size: expected"),
                            ({"model_name": TINY, "device": "cpu", "max_batch_size": 1.5}, "max_batch_size: expected"),
                            ({"model_name": TINY, "device": "cpu", "colour": "red"}, '"colour" is no setting'),
                            ({"model_name": TINY, "device": "cpu", "reader_id": "primary"}, "already"),
                            ({"model_name": TINY, "device": "cpu", "reader_id": "a" * 200}, "at most 128 bytes")]:
            a = s.ask("management", "POST", "/reader", body)
            tap.ok(a.status == 400 and words in message(a), f"/reader: {message(a)}", a.status, a.body[:300])
        tap.equal(list(s.ask("management", "GET", "/reader_groups").json()), ["primary"], "nothing was added by any of them")
        a = s.ask("takeoff", "POST", "/generate", dict(text, text="x " * 3000, prompt_max_tokens=5, return_metadata=True))
        tap.equal((a.status, a.json()["metadata"]["prompt_tokens"]), (200, 5), "what prompt_max_tokens cuts may be longer than the context")


def changes():
    """Under streams and under each other: added, found wanting, removed, all of them gone and back again."""
    reader = {"model_name": TINY, "device": "cpu", "backend": "fast", "batch_duration_millis": 50, "quant_type": None}
    asked = {"text": ["a b c", "c d e"], "max_new_tokens": 200, "min_new_tokens": 200, "return_metadata": True}
    with tempfile.TemporaryDirectory() as folder, Sanitized(config("takeoff = on\n", primary=(TINY, ""))) as s:
        broken = os.path.join(folder, "broken")
        shutil.copytree(TINY, broken)
        os.truncate(os.path.join(broken, "model.safetensors"), 1000)
        whole = s.ask("takeoff", "POST", "/generate", asked).json()
        stream = s.stream(asked)
        stream.wait_for(b"batch_id")
        answers = in_threads([lambda i=i: s.ask("management", "POST", "/reader", dict(reader, consumer_group=f"g{i % 3}", reader_id=f"r{i}"))
                              for i in range(6)] + [lambda: s.ask("management", "POST", "/reader", dict(reader, model_name=broken))] * 2)
        tap.equal([a.status for a in answers[:6]], [201] * 6, "six readers are added at the same time", *(a.body for a in answers))
        tap.ok(all(a.status >= 400 for a in answers[6:]), "one whose file is broken is not, and it is said why", *(a.body for a in answers[6:]))
        groups = {g: sorted(r["reader_id"] for r in list) for g, list in s.ask("management", "GET", "/reader_groups").json().items()}
        tap.equal(groups, {"primary": ["primary"], "g0": ["r0", "r3"], "g1": ["r1", "r4"], "g2": ["r2", "r5"]}, "the groups are as they were asked for")
        models = [m["id"] for m in s.ask(None, "GET", "/v1/models").json()["data"]]
        tap.equal(sorted(models), ["g0", "g1", "g2", "primary"], "/v1/models lists each group once")
        for _ in range(4):
            s.ask("takeoff", "POST", "/generate", {"text": "x", "max_new_tokens": 2, "consumer_group": "g0"})
        metrics = s.ask(None, "GET", "/metrics").body.decode()
        ended = {r: int(n) for r, n in re.findall(r'vllm:request_success_total\{model_name="g0",reader="(r\d)",finished_reason="length"\} (\d+)', metrics)}
        tap.ok(sum(ended.values()) == 4 and min(ended["r0"], ended["r3"]) > 0, "readers of a group share its requests", ended)

        gone = in_threads([lambda i=i: s.ask("management", "DELETE", f"/reader/r{i}") for i in range(6)] +
                          [lambda: s.ask("takeoff", "POST", "/generate", asked)] * 2)
        tap.equal([a.status for a in gone], [200] * 8, "all are removed again while others ask", *(a.body for a in gone))
        tap.equal([a.json()["text"] for a in gone[6:]], [whole["text"]] * 2, "whose answers are what they were")
        tap.equal(s.ask("management", "DELETE", "/reader/primary").status, 200, "the last one too, from under its stream")
        a = s.ask("takeoff", "POST", "/generate", asked)
        tap.ok(a.status == 404 and s.ask("takeoff", "GET", "/healthz").status == 503, "then there is nobody to ask", a.body)
        text, told = ["", ""], stream.finish().body.decode()
        for e in re.findall(r"(?m)^data: (\{\"text\".*)", told):
            text[json.loads(e)["batch_id"]] += json.loads(e)["text"]
        tap.ok(text == whole["text"] and told.count("event: metadata") == 1, "the stream is whole", told[-500:])
        again = s.ask("management", "POST", "/reader", reader)
        tap.equal((again.status, again.json()["reader_id"]), (201, "primary"), "and the model comes back")
        tap.equal(s.ask("takeoff", "POST", "/generate", asked).json()["text"], whole["text"], "with the same answer")
        s.ask("management", "POST", "/reader", dict(reader, consumer_group="g0"))
        s.program.signal()
        tap.ok(wait_until(lambda: s.program.log_lines("reload"), 60) and
               list(s.ask("management", "GET", "/reader_groups").json()) == ["primary"], "SIGHUP: the file counts again, not what was added")


def ending():
    """SIGTERM while readers are loading: whoever waits for one hears of it, and the program ends."""
    with Sanitized(config("takeoff = on\n", primary=(TINY, ""))) as s:
        answers = []
        body = {"model_name": SMOLLM2, "device": "cpu", "max_sequence_length": 256}
        asking = [threading.Thread(target=lambda: answers.append(s.ask("management", "POST", "/reader", body))) for _ in range(3)]
        for t in asking:
            t.start()
        wait_until(lambda: answers or s.ask(None, "GET", "/status?full&json").body.count(b'"/reader"') == 3, 60)
        s.program.signal(signal.SIGTERM)
        for t in asking:
            t.join()
        tap.ok(set(a.status for a in answers) <= {201, 503} and s.program.process.wait(120) == 0,
               "at the program's end each change is made or refused", [(a.status, a.body) for a in answers])


def through(name, share):
    """Each web server marks its ports, and only those."""
    why = missing(name)
    if why:
        tap.skip(name, why)
        return
    with program(config("takeoff = on\n", primary=(TINY, ""))) as p, Doors(name, p.dir, share) as w:
        os.symlink(p.socket, os.path.join(p.dir, "airstrip.sock"))
        found = [w.ask(door, *what).status for what in (("POST", "/generate", {"text": "x", "max_new_tokens": 2}), ("GET", "/reader_groups"), ("GET", "/v1/models"))
                 for door in (INFERENCE, MANAGEMENT, OPENAI)]
        tap.equal(found, [200, 404, 404, 404, 200, 404, 404, 404, 200], f"{name}: each port answers its own API")
        made = w.ask(MANAGEMENT, "POST", "/reader", {"model_name": TINY, "device": "cpu", "consumer_group": "org/b"})
        a = w.ask(INFERENCE, "POST", "/tokenize/org/b", {"text": "x"})
        gone = w.ask(MANAGEMENT, "DELETE", "/reader/org/b")
        tap.equal((made.status, a.status, gone.status), (201, 200, 200), f"{name}: a reader comes and goes", made.body, a.body, gone.body)
        spoofed = [w.ask(OPENAI, "GET", "/reader_groups", headers={h: "management"}).status for h in ("AIRSTRIP_DOOR", "Airstrip-Door")]
        tap.equal(spoofed, [404, 404], f"{name}: a client cannot open a door")
        a = w.ask(MANAGEMENT, "GET", "/reader_groups", headers={"X-Forwarded-For": "10.0.0.1"})
        tap.equal(a.status, 200 if name == "caddy" else 403, f"{name}: nobody elsewhere manages (Caddy says itself who asked)", a.body)


def main():
    for part in (shut, doors, who_may_manage, bodies, changes, ending):
        tap.attempt(part)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        share, _ = installed(os.environ["AIRSTRIP_PLAIN"], folder)
        for name in ("lighttpd", "nginx", "apache", "haproxy", "caddy"):
            tap.attempt(through, name, share)
        tap.attempt(client_package, share)
    tap.done()


if __name__ == "__main__":
    main()
