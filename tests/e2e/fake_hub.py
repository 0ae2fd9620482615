"""A hub on loopback, as much of one as airstrip-fetch and huggingface_hub ask for, that misbehaves on demand.

    with Hub() as hub:
        hub.add("org/model", {"config.json": b"{}", "model.safetensors": bytes(100000)})
        hub.fault("model.safetensors", cut(30000), status(503))     # the next two answers for that file
"""
import hashlib
import http.server
import json
import socket
import threading
import time
import urllib.parse

LARGE = 1024    # files from this size on are kept as LFS does: called by their SHA-256


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def blob_id(data):
    return hashlib.sha256(data).hexdigest() if len(data) >= LARGE else git_sha1(data)


# --- faults: functions of a handler and the bytes it would send; None: they have answered ---------
def status(code, headers=()):
    return lambda h, data: h.answer(code, b"no", dict(headers))


def cut(after):
    """The connection breaks after so many bytes of the body."""
    return lambda h, data: h.send_file(data, cut_after=after)


def stall(after, seconds):
    return lambda h, data: h.send_file(data, cut_after=after, pause=seconds)


def wrong(h, data):
    """The same number of bytes, one of them another."""
    return h.send_file(data[:-1] + bytes([data[-1] ^ 1]))


def no_ranges(after=None):
    return lambda h, data: h.send_file(data, cut_after=after, ranges=False)


def other_range(h, data):
    """A range that begins elsewhere than was asked."""
    return h.send_file(data, shift=7)


def longer(h, data):
    return h.send_file(data + b"more")


def shorter(h, data):
    return h.send_file(data[:-10])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, code, body=b"", headers=None):
        self.send_response(code)
        for k, v in (headers or {}).items():
            self.send_header(k, v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_file(self, data, cut_after=None, pause=0, ranges=True, shift=0):
        asked = self.headers.get("Range") if ranges else None
        start = int(asked[6:].split("-")[0]) if asked else 0
        if start and start >= len(data):
            return self.answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
        start += shift
        body = data[start:]
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{blob_id(data)}"')
        self.end_headers()
        if self.command == "HEAD":
            return None
        sent = body if cut_after is None else body[:cut_after]
        self.server.hub.sent[self.name] = self.server.hub.sent.get(self.name, 0) + len(sent)
        self.wfile.write(sent)
        self.wfile.flush()
        if cut_after is not None:
            time.sleep(pause)
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        return None

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        hub, path = self.server.hub, urllib.parse.unquote(self.path)
        self.name = path.split("/resolve/", 1)[1].split("/", 1)[1] if "/resolve/" in path else "api"
        with hub.lock:
            hub.requests.append((self.command, path, dict(self.headers)))
            faults, forever = hub.faults.get(self.name, ([], False)) if self.command == "GET" else ([], False)
            fault = (faults[0] if forever else faults.pop(0)) if faults else None
        try:
            if path.startswith("/elsewhere/"):
                return self.send_file(hub.elsewhere[path])
            return self.repo(hub, path, fault)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def repo(self, hub, path, fault):
        for old, new in hub.renamed.items():
            if path.startswith(f"/api/models/{old}/"):
                return self.answer(307, b"", {"Location": self.path.replace(f"/{old}/", f"/{new}/", 1)})
            if path.startswith(f"/{old}/resolve/"):
                return self.answer(307, b"", {"Location": self.path.replace(f"/{old}/", f"/{new}/", 1)})
        repo = next((r for r in hub.repos if path.startswith((f"/api/models/{r}/", f"/{r}/resolve/"))), None)
        if not repo:
            return self.answer(404, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            return self.answer(401, b"", {"X-Error-Message": "Invalid credentials"})
        files, commit = hub.repos[repo]
        if self.name == "api":
            body = hub.listing(repo)
            return fault(self, body) if fault else self.answer(200, body, {"Content-Type": "application/json"})
        if self.name not in files:
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        data = files[self.name]
        if fault:
            return fault(self, data)
        if self.command == "HEAD":
            return self.answer(200, data, {"X-Repo-Commit": commit, "ETag": f'"{blob_id(data)}"'})
        if hub.redirect_to and len(data) >= LARGE:
            hub.redirect_to.elsewhere["/elsewhere/" + self.name] = data
            return self.answer(302, b"", {"Location": f"{hub.redirect_to.url}/elsewhere/{urllib.parse.quote(self.name)}"})
        return self.send_file(data)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Clients that leave are what is tested here."""


class Hub:
    def __init__(self):
        self.repos, self.renamed, self.faults, self.elsewhere, self.sent = {}, {}, {}, {}, {}
        self.requests, self.lock = [], threading.Lock()
        self.token = self.redirect_to = self.raw_listing = None

    def __enter__(self):
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.hub = self
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def add(self, repo, files):
        commit = hashlib.sha1(repr(sorted((k, blob_id(v)) for k, v in files.items())).encode()).hexdigest()
        self.repos[repo] = (files, commit)
        return commit

    def fault(self, name, *faults, forever=False):
        """How the next GETs for the file are answered; forever: all of them as the first."""
        self.faults[name] = list(faults), forever

    def asked(self, name):
        """The GETs for a file: their headers."""
        return [headers for command, path, headers in self.requests if command == "GET" and path.endswith("/" + name)]

    def listing(self, repo):
        if self.raw_listing is not None:
            return self.raw_listing
        files, commit = self.repos[repo]
        siblings = []
        for name, data in files.items():
            one = {"rfilename": name, "size": len(data), "blobId": git_sha1(data)}
            if len(data) >= LARGE:
                one["lfs"] = {"sha256": blob_id(data), "size": len(data), "pointerSize": 134}
            siblings.append(one)
        return json.dumps({"id": repo, "sha": commit, "private": False, "siblings": siblings}).encode()
