"""What is measured: one function for each group of rows.  Each takes a Context and returns Rows."""
import os
import statistics
import tempfile

import make_model
from overhead import overhead
from programs import pairs, spread
from rows import Row, limit_row, median_of, prompt_share, rate_row, read_share
from servers import Airstrip, Llama

SPUN_CPU = 0  # where the busy neighbour sits
NEIGHBOUR_TOKENS = "32"  # generated; llama.cpp may need seconds for each
SPARE_MB = 64  # what a server may use beside its file and its keys and values
SPARE_7B_MB = 200


class Context:
    def __init__(self, programs, smollm2, gemma3, pairs_wanted, models=None):
        self.programs, self.smollm2, self.gemma3, self.pairs = programs, smollm2, gemma3, pairs_wanted
        self.scratch = None if models else tempfile.TemporaryDirectory(prefix="airstrip-models-")
        self.models = models or self.scratch.name

    def model(self, kind):
        """A model of random weights, made when it is wanted first."""
        path = os.path.join(self.models, kind + ".gguf")
        if not os.path.exists(path):
            make_model.make(kind, self.smollm2, path + ".part")
            os.rename(path + ".part", path)
        return path


def single(c, model, tokens="128", prompt="512", isa=None, peer="best", spin=None):
    """Pairs of results for a prompt and one stream."""
    p = c.programs
    options = ["-p", prompt, "-n", tokens]
    return pairs(c.pairs, lambda: p.airstrip(model, *options, "-r", "1", "--batch", "1", "--rates", isa=isa, spin=spin),
                 lambda: p.llama_bench(model, *options, isa=peer, spin=spin))


def batched(c, model):
    """Pairs of results for 4 and 16 streams, 64 tokens each behind 128 others."""
    p = c.programs
    return pairs(c.pairs,
                 lambda: p.airstrip(model, "-p", "128", "-n", "64", "--depth", "128", "-r", "1", "--batch", "4,16", "--rates"),
                 lambda: p.llama_batched(model, "4,16"))


def smollm2(c):
    found = single(c, c.smollm2)
    many = batched(c, c.smollm2)
    ours = found[0]
    isa = ours[0]["isa"]
    return [
        rate_row("smollm2/prompt", f"prompt of 512 ({isa})", "prompt_tps", found, 4.0, prompt_share(ours)),
        rate_row("smollm2/one", "one stream of 128", "gen_tps", found, 1.2, read_share(ours, "gen"),
                 ("the read bandwidth", median_of(ours, "gen_read_share"), 0.9)),
        rate_row("smollm2/4", "4 streams", "batch4_tps", many, 1.0, read_share(many[0], "batch4")),
        rate_row("smollm2/16", "16 streams", "batch16_tps", many, 3.0, read_share(many[0], "batch16")),
    ]


def other_isa(isa, target):
    def measure(c):
        found = single(c, c.smollm2, tokens="1", isa=isa, peer=isa)
        return [rate_row(isa, f"prompt of 512, `{isa}` against llama.cpp's {isa} build", "prompt_tps", found, target,
                         prompt_share(found[0]))]
    return measure


def neighbour(c):
    quiet = [c.programs.airstrip(c.smollm2, "-r", "1", "-n", NEIGHBOUR_TOKENS, "--batch", "1", "--rates") for _ in range(c.pairs)]
    found = single(c, c.smollm2, NEIGHBOUR_TOKENS, spin=SPUN_CPU)
    rows = []
    for key, title, metric, target in (("prompt", "prompt of 512", "prompt_tps", 4.0), ("one", "one stream", "gen_tps", 2.0)):
        own = median_of(found[0], metric) / median_of(quiet, metric)
        rows.append(rate_row("neighbour/" + key, title + ", another process spins on one core", metric, found, target,
                             f"{own:.0%} of its own quiet figure", ("its own quiet figure", own, 0.45)))
    return rows


def gemma(c):
    found, many = single(c, c.gemma3), batched(c, c.gemma3)
    return [
        rate_row("gemma/prompt", "Gemma 3 270M Q4_K_M: prompt of 512", "prompt_tps", found, 4.0, prompt_share(found[0])),
        rate_row("gemma/one", "Gemma: one stream", "gen_tps", found, 1.3, read_share(found[0], "gen")),
        rate_row("gemma/16", "Gemma: 16 streams", "batch16_tps", many, 3.0, read_share(many[0], "batch16")),
    ]


def floats(c):
    rows = []
    for kind in ("f16", "bf16", "f32"):
        found = single(c, c.model(kind), tokens="64")
        name = f"100M {kind.upper()}: "
        rows.append(rate_row(f"float/{kind}-prompt", name + "prompt of 512", "prompt_tps", found, 1.5, prompt_share(found[0])))
        rows.append(rate_row(f"float/{kind}-one", name + "one stream", "gen_tps", found, 1.1, read_share(found[0], "gen")))
    return rows


def long_prompt(c):
    """llama.cpp with its flash attention on or off, whichever is faster in the first pair."""
    p, options = c.programs, ["-p", "8000", "-n", "0", "--no-warmup"]
    tried = {fa: p.llama_bench(c.smollm2, *options, "-fa", fa) for fa in ("1", "0")}
    best = max(tried, key=lambda fa: tried[fa]["prompt_tps"])
    found = pairs(c.pairs, lambda: p.airstrip(c.smollm2, "-p", "8000", "-n", "1", "-r", "1", "--batch", "1", "--rates"),
                  lambda: p.llama_bench(c.smollm2, *options, "-fa", best))
    return [rate_row("long", f"prompt of 8,000 tokens (llama.cpp: -fa {best})", "prompt_tps", found, 3.0, prompt_share(found[0]))]


