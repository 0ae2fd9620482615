"""airstrip-doctor: real web servers by the files of conf/, found well; and each with one thing wrong, which is found, and nothing else,
with the line that mends it."""
import concurrent.futures
import json
import os
import shutil
import subprocess
import tempfile

from program import Program
from stack import SMOLLM2, TOP, free_port, key_line, program, wait_until
from webservers import KNOWN, WebServer, missing
import tap

KEY = "sk-doctor-0123456789abcdefghijkl"
AT_ONCE = 4         # each may hold two of Airstrip's eight self-tests
SILENCE_S = 7       # lighttpd gives up at twice its read-timeout

# (web server, what of its file is replaced by what, {check that must fail: a line that must be printed})
WRONG = [
    ("nginx", [("fastcgi_buffering off;", "fastcgi_buffering on; fastcgi_ignore_headers X-Accel-Buffering;")],
     {"events": "fastcgi_buffering off;"}),
    ("nginx", [("gzip off;", "gzip on; gzip_types text/event-stream; gzip_min_length 1;")], {"compression": "gzip off;"}),
    ("nginx", [("client_max_body_size 20m;", "client_max_body_size 1m;")], {"body": "client_max_body_size 20m;"}),
    ("nginx", [("fastcgi_read_timeout 3600s;", "fastcgi_read_timeout 2s;")], {"silence": "fastcgi_read_timeout 3600s;"}),
    ("nginx", [("gzip off;", 'fastcgi_param HTTP_AUTHORIZATION "" if_not_empty;')],
     {"authorization": "fastcgi_param HTTP_AUTHORIZATION $http_authorization;"}),
    ("nginx", [("gzip off;", "fastcgi_intercept_errors on; error_page 404 @own;"),
               ("location @too_large {", "location @own { default_type text/html; return 404 '<h1>Not here</h1>'; }\n location @too_large {")],
     {"errors": "fastcgi_intercept_errors off;"}),
    ("nginx", [("gzip off;", "if ($request_method = OPTIONS) { return 204; }")], {"OPTIONS": "if ($request_method"}),
    ("nginx", [("gzip off;", "add_header Access-Control-Allow-Origin *;")], {"cors": "add_header Access-Control-Allow-Origin"}),
    ("nginx", [("include /etc/nginx/fastcgi_params;", "fastcgi_param REQUEST_URI $uri$is_args$args; include /etc/nginx/fastcgi_params;")],
     {"paths": "fastcgi_param REQUEST_URI $request_uri;"}),
    ("lighttpd", [("server.stream-response-body = 1", "")], {"events": "server.stream-response-body = 1"}),
    ("lighttpd", [("server.max-request-size = 20480", "server.max-request-size = 1024")], {"body": "server.max-request-size = 20480"}),
    ("lighttpd", [('"disable-time" => 1', '"disable-time" => 1, "read-timeout" => 2')], {"silence": '"read-timeout" => 3600'}),
    ("lighttpd", [("server.stream-response-body = 1", "server.stream-response-body = 1\nserver.stream-request-body = 1")],
     {"chunked body": "server.stream-request-body = 0"}),
    ("lighttpd", [('"method-get-body" => "enable"', '"method-get-body" => "enable", "url-path-2f-decode" => "disable", "url-path-2f-reject" => "enable"')],
     {"paths": '"url-path-2f-reject" => "disable"'}),
    ("lighttpd", [("server.stream-response-body = 1", 'server.stream-response-body = 1\nserver.error-intercept = "enable"')],
     {"errors": 'server.error-intercept = "disable"'}),
    ("apache", [("    CGIPassAuth On\n", "")], {"authorization": "CGIPassAuth On"}),
    ("apache", [(" flushpackets=on", "")], {"events": "flushpackets=on"}),
    ("apache", [("timeout=3600", "timeout=2")], {"silence": "timeout=3600"}),
    ("apache", [("AllowEncodedSlashes NoDecode", "")], {"paths": "AllowEncodedSlashes NoDecode"}),
    ("apache", [("CGIPassAuth On", "CGIPassAuth On\n    ProxyErrorOverride On")], {"errors": "ProxyErrorOverride Off"}),
    ("apache", [("CGIPassAuth On", "CGIPassAuth On\n    SetOutputFilter DEFLATE"),
                ("LoadModule alias_module", "LoadModule filter_module ${MODULES}/mod_filter.so\nLoadModule deflate_module "
                 "${MODULES}/mod_deflate.so\nLoadModule alias_module")], {"compression": "SetEnv no-gzip 1"}),
    ("haproxy", [("pass-header authorization", "")], {"authorization": "pass-header authorization"}),
    ("haproxy", [("option http-no-delay", "")], {"events": "option http-no-delay"}),
    ("haproxy", [("timeout server 3600s", "timeout server 2s")], {"silence": "timeout server 3600s"}),
    ("haproxy", [("tune.bufsize 65536", "")], {"chunked body": "tune.bufsize 65536"}),
    ("haproxy", [("gt 20971520", "gt 1048576")], {"body": "gt 20971520"}),
    ("caddy", [("transport fastcgi", "transport fastcgi {\n\t\t\tread_timeout 2s\n\t\t}")], {"silence": "read_timeout"}),
    ("caddy", [("max_size 20MiB", "max_size 1MiB")], {"body": "max_size 20MiB"}),
    ("caddy", [("transport fastcgi", "header_up -Authorization\n\t\ttransport fastcgi")], {"authorization": "header_up -Authorization"}),
    ("caddy", [("transport fastcgi", "@gone status 404\n\t\thandle_response @gone {\n\t\t\trespond \"not here\" 404\n\t\t}\n\t\ttransport fastcgi")],
     {"errors": "handle_response"}),
]
FCGID = [("FcgidOutputBufferSize 0", ""), ("FcgidMaxRequestLen 20971520", "FcgidMaxRequestLen 131072"), ("FcgidPassHeader Authorization", "")]


