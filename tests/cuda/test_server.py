"""The program on a simulated device, over its FastCGI socket: batches, preemption, no memory, a device that is lost."""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

here = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(here.parent), str(here.parent / "e2e")]
os.environ.setdefault("AIRSTRIP_SMOLLM2", "")
import fcgi_client as fcgi  # noqa: E402
from stack import in_threads, wait_until  # noqa: E402
import tap  # noqa: E402

build = pathlib.Path(os.environ["AIRSTRIP_PLAIN"])
MODEL = here.parent / "data" / "gguf" / "llama-Q8_0.gguf"


class Program:
    def __init__(self, *options, model=MODEL, **env):
        self.dir = tempfile.TemporaryDirectory(prefix="airstrip-cuda-")
        self.socket = os.path.join(self.dir.name, "s")
        self.log = os.path.join(self.dir.name, "log")
        self.process = subprocess.Popen(
            [build / "airstrip", "--config", "/dev/null", "--model", model, "--listen", self.socket, "--log", self.log,
             "--device", "cuda", *options], env={**os.environ, "CUDASIM_LEAKS": "1", **env}, stderr=subprocess.PIPE, text=True)

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

    def health(self):
        return fcgi.request(self.socket, "GET", "/health").json()["models"][0]


PROMPTS = [[1 + (7 * i + 3 * k) % 200 for k in range(5 + 9 * i)] for i in range(6)]


def text(answer):
    return answer.json()["choices"][0]["text"] if answer.status == 200 else answer.body


def batches():
    with Program("--max-batch-size", "6") as p:
        tap.ok(" backend=cuda " in p.read_log(), "the log says that CUDA does it", p.read_log())
        tap.ok("no filter of system calls" in p.read_log() and "on device cuda" in p.read_log(), "and that it filters no system calls then")
        alone = [text(p.ask(ids)) for ids in PROMPTS]
        together = in_threads([lambda ids=ids: text(p.ask(ids)) for ids in PROMPTS])
        tap.equal(together, alone, "six at once say what each says alone")
        streamed = p.ask(PROMPTS[2], stream=True).body.decode()
        joined = "".join(c["text"] for e in re.findall(r"data: (\{.*)", streamed) for c in json.loads(e)["choices"])
        tap.equal(joined, alone[2], "a stream says the same")
        tap.equal(text(p.ask(PROMPTS[2])), alone[2], "and so does a prompt that is in the cache")
        tap.equal(p.stop(), 0, "no findings, no leaks", p.said)


def few_pages():
    """Keys and values of two sequences at most: the others wait, or give up their pages and come again."""
    with Program("--max-batch-size", "6", "--kv-cache-size", "64K", "--max-sequence-length", "256") as p:
        alone = [text(p.ask(ids, 60)) for ids in PROMPTS]
        together = in_threads([lambda ids=ids: text(p.ask(ids, 60)) for ids in PROMPTS])
        tap.equal(together, alone, "six in the memory of two say what each says alone")
        tap.equal(p.stop(), 0, "no findings, no leaks", p.said)


def no_memory():
    """Each allocation in turn fails: a sentence and no leak, until the program gets through."""
    told, through = 0, False
    for k in range(200):
        with Program(CUDASIM_FAIL_MALLOC=str(k)) as p:
            through = p.ready()
            log = p.read_log()
            status = p.stop()
            if through:
                break
            told += 1
            if not (re.search(r"needs \d+ bytes of device memory", log) and "finding" not in p.said):
                tap.ok(False, f"allocation {k} fails: a sentence, no finding", log[-2000:], p.said)
                return
    tap.ok(told > 5 and through, f"{told} allocations, each failing in turn: the sentence with needed and free bytes, no leak")
    with Program(CUDASIM_MEM_MB="1") as p:
        tap.ok(not p.ready() and "free" in p.read_log(), "a device too small: says what is needed and free", p.read_log())


def lost_device():
    with Program(CUDASIM_LOSE_AFTER="400") as p:
        answers = []
        for _ in range(40):
            answers.append(p.ask(PROMPTS[1], 30, stream=True))
            if b'"error"' in answers[-1].body or answers[-1].status != 200:
                break
        last = answers[-1].body.decode()
        tap.ok("internal_error" in last and "[DONE]" not in last, "the request under way ends with an error event", last[-600:])
        tap.ok(wait_until(lambda: fcgi.request(p.socket, "GET", "/readyz").status != 200, 5), "it is not ready any more")
        after = p.ask(PROMPTS[0])
        tap.ok(after.status == 500 and "internal_error" in after.body.decode(), "a new request is refused", after.status, after.body)
        tap.ok("simulated sm_90 has failed: an illegal memory access" in p.read_log(), "the log has the reason", p.read_log()[-800:])
    with Program("--stall-exit", "on", CUDASIM_LOSE_AFTER="400") as p:
        def asked():
            try:
                return p.ask(PROMPTS[1], 30).status
            except OSError:
                return 0
        tap.ok(wait_until(lambda: asked() != 200, 60), "lost again")
        tap.ok(wait_until(lambda: p.process.poll() is not None, 30) and p.process.returncode == 1,
               "stall_exit = on: the program ends with 1, for its supervisor to start it anew", p.read_log()[-800:])


for test in (batches, few_pages, no_memory, lost_device):
    tap.attempt(test)
tap.done()
