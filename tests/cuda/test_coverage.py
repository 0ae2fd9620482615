"""Each kernel of the module is run by a battery.  After them: AIRSTRIP_KERNELS is the folder of what they noted (CUDASIM_KERNELS)."""
import collections
import os
import pathlib
import sys

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent.parent)]
import tap  # noqa: E402


def main():
    launches = collections.Counter()
    notes = sorted(pathlib.Path(os.environ["AIRSTRIP_KERNELS"]).glob("*.kernels"))
    for note in notes:
        for line in note.read_text().splitlines():
            count, name = line.split()
            launches[name] += int(count)
    never = [name for name in launches if not launches[name]]
    tap.ok(len(notes) > 4 and len(launches) > 50 and not never, f"all of {len(launches)} kernels are run by {len(notes)} batteries", *never)


if "AIRSTRIP_KERNELS" in os.environ:
    tap.attempt(main)
tap.done()