def doctor(*options, env=None):
    return subprocess.run([program("airstrip-doctor"), *options], capture_output=True, text=True, timeout=180, env=dict(os.environ, **(env or {})))


def home(name):
    path = tempfile.mkdtemp(prefix=name + "-", dir=folder)
    os.chmod(path, 0o755)
    return path


def web_server(name, changes=(), sock=None, **more):
    return WebServer(name, home(name), free_port(), changes=[("/run/airstrip/airstrip.sock", sock or server.socket), *changes], **more)


def wrong(name, changes, expected):
    """In a thread: what is to be told."""
    with web_server(name, changes) as web:
        done = doctor("--json", "--silence", str(SILENCE_S if "silence" in expected else 0), web.url)
    return done


def tell_wrong(name, expected, done):
    title = f"{name}: {', '.join(expected)}"
    try:
        said = json.loads(done.stdout)
    except ValueError:
        tap.ok(False, title + " is found", done)
        return
    found = {c["check"]: c for c in said["checks"] if c["result"] == "wrong"}
    lines = {check: found[check]["lines"] for check in expected if check in found}
    tap.ok(done.returncode == 1 and set(found) == set(expected) and all(line in lines[check] for check, line in expected.items()),
           f"{title} is found, and nothing else, with its line", done.stdout, done.stderr)
    tap.equal((said["server"], said["found"]), (name, len(expected)), f"{title}: the web server is recognised", done.stdout)


def well(name):
    with web_server(name, tls_port=free_port()) as web:
        return [doctor("--json", "--silence", "3", web.url), doctor("--json", "--silence", "0", "--insecure", f"https://localhost:{web.tls_port}/v1/")]


