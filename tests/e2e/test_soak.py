"""A short form of tests/bench/soak and tests/bench/load: all kinds of requests on the sanitized build, and streams held through nginx."""
import asyncio
import os
import shutil
import sys
import tempfile

from stack import TOP, Stack, wait_until
import tap

try:
    import aiohttp  # noqa: F401
except ImportError:
    tap.skip("soaking", "the Python package aiohttp is not there")
    tap.done()
sys.path.insert(0, os.path.join(TOP, "tests", "bench"))
from drive import arrive, hold  # noqa: E402
from soaking import Soak  # noqa: E402

MODEL = os.path.join(TOP, "tests", "data", "gguf", "qwen3-Q8_0.gguf")
REQUESTS = 400


def soak():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        keys, model = os.path.join(folder, "keys"), os.path.join(folder, "model.gguf")
        shutil.copy(MODEL, model)
        Soak.prepare_keys(keys, "turn0")
        options = ["--api-keys", keys, "--max-batch-size", "4", "--body-size-limit", "2MB"]
        with Stack("nginx", model=model, options=options, sanitized=True) as s:
            soaked = Soak(s, keys, model, clients=8)
            rests = soaked.run(REQUESTS, parts=2, turns=2)
            tap.equal(soaked.wrong[:5], [], f"{sum(soaked.counts.values())} requests of {len(soaked.counts)} kinds come to what they must")
            tap.ok(all(r["settled"] for r in rests), "and leave no slot, page or request behind", rests)
            tap.ok(rests[-1]["descriptors"] <= rests[1]["descriptors"] + 2, "nor descriptors", rests)
            tap.ok(s.stop_program(), "at SIGTERM it ends")
            tap.equal(s.sanitizer_reports(), "", "nothing leaks, the sanitizers find nothing")


def streams():
    with Stack("nginx", model=MODEL, options=["--max-batch-size", "64", "--max-queued-requests", "64"]) as s:
        held = asyncio.run(hold(s.url, 64, 2, 100))
        tap.ok(not held.lost and not held.refusals and held.whole >= 64, f"64 streams at a time: {held.whole} answers, all whole and right",
               held.lost[:3], held.refusals[:3])
        tap.ok(held.gaps and held.first, f"{len(held.gaps)} gaps between events were measured")
    with Stack("nginx", model=MODEL, options=["--max-batch-size", "2", "--max-queued-requests", "4"]) as s:
        flood = asyncio.run(arrive(s.url, 400, 1, 300))
        told = all(status in (429, 503) and after and 1 <= int(after) <= 120 for status, _, after, _ in flood.refusals)
        tap.ok(not flood.lost and told and flood.refusals and flood.whole >= 6,
               f"400 at once where there is room for 6: {flood.whole} answered, {len(flood.refusals)} told to come again", flood.lost[:3], flood.refusals[:3])
        tap.ok(wait_until(lambda: (s.status()["running"], s.status()["waiting"], s.status()["kv_pages_used"]) == (0, 0, 0), 30),
               "and then all is free again")


tap.attempt(soak)
tap.attempt(streams)
tap.done()
