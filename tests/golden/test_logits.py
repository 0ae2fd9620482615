"""Tiny models of every supported family and type: logits and greedy ids against the recorded float32 reference.

Float files must agree within 2e-3.  For quantised files the reference of every position is our own float path on
the file that gguf-py dequantised, after that was itself checked against the record; the mean
KL divergence from it may be three times what llama.cpp's was.
"""
import json
import pathlib
import sys
import tempfile

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent))
sys.path.insert(0, str(here))
import tap  # noqa: E402
from probe import Probe, Refused, isas, shared  # noqa: E402

FAMILIES = ["llama", "llama3_rope", "llama_256", "gemma3_text", "gpt2", "mistral", "qwen2", "qwen3", "gemma2", "starcoder2", "olmo2",
            "smollm3", "granite", "phi3", "gpt_neox", "qwen3_moe", "gpt_oss", "gpt_oss_mxfp4"]
FLOAT = {"F32", "F16", "BF16"}
SUPPORTED = FLOAT | {"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4"}


def check_float(model, entry, what, isa=""):
    worst, strays = 0, []
    with Probe(model, isa) as p:
        for prompt in entry["prompts"]:
            ref = prompt["f32ref"]
            got = p.ask(ids=prompt["ids"], greedy=len(ref["greedy_ids"]))
            worst = max([worst] + [abs(got["logits"][i] - v) for i, v in ref["logits_last_top"]])
            worst = max(worst, abs(sum(got["logits"]) - ref["logits_sum"]) / len(got["logits"]))
            if got["greedy_ids"] != ref["greedy_ids"]:
                step = next(i for i, (a, b) in enumerate(zip(got["greedy_ids"], ref["greedy_ids"])) if a != b)
                if ref["greedy_gaps"][step] > 0.01:
                    strays.append((prompt["name"], step, ref["greedy_gaps"][step]))
    tap.ok(worst <= 2e-3, f"{what}: logits of the last position within 2e-3 ({worst:.1e})")
    tap.ok(not strays, f"{what}: the same 32 greedy ids", strays)


