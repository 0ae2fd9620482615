"""Vectors of encoders and decoders against what transformers recorded: Hugging Face folders and the GGUF files that become of them,
every way of pooling, and all that is refused.  The real MiniLM, and llama.cpp (the Python package xllamacpp) on the same files."""
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent))
sys.path.insert(0, str(here))
import tap  # noqa: E402
from probe import isas, program, read_tensors, shared  # noqa: E402

encoders = here.parent / "data" / "encoders"  # make_models.py there made them
NEAR = 2e-5  # float32 against float32
POOLING = {"bert": "mean", "bert_masked": "cls", "roberta": "mean", "xlm_roberta": "cls", "nomic_bert": "mean", "qwen3_last": "last"}


def run(model, requests, isa="", pooling=""):
    text = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in requests)
    return subprocess.run([program, "embed", model], input=text.encode(), capture_output=True, timeout=300,
                          env={**os.environ, "AIRSTRIP_ISA": isa, "AIRSTRIP_POOLING": pooling})


def embed(model, requests, isa="", pooling=""):
    done = run(model, requests, isa, pooling)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode())
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def texts_of(folder):
    return json.loads((folder / "expected.json").read_text())["texts"]


def worst(found, expected):
    return max(abs(a - b) for f, e in zip(found, expected) for a, b in zip(f, e))


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def family(folder):
    texts = texts_of(folder)
    for isa in isas():
        for how in ["mean", "cls", "last"]:
            found = embed(folder, [{"ids": t["ids"]} for t in texts], isa, how)
            far = worst([f["vector"] for f in found], [t[how] for t in texts])
            tap.ok(far <= NEAR, f"{folder.name} {isa}, {how}: vectors within {NEAR:.0e} ({far:.1e})")
    found = embed(folder, [{"text": t["text"]} for t in texts])
    tap.equal([f["tokens"] for f in found], [len(t["ids"]) for t in texts], f"{folder.name}: as many tokens of the texts")
    far = worst([f["vector"] for f in found], [t[POOLING[folder.name]] for t in texts])
    tap.ok(far <= NEAR, f"{folder.name}: pooled as its files say, {POOLING[folder.name]} ({far:.1e})")


def quantized(folder, scratch, kind):
    out = pathlib.Path(scratch) / f"{folder.name}-{kind}.gguf"
    made = subprocess.run([program.with_name("airstrip-quantize"), folder, out, kind], capture_output=True, timeout=120)
    if made.returncode != 0:
        raise RuntimeError(made.stderr.decode())
    return out


def as_gguf(folder, scratch):
    texts = texts_of(folder)
    expected = [t[POOLING[folder.name]] for t in texts]
    found = embed(quantized(folder, scratch, "F32"), [{"text": t["text"]} for t in texts])
    far = worst([f["vector"] for f in found], expected)
    tap.ok(far <= NEAR, f"{folder.name} as a GGUF file: the same vectors ({far:.1e})")
    found = embed(quantized(folder, scratch, "Q8_0"), [{"text": t["text"]} for t in texts])
    least = min(cosine(f["vector"], e) for f, e in zip(found, expected))
    tap.ok(least > 0.99, f"{folder.name} in 8 bits: cosine {least:.4f}")


