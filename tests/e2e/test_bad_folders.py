"""Damaged Hugging Face folders of every family on the sanitized build: settings and tensors changed at random (but the same ones
each time).  Each is refused with a sentence, or runs; none ends the program."""
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import tempfile

from stack import TOP, in_threads, program
import tap

OWN = pathlib.Path(TOP) / "tests" / "data" / "models"
SHARED = pathlib.Path(os.environ.get("AIRSTRIP_SHARED", pathlib.Path(TOP).parent / "shared")) / "golden" / "models"
ENCODERS = pathlib.Path(TOP) / "tests" / "data" / "encoders"
FOLDERS = [f for top in (OWN, ENCODERS, SHARED) if top.is_dir() for f in sorted(top.iterdir()) if (f / "config.json").exists()]
CASES = int(os.environ.get("AIRSTRIP_DAMAGES", 6))  # of each family
VALUES = [None, True, False, 0, 1, 2, 3, 7, -1, 64, 65, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 63) - 1, 1 << 70, 0.5, -0.5, 1e-30, 1e30,
          "", "x", "gelu", [], [1], ["full_attention"] * 3, {}, {"rope_type": "yarn", "factor": 0}, {"rope_type": "longrope"}]
REQUESTS = b'{"ids":[1,2,3,4,5],"greedy":2}\n{"ids":[3]}\n'


def change_settings(rng, folder):
    """One or two keys of config.json, or of a map in it: another value, or none."""
    config = json.loads((folder / "config.json").read_text())
    said = []
    for _ in range(rng.randrange(1, 3)):
        where = config
        key = rng.choice(sorted(where))
        if isinstance(where[key], dict) and where[key]:
            where, key = where[key], rng.choice(sorted(where[key]))
        if rng.random() < 0.2:
            del where[key]
        elif isinstance(where[key], int) and rng.random() < 0.4:
            where[key] = max(0, where[key] + rng.choice([-1, 1, where[key], -where[key] // 2]))
        else:
            where[key] = rng.choice(VALUES)
        said.append(f"{key}={where.get(key, 'gone')!r}"[:60])
    (folder / "config.json").write_text(json.dumps(config))
    return ", ".join(said)


def change_header(rng, folder):
    """A tensor of one file: away, of another type, shape, place or name; or some bytes of the header."""
    path = rng.choice(sorted(folder.glob("*.safetensors")))
    data = path.read_bytes()
    n, = struct.unpack("<Q", data[:8])
    header, rest = json.loads(data[8:8 + n]), data[8 + n:]
    name = rng.choice(sorted(k for k in header if k != "__metadata__"))
    tensor = header[name]
    kind = rng.choice(["gone", "type", "shape", "place", "name", "bytes", "length", "cut"])
    if kind == "gone":
        del header[name]
    elif kind == "type":
        tensor["dtype"] = rng.choice(["F16", "BF16", "F32", "F64", "I32", "U8", "BOOL", "F8_E4M3", "Q4", 3])
    elif kind == "shape":
        tensor["shape"] = rng.choice([tensor["shape"][::-1], tensor["shape"] + [1], [], [0], [1 << 40, 1 << 40], [-1, 2],
                                      [tensor["shape"][0] * 2] + tensor["shape"][1:]])
    elif kind == "place":
        tensor["data_offsets"] = rng.choice([[0, 0], [0, 1 << 62], [8, 4], [1, tensor["data_offsets"][1]], ["a", 1], [0]])
    elif kind == "name":
        header[rng.choice([name + "x", name.replace("0", "999999999999"), name.replace(".", "..", 1), ""])] = header.pop(name)
    text = bytearray(json.dumps(header).encode())
    if kind == "bytes":
        for _ in range(4):
            text[rng.randrange(len(text))] = rng.randrange(256)
    length = rng.choice([0, 1 << 20, (1 << 64) - 1, len(text) - 1]) if kind == "length" else len(text)
    path.write_bytes(struct.pack("<Q", length) + bytes(text) + (rest[:-64] if kind == "cut" else rest))
    return f"{path.name}: {name[-40:]} {kind}"


def change_index(rng, folder):
    """Of a folder in shards: the list that says where tensors are."""
    path = folder / "model.safetensors.index.json"
    if not path.exists():
        return change_header(rng, folder)
    index = json.loads(path.read_text())
    name = rng.choice(sorted(index["weight_map"]))
    index["weight_map"][name] = rng.choice(["../x.safetensors", "", 3, sorted(index["weight_map"].values())[0], "config.json"])
    path.write_text(json.dumps(rng.choice([index, {}, [], {"weight_map": []}])))
    return f"index: {name[-40:]}"


def one(family, number, scratch):
    rng = random.Random(f"{family.name} {number}")
    folder = pathlib.Path(scratch) / f"{family.name}-{number}"
    folder.mkdir()
    for f in family.iterdir():
        if f.is_dir():
            shutil.copytree(f, folder / f.name)
        elif f.name not in ("expected.json", "tokenizer_cases.json"):
            shutil.copyfile(f, folder / f.name)
    what = [change_settings, change_header, change_settings, change_index][number % 4](rng, folder)
    run = subprocess.run([program("airstrip-probe", sanitized=True), "embed" if family.parent == ENCODERS else "logits", folder], input=REQUESTS, capture_output=True, timeout=120)
    said = run.stderr.decode(errors="replace")
    shutil.rmtree(folder)
    clean = "Sanitizer" not in said and "runtime error" not in said
    refused = run.returncode == 1 and len(said.strip()) > 20
    return what, clean and (refused or run.returncode == 0), run.returncode == 0, said


def family_cases(family, scratch):
    results = []
    for at in range(0, CASES, 2):
        results += in_threads([lambda i=i: one(family, i, scratch) for i in range(at, min(at + 2, CASES))])
    wrong = [r if isinstance(r, Exception) else (r[0], r[3][-1500:]) for r in results if isinstance(r, Exception) or not r[1]]
    ran = sum(1 for r in results if not isinstance(r, Exception) and r[2])
    tap.ok(not wrong and len(results) == CASES and ran < CASES, f"{family.name}: {CASES} damages, {CASES - ran} refused, {ran} harmless",
           *wrong[:3])


with tempfile.TemporaryDirectory() as top:
    for each in FOLDERS:
        tap.attempt(family_cases, each, top)
if not SHARED.is_dir():
    tap.skip("damaged folders of the recorded models", f"no {SHARED}")
tap.done()