def tell_well(name, done):
    for how, one in zip(("as it is installed", "the same over TLS"), done):
        said = json.loads(one.stdout) if one.stdout else {"checks": []}
        good = [c["check"] for c in said["checks"] if c["result"] == "good"]
        tap.ok(one.returncode == 0 and len(good) == len(said["checks"]) >= 11, f"{name}, {how}: nothing found, {len(good)} things good",
               one.stdout, one.stderr)
    said = {c["check"]: c["text"] for c in json.loads(done[1].stdout or '{"checks": []}')["checks"]}
    tap.ok("one by one over HTTP/2" in said.get("HTTP/2", ""), f"{name}: HTTP/2 is tried", said)


def with_all_of_them():
    servers = [name for name in KNOWN if not KNOWN[name][3]]
    for name in servers:
        if missing(name):
            tap.skip(f"the doctor at {name}", missing(name))
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        good = [(name, pool.submit(well, name)) for name in servers if not missing(name)]
        bad = [(name, expected, pool.submit(wrong, name, changes, expected)) for name, changes, expected in WRONG if not missing(name)]
        for name, future in good:
            tap.attempt(lambda name, future: tell_well(name, future.result()), name, future)
        for name, expected, future in bad:
            tap.attempt(lambda name, expected, future: tell_wrong(name, expected, future.result()), name, expected, future)


def over_http2():
    with web_server("nginx", [("ssl http2;", "ssl;")], tls_port=free_port()) as web:
        done = doctor("--json", "--silence", "0", "--insecure", f"https://localhost:{web.tls_port}")
        check = [c for c in json.loads(done.stdout)["checks"] if c["check"] == "HTTP/2"][0]
        tap.ok(done.returncode == 0 and check["result"] == "note" and check["lines"] == "listen 443 ssl http2;",
               "HTTP/2 that is not offered is a note, with the line", done.stdout)
    with web_server("nginx", [("gzip off;", "if ($server_protocol = HTTP/2.0) { return 505; }")], tls_port=free_port()) as web:
        tell_wrong("nginx", {"HTTP/2": "listen 443 ssl http2;"},
                   doctor("--json", "--silence", "0", "--insecure", f"https://localhost:{web.tls_port}"))


def fcgid():
    if missing("apache-fcgid"):
        tap.skip("the doctor at apache-fcgid", missing("apache-fcgid"))
        return
    place = home("fcgid")
    model = os.path.join(place, "model.gguf")
    shutil.copy(SMOLLM2, model)
    conf = os.path.join(place, "airstrip.conf")
    open(conf, "w").write(f"[model primary]\nmodel = {model}\n")
    binary = os.path.join(place, "airstrip")        # where the web server's user may run it
    shutil.copy(program(), binary)
    changes = [("/etc/airstrip/airstrip.conf", conf), ("/usr/local/libexec/airstrip", binary), *FCGID]
    with WebServer("apache-fcgid", place, free_port(), changes=changes) as web:
        done = []
        wait_until(lambda: done.append(doctor("--json", "--silence", "0", web.url)) or done[-1].returncode != 2, 60, 0.5)
    tell_wrong("apache-fcgid", {"authorization": "FcgidPassHeader Authorization", "events": "FcgidOutputBufferSize 0",
                                "body": "FcgidMaxRequestLen 20971520"}, done[-1])


def keys():
    path = os.path.join(folder, "keys")
    open(path, "w").write(key_line("doctor", KEY))
    with Program("--api-keys", path, folder=home("keys")) as p:
        os.chmod(p.socket, 0o666)
        with web_server("lighttpd", sock=p.socket) as web:
            ways = ((["--key", KEY], {}), ([], {"AIRSTRIP_DOCTOR_KEY": KEY}), ([], {}), (["--key", KEY + "x"], {}))
            with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
                found = list(pool.map(lambda way: doctor(*way[0], "--silence", "0", web.url, env=way[1]), ways))
            tap.equal([done.returncode for done in found], [0, 0, 2, 2], "where Airstrip wants a key, the doctor does: 0 with it, 2 without it and with another")
            tap.ok("--key" in found[2].stderr and not found[2].stdout, "and says so", found[2])
        for name, line in (("apache", "CGIPassAuth On"), ("haproxy", "pass-header authorization")):
            if missing(name):
                tap.skip(f"{name} that keeps the key", missing(name))
                continue
            with web_server(name, [(line, "")], sock=p.socket) as web:
                done = doctor("--silence", "0", "--server", name, "--key", KEY, web.url)
                tap.ok(done.returncode == 1 and line in done.stdout and "WRONG  authorization" in done.stdout,
                       f"{name} that keeps the key to itself is told from a wrong key, with the line", done)


