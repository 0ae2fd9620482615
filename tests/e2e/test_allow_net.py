"""Airstrip on a TCP port of one host, a web server on another, and a stranger on a third; the hosts are network namespaces."""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

from stack import TOP, program, wait_until
import tap
from webservers import WebServer, missing

sys.path.insert(0, os.path.join(TOP, "tests", "net"))
import nets  # noqa: E402

MODEL = os.path.join(TOP, "tests", "data", "gguf", "llama-Q8_0.gguf")
# Hosts of this test alone, so that nobody else can have these ports.
FASTCGI, STATUS, HTTP = 9000, 9001, 3003


def get(host, url, body=None):
    """Status and body, asked from that host; 0 where the connection was closed without an answer."""
    try:
        with host.inside(), urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"}), timeout=60) as a:
            return a.status, a.read()
    except urllib.error.HTTPError as e:
        with e:
            return e.code, e.read()
    except (urllib.error.URLError, ConnectionError):
        return 0, b""


def completion(**more):
    return json.dumps(dict({"model": "primary", "prompt": "a", "max_tokens": 5, "temperature": 0, "ignore_eos": True}, **more)).encode()


class Hosts:
    def __init__(self, net, folder):
        self.web, self.stranger, self.gpu = net.host("web"), net.host("stranger"), net.host("gpu")
        net.link(self.web, self.gpu)
        net.link(self.stranger, self.gpu)
        self.log, self.config = os.path.join(folder, "log"), os.path.join(folder, "airstrip.conf")
        self.write(self.web.address)
        self.process = self.gpu.popen([program(), "--config", self.config, "--log", self.log], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.status = f"http://{self.gpu.address}:{STATUS}"

    def write(self, allowed):
        with open(self.config, "w") as f:
            f.write(f"listen = 0.0.0.0:{FASTCGI}\nlisten_allow = {allowed}\nstatus_listen = {self.gpu.address}:{STATUS}\n"
                    f"status_allow = {self.web.address}, {self.gpu.address}\nmodel = {MODEL}\n")

    def read_log(self):
        return open(self.log, errors="replace").read() if os.path.exists(self.log) else ""


def behind_nginx(h, url):
    tap.ok(wait_until(lambda: get(h.web, h.status + "/readyz")[0] == 200, 60), "the status port says that it is ready, over plain HTTP", h.read_log()[-2000:])
    status, body = get(h.web, url + "/v1/completions", completion())
    tap.ok(status == 200 and json.loads(body)["usage"]["completion_tokens"] == 5, "nginx on another host passes requests on", status, body)
    status, body = get(h.web, url + "/v1/completions", completion(stream=True))
    tap.ok(status == 200 and body.endswith(b"data: [DONE]\n\n"), "and streams", status, body[-300:])


def closed_to_others(h):
    """A connection that is closed by the other end before anything is answered."""
    for who, host, name in (("a host that is not on the list", h.stranger, "stranger"), ("the host itself, which is not on it either", h.gpu, "gpu")):
        with host.inside(), socket.create_connection((h.gpu.address, FASTCGI), 60) as s:
            try:
                tap.equal(s.recv(100), b"", f"{who} is closed at once")
            except ConnectionResetError:
                tap.ok(True, f"{who} is closed at once")
        tap.ok(wait_until(lambda host=host: f"peer={host.address}" in h.read_log(), 20), f"and the log names it ({name})", h.read_log()[-1000:])
    tap.equal(get(h.stranger, h.status + "/readyz")[0], 0, "the status port is closed to the stranger")
    page = json.loads(get(h.web, h.status + "/status?json")[1])
    tap.equal(page["not allowed"], 3, "/status counts all three")


def list_changes(h, url):
    h.write(h.stranger.address)
    h.process.send_signal(signal.SIGHUP)
    tap.ok(wait_until(lambda: get(h.web, url + "/livez")[0] == 502, 60), "SIGHUP takes nginx's host from the list: it has no answer any more", h.read_log()[-1000:])
    h.write(f"{h.stranger.address}, {h.web.address}/32")
    h.process.send_signal(signal.SIGHUP)
    tap.ok(wait_until(lambda: get(h.web, url + "/v1/completions", completion())[0] == 200, 60), "and puts it there again", h.read_log()[-1000:])


why = nets.missing() or missing("nginx")
if why:
    tap.skip("a web server on another host", why)
    tap.done()
with nets.Net() as network, tempfile.TemporaryDirectory(prefix="airstrip-allow-net-") as work:
    hosts = Hosts(network, work)
    server = WebServer("nginx", work, HTTP, changes=[("unix:/run/airstrip/airstrip.sock", f"{hosts.gpu.address}:{FASTCGI}")])
    server.command = hosts.web.command(server.command)
    try:
        with server:
            tap.attempt(behind_nginx, hosts, server.url)
            tap.attempt(closed_to_others, hosts)
            tap.attempt(list_changes, hosts, server.url)
            hosts.process.terminate()
            tap.equal(hosts.process.wait(60), 0, "the program ends with 0")
    finally:
        if hosts.process.poll() is None:
            hosts.process.kill()
            hosts.process.wait()
        hosts.process.stderr.close()
tap.done()
