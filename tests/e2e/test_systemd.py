"""The units of conf/systemd, from an installed tree: what systemd's tools say of them, and the program started as they say.

No systemd runs here: a few lines of this file open the socket, hand it over as descriptor 3 and listen for what is notified.
"""
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import threading

import fcgi_client as fcgi
from program import chat
from stack import SMOLLM2, TOP, end_process, wait_until
from webservers import PREFIX, installed
import tap

# As the unit says: another user, no capability, none to be had.
LOCKED = ["setpriv", "--no-new-privs"]
if os.getuid() == 0:
    LOCKED += ["--reuid=www-data", "--regid=www-data", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]


def directives(path):
    """{NAME: [VALUE...]} of a unit; comments and sections left out."""
    found = {}
    for line in open(path):
        name, sign, value = line.strip().partition("=")
        if sign and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def tools(units):
    if not shutil.which("systemd-analyze"):
        tap.skip("what systemd-analyze says", "systemd-analyze is not installed")
        return
    system_calls(units)
    files = [os.path.join(units, name) for name in ("airstrip.service", "airstrip.socket")]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *files], capture_output=True, text=True, timeout=60)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "airstrip" in line]
    tap.ok(not said, "systemd-analyze verify has nothing to say", done)
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", files[0]], capture_output=True, text=True, timeout=60)
    level = re.search(r"exposure level for airstrip.service: ([\d.]+)", done.stdout)
    if not level:
        tap.skip("systemd-analyze security", "this one cannot look at files: " + (done.stdout + done.stderr).strip()[:100])
        return
    tap.ok(float(level.group(1)) < 1, f"systemd-analyze security: exposure {level.group(1)} of 10", done.stdout[-3000:])


def system_calls(units):
    """What the program's own filter takes for needed, the unit must allow, and laying that filter too."""
    done = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"], capture_output=True, text=True, timeout=60)
    sets, name = {}, None
    for line in done.stdout.splitlines():
        if line.startswith("@"):
            name = line.strip()
            sets[name] = []
        elif name and line.startswith("    ") and not line.strip().startswith("#"):
            sets[name].append(line.strip())

    def calls(word):
        return {c for member in sets.get(word, ()) for c in calls(member)} if word.startswith("@") else {word}
    allowed = calls("@default")
    for value in directives(os.path.join(units, "airstrip.service"))["SystemCallFilter"]:
        for word in value.lstrip("~").split():
            allowed = allowed - calls(word) if value[0] == "~" else allowed | calls(word)
    source = open(os.path.join(TOP, "fcgi", "sandbox.c")).read()
    needed = set(re.findall(r'"(\w+)"', source.split("allowed[] = {")[1].split("};")[0])) | {"seccomp", "clone", "prlimit64", "prctl", "tgkill"}
    known = {c for word in sets for c in calls(word)}       # one that this systemd has no name for cannot be allowed by it
    tap.equal(sorted((needed & known) - allowed), [], f"SystemCallFilter= lets through all {len(needed & known)} calls that the program needs")
    tap.ok(not allowed & {"mount", "ptrace", "bpf", "setuid", "chown", "reboot", "init_module"}, "and no others of weight", sorted(allowed))


def what_they_say(units, airstrip):
    service, listening = (directives(os.path.join(units, "airstrip." + kind)) for kind in ("service", "socket"))
    tap.equal(service["ExecStart"], [PREFIX + "/libexec/airstrip"], "the service starts the program that was installed")
    tap.ok(os.access(airstrip, os.X_OK), "which is there")
    conf = open(os.path.join(os.path.dirname(os.path.dirname(units)), "..", "share", "airstrip", "nginx.conf")).read()
    tap.ok(listening["ListenStream"][0] in conf, "the socket is the one that the web servers' files speak of")
    user = open(os.path.join(os.path.dirname(os.path.dirname(units)), "sysusers.d", "airstrip.conf")).read()
    tap.ok(f"\nu {service['User'][0]} " in user, "its user is the one that is made")
    tap.equal((service["Type"], service["CapabilityBoundingSet"], int(service["WatchdogSec"][0]) >= 10), (["notify"], [""], True),
              "it notifies, with a watchdog, and has no capability")


