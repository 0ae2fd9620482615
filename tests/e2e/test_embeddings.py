"""/v1/embeddings through the web servers: OpenAI's client in both formats against recorded vectors, token arrays, 2048 texts, company
that changes nothing, wrong requests, and models that only give vectors."""
import base64
import json
import math
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile

from openai import BadRequestError, NotFoundError

from stack import SERVERS, SMOLLM2, TOP, RawStream, Stack, check_schema, in_threads, program, wait_until
import tap

ENCODERS = pathlib.Path(TOP) / "tests" / "data" / "encoders"
RECORDED = json.loads((ENCODERS.parent / "minilm.json").read_text())["texts"]
PATH = "/v1/embeddings"
MINILM = os.environ.get("AIRSTRIP_MINILM")


def unit(v):
    length = math.sqrt(sum(x * x for x in v))
    return [x / length for x in v]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def far(a, b):
    return max(abs(x - y) for x, y in zip(a, b)) if len(a) == len(b) else math.inf


def config(scratch, models, more=""):
    path = pathlib.Path(scratch) / f"{len(os.listdir(scratch))}.conf"
    path.write_text("threads = 2\n" + more + "".join(f"[model {name}]\nmodel = {where}\n{extra}" for name, where, extra in models))
    path.chmod(0o644)
    return ["--config", str(path)]


def vectors(s, **body):
    answer = s.request("POST", PATH, dict({"model": "primary"}, **body))
    if answer.status != 200:
        raise AssertionError(f"{answer.status} {answer.body[:300]}")
    return [d["embedding"] for d in answer.json()["data"]]


def minilm(server, scratch):
    """The real encoder beside a model that writes, by the client that people use."""
    texts = [t["text"] for t in RECORDED]
    expected = [unit(t["mean"]) for t in RECORDED]
    with Stack(server, model="none", options=config(scratch, [("writer", SMOLLM2, ""), ("minilm", MINILM, "aliases = text-embedding-3-small\n")])) as s:
        api = s.client()
        for format in [None, "float", "base64"]:
            r = api.embeddings.create(model="minilm", input=texts, **({"encoding_format": format} if format else {}))
            found = [d.embedding for d in r.data]
            if format == "base64":  # asked for by name, the client hands it on
                found = [list(struct.unpack(f"<{len(base64.b64decode(f)) // 4}f", base64.b64decode(f))) for f in found]
            worst = max(far(f, e) for f, e in zip(found, expected))
            tap.ok(worst < 2e-6 and [d.index for d in r.data] == list(range(len(texts))), f"{server} {format}: recorded vectors, length 1 ({worst:.1e})")
            tap.equal((r.usage.prompt_tokens, r.usage.total_tokens), (sum(t["tokens"] for t in RECORDED),) * 2, f"{server} {format}: usage")
        tap.equal(r.model, "minilm", f"{server}: the group's name")
        one = api.embeddings.create(model="text-embedding-3-small", input=texts[1]).data
        tap.ok(len(one) == 1 and far(one[0].embedding, expected[1]) < 2e-6, f"{server}: a single text, by an alias")
        cat, kitten, rates = (found[i] for i in (-3, -2, -1))
        tap.ok(dot(cat, kitten) > 0.5 > 0.2 > dot(cat, rates), f"{server}: a kitten is nearer to a cat than interest rates are",
               dot(cat, kitten), dot(cat, rates))
        for size in [1, 100, 384]:
            cut = api.embeddings.create(model="minilm", input=texts[0], dimensions=size).data[0].embedding
            tap.ok(far(cut, unit(expected[0][:size])) < 3e-6, f"{server}: {size} dimensions, of length 1 again")
        raw = s.request("POST", PATH, {"model": "minilm", "input": texts[:2], "user": "u", "priority": 3, "zebra": None, "dimensions": None})
        check_schema("CreateEmbeddingResponse", raw.json(), f"{server}: the answer is as OpenAI says")
        ids = [s.request("POST", "/tokenize", {"model": "minilm", "content": t, "add_special": True}).json()["tokens"] for t in texts[:2]]
        by_ids = vectors(s, model="minilm", input=ids)
        tap.equal(by_ids, vectors(s, model="minilm", input=texts[:2]), f"{server}: arrays of token ids are those texts")
        tap.equal(vectors(s, model="minilm", input=ids[0]), by_ids[:1], f"{server}: and a single one")
        bare = vectors(s, model="minilm", input=texts[0], normalize=False)[0]
        tap.ok(far(bare, RECORDED[0]["mean"]) < 5e-6, f"{server}: normalize false leaves the length")
        listed = {m["id"]: m for m in s.request("GET", "/v1/models").json()["data"]}
        tap.ok("minilm" in listed and listed["minilm"]["max_model_len"] == 512, f"{server}: it is listed", listed)
        only_vectors(s, server, api)
        tap.equal(s.sanitizer_reports(), "", f"{server}: no report")


