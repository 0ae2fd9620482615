"""The program itself over its FastCGI socket: many, slow, idle, broken and leaving peers, sockets, signals."""
import json
import os
import random
import signal
import socket
import struct
import subprocess
import tempfile
import time

import fcgi_client as fcgi
from program import chat, endless
from stack import SMOLLM2, free_port, in_threads, key_line, program, wait_until
import tap

LONG = "The quick brown fox jumps over the lazy dog. " * 560      # some 6,000 tokens of prompt


class Program:
    """airstrip on a Unix socket of its own, or wherever `listen` says."""

    def __init__(self, *options, listen=None, env=None, **popen):
        self.dir = tempfile.mkdtemp(prefix="airstrip-fcgi-")
        self.socket = os.path.join(self.dir, "airstrip.sock")
        self.log = os.path.join(self.dir, "log")
        where = [] if listen is False else ["--listen", listen or self.socket]
        self.process = subprocess.Popen(
            [program(sanitized=bool(os.environ.get("AIRSTRIP_E2E_SANITIZED"))), "--model", SMOLLM2, "--log", self.log,
             "--config", "/dev/null"] + where + list(options),
            env=dict(os.environ, **(env or {})), stderr=subprocess.PIPE, **dict({"stdin": subprocess.DEVNULL}, **popen))

    def __enter__(self):
        if not wait_until(lambda: os.path.exists(self.socket) or self.process.poll() is not None, 20):
            raise RuntimeError("no socket")
        if not wait_until(lambda: self.ready() or self.process.poll() is not None, 120, 0.05) or self.process.poll() is not None:
            raise RuntimeError("not ready: " + self.read_log())
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        subprocess.run(["rm", "-rf", self.dir], check=False)

    def ready(self, address=None):
        try:
            return fcgi.request(address or self.socket, "GET", "/readyz").status == 200
        except OSError:
            return False

    def health(self):
        return fcgi.request(self.socket, "GET", "/health").json()["models"][0]

    def read_log(self):
        return open(self.log).read() if os.path.exists(self.log) else ""


def post(p, body, **more):
    return fcgi.request(p.socket, "POST", "/v1/chat/completions", body, **more)


def open_stream(p, body, flags=0):
    data = json.dumps(body).encode()
    return fcgi.Stream(p.socket, fcgi.whole(fcgi.variables("POST", "/v1/chat/completions", data), data, flags=flags))


def answers(p):
    a = post(p, chat(), headers={"x-request-id": "id-7"})
    tap.ok(a.status == 200 and a.ended and a.json()["usage"]["completion_tokens"] == 4, "a chat is answered", a.body)
    tap.equal((a.headers["content-length"], a.headers["x-request-id"]), (str(len(a.body)), "id-7"), "with length and id")
    a = fcgi.request(p.socket, "HEAD", "/v1/models")
    tap.ok(a.status == 200 and a.body == b"" and int(a.headers["content-length"]) > 0, "HEAD: headers only", a.headers)
    for method, path, status, allow in (("GET", "/nowhere", 404, None), ("GET", "/v1/chat/completions", 405, "POST, OPTIONS"),
                                        ("OPTIONS", "/v1/chat/completions", 204, "POST, OPTIONS"),
                                        ("GET", "/%zz", 400, None)):
        a = fcgi.request(p.socket, method, path)
        tap.equal((a.status, a.headers.get("allow")), (status, allow), f"{method} {path}: {status}")
    a = fcgi.request(p.socket, "GET", None, SCRIPT_NAME="/v1", PATH_INFO="/models")
    tap.equal(a.status, 200, "SCRIPT_NAME and PATH_INFO do where REQUEST_URI is missing")
    a = fcgi.request(p.socket, "GET", "/readyz", role=fcgi.AUTHORIZER)
    tap.equal(a.status, 400, "another role than responder is refused")
    a = fcgi.request(p.socket, "GET", "/readyz", flags=fcgi.KEEP_CONN)
    tap.equal((a.status, a.ended), (200, True), "a connection that wants to be kept is answered")


