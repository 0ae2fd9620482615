"""Rows of the table: what was found, what is asked for, and how both are written."""
import statistics
from dataclasses import asdict, dataclass, field

from programs import spread


@dataclass
class Row:
    key: str
    title: str
    airstrip: str
    target: str
    met: bool
    llama_cpp: str = ""
    ratio: dict = field(default_factory=dict)  # median, min, max; empty without a peer
    share: str = ""
    samples: dict = field(default_factory=dict)  # every value that the row was made of

    def cells(self):
        ratio = "{median:.2f} ({min:.2f}, {max:.2f})".format(**self.ratio) if self.ratio else "–"
        return [self.title, self.airstrip, self.llama_cpp or "–", ratio, self.share or "–", self.target,
                "yes" if self.met else "**no**", f"`--rows {self.key.split('/')[0]}`"]

    def as_json(self):
        return asdict(self)


HEAD = ["row", "Airstrip", "llama.cpp", "ratio (lowest, highest)", "share of the limit", "target", "met", "command"]


def markdown(rows):
    lines = [HEAD, ["---"] * len(HEAD)] + [Row(**row).cells() for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def median_of(found, key):
    values = [f[key] for f in found if f.get(key) is not None]
    return statistics.median(values) if values else None


def prompt_share(found):
    """Of each peak rate that the instruction set has and that this model's weights could use."""
    names = ("bf16", "float32") if found[0]["quantisation"] in ("F16", "BF16", "F32") else ("int8", "bf16")
    parts = [(name, median_of(found, f"prompt_{name}_share")) for name in names]
    return ", ".join(f"{name} {share:.0%}" for name, share in parts if share is not None)


def read_share(found, prefix):
    share = median_of(found, prefix + "_read_share")
    return "" if share is None else f"read {share:.0%} of {median_of(found, 'read_gbps'):.0f} GB/s"


def rate_row(key, title, metric, found, target, share="", least_share=None):
    """found: (ours, theirs), lists of results that have `metric` in tokens/s."""
    ours, theirs = ([f[metric] for f in side] for side in found)
    ratio = spread([o / t for o, t in zip(ours, theirs)])
    met = ratio["median"] >= target
    text = f"≥ {target}"
    if least_share is not None:
        name, value, least = least_share
        met = met and value is not None and value >= least
        text += f" and ≥ {least:.0%} of {name}"
    return Row(key, title, f"{statistics.median(ours):.0f} tok/s", text, met, f"{statistics.median(theirs):.0f} tok/s", ratio, share,
               {"airstrip": ours, "llama_cpp": theirs})


def limit_row(key, title, values, unit, limit, most=True, llama=(), digits=1, note=""):
    """One of our own figures against a limit; llama: the peer's values, to be told only."""
    value = statistics.median(values)
    met = value <= limit if most else value >= limit
    return Row(key, title, f"{value:.{digits}f} {unit}".strip(), f"{'≤' if most else '≥'} {limit} {unit}".strip(), met,
               f"{statistics.median(llama):.{digits}f} {unit}".strip() if llama else "", {}, note,
               {"airstrip": list(values), "llama_cpp": list(llama)})
