"""airstrip-fetch against a hub on loopback that breaks in every way; the cache against huggingface_hub; names in --check.

All on the sanitized build.
"""
import hashlib
import os
import pty
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from fake_hub import Hub, cut, longer, no_ranges, other_range, shorter, stall, status, wrong
from stack import TOP, program
import tap

SIZE = 300_000
WEIGHTS = random.Random(5).randbytes(SIZE)
FOLDER = {
    "config.json": b'{"model_type": "llama"}', "tokenizer.json": b'{"model": {}}' * 200, "tokenizer_config.json": b"{}",
    "generation_config.json": b"{ }", "model.safetensors": WEIGHTS,
}
REST = {"README.md": b"# words", ".gitattributes": b"x", "pytorch_model.bin": b"p" * 5000, "tf_model.h5": b"t" * 5000,
        "onnx/model.onnx": b"o" * 5000, "consolidated.safetensors": b"c" * 5000, "vocab.json": b"{}", "original/params.json": b"{}"}
FAST = {"HF_HUB_DOWNLOAD_TIMEOUT": "3"}


class Place:
    """A cache of its own, and the program with it."""

    def __init__(self, hub=None, **env):
        self.home = tempfile.mkdtemp(prefix="airstrip-fetch-")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "TRANSFORMERS_", "XDG_CACHE"))
                 and "proxy" not in k.lower()}
        self.env = {**clean, "HF_HOME": self.home, "HF_ENDPOINT": hub.url if hub else "http://127.0.0.1:1", **FAST, **env}

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        shutil.rmtree(self.home, ignore_errors=True)

    def command(self, *args):
        return [program("airstrip-fetch", sanitized=True), *args]

    def run(self, *args, env=None, **options):
        done = subprocess.run(self.command(*args), env={**self.env, **(env or {})}, capture_output=True, text=True, timeout=100,
                              errors="replace", **options)
        done.clean = "Sanitizer" not in done.stderr and "runtime error" not in done.stderr
        return done

    def repo(self, name):
        return os.path.join(self.home, "hub", "models--" + name.replace("/", "--"))

    def blobs(self, name):
        folder = os.path.join(self.repo(name), "blobs")
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []

    def snapshot(self, name):
        """{path: bytes} of the snapshot that main names."""
        with open(os.path.join(self.repo(name), "refs", "main")) as f:
            root = os.path.join(self.repo(name), "snapshots", f.read())
        found = {}
        for folder, _, names in os.walk(root):
            for n in names:
                path = os.path.join(folder, n)
                assert os.path.islink(path), path
                with open(path, "rb") as f:
                    found[os.path.relpath(path, root)] = f.read()
        return found


def good(done, title):
    return tap.ok(done.returncode == 0 and done.clean, title, f"exit status {done.returncode}", done.stdout, done.stderr)


def refused(done, words, title):
    said = done.stderr
    return tap.ok(done.returncode == 1 and done.clean and not done.stdout and all(w in said for w in words), f"{title}: {said.strip().splitlines()[-1][-150:] if said.strip() else said}",
                  f"exit status {done.returncode}, expected the words {words}", done.stdout, said)


def in_python(place, code):
    """huggingface_hub, in a process of its own since it reads the environment once."""
    done = subprocess.run([sys.executable, "-c", code], env=place.env, capture_output=True, text=True, timeout=60)
    return done.stdout.strip() if done.returncode == 0 else done.stdout + done.stderr


