"""Hosts and the links between them, on one machine: network namespaces, joined by links of chosen delay, rate and loss.

    why = nets.missing()                        # None, or why this machine cannot
    with nets.Net() as net:
        a, b = net.host("a"), net.host("b")
        link = net.link(a, b, delay_ms=5, rate_mbit=100, loss=0.01)
        b.popen([...]); a.run(["ping", b.address]); link.change(delay_ms=50); link.cut(); link.mend()
        with a.inside(): socket.create_connection((b.address, 80))      # of this thread alone

A host has one address, whatever its links; who is linked with it reaches it, others through `net.router()`.  A link is a pair of
veth devices with netem on both, where the kernel has that, else two TUN devices with the program `link` between them; one without
delay, rate and loss is a pair of veth devices alone.  Delays are one way.  Measured on two busy cores of a Zen 5: `link` adds 6 us each
way, and carries 0.8, 2 and 3 Gbit/s of TCP with an mtu of 1500, 9000 and 65000; veth alone about 9.

All of it goes when the block is left, when the process ends, and when it is killed: a guardian, a process of its own, waits for
that.  Names of namespaces tell the process that made them, so that what a killed guardian left is removed at the next start.
"""
import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
RUN = "/run/netns"
NAME = re.compile(r"airstrip-(\d+)-(\d+)-")
CLONE_NEWNET = 0x40000000
CUT = 1000000           # of a million packets
LIBC = ctypes.CDLL(None, use_errno=True)


def ip(*words, check=True):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=60, check=False)
    if check and done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def link_program():
    """The program `link`, built where this runs; None without it."""
    folders = [os.environ.get("AIRSTRIP_PLAIN"), os.path.join(HERE, "..", ".."), os.path.join(HERE, "..", "..", "build", "dev")]
    for folder in filter(None, folders):
        path = os.path.join(folder, "tests", "net", "link")
        if os.access(path, os.X_OK):
            return os.path.abspath(path)
    return None


def missing():
    """Why no network can be made here, or None."""
    for name in ("ip", "nsenter", "unshare"):
        if not shutil.which(name):
            return name + " is not installed"
    if os.getuid():
        return "network namespaces need root"
    trial = f"airstrip-{own_mark()}-trial"
    try:
        ip("netns", "add", trial)
        ip("-n", trial, "link", "add", "one", "type", "veth", "peer", "name", "two")
        if not has_netem(trial) and not (link_program() and os.path.exists("/dev/net/tun")):
            return "the kernel has no netem, and there is no " + ("/dev/net/tun" if link_program() else "program tests/net/link")
    except RuntimeError as e:
        return str(e)
    finally:
        ip("netns", "del", trial, check=False)
    return None


def has_netem(namespace):
    """Whether the device `one` of a namespace can have it."""
    return not subprocess.run(["tc", "-n", namespace, "qdisc", "add", "dev", "one", "root", "netem", "delay", "1ms"],
                              capture_output=True, check=False).returncode if shutil.which("tc") else False


