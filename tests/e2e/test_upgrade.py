"""One process takes the place of another while requests come without a pause: none is refused, none is lost."""
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import fcgi_client as fcgi
from program import chat
from stack import SMOLLM2, RawStream, Stack, alive, end_process, program, wait_until
import tap

QUESTION = b"\0airstrip take-over 1\n"


class Load:
    """Clients that ask all the time, in one piece, streamed, and for what costs nothing."""

    def __init__(self, stack):
        self.stack, self.stopping, self.bad, self.done = stack, False, [], [0, 0, 0]
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(6)]
        for t in self.threads:
            t.start()

    def once(self, kind):
        if kind == 0:
            a = self.stack.request("POST", "/v1/chat/completions", chat(max_tokens=6))
            return a.status == 200 and a.json()["usage"]["completion_tokens"] == 6 or (a.status, a.body[:300])
        if kind == 1:
            stream = RawStream(self.stack, chat(stream=True, max_tokens=60))
            while stream.read_some():
                pass
            good = stream.data.startswith(b"HTTP/1.1 200") and b"data: [DONE]" in stream.data and b'"finish_reason":"length"' in stream.data
            return good or stream.data[-400:]
        a = self.stack.request("GET", "/v1/models")
        return a.status == 200 or (a.status, a.body[:300])

    def run(self, i):
        while not self.stopping:
            try:
                good = self.once(i % 3)
            except Exception as e:
                good = repr(e)
            if good is not True:
                self.bad.append(good)
            self.done[i % 3] += 1
            if i % 3 == 2:
                time.sleep(0.002)

    def stop(self):
        self.stopping = True
        for t in self.threads:
            t.join()


class Generations:
    """The processes that take one another's place."""

    def __init__(self, stack):
        self.stack, self.status = stack, os.path.join(stack.dir, "status.sock")
        self.config = os.path.join(stack.dir, "airstrip.conf")
        self.write()
        self.started = []

    def write(self, model=SMOLLM2, more=""):
        with open(self.config, "w") as f:
            f.write(f"status_listen = {self.status}\nlog = {self.stack.log}\n{more}\n[model primary]\nmodel = {model}\n")

    def start(self, *options, sanitized=False):
        env = dict(os.environ, ASAN_OPTIONS="log_path=" + os.path.join(self.stack.dir, "sanitizer"),
                   UBSAN_OPTIONS="log_path=" + os.path.join(self.stack.dir, "sanitizer"))
        p = subprocess.Popen([program(sanitized=sanitized), "--config", self.config, "--take-over", "on", *options],
                             stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env)
        self.started.append(p)
        return p

    def serving(self):
        """The process that answers on the status socket."""
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(10)
                s.connect(self.status)
                s.sendall(b"GET /status?json HTTP/1.1\r\nHost: x\r\n\r\n")
                data = b""
                while more := s.recv(65536):
                    data += more
            return json.loads(data.partition(b"\r\n\r\n")[2])["pid"]
        except (OSError, ValueError):
            return None

    def said(self, event="handover"):
        return [line for line in self.stack.read_log().splitlines() if line.split(" ")[2:3] == [event]]

    def end(self):
        for p in self.started:
            end_process(p.pid)
            p.wait()
            p.stderr.close()


def ended(pid, process=None):
    """A child that has ended is only gone when it was waited for."""
    if process is not None:
        return wait_until(lambda: process.poll() is not None, 60)
    return wait_until(lambda: not alive(pid), 60)


