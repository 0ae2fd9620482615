"""The network that tests make of namespaces (tests/net): its links delay, slow down and lose what they were told to, and nothing of it
outlives the test, however that ends."""
import os
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "net"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import nets  # noqa: E402
import tap  # noqa: E402
from webservers import alive, wait_until  # noqa: E402

NETNS = os.path.join(nets.HERE, "netns")
BIG = 8 << 20


def udp(host, port=0):
    with host.inside():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, 33, BIG)        # SO_RCVBUFFORCE
        s.bind((host.address, port))
    s.settimeout(60)
    return s


def round_trip(a, b, enough):
    """The shortest of up to a hundred, in ms; one that is short enough is the last."""
    best = 1e9
    with udp(a) as one, udp(b) as two:
        for _ in range(100):
            began = time.monotonic()
            one.sendto(b"ping", two.getsockname())
            _, who = two.recvfrom(64)
            two.sendto(b"pong", who)
            one.recv(64)
            best = min(best, (time.monotonic() - began) * 1e3)
            if best < enough:
                break
    return best


def numbers_through(a, b, count):
    """Sends so many numbered packets and a last one till it comes: the numbers that came, in order."""
    found = []
    with udp(a) as one, udp(b) as two:
        for i in range(count):
            one.sendto(b"%d" % i, two.getsockname())
        two.settimeout(0.2)
        for _ in range(300):
            one.sendto(b"last", two.getsockname())
            try:
                while True:
                    word = two.recv(64)
                    if word == b"last":
                        return found
                    found.append(int(word))
            except TimeoutError:
                pass
    raise RuntimeError("the last packet never came")


def seconds_for(a, b, size):
    """From the first byte that comes to the last, over TCP."""
    with b.inside(), socket.socket() as door:
        door.bind((b.address, 0))
        door.listen()
        with a.inside():
            sender = subprocess.Popen([sys.executable, "-c", "import socket, sys\n"
                                       "socket.create_connection((sys.argv[1], int(sys.argv[2]))).sendall(bytes(int(sys.argv[3])))",
                                       b.address, str(door.getsockname()[1]), str(size)])
        peer, _ = door.accept()
        with peer:
            left, began = size - len(peer.recv(1)), time.monotonic()
            while left > 0:
                left -= len(peer.recv(min(left, 65536)))
            spent = time.monotonic() - began
        sender.wait()
        return spent


def test_delay(link, a, b):
    near = round_trip(a, b, 20)
    link.change(delay_ms=20)
    far = round_trip(a, b, 60)
    tap.ok(near < 20 and 40 <= far < 60, "a delay of 20 ms is on the way there and back, and not without it", near, far)
    link.change(delay_ms=0)


def test_rate(link, a, b):
    """A loaded machine may be late, never early: half a megabyte lasts at least as long as its bits need, but for what had come before
    the first byte was seen."""
    for rate in (8, 32):
        link.change(rate_mbit=rate)
        least = ((1 << 19) - 65536) * 8 / rate / 1e6
        spent = [seconds_for(a, b, 1 << 19)]
        while spent[-1] > 4 * least and len(spent) < 5:
            spent.append(seconds_for(a, b, 1 << 19))
        tap.ok(min(spent) >= least, f"nothing is faster than {rate} Mbit/s", spent, least)
        tap.ok(min(spent) <= 4 * least, f"and nothing much slower than {rate} Mbit/s", spent, least)
    link.change(rate_mbit=0)


def test_loss(link, a, b):
    count = 2000
    tap.equal(numbers_through(a, b, count), list(range(count)), "a link without loss brings all, in order")
    link.change(loss=0.3)
    found = numbers_through(a, b, count)
    link.change(loss=0)
    tap.ok(1200 <= len(found) <= 1600 and found == sorted(set(found)), "a loss of 0.3 takes about that share, and keeps the order", len(found))


def test_cut(link, a, b):
    with udp(a) as one, udp(b) as two:
        link.cut()
        for _ in range(20):
            one.sendto(b"lost", two.getsockname())
        two.settimeout(0.3)
        try:
            tap.ok(False, "a link that is cut brings nothing", two.recv(64))
        except TimeoutError:
            tap.ok(True, "a link that is cut brings nothing")
        link.mend()
    tap.equal(numbers_through(a, b, 20), list(range(20)), "once it is mended it brings all")


