"""Who may connect to a TCP port: lists of addresses, ports that are not served without one, and ways of changing it."""
import os
import re
import signal
import socket
import subprocess
import tempfile
import time

import fcgi_client as fcgi
from program import noted
from stack import TOP, program, wait_until
import tap

MODEL = os.path.join(TOP, "tests", "data", "gguf", "llama-Q8_0.gguf")


def port(host="0.0.0.0", dual=False):
    """A listening socket, to be handed over as web servers' starters do: nobody else can have its port."""
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    if ":" in host:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual)
    s.bind((host, 0))
    s.listen(64)
    return s


class Server:
    """airstrip with a configuration of these lines and `listening` as descriptor 0."""

    def __init__(self, folder, text, listening=None, options=(), env=None, name="log"):
        self.config, self.log = os.path.join(folder, "airstrip.conf"), os.path.join(folder, name)
        self.write(text)
        self.process = subprocess.Popen([program(sanitized=bool(os.environ.get("AIRSTRIP_E2E_SANITIZED"))), "--config", self.config, "--log", self.log,
                                         *options], stdin=listening or subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(os.environ, **(env or {})))

    def write(self, text):
        with open(self.config, "w") as f:
            f.write(text + f"\nmodel = {MODEL}\n")

    def lines(self, event, *words):
        if not os.path.exists(self.log):
            return []
        return [x for x in open(self.log).read().splitlines() if x.split(" ")[2:3] == [event] and all(w in x for w in words)]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stderr.close()


def ask(where, source=None, path="/livez"):
    """The answer to a request from this address; None where the connection was closed without one."""
    try:
        with socket.create_connection(where, 60, source_address=(source, 0) if source else None) as s:
            s.sendall(fcgi.whole(fcgi.variables("GET", path)))
            data, content = b"", b""
            while more := s.recv(65536):
                data += more
            while len(data) >= 8:
                size = int.from_bytes(data[4:6], "big")
                if data[1] == fcgi.STDOUT:
                    content += data[8:8 + size]
                data = data[8 + size + data[6]:]
        return noted("GET", path, fcgi.Answer(content, True)) if content else None
    except ConnectionError:
        return None


def answers(where, source=None, seconds=60):
    """Whether requests from there come to be answered."""
    return wait_until(lambda: ask(where, source) is not None, seconds, 0.05)


