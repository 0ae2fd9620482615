"""Every web server of conf/, from an installed tree: what clients send arrives, and what Airstrip sends comes when it is sent.

One Airstrip, all web servers that attach to its socket; then those that start it themselves.
"""
import json
import os
import shutil
import socket
import ssl
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib

from stack import SMOLLM2, alive, end_process, free_port, wait_until
from webservers import KNOWN, PREFIX, WebServer, installed, missing
import tap

EVENTS, INTERVAL_MS = 30, 50
SILENCE_S = 65      # longer than the minute after which nginx and Apache give up if they are not told otherwise
EARLY = ("nginx", "lighttpd")       # tell that a client has left while nothing is sent


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    def error(self):
        return self.json().get("error", {})

    def __repr__(self):
        return f"{self.status} {dict(self.headers)} {self.body[:300]!r}"


def ask(web, method, path, body=None, headers=(), timeout=30):
    request = urllib.request.Request(web.url + path, data=body, method=method, headers=dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=timeout) as r:
            return Answer(r.status, r.headers, r.read())
    except urllib.error.HTTPError as e:
        return Answer(e.code, e.headers, e.read())
    except OSError as e:
        return Answer(0, {}, str(e).encode())


class Curl:
    """A request by curl, read as it comes: .reads are (time in ms, bytes)."""

    def __init__(self, url, *options):
        self.reads, self.first = [], None
        command = ["curl", "-sSkN", "-m", "60", "-D", "-", *options, url]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while True:
            data = os.read(process.stdout.fileno(), 1 << 16)
            if not data:
                break
            self.reads.append((time.time() * 1000, data))
        self.error = process.stderr.read().decode()
        self.rc = process.wait()
        process.stdout.close()
        process.stderr.close()
        head, _, self.body = b"".join(data for _, data in self.reads).partition(b"\r\n\r\n")
        self.head = head.decode("latin-1").lower()

    def events(self):
        """(when it came, what it says) of each event; how many reads had any."""
        found, rest, n_reads = [], b"", 0
        for when, data in self.reads:
            *lines, rest = (rest + data).split(b"\n")
            lines = [line for line in lines if line.startswith(b'data: {"event"')]
            found += [(when, json.loads(line[6:])) for line in lines]
            n_reads += bool(lines)
        return found, n_reads


def events_as_sent(name, url, *options):
    """A web server that collects does so each time; a busy machine that lets events pile up does not."""
    for _ in range(8):
        c = Curl(f"{url}/v1/selftest/events?n={EVENTS}&interval_ms={INTERVAL_MS}", "-H", "Accept-Encoding: gzip", *options)
        found, n_reads = c.events()
        late = [when - event["sent_ms"] for when, event in found]
        if len(found) != EVENTS or (n_reads >= EVENTS * 0.8 and statistics.median(late) < INTERVAL_MS / 2):
            break
    if not tap.equal(len(found), EVENTS, f"{name}: all events come", c.rc, c.error, c.head, c.body[-300:]):
        return
    tap.ok(n_reads >= EVENTS * 0.8, f"{name}: one by one, in {n_reads} reads", late)
    tap.ok(found[0][0] < found[-1][1]["sent_ms"] - INTERVAL_MS * EVENTS / 2, f"{name}: the first long before the last is sent", late)
    tap.ok(statistics.median(late) < INTERVAL_MS / 2, f"{name}: {statistics.median(late):.2f} ms after they were sent (median)", late)
    tap.ok("content-encoding" not in c.head and "text/event-stream" in c.head, f"{name}: events are not compressed", c.head)
    tap.ok(c.body.endswith(b"data: [DONE]\n\n"), f"{name}: to the end", c.body[-100:])


