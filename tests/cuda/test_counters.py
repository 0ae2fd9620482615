"""What can be known of speed without a device: how few sectors of memory the kernels touch, and how seldom banks collide."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

here = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(here.parent)]
import tap  # noqa: E402

build = pathlib.Path(os.environ["AIRSTRIP_PLAIN"])
SECTORS = 1.1  # touched by a warp, of those that its bytes fill
PASSES = 1.1   # of shared memory, for an access


def count(battery, tests):
    """{kernel: (sectors/ideal, passes/access)} of what these tests launch."""
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "counters")
        subprocess.run([build / "tests" / "kernels" / "cpu" / battery], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       env={**os.environ, "CUDASIM_COUNTERS": file, "CUDASIM_RACES": "0", "AIRSTRIP_TEST_BRIEF": "1", "AIRSTRIP_TEST_FILTER": tests})
        found = {}
        for line in open(file).read().splitlines()[2:]:
            name, *_, sectors, passes = line.split()
            found[name] = (float(sectors), float(passes))
        return found


def products():
    """Of generated rows: each weight is read once, and so is what it is multiplied by."""
    found = count("test_matmul", "whole_tiles, cuda")
    for word, kernel in (("few_kernel", "integer codes"), ("floats_kernel", "floats")):
        mine = {k: v for k, v in found.items() if word in k}
        bad = {k: v for k, v in mine.items() if v[0] > SECTORS}
        worst = max(v[0] for v in mine.values())
        tap.ok(mine and not bad, f"products of {kernel}, {len(mine)} kernels: at most {worst} sectors for each that is needed", bad)
    bad = {k: v for k, v in found.items() if v[1] > PASSES}
    tap.ok(not bad, f"shared memory of products: banks collide in fewer than {PASSES - 1:.0%} of accesses", bad)


tap.attempt(products)
tap.done()