def nothing_to_look_at():
    done = doctor(f"http://127.0.0.1:{free_port()}")
    tap.ok(done.returncode == 2 and "onnect" in done.stderr and not done.stdout, "nobody listens: 2, and why", done)
    with web_server("nginx", sock=os.path.join(folder, "nobody")) as web:
        done = doctor(web.url)
        tap.ok(done.returncode == 2 and "502" in done.stderr and "is Airstrip running" in done.stderr, "no Airstrip behind it: 2, and why", done)
    with web_server("nginx", [("location / {", "location /v2 {")]) as web:
        done = doctor(web.url)
        tap.ok(done.returncode == 2 and "404" in done.stderr, "not passed on to Airstrip: 2, and why", done)
    with web_server("nginx", [("gzip off;", "return 301 https://elsewhere.example$request_uri;")]) as web:
        done = doctor(web.url)
        tap.ok(done.returncode == 2 and "301" in done.stderr and "https://elsewhere.example/v1/" in done.stderr, "led elsewhere: 2, and where", done)
    for options in (["--server", "iis", "http://x"], ["--silence", "7000", "http://x"], ["--silence", "", "http://x"], ["x"], [],
                    ["http://x", "http://y"], ["--key", "a\nb", "http://x"], ["--nonsense", "http://x"], ["ftp://x/"]):
        done = doctor(*options)
        tap.ok(done.returncode == 2 and done.stderr and not done.stdout, f"{options} is refused", done)
    tap.equal([doctor(o).returncode for o in ("--help", "--version")], [0, 0], "--help and --version")


def what_people_read():
    with web_server("lighttpd", [("server.stream-response-body = 1", "")]) as web:
        done = doctor("--silence", "0", web.url)
    tap.ok(f"{web.url}: Airstrip behind lighttpd/" in done.stdout and "\n           server.stream-response-body = 1\n" in done.stdout
           and done.stdout.endswith("\n1 thing found.\n") and "good   paths" in done.stdout, "in words: what is good, what is wrong, and the line", done)
    page = open(os.path.join(TOP, "man", "airstrip-doctor.1")).read().replace("\\-", "-")
    checks = {"authorization", "events", "compression", "body", "chunked body", "paths", "errors", "HEAD", "OPTIONS", "cors", "HTTP/2", "silence"}
    tap.ok(all(c in page for c in checks) and all(c in done.stdout for c in checks - {"silence"}), "the manual has every check")


if not SMOLLM2:
    tap.skip("the doctor", "AIRSTRIP_SMOLLM2 is not set")
    tap.done()
if not os.path.exists(program("airstrip-doctor")):
    tap.skip("the doctor", "built without airstrip-doctor (--disable-fetch)")
    tap.done()
folder = tempfile.mkdtemp(prefix="airstrip-doctor-")
os.chmod(folder, 0o755)
try:
    with Program("--cors-origin", "*", folder=home("program")) as server:
        os.chmod(server.socket, 0o666)
        for test in (what_people_read, with_all_of_them, over_http2, nothing_to_look_at):
            tap.attempt(test)
    for test in (keys, fcgid):
        tap.attempt(test)
finally:
    shutil.rmtree(folder, ignore_errors=True)
tap.done()
