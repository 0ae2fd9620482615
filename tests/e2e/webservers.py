"""The web servers of conf/, each started from its file there or in an installed tree, in a folder of its own.

    with WebServer("nginx", folder, port) as web: ...

The folder takes the place of /run/airstrip, the port that of 3003; all else is as an operator would have it.
"""
import os
import pwd
import re
import shutil
import signal
import subprocess
import time

PREFIX = "/opt/airstrip"
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# program, file of conf/, command, whether it starts Airstrip itself
KNOWN = {
    "lighttpd": ("lighttpd", "lighttpd.conf", ["lighttpd", "-f", "{conf}"], False),
    "nginx": ("nginx", "nginx.conf", ["nginx", "-c", "{conf}"], False),
    "apache": ("apache2", "apache.conf", ["apache2", "-f", "{conf}"], False),
    "haproxy": ("haproxy", "haproxy.cfg", ["haproxy", "-f", "{conf}", "-D", "-p", "{dir}/haproxy.pid"], False),
    "caddy": ("caddy", "Caddyfile", ["caddy", "start", "--config", "{conf}", "--adapter", "caddyfile", "--pidfile",
                                     "{dir}/caddy.pid"], False),
    "lighttpd-spawn": ("lighttpd", "lighttpd-spawn.conf", ["lighttpd", "-f", "{conf}"], True),
    "apache-fcgid": ("apache2", "apache-fcgid.conf", ["apache2", "-f", "{conf}"], True),
}

# Those that stand between hosts, not before one.
BALANCERS = {
    "haproxy-cluster": ("haproxy", "cluster/haproxy.cfg", ["haproxy", "-f", "{conf}", "-D", "-p", "{dir}/haproxy.pid"], False),
    "haproxy-host": ("haproxy", "cluster/haproxy-host.cfg", ["haproxy", "-f", "{conf}", "-D", "-p", "{dir}/haproxy.pid"], False),
    "nginx-cluster": ("nginx", "cluster/nginx.conf", ["nginx", "-c", "{conf}"], False),
}
ALL = {**KNOWN, **BALANCERS}


def wait_until(condition, seconds, step=0.02):
    """True as soon as condition() is; False when the time is over.  Seconds are those of a machine with nothing else to
    do: thrice as many are waited for, since other tests run beside this one."""
    end = time.monotonic() + 3 * seconds
    while True:
        if condition():
            return True
        if time.monotonic() > end:
            return False
        time.sleep(step)


def alive(pid):
    try:
        state = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def end_process(pid):
    for sig, seconds in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
        if not alive(pid):
            return
        os.kill(pid, sig)
        if wait_until(lambda: not alive(pid), seconds):
            return


def missing(name):
    """Why this web server cannot be run here, or None."""
    if not shutil.which(ALL[name][0]):
        return ALL[name][0] + " is not installed"
    if name == "nginx-cluster" and not os.path.exists("/usr/lib/nginx/modules/ngx_http_js_module.so"):
        return "libnginx-mod-http-js is not installed"
    if name == "apache-fcgid" and not os.path.exists("/usr/lib/apache2/modules/mod_fcgid.so"):
        return "libapache2-mod-fcgid is not installed"
    if name.startswith("apache") and not os.path.exists("/usr/lib/apache2/modules"):
        return "Apache's modules lie elsewhere"
    return None


def uncomment(conf, after):
    """The commented lines that follow the comment with these words."""
    lines = conf.split("\n")
    i = next(i for i, line in enumerate(lines) if after in line and line.lstrip().startswith("#")) + 1
    while i < len(lines) and lines[i].lstrip().startswith("#"):
        lines[i] = re.sub(r"^(\s*)# ?", r"\1", lines[i])
        i += 1
    return "\n".join(lines)


