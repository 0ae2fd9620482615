"""Debian's packages: built, looked at by lintian, installed in a fresh system, and purged from it.

The fresh system is a folder that debootstrap fills once (kept in the cache folder as a tarball, with the web servers in it); a
chroot into it needs root.  Where that is not to be had, what it would have shown is skipped with the reason.
"""
import fcntl
import glob
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.dirname(HERE), os.path.join(os.path.dirname(HERE), "e2e")]

import tap  # noqa: E402
from webservers import end_process, wait_until  # noqa: E402

BUILD = os.path.join(os.environ.get("AIRSTRIP_BUILD", os.path.join(TOP, "build")), "deb")
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "airstrip")
MODEL = os.environ.get("AIRSTRIP_SMOLLM2")
SERVERS = {"nginx": "nginx-light", "lighttpd": "lighttpd", "apache2": "apache2", "haproxy": "haproxy", "caddy": "caddy"}
VERSION = re.match(r"\S+ \((.*?)\)", open(os.path.join(TOP, "debian", "changelog")).read()).group(1)


def run(*command, timeout=600, **more):
    """Output of both kinds, and the exit status."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=timeout,
                          stdin=subprocess.DEVNULL, **more)
    return done.returncode, done.stdout


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# --- the packages --------------------------------------------------------------------------------

def sources(folder):
    """A copy of the tree without what was built; always the same folder, so that a compiler's cache knows it again."""
    shutil.rmtree(folder, ignore_errors=True)
    names = subprocess.run(["git", "-C", TOP, "ls-files", "-co", "--exclude-standard", "-z"], capture_output=True, check=False).stdout
    if names:
        for name in names.decode().split("\0"):
            if name and os.path.exists(os.path.join(TOP, name)):
                os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
                shutil.copy2(os.path.join(TOP, name), os.path.join(folder, name))
    else:
        made = shutil.ignore_patterns("build", ".git", "autom4te.cache", "*.o", "*.lo", "*.la", ".libs", ".deps", "Makefile", "config.status")
        shutil.copytree(TOP, folder, ignore=made, symlinks=True)


def build():
    """Names and files of the packages; empty where they could not be built."""
    os.makedirs(BUILD, exist_ok=True)
    for f in glob.glob(os.path.join(BUILD, "*.*deb")) + glob.glob(os.path.join(BUILD, "*.changes")):
        os.unlink(f)
    folder = os.path.join(BUILD, "source")
    sources(folder)
    env = dict(os.environ, DEB_BUILD_OPTIONS=f"nocheck noautodbgsym parallel={os.cpu_count()}", CCACHE_NOHASHDIR="1")
    if os.path.isdir("/usr/lib/ccache"):
        env["PATH"] = "/usr/lib/ccache:" + env["PATH"]
    for name in ("CONFIG_SITE", "CFLAGS", "MAKEFLAGS", "MAKELEVEL"):
        env.pop(name, None)
    status, text = run("dpkg-buildpackage", "-b", "-us", "-uc", "-Pnocheck", cwd=folder, env=env, timeout=900)
    packages = {os.path.basename(f).split("_")[0]: f for f in glob.glob(os.path.join(BUILD, "*.deb"))}
    tap.ok(status == 0 and sorted(packages) == ["airstrip", "airstrip-doc"], "the packages are built", status, sorted(packages), text[-3000:])
    return packages


def lintian():
    if not shutil.which("lintian"):
        tap.skip("lintian has nothing to say", "lintian is not installed")
        return
    root = ["--allow-root"] if os.getuid() == 0 else []
    # A package that is not Debian's closes no bug there, and its maintainers have no mailbox.
    left_out = "initial-upload-closes-no-bugs,bogus-mail-host"
    status, text = run("lintian", *root, "--fail-on", "error,warning", "--display-info", "--suppress-tags", left_out,
                       *glob.glob(os.path.join(BUILD, "*.changes")))
    found = [line for line in text.splitlines() if re.match(r"[EWI]: ", line)]
    tap.ok(status == 0 and not found, "lintian has nothing to say", *(found or text.splitlines()))


