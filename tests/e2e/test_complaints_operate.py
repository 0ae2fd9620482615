"""What users of LLM servers complain of, where it is about operating one: each test is named after the complaint."""
import ctypes
import os
import re
import signal
import tempfile
import time

from program import Program, chat, endless
from stack import SERVERS, SMOLLM2, TOP, RawStream, Stack, alive, in_threads, key_line, wait_until
import tap

KEY = "sk-complaints-0123456789abcdefghij"
ATTACH, DETACH = 16, 17     # ptrace(2)


class Halted:
    """One thread of a program stands still, as if its device hung; the others go on."""

    def __init__(self, pid, name):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self.thread = [int(t) for t in os.listdir(f"/proc/{pid}/task") if open(f"/proc/{pid}/task/{t}/comm").read().strip() == name][0]

    def __enter__(self):
        if self.libc.ptrace(ATTACH, self.thread, None, None):
            raise OSError(ctypes.get_errno(), "ptrace")
        os.waitpid(self.thread, 0x40000000)     # __WALL
        return self

    def __exit__(self, *exc):
        if self.libc.ptrace(DETACH, self.thread, None, None):     # it has died meanwhile: nobody else may bury it
            os.waitpid(self.thread, 0x40000000)


def complaint_13_health_lies():
    with Program(ready=False) as p:
        seen = []
        while not seen or seen[-1][1] != 200:
            try:
                live, ready = p.get("/livez").status, p.get("/readyz").status
                seen.append((live, ready, p.post(chat(max_tokens=1)).status if ready == 200 else None))
            except OSError:
                pass
            time.sleep(0.01)
        tap.ok(set(seen[:-1]) <= {(200, 503, None)} and seen[-1] == (200, 200, 200),
               f"13: alive at once, ready (after {len(seen) - 1} times 503) only when the first request is answered", seen[-3:])
    with Program("--stall-timeout", "1") as p:
        stream = p.stream(endless())
        stream.wait_for(b'"delta":{"content":"')
        wait_until(lambda: p.health()["generated_tokens"] > 0, 20)
        try:
            with Halted(p.pid, "engine"):
                tap.ok(wait_until(lambda: p.get("/readyz").status == 503, 10), "13: an engine that makes no step for stall_timeout: /readyz 503")
                tap.equal((p.get("/readyz").json()["error"]["code"], p.get("/livez").status), ("engine_stalled", 200), "13: which says so; /livez is 200")
                tap.ok(wait_until(lambda: p.log_lines("stall"), 5), "13: and so does the log")
        except OSError as e:
            tap.skip("13: an engine that hangs", f"one thread cannot be stopped here: {e}")
            return
        tap.ok(wait_until(lambda: p.get("/readyz").status == 200, 20), "13: when it goes on, it is ready again")
        stream.close()
    with Program("--stall-timeout", "1", "--stall-exit", "on") as p:
        stream = p.stream(endless())
        stream.wait_for(b'"delta":{"content":"')
        wait_until(lambda: p.health()["generated_tokens"] > 0, 20)
        with Halted(p.pid, "engine"):
            tap.ok(wait_until(lambda: not alive(p.pid), 20), "13: stall_exit = on: it ends, for a supervisor to start it anew")
        tap.equal(p.process.wait(10), 1, "13: with 1")


