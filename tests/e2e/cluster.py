"""Several Airstrip hosts behind one balancer, each in a network namespace with a link of its own to the balancer's.

    with Cluster("haproxy-cluster") as c:
        c.chat("hello"); c.backends[1].freeze(); Stream(c, {...})

Clients are on the balancer's host.  Sockets, logs and configuration lie in a folder of its own.
"""
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "net"), os.path.dirname(HERE)]

import nets  # noqa: E402
import stack  # noqa: E402
from webservers import WebServer, alive, end_process, missing, wait_until  # noqa: E402

NAMES = ("one", "two", "three")
SAMPLE = {name: f"10.0.0.1{i + 1}" for i, name in enumerate(NAMES)}     # addresses in the files of conf/cluster
PORT, STATUS_PORT, TLS_PORT = 9000, 9001, 9443
# What the files of conf/cluster wait for, in less time.  Nothing is asserted on it.
HASTE = {"haproxy-cluster": (("inter 2s fastinter 500ms fall 3", "inter 1s fastinter 500ms fall 2"), ("slowstart 30s", "slowstart 1s")),
         "nginx-cluster": (("fastcgi_read_timeout 60s", "fastcgi_read_timeout 10s"),)}


def why_not(server):
    """Why no cluster can be had here, or None."""
    return nets.missing() or missing(server)


class Backend:
    """A host with Airstrip, and its link to the balancer."""

    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name
        self.host = cluster.net.host(name)
        self.address = self.host.address
        self.link = cluster.net.link(cluster.gate, self.host, delay_ms=0)
        self.dir = os.path.join(cluster.dir, name)
        self.log = os.path.join(self.dir, "airstrip.log")
        self.process = None
        os.mkdir(self.dir)

    def sockets(self):
        return ["--listen", f"{self.address}:{PORT}", "--listen-allow", self.cluster.gate.address, "--status-listen", f"{self.address}:{STATUS_PORT}"]

    def start(self, *options):
        """Another one than the one that runs, where there is one already."""
        words = [stack.program(), *self.sockets(), "--model", self.cluster.model, "--threads", "1", "--log", self.log, *self.cluster.options, *options]
        with open(self.log + ".err", "a") as err:
            self.process = self.host.popen(words, stdin=subprocess.DEVNULL, stdout=err, stderr=err)
        return self.process

    def stop(self):
        """What was started here and is not Airstrip itself."""

    def ready(self):
        return self.ask("/readyz")[0] == 200

    def wait_ready(self):
        process = self.process
        if not wait_until(lambda: self.ready() or process.poll() is not None, 180, 0.05) or process.poll() is not None:
            raise RuntimeError(f"{self.name} is not ready: {self.read_log()[-3000:]}")

    def kill(self, number=signal.SIGKILL):
        """And waits for its end."""
        self.process.send_signal(number)
        self.process.wait(180)

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def ask(self, path):
        """(status, body) of its status socket, (0, why) where that does not answer."""
        return ask(self.cluster.gate, self.address, STATUS_PORT, "GET", path, timeout=10)[::2]

    def metric(self, name):
        """The sum of a metric's samples."""
        lines = self.ask("/metrics")[1].decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(re.escape(name) + r"[{ ]", line))

    def read_log(self):
        return "".join(open(p, errors="replace").read() for p in (self.log + ".err", self.log) if os.path.exists(p))


class UnixBackend(Backend):
    """Its status socket is a file, over which another process can take its place (take_over)."""

    def sockets(self):
        return [*super().sockets()[:4], "--status-listen", self.dir + "/status.sock"]

    def ask(self, path):
        words = ["curl", "-s", "-m", "10", "-w", "\n%{http_code}", "--unix-socket", self.dir + "/status.sock", "http://x" + path]
        body, _, status = subprocess.run(words, capture_output=True, check=False).stdout.rpartition(b"\n")
        return int(status or 0), body


class TlsBackend(UnixBackend):
    """It has no port; haproxy-host.cfg takes the TLS off."""
    web = None

    def sockets(self):
        return ["--listen", self.dir + "/airstrip.sock", "--status-listen", self.dir + "/status.sock", "--listen-mode", "0666"]

    def start(self, *options):
        certificate(self.cluster.dir, self.dir, self.name, self.address)
        super().start(*options)
        if not self.web:
            changes = [("10.0.0.11", self.address), *paths(self.cluster.share, "haproxy-host.cfg", self.dir, self.cluster.dir)]
            self.web = WebServer("haproxy-host", self.dir, 0, share=self.cluster.share, changes=changes)
            with self.host.inside():
                self.web.start()
        return self.process

    def stop(self):
        if self.web:
            self.web.stop()


