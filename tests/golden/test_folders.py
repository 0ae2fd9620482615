"""Hugging Face folders: ids, logits and greedy ids against what transformers recorded, tokenizers against the package
tokenizers on generated text, variants of a folder against each other, and folders that are not as they should be."""
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent))
sys.path.insert(0, str(here))
import tap  # noqa: E402
from probe import Probe, Refused, distance, isas, lines, program, read_tensors, shared  # noqa: E402
from texts import some_text  # noqa: E402

models = shared / "models"
own = here.parent / "data" / "models"  # make_models.py there made them
FAMILIES = ["llama", "llama3_rope", "mistral", "qwen2", "qwen3", "gemma3_text", "gpt2", "gpt2_noprefix", "gemma2", "starcoder2", "olmo2",
            "smollm3", "granite", "phi3", "phi3_longrope", "gpt_neox", "qwen3_moe", "gpt_oss", "gpt_oss_mxfp4"]


def tokenize(model, texts, add_special=False):
    requests = [{"text": t, "special": True, "add_special": add_special} for t in texts]
    return [a.get("ids", a) for a in lines("tokenize", model, requests)]


def family(folder):
    prompts = json.loads((folder / "expected.json").read_text())["prompts"]
    for isa in isas():
        worst, strays = distance(folder, prompts, isa)
        tap.ok(worst <= 2e-3, f"{folder.name} {isa}: logits of the last position within 2e-3 ({worst:.1e})")
        tap.ok(not strays, f"{folder.name} {isa}: the same 32 greedy ids", strays)


def dressed(name, scratch):
    """A folder with this one's tokenizer and the weights of a family that is supported."""
    out = pathlib.Path(scratch) / f"text-{name}"
    out.mkdir()
    for f in ["config.json", "model.safetensors"]:
        (out / f).symlink_to((models / "qwen2" / f).resolve())
    for f in ["tokenizer.json", "tokenizer_config.json", "generation_config.json"]:
        (out / f).symlink_to((models / name / f).resolve())
    return out


def recorded_text(name, folder):
    cases = json.loads((models / name / "tokenizer_cases.json").read_text())
    cases = cases["cases"] if isinstance(cases, dict) else cases
    texts = [c["text"] for c in cases]
    for key, add in [("ids", False), ("ids_with_special", True)]:
        wrong = [f"{t!r}: {f}, expected {c[key]}" for t, c, f in zip(texts, cases, tokenize(folder, texts, add)) if f != c[key]]
        tap.ok(not wrong, f"{name}: {key} of {len(cases)} texts", *wrong[:5])
    expected = json.loads((models / name / "expected.json").read_text())
    texts = [p["text"] for p in expected["prompts"]]
    tap.equal(tokenize(folder, texts, True), [p["ids"] for p in expected["prompts"]], f"{name}: ids of the prompts")
    if expected.get("chat"):
        tap.equal(tokenize(folder, [expected["chat"]["rendered"]]), [expected["chat"]["ids"]], f"{name}: ids of a chat")


def differential(name, folder):
    try:
        import tokenizers
    except ImportError as e:
        return tap.skip(f"{name}: ids like the package tokenizers", str(e))
    reference = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    specials = [t["content"] for t in json.loads((folder / "tokenizer.json").read_text())["added_tokens"]]
    rng = random.Random(name)
    texts = []
    while sum(map(len, texts)) < int(os.environ.get("AIRSTRIP_TOKENIZER_CHARS", 100000)):
        texts.append(some_text(rng, specials))
    expected = [e.ids for e in reference.encode_batch(texts, add_special_tokens=False)]
    found = tokenize(folder, texts)
    wrong = [f"{t!r}: {f}, expected {e}" for t, f, e in zip(texts, found, expected) if f != e]
    tap.ok(not wrong, f"{name}: ids like the package's of {len(texts)} generated texts", len(wrong), *wrong[:4])


# --- folders made here ------------------------------------------------------------------------------------------------

def write_tensors(path, tensors, pad=0):
    header, at = {}, 0
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(raw)]}
        at += len(raw)
    text = json.dumps(header).encode() + b" " * pad
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(raw for _, _, raw in tensors.values()))


