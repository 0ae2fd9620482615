"""The program around the model: answers per second, time outside of the engine, waiting streams."""
import json
import os
import subprocess
import tempfile
import time

from fcgi_client import Stream, variables, whole
from rows import limit_row
from servers import Airstrip

WAITING = 256
WATCH_S = 5
ONE_TOKEN_REQUESTS = 200


def fcgi_load(c, server, *options, cpu=None):
    command = (["taskset", "-c", cpu] if cpu else []) + [c.programs.path("tests/bench/fcgi_load"), "-s", server.socket, "-j", *options]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def answers_per_second(c):
    """The server on one processor, the client on the other."""
    with Airstrip(c.programs, c.smollm2, cpus="0") as s:
        found = [fcgi_load(c, s, "-c", "16", "-d", "1.5", cpu="1") for _ in range(c.pairs)]
    if any(f["bad"] for f in found):
        raise RuntimeError("/livez did not always answer 200")
    return limit_row("overhead/livez", "`/livez` through the FastCGI socket, server on one core", [f["per_s"] for f in found], "/s",
                     20000, most=False, digits=0)


def outside_ms(c, server, body_path):
    """From before connect() to the last byte, less what the engine says of itself; means of one client's requests."""
    before = len(server.log())
    found = fcgi_load(c, server, "-c", "1", "-n", str(ONE_TOKEN_REQUESTS), "-p", "/v1/completions", "-b", body_path)
    engine = [sum(float(line[k]) for k in ("queue_ms", "prompt_ms", "generate_ms"))
              for line in server.log()[before:] if line["event"] == "request" and "prompt_ms" in line]
    if found["bad"] or len(engine) != ONE_TOKEN_REQUESTS:
        raise RuntimeError("not every request of one token was answered")
    return found["mean_ms"] - sum(engine) / len(engine)


def one_token(c):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as body, Airstrip(c.programs, c.smollm2) as s:
        json.dump({"model": "m", "prompt": "Hello there", "max_tokens": 1, "temperature": 0}, body)
        body.flush()
        outside_ms(c, s, body.name)  # warms up
        values = [outside_ms(c, s, body.name) for _ in range(c.pairs)]
    return limit_row("overhead/token", "a request of one token: time outside of the engine, client and socket included", values, "ms", 0.3,
                     digits=3)


def begin_stream(server, max_tokens):
    body = json.dumps({"model": "m", "prompt": "Once", "max_tokens": max_tokens, "stream": True, "ignore_eos": True}).encode()
    return Stream(server.socket, whole(variables("POST", "/v1/completions", body), body))


def idle_streams(c):
    """One stream runs, the others wait behind it: only the threads that serve those are counted."""
    options = ["--max-batch-size", "1", "--max-connections", str(WAITING + 8), "--max-queued-requests", str(WAITING + 8)]
    with Airstrip(c.programs, c.smollm2, *options) as s:
        streams = [begin_stream(s, 8000)]
        streams[0].wait_for(b"data: {")
        running = set(s.cpu_ticks())
        streams += [begin_stream(s, 1) for _ in range(WAITING)]
        for stream in streams[1:]:
            stream.wait_for(b": ok")
        time.sleep(0.5)
        before = s.cpu_ticks()
        time.sleep(WATCH_S)
        after = s.cpu_ticks()
        still_running = not streams[0].ended
        for stream in streams:
            stream.close()
    waiting = [task for task in after if task not in running]
    if len(waiting) < WAITING or not still_running:
        raise RuntimeError(f"{len(waiting)} threads serve {WAITING} waiting streams; the running one goes on: {still_running}")
    ticks = sum(after[task] - before[task] for task in waiting)
    share = 100 * ticks / os.sysconf("SC_CLK_TCK") / WATCH_S
    return limit_row("overhead/idle", f"{WAITING} waiting streams: processor time", [share], "% of a core", 1)


def overhead(c):
    return [answers_per_second(c), one_token(c), idle_streams(c)]
