"""API keys: made by the command, kept as hashes, each with its models and limits; nobody without one gets past the door."""
import os
import re
import subprocess
import tempfile
import threading
import time

import fcgi_client as fcgi
from program import Program, chat, endless
from stack import SMOLLM2, TOP, Stack, key_line, program, wait_until
import tap

ALICE, BOB, CAROL, DAVE = (f"sk-{name}-0123456789abcdefghijkl" for name in ("alice", "bob", "carol", "dave"))


def the_command(folder):
    done = subprocess.run([program(), "--make-key", "alice"], capture_output=True, text=True, timeout=20)
    key = done.stderr.split()[-1]
    tap.ok(done.returncode == 0 and re.fullmatch(r"alice \$hmac-sha256\$[0-9a-f]{32}\$[0-9a-f]{64}\n", done.stdout)
           and re.fullmatch(r"sk-airstrip-[\w-]{43}", key), "--make-key: a line for the file, and the key apart from it", done)
    tap.ok(key not in done.stdout, "the line does not hold the key")
    path = os.path.join(folder, "made")
    open(path, "w").write(done.stdout)
    with Program("--api-keys", path) as p:
        tap.equal([p.post(chat(), key=k).status for k in (key, key[:-1], None)], [200, 401, 401], "the key made is the one that is let in")
    for name, words in (("a b", "name"), ("", "name"), ("x" * 64, "name")):
        done = subprocess.run([program(), "--make-key", name], capture_output=True, text=True, timeout=20)
        tap.ok(done.returncode == 1 and words in done.stderr and not done.stdout, f"--make-key {name[:8]!r} is refused", done)
    done = subprocess.run([program(), "--hash-key", "x"], input="tooshort\n", capture_output=True, text=True, timeout=20)
    tap.ok(done.returncode == 1 and "24" in done.stderr, "--hash-key refuses a short key", done)
    plain = os.path.join(folder, "plain")
    open(plain, "w").write("# mine\nsk-plain-0123456789abcdefghijkl\n")
    done = subprocess.run([program(), "--check", "--config", "/dev/null", "--model", SMOLLM2, "--api-keys", plain],
                          capture_output=True, text=True, timeout=60)
    tap.ok(done.returncode == 1 and "plain:2:" in done.stderr and "--make-key" in done.stderr and "sk-plain" not in done.stderr,
           "--check: a file of keys as they are is refused, without showing them", done.stderr)


def every_route_is_closed(p):
    """The table in fcgi/api/routes.c is the list: a route added later is tried as well."""
    table = re.findall(r'\{ "(\w+)", "([^"]+)", \w+, (true|false) \}', open(os.path.join(TOP, "fcgi", "api", "routes.c")).read())
    tap.ok(len(table) >= 10, f"{len(table)} routes")
    tap.equal(sorted(path for _, path, is_open in table if is_open == "true"), ["/livez", "/readyz"], "two of them are open")
    wrong = []
    for method, path, is_open in table:
        path = re.sub(r"\{.*\}", "primary", path)
        for key in (None, "wrong", ALICE[:-1], ALICE + "x", "", "Bearer " + ALICE):
            a = fcgi.request(p.socket, method, path, {} if method == "POST" else None,
                             headers={"authorization": "Bearer " + key} if key is not None else {})
            if a.status != (200 if is_open == "true" else 401):
                wrong.append((method, path, key, a.status))
    tap.equal(wrong, [], "all others say 401 without a key, and with a wrong one")
    for path in ("/nowhere", "/v1", "/v1/chat/completions/", "//v1/models", "/v1/../v1/models", "/%76%31/models", "/V1/models"):
        if p.get(path).status != 401:
            tap.ok(False, f"{path} is closed too", p.get(path).status)
    a = p.post(chat())
    tap.equal((a.status, a.headers.get("www-authenticate"), a.json()["error"]["code"]), (401, "Bearer", "invalid_api_key"),
              "with the scheme to use and OpenAI's code")


