"""Processes started by MPI's launcher, or the reason why there can be none."""
import os
import shutil
import signal
import subprocess

from program import Program
from stack import alive, program, wait_until

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
    return {**os.environ, **ENVIRONMENT, "AIRSTRIP_MPI_MODULE": module(), **more}


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


class Launched(Program):
    """airstrip on n ranks; options for every rank, `launch` for mpirun.  Its pids are those of the ranks, in their order."""

    def __init__(self, n, *options, launch=(), env=None, **more):
        self.n = n
        super().__init__(*options, prefix=[*LAUNCH, *launch, "-n", str(n)], env=dict(environment(), **(env or {})), start_new_session=True, **more)

    @property
    def pids(self):
        found = {}
        for line in self.log_lines("ranks"):
            words = dict(w.split("=", 1) for w in line.split() if "=" in w)
            if "pid" in words:
                found[int(words["rank"])] = int(words["pid"])
        return [found.get(i) for i in range(self.n)]

    def rank_gone(self, rank, seconds=60):
        return wait_until(lambda: not alive(self.pids[rank]), seconds)

    def __exit__(self, *exc):
        for pid in self.pids:       # one that was frozen ends, too
            if pid and alive(pid):
                os.kill(pid, signal.SIGCONT)
        super().__exit__(*exc)
        for pid in self.pids:
            if pid and alive(pid):
                os.kill(pid, signal.SIGKILL)