def only_vectors(s, server, api):
    hi = [{"role": "user", "content": "Hi!"}]
    for what, ask in [("a chat", lambda: api.chat.completions.create(model="minilm", messages=hi)),
                      ("a stream", lambda: api.chat.completions.create(model="minilm", messages=hi, stream=True)),
                      ("a completion", lambda: api.completions.create(model="minilm", prompt="Hi!")),
                      ("a response", lambda: api.responses.create(model="minilm", input="Hi!"))]:
        try:
            ask()
            tap.ok(False, f"{server}: {what} by an encoder is refused")
        except BadRequestError as e:
            tap.ok(e.param == "model" and e.code == "unsupported_value" and "/v1/embeddings" in str(e), f"{server}: {what} by an encoder is refused", e)
    text = api.chat.completions.create(model="writer", messages=hi, max_tokens=3).choices[0].message.content
    tap.ok(text, f"{server}: the other model writes", text)
    own = api.embeddings.create(model="writer", input="Hi!", encoding_format="float").data[0].embedding
    tap.ok(len(own) == 576 and abs(dot(own, own) - 1) < 1e-5, f"{server}: and gives vectors, too", len(own))
    try:
        api.embeddings.create(model="zebra", input="Hi!")
        tap.ok(False, f"{server}: a model that is not there")
    except NotFoundError as e:
        tap.ok(e.code == "model_not_found", f"{server}: a model that is not there", e)


def recorded(scratch):
    """Tiny models of every kind, as their files say and as the operator does."""
    folders = sorted(f for f in ENCODERS.iterdir())
    models = [(f.name, f, "") for f in folders] + [(f"{f.name}-{how}", f, f"pooling = {how}\n") for f in folders for how in ("cls", "last")]
    default = {"bert": "mean", "bert_masked": "cls", "roberta": "mean", "xlm_roberta": "cls", "nomic_bert": "mean", "qwen3_last": "last"}
    with Stack(model="none", options=config(scratch, models)) as s:
        for name, folder, _ in models:
            texts = json.loads((folder / "expected.json").read_text())["texts"]
            how = default[folder.name] if name == folder.name else name.rsplit("-", 1)[1]
            found = vectors(s, model=name, input=[t["text"] for t in texts])
            worst = max(far(f, unit(t[how])) for f, t in zip(found, texts))
            tap.ok(worst < 1e-5, f"{name}: {how} ({worst:.1e})")