# --- what is fetched, and where to ---------------------------------------------------------------
def folder_model():
    with Hub() as hub, Place(hub) as p:
        commit = hub.add("org/tiny", {**FOLDER, **REST})
        listed = p.run("--list", "org/tiny")
        tap.ok(listed.returncode == 0 and "300.0 kB  model.safetensors" in listed.stdout and "README" not in listed.stdout
               and not p.blobs("org/tiny"), "--list says what would come, and fetches nothing", listed.stdout, listed.stderr)
        done = p.run("org/tiny")
        good(done, "a folder is fetched")
        tap.equal(p.snapshot("org/tiny"), FOLDER, "only what a text model needs is there, byte for byte")
        tap.equal(done.stdout.strip(), os.path.join(p.repo("org/tiny"), "snapshots", commit), "the path is printed")
        tap.ok(os.path.join("blobs", hashlib.sha256(WEIGHTS).hexdigest()) in
               os.readlink(os.path.join(done.stdout.strip(), "model.safetensors")), "blobs are called by their hash")
        tap.ok("model.safetensors  300.0 kB" in done.stderr, "a line for each file", done.stderr)
        before = len(hub.requests)
        again = p.run("org/tiny")
        tap.ok(again.returncode == 0 and len(hub.requests) == before + 1, "what is there is not fetched again", again.stderr)
        offline = p.run("org/tiny", env={"HF_HUB_OFFLINE": "1"})
        tap.ok(offline.stdout == done.stdout and len(hub.requests) == before + 1, "offline it is found without a question", offline.stderr)
        quiet = p.run("--quiet", "org/tiny")
        tap.ok(quiet.returncode == 0 and not quiet.stderr, "--quiet", quiet.stderr)

        said = in_python(p, "from huggingface_hub import snapshot_download as s, try_to_load_from_cache as t, scan_cache_dir as c\n"
                            "print(s('org/tiny', local_files_only=True)); print(t('org/tiny', 'model.safetensors'))\n"
                            "i = c(); print(i.warnings, [r.repo_id for r in i.repos], i.size_on_disk)")
        size = sum(len(b) for b in FOLDER.values())
        tap.equal(said.splitlines(), [done.stdout.strip(), done.stdout.strip() + "/model.safetensors", f"[] ['org/tiny'] {size}"],
                  "huggingface_hub finds it and has nothing to complain of")
        changed = {**FOLDER, "tokenizer_config.json": b'{"new": 1}'}
        hub.add("org/tiny", changed)
        asked = len(hub.asked("model.safetensors"))
        good(p.run("org/tiny"), "a new commit is fetched")
        tap.ok(p.snapshot("org/tiny") == changed and len(hub.asked("model.safetensors")) == asked, "and only what changed in it")


def sharded():
    files = {k: v for k, v in FOLDER.items() if k != "model.safetensors"}
    files["model.safetensors.index.json"] = b"{}"
    for i in range(1, 4):
        files[f"model-{i:05}-of-00003.safetensors"] = WEIGHTS[i * 1000:i * 3000]
    with Hub() as hub, Place(hub) as p:
        hub.add("org/big", {**files, "consolidated-00001-of-00003.safetensors": b"c"})
        good(p.run("org/big"), "a sharded folder")
        tap.equal(p.snapshot("org/big"), files, "all shards and their index")
        lost = dict(files)
        del lost["model-00002-of-00003.safetensors"]
        hub.add("org/lost", lost)
        refused(p.run("org/lost"), ["model.safetensors"], "a shard that is not there")
        hub.add("org/old", {"config.json": b"{}", "tokenizer.json": b"{}", "pytorch_model.bin": b"x"})
        refused(p.run("org/old"), ["org/old", "neither a GGUF file nor model.safetensors"], "no safetensors")
        hub.add("org/bare", {"config.json": b"{}", "model.safetensors": b"x"})
        refused(p.run("org/bare"), ["tokenizer.json"], "no tokenizer")


GGUFS = ["m-Q4_K_M.gguf", "m-Q4_K_S.gguf", "m-UD-Q4_K_M.gguf", "m-Q8_0.gguf", "m-BF16.gguf", "m-F16.gguf", "m-IQ4_XS.gguf", "mmproj-m-F32.gguf",
         "m-imatrix.gguf", "sub/m-Q6_K-00001-of-00002.gguf", "sub/m-Q6_K-00002-of-00002.gguf", "m-Q5_0-00001-of-00002.gguf"]


