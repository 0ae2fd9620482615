"""Where a GPU is asked for and there is none: what `device = auto` and `device = cuda` say, and what they cost."""
import os
import pathlib
import subprocess
import sys
import tempfile

here = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(here.parent)]
import tap  # noqa: E402

build = pathlib.Path(os.environ["AIRSTRIP_PLAIN"])
model = here.parent / "data" / "gguf" / "llama-Q8_0.gguf"
module = build / "kernels" / "cuda" / ".libs" / "airstrip_cuda.so"
simulator = build / "tests" / "cudasim" / ".libs"


def check(device, **env):
    """airstrip --check: its exit status and all that it said."""
    clean = {k: v for k, v in os.environ.items() if k not in ("LD_LIBRARY_PATH", "AIRSTRIP_CUDA_MODULE")}
    p = subprocess.run([build / "airstrip", "--check", "--config", "/dev/null", "--model", model, "--device", device],
                       env={**clean, **env}, capture_output=True, text=True)
    return p.returncode, p.stdout + p.stderr


def refused(name, word, **env):
    status, said = check("cuda", **env)
    tap.ok(status != 0 and word in said, f"device cuda, {name}: refused, and says '{word}'", said)
    status, said = check("auto", **env)
    tap.ok(status == 0 and word in said and "device=cpu" in said, f"device auto, {name}: the CPU, because '{word}'", said)


def with_files():
    sim = {"AIRSTRIP_CUDA_MODULE": str(module), "LD_LIBRARY_PATH": str(simulator)}
    refused("without the module", "/nowhere.so", AIRSTRIP_CUDA_MODULE="/nowhere.so")
    refused("without a device", "there is no CUDA device", CUDASIM_DEVICES="0", **sim)
    with tempfile.TemporaryDirectory() as folder:
        other = pathlib.Path(folder) / "other.so"
        source = pathlib.Path(folder) / "other.c"
        source.write_text("const struct { int abi; } airstrip_cuda = { 0 };\n")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", other, source], check=True)
        refused("with a module of another version", "another version", AIRSTRIP_CUDA_MODULE=str(other))
    status, said = check("auto", **sim)
    tap.ok(status == 0 and "device=cuda" in said, "device auto with a device: cuda", said)
    status, said = check("cuda", **sim)
    tap.equal(status, 0, "device cuda with a device", said)
    status, said = check("cuda", CUDASIM_MEM_MB="1", **sim)
    tap.equal(status, 0, "--check uploads nothing", said)


def real_libraries():
    """The CUDA runtime itself, where no driver is installed."""
    if pathlib.Path("/dev/nvidiactl").exists():
        tap.skip("the real libraries without a driver", "there is a driver")
        return
    refused("with the real libraries and no driver", "driver", AIRSTRIP_CUDA_MODULE=str(module))


def cost():
    """Five milliseconds and five megabytes are for looking at the module; memory is what can be judged anywhere."""
    tiny = {k: v for k, v in os.environ.items() if k not in ("LD_LIBRARY_PATH", "AIRSTRIP_CUDA_MODULE")}
    sizes = []
    for path in ("/nowhere.so", str(module)):
        p = subprocess.Popen([build / "airstrip", "--check", "--config", "/dev/null", "--model", model, "--device", "auto"],
                             env={**tiny, "AIRSTRIP_CUDA_MODULE": path}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        sizes.append(os.wait4(p.pid, 0)[2].ru_maxrss)
    tap.ok(sizes[1] - sizes[0] <= 5 * 1024, f"a module that finds no device costs at most 5 MB ({sizes[1] - sizes[0]} kB)")


tap.attempt(with_files)
tap.attempt(real_libraries)
tap.attempt(cost)
tap.done()