def copy(name, scratch, what):
    out = pathlib.Path(scratch) / what.replace(" ", "-").replace("/", "-")
    out.mkdir()
    for f in ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]:
        shutil.copyfile(models / name / f, out / f)
    return out


def logits(folder, ids):
    with Probe(folder) as p:
        return p.ask(ids=ids)["logits"]


def shard(folder, tensors):
    names = sorted(tensors)
    weight_map = {}
    for i in range(3):
        part = {n: tensors[n] for n in names[i::3]}
        file = f"model-{i + 1:05}-of-00003.safetensors"
        write_tensors(folder / file, part, pad=i)  # tensors that are not aligned, too
        weight_map.update({n: file for n in part})
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def variants(scratch):
    """The same numbers, stored otherwise."""
    import numpy as np
    ids = list(range(5, 60))
    base = copy("qwen3", scratch, "variant base")
    tensors = read_tensors(base / "model.safetensors")
    expected = logits(base, ids)
    sharded = copy("qwen3", scratch, "variant sharded")
    shard(sharded, tensors)
    tap.equal(logits(sharded, ids), expected, "three shards, not aligned: the same logits")
    untied = copy("qwen3", scratch, "variant head stored though tied")
    write_tensors(untied / "model.safetensors", {**tensors, "lm_head.weight": tensors["model.embed_tokens.weight"]})
    tap.equal(logits(untied, ids), expected, "a head that is stored although it is tied: the same logits")
    bare = copy("qwen3", scratch, "variant without prefix")
    write_tensors(bare / "model.safetensors", {k.removeprefix("model."): v for k, v in tensors.items()})
    tap.equal(logits(bare, ids), expected, "names without their prefix: the same logits")
    for dtype in ["F16", "BF16"]:
        narrow, wide = {}, {}
        for k, (_, shape, raw) in tensors.items():
            x = np.frombuffer(raw, np.float32)
            if dtype == "F16":
                y = x.astype(np.float16)
                narrow[k], wide[k] = (dtype, shape, y.tobytes()), ("F32", shape, y.astype(np.float32).tobytes())
            else:
                y = (x.view(np.uint32) + 0x8000 >> 16).astype(np.uint16)
                narrow[k] = (dtype, shape, y.tobytes())
                wide[k] = ("F32", shape, (y.astype(np.uint32) << 16).view(np.float32).tobytes())
        got = []
        for what, t in [("narrow", narrow), ("wide", wide)]:
            folder = copy("qwen3", scratch, f"variant {dtype} {what}")
            write_tensors(folder / "model.safetensors", t)
            got.append(logits(folder, ids))
        worst = max(abs(a - b) for a, b in zip(*got))
        tap.ok(worst <= 1e-3, f"{dtype}: logits as of the same numbers in F32 ({worst:.1e})")


def edit(folder, file, **changes):
    settings = json.loads((folder / file).read_text())
    for k, v in changes.items():
        settings.pop(k, None)
        if v is not ...:
            settings[k] = v
    (folder / file).write_text(json.dumps(settings))