class Manager:
    """What systemd does for the service: the socket, which stays, and the program, which comes and goes."""

    def __init__(self, folder, command):
        self.folder, self.command = folder, command
        self.path, self.said = os.path.join(folder, "airstrip.sock"), []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        self.socket.listen(64)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(os.path.join(folder, "notify"))
        os.chmod(os.path.join(folder, "notify"), 0o666)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            self.said += self.notify.recv(1000).decode().split("\n")

    def start(self):
        self.said = []
        env = dict(os.environ, NOTIFY_SOCKET=os.path.join(self.folder, "notify"), WATCHDOG_USEC="60000000", LISTEN_FDS="1",
                   AIRSTRIP_MODEL=os.path.join(self.folder, "model.gguf"), AIRSTRIP_CONFIG="/dev/null")
        script = f'LISTEN_PID=$$ WATCHDOG_PID=$$ exec "$@" 3<&{self.socket.fileno()}'
        self.errors = open(os.path.join(self.folder, "stderr"), "w")
        self.process = subprocess.Popen([*LOCKED, "sh", "-c", script, "sh", *self.command], stdin=subprocess.DEVNULL,
                                        stderr=self.errors, pass_fds=[self.socket.fileno()], env=env, cwd="/")

    def told(self, what, seconds=120):
        return wait_until(lambda: any(line.startswith(what) for line in self.said), seconds)

    def log(self):
        return open(self.errors.name).read()[-2000:]


def as_a_service(units, airstrip, folder):
    if not shutil.which("setpriv"):
        tap.skip("the program as a service", "setpriv is not installed")
        return
    shutil.copy(SMOLLM2, os.path.join(folder, "model.gguf"))        # where its user may read it
    os.chmod(os.path.join(folder, "model.gguf"), 0o644)
    command = shlex.split(directives(os.path.join(units, "airstrip.service"))["ExecStart"][0].replace(PREFIX + "/libexec/airstrip", airstrip))
    m = Manager(folder, command)
    m.start()
    try:
        tap.ok(m.told("READY=1"), "started with descriptor 3 and no capability, it says READY=1", m.said, m.log())
        status = open(f"/proc/{m.process.pid}/status").read()
        caps = dict(re.findall(r"^Cap(Inh|Prm|Eff|Bnd|Amb):\t(\w+)$", status, re.M))
        if os.getuid():
            caps.pop("Bnd")         # which only root can give up
        tap.ok(len(caps) >= 4 and set(caps.values()) == {"0" * 16} and "NoNewPrivs:\t1" in status, "it has none", caps)
        tap.equal(fcgi.request(m.path, "POST", "/v1/chat/completions", chat()).status, 200, "it answers")
        tap.ok(m.told("WATCHDOG=1"), "it says that it is alive", m.said)
        m.said = []
        reload = directives(os.path.join(units, "airstrip.service"))["ExecReload"][0].replace("$MAINPID", str(m.process.pid))
        subprocess.run(shlex.split(reload), check=True, timeout=20)
        tap.ok(m.told("RELOADING=1") and m.told("READY=1"), "ExecReload: RELOADING=1, and READY=1 again", m.said, m.log())
        tap.equal(fcgi.request(m.path, "POST", "/v1/chat/completions", chat()).status, 200, "and it answers")
        m.process.terminate()
        tap.equal((m.process.wait(60), m.told("STOPPING=1")), (0, True), "SIGTERM: STOPPING=1, and the end", m.log())
        waiting = fcgi.Stream(m.path, fcgi.whole(fcgi.variables("GET", "/livez")))
        m.start()
        tap.ok(waiting.finish().status == 200, "a request that came while nobody ran is answered by the next one", m.log())
        tap.ok(m.told("READY=1"), "which gets ready too", m.said, m.log())
    finally:
        end_process(m.process.pid)
        m.process.wait()


if not SMOLLM2:
    tap.skip("systemd", "AIRSTRIP_SMOLLM2 is not set")
    tap.done()
top = tempfile.mkdtemp(prefix="airstrip-systemd-")
os.chmod(top, 0o755)
try:
    share, program = installed(os.environ["AIRSTRIP_PLAIN"], top)
    where = os.path.join(os.path.dirname(os.path.dirname(share)), "lib", "systemd", "system")
    tap.attempt(what_they_say, where, program)
    tap.attempt(as_a_service, where, program, top)
    for unit in os.listdir(where):          # systemd-analyze looks whether the program is there
        text = open(os.path.join(where, unit)).read().replace(PREFIX, top + PREFIX)
        open(os.path.join(where, unit), "w").write(text)
    tap.attempt(tools, where)
finally:
    shutil.rmtree(top, ignore_errors=True)
tap.done()
