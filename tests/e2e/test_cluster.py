"""Several hosts behind the balancers of conf/cluster, from an installed tree: who is asked, what a host that is lost takes with it, and
that all can be exchanged without a loss.  Hosts are network namespaces (tests/net)."""
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster import Cluster, Load, Stream, TlsBackend, UnixBackend, ask, wait_until, why_not  # noqa: E402
from stack import TOP, free_port, in_threads, program  # noqa: E402
from webservers import installed, uncomment  # noqa: E402

import tap  # noqa: E402

TINY = os.path.join(TOP, "tests", "data", "gguf", "llama-Q8_0.gguf")
LONG = {"max_tokens": 1500, "ignore_eos": True, "temperature": 0}   # nine seconds where six run on two cores: they are to hold their places


def user(words):
    return [{"role": "user", "content": words}]


# --- who is asked --------------------------------------------------------------------------------
def test_keys(c, kind):
    """The same key, the same host, and its prefix cache."""
    spread = {c.host_of(f"Word number {i}.") for i in range(12)}
    tap.ok(None not in spread and len(spread) > 1, f"{kind}: conversations are spread over the hosts", spread)
    keyed = {c.host_of(f"Question {i}", prompt_cache_key="conversation 7") for i in range(6)}
    tap.ok(None not in keyed and len(keyed) == 1, f"{kind}: the same prompt_cache_key goes to the same host", keyed)
    keyed = {c.host_of(f"Question {i}", user="alice") for i in range(6)}
    tap.ok(None not in keyed and len(keyed) == 1, f"{kind}: the same user goes to the same host", keyed)
    rules = {"role": "system", "content": "Answer in one word. " * 12}
    ways = [turns(c, rules, f"Person {i} asks something.") for i in range(6)]
    tap.ok(all(len(set(hosts)) == 1 and cached > 0 for hosts, cached in ways),
           f"{kind}: a conversation stays with its host, which has its beginning cached", ways)
    tap.ok(len({hosts for hosts, _ in ways}) > 1, f"{kind}: conversations of one application do not all go to one host", ways)


def turns(c, rules, question):
    """The hosts that served three turns of a conversation, and how many tokens of the last one's prompt were cached."""
    messages, hosts, cached = [rules, *user(question)], [], 0
    for i in range(3):
        status, headers, body = c.chat(messages)
        if status != 200:
            return (body,), 0
        answer = json.loads(body)
        hosts.append(headers.get("x-airstrip-host"))
        cached = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
        messages += [{"role": "assistant", "content": answer["choices"][0]["message"]["content"]}, *user(f"And what then, number {i}?")]
    return tuple(hosts), cached


def test_other_requests(c, kind):
    statuses = [c.request("GET", "/v1/models")[0], c.request("POST", "/v1/chat/completions", b"not json")[0],
                c.request("POST", "/v1/completions", {"prompt": "One, two,", "max_tokens": 2})[0],
                c.request("POST", "/v1/responses", {"input": "One, two,", "max_output_tokens": 2})[0],
                c.request("GET", "/v1/models/none")[0], c.chat("x" * (1 << 20))[0]]
    tap.equal(statuses, [200, 400, 200, 200, 404, 400], f"{kind}: other requests, wrong ones and large ones have their answers")


def killed_stream(c, words, backend):
    """What OpenAI's client raises when the host that writes a stream is killed."""
    stream = c.openai(max_retries=0).chat.completions.create(model="primary", messages=user(words), stream=True, max_tokens=6000,
                                                             extra_body={"ignore_eos": True})
    next(stream)
    backend.kill()
    try:
        for _ in stream:
            pass
    except Exception as e:
        return e
    return None


# --- hosts that fail -----------------------------------------------------------------------------
def kill(b):
    b.kill()


def freeze(b):
    b.freeze()


def cut(b):
    b.link.cut()


def slow(b):
    b.link.change(delay_ms=100, rate_mbit=2)