# --- a fresh system ------------------------------------------------------------------------------

def depends(package):
    text = subprocess.run(["dpkg-deb", "-f", package, "Depends"], capture_output=True, text=True, check=True).stdout
    return sorted(re.match(r"[a-z0-9.+-]+", part.strip()).group(0) for part in text.split(",") if part.strip())


def base(wanted):
    """The tarball of a system with these packages, or the reason why there is none."""
    system = dict(re.findall(r'(?m)^(\w+)="?([^"\n]*)"?$', open("/etc/os-release").read()))
    if system.get("ID") != "debian" or not system.get("VERSION_CODENAME"):
        return None, "this is not Debian"
    if os.getuid():
        return None, "a chroot needs root"
    if not shutil.which("debootstrap"):
        return None, "debootstrap is not installed"
    suite = system["VERSION_CODENAME"]
    tarball = os.path.join(CACHE, f"deb-{suite}-{hashlib.sha256(' '.join(wanted).encode()).hexdigest()[:12]}.tar")
    if os.path.exists(tarball):
        return tarball, None
    root = os.path.join(BUILD, "base")
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(CACHE, exist_ok=True)
    status, text = run("debootstrap", "--variant=minbase", "--include=" + ",".join(wanted), suite, root, mirror(), timeout=900)
    if status:
        return None, "debootstrap: " + (text.strip().splitlines() or ["no output"])[-1]
    for f in glob.glob(os.path.join(root, "var/cache/apt/archives/*.deb")):
        os.unlink(f)
    with tarfile.open(tarball + ".part", "w") as tar:
        tar.add(root, ".", filter=lambda m: None if m.name.startswith(("./proc/", "./sys/")) else m)
    os.rename(tarball + ".part", tarball)
    shutil.rmtree(root)
    return tarball, None


def mirror():
    """Where this machine has its packages from."""
    status, text = run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian", "Component: main", "Identifier: Packages")
    found = [line for line in text.splitlines() if re.match(r"https?://", line) and "security" not in line]
    return found[0] if status == 0 and found else "http://deb.debian.org/debian"


class Chroot:
    def __init__(self, tarball):
        self.root = os.path.join(BUILD, "root")
        shutil.rmtree(self.root, ignore_errors=True)
        os.makedirs(self.root)
        subprocess.run(["tar", "-xf", tarball, "-C", self.root], check=True)

    def __enter__(self):
        os.makedirs(self.path("proc"), exist_ok=True)
        run("mount", "-t", "proc", "proc", self.path("proc"))
        self.write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")
        os.chmod(self.path("usr/sbin/policy-rc.d"), 0o755)
        return self

    def __exit__(self, *exc):
        run("umount", self.path("proc"))
        shutil.rmtree(self.root, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.root, name.lstrip("/"))

    def read(self, name):
        return open(self.path(name), errors="replace").read()

    def write(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)

    def run(self, *command, **more):
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
        return run("chroot", self.root, *command, env=env, **more)

    def files(self):
        """What anybody would find of airstrip's; apt's own records of what it did are not."""
        status, text = self.run("find", "/etc", "/usr", "/var", "/run", "/lib", "-xdev", "-iname", "*airstrip*")
        return sorted(f for f in text.split() if not f.startswith(("/var/log/apt", "/var/cache/apt", "/var/lib/apt")))

    def user(self):
        return re.findall(r"(?m)^airstrip:.*$", self.read("etc/passwd") + self.read("etc/group"))


# --- what is installed ---------------------------------------------------------------------------