def gguf_files():
    with Hub() as hub, Place(hub) as p:
        hub.add("org/m-GGUF", {"README.md": b"", "config.json": b"{}", **{n: n.encode() * 100 for n in GGUFS}})
        for tag, want in ((":Q8_0", ["m-Q8_0.gguf"]), (":q4_k_m", ["m-Q4_K_M.gguf"]), (":UD-Q4_K_M", ["m-UD-Q4_K_M.gguf"]),
                          (":F16", ["m-F16.gguf"]), ("", ["m-Q4_K_M.gguf"]), (":m-Q4_K_S.gguf", ["m-Q4_K_S.gguf"]),
                          (":Q6_K", GGUFS[9:11])):
            shutil.rmtree(p.repo("org/m-GGUF"), ignore_errors=True)
            done = p.run("org/m-GGUF" + tag)
            good(done, f"GGUF by name{tag}")
            tap.ok(list(sorted(p.snapshot("org/m-GGUF"))) == want and done.stdout.strip().endswith(want[0]), f"name{tag} is {want[0]}",
                   list(p.snapshot("org/m-GGUF")), done.stdout)
        refused(p.run("org/m-GGUF:Q3_K"), ["Q3_K", "m-Q8_0.gguf", "sub/m-Q6_K-00001-of-00002.gguf"], "a tag that none has names the choices")
        refused(p.run("org/m-GGUF:Q5_0"), ["Q5_0"], "a split file without its second part")
        refused(p.run("org/m-GGUF:F32"), ["F32"], "a projector is no model")
        good(p.run("org/m-GGUF:Q8_0"), "a second file of the repository")
        tap.equal(sorted(p.snapshot("org/m-GGUF")), ["m-Q8_0.gguf"] + GGUFS[9:11], "stands beside the first")
        hub.add("org/two", {"a-Q8_0.gguf": b"a", "b-Q8_0.gguf": b"b"})
        refused(p.run("org/two"), ["a-Q8_0.gguf, b-Q8_0.gguf"], "no tag and no default")
        refused(p.run("org/two:Q8_0"), ["say more", "a-Q8_0.gguf, b-Q8_0.gguf"], "a tag that fits two")
        hub.add("org/one", {"some name%20é?.gguf": b"one" * 1000})
        good(p.run("org/one"), "an odd name, the only one")
        hub.add("org/empty", {"a.gguf": b""})
        good(p.run("org/empty"), "an empty file")


# --- a hub that breaks -------------------------------------------------------------------------
def one_fault(title, faults, requests, sent=SIZE, forever=False):
    """The faults are overcome: so many GETs, so many bytes in all."""
    with Hub() as hub, Place(hub) as p:
        hub.add("org/tiny", FOLDER)
        hub.fault("model.safetensors", *faults, forever=forever)
        good(p.run("org/tiny"), title)
        tap.ok(p.snapshot("org/tiny") == FOLDER and not [b for b in p.blobs("org/tiny") if "incomplete" in b]
               and len(hub.asked("model.safetensors")) == requests and hub.sent["model.safetensors"] == sent,
               f"{title}: {requests} requests, {sent} bytes",
               f"{len(hub.asked('model.safetensors'))} requests, {hub.sent['model.safetensors']} bytes")


def faults():
    one_fault("cut connections are resumed", [cut(100_000), cut(50_000), cut(0), cut(70_000)], 5)
    one_fault("more cuts than attempts, each with progress", [cut(20_000)], 15, forever=True)
    one_fault("a hub without ranges is begun anew", [cut(100_000), no_ranges()], 2, SIZE + 100_000)
    one_fault("503 and 500 pass", [status(503), status(500)], 3)
    one_fault("a connection that falls silent", [stall(1000, 8)], 2)
    one_fault("wrong bytes once", [wrong], 2, 2 * SIZE)
    one_fault("408", [status(408)], 2)
    with Hub() as hub, Place(hub) as p:
        hub.add("org/tiny", FOLDER)
        hub.fault("model.safetensors", status(429, {"Retry-After": "2"}))
        hub.fault("api", status(429, {"Retry-After": "1"}))
        start = time.monotonic()
        done = p.run("org/tiny")
        tap.ok(done.returncode == 0 and time.monotonic() - start >= 3 and "429" in done.stderr, "429: Retry-After is kept to", done.stderr)
        hub.add("org/other", {**FOLDER, "model.safetensors": WEIGHTS[1:]})
        hub.fault("model.safetensors", status(429, {"Retry-After": "86400"}))
        refused(p.run("org/other"), ["429", "86400"], "a pause of a day is not waited for")


