"""airstrip-probe tokenize and detokenize against recorded ids, and against the package tokenizers on random text."""
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unicodedata

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent))
import tap  # noqa: E402

probe = pathlib.Path(os.environ.get("AIRSTRIP_PLAIN", ".")).resolve() / "airstrip-probe"
shared = pathlib.Path(os.environ.get("AIRSTRIP_SHARED", here.parents[2] / "shared")) / "golden"
cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "airstrip" / "models"
smollm2 = pathlib.Path(os.environ.get("AIRSTRIP_SMOLLM2", cache / "SmolLM2-135M-Instruct.Q4_1.gguf"))
gemma3 = pathlib.Path(os.environ.get("AIRSTRIP_GEMMA3", cache / "gemma-3-270m-q4_k_m.gguf"))
scratch = tempfile.TemporaryDirectory()


def lines(command, model, requests):
    """One answer for each request."""
    text = "".join(json.dumps(r) + "\n" for r in requests)
    run = subprocess.run([probe, command, model], input=text.encode(), capture_output=True, timeout=300)
    answers = [json.loads(line) for line in run.stdout.decode().splitlines()]
    if run.returncode != 0 or len(answers) != len(requests):
        raise RuntimeError(f"{command} {model}: status {run.returncode}, {len(answers)} answers "
                           f"to {len(requests)} lines, {run.stderr.decode()}")
    return answers


def tokenize(model, texts, special=False, add_special=False):
    requests = [{"text": t, "special": special, "add_special": add_special} for t in texts]
    return [a.get("ids", a) for a in lines("tokenize", model, requests)]


def detokenize(model, ids, special=False):
    return [a.get("text", a) for a in lines("detokenize", model, [{"ids": i, "special": special} for i in ids])]


def compare(name, texts, found, expected):
    wrong = [f"{t!r}: expected {e}, found {f}" for t, f, e in zip(texts, found, expected) if f != e]
    tap.ok(not wrong and len(found) == len(expected), f"{name}: {len(expected)} texts", *wrong[:8])


def unpacked(file):
    path = shared / "tokenizers" / file
    if path.suffix != ".xz":
        return path
    out = pathlib.Path(scratch.name) / path.stem
    with open(out, "wb") as f:
        subprocess.run(["xz", "-dc", path], stdout=f, check=True)
    return out


def pieces_of_recorder(pieces):
    """pieces_hex of the cases was recorded with every piece one call late: of each piece the length counts,
    the bytes are what a zeroed buffer held before it was written."""
    buffer, out = bytearray(4096), b""
    for p in pieces:
        out += bytes(buffer[:len(p)])
        buffer[:len(p)] = p
    return out.hex()