def under_load(s, g):
    """The first process has its socket from spawn-fcgi, the others from the one before."""
    load = Load(s)
    pids, processes = [s.pid], [None]
    try:
        for i in range(4):
            before = list(load.done)
            wait_until(lambda: all(b > a for a, b in zip(before, load.done)), 60)
            p = g.start(sanitized=i == 3)
            tap.ok(wait_until(lambda: g.serving() == p.pid or p.poll() is not None, 120) and p.poll() is None,
                   f"process {i + 2} takes over", p.poll(), s.read_log()[-1500:])
            tap.ok(ended(pids[-1], processes[-1]), f"process {i + 1} ends by itself", s.read_log()[-1500:])
            pids.append(p.pid)
            processes.append(p)
        tap.equal([p.returncode for p in processes[1:-1]], [0, 0, 0], "with 0")
        before = list(load.done)
        tap.ok(wait_until(lambda: all(b > a for a, b in zip(before, load.done)), 60), "the last one is asked and answers")
    finally:
        load.stop()
    tap.ok(not load.bad, "of {} answers, {} streams and {} lists of models none was lost in four upgrades".format(*load.done), *load.bad[:5])
    errors = open(os.path.join(s.dir, "nginx-error.log"), errors="replace").read()
    tap.ok("connect() failed" not in errors and "upstream prematurely" not in errors, "nginx was never refused a connection", errors[-1000:])
    tap.equal(len([x for x in g.said("stop") if "serves now" in x]), 4, "the log tells of each")


def failing(s, g):
    """Whatever is wrong with the new process, the old one goes on."""
    old = g.serving()
    tap.ok(old, "a process serves")
    broken = os.path.join(s.dir, "broken.gguf")
    shutil.copy(SMOLLM2, broken)
    with open(broken, "r+b") as f:
        f.truncate(os.path.getsize(broken) // 2)
    g.write(more="nonsense = 1\n")
    cases = [("a wrong key in the configuration", g.start(), "nonsense")]
    cases[0][1].wait()
    for what, options, words in (("a model that is not there", ("--model", "/nowhere/x.gguf"), "/nowhere/x.gguf"),
                                 ("a model cut short", ("--model", broken), "broken.gguf"),
                                 ("another socket", ("--listen", os.path.join(s.dir, "other.sock")), "other.sock"),
                                 ("another port", ("--listen", "127.0.0.1:9"), "127.0.0.1:9"),
                                 ("a status socket that is none", ("--status-listen", "127.0.0.1:9"), "127.0.0.1:9")):
        g.write()
        p = g.start(*options)
        p.wait(60)
        cases.append((what, p, words))
    for what, p, words in cases:
        text = p.stderr.read().decode()
        tap.ok(p.returncode == 1 and words in text and g.serving() == old and s.request("GET", "/readyz").status == 200,
               f"{what}: it says so and ends, the old one goes on", p.returncode, text)

    p = g.start()
    wait_until(lambda: any(f"process {p.pid} has the sockets" in x for x in g.said()), 60, 0.002)
    p.send_signal(signal.SIGKILL)
    p.wait()
    if any(f"process {p.pid} serves" in x for x in g.said("stop")):
        tap.skip("killed while it loads", "it loads too fast here")
        return
    tap.ok(wait_until(lambda: any(f"process {p.pid} gave up" in x for x in g.said()), 20), "killed while it loads: the old one has heard of it", g.said())
    with socket.socket(socket.AF_UNIX) as first:
        first.connect(g.status)
        first.sendall(QUESTION)
        message, fds, _, _ = socket.recv_fds(first, 4096, 4)
        tap.ok(message[:1] == b"\1" and len(fds) == 2, "who asks gets two sockets", message[:80], fds)
        p = g.start()
        p.wait(60)
        tap.ok(p.returncode == 1 and "is taking over already" in p.stderr.read().decode(), "a second one at the same time is told to wait")
        for fd in fds:
            os.close(fd)
    wait_until(lambda: "gave up" in g.said()[-1], 10)
    for question, what in ((QUESTION.replace(b"1", b"9"), "another version's question"), (b"\0", "half a question")):
        with socket.socket(socket.AF_UNIX) as first:
            first.settimeout(20)
            first.connect(g.status)
            first.sendall(question)
            first.shutdown(socket.SHUT_WR)
            message, fds, _, _ = socket.recv_fds(first, 4096, 4)
            tap.ok(message[:1] == b"\0" and not fds, f"{what} gets a reason and nothing else", message[:80], fds)
    if os.getuid() == 0:
        os.chmod(g.status, 0o666)
        ask = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(bytes.fromhex(sys.argv[2])); "
               "m, fds, _, _ = socket.recv_fds(s, 4096, 4); print(m[0], len(fds), m[1:])")
        done = subprocess.run(["python3", "-c", ask, g.status, QUESTION.hex()], user="nobody", capture_output=True, text=True, timeout=60)
        tap.ok(done.stdout.startswith("0 0 ") and "of user" in done.stdout, "another user gets nothing", done.stdout, done.stderr)
    else:
        tap.skip("another user gets nothing", "not root")
    tap.ok(g.serving() == old and s.request("POST", "/v1/chat/completions", chat()).status == 200, "and the old one serves as ever")