def install(c, packages):
    for f in packages.values():
        shutil.copy(f, c.path("tmp"))
    status, text = c.run("apt-get", "install", "-y", "--no-install-recommends", *("/tmp/" + os.path.basename(f) for f in packages.values()))
    tap.ok(status == 0, "apt install ./airstrip_....deb", text[-2000:])
    tap.equal(len(c.user()), 2, "there are a user and a group airstrip", c.user())
    expected = ["/etc/airstrip/airstrip.conf", "/usr/libexec/airstrip", "/usr/bin/airstrip-fetch", "/usr/sbin/airstrip-webserver",
                "/lib/systemd/system/airstrip.service", "/lib/systemd/system/airstrip.socket", "/usr/share/man/man8/airstrip.8.gz",
                "/usr/share/airstrip/nginx.conf", "/usr/share/doc/airstrip/README.md.gz", "/usr/share/doc/airstrip/README.Debian",
                "/etc/airstrip/webserver/nginx.conf", "/var/lib/airstrip/models"]
    gone = [f for f in expected if not os.path.exists(c.path(f))]
    tap.ok(not gone, "configuration, programs, units, manual and web servers' files are where they belong", *gone)
    owner = os.stat(c.path("/var/lib/airstrip"))
    tap.equal(str(owner.st_uid), re.search(r"(?m)^airstrip:x:(\d+):", c.read("etc/passwd")).group(1), "its folders are its own")
    status, text = run("systemd-analyze", "verify", "--man=no", "--root=" + c.root, "airstrip.service", "airstrip.socket") \
        if shutil.which("systemd-analyze") else (None, "")
    if status is None or "nrecognized option" in text:
        tap.skip("systemd takes the units", "no systemd-analyze that looks below a root")
    else:
        ours = [x for x in text.splitlines() if "airstrip" in x]
        tap.ok(not ours, "systemd takes the units", *ours)
    status, text = c.run("runuser", "-u", "airstrip", "--", "/usr/libexec/airstrip", "--check")
    tap.ok(status == 1 and "no model to serve" in text, "without a model it says that there is none", status, text)


def unit(c, name, key):
    found = re.findall(rf"(?m)^{key}=(.*)$", c.read(f"lib/systemd/system/{name}"))
    return found[-1] if found else None


def ids(c, user, group):
    return (int(re.search(rf"(?m)^{user}:x:(\d+):", c.read("etc/passwd")).group(1)),
            int(re.search(rf"(?m)^{group}:x:(\d+):", c.read("etc/group")).group(1)))


class Service:
    """The program as the units start it: systemd's part is played here."""

    def __init__(self, c):
        self.c = c
        model = c.path("var/lib/airstrip/models/" + os.path.basename(MODEL))
        shutil.copy(MODEL, model)
        with open(c.path("etc/airstrip/airstrip.conf"), "a") as f:
            f.write(f"\n[model primary]\nmodel = {os.path.basename(MODEL)}\n")
        self.socket = unit(c, "airstrip.socket", "ListenStream")
        os.makedirs(c.path(os.path.dirname(self.socket)), exist_ok=True)
        user, group = ids(c, unit(c, "airstrip.service", "User"), unit(c, "airstrip.service", "Group") or "airstrip")
        status = c.path("/run/" + (unit(c, "airstrip.service", "RuntimeDirectory") or "airstrip").split()[0])
        os.makedirs(status, exist_ok=True)
        os.chown(status, user, group)
        listening = socket.socket(socket.AF_UNIX)
        here = os.open(".", os.O_RDONLY)
        os.chdir(c.path(os.path.dirname(self.socket)))      # a path from here may be too long for a socket's
        listening.bind(os.path.basename(self.socket))
        os.chown(os.path.basename(self.socket), *ids(c, unit(c, "airstrip.socket", "SocketUser"), unit(c, "airstrip.socket", "SocketGroup")))
        os.chmod(os.path.basename(self.socket), int(unit(c, "airstrip.socket", "SocketMode"), 8))
        os.fchdir(here)
        os.close(here)
        listening.listen(1024)
        command = unit(c, "airstrip.service", "ExecStart").split()

        def become():
            fd = fcntl.fcntl(listening.fileno(), fcntl.F_DUPFD_CLOEXEC, 10)
            os.dup2(fd, 3)
            os.chroot(c.root)
            os.chdir("/")
            os.setgroups([])
            os.setgid(group)
            os.setuid(user)
            env = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "PATH": "/usr/bin:/bin"}
            os.execve(command[0], command, env)
        self.out = open(os.path.join(BUILD, "airstrip.out"), "w+")
        self.process = subprocess.Popen(["true"], preexec_fn=become, close_fds=False, stdin=subprocess.DEVNULL, stdout=self.out,
                                        stderr=self.out)
        listening.close()
        self.user = user

    def stop(self):
        self.process.terminate()
        status = self.process.wait(60)
        shutil.rmtree(self.c.path("/run/airstrip"))     # as the units do: RemoveOnStop, RuntimeDirectory
        return status

    def said(self):
        self.out.seek(0)
        return self.out.read()[-3000:]