def written(path, arch, keys, tensors):
    """A GGUF file by the Python package, of a text model without a tokenizer that anybody needs."""
    import gguf
    import numpy as np
    w = gguf.GGUFWriter(path, arch)
    for key, (value, kind) in keys.items():
        w.add_key_value(f"{arch}.{key}", value, kind)
    w.add_tokenizer_model("bert")
    w.add_token_list(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "\u2581a"] + [f"\u2581{i}" for i in range(315)])
    w.add_token_types([3] * 4 + [1] * 316)
    for name, number in [("cls", 2), ("seperator", 3), ("unknown", 1)]:
        w.add_key_value(f"tokenizer.ggml.{name}_token_id", number, gguf.GGUFValueType.UINT32)
    for name, x in tensors.items():
        w.add_tensor(name, np.ascontiguousarray(x))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def converters_file(scratch):
    """BERT's tensors by the names that llama.cpp's converter gives them, and pooling_type by number."""
    import gguf
    import numpy as np
    folder = encoders / "bert"
    own = {"embeddings.word_embeddings": "token_embd", "embeddings.position_embeddings": "position_embd",
           "embeddings.token_type_embeddings": "token_types", "embeddings.LayerNorm": "token_embd_norm"}
    layer = {"attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
             "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm", "intermediate.dense": "ffn_up",
             "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm"}
    tensors = {}
    for name, (_, shape, raw) in read_tensors(folder / "model.safetensors").items():
        stem, kind = name.rsplit(".", 1)
        parts = stem.split(".", 3)
        if stem in own:
            tensors[f"{own[stem]}.{kind}"] = np.frombuffer(raw, np.float32).reshape(shape)
        elif parts[0] == "encoder":
            tensors[f"blk.{parts[2]}.{layer[parts[3]]}.{kind}"] = np.frombuffer(raw, np.float32).reshape(shape)
    u32, f32, flag = gguf.GGUFValueType.UINT32, gguf.GGUFValueType.FLOAT32, gguf.GGUFValueType.BOOL
    keys = {"context_length": (512, u32), "embedding_length": (48, u32), "feed_forward_length": (80, u32), "block_count": (2, u32),
            "attention.head_count": (3, u32), "attention.layer_norm_epsilon": (1e-12, f32), "attention.causal": (False, flag)}
    texts = texts_of(folder)
    path = pathlib.Path(scratch) / "bert.gguf"
    for number, how in [(None, "mean"), (0, "mean"), (1, "mean"), (2, "cls"), (3, "last")]:
        written(path, "bert", keys | ({} if number is None else {"pooling_type": (number, u32)}), tensors)
        found = embed(path, [{"ids": t["ids"]} for t in texts])
        far = worst([f["vector"] for f in found], [t[how] for t in texts])
        tap.ok(far <= NEAR, f"bert as llama.cpp's converter writes it, pooling_type {number}: {how} ({far:.1e})")
    cases = [("that ranks", keys | {"pooling_type": (4, u32)}, tensors, ["ranks", "embeddings"]),
             ("pooled in an unknown way", keys | {"pooling_type": (9, u32)}, tensors, ["bert.pooling_type", "9"]),
             ("that is causal", keys | {"attention.causal": (True, flag)}, tensors, ["bert.attention.causal"]),
             ("with a head for ranks", keys, tensors | {"cls.weight": tensors["blk.0.attn_q.weight"]}, ["cls.weight"]),
             ("without a norm", keys, {k: v for k, v in tensors.items() if k != "blk.1.layer_output_norm.weight"},
              ["blk.1.layer_output_norm.weight", "missing"]),
             ("with few positions", keys | {"context_length": (600, u32)}, tensors, ["position_embd.weight", "600", "512"])]
    for what, some_keys, some_tensors, mentions in cases:
        written(path, "bert", some_keys, some_tensors)
        refusal(f"a GGUF file {what}", path, mentions)


def refusal(what, model, mentions, pooling=""):
    done = run(model, [{"ids": [1]}], pooling=pooling)
    said = done.stderr.decode()
    tap.ok(done.returncode in (1, 2) and all(m in said for m in mentions), f"{what} is refused, naming it", done.returncode, said)


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def refused(scratch):
    cases = [
        ("a module Dense", "bert", "modules.json", lambda m: m.append({"path": "3_Dense", "type": "sentence_transformers.models.Dense"}), ["Dense"]),
        ("modules.json that is no list", "bert", "modules.json", lambda m: None, ["modules.json", "array"]),
        ("a module elsewhere", "bert", "modules.json", lambda m: m[1].update(path="../bert/1_Pooling"), ["modules.json", "folder"]),
        ("no pooling", "bert", "modules.json", lambda m: m.pop(1), ["pooling"]),
        ("pooling whose settings are away", "bert", "modules.json", lambda m: m[1].update(path="9_Pooling"), ["config.json"]),
        ("the largest values", "bert", "1_Pooling/config.json", lambda c: c.update(pooling_mode_mean_tokens=False, pooling_mode_max_tokens=True), ["max"]),
        ("two ways of pooling", "bert", "1_Pooling/config.json", lambda c: c.update(pooling_mode_cls_token=True), ["several"]),
        ("relative positions", "bert", "config.json", lambda c: c.update(position_embedding_type="relative_key"), ["relative_key"]),
        ("BERT as a decoder", "bert", "config.json", lambda c: c.update(is_decoder=True), ["is_decoder"]),
        ("another activation", "bert", "config.json", lambda c: c.update(hidden_act="mish"), ["mish"]),
        ("a padding token behind all positions", "roberta", "config.json", lambda c: c.update(pad_token_id=400), ["pad_token_id"]),
        ("no unknown token", "bert", "tokenizer.json", lambda t: t["model"].update(unk_token="[ZEBRA]"), ["unk_token"]),
        ("another mark of pieces", "bert", "tokenizer.json", lambda t: t["model"].update(continuing_subword_prefix="@@"), ["@@"]),
    ]
    for i, (what, name, file, change, mentions) in enumerate(cases):
        folder = pathlib.Path(scratch) / f"refused-{i}"
        shutil.copytree(encoders / name, folder)
        edit(folder / file, change)
        if what == "modules.json that is no list":
            (folder / file).write_text("{}")
        refusal(what, folder, mentions)
    refusal("a way of pooling that the configuration made up", encoders / "bert", ["pooling", "mean, cls or last", "zebra"], "zebra")
    later = pathlib.Path(scratch) / "later"
    shutil.copytree(encoders / "bert", later)
    (later / "1_Pooling" / "config.json").write_text('{"embedding_dimension": 48, "pooling_mode": "cls"}')
    texts = texts_of(later)
    far = worst([f["vector"] for f in embed(later, [{"ids": t["ids"]} for t in texts])], [t["cls"] for t in texts])
    tap.ok(far <= NEAR, f"pooling_mode as a name: cls ({far:.1e})")
    answers = embed(encoders / "bert", [{"ids": [320]}, {"ids": [-1]}, {"ids": []}, {"ids": [5] * 513}, {"ids": [5] * 512}, {"ids": [5]}])
    tap.ok(["vector" in a for a in answers] == [False, False, False, False, True, True], "wrong ids are refused, a full context is not", answers[:4])
    tap.ok("512" in answers[3]["error"] and "513" in answers[3]["error"], "too long: both numbers", answers[3])
    probe = subprocess.run([program, "logits", encoders / "bert"], input=b"", capture_output=True, timeout=60)
    tap.ok(probe.returncode == 1 and b"head" in probe.stderr, "an encoder has no logits", probe.stderr)