def test_wrong_setting(link):
    if link.kind != "tun":
        tap.skip("a wrong setting is refused with a sentence", "the link is of another kind: " + link.kind)
        return
    try:
        link.tell(1, 2, 2000000, 4)
        tap.ok(False, "a wrong setting is refused with a sentence")
    except RuntimeError as e:
        tap.ok("expected DELAY_US" in str(e), "a wrong setting is refused with a sentence", e)


def test_hosts(a, b):
    found = a.run(["sh", "-c", "hostname; ip -o -4 addr show lo"], capture_output=True, text=True).stdout
    tap.ok(found.startswith("a\n") and a.address in found and b.address not in found, "a host has its own name and address", found)


def owner(code):
    """Another process that makes a network, and has done so when this returns: (process, what it prints)."""
    p = subprocess.Popen([sys.executable, "-c", "import sys, time\nsys.path.insert(0, sys.argv[1])\nimport nets\n" + code, nets.HERE],
                         stdout=subprocess.PIPE, text=True)
    return p, p.stdout.readline().split()


MAKE = """
net = nets.Net()
a, b = net.host('a'), net.host('b')
net.link(a, b, delay_ms=1)
p = a.popen(['sleep', '1000'])
print(net.prefix, p.pid, net.guardian.pid, flush=True)
time.sleep(1000)
"""


def test_killed():
    p, (prefix, child, _) = owner(MAKE)
    tap.ok(sum(n.startswith(prefix) for n in nets.list_namespaces()) == 2 and alive(int(child)), "another process has a network of two hosts")
    p.kill()
    p.wait()
    gone = wait_until(lambda: not any(n.startswith(prefix) for n in nets.list_namespaces()) and not alive(int(child)), 60)
    tap.ok(gone, "killed, it leaves neither namespaces nor what ran in them", nets.list_namespaces())


def test_guardian_killed():
    p, (prefix, child, guardian) = owner(MAKE)
    os.kill(int(guardian), signal.SIGKILL)
    p.kill()
    p.wait()
    tap.ok(any(n.startswith(prefix) for n in nets.list_namespaces()), "with its guardian killed first, a process leaves its namespaces")
    nets.sweep_stale()
    tap.ok(not any(n.startswith(prefix) for n in nets.list_namespaces()) and wait_until(lambda: not alive(int(child)), 60),
           "which the next one to start removes, with what runs in them", nets.list_namespaces())


def test_command():
    line = 'test "$(hostname)" = a && test "$($NET_ON -x 10.77.0.3 hostname)" = c && ! $NET_ON nobody true && exit 7'
    done = subprocess.run([NETNS, "--hosts", "3", "--delay-us", "100", "--", "sh", "-c", line], capture_output=True, text=True, timeout=120, check=False)
    tap.ok(done.returncode == 7 and "expected one of a=10.77.0.1" in done.stderr, "netns runs a command among three hosts, and ends with its status",
           done.returncode, done.stderr)


def test_router(net):
    a, b, c = (net.hosts[n] for n in "abc")
    net.router([b, c], delay_ms=5)
    took = round_trip(b, c, 40)
    tap.ok(20 <= took < 40, "two links of 5 ms lie between hosts that a router joins", took)


def main():
    why = nets.missing()
    if why:
        tap.skip("a network of namespaces", why)
        return
    with nets.Net() as net:
        a, b = net.host("a"), net.host("b")
        net.host("c")
        link = net.link(a, b, delay_ms=0)
        for test, args in ((test_delay, (link, a, b)), (test_rate, (link, a, b)), (test_loss, (link, a, b)), (test_cut, (link, a, b)),
                           (test_wrong_setting, (link,)), (test_hosts, (a, b)), (test_router, (net,)), (test_killed, ()),
                           (test_guardian_killed, ()), (test_command, ())):
            tap.attempt(test, *args)
        prefix = net.prefix
    tap.equal([n for n in nets.list_namespaces() if n.startswith(prefix)], [], "a network that was left is gone")


main()
tap.done()
