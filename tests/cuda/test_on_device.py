"""tests/cuda/on-device does what it should where there is no GPU: packed, unpacked elsewhere, and run on a simulated device, as a
process that sees nothing of the build but the simulator."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

here = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(here.parent), str(here.parent / "e2e")]
import tap  # noqa: E402

build = pathlib.Path(os.environ["AIRSTRIP_PLAIN"])
MODEL = here.parent / "data" / "gguf" / "llama-Q8_0.gguf"
SMI = "#!/bin/sh\necho 'simulated sm_90, no driver, 81920 MiB'\n"


def main():
    with tempfile.TemporaryDirectory(prefix="airstrip-on-device-") as folder:
        folder = pathlib.Path(folder)
        archive = folder / "airstrip.tar.gz"
        said = subprocess.run([here / "on-device", "--pack", build, archive], capture_output=True, text=True)
        tap.equal(said.returncode, 0, "it packs", said.stdout, said.stderr)
        subprocess.run(["tar", "-C", folder, "-xzf", archive], check=True)
        unpacked = folder / "airstrip-on-device"
        carried = sorted(p.name for p in (unpacked / "lib").iterdir())
        tap.ok(any(n.startswith("libcudart") for n in carried) and any(n.startswith("libcmocka") for n in carried)
               and not any(n.startswith("libc.so") for n in carried), "libraries come along, but the C library", carried)
        for simulator in (unpacked / "lib").glob("libcudart*"):  # the one beside the build was found by LD_LIBRARY_PATH
            simulator.unlink()
        shutil.copy(build / "tests" / "cudasim" / ".libs" / "libcudart.so.13", unpacked / "lib")
        for name in ("libcublas.so.13", "libcublasLt.so.13", "libnccl.so.2"):
            os.symlink("libcudart.so.13", unpacked / "lib" / name)

        bin_folder = folder / "bin"
        bin_folder.mkdir()
        env = {"PATH": f"{bin_folder}:/usr/bin:/bin", "HOME": str(folder), "CUDASIM_DEVICES": "7"}
        p = subprocess.run([unpacked / "on-device"], env=env, capture_output=True, text=True, cwd=folder)
        tap.ok(p.returncode == 2 and "no GPU here" in p.stdout, "where nvidia-smi finds no GPU it says so", p.stdout, p.stderr)

        (bin_folder / "nvidia-smi").write_text(SMI)
        (bin_folder / "nvidia-smi").chmod(0o755)
        env |= {"ON_DEVICE_BATTERY": "test_ranks", "ON_DEVICE_BENCH": "-p 16 -n 4 -r 1 --batch 1,16 --rates"}
        p = subprocess.run([unpacked / "on-device", MODEL], env=env, capture_output=True, text=True, cwd=folder)
        tap.ok(p.returncode == 0 and p.stdout.endswith("2 passed, 0 failed\n"), "a battery and a benchmark pass", p.stdout, p.stderr)
        row = re.search(r"\| llama-Q8_0 \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.e-]+) \|", p.stdout)
        tap.ok(row and all(float(f) > 0 for f in row.groups()[:4]), "with a row of figures", p.stdout)
        tap.ok("simulated sm_90, no driver" in p.stdout and re.search(r"device +CUDA \(simulated sm_90\)", p.stdout), "of that device", p.stdout)

        env["CUDASIM_LOSE_AFTER"] = "5"
        p = subprocess.run([unpacked / "on-device", MODEL], env=env, capture_output=True, text=True, cwd=folder)
        tap.ok(p.returncode == 1 and p.stdout.endswith("0 passed, 2 failed\n") and "has failed" in p.stdout,
               "a device that is lost fails the battery and the benchmark", p.stdout, p.stderr)


tap.attempt(main)
tap.done()