def decoders():
    """The recorded models: mean, first and last of what their heads read; and refused where the files say what we cannot do."""
    folder = shared / "models" / "qwen2"
    if not folder.is_dir():
        return tap.skip("vectors of a decoder", f"no {folder}")
    ids = json.loads((folder / "expected.json").read_text())["prompts"][-1]["ids"]
    first, last, mean = (embed(folder, [{"ids": ids}], pooling=how)[0]["vector"] for how in ["cls", "last", "mean"])
    tap.equal(embed(folder, [{"ids": ids}])[0]["vector"], last, "a decoder's default: the last token")
    every = [embed(folder, [{"ids": ids[:n]}])[0]["vector"] for n in range(1, len(ids) + 1, 40)]
    tap.ok(worst([first], [every[0]]) <= NEAR, "the first token sees itself only")
    parts = [embed(folder, [{"ids": ids[:n]}], pooling="mean")[0]["vector"] for n in (1, 2)]
    two = embed(folder, [{"ids": ids[:2]}])[0]["vector"]
    tap.ok(worst([parts[1]], [[(a + b) / 2 for a, b in zip(parts[0], two)]]) <= NEAR and worst([mean], [last]) > 0.1, "the mean is that of all")


def real(scratch):
    folder = os.environ.get("AIRSTRIP_MINILM")
    if not folder:
        return tap.skip("MiniLM", "AIRSTRIP_MINILM does not name its folder")
    folder = pathlib.Path(folder)
    texts = json.loads((here.parent / "data" / "minilm.json").read_text())["texts"]
    for isa in isas():
        found = embed(folder, [{"text": t["text"]} for t in texts], isa)
        tap.equal([f["tokens"] for f in found], [t["tokens"] for t in texts], f"MiniLM {isa}: as many tokens")
        far = worst([f["vector"] for f in found], [t["mean"] for t in texts])
        tap.ok(far <= 5e-6, f"MiniLM {isa}: vectors of transformers within 5e-6 ({far:.1e})")
    for kind, least in [("F16", 0.99999), ("Q8_0", 0.999), ("Q4_K", 0.95)]:
        path = quantized(folder, scratch, kind)
        found = embed(path, [{"text": t["text"]} for t in texts])
        alike = min(cosine(f["vector"], t["mean"]) for f, t in zip(found, texts))
        tap.ok(alike > least, f"MiniLM {kind}: cosine above {least} ({alike:.6f})")
        peer(path, kind, [t["text"] for t in texts], [f["vector"] for f in found], 0.99999 if kind == "F16" else 0.999)


PEER = """
import json, os, sys
out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # it prints its log
import xllamacpp
p = xllamacpp.CommonParams()
p.model.path, p.n_ctx, p.warmup, p.embedding = sys.argv[1], 512, False, True
p.cpuparams.n_threads = 1
print(json.dumps(xllamacpp.Server(p).handle_embeddings({"input": json.load(sys.stdin), "encoding_format": "float"})), file=out, flush=True)
"""


def peer(path, kind, texts, vectors, least):
    if subprocess.run([sys.executable, "-c", "import xllamacpp"], capture_output=True).returncode != 0:
        return tap.skip(f"MiniLM {kind} by llama.cpp", "the Python package xllamacpp is not installed")
    done = subprocess.run([sys.executable, "-c", PEER, path], input=json.dumps(texts).encode(), capture_output=True, timeout=300)
    answer = json.loads(done.stdout)
    alike = min(cosine(v, d["embedding"]) for v, d in zip(vectors, answer["data"]))
    tap.ok(alike > least, f"MiniLM {kind}: llama.cpp reads the file and says the same, cosine {alike:.6f}")


def main():
    with tempfile.TemporaryDirectory() as scratch:
        for folder in sorted(encoders.iterdir()):
            tap.attempt(family, folder)
            tap.attempt(as_gguf, folder, scratch)
        tap.attempt(refused, scratch)
        tap.attempt(decoders)
        try:
            import gguf  # noqa: F401
        except ImportError as e:
            tap.skip("BERT as llama.cpp's converter writes it", str(e))
        else:
            tap.attempt(converters_file, scratch)
        tap.attempt(real, scratch)
    tap.done()


main()