def paths(share, file, folder, ca):
    """Changes of a configuration: where its certificates lie."""
    found = set(re.findall(r"/\S+/cluster(?:-ca)?\.pem", open(os.path.join(share, "cluster", file)).read()))
    return [(path, ca + "/ca.pem" if path.endswith("-ca.pem") else folder + "/cluster.pem") for path in found]


def certificate(ca, folder, name, address):
    """By the commands that haproxy-host.cfg tells: ca.pem in one folder, once, and cluster.pem in the other."""
    text = open(os.path.join(stack.TOP, "conf", "cluster", "haproxy-host.cfg")).read()
    lines = re.findall(r"(?m)^#   ((?:openssl|cat) .*?)(?:  +#.*)?$", text)
    for line in lines:
        if " req -x509 " in line and os.path.exists(ca + "/ca.pem"):
            continue
        line = line.replace("10.0.0.11", address).replace("/CN=one", "/CN=" + name).replace("one.", f"{name}.").replace("cluster.pem", f"{folder}/cluster.pem")
        subprocess.run(["sh", "-c", line], cwd=ca, check=True, capture_output=True)


def ask(host, address, port, method, path, body=None, headers=None, timeout=300):
    """One HTTP request from a host: (status, headers, body); status 0 and why where no whole answer came."""
    c = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        with host.inside():
            c.connect()
        c.request(method, path, body, dict(headers or {}))
        r = c.getresponse()
        return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()
    except (OSError, http.client.HTTPException) as e:
        return 0, {}, repr(e).encode()
    finally:
        c.close()


class Cluster:
    """server: a name of webservers.KNOWN; slots: requests that run at once on each host; options: of each Airstrip; share: a folder with
    the files of conf/; changes: of the balancer's; haste: it waits for less time than its file says."""

    def __init__(self, server, slots=2, count=3, kind=Backend, model=None, options=(), share=None, changes=(), haste=True):
        self.server, self.slots, self.kind, self.model = server, slots, kind, model or stack.SMOLLM2
        self.share, self.changes = share or os.path.join(stack.TOP, "conf"), list(changes) + list(HASTE[server] if haste else ())
        self.options = ["--max-batch-size", str(slots), "--speculation", "off", *options]
        self.names, self.lines = NAMES[:count], []
        self.port, self.web, self.backends = stack.free_port(), None, []

    def __enter__(self):
        with contextlib.ExitStack() as undo:
            self.dir = tempfile.mkdtemp(prefix="airstrip-e2e-")
            undo.callback(shutil.rmtree, self.dir, ignore_errors=True)
            os.chmod(self.dir, 0o755)
            self.net = undo.enter_context(nets.Net())
            self.gate = self.net.host("gate")
            for name in self.names:
                self.backends.append(self.kind(self, name))
                undo.callback(self.backends[-1].stop)
                self.backends[-1].start()
            for b in self.backends:
                b.wait_ready()
            self.start_balancer()
            undo.callback(self.web.stop)
            self.undo = undo.pop_all()
        return self

    def __exit__(self, *exc):
        if exc and exc[0]:
            self.tell()
        self.undo.close()

    def tell(self):
        """What was logged, for when a test fails."""
        sys.stderr.write("\n".join(self.lines[-60:]) + "\n")
        for b in self.backends:
            sys.stderr.write(f"--- {b.name}\n{b.read_log()[-3000:]}\n")

    def __getitem__(self, name):
        return next(b for b in self.backends if b.name == name)

    def start_balancer(self):
        changes = self.changes + [(SAMPLE[b.name], b.address) for b in self.backends]
        if self.server == "haproxy-cluster":
            changes += [("maxconn 16", f"maxconn {self.slots}"), ("log /dev/log local0", f"log {self.dir}/log.sock format raw local0")]
            self.listen_to_log()
        if self.kind is TlsBackend:
            certificate(self.dir, self.dir, "balancer", self.gate.address)
            changes += paths(self.share, "haproxy.cfg", self.dir, self.dir)
        self.web = WebServer(self.server, self.dir, self.port, share=self.share, changes=changes)
        with self.gate.inside():
            self.web.start()

    def listen_to_log(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.bind(os.path.join(self.dir, "log.sock"))
        os.chmod(os.path.join(self.dir, "log.sock"), 0o666)
        threading.Thread(target=lambda: [self.lines.append(s.recv(65536).decode(errors="replace").strip()) for _ in iter(int, 1)], daemon=True).start()

    def request(self, method, path, body=None, headers=None, timeout=300):
        """(status, headers, body) through the balancer."""
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        headers = dict({"Content-Type": "application/json"} if data else {}, **(headers or {}))
        return ask(self.gate, "127.0.0.1", self.port, method, path, data, headers, timeout)

    def chat(self, words, **more):
        messages = words if isinstance(words, list) else [{"role": "user", "content": words}]
        return self.request("POST", "/v1/chat/completions", {"messages": messages, "max_tokens": 4, "temperature": 0, **more})

    def host_of(self, words, **more):
        """Which host answers a chat; None without an answer."""
        status, headers, _ = self.chat(words, **more)
        return headers.get("x-airstrip-host") if status == 200 else None

    def openai(self, **options):
        """OpenAI's client.  It connects on the balancer's host if it is used inside of it."""
        import openai
        return openai.OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key="not needed", timeout=300, **options)

    # --- HAProxy's view --------------------------------------------------------------------------
    def admin(self, command):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30)
            s.connect(os.path.join(self.dir, "haproxy-admin.sock"))
            s.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: s.recv(65536), b"")).decode()

    def stats(self):
        """The lines of "show stat" for the backend, by a server's name, BACKEND for all of them."""
        keys, *lines = (line.split(",") for line in self.admin("show stat").lstrip("# ").splitlines() if line)
        return {line[1]: dict(zip(keys, line)) for line in lines if line[0] == "airstrip"}

    def waiting(self):
        """Requests that no host has yet."""
        return sum(int(line["qcur"] or 0) for name, line in self.stats().items())

    def wait_state(self, name, state, seconds=120):
        """Until its status begins so: UP, DOWN, NOLB, DRAIN."""
        return wait_until(lambda: self.stats()[name]["status"].startswith(state), seconds, 0.05)