def damaged(scratch):
    tensors = read_tensors(models / "llama" / "model.safetensors")
    q = "model.layers.1.self_attn.q_proj.weight"

    def weights(change):
        def apply(folder):
            t = dict(tensors)
            change(t)
            write_tensors(folder / "model.safetensors", t)
        return apply

    def missing_shard(folder):
        shard(folder, tensors)
        (folder / "model-00002-of-00003.safetensors").unlink()

    def wrong_shard(folder):
        shard(folder, tensors)
        shutil.copyfile(folder / "model-00001-of-00003.safetensors", folder / "model-00002-of-00003.safetensors")

    def component(**change):
        return lambda folder: edit(folder, "tokenizer.json", **change)

    cases = [
        ("no config.json", lambda f: (f / "config.json").unlink(), ["no config.json"]),
        ("config.json is no JSON", lambda f: (f / "config.json").write_text("{"), ["config.json", "JSON"]),
        ("no weights", lambda f: (f / "model.safetensors").unlink(), ["model.safetensors", "index"]),
        ("no tokenizer.json", lambda f: (f / "tokenizer.json").unlink(), ["no tokenizer.json"]),
        ("unknown family", lambda f: edit(f, "config.json", model_type="zebra"), ["zebra", "llama", "qwen3"]),
        ("no family", lambda f: edit(f, "config.json", model_type=...), ["model_type is missing"]),
        ("missing setting", lambda f: edit(f, "config.json", num_hidden_layers=...), ["num_hidden_layers is missing"]),
        ("another activation", lambda f: edit(f, "config.json", hidden_act="mish"), ["mish"]),
        ("another scaling", lambda f: edit(f, "config.json", rope_scaling={"type": "zigzag", "factor": 2}), ["zigzag"]),
        ("quantised weights", lambda f: edit(f, "config.json", quantization_config={"quant_method": "awq"}), ["awq"]),
        ("missing tensor", weights(lambda t: t.pop(q)), [q, "missing"]),
        ("missing head", lambda f: edit(f, "config.json", tie_word_embeddings=False), ["lm_head.weight"]),
        ("unknown tensor", weights(lambda t: t.update({"model.layers.0.zebra": t[q]})), ["model.layers.0.zebra"]),
        ("wrong shape", weights(lambda t: t.update({q: ("F32", [32, 128], t[q][2])})), [q, "32, 128", "64, 64"]),
        ("unusable type", weights(lambda t: t.update({q: ("I32", t[q][1], t[q][2])})), [q, "I32"]),
        ("another vocabulary", lambda f: edit(f, "config.json", vocab_size=1000), ["model.embed_tokens.weight", "704", "1000"]),
        ("biases that are not there", lambda f: edit(f, "config.json", mlp_bias=True),
         ["model.layers.0.mlp.gate_proj.bias is missing", "mlp_bias is true"]),
        ("biases that are not spoken of", weights(lambda t: t.update({q.replace("weight", "bias"): ("F32", [64], bytes(256))})),
         ["model.layers.1.self_attn.q_proj.bias is there", "attention_bias is false"]),
        ("missing shard", missing_shard, ["model-00002-of-00003.safetensors"]),
        ("tensor in another shard", wrong_shard, ["model-00002-of-00003.safetensors", "tensor"]),
        ("cut off", lambda f: os.truncate(f / "model.safetensors", 300000), ["completely"]),
    ]
    texts = [
        ("unknown normalizer", component(normalizer={"type": "Zebra"}), ["normalizer", "Zebra"]),
        ("unknown pre_tokenizer", component(pre_tokenizer={"type": "Zebra"}), ["pre_tokenizer", "Zebra"]),
        ("unknown decoder", component(decoder={"type": "Zebra"}), ["decoder", "Zebra"]),
        ("unknown post_processor", component(post_processor={"type": "Zebra"}), ["post_processor", "Zebra"]),
        ("unknown model", component(model={"type": "Zebra", "vocab": {"a": 0}, "merges": []}), ["model", "Zebra"]),
    ]
    for command, list_ in [("logits", cases), ("tokenize", texts)]:
        for what, change, mentions in list_:
            folder = copy("llama", scratch, what)
            change(folder)
            run = subprocess.run([program, command, folder], input=b"", capture_output=True, timeout=60)
            said = run.stderr.decode()
            tap.ok(run.returncode == 1 and all(m in said for m in mentions), f"{what} is refused, naming it", said)