def complaint_14_no_back_pressure():
    with Program("--max-batch-size", "1", "--max-queued-requests", "4") as p:
        held = p.stream(endless())
        held.wait_for(b'"delta":{"content":"')
        waiting = []
        for i in range(4):      # in this order
            waiting.append(p.stream(chat(max_tokens=100)))     # so long that busy readers see who ends first
            wait_until(lambda: p.health()["waiting"] == i + 1, 10)
        times, answers = [], []
        for _ in range(40):     # ten times what fits
            start = time.monotonic()
            answers.append(p.post(chat()))
            times.append(time.monotonic() - start)
        tap.ok({a.status for a in answers} == {503} and {a.json()["error"]["code"] for a in answers} == {"server_overloaded"} and
               all(1 <= int(a.headers["retry-after"]) <= 120 for a in answers), "14: beyond the queue 503 with Retry-After of 1 to 120 s")
        tap.ok(sorted(times)[len(times) // 2] < 0.5, f"14: at once ({sorted(times)[len(times) // 2] * 1000:.1f} ms at the median)", times)
        tap.equal(p.health()["waiting"], 4, "14: and those that wait, wait")
        held.close()
        ends = []

        def end(i):
            waiting[i].finish()
            ends.append(i)
        in_threads([lambda i=i: end(i) for i in range(4)])
        tap.equal(ends, [0, 1, 2, 3], "14: first come, first served")
    with Program("--max-batch-size", "1", "--client-priority", "on") as p:
        held = p.stream(endless())
        held.wait_for(b'"delta":{"content":"')
        streams, ends = {}, []
        for i, priority in enumerate((5, 0, -1, 5)):
            streams[priority, i] = p.stream(chat(max_tokens=100, priority=priority))
            wait_until(lambda: p.health()["waiting"] == i + 1, 10)
        held.close()
        in_threads([lambda k=k: (streams[k].finish(), ends.append(k)) for k in streams])
        tap.equal(ends, sorted(streams), "14: by priority, then in order")


def complaint_21_api_key_holes(server):
    table = re.findall(r'\{ "(\w+)", "([^"]+)", \w+, (true|false) \}', open(os.path.join(TOP, "fcgi", "api", "routes.c")).read())
    with tempfile.NamedTemporaryFile("w", suffix=".keys") as keys:
        keys.write(key_line("one", KEY))
        keys.flush()
        with Stack(server, options=["--api-keys", keys.name]) as s:
            holes = []
            for method, path, is_open in table + [("GET", "/invocations", "false"), ("POST", "/v2/x", "false"), ("GET", "/index.html", "false")]:
                path = re.sub(r"\{.*\}", "primary", path)
                body = {} if method == "POST" else None
                if s.request(method, path, body).status != (200 if is_open == "true" else 401):
                    holes.append(path)
            tap.equal((holes, sorted(p for _, p, o in table if o == "true")), ([], ["/livez", "/readyz"]),
                      f"21: {server}: every route but liveness and readiness is 401 without a key ({len(table)} of them)")
            tap.equal(s.request("POST", "/v1/chat/completions", chat(), {"Authorization": "Bearer " + KEY}).status, 200, f"21: {server}: the key opens them")
            shown = open(f"/proc/{s.pid}/cmdline").read() + open(f"/proc/{s.pid}/environ").read() + s.read_log() + keys.name
            tap.ok(KEY not in shown and KEY not in open(keys.name).read(), f"21: {server}: it stands in no argument, environment, log or file")


def complaint_22_sigterm_cuts_answers(server):
    with Stack(server, options=["--drain-timeout", "60"]) as s:
        body = chat(stream=True, max_tokens=150)
        streams = [RawStream(s, body) for _ in range(4)]
        for x in streams:
            x.wait_for(b'"delta":{"content":"')
        held = RawStream(s, endless(stream=True))       # until all is looked at
        held.wait_for(b'"delta":{"content":"')
        os.kill(s.pid, signal.SIGTERM)
        wait_until(lambda: s.request("GET", "/readyz").status == 503, 20, 0.01)
        a = s.request("POST", "/v1/chat/completions", chat())
        tap.equal((a.status, a.json()["error"]["code"]), (503, "shutting_down"), f"22: {server}: SIGTERM: new requests are 503")

        def drain(x):
            while x.read_some():
                pass
            return x.data
        tap.ok(all(b"data: [DONE]" in d and b'"finish_reason":"length"' in d for d in in_threads([lambda x=x: drain(x) for x in streams])),
               f"22: {server}: what runs is finished")
        held.close()
        tap.ok(wait_until(lambda: not alive(s.pid), 20), f"22: {server}: then it ends")
        s.spawn()
        s.wait_ready()
        stream = RawStream(s, endless(stream=True))
        stream.wait_for(b'"delta":{"content":"')
        os.kill(s.pid, signal.SIGTERM)
        wait_until(lambda: s.request("GET", "/readyz").status == 503, 5, 0.01)
        os.kill(s.pid, signal.SIGTERM)
        data = drain(stream)
        tap.ok(b'"code":"shutting_down"' in data and b"[DONE]" not in data, f"22: {server}: a second one ends it with an error event", data[-300:])
        tap.ok(wait_until(lambda: not alive(s.pid), 20), f"22: {server}: at once")
    with Program("--drain-timeout", "1") as p:
        stream = p.stream(endless())
        stream.wait_for(b'"delta":{"content":"')
        p.signal(signal.SIGTERM)
        tap.ok(b'"code":"shutting_down"' in stream.finish().body and p.process.wait(20) == 0, f"22: {server}: and so does drain_timeout")


if not SMOLLM2:
    tap.skip("complaints about operation", "AIRSTRIP_SMOLLM2 is not set")
    tap.done()
tap.attempt(complaint_13_health_lies)
tap.attempt(complaint_14_no_back_pressure)
for name in SERVERS:
    tap.attempt(complaint_21_api_key_holes, name)
    tap.attempt(complaint_22_sigterm_cuts_answers, name)
tap.done()
