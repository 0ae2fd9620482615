"""Processes started by MPI's launcher, or the reason why there can be none."""
import os
import shutil
import signal
import subprocess

from stack import program

# Debian's mpirun does not start as root, nor more processes than processors, unless it is told to.
LAUNCH = ["mpirun", "--oversubscribe", "--bind-to", "none"]
ENVIRONMENT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
               "OMPI_MCA_plm_rsh_agent": "sh"}      # no ssh is needed where all is on one host


def module():
    return os.path.join(os.environ["AIRSTRIP_PLAIN"], "kernels", "mpi", ".libs", "airstrip_mpi.so")


def why_not():
    """None where ranks can be started, else the reason."""
    if not shutil.which("mpirun"):
        return "no mpirun: Debian's package openmpi-bin"
    if not os.path.exists(module()):
        return "built without MPI: Debian's package libopenmpi-dev"
    done = run(1, ["true"])
    return f"mpirun starts nothing here: {done.stderr.strip()[-200:]}" if done.returncode else None


def environment(**more):
    return dict(os.environ, **ENVIRONMENT, AIRSTRIP_MPI_MODULE=module(), **more)


def run(n, command, *options, timeout=300, **env):
    """A launch that ends by itself."""
    launch = [*LAUNCH, *options, "-n", str(n), *command]
    with subprocess.Popen(launch, env=environment(**env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, start_new_session=True) as p:
        try:
            out, err = p.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            out, err = p.communicate()
            err += f"\nnot over after {timeout} s"
    return subprocess.CompletedProcess(launch, p.returncode, out, err)


def drill(n, *arguments, **more):
    return run(n, [program("tests/kernels/mpi/ranks_drill"), *arguments], **more)