def models_of_a_key(p):
    tap.equal(p.post(chat(model="small"), key=ALICE).status, 200, "a key without models may ask all")
    tap.equal(p.post(chat(model="small"), key=BOB).status, 200, "one with models may ask them")
    a = p.post(chat(model="primary"), key=BOB)
    tap.equal((a.status, a.json()["error"]["param"], a.json()["error"]["code"]), (403, "model", "permission_denied"), "and no other: 403")
    tap.equal(p.post(chat(model="big-alias"), key=BOB).status, 403, "not by an alias either")
    a = p.post({"model": "primary", "prompt": "x"}, path="/v1/completions", key=BOB)
    tap.equal(a.status, 403, "nor for a completion")
    a = p.post({"model": "primary", "content": "x"}, path="/tokenize", key=BOB)
    tap.equal(a.status, 403, "nor to tokenize")
    tap.equal([m["id"] for m in p.get("/v1/models", key=BOB).json()["data"]], ["small"], "others are not listed")
    tap.equal([p.get("/v1/models/" + m, key=BOB).status for m in ("small", "primary")], [200, 403], "nor shown")
    a = p.post(chat(model="none"), key=BOB)
    tap.ok(a.status == 404 and "small" in a.json()["error"]["message"] and "primary" not in a.json()["error"]["message"],
           "nor named in a 404", a.body)


def limits_of_a_key(p):
    held = [p.stream(endless(), key=CAROL) for _ in range(2)]
    for s in held:
        s.wait_for(b'"delta":{"content":"')
    start = time.monotonic()
    a = p.post(chat(), key=CAROL)
    took = time.monotonic() - start
    tap.equal((a.status, a.json()["error"]["type"], a.json()["error"]["code"]), (429, "rate_limit_error", "rate_limit_exceeded"),
              f"beyond concurrency=2: 429 ({took * 1000:.0f} ms)")
    tap.ok(1 <= int(a.headers["retry-after"]) <= 120, "with Retry-After", a.headers)
    tap.equal(p.post(chat(), key=ALICE).status, 200, "others are served meanwhile")
    for s in held:
        s.close()
    tap.ok(wait_until(lambda: p.post(chat(), key=CAROL).status == 200, 10), "when one has ended, the next is let in")
    a = p.post(chat(max_tokens=20), key=DAVE)
    used = a.json()["usage"]["total_tokens"]
    tap.equal((a.status, a.headers["x-ratelimit-limit-tokens"], a.headers["x-ratelimit-remaining-tokens"]), (200, "60", "60"),
              "tokens_per_minute=60: OpenAI's headers say what is left")
    a = p.post(chat(max_tokens=30), key=DAVE)
    left = int(a.headers["x-ratelimit-remaining-tokens"])
    tap.ok(a.status == 200 and 60 - used <= left <= 60 - used + 3, f"after {used} tokens {left} are left")
    a = p.post(chat(), key=DAVE)
    tap.ok(a.status == 429 and "60 tokens per minute" in a.json()["error"]["message"] and int(a.headers["retry-after"]) >= 1,
           "and then 429", a.status, a.body, a.headers)
    log = p.read_log()
    tap.ok("key=carol" in log and "key=dave" in log, "the log says whose requests they were")
    tap.ok(not any(k in log for k in (ALICE, BOB, CAROL, DAVE)), "and no key")


def addresses(folder):
    with Program("--address-concurrency", "1", "--address-requests-per-minute", "1000") as p:
        held = p.stream(endless(), REMOTE_ADDR="192.0.2.1")
        held.wait_for(b'"delta":{"content":"')
        tap.equal([p.post(chat(), REMOTE_ADDR=a).status for a in ("192.0.2.1", "192.0.2.2")], [429, 200],
                  "address_concurrency = 1: a second request of one address is 429, of another it is served")
        held6 = p.stream(endless(), REMOTE_ADDR="2001:db8::1")
        held6.wait_for(b'"delta":{"content":"')
        tap.equal([p.post(chat(), REMOTE_ADDR=a).status for a in ("2001:db8::2", "2001:db8:0:1::1")], [429, 200],
                  "of IPv6 it is the /64 that counts")
        tap.equal(p.get("/v1/models", REMOTE_ADDR="192.0.2.1").status, 200, "what generates nothing is not limited")
        held.close()
        held6.close()