def bodies(p):
    tap.equal(post(p, chat(), CONTENT_LENGTH=None).status, 200, "a body without a length")
    tap.equal(post(p, chat(), CONTENT_LENGTH="-1").status, 200, "a body of length -1, as Caddy says")
    tap.equal(post(p, chat(), CONTENT_LENGTH="5").status, 400, "a body of another length than was said")
    big = post(p, b"x" * 300000)
    tap.equal((big.status, big.json()["error"]["code"]), (413, "request_too_large"), "a body over the limit")
    tap.equal(post(p, b"x" * 300000, CONTENT_LENGTH=None).status, 413, "and one that does not say so before")
    data = json.dumps(chat()).encode()
    raw = fcgi.begin() + fcgi.stream(fcgi.PARAMS, fcgi.pairs(fcgi.variables("POST", "/v1/chat/completions", data)))
    s = fcgi.Stream(p.socket, raw)
    for i in range(0, len(data), 10):      # a byte here, a byte there
        s.sock.sendall(fcgi.record(fcgi.STDIN, data[i:i + 10]))
        time.sleep(0.005)
    s.sock.sendall(fcgi.record(fcgi.STDIN))
    tap.equal(s.finish().status, 200, "a body in many small records")
    s = fcgi.Stream(p.socket, raw + fcgi.record(fcgi.STDIN, data[:20]))
    start = time.monotonic()
    a = s.finish()
    tap.ok(a.status == 400 and time.monotonic() - start < 5, "a body that stalls is a 400 after read_timeout", a.status)


def broken_peers(p):
    """None of them may stop the others from being served."""
    random.seed(7)
    v = fcgi.pairs(fcgi.variables("GET", "/readyz"))
    cases = [b"", b"\x01", random.randbytes(8), random.randbytes(5000), b"GET / HTTP/1.1\r\n\r\n",
             fcgi.begin(), fcgi.begin()[:9], fcgi.begin() + fcgi.record(fcgi.PARAMS, v[:10]),
             fcgi.begin() + fcgi.record(fcgi.PARAMS, v), fcgi.begin() * 50, fcgi.record(fcgi.STDIN, b"x"),
             fcgi.begin() + fcgi.record(fcgi.PARAMS, struct.pack(">II", 0xffffffff, 0xffffffff) + b"ab"),
             fcgi.begin() + fcgi.record(fcgi.PARAMS, b"\x05\x7f" + b"short") + fcgi.record(fcgi.PARAMS),
             fcgi.record(9, b"\x0eFCGI_MAX_CONNS\x00", 0), fcgi.begin() + fcgi.record(fcgi.ABORT)]
    socks = []
    for data in cases * 4:
        s = fcgi.connect(p.socket, 10)
        s.sendall(data)
        socks.append(s)
    for s in socks[::2]:
        s.close()
    start = time.monotonic()
    tap.equal(post(p, chat()).status, 200, f"{len(socks)} broken peers do not hold up a request")
    tap.ok(time.monotonic() - start < 5, "which is answered soon")

    def is_dropped(s):
        try:
            while s.recv(4096):
                pass
            return True
        except TimeoutError:
            return False
        except OSError:
            return True
    tap.ok(all(is_dropped(s) for s in socks[1::2]), "idle and broken connections are dropped after read_timeout")
    for s in socks:
        s.close()


def three_hundred_at_once(p):
    results = in_threads([lambda i=i: post(p, chat(max_tokens=2, stream=i % 2 == 0), timeout=120) for i in range(300)])
    bad = [r for r in results if isinstance(r, Exception) or r.status != 200 or not r.ended]
    tap.ok(not bad, "300 requests at once are all answered", *bad[:3])
    done = [r for r in results if not isinstance(r, Exception)]
    tap.equal(sum(r.body.endswith(b"data: [DONE]\n\n") for r in done), 150, "150 of them streamed to the end")


def freed(p, name):
    start = time.monotonic()
    good = wait_until(lambda: (p.health()["running"], p.health()["waiting"]) == (0, 0), 5)
    took = time.monotonic() - start
    tap.ok(good, f"left {name}: the slot is free after {took:.2f} s", p.health())