def what_arrives(web):
    name = web.name
    report = ask(web, "GET", "/v1/selftest", headers={"Authorization": "Bearer sk-x"}).json()
    tap.equal(report.get("authorization"), True, f"{name}: the Authorization header arrives", report)
    body = os.urandom(1 << 20) * 2
    a = ask(web, "POST", "/v1/selftest", body, {"Content-Type": "application/octet-stream"})
    tap.equal((a.json().get("body_bytes"), a.json().get("body_crc32")), (2 << 20, zlib.crc32(body)), f"{name}: a body of 2 MiB arrives", a)
    with tempfile.NamedTemporaryFile() as f:
        f.write(body[:50000])
        f.flush()
        c = Curl(web.url + "/v1/selftest", "-H", "Transfer-Encoding: chunked", "-H", "Content-Type: text/plain", "--data-binary", "@" + f.name)
    tap.ok(f'"body_crc32":{zlib.crc32(body[:50000])},'.encode() in c.body, f"{name}: a body without a length arrives", c.head, c.body)
    text = "org/model name+%é"
    a = ask(web, "GET", "/v1/selftest/path/" + urllib.parse.quote(text, safe="+"))
    tap.equal(a.json().get("tail"), text, f"{name}: encoded paths arrive", a)
    a = ask(web, "HEAD", "/v1/models")
    tap.ok(a.status == 200 and a.body == b"", f"{name}: HEAD", a)
    a = ask(web, "OPTIONS", "/v1/chat/completions", headers={"Origin": "https://chat.example", "Access-Control-Request-Method": "POST",
                                                             "Access-Control-Request-Headers": "authorization,content-type"})
    tap.equal((a.status, a.headers.get("Access-Control-Allow-Origin"), a.headers.get("Access-Control-Allow-Methods"),
               a.headers.get("Access-Control-Allow-Headers")),
              (204, "https://chat.example", "POST, OPTIONS", "authorization,content-type"), f"{name}: OPTIONS of a browser", a)
    a = ask(web, "GET", "/v1/models", headers={"Origin": "https://other.example"})
    tap.ok(a.status == 200 and "Access-Control-Allow-Origin" not in a.headers, f"{name}: other origins are not let in", a)


PAGE = (("/", "text/html"), ("/page/status.html", "text/html"), ("/page/js/chat/main.js", "javascript"), ("/page/style/base.css", "text/css"),
        ("/page/icon.svg", "image/svg+xml"))


def page(web):
    if web.name == "haproxy":
        tap.skip("haproxy: the page", "HAProxy serves no files")
        return
    answers = {path: ask(web, "GET", path) for path, _ in PAGE}
    tap.ok(all(answers[path].status == 200 and kind in answers[path].headers["Content-Type"] for path, kind in PAGE),
           f"{web.name}: the page that people open", answers)
    tap.equal([path for path, a in answers.items() if "script-src 'self'" not in a.headers.get("Content-Security-Policy", "") or
               a.headers.get("X-Content-Type-Options") != "nosniff" or a.headers.get("Cache-Control") != "no-cache"], [],
              f"{web.name}: a browser may do nothing else with it", {path: dict(a.headers) for path, a in answers.items()})
    tap.equal((ask(web, "GET", "/page/nothing.js").status, ask(web, "GET", "/page/js/").status in (403, 404), ask(web, "HEAD", "/").status),
              (404, True, 200), f"{web.name}: what is not there, folders, HEAD")


def http2(web):
    for how, url, options in (("HTTP/2 over TLS", f"https://localhost:{web.tls_port}", ["--http2"]),
                              ("HTTP/2 in the clear", web.url, ["--http2-prior-knowledge"])):
        if how.endswith("clear") and web.name == "nginx":
            tap.skip(f"{web.name}: {how}", "nginx speaks one or the other on a port without TLS")
            continue
        c = Curl(url + "/v1/selftest", *options)
        tap.ok(c.head.startswith("http/2 200"), f"{web.name}: {how}", c.head, c.error)
        events_as_sent(f"{web.name}, {how}", url, *options)


