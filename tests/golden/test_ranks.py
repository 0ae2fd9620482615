"""Several ranks compute a model as one does: every family's folder against the recorded values, quantised files of every
type against one rank (real models: test_real.py).

Float models must agree with the record as one rank must.  Where activations are rounded to 8 bits the last bit of a sum may
become more: the mean KL divergence from one rank may be that of llama.cpp from float32, and greedy ids are the same before the
first near tie.
"""
import json
import os
import pathlib
import re
import subprocess
import sys

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent))
sys.path.insert(0, str(here))
import tap  # noqa: E402
from probe import Probe, distance, program, shared  # noqa: E402

RANKS = [2, 3, 4]
NEAR_TIE = 0.6
FLOAT = {"F32", "F16", "BF16"}
own = here.parent / "data" / "models"


class Ranks:
    """Probes inside have so many ranks."""
    def __init__(self, n):
        self.n = n

    def __enter__(self):
        os.environ["AIRSTRIP_RANKS"] = str(self.n)

    def __exit__(self, *_):
        del os.environ["AIRSTRIP_RANKS"]


def folder(path):
    prompts = json.loads((path / "expected.json").read_text())["prompts"]
    for n in RANKS:
        with Ranks(n):
            worst, strays = distance(path, prompts)
        tap.ok(worst <= 2e-3 and not strays, f"{path.name}, {n} ranks: the same 32 greedy ids, logits within 2e-3 ({worst:.1e})", strays)


def ask(path, prompts, n):
    with Ranks(n), Probe(path) as p:
        return [p.ask(ids=x["ids"], all=True, greedy=32) for x in prompts]


def mean_kl(a, b):
    import numpy as np
    total, rows = 0.0, 0
    for x, y in zip(a, b):
        p, q = (np.array(z["logits_all"], dtype=np.float64) for z in (x, y))
        p, q = (z - z.max(axis=1, keepdims=True) for z in (p, q))
        p, q = (z - np.log(np.exp(z).sum(axis=1, keepdims=True)) for z in (p, q))
        total += float((np.exp(p) * (p - q)).sum())
        rows += len(p)
    return total / rows


def strays(prompts, one, many, limit):
    """Where ids differ though one rank's own choice was the record's so far, and was clear."""
    out = []
    for x, a, b in zip(prompts, one, many):
        ref = x["f32ref"]
        for step, (i, k) in enumerate(zip(a["greedy_ids"], b["greedy_ids"])):
            if ref["greedy_gaps"][step] < limit or i != ref["greedy_ids"][step]:
                break
            if i != k:
                out.append((x["name"], step))
                break
    return out


def quantised(path, entry):
    one = ask(path, entry["prompts"], 1)
    limit = entry["kl_f32ref_llamacpp_mean"]
    for n in RANKS:
        many = ask(path, entry["prompts"], n)
        kl, wrong = mean_kl(one, many), strays(entry["prompts"], one, many, NEAR_TIE)
        tap.ok(kl <= limit and not wrong, f"{path.name}, {n} ranks: mean KL from one {kl:.1e}, at most {limit:.1e}", wrong)


def chunks():
    """Ranks or not, rows beside each other do not matter to the last bit."""
    path = own / "qwen2_moe"
    ids = json.loads((path / "expected.json").read_text())["prompts"][-1]["ids"]
    with Ranks(3), Probe(path) as p:
        want, got = (p.ask(ids=ids, greedy=8, chunk=c) for c in (512, 7))
    tap.ok(want == got, "3 ranks: the same bits in chunks of 7 rows")


def memory():
    """A rank has its share of a real model's matrices, as it says itself."""
    path = os.environ.get("AIRSTRIP_SMOLLM2", "")
    if not path or not pathlib.Path(path).exists():
        return tap.skip("memory of ranks", f"{path or 'AIRSTRIP_SMOLLM2'} is not there")
    whole = pathlib.Path(path).stat().st_size / 2**20
    for n in RANKS:
        run = subprocess.run([program, "logits", path], input='{"ids": [1]}\n', text=True, capture_output=True,
                             env={**os.environ, "AIRSTRIP_RANKS": str(n)})
        parts = [int(x) for x in re.findall(r" info rank .*matrix_mb=(\d+)", run.stderr)]
        tap.ok(run.returncode == 0 and len(parts) == n - 1 and max(parts) <= 1.1 * whole / n,
               f"SmolLM2 of {whole:.0f} MiB: others than rank 0 of {n} have {parts}", run.stderr)


for f in sorted(own.iterdir()):
    if (f / "expected.json").exists():
        tap.attempt(folder, f)
tap.attempt(chunks)
tap.attempt(memory)
if not (shared / "models").is_dir():
    tap.skip("golden ranks", f"no recorded values in {shared}")
    tap.done()
for f in sorted((shared / "models").iterdir()):
    if (f / "expected.json").exists():
        tap.attempt(folder, f)
for f in sorted((shared / "gguf").iterdir()):
    for entry in json.loads((f / "expected.json").read_text())["files"]:
        if set(entry["tensor_types"]) - FLOAT:
            tap.attempt(quantised, f / entry["file"], entry)
tap.done()
