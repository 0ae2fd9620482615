"""The program on simulated devices, over its FastCGI socket: what the tests of this folder share."""
import os
import pathlib
import subprocess
import sys
import tempfile

here = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(here.parent), str(here.parent / "e2e")]
os.environ.setdefault("AIRSTRIP_SMOLLM2", "")
import fcgi_client as fcgi  # noqa: E402
from stack import wait_until  # noqa: E402

build = pathlib.Path(os.environ["AIRSTRIP_PLAIN"])
MODEL = here.parent / "data" / "gguf" / "llama-Q8_0.gguf"


class Program:
    """On device cuda with one model, or with what a configuration file says."""

    def __init__(self, *options, model=MODEL, config=None, **env):
        self.dir = tempfile.TemporaryDirectory(prefix="airstrip-cuda-")
        self.socket = os.path.join(self.dir.name, "s")
        self.log = os.path.join(self.dir.name, "log")
        what = ["--config", config] if config else ["--config", "/dev/null", "--model", model, "--device", "cuda"]
        self.process = subprocess.Popen(
            [build / "airstrip", *what, "--listen", self.socket, "--log", self.log, *options], env={**os.environ, "CUDASIM_LEAKS": "1", **env}, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        wait_until(lambda: self.ready() or self.process.poll() is not None or "failed" in self.read_log(), 60)
        return self

    def __exit__(self, *exc):
        self.stop()
        self.dir.cleanup()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.said = self.process.communicate(timeout=60)[1]
        return self.process.returncode

    def ready(self):
        try:
            return fcgi.request(self.socket, "GET", "/readyz").status == 200
        except OSError:
            return False

    def read_log(self):
        return open(self.log).read() if os.path.exists(self.log) else ""

    def ask(self, ids, n=12, **more):
        body = {"model": "primary", "prompt": ids, "max_tokens": n, "temperature": 0, "ignore_eos": True, **more}
        return fcgi.request(self.socket, "POST", "/v1/completions", body)

    def ask_until_lost(self):
        """Streams until one does not end well; what it said.  For a device that fails after some launches."""
        for _ in range(40):
            answer = self.ask(PROMPTS[1], 30, stream=True)
            if b'"error"' in answer.body or answer.status != 200:
                break
        return answer.body.decode()

    def health(self):
        return fcgi.request(self.socket, "GET", "/health").json()["models"][0]


PROMPTS = [[1 + (7 * i + 3 * k) % 200 for k in range(5 + 9 * i)] for i in range(6)]


def text(answer):
    return answer.json()["choices"][0]["text"] if answer.status == 200 else answer.body
