"""The programs that are compared: how they are called, and what of their output counts."""
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
QUIET_BELOW = 0.15  # share of the processors that others may keep busy


class Programs:
    """Airstrip's build, llama.cpp's builds, and how each of their programs is started."""

    def __init__(self, build, peers, threads, under=()):
        self.build, self.peers, self.threads, self.under = build, peers, threads, list(under)
        self.busiest = 0.0

    def alone(self, command, spin=None):
        """Standard output of a program; tells when the machine was not quiet before it ran."""
        options = [] if spin is None else ["--spin", str(spin)]
        done = subprocess.run(self.under + [sys.executable, os.path.join(HERE, "alone.py")] + options + ["--"] + command,
                              capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip() or f"{command[0]}: status {done.returncode}")
        result = json.loads(done.stdout)
        self.busiest = max(self.busiest, result["busy"])
        if result["busy"] > QUIET_BELOW:
            print(f"compare: others kept {result['busy']:.0%} of the machine busy", file=sys.stderr)
        return result["out"]

    def path(self, name):
        return os.path.join(self.build, name)

    def peer(self, name, isa="best"):
        """A program of llama.cpp's build for an instruction set: in a folder build-*-ISA, or PEERS itself."""
        for folder in sorted(os.listdir(self.peers), reverse=True):
            path = os.path.join(self.peers, folder, "bin", name)
            if folder.endswith("-" + isa) and os.path.exists(path):
                return path
        path = os.path.join(self.peers, name)
        if isa == "best" and os.path.exists(path):
            return path
        raise FileNotFoundError(f"{self.peers} has no build-*-{isa}/bin/{name}")

    def airstrip(self, model, *options, isa=None, spin=None):
        """airstrip-bench's JSON."""
        command = [self.path("airstrip-bench"), "-m", model, "-t", str(self.threads), "-o", "json", *options]
        return json.loads(self.alone(command + (["--isa", isa] if isa else []), spin))

    def llama_bench(self, model, *options, isa="best", spin=None):
        """Rates by their names in airstrip-bench's JSON."""
        command = [self.peer("llama-bench", isa), "-m", model, "-t", str(self.threads), "-r", "1", "-o", "json", *options]
        found = {}
        for row in json.loads(self.alone(command, spin)):
            found["prompt_tps" if row["n_prompt"] else "gen_tps"] = row["avg_ts"]
        return found

    def llama_batched(self, model, sizes):
        """Prompts of 128 tokens, then 64 tokens of each sequence."""
        command = [self.peer("llama-batched-bench"), "-m", model, "-c", "8192", "-npp", "128", "-ntg", "64", "-npl", sizes,
                   "-t", str(self.threads), "--output-format", "jsonl"]
        rows = [json.loads(line) for line in self.alone(command).splitlines() if line.startswith("{")]
        return {f"batch{row['pl']}_tps": row["speed_tg"] for row in rows}


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def pairs(count, ours, theirs):
    """A B A B ...: lists of both programs' results."""
    a, b = [], []
    for _ in range(count):
        a.append(ours())
        b.append(theirs())
    return a, b