def keys_take_turns(folder):
    """One key has twelve requests in the queue when another brings two: those are not the last to be answered."""
    keys = os.path.join(folder, "turns")
    open(keys, "w").write(key_line("many", ALICE) + key_line("few", BOB))
    with Program("--api-keys", keys, "--max-batch-size", "1") as p:
        blocker = p.stream(endless(), key=ALICE)
        blocker.wait_for(b'"delta":{"content":"')
        ended, lock = [], threading.Lock()

        def run(s, who):
            s.finish()
            with lock:
                ended.append(who)
        threads = []
        for who, key, n in (("many", ALICE, 12), ("few", BOB, 2)):
            for _ in range(n):
                threads.append(threading.Thread(target=run, args=(p.stream(endless(max_tokens=40), key=key), who)))
            wait_until(lambda: p.get("/health", key=key).json()["models"][0]["waiting"] == len(threads), 10)
        for t in threads:
            t.start()
        blocker.close()
        for t in threads:
            t.join()
        last = len(ended) - 1 - ended[::-1].index("few")
        tap.ok(ended.count("few") == 2 and last <= 5, f"two requests of a second key are answered among the first six ({ended})")


def a_place_in_the_queue(folder):
    """One key sends more than the queue holds; another that comes then is let in, and answered."""
    keys = os.path.join(folder, "places")
    open(keys, "w").write(key_line("many", ALICE) + key_line("few", BOB))
    with Program("--api-keys", keys, "--max-batch-size", "1", "--max-queued-requests", "8") as p:
        held = [p.stream(endless(), key=ALICE)]
        held[0].wait_for(b'"delta":{"content":"')
        for n in range(1, 5):
            held.append(p.stream(chat(max_tokens=3), key=ALICE))
            wait_until(lambda: p.get("/health", key=ALICE).json()["models"][0]["waiting"] == n, 20)
        refused = [p.post(chat(), key=ALICE) for _ in range(8)]
        tap.equal({(a.status, a.json()["error"]["code"], "retry-after" in a.headers) for a in refused}, {(503, "server_overloaded", True)},
                  "a key that has half of the queue reads 503 with Retry-After")
        tap.ok("for other keys" in refused[0].json()["error"]["message"], "and why", refused[0].body)
        other = p.stream(chat(max_tokens=3), key=BOB)
        tap.ok(wait_until(lambda: p.get("/health", key=BOB).json()["models"][0]["waiting"] == 5, 20), "another key finds a place",
               p.get("/health", key=BOB).body)
        held[0].close()
        answers = [s.finish() for s in [other] + held[1:]]
        tap.ok(all(a.body.endswith(b"data: [DONE]\n\n") for a in answers), "and all that were let in are answered")


def the_client_library(folder):
    import openai
    keys = os.path.join(folder, "library")
    open(keys, "w").write(key_line("one", ALICE, "models=small") + key_line("two", BOB, "requests_per_minute=1"))

    def error(key, model="primary"):
        try:
            s.client(api_key=key, max_retries=0).chat.completions.create(
                model=model, max_tokens=1, messages=[{"role": "user", "content": "Hi"}])
            return None
        except openai.APIError as e:
            return type(e).__name__
    with Stack("nginx", options=["--api-keys", keys]) as s:
        tap.equal([error("sk-wrong-0123456789abcdefghijkl"), error(ALICE), error(BOB), error(BOB)],
                  ["AuthenticationError", "PermissionDeniedError", None, "RateLimitError"],
                  "the openai library raises what it has for each, through nginx")


if not SMOLLM2:
    tap.skip("keys", "AIRSTRIP_SMOLLM2 is not set")
    tap.done()
with tempfile.TemporaryDirectory() as work:
    tap.attempt(the_command, work)
    file = os.path.join(work, "keys")
    open(file, "w").write("# who may ask\n" + key_line("alice", ALICE) + key_line("bob", BOB, "models=small") +
                          key_line("carol", CAROL, "concurrency=2") + key_line("dave", DAVE, "tokens_per_minute=60"))
    config = f"[model primary]\nmodel = {SMOLLM2}\naliases = big-alias\n[model small]\nmodel = {SMOLLM2}\n"
    with Program("--api-keys", file, "--max-batch-size", "4", config=config, model=None) as server:
        for test in (every_route_is_closed, models_of_a_key, limits_of_a_key):
            tap.attempt(test, server)
    for test in (addresses, keys_take_turns, a_place_in_the_queue, the_client_library):
        tap.attempt(test, work)
tap.done()
