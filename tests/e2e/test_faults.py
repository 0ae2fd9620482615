"""Faults while requests are being served: after each no slot or page is lost, nothing leaks, and answers are what they were before."""
import collections
import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

import fcgi_client as fcgi
from program import Program
from stack import SMOLLM2, TOP, RawStream, Stack, alive, in_threads, wait_until
import tap

TINY = os.path.join(TOP, "tests", "data", "gguf", "qwen3-Q8_0.gguf")     # of random weights, and fast under the sanitizers
PROMPTS = [f"Tell me about the number {i}." for i in range(4)]
CLIENTS = 6
TORN = re.compile(r"[0-9T:.Z-]{1,24}( [a-z]{0,5} ?)?$")     # the beginning of one that found no more room
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warn|error) \S+")


def chat(i, **more):
    return dict({"model": "primary", "temperature": 0, "max_tokens": 12, "ignore_eos": True,
                 "messages": [{"role": "user", "content": PROMPTS[i % len(PROMPTS)]}]}, **more)


def story(**more):
    return chat(0, max_tokens=4000, stream=True, **more)


def text_of(answer):
    """What a buffered answer says; None where it is an error that says so, or no answer at all."""
    if answer.status == 200:
        return answer.json()["choices"][0]["message"]["content"]
    if answer.status:
        answer.json()["error"]["message"]
    return None


def text_of_stream(data):
    """The same of a stream: None where it did not say that it is whole."""
    body = data.partition(b"\r\n\r\n")[2]
    if b"data: [DONE]" not in body:
        return None
    return "".join(c["delta"].get("content") or "" for line in re.findall(rb"data: (\{.*\})", body)
                   for c in json.loads(line).get("choices", []))


def whole(stream):
    try:
        while stream.read_some():
            pass
    except OSError:
        pass
    stream.close()
    return stream.data


def texts(s):
    """Through the web server, one after the other."""
    return [text_of(s.request("POST", "/v1/chat/completions", chat(i))) for i in range(len(PROMPTS))]


class Load:
    """Clients that ask again and again while something happens: buffered and streamed, in turn."""

    def __init__(self, s, expected, n=CLIENTS):
        self.s, self.expected, self.over, self.seen, self.wrong = s, expected, False, collections.Counter(), []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(n)]

    def ask(self, i):
        try:
            if i % 2:
                return text_of(self.s.request("POST", "/v1/chat/completions", chat(i)))
            return text_of_stream(whole(RawStream(self.s, chat(i, stream=True))))
        except (OSError, http.client.HTTPException):
            return None

    def run(self, i):
        while not self.over:
            try:
                text = self.ask(i)
            except Exception as e:
                text = repr(e)
            with self.lock:
                good = text == self.expected[i % len(PROMPTS)]
                self.seen["right" if good else "failed" if text is None else "wrong"] += 1
                if text is not None and not good:
                    self.wrong.append(text)
            if text is None:
                time.sleep(0.02)
            i += len(PROMPTS) + 1     # another prompt, and the other kind

    def __enter__(self):
        for t in self.threads:
            t.start()
        self.goes_on()
        return self

    def __exit__(self, *exc):
        self.over = True
        for t in self.threads:
            t.join()

    def goes_on(self, n=CLIENTS):
        """So many more right answers."""
        before = self.seen["right"]
        return wait_until(lambda: self.seen["right"] >= before + n, 120)

    def fails(self, n=1):
        before = self.seen["failed"]
        return wait_until(lambda: self.seen["failed"] >= before + n, 60)


def model_status(s):
    return fcgi.request(s.socket, "GET", "/health").json()["models"][0]


def is_settled(s, expected, load, name):
    """Nothing runs or waits, no page is taken, every answer was right, and so are the next."""
    idle = wait_until(lambda: all(model_status(s)[k] == 0 for k in ("running", "waiting", "kv_pages_used")), 60)
    tap.ok(idle, f"{name}: no slot and no page is lost", model_status(s))
    if load:
        tap.equal(load.wrong[:3], [], f"{name}: no answer of {load.seen['right']} under load was wrong ({load.seen['failed']} failed)")
    tap.equal(texts(s), expected, f"{name}: answers are as before")


def children(pid):
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if int(open(f"/proc/{name}/stat").read().rsplit(")", 1)[1].split()[1]) == pid:
                    found.append(int(name))
            except OSError:
                pass
    return found


