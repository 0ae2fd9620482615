"""airstrip-quantize: what it makes of folders and GGUF files is what went in, up to the rounding that the type brings; the
Python package gguf reads it, and llama.cpp (the Python package xllamacpp) loads it and computes the same; what cannot be
written is refused and leaves nothing behind."""
import json
import math
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent))
sys.path.insert(0, str(here))
import tap  # noqa: E402
from probe import Probe, program as probe_program, shared  # noqa: E402

import gguf  # noqa: E402
import numpy as np  # noqa: E402

program = probe_program.with_name("airstrip-quantize")
own = here.parent / "data" / "models"  # make_models.py there made them
FAMILIES = ["llama", "llama3_rope", "mistral", "qwen2", "qwen3", "gemma3_text", "gpt2", "gpt2_noprefix", "gemma2", "starcoder2", "olmo2",
            "smollm3", "granite", "phi3", "phi3_longrope", "gpt_neox", "qwen3_moe", "gpt_oss", "gpt_oss_mxfp4", "mixtral", "qwen2_moe",
            "falcon", "falcon_new", "falcon_alibi", "gemma", "phi", "stablelm", "stablelm_parallel",
            "fp8_block", "fp8_tensor"]
# Folders whose tokenizers GGUF's own keys cannot tell in full: a normal form, blanks that a control token takes along.
NOTED = {"mistral", "qwen2", "qwen3", "qwen3_moe", "smollm3", "phi3", "phi3_longrope", "gpt_neox", "gpt_oss", "gpt_oss_mxfp4"}
# llama.cpp has no sliding window in these families: they are compared on texts within the window only.
SHORT_ONLY = {"mistral", "starcoder2", "phi3_longrope"}
# It computes these in another way (gemma2: scores are always scaled by the width of a head; gpt_oss: YaRN's borders are
# always whole): that it loads them is all that can be compared.
OTHERWISE = {"gemma2", "gpt_oss", "gpt_oss_mxfp4"}
# It has no Falcon with ALiBi, and no Qwen2-MoE with dense layers among the others.
NOT_THERE = {"falcon_alibi", "qwen2_moe"}


def quantize(*args, **options):
    return subprocess.run([program, *map(str, args)], capture_output=True, text=True, timeout=120, **options)


def log_softmax(logits):
    x = np.asarray(logits, dtype=np.float64)
    return x - np.logaddexp.reduce(x)


def kl(reference, logits):
    p, q = log_softmax(reference), log_softmax(logits)
    return float((np.exp(p) * (p - q)).sum())


def tokenize(model, texts):
    requests = "".join(json.dumps({"text": t, "special": True, "add_special": True}) + "\n" for t in texts)
    run = subprocess.run([probe_program, "tokenize", model], input=requests.encode(), capture_output=True, timeout=300)
    return [json.loads(line).get("ids") for line in run.stdout.splitlines()]


def models(name):
    return shared / "models" / name if (shared / "models" / name).is_dir() else own / name


def prompts_of(name):
    return json.loads((models(name) / "expected.json").read_text())["prompts"]


def same_model(name, out):
    """F16 of a folder in float32: the recorded logits and greedy ids, but for rounding."""
    worst, strays = 0, []
    with Probe(out) as p:
        for prompt in prompts_of(name):
            got = p.ask(ids=prompt["ids"], greedy=len(prompt["greedy_ids"]))
            worst = max([worst] + [abs(got["logits"][i] - v) for i, v in prompt["logits_last_top"]])
            # up to the first token that nearly tied
            far = next((i for i, gap in enumerate(prompt["greedy_gaps"]) if gap < 0.2), len(prompt["greedy_ids"]))
            if got["greedy_ids"][:far] != prompt["greedy_ids"][:far]:
                strays.append(prompt["name"])
    tap.ok(worst < 0.15, f"{name} F16: the recorded logits within 0.15 ({worst:.3f})")
    tap.ok(not strays, f"{name} F16: the same greedy ids up to the first near tie", strays)


def same_tokens(name, out):
    cases = models(name) / "tokenizer_cases.json"
    if not cases.exists():
        cases = models("qwen2") / "tokenizer_cases.json"
    texts = [c["text"] for c in json.loads(cases.read_text())["cases"]]
    tap.equal(tokenize(out, texts), tokenize(models(name), texts), f"{name}: ids of {len(texts)} texts as from the folder")


def folder(name, scratch):
    out = scratch / f"{name}-F16.gguf"
    run = quantize(models(name), out, "F16")
    if not tap.equal(run.returncode, 0, f"{name}: is written", run.stderr):
        return
    tap.equal("note:" in run.stderr, name in NOTED, f"{name}: a note about the tokenizer where there is something to say", run.stderr)
    same_model(name, out)
    same_tokens(name, out)
    small = scratch / f"{name}-Q8_0.gguf"
    quantize("--quiet", models(name), small, "Q8_0")
    with Probe(models(name)) as a, Probe(small) as b:
        # these models are so narrow that each rounding shows, and where experts nearly tie, others are chosen
        pairs = [zip(*(x.ask(ids=p["ids"], all=True)["logits_all"] for x in (a, b))) for p in prompts_of(name)]
        middle = statistics.median(kl(x, y) for pair in pairs for x, y in pair)
    tap.ok(middle < 0.05, f"{name} Q8_0: KL, median of all positions, below 0.05 ({middle:.4f})")