def own_address():
    """An address of this machine that is not the loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
            return s.getsockname()[0]
        except OSError:
            return None


def has_ipv6():
    try:
        port("::").close()
        return True
    except OSError:
        return False


def run(*options, stdin=subprocess.DEVNULL, env=None, **more):
    """Ends by itself, since something is wrong or --check is among the options; what it says."""
    done = subprocess.run([program(), "--config", "/dev/null", "--model", MODEL, *options], stdin=stdin, capture_output=True, text=True,
                          timeout=120, env=dict(os.environ, **(env or {})), **more)
    return done.returncode, done.stderr


def refused_at_start():
    """Without a list, by its name in the configuration; --check says the same."""
    own = own_address()
    names = ["0.0.0.0:0"] + (["[::]:0"] if has_ipv6() else []) + ([f"{own}:0"] if own else [])
    for name in names:
        for key, options in (("listen_allow", ("--listen", name)), ("status_allow", ("--listen", "127.0.0.1:0", "--status-listen", name))):
            for how in ((), ("--check",)):
                code, said = run(*options, *how)
                tap.ok(code == 1 and f"{name} can be reached from other hosts" in said and f"{key} = ADDRESSES" in said,
                       f"{' '.join((*options, *how))} without a list is refused", said)
    for options, env in ((("--listen", "0.0.0.0:0", "--listen-allow", "10.0.0.0/8"), {}), (("--listen", "127.0.0.1:0"), {}), (("--listen", "[::1]:0"), {}),
                         (("--listen", "localhost:0"), {}), (("--listen", "/nowhere/s", "--status-listen", "[::]:0", "--status-allow", "fd00::/8"), {}),
                         (("--listen", "0.0.0.0:0", "--status-listen", "0.0.0.0:0", "--listen-allow", "10.0.0.0/8"), {}),
                         (("--listen", "0.0.0.0:0"), {"FCGI_WEB_SERVER_ADDRS": "10.0.0.1,10.0.0.2"})):
        code, said = run(*options, "--check", env=env)
        tap.ok(code == 0 and "all is well" in said, f"{options} {env or ''} is well", said)
    code, said = run("--listen", "0.0.0.0:0", "--listen-allow", "10.0.0.0/8, web.example")
    tap.ok(code == 1 and 'listen_allow: expected an address' in said and 'found "web.example" at character 13' in said, "a mistake in a list is shown", said)


def refused_as_handed_over():
    for host in ("0.0.0.0", "::") if has_ipv6() else ("0.0.0.0",):
        with port(host) as s:
            for how in ((), ("--check",)):
                code, said = run(*how, stdin=s)
                tap.ok(code == 1 and "descriptor 0 can be reached from other hosts" in said, f"a socket on {host} that is handed over is refused {' '.join(how)}", said)
    with port() as s:
        done = subprocess.run(["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&%d' % s.fileno(), "sh", program(), "--config", "/dev/null",
                               "--model", MODEL], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, pass_fds=[s.fileno()])
        tap.ok(done.returncode == 1 and "descriptor 3 can be reached from other hosts" in done.stderr, "one of systemd's too", done.stderr)


def kept_out(folder):
    with port() as s, Server(folder, "listen_allow = 127.0.0.0/30, 10.0.0.0/8", s) as p:
        where = ("127.0.0.1", s.getsockname()[1])
        tap.ok(answers(where, "127.0.0.2"), "who is on the list is answered", p.lines("start"))
        tap.equal([ask(where, x) is not None for x in ("127.0.0.1", "127.0.0.3", "127.0.0.4", "127.1.0.1")], [True, True, False, False], "and nobody else")
        tap.ok(wait_until(lambda: p.lines("refused", "peer=127.1.0.1", "list=listen_allow"), 10), "the log says who", p.lines("refused"))
        count = 60
        start = time.monotonic()
        for _ in range(count):
            ask(where, "127.0.0.9")
        took = time.monotonic() - start
        time.sleep(1.1)     # the line of then tells how many were left out
        ask(where, "127.0.0.9")

        def told():
            lines = p.lines("refused", "peer=127.0.0.9")
            return len(lines), sum(int(m) for x in lines for m in re.findall(r" more=(\d+)", x))

        wait_until(lambda: sum(told()) == count + 1, 10)
        lines, more = told()
        tap.ok(lines <= 10 * (took + 3) and lines + more == count + 1, f"{count + 1} of them make {lines} lines, which tell of {more} more",
               *p.lines("refused")[-3:])
        page = ask(where, path="/status?json")
        tap.ok(page and page.json()["not allowed"] == count + 3, "/status counts them", page and page.body)
        page = ask(where, path="/metrics")
        tap.ok(page and b"\nairstrip:connections_not_allowed_total %d\n" % (count + 3) in page.body, "and so does /metrics")


def mapped(folder):
    """An IPv6 socket sees IPv4 addresses as ::ffff:a.b.c.d."""
    if not has_ipv6():
        tap.skip("IPv4 on an IPv6 socket", "this machine has no IPv6")
        return
    with port("::", dual=True) as s, Server(folder, "listen_allow = 127.0.0.1", s):
        number = s.getsockname()[1]
        tap.ok(answers(("127.0.0.1", number)), "IPv4 on an IPv6 socket: 127.0.0.1 is on the list")
        tap.ok(ask(("::1", number)) is None, "::1 is not")
        tap.ok(ask(("127.0.0.1", number), "127.0.0.2") is None, "127.0.0.2 is not")


def reloaded(folder):
    with port() as s, Server(folder, "listen_allow = 127.0.0.1", s) as p:
        where = ("127.0.0.1", s.getsockname()[1])
        answers(where)
        tap.ok(ask(where, "127.0.0.2") is None, "before SIGHUP 127.0.0.2 may not come")
        p.write("listen_allow = 127.0.0.2, 127.0.0.3")
        p.process.send_signal(signal.SIGHUP)
        tap.ok(answers(where, "127.0.0.2"), "after it it may", *p.lines("reload"))
        tap.ok(ask(where, "127.0.0.1") is None, "and 127.0.0.1 may no more")
        for text, words in (("", "can be reached from other hosts"), ("listen_allow = nobody", "found \\\"nobody\\\" at character 1")):
            p.write(text)
            p.process.send_signal(signal.SIGHUP)
            tap.ok(wait_until(lambda words=words: p.lines("reload", "stays as it was", words), 30), f"SIGHUP with {text!r} is refused", *p.lines("reload"))
            tap.equal([ask(where, x) is not None for x in ("127.0.0.2", "127.0.0.1")], [True, False], "and the list stays")


def taken_over(folder):
    """A new process judges the sockets that it is given by its own list."""
    status = os.path.join(folder, "status")
    text = f"status_listen = {status}\n"
    with port() as s, Server(folder, text + "listen_allow = 127.0.0.1", s, name="log1") as old:
        where = ("127.0.0.1", s.getsockname()[1])
        answers(where)
        with Server(folder, text, options=("--take-over", "on"), name="log2") as p:
            p.process.wait(60)
            said = p.process.stderr.read().decode()
            tap.ok(p.process.returncode == 1 and "can be reached from other hosts" in said, "taking a port over without a list is refused", said)
        tap.ok(old.process.poll() is None and ask(where) is not None, "and the old process goes on")
        with Server(folder, text + "listen_allow = 127.0.0.2", options=("--take-over", "on"), name="log3") as new:
            tap.ok(wait_until(lambda: old.process.poll() is not None, 60), "with one it is taken over", *new.lines("start"))
            tap.ok(answers(where, "127.0.0.2") and ask(where, "127.0.0.1") is None, "whose list counts")


def status_port(folder):
    """A list of its own; a port of its own, which another program may have taken first."""
    for _ in range(5):
        with port("127.0.0.1") as s:
            number = s.getsockname()[1]
        with port() as s, Server(folder, f"listen_allow = 127.0.0.1\nstatus_allow = 127.0.0.2\nstatus_listen = 0.0.0.0:{number}", s) as p:
            where, main = ("127.0.0.1", number), ("127.0.0.1", s.getsockname()[1])
            if not wait_until(lambda: p.lines("start") or p.process.poll() is not None, 60) or p.process.poll() is not None:
                continue
            tap.ok(answers(where, "127.0.0.2"), "the status port answers who is on status_allow", *p.lines("start"))
            tap.equal((ask(where, "127.0.0.1"), ask(main, "127.0.0.2")), (None, None), "who is on the other list only is kept out, at both")
            tap.ok(wait_until(lambda: p.lines("refused", "list=status_allow", "peer=127.0.0.1"), 10), "and the log names the list", *p.lines("refused"))
            with socket.create_connection(where, 60, source_address=("127.0.0.2", 0)) as c:
                c.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
                tap.ok(wait_until(lambda: c.recv(4096).startswith(b"HTTP/1.1 "), 1), "/readyz over plain HTTP is answered there")
            tap.equal(ask(main).status, 200, "the first port answers who is on listen_allow")
            return
    tap.ok(False, "a free port is found")


tap.attempt(refused_at_start)
tap.attempt(refused_as_handed_over)
for test in (kept_out, mapped, reloaded, taken_over, status_port):
    with tempfile.TemporaryDirectory(prefix="airstrip-allow-") as work:
        tap.attempt(test, work)
tap.done()
