"""Models on a simulated CUDA device: logits and greedy ids as recorded, and as the CPU backend has them.

Every tiny model of the recorded folders and of tests/data/models agrees with its float32 reference; one GGUF file of each
type of weights with what the CPU computes of it; SmolLM2 in float32 within 1e-3 of the CPU, and its 4-bit file within
what rounding activations to 8 bits leaves open.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

here = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(here.parent), str(here.parent / "golden")]
import tap  # noqa: E402
from probe import Probe, shared  # noqa: E402

build = pathlib.Path(os.environ["AIRSTRIP_PLAIN"])
GREEDY = 32
# Types whose products are of integers on the CPU too: float sums have another order, and now and then an activation falls
# on the other side of a rounding border.
CODES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"]
PROMPT = [1, 5, 9, 33, 2, 7, 8, 100, 44, 3, 21, 66]


def ask(device, model, isa="", **question):
    os.environ["AIRSTRIP_DEVICE"] = device
    with Probe(model, isa) as p:
        return p.ask(**question)


def check_folder(folder):
    """A Hugging Face folder with recorded values: models/NAME of the shared tree, or of tests/data."""
    record = json.loads((folder / "expected.json").read_text())
    with_ids = [p for p in record["prompts"] if len(p["ids"]) + GREEDY < 200][:1]
    worst, strays = 0, []
    os.environ["AIRSTRIP_DEVICE"] = "cuda"
    with Probe(folder) as p:
        for prompt in with_ids:
            want = prompt["greedy_ids"][:GREEDY]
            got = p.ask(ids=prompt["ids"], greedy=len(want))
            worst = max([worst] + [abs(got["logits"][i] - v) for i, v in prompt["logits_last_top"]])
            if got["greedy_ids"] != want:
                strays.append(prompt["name"])
    tap.ok(with_ids and worst <= 2e-3 and not strays,
           f"{folder.name}: logits within 2e-3 of the reference ({worst:.1e}), {GREEDY} greedy ids equal", strays)


def check_type(model, limit=2e-2):
    cpu = ask("cpu", model, "avx2" if avx2() else "scalar", ids=PROMPT, greedy=4)
    gpu = ask("cuda", model, ids=PROMPT, greedy=4)
    worst = max(abs(a - b) for a, b in zip(cpu["logits"], gpu["logits"]))
    size = max(abs(a) for a in cpu["logits"])
    tap.ok(worst <= limit * size, f"{model.name}: within {limit} of the CPU's logits ({worst / size:.1e})")


def avx2():
    return "avx2" in pathlib.Path("/proc/cpuinfo").read_text().split()


def kl(p, q):
    import numpy as np
    def log_softmax(x):
        x = np.array(x, dtype=np.float64)
        return x - x.max() - np.log(np.exp(x - x.max()).sum())
    a, b = log_softmax(p), log_softmax(q)
    return float((np.exp(a) * (a - b)).sum())


def check_real(model):
    """A prompt of 16 and 4 generated tokens of the real model."""
    ids = [1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411]
    cpu4 = ask("cpu", model, ids=ids, greedy=4)
    gpu4 = ask("cuda", model, ids=ids, greedy=4)
    with tempfile.TemporaryDirectory() as folder:
        floats = pathlib.Path(folder) / "f32.gguf"
        subprocess.run([build / "airstrip-quantize", model, floats, "F32"], check=True, capture_output=True)
        cpu = ask("cpu", floats, ids=ids, greedy=4)
        gpu = ask("cuda", floats, ids=ids, greedy=4)
    worst = max(abs(a - b) for a, b in zip(cpu["logits"], gpu["logits"])) / max(abs(a) for a in cpu["logits"])
    tap.ok(worst <= 1e-3, f"{model.name} in float32: logits within 1e-3 of the CPU's ({worst:.1e})")
    tap.equal(gpu["greedy_ids"], cpu["greedy_ids"], f"{model.name} in float32: the same 4 greedy ids")
    mine, its = kl(cpu["logits"], gpu4["logits"]), kl(cpu["logits"], cpu4["logits"])
    tap.ok(mine <= max(3 * its, 0.01), f"{model.name}: KL to float32 {mine:.4f}, the CPU's {its:.4f}")


os.environ["CUDASIM_RACES"] = "0"  # the battery looks for races
folders = sorted((shared / "models").glob("*/expected.json")) if shared.is_dir() else []
if not folders:
    tap.skip("recorded folders", f"no {shared / 'models'}")
for record in folders + sorted((here.parent / "data" / "models").glob("*/expected.json")):
    tap.attempt(check_folder, record.parent)
for kind in CODES:
    file = shared / "gguf" / "llama_256" / f"llama_256-{kind}.gguf"
    if file.exists():
        tap.attempt(check_type, file)
    else:
        tap.skip(f"llama_256 {kind}", f"no {file}")
tap.attempt(check_real, pathlib.Path(os.environ["AIRSTRIP_SMOLLM2"]))
tap.done()
