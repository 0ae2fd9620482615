"""SIGHUP, the service manager, a model file cut short, and whatever else happens to a program that runs for years."""
import os
import shutil
import signal
import socket
import tempfile

from program import Program, chat
from stack import GEMMA3, SMOLLM2, alive, key_line, wait_until
import tap

ALICE, BOB = "sk-alice-0123456789abcdefghijkl", "sk-bob-0123456789abcdefghijklmn"


def reloaded(p, n, what="reload"):
    return wait_until(lambda: len(p.log_lines(what)) >= n, 60, 0.02)


def config(**models):
    return "".join(f"[model {name}]\nmodel = {path}\n{more}" for name, (path, more) in models.items())


def keys_and_settings():
    with tempfile.TemporaryDirectory() as folder:
        keys = os.path.join(folder, "keys")
        open(keys, "w").write(key_line("alice", ALICE))
        with Program("--api-keys", keys, config=config(primary=(SMOLLM2, "")), model=None) as p:
            loads = len(p.log_lines("ready"))
            stream = p.stream(chat(max_tokens=400), key=ALICE)
            stream.wait_for(b'"delta":{"content":"')
            open(keys, "w").write(key_line("bob", BOB))
            p.write_config(config(primary=(SMOLLM2, "aliases = other-name\ndefault_max_tokens = 3\n")))
            p.signal(signal.SIGHUP)
            tap.ok(reloaded(p, 1), "SIGHUP: the configuration is read anew", p.read_log())
            tap.equal([p.post(chat(), key=k).status for k in (ALICE, BOB)], [401, 200], "keys are those of the new file")
            body = chat(model="other-name")
            body.pop("max_tokens")
            tap.equal(p.post(body, key=BOB).json()["usage"]["completion_tokens"], 3, "aliases and defaults too")
            a = stream.finish()
            tap.ok(a.body.endswith(b"data: [DONE]\n\n") and b'"finish_reason":"length"' in a.body,
                   "a stream that ran meanwhile is finished, under the key that it began with")
            tap.equal(len(p.log_lines("ready")), loads, "the model was not loaded again")

            p.write_config("nonsense = 1\n")
            p.signal(signal.SIGHUP)
            tap.ok(reloaded(p, 2) and "nonsense" in p.log_lines("reload")[-1], "a bad configuration is refused, with the reason",
                   p.log_lines("reload"))
            open(keys, "w").write("nothing\n")
            p.write_config(config(primary=(SMOLLM2, "")))
            p.signal(signal.SIGHUP)
            tap.ok(reloaded(p, 3) and ":1:" in p.log_lines("reload")[-1], "and so is a bad file of keys")
            p.write_config(config(primary=("/nowhere/x.gguf", "")))
            p.signal(signal.SIGHUP)
            tap.ok(reloaded(p, 4), "and a model that does not exist", p.log_lines("reload"))
            tap.equal(p.post(chat(model="other-name"), key=BOB).status, 200, "what was there goes on")

            open(keys, "w").write(key_line("bob", BOB))
            p.write_config("listen_mode = 0600\n" + config(primary=(SMOLLM2, "")))
            p.signal(signal.SIGHUP)
            tap.ok(reloaded(p, 6) and any("listen_mode" in line and "next start" in line for line in p.log_lines("reload")[4:]),
                   "another listen_mode takes effect at the next start, and the log warns of it", p.log_lines("reload"))
            p.signal(signal.SIGHUP)
            tap.ok(reloaded(p, 7) and "listen_mode" not in p.log_lines("reload")[-1], "once", p.log_lines("reload"))


def exchanging_models():
    """Five times back and forth under streams: nothing is lost, nothing grows."""
    if not GEMMA3:
        tap.skip("exchanging a model", "AIRSTRIP_GEMMA3 is not set")
        return
    template = os.path.join(tempfile.mkdtemp(), "t.jinja")
    open(template, "w").write("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:")
    more = "max_sequence_length = 1024\nmax_batch_size = 4\n"
    first, second = config(primary=(SMOLLM2, more)), config(primary=(GEMMA3, more + f"chat_template_file = {template}\n"))
    with Program(config=first, model=None) as p:
        answer = {}
        threads = []
        for i in range(4):
            stream = p.stream(chat(max_tokens=250))
            stream.wait_for(b'"delta":{"content":"')
            p.write_config(second if i % 2 == 0 else first)
            p.signal(signal.SIGHUP)
            served = []
            while len(p.log_lines("reload")) <= i:      # somebody asks all the time
                a = p.post(chat(max_tokens=2))
                served.append(a.status)
            a = stream.finish()
            tap.ok(a.body.endswith(b"data: [DONE]\n\n") and a.body.count(b'"finish_reason":"length"') == 1 and set(served) == {200},
                   f"exchange {i + 1}: the stream is whole, and {len(served)} requests meanwhile were served", set(served), a.body[-200:],
                   p.log_lines("reload"))
            answer.setdefault(i % 2, []).append(p.post(chat(max_tokens=8)).json()["choices"][0]["message"]["content"])
            wait_until(lambda: len(os.listdir(f"/proc/{p.pid}/task")) <= (threads[0] if threads else 1 << 30), 10)
            threads.append(len(os.listdir(f"/proc/{p.pid}/task")))
        tap.ok(answer[0][0] != answer[1][0] and answer[0][0] == answer[0][1] and answer[1][0] == answer[1][1],
               "answers are those of the model that is served", answer)
        tap.ok(max(threads) <= threads[0] + 2, f"the old engines' threads have ended ({threads})")
        metrics = p.get("/metrics").body.decode()
        tap.ok('vllm:e2e_request_latency_seconds_count{model_name="primary"}' in metrics, "and the metrics go on under the same name")