def test_faults(c, faults):
    """All places are taken by streams and more requests wait, when something happens to two hosts of three."""
    what = " and ".join(f"{name} is {fault.__name__.replace('kill', 'killed').replace('freeze', 'frozen').replace('slow', 'slowed')}"
                        for name, fault in faults.items())
    client = c.openai(max_retries=0)
    client.chat.completions     # loads what it needs
    streams = [Stream(c, {"messages": user(f"Tell me story {i}."), **LONG}).until_text() for i in range(3 * c.slots)]
    taken = sorted(s.host or s.end for s in streams)
    tap.equal(taken, sorted(c.names * c.slots), f"{what}: streams fill all places")
    waiting = [None] * 6

    def wait(i):
        with c.gate.inside():       # both kinds of client, without a second try of theirs
            if i % 2:
                waiting[i] = c.chat(f"Waiting {i}")[0::2]
            else:
                answer = client.chat.completions.create(model="primary", messages=user(f"Waiting {i}"), max_tokens=4)
                waiting[i] = (200 if answer.choices[0].finish_reason in ("length", "stop") else 0, answer)
    threads = [threading.Thread(target=wait, args=(i,)) for i in range(6)]
    for t in threads:
        t.start()
    tap.ok(wait_until(lambda: c.waiting() == 6, 60), f"{what}: requests wait", c.stats())
    for name, fault in faults.items():
        fault(c[name])
    in_threads([s.rest for s in streams])
    for t in threads:
        t.join()
    lost = {name for name, fault in faults.items() if fault is not slow}
    ends = [(s.host, s.end) for s in streams]
    tap.ok(all(end.startswith("cut") for host, end in ends if host in lost), f"{what}: streams of the lost host end, and can be told from whole ones", ends)
    tap.ok(all(end == "done" for host, end in ends if host not in lost), f"{what}: all other streams are whole", ends)
    if not tap.ok(all(w and w[0] == 200 for w in waiting), f"{what}: all that waited are answered", waiting):
        c.tell()


def test_recovery(c, own):
    """All hosts work again, and keys come home."""
    for b in c.backends:
        if b.process.poll() is not None:
            b.start()
        b.thaw()
        b.link.mend()
        b.link.change(delay_ms=0, rate_mbit=0)
    up = [c.wait_state(name, "UP") for name in c.names]
    tap.ok(all(up), "hosts that work again are used again", c.stats())
    whole = wait_until(lambda: all(c.stats()[name]["throttle"] in ("", "100", "100%") for name in c.names), 60)
    tap.ok(whole, "with all their places, when they have started slowly", c.stats())
    home = wait_until(lambda: {key: c.host_of(key) for key in own} == own, 60)
    tap.ok(home, "and each key has its host again", own)


def prompts(c, but):
    """Tokens of prompts that other hosts have been asked."""
    return sum(b.metric("vllm:prompt_tokens_total") for b in c.backends if b.name != but)


def test_only_conversation_moves(c, own):
    """With a host gone, the keys of others stay where they were."""
    gone = c.names[0]
    key = next(key for key, host in own.items() if host == gone)
    whole, before = [], prompts(c, gone)
    c.openai().chat.completions     # loads what it needs
    asking = threading.Thread(target=lambda: whole.append(c.chat(key, **{**LONG, "max_tokens": 6000})))
    asking.start()
    tap.ok(wait_until(lambda: c[gone].metric("vllm:num_requests_running") == 1, 60), "an answer in one piece is being made by its key's host")
    with c.gate.inside():
        error = killed_stream(c, key, c[gone])
    asking.join()
    status, _, body = whole[0]
    tap.ok(status == 502 and json.loads(body)["error"]["code"] == "bad_gateway" and prompts(c, gone) == before,
           "when that is killed it is an error, and is not begun again by another", status, body, before, prompts(c, gone))
    tap.ok(type(error).__name__ in ("APIConnectionError", "RemoteProtocolError"), "haproxy: OpenAI's client raises an error when a stream's host is killed", repr(error))
    now = {key: c.host_of(key) for key in own}
    stay = {key: host for key, host in own.items() if host != gone}
    tap.ok(all(now[key] == host for key, host in stay.items()) and None not in now.values() and gone not in now.values(),
           "with one host gone its keys go to others, all others stay", own, now)