def small_floats(scratch):
    """8-bit floats and MXFP4 blocks whose scales are not as they should be."""
    def check(source, what, change, mentions, **settings):
        folder = pathlib.Path(scratch) / what.replace(" ", "-")
        shutil.copytree(source, folder)
        tensors = read_tensors(folder / "model.safetensors")
        change(tensors)
        write_tensors(folder / "model.safetensors", tensors)
        edit(folder, "config.json", **settings)
        run = subprocess.run([program, "logits", folder], input=b"", capture_output=True, timeout=60)
        said = run.stderr.decode()
        tap.ok(run.returncode == 1 and all(m in said for m in mentions), f"{what}: refused, naming it", said)

    def reshaped(name, shape):
        return lambda t: t.update({name: (t[name][0], shape, t[name][2])})

    fp8 = own / "fp8_block"
    q = "model.layers.0.self_attn.q_proj.weight"
    scale = q + "_scale_inv"
    check(fp8, "8 bits without scales", lambda t: t.pop(scale), [q, "missing"])
    check(fp8, "8 bits with other scales", reshaped(scale, [4, 1]), [scale, "[4, 1]", "128 x 128"])
    check(fp8, "8 bits that are no number", lambda t: t.update({q: (*t[q][:2], b"\x7f" + t[q][2][1:])}), [q, "not a number"])
    check(fp8, "8 bits that config does not tell of", lambda t: None, ["F8_E4M3", "not supported"], quantization_config=None)
    check(fp8, "scales of nothing", lambda t: t.update({"model.layers.0.zebra.weight_scale": t[scale]}), ["zebra"])
    check(fp8, "weights of another method", lambda t: None, ["gptq", "fp8"], quantization_config={"quant_method": "gptq"})
    if models.is_dir():
        mxfp4, experts = models / "gpt_oss_mxfp4", "model.layers.1.mlp.experts."
        check(mxfp4, "MXFP4 without scales", lambda t: t.pop(experts + "down_proj_scales"), [experts + "down_proj_blocks", "scales"])
        check(mxfp4, "MXFP4 with few scales", lambda t: t.update({experts + "down_proj_scales": ("U8", [1], b"a")}),
              [experts + "down_proj_blocks", "scales"])
        check(mxfp4, "MXFP4 in short blocks", reshaped(experts + "gate_up_proj_blocks", [4, 128, 4, 8]),
              [experts + "gate_up_proj_blocks", "8", "16"])
        check(mxfp4, "MXFP4 of other experts", reshaped(experts + "gate_up_proj_blocks", [2, 256, 2, 16]), [experts])
        check(mxfp4, "another limit", lambda t: None, ["swiglu_limit"], swiglu_limit=8.0)


def split_gguf(scratch):
    try:
        import gguf
    except ImportError as e:
        return tap.skip("a GGUF file in parts", str(e))
    source = shared / "gguf" / "llama" / "llama-Q8_0.gguf"
    reader = gguf.GGUFReader(source)
    out = pathlib.Path(scratch) / "part.gguf"
    writer = gguf.GGUFWriter(out, "llama", split_max_tensors=10)
    for f in reader.fields.values():
        if f.name.startswith("GGUF.") or f.name == "general.architecture":
            continue
        sub = f.types[-1] if f.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(f.name, f.contents(), f.types[0], sub_type=sub)
    for t in reader.tensors:
        writer.add_tensor(t.name, t.data, raw_dtype=t.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    parts = sorted(pathlib.Path(scratch).glob("part-*.gguf"))
    tap.ok(len(parts) == 3, "a GGUF file in three parts was made", parts)
    ids = list(range(5, 60))
    tap.equal(logits(parts[0], ids), logits(source, ids), "a GGUF file in parts: the same logits")
    parts[2].rename(pathlib.Path(scratch) / "away.gguf")
    for path, mention in [(parts[0], parts[2].name), (parts[1], "name the first")]:
        try:
            logits(path, ids)
            tap.ok(False, f"{path.name} without a part is refused")
        except Refused as e:
            tap.ok(mention in str(e), f"{path.name} is refused: {mention}", e)


def main():
    for folder in sorted(own.iterdir()):
        tap.attempt(family, folder)
    with tempfile.TemporaryDirectory() as scratch:
        tap.attempt(small_floats, scratch)
    if not models.is_dir():
        tap.skip("Hugging Face folders", f"no {models}")
        tap.done()
    with tempfile.TemporaryDirectory() as scratch:
        for name in FAMILIES:
            tap.attempt(family, models / name)
        for name in sorted(p.name for p in models.iterdir() if (p / "tokenizer_cases.json").exists()):
            folder = dressed(name, scratch)
            tap.attempt(recorded_text, name, folder)
            tap.attempt(differential, name, folder)
        tap.attempt(variants, scratch)
        tap.attempt(damaged, scratch)
        tap.attempt(split_gguf, scratch)
    tap.done()


main()
