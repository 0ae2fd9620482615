"""Taking a host out of a pool: readiness says so first, requests are served as ever until balancers have seen it, then the drain begins."""
import json
import os
import signal
import socket
import tempfile
import time

from program import Program
from stack import TOP, wait_until
import tap

MODEL = os.path.join(TOP, "tests", "data", "gguf", "llama-Q8_0.gguf")


def probe(path, where="/readyz", method="GET"):
    """Status and body of a plain HTTP request, as a balancer's check makes it; 0 where nobody answers."""
    data = b""
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(path)
            s.sendall(f"{method} {where} HTTP/1.0\r\n\r\n".encode())
            while more := s.recv(65536):
                data += more
    except OSError:
        pass
    return int(data.split()[1]) if data else 0, data.partition(b"\r\n\r\n")[2]


def completion(**more):
    return dict({"model": "primary", "prompt": "a", "max_tokens": 2, "temperature": 0, "ignore_eos": True}, **more)


def ask(p):
    return p.post(completion(), "/v1/completions").status


def noticed(folder):
    """The time between the two answers 503: of readiness, and of requests."""
    notice = 5.0
    with Program("--status-listen", os.path.join(folder, "status"), "--drain-notice", f"{int(notice * 1000)}ms", model=MODEL, folder=folder) as p:
        status = os.path.join(folder, "status")
        tap.equal((probe(status)[0], probe(status, method="HEAD"), ask(p)), (200, (200, b""), 200), "before: ready, and requests are served")
        start = time.monotonic()
        p.process.terminate()
        tap.ok(wait_until(lambda: probe(status)[0] == 503, 60, 0.01), "SIGTERM: /readyz of the status socket says 503")
        body = json.loads(probe(status)[1])
        tap.equal(body["error"]["code"], "shutting_down", "and why")
        seen = {}
        after = None
        while p.process.poll() is None and after is None:
            try:
                answer = ask(p)
            except OSError:
                break
            seen[answer] = seen.get(answer, 0) + 1
            time.sleep(0.02)
            if answer != 200:
                after = time.monotonic() - start
        tap.ok(seen.get(200, 0) > 0, f"requests are served meanwhile: {seen}")
        tap.ok(after is None or after >= notice, f"the first one that is refused comes after drain_notice ({after})")
        tap.equal((p.process.wait(60), p.process.returncode), (0, 0), "then it drains and ends with 0")
        tap.ok(time.monotonic() - start >= notice, "not before drain_notice has passed")


def streams_go_on(folder):
    """What began before the signal, and in the time of notice, is finished."""
    with Program("--status-listen", os.path.join(folder, "status"), "--drain-notice", "1h", "--max-batch-size", "2", model=MODEL, folder=folder) as p:
        status = os.path.join(folder, "status")
        first = p.stream(completion(max_tokens=100), "/v1/completions")
        first.wait_for(b'"text":"')
        p.process.terminate()
        wait_until(lambda: probe(status)[0] == 503, 60, 0.01)
        second = p.stream(completion(max_tokens=100), "/v1/completions")
        for what, stream in (("before the signal", first), ("in the time of notice", second)):
            a = stream.finish()
            tap.ok(a.body.endswith(b"data: [DONE]\n\n") and b'"finish_reason":"length"' in a.body, f"a stream that began {what} is finished", a.body[-300:])
        p.process.terminate()
        tap.equal(p.process.wait(60), 0, "and it ends with 0")


def cut_short(folder):
    """Who is in a hurry sends the signal twice."""
    with Program("--status-listen", os.path.join(folder, "status"), "--drain-notice", "1h", model=MODEL, folder=folder) as p:
        status = os.path.join(folder, "status")
        p.process.terminate()
        tap.ok(wait_until(lambda: probe(status)[0] == 503, 60, 0.01), "drain_notice = 1h: not ready")
        tap.equal((ask(p), json.loads(probe(status, "/status?json")[1])["state"]), (200, "leaving"), "but serving")
        os.rename(p.log, p.log + ".1")
        p.process.send_signal(signal.SIGHUP)
        tap.ok(wait_until(lambda: os.path.exists(p.log), 60), "SIGHUP opens the log anew then")
        p.process.terminate()
        tap.equal(p.process.wait(60), 0, "a second signal ends it")


def no_take_over(folder):
    """Somebody who is leaving gives nothing away; and who gives everything away need not give notice."""
    with Program("--status-listen", os.path.join(folder, "status"), "--drain-notice", "1h", model=MODEL, folder=folder) as old:
        status = os.path.join(folder, "status")
        more = ("--status-listen", status, "--drain-notice", "1h", "--take-over", "on")
        with Program(*more, model=MODEL, folder=folder, ready=False):
            tap.ok(wait_until(lambda: old.process.poll() is not None, 60), "a process that is taken over ends at once, whatever drain_notice says")
            wait_until(lambda: probe(status)[0] == 200, 60)
            tap.equal(ask(old), 200, "and the new one serves")
            pid = json.loads(probe(status, "/status?json")[1])["pid"]
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: probe(status)[0] == 503, 60, 0.01)
            with Program(*more, model=MODEL, folder=folder, ready=False) as third:
                third.process.wait(60)
                said = third.process.stderr.read().decode()
                tap.ok(third.process.returncode == 1 and "it is shutting down" in said, "a process that is leaving gives its sockets to nobody", said)
            os.kill(pid, signal.SIGTERM)


for test in (noticed, streams_go_on, cut_short, no_take_over):
    with tempfile.TemporaryDirectory(prefix="airstrip-drain-") as work:
        tap.attempt(test, work)
tap.done()
