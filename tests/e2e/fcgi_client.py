"""A FastCGI client: what a web server says to the program, without a web server.

    request(path, "POST", "/v1/chat/completions", {...}).json()
    s = Stream(path, body); s.wait_for(b"data:"); s.close()

Records as in the FastCGI specification, section 3.3; addresses are a socket's path or (host, port).
"""
import json
import socket
import struct
import time

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT = 1, 2, 3, 4, 5, 6
RESPONDER, AUTHORIZER, KEEP_CONN = 1, 2, 1


def record(kind, content=b"", request_id=1):
    return struct.pack(">BBHHBx", 1, kind, request_id, len(content), 0) + content


def begin(role=RESPONDER, flags=0):
    return record(BEGIN, struct.pack(">HB5x", role, flags))


def length(n):
    return bytes([n]) if n < 128 else struct.pack(">I", n | 0x80000000)


def pairs(variables):
    out = b""
    for name, value in variables.items():
        n, v = name.encode(), value.encode()
        out += length(len(n)) + length(len(v)) + n + v
    return out


def stream(kind, data, end=True):
    out = b"".join(record(kind, data[i:i + 60000]) for i in range(0, len(data), 60000))
    return out + (record(kind) if end else b"")


def variables(method, path, body=b"", headers=(), **more):
    v = {"REQUEST_METHOD": method, "REQUEST_URI": path, "CONTENT_LENGTH": str(len(body)),
         "CONTENT_TYPE": "application/json", "SERVER_PROTOCOL": "HTTP/1.1"}
    for name, value in dict(headers).items():
        v["HTTP_" + name.upper().replace("-", "_")] = value
    v.update(more)
    return {name: value for name, value in v.items() if value is not None}


def whole(v, body=b"", role=RESPONDER, flags=0):
    """All records of one request."""
    return begin(role, flags) + stream(PARAMS, pairs(v)) + stream(STDIN, body)


def connect(address, timeout=60):
    s = socket.socket(socket.AF_UNIX if isinstance(address, str) else
                      socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    s.settimeout(timeout)
    s.connect(address)
    return s


class Stream:
    """A request in flight; .data is what came on STDOUT so far, .ended whether END_REQUEST came."""

    def __init__(self, address, raw, timeout=60):
        self.sock = connect(address, timeout)
        self.sock.sendall(raw)
        self.pending, self.data, self.ended, self.closed = b"", b"", False, False
        self.told = None    # called with the answer when there is nothing more to come

    def read_some(self):
        more = self.sock.recv(65536)
        self.closed = not more
        self.pending += more
        while len(self.pending) >= 8:
            kind, _, size, padding = struct.unpack(">xBHHBx", self.pending[:8])
            if len(self.pending) < 8 + size + padding:
                break
            content = self.pending[8:8 + size]
            self.pending = self.pending[8 + size + padding:]
            if kind == STDOUT:
                self.data += content
            elif kind == END:
                self.ended = True
        return not self.closed

    def wait_for(self, needle, seconds=60):
        end = time.monotonic() + seconds
        while needle not in self.data and not self.ended and time.monotonic() < end and self.read_some():
            pass
        return needle in self.data

    def finish(self):
        while not self.ended and self.read_some():
            pass
        return self.tell()

    def tell(self):
        answer, told, self.told = Answer(self.data, self.ended), self.told, None
        if told and answer.status:
            told(answer)
        return answer

    def close(self):
        self.sock.close()
        self.tell()


class Answer:
    def __init__(self, data, ended):
        head, _, self.body = data.partition(b"\r\n\r\n")
        self.ended, self.status, self.headers = ended, 0, {}
        for line in head.decode("latin-1").split("\r\n"):
            name, _, value = line.partition(": ")
            self.headers[name.lower()] = value
        if self.headers.get("status"):
            self.status = int(self.headers["status"].split()[0])

    def json(self):
        return json.loads(self.body)


def request(address, method, path, body=None, headers=(), timeout=60, role=RESPONDER, flags=0, **more):
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    s = Stream(address, whole(variables(method, path, data, headers, **more), data, role, flags), timeout)
    try:
        return s.finish()
    finally:
        s.close()
