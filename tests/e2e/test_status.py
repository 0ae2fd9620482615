"""What an operator sees: the status page and its own socket, the slow log, the access log, traces; and what nobody sees, prompts."""
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time

import fcgi_client as fcgi
from program import Program, chat, endless
from stack import SMOLLM2, wait_until
import tap

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SECRET = "the moon is made of Stilton"


def fields(text):
    """The blocks of the page's text form."""
    return [dict(re.split(r":\s+", line, maxsplit=1) for line in block.strip().splitlines() if ":" in line)
            for block in text.split("************************")]


def page(p):
    held = p.stream(endless(), headers={"x-request-id": "held-1"}, REMOTE_ADDR="192.0.2.9")
    held.wait_for(b'"delta":{"content":"')
    queued = p.stream(chat(max_tokens=3), headers={"x-request-id": "queued-1"})
    wait_until(lambda: p.health()["waiting"] == 1 and p.health()["generated_tokens"] > 0, 20)
    a = p.get("/status")
    tap.equal((a.status, a.headers["content-type"]), (200, "text/plain; charset=utf-8"), "/status is text")
    blocks = fields(a.body.decode())
    tap.ok(blocks[0]["pool"] == "airstrip" and int(blocks[0]["active processes"]) >= 3 and int(blocks[0]["accepted conn"]) > 3 and
           re.fullmatch(r"\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000", blocks[0]["start time"]), "with PHP-FPM's fields", blocks[0])
    tap.equal((len(blocks), blocks[1]["model"], blocks[1]["running"], blocks[1]["waiting"]), (2, "primary", "1", "1"), "and one block a model")
    full = p.get("/status?json&full").json()
    model = full["models"][0]
    tap.ok(model["load percent"] == 100 and model["model title"] and model["architecture"] == "llama" and model["quantisation"] == blocks[1]["quantisation"] and
           model["parameters"] > 1e8 and model["context tokens"] == 8192 and model["processor"] and model["threads"] > 0, "what runs: model, weights, processor", model)
    tap.equal(sorted(full), sorted(p.get("/status?json").json() | {"processes": 0}), "?json has the same, ?full the requests in flight as well")
    by_id = {s["id"]: s for s in full["processes"]}
    one = by_id["held-1"]
    tap.ok(one["state"] == "writing" and one["model"] == "primary" and one["address"] == "192.0.2.9" and one["prompt tokens"] > 10 and
           one["written tokens"] > 0 and one["request duration"] > 0 and one["request method"] == "POST" and
           one["request uri"] == "/v1/chat/completions" and one["content length"] > 50, "one that writes, with all about it", one)
    tap.equal((by_id["queued-1"]["state"], by_id["queued-1"]["written tokens"]), ("queued", 0), "one that waits")
    text = fields(p.get("/status?full").body.decode())
    tap.equal({b["id"] for b in text if "id" in b} >= {"held-1", "queued-1"}, True, "the text form shows them too")
    again = {s["id"]: s for s in p.get("/status?full&json").json()["processes"]}["held-1"]
    tap.ok(again["written tokens"] >= one["written tokens"] and again["request duration"] > one["request duration"], "and they go on")
    held.close()
    queued.finish()
    tap.ok(wait_until(lambda: not {"held-1", "queued-1"} & {s["id"] for s in p.get("/status?json&full").json()["processes"]}, 5),
           "who has left is gone from it")


def http(path, request, end=b"\r\n\r\n"):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(path)
        s.sendall(request + end)
        data = b""
        while True:
            more = s.recv(65536)
            if not more:
                return data
            data += more


def own_socket(p):
    """--max-connections 2: both are taken."""
    where = os.path.join(p.dir, "status.sock")
    held = [p.stream(endless()) for _ in range(2)]
    for s in held:
        s.wait_for(b'"delta":{"content":"')
    tap.equal(p.post(chat()).status, 503, "all connections are taken")
    done = subprocess.run(["curl", "-s", "--unix-socket", where, "http://x/status?json&full"], capture_output=True, timeout=20)
    tap.ok(len(json.loads(done.stdout)["processes"]) >= 2, "the status socket answers curl meanwhile", done.stdout)
    a = fcgi.request(where, "GET", "/status?json")
    tap.ok(a.status == 200 and a.json()["pool"] == "airstrip", "and FastCGI", a.body)
    tap.ok(http(where, b"GET /metrics HTTP/1.0").startswith(b"HTTP/1.1 200 OK\r\n"), "and /metrics over plain HTTP")
    tap.equal([fcgi.request(where, "GET", x).status for x in ("/livez", "/readyz", "/health")], [200] * 3, "and the probes")
    tap.equal([fcgi.request(where, m, x).status for m, x in (("GET", "/v1/models"), ("POST", "/v1/chat/completions"))], [404, 404],
              "and nothing else")
    head = http(where, b"HEAD /status HTTP/1.1\r\nHost: x")
    tap.ok(head.startswith(b"HTTP/1.1 200 OK\r\nConnection: close\r\n") and head.endswith(b"\r\n\r\n"), "HEAD has no body", head)
    for bad in (b"nonsense", b"GET /status", b"GET  HTTP/1.1", b"GET /\x01 HTTP/1.1", b"G" * 5000 + b" / HTTP/1.1"):
        if not http(where, bad).startswith(b"HTTP/1.1 400"):
            tap.ok(False, f"{bad[:20]} is a 400", http(where, bad))
    silent = [socket.socket(socket.AF_UNIX) for _ in range(100)]
    start = time.monotonic()
    for s in silent:
        s.connect(where)
    answer, took = fcgi.request(where, "GET", "/livez").status, time.monotonic() - start
    tap.ok(answer == 200 and took < 50, f"who says nothing is waited for a second, but a hundred of them not one after the other ({took:.1f} s)", answer)
    silent[-1].settimeout(60)
    tap.equal(silent[-1].recv(1), b"", "and is closed then")
    for s in silent + held:
        s.close()


