"""A whole server for one test program: airstrip spawned by spawn-fcgi, behind lighttpd or nginx.

    with Stack("lighttpd") as s:
        s.client().chat.completions.create(...)

Sockets, logs and configuration lie in a folder of its own; only processes started here are ended.
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.dirname(HERE))

import shapes  # noqa: E402
import tap  # noqa: E402
from webservers import WebServer, alive, end_process, wait_until  # noqa: E402

SERVERS = ["lighttpd", "nginx"]
SMOLLM2 = os.environ.get("AIRSTRIP_SMOLLM2")
GEMMA3 = os.environ.get("AIRSTRIP_GEMMA3")


def program(name="airstrip", sanitized=False):
    """The program under test, from the optimised or the sanitized build."""
    folder = os.environ["AIRSTRIP_SANITIZED" if sanitized else "AIRSTRIP_PLAIN"]
    return os.path.join(folder, name)


def key_line(name, key, options=""):
    """The line that the file of API keys has for a key."""
    done = subprocess.run([program(), "--hash-key", name], input=key + "\n", capture_output=True, text=True, timeout=20)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout.rstrip("\n") + (" " + options if options else "") + "\n"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


class Stack:
    def __init__(self, server="lighttpd", model=None, options=(), sanitized=False, ready=True, env=None, share=None):
        self.server, self.model, self.options = server, model or SMOLLM2, list(options)
        self.sanitized, self.want_ready, self.env = sanitized, ready, env or {}
        self.share = share      # a folder with the files of conf/, such as an installed tree's
        self.port = free_port()
        self.dir = tempfile.mkdtemp(prefix="airstrip-e2e-")
        os.chmod(self.dir, 0o755)
        self.socket = os.path.join(self.dir, "airstrip.sock")
        self.log = os.path.join(self.dir, "airstrip.log")
        self.pid = self.server_pid = None

    # --- starting and ending -------------------------------------------------------------------
    def __enter__(self):
        try:
            self.spawn()
            self.start_server()
            if self.want_ready:
                self.wait_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *exc):
        for pid in (self.server_pid, self.pid):
            if pid:
                end_process(pid)
        refused = [line for line in self.read_log().splitlines() if "refused system call" in line]
        if refused:
            tap.ok(False, "the filter of system calls refuses nothing that is needed", *refused)
        if exc and exc[0] and os.path.exists(self.log):
            sys.stderr.write(self.read_log()[-4000:])
        shutil.rmtree(self.dir, ignore_errors=True)

    def spawn(self):
        """spawn-fcgi with a fresh socket, as an operator would."""
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        pid_file = os.path.join(self.dir, "airstrip.pid")
        command = ["spawn-fcgi", "-s", self.socket, "-M", "0666", "-b", "1024", "-P", pid_file, "--",
                   program(sanitized=self.sanitized), "--log", self.log] + self.options
        if self.model != "none":
            command += ["--model", self.model]
        env = dict(os.environ, **self.env)
        env.setdefault("ASAN_OPTIONS", "")
        env["ASAN_OPTIONS"] += ":log_path=" + os.path.join(self.dir, "sanitizer")
        env["UBSAN_OPTIONS"] = "print_stacktrace=1:log_path=" + os.path.join(self.dir, "sanitizer")
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise RuntimeError(f"spawn-fcgi: {done.stdout}{done.stderr}{self.read_log()}")
        self.pid = int(open(pid_file).read())

    def start_server(self):
        self.web = WebServer(self.server, self.dir, self.port, share=self.share)
        self.web.start()
        self.server_pid = self.web.pid

    def wait_ready(self, seconds=180):
        if not wait_until(lambda: self.request("GET", "/readyz").status == 200 or not alive(self.pid), seconds, 0.05) \
                or not alive(self.pid):
            raise RuntimeError("not ready: " + self.read_log()[-3000:])

    # --- asking --------------------------------------------------------------------------------
    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def request(self, method, path, body=None, headers=None, timeout=120):
        """One HTTP request; connection trouble is status 0."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        req = urllib.request.Request(self.url + path, data=data, method=method, headers=dict(headers or {}))
        if data is not None and "content-type" not in {k.lower() for k in req.headers}:
            req.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(req, timeout=timeout) as r:
                answer = Answer(r.status, r.headers, r.read())
        except urllib.error.HTTPError as e:
            answer = Answer(e.code, e.headers, e.read())
        except OSError as e:
            return Answer(0, {}, str(e).encode())
        shapes.note(method, path, answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.body)
        return answer

    def client(self, **options):
        import openai
        options.setdefault("api_key", "not needed")
        options.setdefault("timeout", 120)
        return shapes.watch(openai.OpenAI(base_url=self.url + "/v1", **options))

    def status(self):
        """The first model's part of /health."""
        return self.request("GET", "/health").json()["models"][0]

    def read_log(self):
        return open(self.log, errors="replace").read() if os.path.exists(self.log) else ""

    def sanitizer_reports(self):
        text = ""
        for name in os.listdir(self.dir):
            if name.startswith("sanitizer"):
                text += open(os.path.join(self.dir, name), errors="replace").read()
        return text

    def stop_program(self, seconds=60):
        """SIGTERM; true once the process is gone."""
        os.kill(self.pid, signal.SIGTERM)
        return wait_until(lambda: not alive(self.pid), seconds)


class RawStream:
    """A streamed chat over a bare socket: the time of every event, and a connection that can be dropped."""

    def __init__(self, stack, body, path="/v1/chat/completions", headers=None):
        data = json.dumps(body).encode()
        self.sock = socket.create_connection(("127.0.0.1", stack.port), timeout=120)
        self.sock.sendall((f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                           + "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items()) +
                           f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n").encode() + data)
        self.data, self.path = b"", path

    def read_some(self):
        more = self.sock.recv(65536)
        self.data += more
        return more

    def wait_for(self, needle, seconds=60):
        end = time.monotonic() + seconds
        while needle not in self.data and time.monotonic() < end:
            if not self.read_some():
                break
        return needle in self.data

    def close(self):
        self.sock.close()
        shapes.note("POST", self.path, *shapes.unchunked(self.data))


def in_threads(functions):
    """Runs them at the same time; returns their results, exceptions among them."""
    results = [None] * len(functions)

    def run(i):
        try:
            results[i] = functions[i]()
        except Exception as e:
            results[i] = e
    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(functions))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def check_schema(name, instance, title):
    validator = shapes.validator(name)
    if validator is None:
        tap.skip(title, "shared/openai/schemas.json is not there")
        return
    errors = [f"{list(e.absolute_path)}: {e.message[:300]}" for e in validator.iter_errors(instance)]
    tap.ok(not errors, title, *errors)