def leaving(p):
    for name, body, sign in (("while streaming", endless(stream=True), b'"delta":{"content":"'),
                             ("during prompt evaluation", chat(stream=True, messages=[{"role": "user", "content": LONG}]), b": ok"),
                             ("before a buffered answer", endless(), None)):
        for way in ("close", "abort"):
            s = open_stream(p, body)
            if sign:
                tap.ok(s.wait_for(sign, 30), f"{name}: it has begun")
            wait_until(lambda: p.health()["running"] == 1, 10)
            if way == "close":
                s.close()
            else:
                s.sock.sendall(fcgi.record(fcgi.ABORT))
            freed(p, f"{name} by {way}")
            s.close()
    running = [open_stream(p, endless(stream=True)) for _ in range(2)]
    for s in running:
        s.wait_for(b'"delta":{"content":"', 30)
    waiting = [open_stream(p, endless()) for _ in range(20)]
    tap.ok(wait_until(lambda: p.health()["waiting"] == 20, 10), "twenty wait in the queue", p.health())
    for s in waiting:
        s.close()
    tap.ok(wait_until(lambda: p.health()["waiting"] == 0, 5), "left while queued: gone soon", p.health())
    for s in running:
        s.close()
    freed(p, "together")


def thread_ticks(p):
    """Processor time of every thread, in ticks, by its id."""
    found = {}
    for task in os.listdir(f"/proc/{p.process.pid}/task"):
        fields = open(f"/proc/{p.process.pid}/task/{task}/stat").read().rsplit(")", 1)[1].split()
        found[task] = int(fields[11]) + int(fields[12])
    return found


def waiting_is_free(p):
    """--max-batch-size 2: the threads that wait for their turn, or for a token, do not poll."""
    running = [open_stream(p, endless(stream=True)) for _ in range(2)]
    for s in running:
        s.wait_for(b'"delta":{"content":"', 30)
    waiting = [open_stream(p, chat(stream=True)) for _ in range(100)]
    for s in waiting:
        s.wait_for(b": ok", 30)
    before = thread_ticks(p)
    time.sleep(1)
    after = thread_ticks(p)
    # Busy are the engine, its pool, and the threads of the two that run; idle workers only make the hundred more.
    spent = sorted(after[task] - before[task] for task in after if task in before)
    ticks = sum(spent[:100])
    tap.ok(len(spent) > 100 and ticks <= 2, f"a hundred waiting streams use {ticks} ticks in a second", spent, p.health())
    for s in running:
        s.close()
    tap.ok(all(s.finish().body.endswith(b"data: [DONE]\n\n") for s in waiting), "and all are answered")


def overload(p):
    """--max-connections 4."""
    held = [open_stream(p, endless(stream=True)) for _ in range(4)]
    for s in held:
        s.wait_for(b'"delta":{"content":"', 60)
    idle = [fcgi.connect(p.socket) for _ in range(2)]      # says nothing, and takes a spare worker
    start = time.monotonic()
    results = [post(p, chat()) for _ in range(20)]
    took = (time.monotonic() - start) / 20
    good = all(a.status == 503 and a.json()["error"]["code"] == "server_overloaded" and int(a.headers["retry-after"]) >= 1
               for a in results)
    tap.ok(good and took < 5, f"beyond max_connections: 503 with Retry-After, {took * 1000:.0f} ms each", results[0].body)
    tap.equal(fcgi.request(p.socket, "GET", "/readyz").status, 200, "and probes are answered as ever")
    for s in held + idle:
        s.close()
    tap.ok(wait_until(lambda: post(p, chat()).status == 200, 5), "when the others have left, requests are answered again")


def slow_reader(p):
    s = open_stream(p, endless(stream=True, logprobs=True, top_logprobs=20))
    s.wait_for(b'"delta":{"content":"', 30)
    tap.ok(wait_until(lambda: p.health()["running"] == 0, 40, 0.2), "who does not read is given up after write_timeout", p.health())
    s.close()


