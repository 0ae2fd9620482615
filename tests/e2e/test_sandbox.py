"""What the program could do if it were taken over: the filter of system calls is there, in every thread, and in the way of nothing; weights
are mapped to be read only."""
import os
import re
import shutil
import signal
import tempfile

from program import Program, chat
from stack import GEMMA3, SMOLLM2, wait_until
import tap


def threads(pid, name="Seccomp"):
    """What each thread's status says of it."""
    found = []
    for tid in os.listdir(f"/proc/{pid}/task"):
        try:
            text = open(f"/proc/{pid}/task/{tid}/status").read()
        except OSError:
            continue
        found.append(re.search(rf"^{name}:\t(\w+)$", text, re.M).group(1))
    return found


def has_filter():
    with Program(ready=False) as p:
        wait_until(lambda: p.log_lines("sandbox"), 30)
        line = p.log_lines("sandbox")[0]
        return "no filter" not in line, line


def mapped(p, model):
    lines = [line.split() for line in open(f"/proc/{p.pid}/maps") if os.path.basename(model) in line]
    tap.ok(lines and all(line[1][:3] == "r--" for line in lines), "the model's file is mapped to be read only", lines)


def in_the_way_of_nothing():
    """One life: a model exchanged under a stream, keys and log opened anew, the status socket, a model that is not there."""
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, "model.gguf")
        shutil.copy(SMOLLM2, model)
        conf = f"status_listen = {folder}/status\naccess_log = {folder}/access\n[model primary]\nmodel = {model}\nmax_sequence_length = 1024\n"
        with Program(model=None, config=conf) as p:
            n = threads(p.pid)
            tap.ok(set(n) == {"2"}, f"all {len(n)} threads are under the filter", n)
            tap.equal(set(threads(p.pid, "NoNewPrivs")), {"1"}, "and nothing that they could run gains anything")
            mapped(p, model)
            stream = p.stream(chat(max_tokens=300))
            stream.wait_for(b'"delta":{"content":"')
            p.write_config(conf + "max_batch_size = 3\nthreads = 2\n" + (f"[model other]\nmodel = {GEMMA3}\nmax_sequence_length = 256\n" if GEMMA3 else ""))
            p.signal(signal.SIGHUP)
            tap.ok(wait_until(lambda: p.log_lines("reload"), 60), "SIGHUP: models are loaded under it", p.read_log())
            tap.ok(stream.finish().body.endswith(b"data: [DONE]\n\n"), "and a stream goes on meanwhile")
            names = ["primary"] + (["other"] if GEMMA3 else [])
            tap.equal([p.post({"model": m, "prompt": "Once", "max_tokens": 3}, path="/v1/completions").status for m in names], [200] * len(names),
                      "the new ones answer")
            schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "properties": {"a": {"type": "integer"}},
                                                                                      "required": ["a"]}}}
            tap.equal(p.post(chat(response_format=schema, ignore_eos=False)).status, 200, "a grammar is compiled")
            os.rename(p.log, p.log + ".1")
            p.signal(signal.SIGUSR1)
            tap.ok(wait_until(lambda: os.path.exists(p.log), 10), "SIGUSR1: the log is opened anew")
            p.write_config(conf.replace(model, folder + "/none.gguf"))
            p.signal(signal.SIGHUP)
            tap.ok(wait_until(lambda: p.log_lines("reload"), 30), "a model that is not there is refused as ever", p.read_log())
            for path in ("/metrics", "/status?full", "/health", "/v1/models"):
                tap.equal(p.get(path).status, 200, path)
            tap.equal(set(threads(p.pid)), {"2"}, "threads made since are under it too")
            p.signal(signal.SIGTERM)
            tap.equal(p.process.wait(60), 0, "it ends well", p.read_log())
            tap.ok("refused system call" not in p.read_log() + open(p.log + ".1").read(), "nothing was refused", p.read_log())
            tap.ok(not os.path.exists(folder + "/status") and not os.path.exists(p.socket), "and its sockets are gone")


def other_ways():
    for how, status, words in (("off", "0", "not filtered"), ("log", "2", "kernel's log")):
        with Program("--seccomp", how) as p:
            tap.ok(set(threads(p.pid)) == {status} and words in p.log_lines("sandbox")[0], f"seccomp = {how}: {words}", threads(p.pid),
                   p.log_lines("sandbox"))
            tap.equal(p.post(chat()).status, 200, "it answers")
    with Program("--seccomp", "maybe", ready=False) as p:
        tap.ok(p.process.wait(20) == 1 and b"expected on, log or off" in p.process.stderr.read(), "another word is refused")


if not SMOLLM2:
    tap.skip("the sandbox", "AIRSTRIP_SMOLLM2 is not set")
    tap.done()
there, said = has_filter()
if there:
    for test in (in_the_way_of_nothing, other_ways):
        tap.attempt(test)
else:
    tap.skip("the filter of system calls", said)
    with Program() as server:
        mapped(server, SMOLLM2)
tap.done()