def errors(web):
    name = web.name
    for method, path, body, status, code in (("GET", "/nowhere", None, 404, "not_found"),
                                             ("GET", "/v1/chat/completions", None, 405, "method_not_allowed"),
                                             ("POST", "/v1/chat/completions", b"{", 400, None)):
        a = ask(web, method, path, body, {"Content-Type": "application/json"} if body else {})
        tap.ok(a.status == status and a.error().get("code") == code and a.headers.get("Content-Type") == "application/json",
               f"{name}: {status} of Airstrip's comes as JSON", a)
    for size, whose in ((17 << 20, "Airstrip's"), (22 << 20, "the web server's")):
        for _ in range(5):      # who refuses a body closes with bytes unread: a client that is still sending may miss the answer
            a = Curl(web.url + "/v1/chat/completions", "-H", "Expect:", "-H", "Content-Type: application/json", "-T", big_file(size), "-X", "POST")
            if a.head:
                break
        tap.ok(" 413 " in a.head.split("\n")[0] and a.body.startswith(b'{"error":{"message":'),
               f"{name}: a body of {size >> 20} MiB is {whose} 413, as JSON", a.head, a.body[:300], a.error)


def big_file(size):
    path = os.path.join(folder, f"body-{size}")
    if not os.path.exists(path):
        with open(path, "wb") as f:
            f.truncate(size)
    return path


def airstrip_is_gone(web):
    a = ask(web, "GET", "/v1/models")
    tap.ok(a.status in (502, 503) and a.error().get("message"), f"{web.name}: {a.status} as JSON while Airstrip is down", a)


def airstrip_is_back(web):
    tap.ok(wait_until(lambda: ask(web, "GET", "/livez").status == 200, 15, 0.1), f"{web.name}: 200 when it is back")


class Raw:
    """A GET over a bare connection, which can be dropped."""

    def __init__(self, web, path, request_id, tls=False):
        self.sock = socket.create_connection(("127.0.0.1", web.tls_port if tls else web.port), timeout=20)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.sock = context.wrap_socket(self.sock)
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: {request_id}\r\n\r\n".encode())
        self.data = b""

    def wait_for(self, sign):
        while sign not in self.data:
            more = self.sock.recv(4096)
            if not more:
                return False
            self.data += more
        return True


def log_line(request_id):
    for line in open(log, errors="replace"):
        if f" id={request_id} " in line:
            return line
    return ""


def departures(web):
    """While events flow it is told with one of the next; while nothing is sent only by some, by the others with the event after."""
    name = web.name
    for tls in (False, True):
        kind = f"{name}{' with TLS' if tls else ''}"
        request_id = f"leaves-{name}-{tls}"
        r = Raw(web, f"/v1/selftest/events?n=1000&interval_ms={INTERVAL_MS}", request_id, tls)
        tap.ok(r.wait_for(b'"event":3'), f"{kind}: a stream has begun", r.data[-300:])
        r.sock.close()
        start = time.monotonic()
        good = wait_until(lambda: log_line(request_id), 10)
        tap.ok(good and "cancelled=1" in log_line(request_id), f"{kind}: a client that leaves is noticed after "
               f"{(time.monotonic() - start) * 1000:.0f} ms of events", log_line(request_id))
        request_id = f"leaves-silent-{name}-{tls}"
        early = name in EARLY and not tls
        silence = 20 if early else 4
        r = Raw(web, f"/v1/selftest/events?n=200&interval_ms={INTERVAL_MS}&silence_ms={silence}000", request_id, tls)
        tap.ok(r.wait_for(b": ok"), f"{kind}: a silent stream has begun", r.data[-300:])
        start = time.monotonic()
        r.sock.close()
        good = wait_until(lambda: log_line(request_id), 10)
        took = time.monotonic() - start
        tap.ok(good and "cancelled=1" in log_line(request_id) and (took < silence or not early),
               f"{kind}: of a silent stream after {took:.1f} s, where events come after {silence} s", log_line(request_id))


def silence(web, results):
    """In a thread, beside the other tests."""
    start = time.monotonic()
    a = ask(web, "GET", f"/v1/selftest?silence_ms={SILENCE_S * 1000}", timeout=SILENCE_S + 30)
    results[web.name] = (a, time.monotonic() - start)


def chat(web):
    body = json.dumps({"model": "primary", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}).encode()
    a = ask(web, "POST", "/v1/chat/completions", body, {"Content-Type": "application/json"}, timeout=120)
    tap.ok(a.status == 200 and a.json()["usage"]["completion_tokens"] == 2, f"{web.name}: a chat is answered", a)