class Stream:
    """A streamed chat: which host serves it, its text, and how it ends."""

    def __init__(self, cluster, body, path="/v1/chat/completions", headers=None):
        data = json.dumps(dict(body, stream=True)).encode()
        self.c = http.client.HTTPConnection("127.0.0.1", cluster.port, timeout=600)
        self.text, self.end, self.host, self.data, self.error = "", None, None, b"", None
        try:
            with cluster.gate.inside():
                self.c.connect()
            self.c.request("POST", path, data, {"Content-Type": "application/json", **(headers or {})})
            self.r = self.c.getresponse()
            self.host = self.r.getheader("x-airstrip-host")
            if self.r.status != 200:
                self.end = f"status {self.r.status} {self.r.read()}"
        except (OSError, http.client.HTTPException) as e:
            self.end = "cut: " + repr(e)

    def step(self):
        """Reads on; False at the end, which `end` names: "done", "error", "cut: ...", "closed" without a word, "status ..."."""
        if not self.end:
            try:
                more = self.r.read1(65536)      # readline() would take a cut for an end
            except (OSError, http.client.HTTPException, ValueError) as e:
                self.end = "cut: " + repr(e)
                return False
            *lines, self.data = (self.data + more).split(b"\n")
            for line in lines:
                self.hear(line)
            if not more and not self.end:
                self.end = "closed"
        return not self.end

    def hear(self, line):
        if line.startswith(b"data: [DONE]"):
            self.end = "done"
        elif line.startswith(b"data: "):
            event = json.loads(line[6:])
            if "error" in event:
                self.end, self.error = "error", event["error"]
            elif event.get("choices"):
                self.text += event["choices"][0]["delta"].get("content") or ""

    def until_text(self):
        while not self.text and self.step():
            pass
        return self

    def rest(self):
        while self.step():
            pass
        self.c.close()
        return self


class Load:
    """Clients that ask one short request after the other, every second one streamed, until they are told to stop."""

    def __init__(self, cluster, clients=4):
        self.cluster, self.good, self.bad, self.over = cluster, [0] * clients, [], threading.Event()
        self.threads = [threading.Thread(target=self.client, args=(i,)) for i in range(clients)]

    def client(self, i):
        k = 0
        while not self.over.is_set():
            k += 1
            body = {"messages": [{"role": "user", "content": f"Client {i}, question {k}"}], "max_tokens": 12, "temperature": 0}
            if k % 2:
                found = Stream(self.cluster, body).rest()
                found = (200 if found.end == "done" else 0, found.host, found.end)
            else:
                found = self.cluster.request("POST", "/v1/chat/completions", body)
            if found[0] == 200:
                self.good[i] += 1
            else:
                self.bad.append(found)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def more(self):
        """Waits until each client has had two more answers."""
        before = list(self.good)
        return wait_until(lambda: all(now >= was + 2 for now, was in zip(self.good, before)), 180)

    def __exit__(self, *exc):
        self.over.set()
        for t in self.threads:
            t.join()


__all__ = ["Backend", "Cluster", "Load", "Stream", "TlsBackend", "UnixBackend", "alive", "ask", "end_process", "why_not", "wait_until"]