def program_killed(s, expected):
    name = f"{s.server}: SIGKILL of the program"
    with Load(s, expected) as load:
        os.kill(s.pid, signal.SIGKILL)
        wait_until(lambda: not alive(s.pid), 10)
        tap.ok(load.fails(CLIENTS), f"{name}: requests fail", load.seen)
        a = s.request("POST", "/v1/chat/completions", chat(0))
        tap.ok(a.status in (500, 502, 503) and a.json()["error"]["code"], f"{name}: the web server says so, as JSON ({a.status})", a.body)
        s.spawn()
        s.wait_ready()
        tap.ok(load.goes_on(), f"{name}: respawned, it serves")
    is_settled(s, expected, load, name)


def web_server_killed(s, expected):
    name = f"{s.server}: SIGKILL of the web server"
    streams = [RawStream(s, story()) for _ in range(2)]     # of four slots
    for x in streams:
        x.wait_for(b'"delta":{"content":"')
    with Load(s, expected) as load:
        for pid in [s.server_pid] + children(s.server_pid):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not alive(s.server_pid), 10)
        tap.ok(load.fails(CLIENTS), f"{name}: clients notice")
        idle = wait_until(lambda: model_status(s)["running"] == 0, 60)
        tap.ok(idle, f"{name}: what ran for them ends", model_status(s))
        os.unlink(os.path.join(s.dir, s.server + ".pid"))
        s.start_server()
        tap.ok(load.goes_on(), f"{name}: started again, it serves")
    for x in streams:
        x.close()
    is_settled(s, expected, load, name)


def no_descriptors(s, expected):
    name = f"{s.server}: no descriptors left"
    limit = resource.prlimit(s.pid, resource.RLIMIT_NOFILE)
    at_rest = max(f for f in map(int, os.listdir(f"/proc/{s.pid}/fd")) if f < 1000)     # above them, the socket that listens
    with Load(s, expected) as load:
        resource.prlimit(s.pid, resource.RLIMIT_NOFILE, (at_rest + 4, limit[1]))     # three connections
        idle = [fcgi.connect(s.socket) for _ in range(20)]
        tap.ok(load.goes_on(), f"{name}: those there are room for are served", load.seen)
        os.kill(s.pid, signal.SIGHUP)     # which reads files
        tap.ok(wait_until(lambda: " reload " in s.read_log(), 60), f"{name}: SIGHUP is answered in the log", s.read_log()[-500:])
        resource.prlimit(s.pid, resource.RLIMIT_NOFILE, limit)
        for x in idle:
            x.close()
        tap.ok(load.goes_on(), f"{name}: then all are again")
    is_settled(s, expected, load, name)