def attached():
    webs, results, threads = [], {}, []
    pid = spawn()
    try:
        for name in [n for n, known in KNOWN.items() if not known[3]]:
            if missing(name):
                tap.skip(f"all of {name}", missing(name))
                continue
            home = os.path.join(folder, name)
            os.mkdir(home)
            web = WebServer(name, home, free_port(), share=share, tls_port=free_port(), changes=[("/run/airstrip/airstrip.sock", sock)])
            try:
                web.start()
                webs.append(web)
            except Exception as e:
                tap.ok(False, f"{name} starts", e)
        for web in webs:
            tap.ok(wait_until(lambda: ask(web, "GET", "/readyz").status == 200, 120, 0.1), f"{web.name} starts with its installed file")
            threads.append(threading.Thread(target=silence, args=(web, results)))
            threads[-1].start()
        for web in webs:
            for test in (what_arrives, page, chat, errors, departures):
                tap.attempt(test, web)
            tap.attempt(events_as_sent, web.name, web.url)
            tap.attempt(http2, web)
        for thread in threads:
            thread.join()
        for web in webs:
            a, took = results[web.name]
            tap.ok(a.status == 200 and took >= SILENCE_S, f"{web.name}: an answer that takes {SILENCE_S} s is waited for", a, took)
        end_process(pid)
        for web in webs:
            tap.attempt(airstrip_is_gone, web)
        pid = spawn()
        for web in webs:
            tap.attempt(airstrip_is_back, web)
    finally:
        for web in webs:
            web.stop()
        end_process(pid)


def spawn():
    if os.path.exists(sock):
        os.unlink(sock)
    pid_file = os.path.join(folder, "airstrip.pid")
    subprocess.run(["spawn-fcgi", "-s", sock, "-M", "0666", "-b", "1024", "-P", pid_file, "--", airstrip, "--config", "/dev/null", "--log", log,
                    "--model", SMOLLM2, "--cors-origin", "https://chat.example, https://lab.example"], check=True, capture_output=True, timeout=60)
    return int(open(pid_file).read())


def spawning(name):
    """A web server that starts Airstrip by its own configuration."""
    home = os.path.join(folder, name)
    os.mkdir(home)
    model = os.path.join(home, "model.gguf")
    shutil.copy(SMOLLM2, model)         # where the web server's user may read it
    conf = os.path.join(home, "airstrip.conf")
    with open(conf, "w") as f:
        f.write(f"cors_origin = https://chat.example, https://lab.example\n[model primary]\nmodel = {model}\n")
    web = WebServer(name, home, free_port(), share=share, changes=[(PREFIX + "/etc/airstrip/airstrip.conf", conf)])
    try:
        with web:
            tap.ok(wait_until(lambda: ask(web, "GET", "/readyz").status == 200, 60, 0.2), f"{name} starts Airstrip by its installed file",
                   open(os.path.join(home, "airstrip.log")).read()[-500:] if os.path.exists(os.path.join(home, "airstrip.log")) else "")
            found = subprocess.run(["pgrep", "-f", model + "|" + conf], capture_output=True, text=True, check=False).stdout.split()
            for test in (what_arrives, page, chat):
                tap.attempt(test, web)
            tap.attempt(events_as_sent, name, web.url)
        children = [int(pid) for pid in found]
        tap.ok(wait_until(lambda: not any(alive(pid) for pid in children), 20), f"{name}: Airstrip ends with it", children)
    except Exception as e:
        tap.ok(False, f"{name} starts", e)


if not SMOLLM2:
    tap.skip("web servers", "AIRSTRIP_SMOLLM2 is not set")
    tap.done()
folder = tempfile.mkdtemp(prefix="airstrip-web-")
os.chmod(folder, 0o755)
sock, log = os.path.join(folder, "airstrip.sock"), os.path.join(folder, "airstrip.log")
try:
    share, airstrip = installed(os.environ["AIRSTRIP_PLAIN"], folder)
    attached()
    for server in [n for n, known in KNOWN.items() if known[3]]:
        if missing(server):
            tap.skip(f"all of {server}", missing(server))
        else:
            spawning(server)
finally:
    shutil.rmtree(folder, ignore_errors=True)
tap.done()