def many(scratch):
    """Whoever else asks: the same bits.  2048 texts; a queue that is short; a client that leaves."""
    texts = [f"number {i} " + "word " * (i % 50) for i in range(200)]
    with Stack(model="none", options=config(scratch, [("minilm", MINILM, "max_queued_requests = 3\nmax_batch_size = 2\n"), ("writer", SMOLLM2, "")])) as s:
        alone = [vectors(s, model="minilm", input=t)[0] for t in texts[::20]]
        long = vectors(s, model="minilm", input=texts)
        tap.equal(long[::20], alone, "200 texts through a queue of three: the vectors that each has alone")
        chat = {"model": "writer", "messages": [{"role": "user", "content": "Count to twenty."}], "max_tokens": 60, "temperature": 0}
        said = s.request("POST", "/v1/chat/completions", chat).json()["choices"][0]["message"]["content"]
        writers = [vectors(s, model="writer", input=t)[0] for t in texts[::40]]
        results = in_threads([lambda: vectors(s, model="writer", input=texts[::40]) for _ in range(3)] +
                             [lambda: s.request("POST", "/v1/chat/completions", chat).json()["choices"][0]["message"]["content"] for _ in range(3)])
        tap.ok(all(r == writers for r in results[:3]), "a model that writes: vectors are the same beside chats")
        tap.ok(all(r == said for r in results[3:]), "and chats beside vectors", results[3:])
    with Stack(model=MINILM) as s:
        some = ["a b c d", "the quick brown fox"] * 1024
        found = vectors(s, input=some, encoding_format="base64")
        tap.ok(len(found) == 2048 and found[::2] == found[:1] * 1024 and found[1::2] == found[1:2] * 1024, "2048 texts in one request")
        gone = RawStream(s, {"model": "primary", "input": ["word " * 400] * 2048}, PATH)
        tap.ok(wait_until(lambda: s.status()["running"] > 0, 20), "a long request runs")
        gone.close()
        tap.ok(wait_until(lambda: s.status()["running"] == 0 and s.status()["waiting"] == 0, 20), "its client leaves: nothing of it is left", s.status())
        tap.ok(s.status()["done"] < 2048 + 2048, "and not all of it was evaluated", s.status())


def lengths(scratch):
    with Stack(model="none", options=config(scratch, [("minilm", MINILM, ""), ("writer", SMOLLM2, "max_sequence_length = 100\n")])) as s:
        for model, most in [("minilm", 512), ("writer", 100)]:
            tap.ok(len(vectors(s, model=model, input=[5] * most)) == 1, f"{model}: {most} tokens")
            for where, body in [("input", [5] * (most + 1)), ("input[1]", ["a", "word " * (most + 20)])]:
                e = s.request("POST", PATH, {"model": model, "input": body})
                error = e.json()["error"]
                tap.ok(e.status == 400 and error["code"] == "context_length_exceeded" and error["param"] == where and str(most) in error["message"]
                       and (where != "input" or str(most + 1) in error["message"]), f"{model}: more are refused with both numbers, {where}", e.body)


WRONG = [
    ("no input", {}, "input"),
    ("input null", {"input": None}, "input"),
    ("an empty text", {"input": ""}, "input"),
    ("an empty list", {"input": []}, "input"),
    ("an empty text among others", {"input": ["a", "", "b"]}, "input[1]"),
    ("an empty list among others", {"input": [[1], []]}, "input[1]"),
    ("a number", {"input": 5}, "input"),
    ("an object", {"input": {"text": "a"}}, "input"),
    ("a list of objects", {"input": [{"text": "a"}]}, "input[0]"),
    ("texts and ids", {"input": ["a", 5]}, "input[1]"),
    ("ids and texts", {"input": [5, "a"]}, "input"),
    ("ids three deep", {"input": [[[5]]]}, "input[0]"),
    ("a negative id", {"input": [-1]}, "input[0]"),
    ("a fraction of an id", {"input": [1.5]}, "input[0]"),
    ("an id outside of the vocabulary", {"input": [[5], [4000]]}, "input[1]"),
    ("a huge id", {"input": [1 << 40]}, "input[0]"),
    ("2049 texts", {"input": ["a"] * 2049}, "input"),
    ("another format", {"input": "a", "encoding_format": "hex"}, "encoding_format"),
    ("a format that is no text", {"input": "a", "encoding_format": 1}, "encoding_format"),
    ("no dimensions", {"input": "a", "dimensions": 0}, "dimensions"),
    ("too many dimensions", {"input": "a", "dimensions": 49}, "dimensions"),
    ("dimensions in words", {"input": "a", "dimensions": "ten"}, "dimensions"),
    ("normalize a number", {"input": "a", "normalize": 1}, "normalize"),
    ("a model that is no text", {"input": "a", "model": 5}, "model"),
]


