"""airstrip-probe dequant against recorded values, and against gguf-py on random blocks."""
import os
import pathlib
import struct
import subprocess
import sys

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent))
import tap  # noqa: E402

probe = pathlib.Path(os.environ.get("AIRSTRIP_PLAIN", ".")).resolve() / "airstrip-probe"
data = here.parent / "data" / "dequant"
shared = pathlib.Path(os.environ.get("AIRSTRIP_SHARED", here.parents[2] / "shared")) / "golden" / "dequant"

ANY = None  # every pattern of bits is finite, or made so in against_gguf_py()

# name: (bytes of a block, values of a block, offsets in it of the f16 scales and minima)
TYPES = {
    "F32": (4, 1, []),
    "F16": (2, 1, []),
    "BF16": (2, 1, []),
    "Q4_0": (18, 32, [0]),
    "Q4_1": (20, 32, [0, 2]),
    "Q5_0": (22, 32, [0]),
    "Q5_1": (24, 32, [0, 2]),
    "Q8_0": (34, 32, [0]),
    "Q4_K": (144, 256, [0, 2]),
    "Q5_K": (176, 256, [0, 2]),
    "Q6_K": (210, 256, [208]),
    "Q2_K": (84, 256, [80, 82]),
    "Q3_K": (110, 256, [108]),
    "IQ2_XXS": (66, 256, [0]),
    "IQ2_XS": (74, 256, [0]),
    "IQ3_XXS": (98, 256, [0]),
    "IQ1_S": (50, 256, [0]),
    "IQ4_NL": (18, 32, [0]),
    "IQ3_S": (110, 256, [0]),
    "IQ2_S": (82, 256, [0]),
    "IQ4_XS": (136, 256, [0]),
    "IQ1_M": (56, 256, ANY),
    "TQ1_0": (54, 256, [52]),
    "TQ2_0": (66, 256, [64]),
    "MXFP4": (17, 32, ANY),
    "NVFP4": (36, 64, ANY),
    "Q1_0": (18, 128, [0]),
    "Q2_0": (18, 64, [0]),
}


def dequant(*arguments, blocks=b""):
    return subprocess.run([probe, "dequant", *arguments], input=blocks, capture_output=True, timeout=60)


def first_difference(found, expected):
    if len(found) != len(expected):
        return f"{len(found)} bytes, expected {len(expected)}"
    for i in range(0, len(found), 4):
        if found[i:i + 4] != expected[i:i + 4]:
            f, e = (struct.unpack("<f", x[i:i + 4])[0] for x in (found, expected))
            return f"value {i // 4} is {f!r}, expected {e!r}"
    return "equal"


def same(found, expected, name):
    tap.ok(found == expected, name, *([] if found == expected else [first_difference(found, expected)]))


def recorded():
    for name in TYPES:
        if name == "F32":  # its blocks are its values
            blocks = expected = (data / "Q8_0.f32").read_bytes()
        else:
            blocks, expected = ((data / f"{name}.{ext}").read_bytes() for ext in ("bin", "f32"))
        same(dequant(name, blocks=blocks).stdout, expected, f"{name}: recorded blocks")
        same(dequant(name.lower(), blocks=blocks * 70).stdout, expected * 70, f"{name}: many chunks, lower case")
        if not shared.is_dir() or name == "F32":
            continue
        whole = (shared / f"{name}.f32").read_bytes()
        same(expected, whole[:len(expected)], f"{name}: our copy of the values")
        same(dequant(name, blocks=(shared / f"{name}.bin").read_bytes()).stdout, whole, f"{name}: all recorded blocks")


def edges():
    for name, (block, _, _) in TYPES.items():
        r = dequant(name)
        tap.ok(r.returncode == 0 and r.stdout == b"", f"{name}: nothing in, nothing out")
        for extra in {1, block - 1}:
            r = dequant(name, blocks=bytes(3 * block + extra))
            tap.ok(r.returncode == 1 and str(3 * block + extra).encode() in r.stderr and r.stderr.count(b"\n") == 1,
                   f"{name}: {extra} bytes of a fourth block are an error with a sentence", r)
    for arguments in [], ["Q9_9"], [""], ["Q4_0", "Q4_0"]:
        r = dequant(*arguments)
        tap.ok(r.returncode == 2 and r.stderr, f"arguments {arguments} are refused", r)


def against_gguf_py():
    try:
        import gguf
        import numpy as np
    except ImportError as e:
        tap.skip("random blocks against gguf-py", str(e))
        return
    rng = np.random.default_rng(1)
    for name, (block, values, scales) in TYPES.items():
        raw = rng.integers(0, 256, (500, block), dtype=np.uint8)
        if name in ("Q1_0", "Q2_0"):
            continue  # gguf-py does not know them
        if name == "IQ1_M":  # its half lies in the upper nibbles of four numbers, exponent bits in the last
            raw[:, 55] &= rng.choice(np.array([0xBF, 0xEF], np.uint8), 500)
        if name == "MXFP4":
            raw[:, 0] = np.minimum(raw[:, 0], 250)
        for at in scales or []:  # any half that is finite: a cleared exponent bit makes it so
            raw[:, at + 1] &= rng.choice(np.array([0xBF, 0xFB, 0xEF], np.uint8), 500)
        if scales == []:  # NaNs have no one bit pattern: leave none
            width = np.dtype(np.uint32 if name == "F32" else np.uint16)
            raw = raw.view(width) & width.type((0xBFFFFFFF if name == "F32" else 0xBFFF))
            raw = raw.view(np.uint8)
        expected = gguf.quants.dequantize(raw, gguf.GGMLQuantizationType[name]).astype("<f4")
        assert expected.size == 500 * values and np.isfinite(expected).all()
        same(dequant(name, blocks=raw.tobytes()).stdout, expected.tobytes(), f"{name}: 500 random blocks as gguf-py")


tap.attempt(recorded)
tap.attempt(edges)
tap.attempt(against_gguf_py)
tap.done()