# --- who made a namespace --------------------------------------------------------------------------
def started(pid):
    """When a process was started, in ticks since the machine was; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[19]
    except OSError:
        return None


def own_mark():
    return f"{os.getpid()}-{started(os.getpid())}"


def sweep(prefix):
    """Ends all processes in namespaces of that prefix, and removes them."""
    for name in list_namespaces():
        if name.startswith(prefix):
            for _ in range(100):        # what is ended may have had time to start something
                pids = [int(p) for p in ip("netns", "pids", name, check=False).split() if int(p) != os.getpid()]
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                if not pids:
                    break
                time.sleep(0.02)
            ip("netns", "del", name, check=False)


def sweep_stale():
    for name in list_namespaces():
        made = NAME.match(name)
        if made and started(made[1]) != made[2]:
            sweep(name)


def list_namespaces():
    return sorted(os.listdir(RUN)) if os.path.isdir(RUN) else []


# --- hosts -----------------------------------------------------------------------------------------
class Host:
    def __init__(self, net, name, address):
        self.net, self.name, self.address = net, name, address
        self.namespace = net.prefix + name
        self.path = os.path.join(RUN, self.namespace)
        ip("netns", "add", self.namespace)
        ip("-n", self.namespace, "link", "set", "lo", "up")
        ip("-n", self.namespace, "addr", "add", address + "/32", "dev", "lo")
        with self.inside():
            for key, value in (("ipv6/conf/all/disable_ipv6", "1"), ("ipv6/conf/default/disable_ipv6", "1"), ("ipv4/conf/all/rp_filter", "0"),
                               ("ipv4/conf/default/rp_filter", "0")):
                with contextlib.suppress(OSError), open("/proc/sys/net/" + key, "w") as f:
                    f.write(value)

    def command(self, words):
        """The command that runs another one on this host, under its name, as the same process."""
        return ["nsenter", "--net=" + self.path, "--", "unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', self.name, *words]

    def run(self, words, **options):
        return subprocess.run(self.command(words), check=False, **options)

    def popen(self, words, **options):
        """Started here, it is ended with the network at the latest."""
        return subprocess.Popen(self.command(words), **options)

    @contextlib.contextmanager
    def inside(self):
        """What this thread opens, it opens on this host; a socket stays there."""
        with open("/proc/thread-self/ns/net") as before, open(self.path) as here:
            enter(here)
            try:
                yield self
            finally:
                enter(before)


def enter(f):
    if LIBC.setns(f.fileno(), CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns: " + os.strerror(ctypes.get_errno()))


# --- links -----------------------------------------------------------------------------------------
class Link:
    """Both directions of a link alike: delay_ms one way, rate_mbit of IP packets (0: no limit), loss of 1, and queue_ms that packets may
    wait to be sent at that rate."""

    def __init__(self, net, a, b, mtu, setting):
        self.net, self.ends, self.setting, self.is_cut = net, (a, b), setting, False
        self.devices = [("to-" + b.name)[:15], ("to-" + a.name)[:15]]
        self.process = None
        self.kind = "veth" if not setting else "netem" if net.netem else "tun"
        if self.kind == "tun":
            self.start_program()
        else:
            ip("-n", a.namespace, "link", "add", self.devices[0], "type", "veth", "peer", "name", self.devices[1], "netns", b.namespace)
        for host, device in zip(self.ends, self.devices):
            ip("-n", host.namespace, "link", "set", device, "mtu", str(mtu), "up", "txqueuelen", "10000")
        for host, peer, device in ((a, b, self.devices[0]), (b, a, self.devices[1])):
            ip("-n", host.namespace, "route", "add", peer.address + "/32", "dev", device, "src", host.address)
        if self.kind != "veth":
            self.apply()

    def start_program(self):
        program = link_program()
        if not program:
            raise RuntimeError("the program tests/net/link is not built")
        words = [program]
        for host, device in zip(self.ends, self.devices):
            words += [host.path, device]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.tell(0, 0, 0, 0)       # it answers when the devices are there

    def tell(self, *numbers):
        self.process.stdin.write(" ".join(str(int(n)) for n in numbers) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if answer != "ok":
            raise RuntimeError("link: " + (answer or "it has ended"))

    def apply(self):
        delay_ms, rate, loss, queue_ms = (self.setting.get(k, d) for k, d in
                                          (("delay_ms", 0), ("rate_mbit", 0), ("loss", 0), ("queue_ms", 50)))
        ppm = CUT if self.is_cut else round(loss * 1e6)
        queue = max(64 << 10, rate * 1e6 / 8 * queue_ms / 1e3)
        if self.kind == "tun":
            self.tell(delay_ms * 1e3, rate * 1e6, ppm, queue)
            return
        packets = max(100, (rate * 1e6 * (delay_ms + queue_ms) / 1e3 / 8 / 1000) if rate else 100000)
        words = ["netem", "limit", str(int(packets)), "delay", f"{delay_ms * 1e3:.0f}us", "loss", f"{ppm / 1e4}%"]
        if rate:
            words += ["rate", f"{rate * 1e6:.0f}bit"]
        for host, device in zip(self.ends, self.devices):
            done = subprocess.run(["tc", "-n", host.namespace, "qdisc", "replace", "dev", device, "root", *words], capture_output=True,
                                  text=True, check=False)
            if done.returncode:
                raise RuntimeError("tc: " + done.stderr.strip())

    def change(self, **setting):
        if self.kind == "veth":
            raise RuntimeError("a link made without delay, rate and loss cannot get them later")
        self.setting.update(setting)
        self.apply()

    def cut(self):
        """No packet comes through any more, and nobody is told."""
        self.is_cut = True
        self.apply()

    def mend(self):
        self.is_cut = False
        self.apply()


# --- the whole -------------------------------------------------------------------------------------
class Net:
    def __init__(self):
        sweep_stale()
        self.prefix = f"airstrip-{own_mark()}-"
        if list_namespaces() and any(name.startswith(self.prefix) for name in list_namespaces()):
            raise RuntimeError("one network a process")
        self.hosts, self.links, self.routers = {}, [], []
        self.guardian = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--guard", self.prefix], stdin=subprocess.PIPE,
                                         start_new_session=True)
        probe = self.prefix + "probe"
        ip("netns", "add", probe)
        ip("-n", probe, "link", "add", "one", "type", "veth", "peer", "name", "two")
        self.netem = has_netem(probe)
        ip("netns", "del", probe)

    def host(self, name):
        self.hosts[name] = Host(self, name, f"10.77.0.{len(self.hosts) + 1}")
        return self.hosts[name]

    def link(self, a, b, mtu=1500, **setting):
        """No setting: as fast as the machine can.  delay_ms=0 is a setting, which may be changed later."""
        unknown = set(setting) - {"delay_ms", "rate_mbit", "loss", "queue_ms"}
        if unknown:
            raise TypeError(f"a link has no {', '.join(sorted(unknown))}")
        self.links.append(Link(self, a, b, mtu, dict(setting)))
        return self.links[-1]

    def router(self, hosts, mtu=1500, **setting):
        """Joins several hosts through one more in their middle: two links, so twice the delay, lie between any two of them."""
        middle = self.host(f"router{len(self.routers)}")
        self.routers.append(middle)
        with middle.inside(), open("/proc/sys/net/ipv4/ip_forward", "w") as f:
            f.write("1")
        for h in hosts:
            link = self.link(h, middle, mtu, **setting)
            ip("-n", h.namespace, "route", "add", "10.77.0.0/24", "dev", link.devices[0], "src", h.address)
        return middle

    def close(self):
        for link in self.links:
            if link.process:
                link.process.stdin.close()
                link.process.wait()
        self.guardian.stdin.close()
        self.guardian.wait()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def guard(prefix):
    """Until who made the namespaces is gone, or says that it is done."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 64):
        pass
    sweep(prefix)




if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--guard":
        guard(sys.argv[2])