def keys(p):
    for header, status in ((None, 401), ("Bearer wrong", 401), ("Bearer sk-secret-0123456789abcdef", 200)):
        headers = {"authorization": header} if header else {}
        tap.equal(post(p, chat(), headers=headers).status, status, f"Authorization: {header}: {status}")
    a = fcgi.request(p.socket, "GET", "/nowhere")
    tap.equal((a.status, a.headers.get("www-authenticate")), (401, "Bearer"), "unknown paths need a key too")
    for path in ("/livez", "/readyz"):
        tap.equal(fcgi.request(p.socket, "GET", path).status, 200, f"{path} needs none")
    a = fcgi.request(p.socket, "OPTIONS", "/v1/models", headers={"origin": "http://x"})
    tap.equal((a.status, a.headers.get("access-control-allow-origin")), (204, "http://a.example"), "nor does OPTIONS")
    tap.ok("sk-secret" not in p.read_log() and "wrong" not in p.read_log(), "no key stands in the log")


def sigterm(p):
    """--max-batch-size 2: one place is held until all is looked at."""
    held = open_stream(p, endless(stream=True))
    held.wait_for(b'"delta":{"content":"', 30)
    streams = [open_stream(p, chat(stream=True, max_tokens=150)) for _ in range(4)]
    for s in streams:
        s.wait_for(b'"delta":{"content":"', 30)
    p.process.send_signal(signal.SIGTERM)
    wait_until(lambda: fcgi.request(p.socket, "GET", "/readyz").status == 503, 20)
    a = post(p, chat())
    tap.equal((a.status, a.json()["error"]["code"]), (503, "shutting_down"), "SIGTERM: new requests are told 503")
    tap.equal(fcgi.request(p.socket, "GET", "/livez").status, 200, "SIGTERM: it is still alive")
    for i, s in enumerate(streams):
        a = s.finish()
        tap.ok(a.ended and a.body.endswith(b"data: [DONE]\n\n"), f"SIGTERM: running stream {i + 1} is finished", a.body[-200:])
    held.close()
    tap.equal(p.process.wait(60), 0, "SIGTERM: then it ends with 0")
    tap.ok(not os.path.exists(p.socket), "SIGTERM: its socket is gone")


def second_sigterm(p):
    s = open_stream(p, endless(stream=True))
    s.wait_for(b'"delta":{"content":"', 30)
    p.process.send_signal(signal.SIGTERM)       # two at once could come as one
    wait_until(lambda: fcgi.request(p.socket, "GET", "/readyz").status == 503, 20)
    p.process.send_signal(signal.SIGTERM)
    a = s.finish()
    tap.ok(b'"code":"shutting_down"' in a.body and b"[DONE]" not in a.body, "a second SIGTERM ends a stream with an error event",
           a.body[-300:])
    tap.equal(p.process.wait(10), 0, "and the program with 0")


def drain_timeout(p):
    s = open_stream(p, endless(stream=True))
    s.wait_for(b'"delta":{"content":"', 30)
    start = time.monotonic()
    p.process.send_signal(signal.SIGINT)
    a = s.finish()
    took = time.monotonic() - start
    tap.ok(b'"code":"shutting_down"' in a.body and took > 0.8, f"drain_timeout ends what still runs ({took:.1f} s)")
    tap.equal(p.process.wait(10), 0, "and the program with 0")


def log_rotation(p):
    os.rename(p.log, p.log + ".1")
    p.process.send_signal(signal.SIGHUP)
    tap.ok(wait_until(lambda: os.path.exists(p.log), 5), "SIGHUP opens the log file anew")
    post(p, chat(), headers={"x-request-id": "after-rotation"})
    tap.ok(wait_until(lambda: "after-rotation" in p.read_log(), 5), "and writes to it")
    tap.equal(p.process.poll(), None, "and goes on")