def wrong(scratch):
    """On the sanitized build, by both web servers."""
    for server in SERVERS:
        with Stack(server, model=str(ENCODERS / "bert"), sanitized=True) as s:
            for what, body, param in WRONG:
                e = s.request("POST", PATH, dict({"model": "primary"}, **body))
                good = e.status == 400 and e.json()["error"]["param"] == param
                tap.ok(good, f"{server}: {what} is a 400 for {param}", e.status, e.body[:300])
                if good and server == SERVERS[0]:
                    check_schema("ErrorResponse", e.json(), f"{what}: OpenAI's error body")
            tap.equal(s.request("GET", PATH).status, 405, f"{server}: only POST")
            tap.ok(len(vectors(s, input=["a", [5]][:1])[0]) == 48, f"{server}: it still answers")
            lone = s.request("POST", PATH, b'{"model":"primary","input":"\\ud83d a \\u0000 b"}')
            tap.ok(lone.status in (200, 400), f"{server}: half a surrogate and a NUL do no harm", lone.status, lone.body[:200])
            results = in_threads([lambda i=i: vectors(s, input=["x y z " * (i % 7 + 1)] * (i % 5 + 1)) for i in range(24)])
            tap.ok(not any(isinstance(r, Exception) for r in results), f"{server}: 24 clients at once", *[r for r in results if isinstance(r, Exception)][:2])
            tap.ok(s.stop_program() and s.sanitizer_reports() == "", f"{server}: ends well, no report", s.sanitizer_reports()[:2000])


def checks(scratch):
    """What --check refuses, and what only embeddings are refused for."""
    dense = pathlib.Path(scratch) / "dense"
    shutil.copytree(ENCODERS / "bert", dense)
    modules = json.loads((dense / "modules.json").read_text())
    (dense / "modules.json").write_text(json.dumps(modules + [{"path": "3_Dense", "type": "sentence_transformers.models.Dense"}]))
    for what, options, mention in [("a module that is not supported", ["--model", str(dense)], "Dense"),
                                   ("a way of pooling that there is not", ["--model", str(ENCODERS / "bert"), "--pooling", "zebra"], "mean, cls or last"),
                                   ("a context beyond the positions", ["--model", str(ENCODERS / "bert"), "--max-sequence-length", "513"], "512")]:
        done = subprocess.run([program(), "--check", *options], capture_output=True, text=True, timeout=60)
        tap.ok(done.returncode != 0 and mention in done.stderr + done.stdout, f"--check refuses {what}", done.stderr)
    done = subprocess.run([program(), "--check", "--model", str(ENCODERS / "bert")], capture_output=True, text=True, timeout=60)
    tap.equal(done.returncode, 0, "--check takes an encoder")
    writes = pathlib.Path(scratch) / "writes"
    shutil.copytree(pathlib.Path(TOP) / "tests" / "data" / "models" / "gemma", writes)
    (writes / "modules.json").write_text(json.dumps([{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]))
    for f in [pathlib.Path(scratch), writes, *writes.iterdir()]:
        f.chmod(0o755)
    with Stack(model=str(writes)) as s:
        tap.equal(s.request("POST", "/v1/completions", {"model": "primary", "prompt": "a", "max_tokens": 2}).status, 200, "a model with a Dense writes all the same")
        e = s.request("POST", PATH, {"model": "primary", "input": "a"})
        tap.ok(e.status == 400 and e.json()["error"]["param"] == "model" and "Dense" in e.json()["error"]["message"], "and gives no embeddings, with the reason", e.body)


with tempfile.TemporaryDirectory() as top:
    os.chmod(top, 0o755)
    if MINILM:
        for each in SERVERS:
            tap.attempt(minilm, each, top)
        tap.attempt(many, top)
        tap.attempt(lengths, top)
    else:
        tap.skip("the real MiniLM", "AIRSTRIP_MINILM does not name its folder")
    tap.attempt(recorded, top)
    tap.attempt(wrong, top)
    tap.attempt(checks, top)
tap.done()