def a_file_that_is_replaced():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.gguf")
        shutil.copy(SMOLLM2, path)
        with Program(model=path) as p:
            shutil.copy(SMOLLM2, path + ".new")
            os.rename(path + ".new", path)
            p.signal(signal.SIGHUP)
            tap.ok(reloaded(p, 1) and len(p.log_lines("ready")) == 2, "a file replaced under its name is loaded at SIGHUP", p.read_log())
            p.signal(signal.SIGHUP)
            tap.ok(reloaded(p, 2) and len(p.log_lines("ready")) == 2, "one that is the same is not")


def a_file_cut_short():
    """Rows of the embedding are read where the file is mapped, as long as the model is served."""
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, "model.gguf")
        shutil.copy(SMOLLM2, model)
        os.chmod(model, 0o644)
        with Program(model=model) as p:
            good = p.post({"model": "primary", "prompt": [1001, 1002, 1003], "max_tokens": 4}, path="/v1/completions")
            tap.equal(good.status, 200, "a model answers", good.body)
            os.truncate(model, 100000)
            a = p.post({"model": "primary", "prompt": [40001, 20001, 30001], "max_tokens": 4}, path="/v1/completions")
            tap.ok(alive(p.pid), "its file cut short while it is mapped: the program lives")
            ready = p.get("/readyz")
            tap.ok(a.status == 500 and ready.status == 503 and b"cut short" in ready.body,
                   "the request fails, and /readyz says why", a.status, a.body, ready.status, ready.body)
            tap.ok(any("cut short" in line for line in p.log_lines("failed")), "and so does the log", p.read_log())
            tap.equal(p.get("/livez").status, 200, "/livez is as ever")
            shutil.copy(SMOLLM2, model)
            p.signal(signal.SIGHUP)
            tap.ok(reloaded(p, 1) and p.post(chat()).status == 200, "put back, and SIGHUP: it answers again", p.log_lines("reload"))


def stall_exit():
    """An engine that has failed does not come back by itself: with stall_exit the supervisor hears of it.  (A device that is lost
    takes the same way: tests/cuda/test_server.py.)"""
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, "model.gguf")
        shutil.copy(SMOLLM2, model)
        os.chmod(model, 0o644)
        with Program("--stall-exit", "on", config=config(primary=(model, ""), other=(SMOLLM2, "")), model=None) as p:
            stream = p.stream(chat(model="other", max_tokens=300))
            stream.wait_for(b'"delta":{"content":"')
            os.truncate(model, 100000)
            p.post({"model": "primary", "prompt": [40001, 20001, 30001], "max_tokens": 4}, path="/v1/completions")
            a = stream.finish()
            tap.ok(b'"finish_reason":"length"' in a.body and a.body.endswith(b"data: [DONE]\n\n"),
                   "stall_exit = on, and an engine has failed: what another one runs is finished", a.body[-300:])
            tap.equal(p.process.wait(60), 1, "then the program ends with 1")
            tap.ok(any("stall_exit" in line for line in p.log_lines("stop")) and "cut short" in p.errors(), "and says why", p.read_log()[-1000:])


def service_manager():
    with tempfile.TemporaryDirectory() as folder:
        for name in (os.path.join(folder, "notify"), "@airstrip-test-%d" % os.getpid()):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
                s.bind(name if name[0] == "/" else "\0" + name[1:])
                s.settimeout(30)
                with Program(env={"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3000000"}, ready=False) as p:
                    said = b""
                    while b"READY=1" not in said:
                        said += s.recv(500) + b"\n"
                    tap.equal(p.get("/readyz").status, 200, f"READY=1 comes when it is ready ({name[:1]})")
                    tap.ok(wait_until(lambda: b"WATCHDOG=1" in s.recv(500), 10), "and WATCHDOG=1 from time to time")
                    p.signal(signal.SIGHUP)
                    said = b""
                    while said.count(b"READY=1") < 1:
                        said += s.recv(500) + b"\n"
                    tap.ok(b"RELOADING=1\nMONOTONIC_USEC=" in said, "RELOADING=1, and READY=1 again", said)
                    p.signal(signal.SIGTERM)
                    said = b""
                    while b"STOPPING=1" not in said:
                        said += s.recv(500) + b"\n"
                    tap.equal(p.process.wait(20), 0, "STOPPING=1, and the end")


if not SMOLLM2:
    tap.skip("reloading", "AIRSTRIP_SMOLLM2 is not set")
    tap.done()
for test in (keys_and_settings, exchanging_models, a_file_that_is_replaced, a_file_cut_short, stall_exit, service_manager):
    tap.attempt(test)
tap.done()