class Peer:
    """llama.cpp with a model, in a process of its own: what it prints does not matter."""
    CODE = """
import json, os, sys
out = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
import xllamacpp
p = xllamacpp.CommonParams()
p.model.path, p.n_ctx, p.warmup = sys.argv[1], 512, False
p.cpuparams.n_threads = 1
server = xllamacpp.Server(p)
for line in sys.stdin:
    print(json.dumps(server.handle_completions(json.loads(line))), file=out, flush=True)
"""

    def __init__(self, model):
        self.process = subprocess.Popen([sys.executable, "-c", self.CODE, str(model)], stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def first_token(self, prompt, letter):
        """[(id, log-probability)] of the five most likely tokens after it.  It tells them only where the token it takes is whole
        text: it is made to take this one, which leaves the probabilities as they are."""
        self.process.stdin.write(json.dumps({"prompt": prompt, "max_tokens": 1, "temperature": 0, "logprobs": 5,
                                             "logit_bias": [[letter, 1000]]}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return [(t["id"], t["logprob"]) for t in answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def peer(name, out):
    """llama.cpp loads the file, splits texts as the folder does, and its log-probabilities are Airstrip's."""
    worst, n = 0, 0
    letter = tokenize(out, ["xa"])[0][-1]
    with Probe(out) as own, Peer(out) as llama:
        for prompt in prompts_of(name):
            ids = prompt["ids"]
            if len(ids) > 500 or (name in SHORT_ONLY and len(ids) > 60):
                continue
            ours = log_softmax(own.ask(ids=ids)["logits"])
            for question in [ids] if name in NOTED else [ids, prompt["text"]]:
                worst = max([worst] + [abs(ours[i] - v) for i, v in llama.first_token(question, letter)])
                n += 1
    if name in OTHERWISE:
        tap.ok(n, f"{name} F16: llama.cpp loads it and answers")
        return
    tap.ok(n and worst < 0.15, f"{name} F16: llama.cpp's log-probabilities of {n} texts within 0.15 ({worst:.3f})")


def types(scratch):
    """Every type, of a model whose rows are whole blocks: more bits lose less, and none much more than the recorded file
    of that type, which another encoder made (the weights are noise: how errors fall is chance)."""
    source = shared / "gguf" / "llama_256" / "llama_256-F32.gguf"
    recorded = json.loads((source.parent / "expected.json").read_text())["files"][0]["prompts"]
    ids = max((p["ids"] for p in recorded), key=len)[:200]
    with Probe(source) as p:
        reference = p.ask(ids=ids, all=True)["logits_all"]

    def loss(model):
        with Probe(model) as p:
            found = p.ask(ids=ids, all=True)["logits_all"]
        return float(np.mean([kl(a, b) for a, b in zip(reference, found)]))

    losses = {}
    for t in ["Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q4_1", "Q4_0", "F16", "BF16", "F32"]:
        out = scratch / f"all-{t}.gguf"
        run = quantize("--pure", source, out, t)
        found = {x.tensor_type.name for x in gguf.GGUFReader(out).tensors if len(x.shape) == 2} if run.returncode == 0 else None
        tap.equal(found, {t}, f"{t}: all matrices are of this type", run.stderr)
        losses[t] = loss(out)
        recorded = source.parent / f"llama_256-{t}.gguf"
        if recorded.exists():
            theirs = loss(recorded)
            tap.ok(losses[t] <= 1.25 * theirs + 1e-6, f"{t}: KL {losses[t]:.5f}; of the recorded file {theirs:.5f}")
    order = ["F32", "F16", "Q8_0", "Q6_K", "Q5_K", "Q4_K"]
    tap.ok(losses["F32"] < 1e-9 and all(losses[a] <= losses[b] for a, b in zip(order, order[1:])), "more bits lose less", losses)
    mix = scratch / "mix.gguf"
    quantize("--quiet", source, mix, "Q4_K")
    found = {x.name: x.tensor_type.name for x in gguf.GGUFReader(mix).tensors}
    tied = "output.weight" not in found
    tap.equal(found["token_embd.weight" if tied else "output.weight"], "Q6_K", "Q4_K: the output matrix gets Q6_K")
    tap.ok(loss(mix) < losses["Q4_K"], f"Q4_K loses less than with --pure ({loss(mix):.5f})")


def passed_through(scratch):
    """A GGUF file's keys come out as they went in, but for its type; quantised tensors that are small enough stay."""
    source = shared / "gguf" / "gemma3_text" / "gemma3_text-F32.gguf"
    out = scratch / "keys.gguf"
    quantize("--quiet", source, out, "Q8_0")
    old, new = gguf.GGUFReader(source), gguf.GGUFReader(out)
    replaced = {"general.file_type", "general.quantization_version", "GGUF.kv_count"}

    def keys(r):
        return {k: (f.types, f.contents()) for k, f in r.fields.items() if k not in replaced}
    tap.equal(keys(new), keys(old), "all other keys have the same types and values")
    tap.equal([(t.name, list(t.shape)) for t in new.tensors], [(t.name, list(t.shape)) for t in old.tensors], "the same tensors")
    tap.equal(new.fields["general.file_type"].contents(), 7, "general.file_type says Q8_0")
    again = scratch / "again.gguf"
    quantize("--quiet", out, again, "Q8_0")
    tap.ok(all(np.array_equal(a.data, b.data) for a, b in zip(gguf.GGUFReader(again).tensors, new.tensors)), "Q8_0 to Q8_0: the same bytes")
    one, three = scratch / "one.gguf", scratch / "three.gguf"
    source = shared / "gguf" / "llama_256" / "llama_256-F32.gguf"
    quantize("--threads", 1, source, one, "Q4_K")
    quantize("--threads", 3, source, three, "Q4_K")
    tap.ok(one.read_bytes() == three.read_bytes(), "one thread and three write the same file")


def damaged(source, out, value):
    """A copy with one value of one matrix replaced."""
    data = bytearray(source.read_bytes())
    tensor = next(t for t in gguf.GGUFReader(source).tensors if t.name == "blk.1.ffn_up.weight")
    at = tensor.data_offset + 4 * 1000
    data[at:at + 4] = np.float32(value).tobytes()
    out.write_bytes(data)


def refused(scratch):
    source = shared / "gguf" / "llama_256" / "llama_256-F32.gguf"
    place = scratch / "refused"
    place.mkdir()
    out, bad = place / "out.gguf", scratch / "bad.gguf"

    def fails(name, *args, says, code=1, **options):
        run = quantize(*args, **options)
        left = sorted(p.name for p in place.iterdir())
        tap.ok(run.returncode == code and says in run.stderr and left == before, name, run.returncode, run.stderr, left)
    before = []
    for value in [math.nan, math.inf, -math.inf]:
        damaged(source, bad, value)
        fails(f"{value}: the tensor is named", bad, out, "Q4_K", says="blk.1.ffn_up.weight has values that are not finite")
    damaged(source, bad, 1e30)
    fails("1e30 in F16: the tensor is named", bad, out, "F16", says="blk.1.ffn_up.weight has values beyond 65504")
    tap.equal(quantize(bad, scratch / "large.gguf", "BF16").returncode, 0, "1e30 in BF16 is written")
    fails("a type that there is not", source, out, "Q3_K", says="expected one of", code=2)
    fails("too few arguments", source, out, says="usage:", code=2)
    fails("no such model", scratch / "none.gguf", out, "Q8_0", says="none.gguf")
    fails("the output cannot be created", source, scratch / "no" / "out.gguf", "Q8_0", says="cannot create")
    fails("the output is a folder", source, place, "Q8_0", says="not a file")
    fails("the output is the input", source, source, "Q8_0", says="is what is to be read")

    def small():
        resource.setrlimit(resource.RLIMIT_FSIZE, (300000, 300000))
    fails("no room for the file", source, out, "Q8_0", says="cannot write", preexec_fn=small)
    before = ["out.gguf"]
    out.write_text("old")
    fails("what was there stays", bad, out, "F16", says="blk.1.ffn_up.weight")
    tap.equal(out.read_text(), "old", "as it was")
    tap.equal(quantize(source, out, "Q8_0").returncode, 0, "and is replaced by a whole file")
    tap.ok(out.read_bytes()[:4] == b"GGUF" and sorted(p.name for p in place.iterdir()) == before, "without anything beside it")


def main():
    if not (shared / "models").is_dir():
        tap.skip("airstrip-quantize", f"{shared} is not there")
        tap.done()
    have_peer = subprocess.run([sys.executable, "-c", "import xllamacpp"], capture_output=True).returncode == 0
    with tempfile.TemporaryDirectory() as t:
        scratch = pathlib.Path(t)
        for name in FAMILIES:
            tap.attempt(folder, name, scratch)
            if have_peer and name not in NOT_THERE:
                tap.attempt(peer, name, scratch / f"{name}-F16.gguf")
            else:
                tap.skip(f"{name}: llama.cpp loads it", "it has no such model" if have_peer else "the Python package xllamacpp is not installed")
        tap.attempt(types, scratch)
        tap.attempt(passed_through, scratch)
        tap.attempt(refused, scratch)
    tap.done()


if __name__ == "__main__":
    main()
