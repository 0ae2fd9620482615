"""One model on several processes, started by mpirun: the text of one, a part of the memory each, and what becomes of it all when one
of them dies, freezes or has something else than the others."""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

import launched
from launched import Launched
from program import Program, chat
from stack import SMOLLM2, alive, in_threads, program, wait_until
import tap

PROMPTS = ["Tell me a long story.", "Count from one to ten, and then back.", "What is a kernel?"]
SMALL = os.path.join(os.environ.get("srcdir", "."), "tests/data/gguf/llama-Q8_0.gguf")
COMMON = ["--threads", "1", "--max-sequence-length", "512", "--max-batch-size", "4", "--speculation", "off"]


def text_of(p, text, n=12):
    answer = p.post(chat(max_tokens=n, messages=[{"role": "user", "content": text}]))
    return answer.json()["choices"][0]["message"]["content"] if answer.status == 200 else (answer.status, answer.body)


def texts(p, n=12):
    return [text_of(p, text, n) for text in PROMPTS]


def one_rank():
    with Program(*COMMON) as p:
        return texts(p)


# --- the same text, a part of the memory -----------------------------------------------------------
def memory_mb(pid):
    """What a process has for itself and its share of what it maps; without the shared memory of MPI, which is no part of the model."""
    sizes, name = {"mine": 0.0, "mpi": 0.0}, ""
    for line in open(f"/proc/{pid}/smaps"):
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            name = line.split(maxsplit=5)[5] if len(line.split(maxsplit=5)) > 5 else ""
        elif line.startswith("Pss:"):
            sizes["mpi" if "vader" in name or "/ompi." in name or "/dev/shm" in name else "mine"] += int(line.split()[1]) / 1024
    return sizes["mine"]


def same_text(expected):
    """SmolLM2 has 9 heads and 3 of keys and values: parts are uneven on 2 and 4."""
    sizes = {}
    with Program(*COMMON) as p:
        sizes[1] = memory_mb(p.process.pid)
    for n in (2, 3, 4):
        with Launched(n, *COMMON) as p:
            tap.equal(texts(p), expected, f"{n} ranks write what one writes")
            sizes[n] = max(memory_mb(pid) for pid in p.pids)
            tap.ok(all(f" rank={i} " in p.read_log() for i in range(n)), "each line of the log names its rank", p.read_log()[-1500:])
    # The program, MPI and the table of embeddings are whole everywhere, and the largest part is more than an even one.
    whole = 25
    print("# MB of a rank:", {n: round(size) for n, size in sizes.items()})
    for n in (2, 3, 4):
        tap.ok(sizes[n] < whole + sizes[1] / n * 1.25, f"on {n} ranks each has about 1/{n} of the memory",
               {k: round(v) for k, v in sizes.items()})


def ends_well():
    """mpirun gives its processes a second when it is told to stop; who wants what runs finished tells rank 0."""
    with Launched(2, *COMMON) as p:
        stream = p.stream(chat(max_tokens=40))
        stream.wait_for(b"data: ")
        for pid in p.pids:      # a follower waits for what rank 0 says
            os.kill(pid, signal.SIGTERM)
        tap.ok(stream.wait_for(b"[DONE]"), "SIGTERM to all ranks lets what runs finish", stream.data[-500:])
        stream.close()
        tap.ok(wait_until(lambda: p.process.poll() is not None, 60), "and then all ranks end", p.read_log()[-1500:])
        tap.ok(p.process.returncode == 0 and "has failed" not in p.read_log() and not any(alive(pid) for pid in p.pids), "in peace",
               p.process.returncode, p.read_log()[-1500:])


def company():
    """Packed values end in other last digits than floats; who else is served changes nothing with them either."""
    with Launched(3, *COMMON, "--ranks-precision", "q8") as p:
        alone = texts(p)
        together = in_threads([lambda text=text: text_of(p, text) for text in PROMPTS])
        tap.equal(together, alone, "values of 8 bits: a text is the same alone and among others")
        tap.ok(all(isinstance(text, str) and text for text in alone), "and there is one", alone)