def stopped_meanwhile(s, g):
    """The old one is told to stop while the new one loads: who comes waits for the new one."""
    old = g.serving()
    p = g.start("--max-sequence-length", "128")
    if not wait_until(lambda: any(f"process {p.pid} has the sockets" in x for x in g.said()) or p.poll() is not None, 60):
        tap.ok(False, "the new one asks for the sockets", s.read_log()[-1000:])
        return
    os.kill(old, signal.SIGTERM)
    answers = [s.request("POST", "/v1/chat/completions", chat()).status for _ in range(3)]
    tap.ok(wait_until(lambda: g.serving() == p.pid, 60) and set(answers) == {200}, "SIGTERM to the old one while the new one loads: nobody is refused",
           answers, s.read_log()[-1500:])


def systemd():
    """A socket that the service manager keeps: by hand-over, and by a restart in which the next process finds who came meanwhile."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as s, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        path, log = os.path.join(folder, "s"), os.path.join(folder, "log")
        s.bind(path)
        s.listen(64)
        manager.bind(os.path.join(folder, "notify"))
        manager.settimeout(60)

        def start(*options):
            return subprocess.Popen(["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&%d' % s.fileno(), "sh", program(), "--model", SMOLLM2,
                                     "--log", log, "--status-listen", os.path.join(folder, "status"), *options], pass_fds=[s.fileno()],
                                    stdin=subprocess.DEVNULL, env=dict(os.environ, NOTIFY_SOCKET=os.path.join(folder, "notify")))

        def ready():
            return fcgi.request(path, "GET", "/readyz").status == 200

        first = start()
        wait_until(ready, 60)
        second = start("--take-over", "on")
        first.wait(60)
        tap.ok(first.returncode == 0 and ready(), "a socket of systemd is handed over like any other", open(log).read()[-1500:])
        said = b""
        while b"MAINPID=" not in said:
            said += manager.recv(500) + b"\n"
        tap.ok(b"MAINPID=%d\n" % second.pid in said and b"STOPPING" not in said, "and the manager is told which process it is now", said)
        body = json.dumps(chat(stream=True, max_tokens=300)).encode()
        running = fcgi.Stream(path, fcgi.whole(fcgi.variables("POST", "/v1/chat/completions", body), body))
        running.wait_for(b'"delta":{"content":"')
        second.terminate()
        while b"STOPPING=1" not in said:        # it accepts nobody from then on
            said += manager.recv(500) + b"\n"
        waiting = fcgi.Stream(path, fcgi.whole(fcgi.variables("GET", "/readyz")))
        a = running.finish()
        tap.ok(a.body.endswith(b"data: [DONE]\n\n") and a.body.count(b'"finish_reason":"length"') == 1, "SIGTERM: what runs is finished")
        second.wait(60)
        third = start()
        waiting.sock.settimeout(60)
        tap.ok(waiting.finish().ended, "who came meanwhile is answered by the next process")
        third.terminate()
        third.wait(60)


if not SMOLLM2:
    tap.skip("upgrading", "AIRSTRIP_SMOLLM2 is not set")
    tap.done()
stack = Stack("nginx", model="none")
generations = Generations(stack)
stack.options = ["--config", generations.config]
with stack:
    try:
        for test in (under_load, failing, stopped_meanwhile):
            tap.attempt(test, stack, generations)
    finally:
        generations.end()
    tap.ok(not stack.sanitizer_reports(), "the sanitizers have found nothing in the process that was handed the sockets, and handed them on",
           stack.sanitizer_reports()[:3000])
tap.attempt(systemd)
tap.done()
