"""airstrip-probe logits as a Python object: one process a model, one JSON line a question."""
import json
import os
import pathlib
import shlex
import struct
import subprocess

here = pathlib.Path(__file__).resolve().parent
program = pathlib.Path(os.environ.get("AIRSTRIP_PLAIN", ".")).resolve() / "airstrip-probe"
# What runs a program that was built for another processor, where it was: tests/cross/emulate and its first argument.
emulator = shlex.split(os.environ.get("AIRSTRIP_EMULATE", ""))
shared = pathlib.Path(os.environ.get("AIRSTRIP_SHARED", here.parents[2] / "shared")) / "golden"


class Refused(Exception):
    """The probe did not open the model; the text is what it said."""


class Probe:
    def __init__(self, model, isa=""):
        self.process = subprocess.Popen([*emulator, program, "logits", str(model)], stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env={**os.environ, "AIRSTRIP_ISA": isa})

    def ask(self, **question):
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self.process.stdout.readline()
        if not line:
            raise Refused(self.process.stderr.read().strip())
        return json.loads(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.process.stdin.close()
        except BrokenPipeError:  # it refused the model, and the question is still unsent
            pass
        self.process.stdout.close()
        self.process.stderr.close()
        self.process.wait()


def distance(model, prompts, isa=""):
    """How far logits of the last position are from the recorded ones at worst, and the prompts with other greedy ids."""
    worst, strays = 0, []
    with Probe(model, isa) as p:
        for prompt in prompts:
            got = p.ask(ids=prompt["ids"], greedy=len(prompt["greedy_ids"]))
            worst = max([worst] + [abs(got["logits"][i] - v) for i, v in prompt["logits_last_top"]])
            worst = max(worst, abs(sum(got["logits"]) - prompt["logits_sum"]) / len(got["logits"]))
            if got["greedy_ids"] != prompt["greedy_ids"]:
                strays.append(prompt["name"])
    return worst, strays


def read_tensors(path):
    """A safetensors file's tensors: name to type, shape, bytes."""
    data = path.read_bytes()
    n, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + n])
    header.pop("__metadata__", None)
    return {k: (v["dtype"], v["shape"], data[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]])
            for k, v in header.items()}


def isas():
    """Instruction sets to force; scalar runs everywhere, the others where the processor says so."""
    flags = set()
    try:
        for line in open("/proc/cpuinfo"):
            if line.startswith("flags"):
                flags = set(line.split())
    except OSError:
        pass
    found = ["scalar"]
    if {"avx2", "fma", "f16c"} <= flags:
        found.append("avx2")
        if "avx_vnni" in flags:
            found.append("avxvnni")
    if {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"} <= flags:
        found.append("avx512")
        if "avx512_bf16" in flags:
            found.append("avx512bf16")
            if {"amx_tile", "amx_int8", "amx_bf16"} <= flags:
                found.append("amx")
    return found


def lines(command, model, requests):
    """One answer for each request.  Characters are not escaped: json-c takes some pairs of surrogates (U+5D969) for U+FFFD."""
    text = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in requests)
    run = subprocess.run([program, command, model], input=text.encode(), capture_output=True, timeout=300)
    if run.returncode != 0:
        raise Refused(run.stderr.decode())
    return [json.loads(line) for line in run.stdout.decode().splitlines()]
