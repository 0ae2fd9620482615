"""Both programs as servers, for what a benchmark of the arithmetic does not show."""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))

import fcgi_client  # noqa: E402

START_SECONDS = 120


class Server:
    """A process that is ended at the end of the block; ready_ms: from its start until it says so."""
    poll_s = 0.002

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="airstrip-bench-")
        begin = time.monotonic()
        self.process = subprocess.Popen(self.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() - begin > START_SECONDS:
                self.__exit__()
                raise RuntimeError(f"{self.command()[0]} did not become ready")
            time.sleep(self.poll_s)
        self.ready_ms = (time.monotonic() - begin) * 1e3
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def peak_mb(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(r"VmHWM:\s+(\d+) kB", f.read()).group(1)) / 1024

    def cpu_ticks(self):
        """Processor time of every thread, by its id, in ticks."""
        ticks = {}
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{task}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            ticks[task] = int(fields[11]) + int(fields[12])
        return ticks


class Airstrip(Server):
    def __init__(self, programs, model, *options, cpus=None):
        self.programs, self.model, self.options, self.cpus = programs, model, options, cpus

    @property
    def socket(self):
        return os.path.join(self.dir, "socket")

    def command(self):
        pin = ["taskset", "-c", self.cpus] if self.cpus else []
        return pin + [self.programs.path("airstrip"), "--model", self.model, "--aliases", "m", "--threads", str(self.programs.threads),
                      "--listen", self.socket, "--log", os.path.join(self.dir, "log"), *self.options]

    def is_ready(self):
        try:
            return fcgi_client.request(self.socket, "GET", "/readyz").status == 200
        except OSError:
            return False

    def complete(self, prompt, **more):
        body = {"model": "m", "prompt": prompt, "max_tokens": 1, "temperature": 0, **more}
        answer = fcgi_client.request(self.socket, "POST", "/v1/completions", body, timeout=300)
        if answer.status != 200:
            raise RuntimeError(answer.body.decode())
        return answer.json()

    def log(self):
        """Every line's fields as a dict; the event's name is under "event"."""
        lines = []
        with open(os.path.join(self.dir, "log")) as f:
            for line in f:
                lines.append(dict(re.findall(r"(\w+)=(\S+)", line), event=line.split()[2]))
        return lines


class Llama(Server):
    def __init__(self, programs, model, context=8192):
        self.programs, self.model, self.context = programs, model, context
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]

    def command(self):
        return [self.programs.peer("llama-server"), "-m", self.model, "--port", str(self.port), "-t", str(self.programs.threads),
                "-c", str(self.context), "-np", "1"]

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def complete(self, prompt):
        body = json.dumps({"prompt": prompt, "max_tokens": 1, "temperature": 0}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v1/completions", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=300) as answer:
            return json.load(answer)
