"""A client that leaves frees its slot in under a second: queued, in prompt evaluation, streaming.
(user complaint 2: a disconnect does not stop generation)"""
import json
import socket
import time

from program import endless
from stack import SERVERS, RawStream, Stack, wait_until
import tap

LONG = "The quick brown fox jumps over the lazy dog. " * 560      # some 6,000 tokens of prompt


def story(**more):
    return endless(**dict({"stream": True}, **more))


def counts(s):
    status = s.status()
    return status["running"], status["waiting"]


def gone_within(s, expected, name):
    """Long before the answer would have ended; how long it took is told, since others may keep the machine busy."""
    start = time.monotonic()
    good = wait_until(lambda: counts(s) == expected, 5)
    took = time.monotonic() - start
    tap.ok(good, f"{s.server}: {name}: the slot is free after {took:.2f} s", counts(s))


def streaming(s):
    stream = RawStream(s, story())
    tap.ok(stream.wait_for(b'"delta":{"content":"', 60), f"{s.server}: a stream has begun")
    time.sleep(0.3)
    stream.close()
    gone_within(s, (0, 0), "left while streaming")


def in_prefill(s):
    stream = RawStream(s, story(messages=[{"role": "user", "content": LONG}]))
    tap.ok(stream.wait_for(b": ok", 30), f"{s.server}: headers come before the prompt is evaluated")
    tap.ok(wait_until(lambda: counts(s)[0] == 1, 10), f"{s.server}: the prompt is being evaluated", counts(s))
    stream.close()
    gone_within(s, (0, 0), "left during prompt evaluation")


def buffered(s):
    """Nothing is sent before such an answer is complete, so all depends on the web server.  nginx always tells.  lighttpd does where it
    had to wait for the request, as on a connection that is used again; a request that is there as soon as the connection is, it does not
    watch (README.md)."""
    data = json.dumps(story(stream=False)).encode()
    with socket.create_connection(("127.0.0.1", s.port), timeout=60) as c:
        c.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        tap.ok(c.recv(10000).startswith(b"HTTP/1.1 200"), f"{s.server}: a connection is used")
        time.sleep(0.1)
        c.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(data) + data)
        tap.ok(wait_until(lambda: counts(s) == (1, 0), 20), f"{s.server}: an answer that is not streamed is on its way", counts(s))
    gone_within(s, (0, 0), "left before an answer that is not streamed")


def queued(s):
    """max_batch_size is 2: the third and fourth wait."""
    running = [RawStream(s, story()) for _ in range(2)]
    for r in running:
        r.wait_for(b'"delta":{"content":"', 60)
    waiting = [RawStream(s, story()) for _ in range(2)]
    for w in waiting:
        tap.ok(w.wait_for(b": ok", 20), f"{s.server}: a queued stream has its headers")
    tap.ok(wait_until(lambda: counts(s) == (2, 2), 10), f"{s.server}: two run, two wait", counts(s))
    waiting[0].close()
    gone_within(s, (2, 1), "left while queued")
    running[0].close()
    tap.ok(wait_until(lambda: counts(s) == (2, 0), 5), f"{s.server}: the next one takes the free slot", counts(s))
    tap.ok(waiting[1].wait_for(b'"delta":{"content":"', 30), f"{s.server}: and answers")
    running[1].close()
    waiting[1].close()
    gone_within(s, (0, 0), "all left")


for server in SERVERS:
    try:
        with Stack(server, options=["--max-batch-size", "2"]) as stack:
            before = stack.status()["cancelled"]
            for test in (streaming, in_prefill, buffered, queued):
                tap.attempt(test, stack)
            tap.ok(stack.status()["cancelled"] - before >= 7, f"{server}: cancelled jobs are counted", stack.status())
            tap.equal(stack.status()["kv_pages_used"], 0, f"{server}: no page of the cache is lost")
    except Exception as error:
        tap.ok(False, f"{server} starts", error)
tap.done()