def second_turn(c):
    found = [c.programs.airstrip(c.smollm2, "-p", "16", "-n", "1", "-r", "3", "--batch", "1", "--turn", "1000") for _ in range(c.pairs)]
    first, second = median_of(found, "first_turn_ms"), median_of(found, "second_turn_ms")
    row = limit_row("turn", "second turn, 1,000 tokens cached: first token after, of the first turn's",
                    [100 * f["second_turn_ms"] / f["first_turn_ms"] for f in found], "%", 5)
    row.share = f"{second:.1f} ms of {first:.0f} ms"
    return [row]


def fairness(c):
    found = [c.programs.airstrip(c.smollm2, "-p", "16", "-n", "1", "-r", "1", "--batch", "1,2", "--long", "8000") for _ in range(c.pairs)]
    gap = {k: median_of(found, f"gap_{k}_ms") for k in ("quiet_p50", "quiet_p99", "prompt_p50", "prompt_p99", "after_p50")}
    row = limit_row("fair", "a stream's gaps while a prompt of 8,000 is evaluated: 99th percentile, of the quiet median at its length",
                    [f["gap_of_quiet_p99"] for f in found], "×", 3)
    row.share = (f"quiet p50 {gap['quiet_p50']:.1f} ms before, {gap['after_p50']:.1f} ms after, p99 {gap['quiet_p99']:.1f} ms; "
                 f"meanwhile p50 {gap['prompt_p50']:.1f} ms, p99 {gap['prompt_p99']:.1f} ms")
    return [row]


def ready_ms(server):
    with server as s:
        return s.ready_ms


def start(c):
    rows = []
    for key, title, model, limit in (("135m", "start to ready, SmolLM2-135M", c.smollm2, 250),
                                     ("7b", "start to ready, 7B Q4_0", c.model("7b-q4_0"), 2000)):
        ready_ms(Airstrip(c.programs, model, "--max-batch-size", "1", "--max-sequence-length", "4096"))  # the file into the cache
        ours, theirs = pairs(c.pairs, lambda: ready_ms(Airstrip(c.programs, model, "--max-sequence-length", "4096")),
                             lambda: ready_ms(Llama(c.programs, model, 4096)))
        row = limit_row("start/" + key, title, ours, "ms", limit, llama=theirs, digits=0)
        row.ratio = spread([o / t for o, t in zip(ours, theirs)])
        rows.append(row)
    return rows


def peak_mb(server, prompt):
    """After the prompt; and what Airstrip's log says of its cache."""
    with server as s:
        s.complete(prompt)
        kv_mb = [float(line["kv_mb"]) for line in s.log() if "kv_mb" in line] if isinstance(s, Airstrip) else [0]
        return s.peak_mb(), kv_mb[0]


def memory(c):
    """After a prompt that fills most of a context of 8,192 tokens."""
    prompt = "hello " * 7000
    ours, kv_mb = peak_mb(Airstrip(c.programs, c.smollm2, "--max-batch-size", "1"), prompt)
    theirs, _ = peak_mb(Llama(c.programs, c.smollm2), prompt)
    allowed = os.path.getsize(c.smollm2) / (1 << 20) + kv_mb + SPARE_MB
    row = limit_row("memory", "peak memory, context of 8,192 filled", [ours], "MB", round(allowed), llama=[theirs], digits=0)
    row.share = f"file + {kv_mb:.0f} MB of keys and values + {SPARE_MB} MB are allowed"
    return [row, memory_7b(c)]


def memory_7b(c):
    """A model that is large beside all else, in a context of 512 that a prompt fills."""
    model = c.model("7b-q4_0")
    ours, kv_mb = peak_mb(Airstrip(c.programs, model, "--max-batch-size", "1", "--max-sequence-length", "512"), "hello " * 450)
    file_mb = os.path.getsize(model) / (1 << 20)
    row = limit_row("memory/7b", "peak memory, 7B Q4_0, context of 512 filled", [ours], "MB", round(file_mb + kv_mb + SPARE_7B_MB), digits=0)
    row.share = f"file + {kv_mb:.0f} MB of keys and values + {ours - file_mb - kv_mb:.0f} MB; {SPARE_7B_MB} MB are allowed"
    return row


def speculation(c):
    """airstrip-bench tells both rates for a text that quotes its prompt and for one that does not."""
    if "--quote" not in c.programs.alone([c.programs.path("airstrip-bench"), "-h"]):
        return [Row("speculation", "speculation on, of the same with it off", "not in this build", "≥ 2.0 and ≥ 0.98", False)]
    found = [c.programs.airstrip(c.smollm2, "-p", "16", "-n", "1", "-r", "1", "--batch", "1", "--quote") for _ in range(c.pairs)]
    rows = []
    for key, title, metric, limit in (("quote", "text that quotes its prompt", "quote", 2.0), ("other", "text that does not", "plain", 0.98)):
        values = [f[metric + "_spec_tps"] / f[metric + "_tps"] for f in found]
        row = limit_row("speculation/" + key, f"speculation on, of the same with it off: {title}", values, "×", limit, most=False, digits=2)
        row.share = f"{statistics.median(f[metric + '_spec_tps'] for f in found):.0f} tok/s"
        rows.append(row)
    return rows


EXPERIMENTS = {
    "smollm2": smollm2,
    "avx512": other_isa("avx512", 6.0),
    "avx2": other_isa("avx2", 3.0),
    "neighbour": neighbour,
    "gemma": gemma,
    "float": floats,
    "long": long_prompt,
    "turn": second_turn,
    "speculation": speculation,
    "start": start,
    "memory": memory,
    "fair": fairness,
    "overhead": overhead,
}