class WebServer:
    """share: a folder with the files of conf/, such as an installed tree's; changes: pairs of what is to be replaced in its file
    by what; tls_port: its commented lines for TLS are put in force."""

    def __init__(self, name, folder, port, share=None, changes=(), tls_port=None):
        self.name, self.dir, self.port, self.changes, self.tls_port = name, folder, port, changes, tls_port
        self.share = share or os.path.join(TOP, "conf")
        self.pid = None
        self.program, self.file, self.command, self.starts_airstrip = ALL[name]

    def conf(self):
        text = open(os.path.join(self.share, self.file)).read()
        if self.tls_port:
            text = uncomment(text, "With a certificate")
            text = text.replace(":443", f":{self.tls_port}").replace("isten 443", f"isten {self.tls_port}")
            for path in re.findall(r"/etc/ssl/\S*?airstrip\.(?:pem|key)", text):
                text = text.replace(path, os.path.join(self.dir, os.path.basename(path)))
        for old, new in self.changes:
            if old not in text:
                raise RuntimeError(f"{self.file} has no {old!r}")
            text = text.replace(old, new)
        text = text.replace("/run/airstrip", self.dir).replace("127.0.0.1:3003", f"127.0.0.1:{self.port}")
        text = text.replace("server.port = 3003", f"server.port = {self.port}").replace("http://:3003", f"http://:{self.port}")
        text = text.replace("/usr/local/share/airstrip", self.share)
        if PREFIX in self.share:
            text = text.replace(PREFIX, self.share[:self.share.index(PREFIX)] + PREFIX)
        if os.getuid() == 0 and self.name != "lighttpd-spawn":      # whose child must read what root alone may
            text = re.sub(r"(?m)^(\s*)# ((?:user|group|User|Group|server\.username|server\.groupname)\b.*www-data.*)$", r"\1\2", text)
        return text

    def start(self):
        if os.getuid() == 0:
            user = pwd.getpwnam("www-data")
            os.chown(self.dir, user.pw_uid, user.pw_gid)
        if self.tls_port:
            make_certificate(self.dir)
        path = os.path.join(self.dir, os.path.basename(self.file))
        with open(path, "w") as f:
            f.write(self.conf())
        command = [part.format(conf=path, dir=self.dir) for part in self.command]
        env = dict(os.environ, HOME=self.dir, XDG_DATA_HOME=self.dir, XDG_CONFIG_HOME=self.dir)
        with open(os.path.join(self.dir, self.name + ".out"), "w+") as out:     # not a pipe: Caddy's child keeps it
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=60, env=env, check=False)
            out.seek(0)
            if done.returncode:
                raise RuntimeError(f"{command}: {out.read()[-2000:]}")
        pid_file = os.path.join(self.dir, self.program.replace("apache2", "apache") + ".pid")
        wait_until(lambda: os.path.exists(pid_file) and open(pid_file).read().strip(), 10)
        self.pid = int(open(pid_file).read())

    def stop(self):
        if self.pid:
            end_process(self.pid)
        self.pid = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.stop()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"


def make_certificate(folder):
    """airstrip.key, and airstrip.pem with certificate and key, signed by nobody."""
    key, pem = os.path.join(folder, "airstrip.key"), os.path.join(folder, "airstrip.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2", "-keyout", key,
                    "-out", pem], check=True, capture_output=True)
    with open(pem, "a") as f:
        f.write(open(key).read())


def installed(build, folder):
    """`make install` of a build folder below another one: (folder of the web servers' files, the program).  The files speak of
    PREFIX, which is to be taken for what lies below `folder`."""
    done = subprocess.run(["make", "-s", "-C", build, "install", "DESTDIR=" + folder, "prefix=" + PREFIX], capture_output=True,
                          text=True, check=False)
    if done.returncode:
        raise RuntimeError("make install: " + done.stdout[-1000:] + done.stderr[-1000:])
    return os.path.join(folder + PREFIX, "share", "airstrip"), os.path.join(folder + PREFIX, "libexec", "airstrip")