def get(url, body=None):
    data = json.dumps(body).encode() if body else None
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "application/json"}), timeout=60) as r:
            return r.status, r.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()
    except OSError as e:
        return 0, str(e).encode()


def behind(c, name, command, pid_file):
    """The web server of the fresh system, with what airstrip-webserver gave it."""
    port = free_port()
    snippet = {"nginx": "nginx.conf", "lighttpd": "lighttpd.conf"}[name]
    path = "etc/airstrip/webserver/" + snippet
    c.write(path, c.read(path).replace("127.0.0.1:3003", f"127.0.0.1:{port}"))
    status, text = c.run(*command)
    pid = None
    try:
        tap.ok(status == 0, f"{name} starts", text)
        wait_until(lambda: os.path.exists(c.path(pid_file)) and c.read(pid_file).strip(), 20)
        pid = int(c.read(pid_file))
        url = f"http://127.0.0.1:{port}"
        ready = wait_until(lambda: get(url + "/readyz")[0] == 200, 60)
        status, body = get(url + "/v1/chat/completions", {"model": "primary", "max_tokens": 4, "temperature": 0,
                                                          "messages": [{"role": "user", "content": "Hello"}]})
        page = get(url + "/")
        tap.ok(page[0] == 200 and b"<html" in page[1].lower(), f"{name} has the page", page)
        tap.ok(ready and status == 200 and json.loads(body)["usage"]["completion_tokens"] > 0, f"and answers a chat through {name}", status, body)
    finally:
        if pid:
            end_process(pid)


def web_servers(c):
    own = {name: free_port() for name in SERVERS}
    for f in ("etc/nginx/sites-available/default", "etc/lighttpd/lighttpd.conf", "etc/apache2/ports.conf", "etc/caddy/Caddyfile"):
        if os.path.exists(c.path(f)):       # none of them may want port 80 of this machine
            port = own[f.split("/")[1]]
            c.write(f, re.sub(r"(?m)^(\s*listen (?:\[::\]:)?|server\.port\s*= |Listen |:)80\b", rf"\g<1>{port}", c.read(f)))
    if os.path.exists(c.path("etc/nginx/sites-enabled/default")):
        os.unlink(c.path("etc/nginx/sites-enabled/default"))
    if os.path.exists(c.path("usr/sbin/haproxy")):
        status, text = c.run("airstrip-webserver", "haproxy")
        tap.ok(status == 1 and "chroot" in text, "haproxy: its chroot is in the way, and that is said", text)
        c.write("etc/haproxy/haproxy.cfg", re.sub(r"(?m)^\s*chroot .*$", "", c.read("etc/haproxy/haproxy.cfg")))
    for name in SERVERS:
        if not glob.glob(c.path(f"usr/*bin/{name}")):
            tap.skip(f"airstrip-webserver {name}", "it is not in this system")
            continue
        for what in ("is enabled, and its configuration is right", "again changes nothing"):
            status, text = c.run("airstrip-webserver", name)
            tap.ok(status == 0 and "port 3003" in text, f"airstrip-webserver {name}: {what}", status, text)
    c.write("etc/airstrip/webserver/nginx.conf", c.read("etc/airstrip/webserver/nginx.conf").replace("gzip off;", "nonsense;"))
    status, text = c.run("airstrip-webserver", "nginx")
    tap.ok(status == 1 and "nonsense" in text and not os.path.lexists(c.path("etc/nginx/sites-enabled/airstrip")),
           "a configuration that the web server refuses is taken back", status, text)
    c.write("etc/airstrip/webserver/nginx.conf", c.read("etc/airstrip/webserver/nginx.conf").replace("nonsense;", "gzip off;"))
    c.run("airstrip-webserver", "nginx")
    status, text = c.run("airstrip-webserver", "thttpd")
    tap.ok(status == 1 and "expected nginx" in text, "a web server that it does not know is refused", text)