def vocabulary(entry):
    name, model = entry["name"], unpacked(entry["file"])
    stem = shared / "tokenizers" / f"ggml-vocab-{name}.gguf"
    texts = pathlib.Path(f"{stem}.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    out = [[int(i) for i in line.split()] for line in pathlib.Path(f"{stem}.out").read_text().split("\n")]
    compare(f"{name}.inp", texts, tokenize(model, texts), out)
    cases = json.loads((shared / "tokenizers" / f"{name}.cases.json").read_text())["cases"]
    texts = [c["text"] for c in cases]
    compare(f"{name} cases", texts, tokenize(model, texts), [c["ids"] for c in cases])
    compare(f"{name} cases, with special tokens", texts, tokenize(model, texts, True, True),
            [c["ids_add_special_parse_special"] for c in cases])
    # whole texts: SentencePiece puts a blank in front
    blank = " " if entry["model"] == "llama" else ""
    compare(f"{name}: ids back to text", texts, detokenize(model, [c["ids"] for c in cases], True),
            [(blank if t else "") + t.replace("\u2581", " " if blank else "\u2581") for t in texts])
    # single pieces, with their bytes where these are text
    ids = sorted({i for c in cases for i in c["ids"]})
    piece = dict(zip(ids, detokenize(model, [[i] for i in ids], True)))
    whole = [c for c in cases if not any("\ufffd" in piece[i] for i in c["ids"])]
    compare(f"{name}: single pieces", [c["text"] for c in whole],
            [pieces_of_recorder([piece[i].encode() for i in c["ids"]]) for c in whole],
            [c["pieces_hex"] for c in whole])


def as_gguf(folder, texts, ids):
    """Leaves out the texts for which a GGUF file does not say all that the original tokenizer.json does:
    Unicode normalisation, and Mistral's blank, which it puts only before a text that has none."""
    kept = [(t, i) for t, i in zip(texts, ids) if unicodedata.is_normalized("NFC", t)
            and not (folder.name == "mistral" and t[:1] in " \u2581<")]
    return [t for t, _ in kept], [i for _, i in kept]


def tiny(folder):
    model = sorted(folder.glob("*.gguf"))[0]
    why = subprocess.run([probe, "tokenize", model], input=b"", capture_output=True).stderr.decode()
    if "type 39 (MXFP4) is not supported" in why:
        return tap.skip(f"{folder.name} prompts", "MXFP4 tensors are not supported")
    expected = json.loads((folder / "expected.json").read_text())
    prompts = [p for f in expected["files"] for p in f["prompts"]]
    texts = [p["text"] for p in prompts]
    compare(f"{folder.name} prompts", texts, tokenize(model, texts, True, True), [p["ids"] for p in prompts])
    greedy = [p[r]["greedy_ids"] for p in prompts for r in ("f32ref", "llamacpp")]
    expected_text = [bytes.fromhex(p[r]["greedy_bytes_hex"]).decode(errors="replace")
                     for p in prompts for r in ("f32ref", "llamacpp") if "greedy_bytes_hex" in p[r]]
    if len(expected_text) == len(greedy):
        compare(f"{folder.name} greedy ids back to text", greedy, detokenize(model, greedy), expected_text)
    original = shared / "models" / folder.name
    if (original / "expected.json").exists():
        chat = json.loads((original / "expected.json").read_text()).get("chat")
        if chat:
            texts, ids = as_gguf(folder, [chat["rendered"]], [chat["ids"]])
            compare(f"{folder.name} chat", texts, tokenize(model, texts, True), ids)
    if (original / "tokenizer_cases.json").exists():
        cases = json.loads((original / "tokenizer_cases.json").read_text())["cases"]
        texts, ids = as_gguf(folder, [c["text"] for c in cases], [c["ids"] for c in cases])
        compare(f"{folder.name} tokenizer cases", texts, tokenize(model, texts, True), ids)


def real(name, model):
    expected = json.loads((shared / "real" / f"{name}.json").read_text())
    c = expected["completions"]
    compare(f"{name} prompts", [p["text"] for p in c], tokenize(model, [p["text"] for p in c], True, True),
            [p["ids"] for p in c])
    chats = expected.get("chats", [])
    if chats:
        texts = [p["rendered"] for p in chats]
        compare(f"{name} chats", texts, tokenize(model, texts, True), [p["ids"] for p in chats])


def errors():
    if not smollm2.exists():
        return tap.skip("lines that cannot be served", "SmolLM2 is not there")
    run = subprocess.run([probe, "tokenize", smollm2], input=b'{"text": 1}\nnonsense\n{"text": "a"}\n', capture_output=True)
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    tap.ok(run.returncode == 0 and ["error" in a for a in answers] == [True, True, False],
           "tokenize answers each bad line and goes on", answers)
    answers = lines("detokenize", smollm2, [{"ids": [10**9]}, {"ids": ["a"]}, {}, {"ids": []}])
    tap.ok(["error" in a for a in answers] == [True, True, True, False],
           "detokenize answers each bad line and goes on", answers)
    tap.ok(subprocess.run([probe, "tokenize"], capture_output=True).returncode == 2, "tokenize without a model: usage")
    tap.ok(subprocess.run([probe, "tokenize", "/nonexistent"], capture_output=True).returncode == 1, "no such model: an error")


def random_text(rng, alphabet):
    """Words, runs, digits, blanks of all kinds, letters of many scripts, contractions."""
    bits = ["'s", "'LL", "'ve", " ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "\u200b", "12345", "1", "e\u0301",
            "the", " model", "Token", "!?", "...", "_", "\u0664\u0665", "\u00bd", "\u2167", "<|im_end|>", "\U0001f600"]
    out = []
    for _ in range(rng.randrange(1, 30)):
        kind = rng.randrange(4)
        if kind == 0:
            out.append(rng.choice(bits) * rng.choice([1, 1, 1, 2, 5]))
        elif kind == 1:
            out.append("".join(rng.choice("abcdefghijklmnopqrstuvwxyzABC") for _ in range(rng.randrange(1, 9))))
        elif kind == 2:
            out.append("".join(chr(rng.randrange(33, 127)) for _ in range(rng.randrange(1, 6))))
        else:
            out.append(rng.choice(alphabet) * rng.choice([1, 1, 3]))
        if rng.random() < 0.5:
            out.append(" ")
    return "".join(out)


def differential():
    """SmolLM2's vocabulary in the package tokenizers: digits one by one, then ByteLevel, then BPE."""
    if not smollm2.exists():
        return tap.skip("random text against the package tokenizers", "SmolLM2 is not there")
    import gguf
    from tokenizers import Tokenizer, models, pre_tokenizers
    fields = gguf.GGUFReader(smollm2).fields
    texts = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"].contents()]
    vocab = {t: i for i, t in enumerate(texts)}
    judge = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    judge.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                   pre_tokenizers.ByteLevel(add_prefix_space=False)])
    # Characters that Unicode has known since 3.2, so that both sides have their classes, and whose bytes are
    # all in the vocabulary: where one is missing, the two leave out different things.
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False)
    known = [chr(c) for c in [*range(1, 0xd800), *range(0xe000, 0x30000)]
             if unicodedata.ucd_3_2_0.category(chr(c)) not in ("Cn", "Co", "Cs")
             and unicodedata.ucd_3_2_0.category(chr(c)) == unicodedata.category(chr(c))]
    rng = random.Random(5)
    alphabet = [c for c in rng.sample(known, 6000)
                if all(l in vocab for word, _ in letters.pre_tokenize_str(c) for l in word)]
    random_texts = [random_text(rng, alphabet) for _ in range(6000)]
    compare("SmolLM2, random text against the package tokenizers", random_texts, tokenize(smollm2, random_texts),
            [e.ids for e in judge.encode_batch(random_texts, add_special_tokens=False)])
    compare("SmolLM2, random text there and back", random_texts,
            detokenize(smollm2, tokenize(smollm2, random_texts)), random_texts)


if (shared / "tokenizers").is_dir():
    for e in json.loads((shared / "tokenizers" / "index.json").read_text()):
        tap.attempt(vocabulary, e)
    for d in sorted((shared / "gguf").iterdir()):
        tap.attempt(tiny, d)
    for n, m in (("smollm2", smollm2), ("gemma3", gemma3)):
        if m.exists():
            tap.attempt(real, n, m)
        else:
            tap.skip(f"{n}: recorded ids", f"{m} is not there")
else:
    tap.skip("recorded ids", f"no {shared}")
tap.attempt(errors)
tap.attempt(differential)
tap.done()