def hopeless():
    cases = [
        ("always wrong bytes", [wrong], ["expected SHA-256 " + hashlib.sha256(WEIGHTS).hexdigest(), "found"]),
        ("more bytes than listed", [longer], ["300000", "sends more"]),
        ("fewer bytes than listed", [shorter], ["given up after 3 attempts"]),
        ("always 503", [status(503)], ["given up after 3 attempts", "503"]),
        ("no connection ever lasts", [cut(0)], ["given up after 3 attempts"]),
        ("a file that is not there", [status(404)], ["model.safetensors", "404"]),
        ("a teapot", [status(418)], ["model.safetensors", "418"]),
        ("a redirection in a circle", [lambda h, d: h.answer(302, b"", {"Location": h.path})], ["redirect"]),
        ("a redirection to a file", [lambda h, d: h.answer(302, b"", {"Location": "file:///etc/passwd"})], ["rotocol"]),
    ]
    for title, fault, words in cases:
        with Hub() as hub, Place(hub) as p:
            hub.add("org/tiny", FOLDER)
            hub.fault("model.safetensors", *fault, forever=True)
            refused(p.run("--tries", "3", "org/tiny"), words, title)
            tap.ok(not os.path.exists(os.path.join(p.repo("org/tiny"), "refs", "main")) and
                   hashlib.sha256(WEIGHTS).hexdigest() not in p.blobs("org/tiny"), f"{title}: nothing half is left to be found")
    with Hub() as hub, Place(hub) as p:
        hub.add("org/tiny", FOLDER)
        hub.fault("model.safetensors", cut(1000), other_range)
        refused(p.run("org/tiny"), ["asked for bytes from 1000"], "a range that was not asked for")
        hub.fault("tokenizer.json", wrong, forever=True)
        shutil.rmtree(p.repo("org/tiny"))
        refused(p.run("org/tiny"), ["tokenizer.json", "SHA-256"], "small files are checked")
        hub.fault("config.json", wrong, forever=True)
        shutil.rmtree(p.repo("org/tiny"))
        refused(p.run("org/tiny"), ["config.json", "git's SHA-1"], "those that git keeps are checked by git's hash")
    with Place() as p:
        refused(p.run("--tries", "2", "org/tiny"), ["given up after 2"], "no hub at all")
        refused(p.run("org/tiny", env={"HF_HUB_OFFLINE": "1"}), ["HF_HUB_OFFLINE", "org/tiny"], "offline and not in the cache")
        refused(p.run("org/tiny", env={"HF_ENDPOINT": "ftp://x"}), ["HF_ENDPOINT"], "an endpoint that is none")
        for name in ("", "/", "a/b/c", "../x", "a/..", "a--b", "a/-b", "a/b:", "a:b/c", "a.git", "a b", "a/b%2f", "é"):
            refused(p.run(name), ["expected a name"], f"the name {name!r}")
        tap.equal(p.run().returncode, 2, "no name")
        tap.equal(p.run("--tries", "0", "x").returncode, 2, "a bad option")
        tap.ok("usage:" in p.run("--help").stdout and p.run("--version").stdout.startswith("airstrip-fetch "), "--help, --version")


def bad_listings():
    sha, blob = "a" * 40, "b" * 40
    one = '{"sha": "%s", "siblings": [{"rfilename": "%s", "size": %s, "blobId": "%s"}]}'
    cases = [("not JSON", "<html>"), ("no files", '{"sha": "%s"}' % sha), ("no commit", '{"siblings": []}'),
             ("a commit that leaves its folder", one % ("../" * 13 + "x", "a.gguf", 1, blob)),
             ("a name that leaves its folder", one % (sha, "../../../a.gguf", 1, blob)),
             ("a name that hides it", one % (sha, "x/../../a.gguf", 1, blob)), ("an absolute name", one % (sha, "/tmp/a.gguf", 1, blob)),
             ("a name with a NUL", one % (sha, "a\\u0000.gguf", 1, blob)), ("an empty part", one % (sha, "a//b.gguf", 1, blob)),
             ("a hash that leaves its folder", one % (sha, "a.gguf", 1, "../" * 13 + "b")), ("no hash", one % (sha, "a.gguf", 1, "")),
             ("a negative size", one % (sha, "a.gguf", -1, blob)), ("a size that is none", one % (sha, "a.gguf", '"x"', blob)),
             ("more than fits any disk", one % (sha, "a.gguf", 1 << 60, blob)), ("a list of numbers", '{"sha": "%s", "siblings": [1]}' % sha)]
    with Hub() as hub, Place(hub) as p:
        hub.add("org/tiny", FOLDER)
        for title, text in cases:
            hub.raw_listing = text.encode()
            refused(p.run("org/tiny"), [], f"listing with {title}")
        tap.ok(not [p for _, p, _ in hub.requests if "/resolve/" in p], "nothing is asked for after such a listing")