def families(name, n):
    """Small models of other families, whose text means nothing."""
    model, found = os.path.join(os.environ.get("srcdir", "."), "tests/data/gguf", name), []
    for make in (lambda: Program(*COMMON, model=model), lambda: Launched(n, *COMMON, model=model)):
        with make() as p:
            answer = p.post({"model": "primary", "prompt": "A b c", "max_tokens": 24, "temperature": 0, "ignore_eos": True, "logprobs": 0},
                            "/v1/completions")
            found.append(answer.json()["choices"][0]["text"] if answer.status == 200 else (answer.status, answer.body))
    tap.equal(found[1], found[0], f"{name} on {n} ranks")


def idles():
    """A hundredth of a processor is what asking for messages takes; ten would be a loop that spins."""
    with Launched(2, *COMMON) as p:
        texts(p, 4)
        before = [cpu_s(pid) for pid in p.pids]
        began = time.monotonic()
        time.sleep(8)
        spent = [(cpu_s(pid) - b) / (time.monotonic() - began) for pid, b in zip(p.pids, before)]
        tap.ok(max(spent) < 0.1, "ranks that have nothing to do take no processor", [f"{100 * s:.2f} %" for s in spent])


def cpu_s(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- one of them fails -----------------------------------------------------------------------------
def fails(what, number, running):
    """--enable-recovery: what the others do is theirs to decide; without it mpirun ends them with the first."""
    with Launched(3, *COMMON, "--ranks-timeout", "3s", launch=["--enable-recovery"]) as p:
        pid = p.pids[2]
        if running:
            stream = p.stream(chat(max_tokens=400))
            stream.wait_for(b"data: ")
        os.kill(pid, number)
        if running:
            tap.ok(stream.wait_for(b'"error"', 60) and b"[DONE]" not in stream.data, f"a rank {what}: what runs ends with an error",
                   stream.data[-500:], p.read_log()[-1500:])
            stream.close()
        gone = wait_until(lambda: p.process.poll() is not None or not any(alive(q) for q in p.pids if q != pid), 60)
        tap.ok(gone, f"a rank {what}{'' if running else ' while nothing runs'}: the others end, to be started anew", p.read_log()[-2000:])
        log = p.read_log()
        tap.ok(re.search(r"rank 2 of 3, on [^ ]+, has (ended|given no sign of life)", log), "and say which it was", log[-2000:])
        os.kill(pid, signal.SIGKILL) if alive(pid) else None
        wait_until(lambda: p.process.poll() is not None, 60)
        tap.ok(p.process.poll() is not None, "and the launcher with them", p.read_log()[-1000:])


def unready():
    """While the requests that ran are ended, whoever asks for readiness hears why there is none."""
    with Launched(2, *COMMON, "--ranks-timeout", "3s", launch=["--enable-recovery"]) as p:
        stream = p.stream(chat(max_tokens=400))
        stream.wait_for(b"data: ")
        os.kill(p.pids[1], signal.SIGKILL)
        seen = []

        def refused():
            try:
                answer = p.get("/readyz")
            except OSError:
                return bool(seen)
            if answer.status != 200:
                seen.append((answer.status, answer.body))
            return bool(seen)
        wait_until(refused, 60, 0.002)
        stream.close()
        tap.ok(not seen or seen[0][0] == 503, "/readyz is 503 as long as it is still there", seen[:3])
        tap.ok(wait_until(lambda: not alive(p.pids[0]), 60), "and then it is not", p.read_log()[-1500:])


def restarts():
    """As a service manager would: the launcher ends with an error, and is started again."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        with Launched(2, *COMMON, folder=folder) as p:
            os.kill(p.pids[1], signal.SIGKILL)
            tap.ok(wait_until(lambda: p.process.poll() is not None, 60) and p.process.returncode, "without --enable-recovery mpirun ends all",
                   p.read_log()[-1500:])
        os.rename(os.path.join(folder, "log"), os.path.join(folder, "log.old"))
        with Launched(2, *COMMON, folder=folder) as p:
            tap.ok(texts(p, 2)[0], "and they serve when it is started anew")


# --- they do not fit together ----------------------------------------------------------------------
def refused(name, words, n=2, script=None, options=(), env=None, launch=()):
    """All ranks end by themselves, and say why.  script: what each rank is started by, with its rank in OMPI_COMM_WORLD_RANK."""
    with tempfile.TemporaryDirectory() as folder:
        command = [program(), "--listen", os.path.join(folder, "s"), *COMMON, *options]
        if script:
            command = ["sh", "-c", script + '\nexec "$@"', "sh", *command]
        done = launched.run(n, command, *launch, timeout=120, **(env or {}))
        said = done.stderr + done.stdout
        tap.ok(done.returncode and re.search(words, said) and "Sanitizer" not in said, name, f"status {done.returncode}", said[-2500:])


def misfits():
    with tempfile.TemporaryDirectory() as folder:
        other = os.path.join(folder, "other.gguf")
        shutil.copy(SMOLLM2, other)
        with open(other, "r+b") as f:       # another training of the same model has other bytes nearly everywhere
            f.seek(16 << 20)
            rest = f.read()
            f.seek(16 << 20)
            f.write(rest[::-1])
        refused("a file of the same size that is another model", "the model's file: rank 1, on .* has something else than rank 0",
                script=f'if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then set -- "$@" --model {other}; else set -- "$@" --model {SMOLLM2}; fi')
        refused("another model", "the model's file: rank 1, on .* has something else",
                script=f'if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then set -- "$@" --model {SMALL}; else set -- "$@" --model {SMOLLM2}; fi')
        config = os.path.join(folder, "two.conf")
        with open(config, "w") as f:
            f.write(f"[model primary]\nmodel = {SMOLLM2}\n[model second]\nmodel = {SMOLLM2}\n")
        refused("two models", "2 models are configured, and 2 processes", options=["--config", config])
    refused("a file that one host lacks", r"no/such\.gguf",
            script=f'if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then set -- "$@" --model /no/such.gguf; else set -- "$@" --model {SMOLLM2}; fi')
    refused("other settings", "the configuration of the model: rank 1, on .* has something else",
            script='if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then set -- "$@" --ranks-precision bf16; fi', options=["--model", SMOLLM2])
    refused("an option that is wrong", "ranks_precision: expected f32, bf16 or q8", options=["--model", SMOLLM2, "--ranks-precision", "f8"])
    refused("no memory on one of them", "rank 1 of 2.*(memory|allocate|map)",
            script='if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then ulimit -v 600000; fi', options=["--model", SMOLLM2, "--kv-cache-size", "2GB",
                                                                                            "--max-sequence-length", "8192", "--max-batch-size", "64"])
    done = subprocess.run([program(), "--listen", "/nowhere/s", "--model", SMOLLM2, "--mpi", "on"], capture_output=True, text=True, timeout=60)
    tap.ok(done.returncode == 1 and "mpirun -n 2" in done.stderr, "mpi = on without a launcher", done.stderr)


def reloads():
    """What rank 0 needs alone can be read anew; another model cannot be loaded."""
    with Launched(2, *COMMON, model=None, config=f"model = {SMOLLM2}\n") as p:
        p.write_config(f"model = {SMOLLM2}\naliases = other\n")
        os.kill(p.pids[0], signal.SIGHUP)
        tap.ok(wait_until(lambda: p.post(chat(model="other")).status == 200, 60), "SIGHUP reads names anew", p.read_log()[-1500:])
        p.write_config(f"model = {SMOLLM2}\nprefix_cache = off\n")
        os.kill(p.pids[0], signal.SIGHUP)
        tap.ok(wait_until(lambda: "the 2 ranks have their model" in p.read_log(), 60), "and refuses another engine in a sentence", p.read_log()[-1500:])
        tap.ok(p.post(chat()).status == 200, "the old one serves on")


def main():
    why = launched.why_not()
    if why:
        tap.skip("one model on several processes", why)
        return
    expected = one_rank()
    tap.attempt(same_text, expected)
    tap.attempt(families, "gemma3_text-Q8_0.gguf", 2)
    tap.attempt(families, "qwen3-Q8_0.gguf", 3)
    tap.attempt(company)
    tap.attempt(ends_well)
    tap.attempt(idles)
    tap.attempt(fails, "that is killed", signal.SIGKILL, True)
    tap.attempt(fails, "that freezes", signal.SIGSTOP, True)
    tap.attempt(fails, "that is killed", signal.SIGKILL, False)
    tap.attempt(fails, "that freezes", signal.SIGSTOP, False)
    tap.attempt(unready)
    tap.attempt(restarts)
    tap.attempt(misfits)
    tap.attempt(reloads)


main()
tap.done()
