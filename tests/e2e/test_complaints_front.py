"""What users complain of that has to do with the web server in front, each test named after its complaint.

1   a stream arrives in one burst
2   a client that leaves does not stop its generation
15  silence kills connections
"""
import json
import os
import socket
import statistics
import tempfile
import time

from program import Program, chat, endless
from stack import SMOLLM2, free_port, wait_until
from webservers import KNOWN, WebServer, missing
import tap

TOKENS = 400
STORY = [{"role": "user", "content": "Tell me a long story."}]
# The time after which each gives up a silent answer, made short, as an operator's default would be to a long prompt.
SHORT = {"nginx": ("fastcgi_read_timeout 3600s", "fastcgi_read_timeout 2s"), "apache": ("timeout=3600", "timeout=2"),
         "haproxy": ("timeout server 3600s", "timeout server 2s"),
         "lighttpd": ('"check-local" => "disable",', '"check-local" => "disable", "read-timeout" => 2,')}
TELLS_BEFORE_AN_ANSWER = ("nginx",)


class Client:
    """A POST over a bare connection: .came are the times at which events were read."""

    def __init__(self, port, body):
        data = json.dumps(body).encode()
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.sock.sendall((f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\nContent-Type: application/json\r\n"
                           f"Connection: close\r\nContent-Length: {len(data)}\r\n\r\n").encode() + data)
        self.data, self.came = b"", []

    def read_some(self):
        more = self.sock.recv(65536)
        self.data += more
        if b'"delta":{"content":"' in more:
            self.came.append(time.monotonic())
        return more

    def wait_for(self, sign):
        while sign not in self.data and self.read_some():
            pass
        return sign in self.data

    def close(self):
        self.sock.close()


def gaps(came):
    return statistics.median(b - a for a, b in zip(came, came[1:]))


def complaint_1_a_stream_arrives_in_one_burst(p, web):
    body = chat(stream=True, max_tokens=TOKENS, messages=STORY)
    direct, came = p.stream(body), []
    while not direct.ended and direct.read_some():
        came.append(time.monotonic())
    direct.close()
    c = Client(web.port, body)
    whole = c.wait_for(b"data: [DONE]")
    c.close()
    # On a busy machine a read finds many; a burst would be one or two.
    tap.ok(whole and len(c.came) >= 8, f"1, {web.name}: {TOKENS} tokens come in {len(c.came)} reads, {len(came)} on the socket",
           c.data[-300:])
    tap.ok(c.came[0] < c.came[-1] - (c.came[-1] - c.came[0]) / 2 and gaps(c.came) < 0.5,
           f"1, {web.name}: with gaps as they were generated: {gaps(c.came) * 1000:.1f} ms, {gaps(came) * 1000:.1f} ms on the socket")
    tap.ok(b"content-encoding" not in c.data.split(b"\r\n\r\n")[0].lower(), f"1, {web.name}: not compressed", c.data[:500])


def counts(p):
    h = p.health()
    return h["running"], h["waiting"]


def complaint_2_a_client_that_leaves_does_not_stop_its_generation(p, web):
    """--max-batch-size 1, --ping-interval 1: who is told nothing is found by the next ping."""
    long = endless(stream=True, messages=STORY)
    before = p.health()["cancelled"]
    first, second = Client(web.port, long), None
    tap.ok(first.wait_for(b'"delta":{"content":"'), f"2, {web.name}: a stream runs")
    second = Client(web.port, long)
    second.wait_for(b": ok")
    wait_until(lambda: counts(p) == (1, 1), 10)
    second.close()
    tap.ok(wait_until(lambda: counts(p)[1] == 0, 12), f"2, {web.name}: who leaves the queue is out of it", counts(p))
    first.close()
    tap.ok(wait_until(lambda: counts(p) == (0, 0), 5), f"2, {web.name}: who leaves a stream ends it", counts(p))
    if web.name in TELLS_BEFORE_AN_ANSWER:
        c = Client(web.port, dict(long, stream=False))
        wait_until(lambda: counts(p)[0] == 1, 10)
        c.close()
        tap.ok(wait_until(lambda: counts(p) == (0, 0), 5), f"2, {web.name}: and who leaves before a buffered answer", counts(p))
    else:
        tap.skip(f"2, {web.name}: who leaves before a buffered answer", "it does not tell before an answer has begun")
    cancelled = p.health()["cancelled"] - before
    tap.ok(cancelled >= 2, f"2, {web.name}: they are counted as cancelled: {cancelled}")


def complaint_15_silence_kills_connections(p, web, pings):
    """The web server gives up after 2 s of silence, and a request waits 5 s for its turn."""
    running = p.stream(endless())
    running.wait_for(b'"delta":{"content":"')
    c = Client(web.port, chat(stream=True))
    end = time.monotonic() + 5
    c.sock.settimeout(0.5)
    while time.monotonic() < end:
        try:
            if not c.read_some():
                break
        except TimeoutError:
            pass
    running.close()
    c.sock.settimeout(60)
    try:
        whole = c.wait_for(b"data: [DONE]")
    except OSError:
        whole = False
    c.close()
    if pings:
        tap.ok(whole and c.data.count(b": ping") >= 3, f"15, {web.name}: pings carry a stream through 5 s of silence", c.data[-400:])
    else:
        tap.ok(not whole and b": ping" not in c.data, f"15, {web.name}: without pings (ping_interval = 0) it would not have come", c.data[-400:])
    wait_until(lambda: counts(p) == (0, 0), 20)


def errors_come_before_pings(web):
    c = Client(web.port, chat(stream=True, model="nobody"))
    while c.read_some():
        pass
    tap.ok(b" 404 " in c.data.split(b"\r\n")[0] and b": ok" not in c.data, f"15, {web.name}: an error is still a status", c.data[:300])
    c.close()


def with_servers(options, tests, short):
    with Program("--max-batch-size", "1", "--listen-mode", "0666", *options) as p:
        for name in [n for n, known in KNOWN.items() if not known[3]]:
            if missing(name):
                tap.skip(name, missing(name))
                continue
            if short and name not in SHORT:
                tap.skip(f"15, {name}", "its read_timeout is for a whole answer, pings or not; the file sets none")
                continue
            changes = [("/run/airstrip/airstrip.sock", p.socket)] + ([SHORT[name]] if short else [])
            with tempfile.TemporaryDirectory(prefix="airstrip-front-") as folder:
                os.chmod(folder, 0o755)
                try:
                    with WebServer(name, folder, free_port(), changes=changes) as web:
                        for test in tests:
                            tap.attempt(test, p, web)
                except Exception as e:
                    tap.ok(False, f"{name} starts", e)


if not SMOLLM2:
    tap.skip("complaints", "AIRSTRIP_SMOLLM2 is not set")
    tap.done()
with_servers(["--ping-interval", "1", "--speculation", "off"], [complaint_1_a_stream_arrives_in_one_burst, complaint_2_a_client_that_leaves_does_not_stop_its_generation], False)
with_servers(["--ping-interval", "1"], [lambda p, web: complaint_15_silence_kills_connections(p, web, True),
                                        lambda p, web: errors_come_before_pings(web)], True)
with_servers(["--ping-interval", "0"], [lambda p, web: complaint_15_silence_kills_connections(p, web, False)], True)
tap.done()