def service(c):
    if not MODEL:
        tap.skip("the service answers", "AIRSTRIP_SMOLLM2 is not set")
        return
    s = Service(c)
    try:
        behind(c, "nginx", ["nginx"], "run/nginx.pid")
        behind(c, "lighttpd", ["lighttpd", "-f", "/etc/lighttpd/lighttpd.conf"], "run/lighttpd.pid")
        status = open(f"/proc/{s.process.pid}/status").read()
        tap.ok(f"Uid:\t{s.user}\t{s.user}" in status, "the program runs as airstrip", s.said())
    finally:
        tap.equal(s.stop(), 0, "and ends with 0", s.said())


def purge(c):
    status, text = c.run("apt-get", "remove", "-y", "airstrip")
    left = [f for f in c.files() if re.match(r"/etc/(?!airstrip(/|$))", f)]
    tap.ok(status == 0 and not left and "airstrip-webserver" not in c.read("etc/caddy/Caddyfile" if os.path.exists(c.path("etc/caddy/Caddyfile"))
                                                                         else "etc/passwd"),
           "removed: the web servers do not speak of it any more", *left, text[-1000:])
    for name, command in (("nginx", ["nginx", "-t"]), ("lighttpd", ["lighttpd", "-tt", "-f", "/etc/lighttpd/lighttpd.conf"]),
                          ("apache2", ["apache2ctl", "configtest"])):
        if glob.glob(c.path(f"usr/*bin/{name}")):
            status, text = c.run(*command)
            tap.ok(status == 0, f"and {name} is content with what is left", text)
    status, text = c.run("apt-get", "purge", "-y", "airstrip", "airstrip-doc")
    os.unlink(c.path("tmp/" + [f for f in os.listdir(c.path("tmp")) if f.startswith("airstrip_")][0]))
    tap.ok(status == 0 and not c.files() and not c.user(), "purged: nothing is left of it, not even the user", *c.files(), *c.user(), text[-1000:])


def main():
    for program in ("dpkg-buildpackage", "dh"):
        if not shutil.which(program):
            tap.skip("Debian's packages", program + " is not installed")
            tap.done()
    packages = build()
    if len(packages) != 2:
        tap.done()
    tap.attempt(lintian)
    wanted = sorted({"ca-certificates", *SERVERS.values(), *depends(packages["airstrip"])})
    tarball, why = base(wanted)
    if not tarball:
        tap.skip("installed in a fresh system", why)
        tap.done()
    signal.signal(signal.SIGTERM, lambda *a: sys.exit(1))
    with Chroot(tarball) as c:
        tap.attempt(install, c, packages)
        tap.attempt(web_servers, c)
        tap.attempt(service, c)
        tap.attempt(purge, c)
    tap.done()


if __name__ == "__main__":
    main()
