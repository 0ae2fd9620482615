"""SmolLM2-135M-Instruct Q4_1 and gemma-3-270m Q4_K_M against transformers' float32 values and llama.cpp's distance.

On each instruction set: KL divergence no larger than llama.cpp's, perplexity no further from the reference's
than llama.cpp's, by what rounding alone moves it.  Greedy texts equal up to the first near tie.
Ranks that compute one model round other sums, so that other activations fall to the next of 8 bits: as far from one rank as one
instruction set is from another, and allowed half more, and ties twice as near.
"""
import json
import math
import os
import pathlib
import struct
import sys

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent))
sys.path.insert(0, str(here))
import tap  # noqa: E402
from probe import Probe, isas, shared  # noqa: E402

NEAR_TIE = 0.6
PPL_NOISE = 0.003  # llama.cpp's own two recordings, keys and values in F16 and in F32, are that far apart
# name, environment, largest difference of a top-5 log-probability that llama.cpp shows
RANKS = {"smollm2": (2, 3), "gemma3": (3,)}  # that compute it together, besides one: 3 kv heads, and one
MODELS = [("smollm2", "AIRSTRIP_SMOLLM2", 0.75), ("gemma3", "AIRSTRIP_GEMMA3", 1.15)]


def greedy(probe, name, group, entry, near=NEAR_TIE):
    ref = entry["f32ref"]
    want = ref["greedy_ids"]
    got = probe.ask(ids=entry["ids"], greedy=len(want))["greedy_ids"]
    sure = next((i for i, gap in enumerate(ref["greedy_gaps"]) if gap < near), len(want))
    same = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), len(want))
    tap.ok(same >= sure, f"{name} {group} {entry['name']}: {sure} ids before the first near tie (equal: {same} of {len(want)})")


def top5(probe, entry):
    """Differences of the five best log-probabilities of the first steps, the reference's ids followed."""
    ref = entry["f32ref"]
    steps = [s for s in ref["first_token_top5"]]
    ids = entry["ids"] + ref["greedy_ids"][:len(steps) - 1]
    score = [None] * (len(entry["ids"]) - 1) + [[i for i, _ in s] if s else None for s in steps]
    got = probe.ask(ids=ids, score=score[:len(ids)])["logprobs"][len(entry["ids"]) - 1:]
    return [abs(a - b) for s, g in zip(steps, got) if s for (_, a), b in zip(s, g)]


def divergence(probe, name, isa, times=1):
    kl = json.loads((shared / "real" / f"{name}.kl.json").read_text())
    raw = (shared / "real" / f"{name}.kl.ref_top64.bin").read_bytes()
    n, top, _ = struct.unpack_from("<III", raw, 4)
    assert raw[:4] == b"KLT1" and n == kl["n_positions"] and top == 64
    ids = struct.unpack_from(f"<{n * top}I", raw, 16)
    logp = struct.unpack_from(f"<{n * top}f", raw, 16 + 4 * n * top)
    text = kl["ids"]
    score = [list(ids[i * top:(i + 1) * top]) + text[i + 1:i + 2] for i in range(n)]
    got = probe.ask(ids=text, score=score)
    total, agree = 0, 0
    for i in range(n):
        p, q = logp[i * top:(i + 1) * top], got["logprobs"][i][:top]
        rest_p, rest_q = 1 - sum(map(math.exp, p)), 1 - sum(map(math.exp, q))
        total += sum(math.exp(a) * (a - b) for a, b in zip(p, q))
        if rest_p > 1e-9 and rest_q > 1e-9:
            total += rest_p * math.log(rest_p / rest_q)
        agree += got["argmax"][i] == ids[i * top]
    theirs = kl["llamacpp"]["default"]
    limit = theirs["kl_top64_mean"] * times
    tap.ok(total / n <= limit, f"{name} {isa}: KL over 64 best {total / n:.5f}, llama.cpp's times {times} is {limit:.5f}")
    ppl = math.exp(-sum(got["logprobs"][i][top] for i in range(n - 1)) / (n - 1))
    ratio, limit = ppl / kl["ref"]["ppl"] - 1, theirs["ppl_ratio_to_ref"] - 1
    tap.ok(abs(ratio) <= (abs(limit) + PPL_NOISE) * times,
           f"{name} {isa}: perplexity {ppl:.4f}, {ratio:+.2%} of the reference's, llama.cpp's {limit:+.2%}")
    floor = theirs["argmax_agreement"] - 0.02
    tap.ok(agree / n >= floor, f"{name} {isa}: argmax agrees in {agree / n:.4f} of positions, at least {floor:.4f}")


def model(name, variable, llamacpp_diff):
    data = json.loads((shared / "real" / f"{name}.json").read_text())
    path = os.environ.get(variable) or pathlib.Path.home() / ".cache" / "airstrip" / "models" / data["model"]
    if not pathlib.Path(path).exists():
        return tap.skip(name, f"{path} is not there")
    # plain C would take minutes, and avxvnni has avx2's bits (test_mm_tables)
    for isa in [i for i in isas() if i not in ("scalar", "avxvnni", "avx512bf16")] or [""]:
        with Probe(path, isa) as probe:
            divergence(probe, name, isa)
    for n in RANKS[name]:
        os.environ["AIRSTRIP_RANKS"] = str(n)
        with Probe(path) as probe:
            divergence(probe, name, f"{n} ranks", 1.5)
            for entry in data["completions"]:
                greedy(probe, name, f"{n} ranks", entry, 2 * NEAR_TIE)
        del os.environ["AIRSTRIP_RANKS"]
    with Probe(path) as probe:
        diffs = []
        for group in "completions", "chats":
            for entry in data.get(group, []):
                greedy(probe, name, group, entry)
                diffs += top5(probe, entry)
    mean = sum(diffs) / len(diffs)
    tap.ok(max(diffs) <= 2 * llamacpp_diff and mean <= 0.15,
           f"{name}: top-5 log-probabilities differ by {mean:.3f}, at most {max(diffs):.2f}")


if not (shared / "real").is_dir():
    tap.skip("real models", f"no recorded values in {shared}")
    tap.done()
for m in MODELS:
    tap.attempt(model, *m)
tap.done()
