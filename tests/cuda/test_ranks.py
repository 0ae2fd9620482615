"""The program with a model that several simulated devices compute together: the text of one, batches, no memory, a device that is
lost, and what is missing."""
import os
import re
import tempfile

from program import PROMPTS, Program, build, fcgi, text
from stack import in_threads, wait_until
import tap

SMALL = ["--max-sequence-length", "256", "--max-batch-size", "6", "--prefill-chunk-size", "32"]
# keys in float32: rounded to 16 bits, one that differs in its last bit can fall on the other side
EXACT = SMALL + ["--kv-cache-type", "f32"]


def on(n, *options, **env):
    return Program("--ranks", str(n), *options, CUDASIM_DEVICES=str(n), **env)


def log_probabilities(answer):
    return answer.json()["choices"][0]["logprobs"]["token_logprobs"]


def the_same_text():
    def answers(p):
        return [p.ask(ids, 30, logprobs=0) for ids in PROMPTS[1:4]]

    with Program(*EXACT) as p:
        alone = answers(p)
    for n in (2, 3):  # of two kv heads: the third device has none
        with on(n, *EXACT) as p:
            together = answers(p)
            tap.equal([text(a) for a in together], [text(a) for a in alone], f"{n} devices say what one says", p.read_log()[-1000:])
            off = max(abs(x - y) for a, b in zip(together, alone) for x, y in zip(log_probabilities(a), log_probabilities(b)))
            tap.ok(off < 1e-3, f"with its log-probabilities ({off:.1e})")
            tap.equal(p.stop(), 0, "no findings, no leaks", p.said)


def batches():
    with on(2, *SMALL) as p:
        alone = [text(p.ask(ids)) for ids in PROMPTS]
        together = in_threads([lambda ids=ids: text(p.ask(ids)) for ids in PROMPTS])
        tap.equal(together, alone, "six at once say what each says alone")
        tap.equal(text(p.ask(PROMPTS[2][:20] + PROMPTS[3])), text(p.ask(PROMPTS[2][:20] + PROMPTS[3])), "and so does a prompt from the cache")
        tap.equal(p.stop(), 0, "no findings, no leaks", p.said)


def no_memory():
    """Each allocation of either device in turn fails: a sentence, no leak, and nobody waits for ever."""
    told, through = 0, False
    for k in range(0, 400, 3):
        with on(2, *SMALL, CUDASIM_FAIL_MALLOC=str(k)) as p:
            through = p.ready()
            log = p.read_log()
            p.stop()
            if through:
                break
            told += 1
            if not (re.search(r"needs \d+ bytes of device memory", log) and "finding" not in p.said):
                tap.ok(False, f"allocation {k} fails: a sentence, no finding", log[-2000:], p.said)
                return
    tap.ok(told > 5 and through, f"{told} allocations, each failing in turn: the sentence with needed and free bytes, no leak")


def lost_device():
    for device in (0, 1):
        with on(2, *SMALL, CUDASIM_LOSE_AFTER="400", CUDASIM_LOSE_DEVICE=str(device)) as p:
            last = p.ask_until_lost()
            tap.ok("internal_error" in last and "[DONE]" not in last, f"device {device} is lost: the request ends with an error event", last[-600:])
            tap.ok(wait_until(lambda: fcgi.request(p.socket, "GET", "/readyz").status == 503, 30), "it is not ready any more")
            said = f"{'rank 1 of 2 has failed: ' if device else ''}simulated sm_90{' number 1' if device else ''} has failed: an illegal memory access"
            tap.ok(said in p.read_log(), "the log says which, and why", p.read_log()[-800:])
            tap.ok(p.stop() in (0, 1) and "finding" not in p.said, "and it ends", p.said)
    with on(2, *SMALL, "--stall-exit", "on", CUDASIM_LOSE_AFTER="400", CUDASIM_LOSE_DEVICE="1") as p:
        def asked():
            try:
                return p.ask(PROMPTS[1], 30).status
            except OSError:
                return 0
        tap.ok(wait_until(lambda: asked() != 200, 60), "lost again")
        tap.ok(wait_until(lambda: p.process.poll() is not None, 60) and p.process.returncode == 1,
               "stall_exit = on: the program ends with 1, for its supervisor to start it anew", p.read_log()[-800:])


def what_is_missing():
    with Program("--ranks", "3", CUDASIM_DEVICES="2") as p:
        log = p.read_log()
        tap.ok(p.stop() != 0 and "3 ranks need as many CUDA devices, there are 2" in log + p.said, "more ranks than devices: a sentence", log, p.said)
    with tempfile.TemporaryDirectory() as folder:
        library = build.resolve() / "tests" / "cudasim" / ".libs" / "libcudart.so.13"
        for name in ("libcudart.so.13", "libcublas.so.13", "libcublasLt.so.13"):
            os.symlink(library, os.path.join(folder, name))
        with open(os.path.join(folder, "libnccl.so.2"), "w") as f:  # the machine may have one elsewhere
            f.write("no library at all, but found first\n")
        with Program(CUDASIM_DEVICES="2", LD_LIBRARY_PATH=folder) as p:
            tap.equal(p.ask(PROMPTS[0]).status, 200, "without NCCL one device serves")
        with Program("--ranks", "2", CUDASIM_DEVICES="2", LD_LIBRARY_PATH=folder) as p:
            log = p.read_log()
            tap.ok(p.stop() != 0 and re.search("several CUDA devices need NCCL, which does not load: .*libnccl.so.2", log + p.said), "two need it: a sentence", log, p.said)


for test in (the_same_text, batches, no_memory, lost_device, what_is_missing):
    tap.attempt(test)
tap.done()
