"""Killed and respawned, the web server recovers without help; SIGTERM lets running answers finish."""
import os
import re
import signal
import time

from program import endless
from stack import SERVERS, RawStream, Stack, alive, in_threads, wait_until
import tap


def story(**more):
    return dict({"model": "primary", "temperature": 0, "stream": True, "max_tokens": 150, "ignore_eos": True,
                 "messages": [{"role": "user", "content": "Tell me a long story."}]}, **more)


def killed_and_respawned(s):
    stream = RawStream(s, endless(stream=True))
    stream.wait_for(b'"delta":{"content":"')
    os.kill(s.pid, signal.SIGKILL)
    wait_until(lambda: not alive(s.pid), 10)
    while stream.read_some():
        pass
    tap.ok(b"[DONE]" not in stream.data, f"{s.server}: a stream that was killed does not say [DONE]")
    answer = s.request("GET", "/livez")
    tap.ok(answer.status in (500, 502, 503), f"{s.server}: while it is gone the web server says so ({answer.status})")
    s.spawn()
    start = time.monotonic()
    good = wait_until(lambda: s.request("GET", "/readyz").status == 200, 30)
    tap.ok(good, f"{s.server}: respawned, it is reached again after {time.monotonic() - start:.1f} s")
    answer = s.request("POST", "/v1/chat/completions", story(stream=False, max_tokens=3))
    tap.equal(answer.status, 200, f"{s.server}: and answers")


def sigterm_in_the_middle(s):
    held = RawStream(s, endless(stream=True))       # until all is looked at
    held.wait_for(b'"delta":{"content":"')
    streams = [RawStream(s, story()) for _ in range(8)]
    for stream in streams:
        stream.wait_for(b'"delta":{"content":"')
    os.kill(s.pid, signal.SIGTERM)
    wait_until(lambda: s.request("GET", "/readyz").status == 503, 20)
    answer = s.request("POST", "/v1/chat/completions", story(stream=False, max_tokens=1))
    tap.ok(answer.status == 503 and answer.json()["error"]["code"] == "shutting_down" and answer.headers.get("Retry-After"),
           f"{s.server}: new requests get 503 while it drains", answer.status, answer.body[:300])

    def drain(stream):
        while stream.read_some():
            pass
        return stream.data
    for i, data in enumerate(in_threads([lambda st=st: drain(st) for st in streams])):
        chunks = data.count(b'"delta":{"content":"')
        tap.ok(b"data: [DONE]" in data and b'"finish_reason":"length"' in data and chunks > 50,
               f"{s.server}: stream {i + 1} of 8 is complete after SIGTERM ({chunks} events)", data[-300:])
    held.close()
    tap.ok(wait_until(lambda: not alive(s.pid), 60), f"{s.server}: then the program ends")
    log = s.read_log()
    tap.ok(" info " in log and "failed" not in log.split("drain")[-1], f"{s.server}: and the log says nothing bad", log[-800:])


def log_lines(s):
    s.request("POST", "/v1/chat/completions", story(stream=False, max_tokens=3), headers={"x-request-id": "abc-123"})
    wait_until(lambda: "abc-123" in s.read_log(), 5)
    log = s.read_log()
    ready = [line for line in log.splitlines() if " info ready" in line]
    tap.ok(ready and all(k in ready[0] for k in ("isa=", "threads=")), f"{s.server}: start is summed up in one line", log[:1500])
    line = [x for x in log.splitlines() if "abc-123" in x]
    tap.ok(line and all(k in line[0] for k in ("status=200", "queue_ms=", "prompt_ms=", "generate_ms=", "prompt_tokens=",
                                               "completion_tokens=3", "finish=length")),
           f"{s.server}: a request is one line with times and tokens", *line)
    tap.ok(all(re.match(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warn|error) \S+", x) for x in log.splitlines()),
           f"{s.server}: every line is time, level, event")


for server in SERVERS:
    try:
        with Stack(server) as stack:
            tap.attempt(log_lines, stack)
            tap.attempt(killed_and_respawned, stack)
            tap.attempt(sigterm_in_the_middle, stack)
    except Exception as error:
        tap.ok(False, f"{server} starts", error)
tap.done()