def test_rolling(c):
    """Every host is stopped, started anew and waited for, under load."""
    with Load(c) as load:
        started = load.more()
        for b in c.backends:
            b.kill(signal.SIGTERM)
            tap.equal(b.process.returncode, 0, f"rolling: {b.name} ends well")
            b.start()
            b.wait_ready()
            tap.ok(c.wait_state(b.name, "UP"), f"rolling: {b.name} is back", c.stats()[b.name])
        served = load.more()
    if not tap.ok(started and served and not load.bad, f"rolling: none of {sum(load.good)} answers is lost", load.good, *load.bad[:5]):
        c.tell()


def test_drained_by_hand(c):
    """As the manual tells it: nothing new for one host, what runs there is finished."""
    s = Stream(c, {"messages": user("Tell me a story."), **LONG, "max_tokens": 100}).until_text()
    c.admin(f"set server airstrip/{s.host} state drain")
    others = {c.host_of(f"Word number {i}.") for i in range(12)}
    tap.ok(s.host not in others and None not in others, "a host that is drained by hand gets nothing new", s.host, others)
    tap.equal(s.rest().end, "done", "and finishes what it has")
    c.admin(f"set server airstrip/{s.host} state ready")


def haproxy(share):
    with Cluster("haproxy-cluster", share=share, options=["--drain-notice", "2s", "--ping-interval", "1s"]) as c:
        tap.attempt(test_keys, c, "haproxy")
        tap.attempt(test_other_requests, c, "haproxy")
        tap.attempt(test_drained_by_hand, c)
        own = {f"Key {i}": c.host_of(f"Key {i}") for i in range(12)}
        tap.attempt(test_only_conversation_moves, c, own)
        tap.attempt(test_recovery, c, own)
        tap.attempt(test_faults, c, {"one": kill, "two": cut})
        tap.attempt(test_recovery, c, own)
        tap.attempt(test_faults, c, {"two": freeze, "three": slow})
        tap.attempt(test_recovery, c, own)
        tap.attempt(test_rolling, c)


# --- TLS between the hosts -----------------------------------------------------------------------
def test_tls(c):
    s = Stream(c, {"messages": user("Tell me a story."), **LONG, "max_tokens": 40}).rest()
    tap.ok(s.end == "done" and s.host in c.names, "tls: a stream comes through", s.end, s.host)
    plain = ask(c.gate, c["one"].address, 9443, "GET", "/readyz", timeout=20)
    words = ["curl", "-sk", "-m", "20", f"https://{c['one'].address}:9443/readyz"]
    stranger = c.gate.run(words, capture_output=True)
    friend = c.gate.run([*words, "--cert", c.dir + "/cluster.pem"], capture_output=True)
    tap.ok(plain[0] in (0, 400) and stranger.returncode and not stranger.stdout and b'"ok"' in friend.stdout,
           "tls: who has no certificate of the cluster's is not let in", plain, stranger, friend)
    with Load(c) as load:
        started = load.more()
        c["two"].kill(signal.SIGTERM)
        c["two"].start()
        served = c.wait_state("two", "UP") and load.more()
    if not tap.ok(started and served and not load.bad, f"tls: a host is exchanged, none of {sum(load.good)} answers is lost", load.good, *load.bad[:5]):
        c.tell()


def tls(share):
    conf = open(os.path.join(share, "cluster", "haproxy.cfg")).read()
    secured = uncomment(conf, "With TLS between the hosts")
    plain = [line + "\n" for line in conf.splitlines() if line.lstrip().startswith("server ") or line == "    use-fcgi-app airstrip"]
    changes = [(conf, secured)] + [(line, "") for line in plain]
    with Cluster("haproxy-cluster", share=share, kind=TlsBackend, count=2, options=["--drain-notice", "2s"], changes=changes) as c:
        tap.attempt(test_tls, c)


# --- nginx ---------------------------------------------------------------------------------------
def a_key_each(c):
    """A conversation for each host: {host: words}."""
    found = {}
    for i in range(60):
        found.setdefault(c.host_of(f"Conversation {i}."), f"Conversation {i}.")
        if len(found) == len(c.names):
            break
    return found