# --- tokens --------------------------------------------------------------------------------------
def tokens():
    with Hub() as hub, Hub() as other, Place(hub) as p:
        hub.add("org/tiny", FOLDER)
        hub.token = "hf_secret"
        hub.redirect_to = other
        refused(p.run("org/tiny"), ["401", "HF_TOKEN"], "a private repository without a token")
        done = p.run("org/tiny", env={"HF_TOKEN": "hf_wrong"})
        refused(done, ["401", "token"], "a wrong token")
        tap.ok("hf_wrong" not in done.stderr, "the token is not in the message")
        refused(p.run("org/tiny", env={"HF_TOKEN": "a\nb: c"}), ["HF_TOKEN"], "a token of two lines")
        good(p.run("org/tiny", env={"HF_TOKEN": " hf_secret\n"}), "the right token")
        tap.equal(p.snapshot("org/tiny"), FOLDER, "large files come from another host")
        tap.ok(other.requests and not any("Authorization" in h for _, _, h in other.requests), "which does not get the token",
               other.requests)
        shutil.rmtree(os.path.join(p.home, "hub"))
        with open(os.path.join(p.home, "token"), "w") as f:
            f.write("hf_secret\n")
        good(p.run("org/tiny"), "the token that `hf auth login` keeps")
        refused(p.run("org/tiny", env={"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}), ["401"], "unless it is not wanted")
        refused(p.run("org/none"), ["org/none", "404", "Repository not found"], "no such repository")
        hub.fault("api", status(403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"}))
        refused(p.run("org/tiny"), ["403", "Access is restricted", "gated", "accept"], "a gated repository")


# --- interruption and company --------------------------------------------------------------------
def interrupted():
    incomplete = hashlib.sha256(WEIGHTS).hexdigest() + ".incomplete"
    with Hub() as hub, Place(hub) as p:
        hub.add("org/tiny", FOLDER)
        hub.fault("model.safetensors", stall(200_000, 30))
        path = os.path.join(p.repo("org/tiny"), "blobs", incomplete)
        child = subprocess.Popen(p.command("org/tiny"), env={**p.env, "HF_HUB_DOWNLOAD_TIMEOUT": "60"}, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while time.monotonic() < end and not (os.path.exists(path) and os.path.getsize(path) == 200_000):
            time.sleep(0.02)
        child.send_signal(signal.SIGINT)
        child.wait(10)
        tap.equal(os.path.getsize(path), 200_000, "what came before Ctrl-C is kept")
        good(p.run("org/tiny"), "the next run goes on")
        tap.ok(p.snapshot("org/tiny") == FOLDER and hub.asked("model.safetensors")[-1].get("Range") == "bytes=200000-",
               "where the first one was", hub.asked("model.safetensors"))
        for title, left in (("damaged", b"\0" * 100_000), ("longer than the file", b"\0" * (SIZE + 5)), ("whole", WEIGHTS)):
            shutil.rmtree(p.repo("org/tiny"))
            os.makedirs(os.path.dirname(path))
            with open(path, "wb") as f:
                f.write(left)
            good(p.run("org/tiny"), f"what was left is {title}")
            tap.equal(p.snapshot("org/tiny"), FOLDER, f"what was left is {title}: the result is right")


def no_room():
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    with Hub() as hub, Place(hub) as p:
        hub.add("org/tiny", FOLDER)
        refused(p.run("org/tiny", preexec_fn=limit), ["model.safetensors", "cannot write"], "a disk that is full")
        good(p.run("org/tiny"), "and goes on when there is room")
        tap.equal(hub.asked("model.safetensors")[-1].get("Range"), "bytes=100000-", "from what was written")
    with Hub() as hub, Place(hub, HF_HOME="/proc/nowhere") as p:
        hub.add("org/tiny", FOLDER)
        refused(p.run("org/tiny"), ["/proc/nowhere"], "a cache that cannot be written")


def together():
    with Hub() as hub, Place(hub) as p:
        hub.add("org/tiny", FOLDER)
        hub.fault("model.safetensors", stall(100_000, 1), forever=False)
        done = []
        threads = [threading.Thread(target=lambda: done.append(p.run("org/tiny"))) for _ in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        tap.ok(all(d.returncode == 0 and d.clean for d in done) and p.snapshot("org/tiny") == FOLDER, "three at once",
               *[d.stderr for d in done])
        tap.equal(hub.sent["model.safetensors"], SIZE, "bring each byte once")


def progress():
    with Hub() as hub, Place(hub) as p:
        hub.add("org/tiny", FOLDER)
        hub.fault("model.safetensors", stall(150_000, 0.5))
        ours, theirs = pty.openpty()
        child = subprocess.Popen(p.command("org/tiny"), env=p.env, stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        seen = b""
        while True:
            try:
                more = os.read(ours, 65536)
            except OSError:
                break
            if not more:
                break
            seen += more
        child.wait(30)
        os.close(ours)
        tap.ok(child.returncode == 0 and b"\r\033[K" in seen and b"100 %" in seen and b"/s" in seen and b"[####" in seen
               and b"model.safetensors" in seen, "a bar on a terminal", seen[-600:])


# --- the server's names --------------------------------------------------------------------------
def checked(p, name):
    done = subprocess.run([program(sanitized=True), "--check", "--model", name], env=p.env, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def names():
    gguf = os.path.join(TOP, "tests", "data", "gguf", "llama-Q8_0.gguf")
    with open(gguf, "rb") as f:
        model = f.read()
    with Hub() as hub, Place(hub, XDG_CACHE_HOME="/nowhere") as p:
        hub.add("org/llama-GGUF", {"llama-Q8_0.gguf": model, "llama-Q4_0.gguf": model[:5000]})
        hub.add("openai/small", {"small.gguf": model})
        hub.renamed["small"] = "openai/small"
        code, said = checked(p, "org/llama-GGUF:Q8_0")
        tap.ok(code == 1 and "airstrip-fetch org/llama-GGUF:Q8_0" in said and p.home in said, "the server says how to get a model", said)
        tap.ok(not hub.requests, "and asks no hub")
        for name in ("org/llama-GGUF:Q8_0", "small"):
            good(p.run(name), f"{name} is fetched")
            code, said = checked(p, name)
            tap.ok(code == 0, f"the server finds {name}", said)
        code, said = checked(p, "org/llama-GGUF:Q4_0")
        tap.ok(code == 1 and "airstrip-fetch" in said, "not a file that was not fetched", said)
        code, said = checked(p, "a/b/c")
        tap.ok(code == 1 and "airstrip-fetch" not in said, "what is no name of a hub is not to be fetched", said)
        with tempfile.TemporaryDirectory() as folder:
            for n in ("llama.Q8_0.gguf", "llama.Q4_K.gguf"):
                shutil.copy(gguf, os.path.join(folder, n))
            done = subprocess.run([program(sanitized=True), "--check", "--models-dir", folder, "--model", "some/llama:Q8_0"], env=p.env,
                                  capture_output=True, text=True, timeout=60)
            tap.ok(done.returncode == 0, "a tag chooses in the models folder too", done.stderr)
        # What huggingface_hub fetched.
        shutil.rmtree(os.path.join(p.home, "hub"))
        said = in_python(p, "from huggingface_hub import hf_hub_download as d; print(d('org/llama-GGUF', 'llama-Q8_0.gguf'))")
        tap.ok(os.path.exists(said), "huggingface_hub fetches", said)
        code, message = checked(p, "org/llama-GGUF:Q8_0")
        tap.ok(code == 0, "and the server finds it", message)
        sent = dict(hub.sent)
        done = p.run("org/llama-GGUF:Q8_0")
        tap.ok(done.stdout.strip() == said and hub.sent == sent, "airstrip-fetch does not fetch it again", done.stdout, done.stderr)
        code, message = checked(p, "org/llama-GGUF")
        tap.ok(code == 0, "the only one there needs no tag", message)


def real_folder():
    shared = os.path.join(os.environ.get("AIRSTRIP_SHARED", os.path.join(TOP, "..", "shared")), "golden", "models", "gpt2")
    if not os.path.isdir(shared):
        tap.skip("gpt2 by its name", "shared/golden is not there")
        return
    files = {n: open(os.path.join(shared, n), "rb").read() for n in os.listdir(shared)}
    with Hub() as hub, Place(hub) as p:
        hub.add("gpt2", files)
        hub.fault("model.safetensors", cut(100_000))
        good(p.run("gpt2"), "gpt2 is fetched")
        code, said = checked(p, "gpt2")
        tap.ok(code == 0, "and the server takes it by its name", said)
        os.unlink(os.path.join(p.repo("gpt2"), "blobs", hashlib.sha256(files["model.safetensors"]).hexdigest()))
        code, said = checked(p, "gpt2")
        tap.ok(code == 1 and "airstrip-fetch gpt2" in said, "without its weights it is not there", said)


if not os.path.exists(program("airstrip-fetch", sanitized=True)):
    tap.skip("airstrip-fetch", "this build has none (--disable-fetch)")
else:
    for test in (folder_model, sharded, gguf_files, faults, hopeless, bad_listings, tokens, interrupted, no_room, together, progress, names,
                 real_folder):
        tap.attempt(test)
tap.done()