def dequantised(path, folder):
    """The same file with every tensor in float32, as gguf-py computes it."""
    import gguf
    import numpy as np
    reader = gguf.GGUFReader(path)
    out = pathlib.Path(folder) / (path.stem + "-as-F32.gguf")
    arch = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(out, arch)
    for f in reader.fields.values():
        if f.name.startswith("GGUF.") or f.name in ("general.architecture", "general.file_type"):
            continue
        sub = f.types[-1] if f.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(f.name, f.contents(), f.types[0], sub_type=sub)
    for t in reader.tensors:
        values = gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32)
        writer.add_tensor(t.name, values.reshape([int(n) for n in reversed(t.shape)]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def log_softmax(rows):
    import numpy as np
    x = np.array(rows, dtype=np.float64)
    x -= x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def allowed_gap(entry):
    """Greedy ids are compared up to the first step with a smaller gap than this: 0.6 as for the real models (two logits
    each off by two or three standard deviations of what llama.cpp's are), or twice the gap at which llama.cpp strayed."""
    gaps = [p["f32ref"]["greedy_gaps"][p["first_greedy_difference"]] for p in entry["prompts"]
            if p.get("first_greedy_difference") is not None]
    return max([0.6] + [2 * g for g in gaps])


def check_quantised(model, entry, reference, what, isa, times=3):
    import numpy as np
    kl, strays = [], []
    limit = allowed_gap(entry)
    with Probe(model, isa) as p:
        for prompt in entry["prompts"]:
            ref = prompt["f32ref"]
            got = p.ask(ids=prompt["ids"], all=True, greedy=len(ref["greedy_ids"]))
            r, g = reference[prompt["name"]], log_softmax(got["logits_all"])
            kl.append((np.exp(r) * (r - g)).sum(axis=1))
            for step, (a, b) in enumerate(zip(got["greedy_ids"], ref["greedy_ids"])):
                if ref["greedy_gaps"][step] < limit:
                    break
                if a != b:
                    strays.append((prompt["name"], step, ref["greedy_gaps"][step]))
                    break
    mean, theirs = float(np.concatenate(kl).mean()), entry["kl_f32ref_llamacpp_mean"]
    tap.ok(mean <= times * theirs, f"{what}: mean KL {mean:.1e} at most {times} * {theirs:.1e}")
    tap.ok(not strays, f"{what}: greedy ids equal before the first gap below {limit:.2f}", strays)


def distributions(model, entry, isa=""):
    with Probe(model, isa) as p:
        return {x["name"]: log_softmax(p.ask(ids=x["ids"], all=True)["logits_all"]) for x in entry["prompts"]}


def rounded(path, entry, what, isa):
    """Activations of prompts are rounded to bf16, as llama.cpp's are: no further from float32 than llama.cpp."""
    try:
        import numpy  # noqa: F401
    except ImportError as e:
        return tap.skip(what, str(e))
    check_quantised(path, entry, distributions(path, entry, "avx512"), what, isa, times=1)


def quantised(path, entry, what):
    try:
        import gguf  # noqa: F401
        import numpy  # noqa: F401
    except ImportError as e:
        return tap.skip(what, str(e))
    with tempfile.TemporaryDirectory() as folder:
        plain = dequantised(path, folder)
        check_float(plain, entry, f"{what} dequantised by gguf-py")
        reference = distributions(plain, entry)
    for isa in isas():
        tap.attempt(check_quantised, path, entry, reference, f"{what} {isa}", isa)


def unsupported(path, missing, what):
    try:
        with Probe(path) as p:
            p.ask(ids=[1])
        tap.ok(False, f"{what} is refused")
    except Refused as e:
        tap.ok(any(m in str(e) for m in missing), f"{what} is refused, naming the type", e)


def family(name):
    folder = shared / "gguf" / name
    for entry in json.loads((folder / "expected.json").read_text())["files"]:
        path, what = folder / entry["file"], entry["file"]
        missing = set(entry["tensor_types"]) - SUPPORTED
        if missing:
            unsupported(path, missing, what)
        elif set(entry["tensor_types"]) <= FLOAT:
            for isa in isas():
                rounds = isa == "avx512bf16" and "BF16" in entry["tensor_types"]
                tap.attempt(rounded if rounds else check_float, path, entry, f"{what} {isa}", isa)
        else:
            quantised(path, entry, what)


def other_families():
    """Families that are not built in are refused by name, never run approximately."""
    source = (shared / "gguf" / "llama" / "llama-Q8_0.gguf").read_bytes()
    key = b"general.architecture" + (8).to_bytes(4, "little") + (5).to_bytes(8, "little")
    tap.ok(source.count(key + b"llama") == 1, "a file was made whose family nobody knows")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "zebra.gguf"
        path.write_bytes(source.replace(key + b"llama", key + b"zebra"))
        try:
            with Probe(path) as p:
                p.ask(ids=[1])
            tap.ok(False, f"{path.name} is refused")
        except Refused as e:
            tap.ok("zebra" in str(e) and "not supported" in str(e) and "llama" in str(e), f"{path.name} is refused", e)


def bad_requests():
    path = shared / "gguf" / "llama" / "llama-Q8_0.gguf"
    with Probe(path) as p:
        for q in [{}, {"ids": []}, {"ids": [704]}, {"ids": [-1]}, {"ids": [1.5]}, {"ids": ["1"]}, {"ids": [1] * 1025},
                  {"ids": [1], "greedy": 1024}, {"ids": [1], "score": []}, {"ids": [1], "chunk": 0}, {"ids": 3}]:
            tap.ok("error" in p.ask(**q), f"{str(q)[:40]} is answered with an error")
        tap.ok(len(p.ask(ids=[1])["logits"]) == 704, "the next question is answered as if nothing had been")


if not (shared / "gguf").is_dir():
    tap.skip("golden logits", f"no recorded values in {shared}")
    tap.done()
for f in FAMILIES:
    tap.attempt(family, f)
tap.attempt(other_families)
tap.attempt(bad_requests)
tap.done()