def slow_log(p):
    stream = p.stream(endless(), headers={"x-request-id": "slow-1"})
    tap.ok(wait_until(lambda: any("id=slow-1" in line for line in p.log_lines("slow")), 20), "slow_request: a slow one is told while it runs")
    line = [x for x in p.log_lines("slow") if "slow-1" in x][0]
    tap.ok(all(k in line for k in (" warn slow", "state=writing", "since_ms=", "written_tokens=", "path=/v1/chat/completions")), line)
    time.sleep(1.5)
    stream.close()
    wait_until(lambda: any("id=slow-1" in line for line in p.log_lines("request")), 10)
    tap.equal(len([x for x in p.log_lines("slow") if "slow-1" in x]), 1, "once")
    p.post(chat(), headers={"x-request-id": "fast-1"})
    tap.ok(not any("fast-1" in x for x in p.log_lines("slow")), "a fast one is not")
    tap.ok(p.get("/status?json").json()["slow requests"] >= 1, "and they are counted")


def access_log(p):
    where = os.path.join(p.dir, "access")
    p.post(chat(max_tokens=5), headers={"x-request-id": "a-1", "user-agent": 'x"y\n'}, REMOTE_ADDR="192.0.2.1")
    p.get("/v1/models?x=%20y")
    wait_until(lambda: os.path.exists(where) and open(where).read().count("\n") >= 2, 5)
    lines = [x for x in open(where).read().splitlines() if "/livez" not in x and "/readyz" not in x]
    tap.ok(any(re.fullmatch(r'192\.0\.2\.1 - \[[^]]+\] "POST /v1/chat/completions" 200 \d+\.\d{3} primary \d+ 5 length a-1 "x\\"y\\x0a" - %', x)
               for x in lines), "access_log: a line in the format asked for, escaped", *lines)
    tap.ok(any('"GET /v1/models?x=%20y" 200' in x for x in lines), "with path and query")
    os.rename(where, where + ".1")
    p.signal(signal.SIGUSR1)
    tap.ok(wait_until(lambda: os.path.exists(where), 5), "SIGUSR1 opens it anew")
    done = subprocess.run([os.path.join(os.environ["AIRSTRIP_PLAIN"], "airstrip"), "--check", "--config", "/dev/null", "--model", SMOLLM2,
                           "--access-format", "%R %Z"], capture_output=True, text=True, timeout=60)
    tap.ok(done.returncode == 1 and "access_format" in done.stderr, "a bad format is refused", done.stderr)


def traces(p):
    for i, (header, good) in enumerate(((f"00-{TRACE}-{PARENT}-01", True), (f"01-{TRACE}-{PARENT}-01-more", True), (f"00-{TRACE}-{PARENT}-01x", False),
                                        (f"00-{TRACE.upper()}-{PARENT}-01", False), (f"00-{'0' * 32}-{PARENT}-01", False),
                                        (f"ff-{TRACE}-{PARENT}-01", False), ("", False), ("00-" + "a" * 5000, False))):
        p.post(chat(max_tokens=1), headers={"x-request-id": f"trace-{i}", "traceparent": header})
        wait_until(lambda: any(f"id=trace-{i} " in x for x in p.log_lines("request")), 5)
        line = [x for x in p.log_lines("request") if f"id=trace-{i} " in x][0]
        if (f"trace_id={TRACE} parent_id={PARENT}" in line) != good or ("trace_id" in line) != good:
            tap.ok(False, f"traceparent {header[:60]}", line)
            return
    tap.ok(True, "a W3C traceparent is in the log line; malformed ones are not")


def prompts(folder):
    for option, found in (("off", False), ("on", True)):
        with Program("--log-prompts", option, "--log-level", "debug", "--access-log", os.path.join(folder, "a" + option)) as p:
            for body in (chat(messages=[{"role": "user", "content": SECRET}]), chat(messages=SECRET), chat(model=5, x=SECRET)):
                p.post(body)
            s = p.stream(endless(messages=[{"role": "user", "content": SECRET}]))
            s.wait_for(b'"delta":{"content":"')
            s.close()
            p.post({"model": "primary", "content": SECRET}, path="/tokenize")
            p.process.terminate()
            p.process.wait(20)
            everything = p.read_log() + p.errors() + open(os.path.join(folder, "a" + option)).read()
            tap.equal("Stilton" in everything, found, f"log_prompts = {option}: what a client sent is {'' if found else 'not '}in the logs, at level debug")


if not SMOLLM2:
    tap.skip("the status page", "AIRSTRIP_SMOLLM2 is not set")
    tap.done()
with tempfile.TemporaryDirectory() as work:
    with Program("--max-batch-size", "1", "--slow-request", "1", "--access-log", os.path.join(work, "access"), "--access-format",
                 '%R %u [%t] "%m %r%q" %s %d %M %p %g %f %I "%{user-agent}i" %{authorization}i %%', folder=work) as server:
        for test in (page, slow_log, access_log, traces):
            tap.attempt(test, server)
with tempfile.TemporaryDirectory() as work:
    with Program("--max-connections", "2", "--status-listen", os.path.join(work, "status.sock"), folder=work) as server:
        tap.attempt(own_socket, server)
    tap.ok(not os.path.exists(os.path.join(work, "status.sock")), "at the end its socket is gone")
    tap.attempt(prompts, work)
tap.done()