def test_nginx_faults(c):
    own = a_key_each(c)
    by = {f"{b.address}:9000": b for b in c.backends}
    tap.equal(sorted(map(str, own)), sorted(by), "nginx: each host has conversations")
    streams = {host: Stream(c, {"messages": user(words), **LONG}).until_text() for host, words in own.items()}
    killed, frozen, well = sorted(by)
    by[killed].kill()
    by[frozen].freeze()
    in_threads([s.rest for s in streams.values()])
    by[frozen].thaw()
    ends = {host: s.end for host, s in streams.items()}
    tap.ok(ends[well] == "done" and ends[killed] == "error" and ends[frozen].startswith("cut"),
           "nginx: streams of a killed host end with an error event, of a frozen one they break off, others are whole", ends)
    found = [c.host_of(own[killed]) for _ in range(3)]
    tap.ok(all(found) and not any(host.endswith(killed) for host in found), "nginx: what cannot be sent to a host goes to another", found)
    by[killed].start()
    by[killed].wait_ready()


def test_nginx_client(c):
    """OpenAI's client raises an error where a stream ends with an error event."""
    host, words = next(iter(a_key_each(c).items()))
    with c.gate.inside():
        error = killed_stream(c, words, next(b for b in c.backends if host.startswith(b.address + ":")))
    tap.ok("ended while answering" in str(error), "nginx: OpenAI's client raises an error when a stream's host is killed", repr(error))


def test_take_over(c):
    """Hosts are upgraded in place; nginx sees nothing of it."""
    for b in c.backends:
        if b.process.poll() is not None:
            b.start()
            b.wait_ready()
    with Load(c) as load:
        started = load.more()
        for b in c.backends:
            old = b.process
            b.start("--take-over", "on")
            tap.equal(old.wait(180), 0, f"nginx: {b.name} is taken over")
        served = load.more()
    tap.ok(started and served and not load.bad, f"nginx: none of {sum(load.good)} answers is lost", load.good, *load.bad[:5])


def nginx(share):
    with Cluster("nginx-cluster", share=share, kind=UnixBackend, options=["--ping-interval", "1s"]) as c:
        tap.attempt(test_keys, c, "nginx")
        tap.attempt(test_other_requests, c, "nginx")
        tap.attempt(test_nginx_faults, c)
        tap.attempt(test_nginx_client, c)
        tap.attempt(test_take_over, c)


def port_of_a_killed_process():
    """Whoever hears that a connection broke, since the process was killed, finds the port closed: a balancer tries another host then,
    where a connection that is accepted and cut off would count as begun."""
    accepted, tries, address = [], 12, f"127.77.{os.getpid() % 250}.1"      # no other test's
    for _ in range(tries):
        port = free_port()
        process = subprocess.Popen([program(), "--listen", f"{address}:{port}", "--model", TINY], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        open_one = lambda: socket.create_connection((address, port))
        wait_until(lambda: not failed(open_one), 60)
        some = [open_one() for _ in range(20)]
        if not wait_until(lambda: connections(process.pid, port) >= 20, 30):
            raise RuntimeError("connections are not accepted")
        with select.epoll() as poll:
            for s in some:
                poll.register(s.fileno(), select.EPOLLIN)
            process.kill()
            poll.poll(60)
        accepted.append(not failed(open_one))
        process.wait()
        for s in some:
            s.close()
    tap.equal(accepted, [False] * tries, "a process that is killed closes its port before its connections")


def connections(pid, port):
    """How many of that port a process has."""
    with open(f"/proc/{pid}/net/tcp") as f:
        rows = [line.split() for line in f][1:]
    inodes = {row[9] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"}
    names = os.listdir(f"/proc/{pid}/fd")
    found = 0
    for name in names:
        with contextlib.suppress(OSError):
            found += os.readlink(f"/proc/{pid}/fd/{name}")[8:-1] in inodes
    return found


def failed(function):
    try:
        function().close()
    except OSError:
        return True
    return False


def main():
    if len(sys.argv) == 1:
        tap.attempt(port_of_a_killed_process)
    folder = tempfile.mkdtemp(prefix="airstrip-e2e-")
    os.chmod(folder, 0o755)
    try:
        share, _ = installed(os.path.dirname(program()), folder)
        for name, run in (("haproxy-cluster", haproxy), ("haproxy-cluster", tls), ("nginx-cluster", nginx)):
            if len(sys.argv) > 1 and run.__name__ not in sys.argv[1:]:
                continue
            why = why_not(name)
            if why:
                tap.skip(f"{run.__name__}: several hosts behind a balancer", why)
            else:
                tap.attempt(run, share)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()
tap.done()