def sockets():
    for address, listen in ((("127.0.0.1", free_port()), "127.0.0.1:{}"), (("::1", free_port()), "[::1]:{}")):
        for allowed, good in (("", True), ("10.0.0.1,127.0.0.1,::1", True), ("10.0.0.1,fe80::1", False)):
            p = Program(listen=listen.format(address[1]), env={"FCGI_WEB_SERVER_ADDRS": allowed})
            try:
                found = wait_until(lambda: p.ready(address), 10 if good else 3)
                tap.equal(found, good, f"{listen.format('PORT')} with FCGI_WEB_SERVER_ADDRS={allowed!r}: answers {good}")
            finally:
                p.__exit__()
    with Program() as p:
        tap.equal(oct(os.stat(p.socket).st_mode & 0o777), "0o660", "its socket has mode 0660")
        second = Program(listen=p.socket)
        tap.ok(second.process.wait(10) == 1 and b"another program listens" in second.process.stderr.read(),
               "a socket that somebody listens on is left alone")
        tap.ok(p.ready(), "and goes on working")
        p.process.kill()
        p.process.wait()
        tap.ok(os.path.exists(p.socket), "a killed program leaves a stale socket")
        third = Program(listen=p.socket)
        tap.ok(wait_until(lambda: third.ready(p.socket), 20), "which the next one replaces")
        third.__exit__()
        with open(p.socket, "w") as f:
            f.write("precious")
        fourth = Program(listen=p.socket)
        tap.ok(fourth.process.wait(10) == 1 and open(p.socket).read() == "precious", "a file that is no socket is left alone")
        for x in (second, fourth):
            x.__exit__()


def inherited_sockets():
    for way in ("descriptor 0", "LISTEN_FDS"):
        folder = tempfile.mkdtemp(prefix="airstrip-fcgi-")
        path = os.path.join(folder, "s")
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
            s.listen(64)
            if way == "descriptor 0":
                p = Program(listen=False, stdin=s)
            else:       # the shell's $$ stays the same across exec, as systemd's LISTEN_PID
                p = Program(listen=False)
                p.process.wait(10)      # without a socket it says so and ends
                tap.equal(p.process.returncode, 1, "without any socket it ends with 1")
                tap.ok(b"no socket to listen on" in p.process.stderr.read(), "and says how to give one")
                p.process = subprocess.Popen(
                    ["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&%d' % s.fileno(), "sh", program(), "--model", SMOLLM2,
                     "--config", "/dev/null", "--log", p.log], stdin=subprocess.DEVNULL, pass_fds=[s.fileno()])
            tap.ok(wait_until(lambda: p.ready(path), 20), f"listens on {way}", p.read_log())
            p.process.terminate()
            tap.equal(p.process.wait(10), 0, f"{way}: ends with 0")
            with socket.socket(socket.AF_UNIX) as c:
                c.connect(path)     # its backlog still takes connections
            tap.ok(True, f"{way}: the shared socket was not shut down")
            p.__exit__()
        subprocess.run(["rm", "-rf", folder], check=False)


def with_program(tests, *options):
    try:
        with Program(*options) as p:
            for test in tests:
                tap.attempt(test, p)
                if p.process.poll() is not None and test is not tests[-1]:
                    tap.ok(False, f"the program lives after {test.__name__}", p.read_log()[-2000:])
                    return
    except Exception as e:
        tap.ok(False, "the program starts", e)


if not SMOLLM2:
    tap.skip("the program over FastCGI", "AIRSTRIP_SMOLLM2 is not set")
    tap.done()
with tempfile.NamedTemporaryFile("w", suffix=".keys") as key_file:
    key_file.write("# keys\n" + key_line("someone", "sk-secret-0123456789abcdef"))
    key_file.flush()
    with_program([answers, bodies, broken_peers, waiting_is_free, leaving, slow_reader, log_rotation, sigterm], "--max-batch-size", "2",
                 "--read-timeout", "1", "--write-timeout", "2", "--body-size-limit", "200KB")
    with_program([keys], "--api-keys", key_file.name, "--cors-origin", "http://a.example")
with_program([three_hundred_at_once, second_sigterm], "--max-batch-size", "16")
with_program([overload], "--max-connections", "4", "--max-batch-size", "4")
with_program([drain_timeout], "--drain-timeout", "1")
tap.attempt(sockets)
tap.attempt(inherited_sockets)
tap.done()