def bad_client(s, how, i):
    """One that does not behave; returns when it has done so."""
    data = json.dumps(chat(i, max_tokens=200, stream=bool(i % 2))).encode()
    head = (f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\n\r\n").encode()
    with socket.create_connection(("127.0.0.1", s.port), timeout=60) as c:
        if how == "trickles":
            for byte in (head + data)[:60]:
                c.sendall(bytes([byte]))
                time.sleep(0.002)
        elif how == "stops in the body":
            c.sendall(head + data[:20])
            time.sleep(0.2)
        else:
            c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            c.sendall(head + data)
        if how == "stalls":             # reads nothing
            time.sleep(1)
        elif how == "half-closes":
            c.shutdown(socket.SHUT_WR)
            time.sleep(0.3)
        elif how == "resets":
            time.sleep(0.02 * i)        # at different moments of the answer
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def bad_clients(s, expected):
    hows = ["trickles", "stops in the body", "stalls", "half-closes", "resets"]
    with Load(s, expected, 2) as load:
        ends = in_threads([lambda how=how, i=i: bad_client(s, how, i) for i in range(6) for how in hows])
        bad = [e for e in ends if isinstance(e, Exception) and not isinstance(e, OSError)]
        tap.ok(not bad and load.goes_on(2), f"{s.server}: others are served among clients that trickle, stop, stall, half-close and reset", bad)
    is_settled(s, expected, load, f"{s.server}: bad clients")


def full_log(s, expected):
    """A file that must not grow: the same to the program as a disk that is full."""
    name = f"{s.server}: a full disk for logs"
    with Load(s, expected) as load:
        limit = resource.prlimit(s.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(s.pid, resource.RLIMIT_FSIZE, (os.path.getsize(s.log) + 50, limit[1]))
        tap.ok(load.goes_on(2 * CLIENTS), f"{name}: requests are answered", load.seen)
        resource.prlimit(s.pid, resource.RLIMIT_FSIZE, limit)
        said = re.compile(r"[0-9]+ lines before the last one could not be written")
        tap.ok(wait_until(lambda: said.search(s.read_log()), 60), f"{name}: when there is room again, the log says how many lines are lost",
               s.read_log()[-500:])
    odd = [line for line in s.read_log().splitlines() if not LINE.match(line)]
    tap.ok(len(odd) <= 1 and all(map(TORN.match, odd)), f"{name}: every line is one of its own", odd)
    is_settled(s, expected, load, name)


def device_full():
    with Program("--access-log", "/dev/full", "--log", "/dev/full", model=TINY) as p:
        answers = [p.post(chat(i)) for i in range(4)]
        tap.equal([a.status for a in answers], [200] * 4, "a log on a device that is full: requests are answered")
        p.process.terminate()
        tap.equal(p.process.wait(60), 0, "and the program ends as ever")


def full_tmpfs():
    folder = tempfile.mkdtemp(prefix="airstrip-full-")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", folder], capture_output=True, text=True, check=False)
    try:
        if done.returncode:
            tap.skip("a file system that is full", "none can be mounted: " + done.stderr.strip())
            return
        log, access, filler = (os.path.join(folder, n) for n in ("log", "access", "filler"))
        with Program("--access-log", access, "--log", log, model=TINY) as p:
            try:
                with open(filler, "wb", buffering=0) as f:
                    while f.write(b"x" * 4096):
                        pass
            except OSError:
                pass
            lines = len(open(log).read().splitlines())
            answers = [p.post(chat(i)) for i in range(40)]
            tap.equal({a.status for a in answers}, {200}, "a file system that is full: requests are answered")
            os.unlink(filler)
            p.post(chat(0))
            tap.ok(wait_until(lambda: open(log).read().count("could not be written") == 2, 20), "the log tells of both logs' lost lines",
                   open(log).read()[-600:])
            after = open(log).read().splitlines()
            odd = [line for line in after if not LINE.match(line)]
            tap.ok(len(odd) <= 1 and all(map(TORN.match, odd)) and len(after) > lines, "every line is one of its own", odd)
    finally:
        if not done.returncode:
            subprocess.run(["umount", "-l", folder], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def model_cut_short():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        model = os.path.join(folder, "model.gguf")
        shutil.copy(TINY, model)
        with Stack("nginx", model=model, sanitized=True, options=["--max-batch-size", "4"]) as s:
            expected = texts(s)
            name = "a model file cut short"
            with Load(s, expected) as load:
                os.truncate(model, 4096)
                # rows of the embedding are read where the file is mapped
                a = s.request("POST", "/v1/completions", {"model": "primary", "prompt": [600, 650, 700], "max_tokens": 4})
                tap.ok(a.status == 500 and load.fails(CLIENTS), f"{name}: requests fail", a.status, load.seen)
                tap.ok(alive(s.pid) and b"cut short" in s.request("GET", "/readyz").body, f"{name}: the program lives, /readyz says why")
                shutil.copy(TINY, model)
                os.kill(s.pid, signal.SIGHUP)
                tap.ok(load.goes_on(), f"{name}: put back, and SIGHUP: it serves", s.read_log()[-500:])
            is_settled(s, expected, load, name)
            end_clean(s, name)


def end_clean(s, name):
    tap.ok(s.stop_program(), f"{name}: at SIGTERM it ends")
    tap.equal(s.sanitizer_reports(), "", f"{name}: nothing leaks, the sanitizers find nothing")


def on_server(server, model, sanitized, tests):
    with Stack(server, model=model, sanitized=sanitized, options=["--max-batch-size", "4", "--write-timeout", "5"]) as s:
        expected = texts(s)
        tap.ok(all(expected), f"{server}: answers before")
        for test in tests:
            tap.attempt(test, s, expected)
        end_clean(s, server)


KILLED = [program_killed, web_server_killed, bad_clients]
if SMOLLM2:
    tap.attempt(on_server, "lighttpd", SMOLLM2, False, KILLED)
else:
    tap.skip("faults with a real model", "AIRSTRIP_SMOLLM2 is not set")
tap.attempt(on_server, "nginx", TINY, True, KILLED + [no_descriptors, full_log])
for each in (device_full, full_tmpfs, model_cut_short):
    tap.attempt(each)
tap.done()
