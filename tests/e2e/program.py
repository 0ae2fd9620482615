"""The program on a Unix socket of its own, without a web server: what tests of operation start, ask and end."""
import json
import os
import shutil
import signal
import subprocess
import tempfile

import fcgi_client as fcgi
from stack import SMOLLM2, alive, program, wait_until
import shapes
import tap


def noted(method, path, answer):
    shapes.note(method, path, answer.status, answer.headers, answer.body)
    return answer


class Program:
    """airstrip --listen SOCKET; options as on the command line, config the text of its configuration file."""

    def __init__(self, *options, model=SMOLLM2, config=None, env=None, ready=True, prefix=(), folder=None, **popen):
        self.own = folder is None
        self.dir = folder or tempfile.mkdtemp(prefix="airstrip-operate-")
        os.chmod(self.dir, 0o755)
        self.socket, self.log = os.path.join(self.dir, "s"), os.path.join(self.dir, "log")
        self.config = os.path.join(self.dir, "airstrip.conf")
        self.write_config(config or "")
        self.want_ready = ready
        command = [*prefix, program(sanitized=bool(os.environ.get("AIRSTRIP_E2E_SANITIZED"))), "--config", self.config,
                   "--log", self.log, "--listen", self.socket, *options]
        if model:
            command += ["--model", model]
        self.process = subprocess.Popen(command, env=dict(os.environ, **(env or {})), stderr=subprocess.PIPE,
                                        **dict({"stdin": subprocess.DEVNULL}, **popen))
        self.pid = self.process.pid

    def write_config(self, text):
        with open(self.config, "w") as f:
            f.write(text)

    def __enter__(self):
        if self.want_ready:
            self.wait_ready()
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stderr.close()
        refused = self.log_lines("sandbox")
        refused = [line for line in refused if "refused system call" in line]
        if refused:
            tap.ok(False, "the filter of system calls refuses nothing that is needed", *refused)
        if self.own:
            shutil.rmtree(self.dir, ignore_errors=True)

    def wait_ready(self, seconds=120):
        if not wait_until(lambda: self.ready() or not alive(self.pid), seconds, 0.05) or not alive(self.pid):
            raise RuntimeError("not ready: " + self.read_log()[-3000:] + self.errors())

    def ready(self):
        try:
            return self.get("/readyz").status == 200
        except OSError:
            return False

    def errors(self):
        return self.process.stderr.read().decode(errors="replace") if self.process.poll() is not None else ""

    def signal(self, number=signal.SIGHUP):
        os.kill(self.pid, number)

    def get(self, path, key=None, **more):
        return noted("GET", path, fcgi.request(self.socket, "GET", path, headers={"authorization": "Bearer " + key} if key else {}, **more))

    def post(self, body, path="/v1/chat/completions", key=None, headers=None, **more):
        headers = dict(headers or {}, **({"authorization": "Bearer " + key} if key else {}))
        return noted("POST", path, fcgi.request(self.socket, "POST", path, body, headers=headers, **more))

    def stream(self, body, path="/v1/chat/completions", key=None, headers=None, **more):
        data = json.dumps(dict(body, stream=True)).encode()
        headers = dict(headers or {}, **({"authorization": "Bearer " + key} if key else {}))
        stream = fcgi.Stream(self.socket, fcgi.whole(fcgi.variables("POST", path, data, headers, **more), data))
        stream.told = lambda answer: noted("POST", path, answer)
        return stream

    def health(self):
        return self.get("/health").json()["models"][0]

    def read_log(self):
        return open(self.log, errors="replace").read() if os.path.exists(self.log) else ""

    def log_lines(self, event):
        return [line for line in self.read_log().splitlines() if line.split(" ")[2:3] == [event]]


def chat(**more):
    return dict({"model": "primary", "temperature": 0, "max_tokens": 4, "ignore_eos": True,
                 "messages": [{"role": "user", "content": "Tell me a long story."}]}, **more)


def endless(**more):
    """A chat that goes on while others are looked at: it fills the context, and is too varied for guesses to hurry it.
    (What is certain repeats itself soon, and three thousand such tokens take three seconds.)"""
    return chat(**dict({"max_tokens": 8000, "temperature": 1, "seed": 1}, **more))
