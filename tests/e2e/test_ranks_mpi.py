"""The MPI module by itself: sums of any size on any number of processes, the same bits everywhere, and waiting that costs nothing."""
import re

import launched
import tap


def sums(n, precision, *options):
    done = launched.run(n, [launched.program("tests/kernels/mpi/ranks_drill"), "sums", precision], *options)
    lines = [line for line in done.stdout.splitlines() if re.match("(not )?ok ", line)]
    bad = [line for line in lines if not line.startswith("ok ")]
    tap.ok(done.returncode == 0 and len(lines) == 31 and not bad, f"sums in {precision} on {n} ranks {' '.join(options)}",
           *bad, f"{len(lines)} of 31 lines, status {done.returncode}", done.stderr[-1500:])


def idle():
    """A follower asks for messages now and then.  Twenty percent would be a loop that spins in vain."""
    done = launched.drill(2, "idle", "4")
    spent = {int(rank): float(percent) for rank, percent in re.findall(r"rank (\d): ([\d.]+) % of a processor", done.stderr)}
    tap.ok(1 in spent and spent[1] < 20, "a rank that waits leaves its processor to others", spent, done.stderr[-1500:])


def main():
    why = launched.why_not()
    if why:
        tap.skip("ranks that are processes", why)
        return
    for n in (2, 3, 4):
        tap.attempt(sums, n, "f32")
    tap.attempt(sums, 3, "bf16")
    tap.attempt(sums, 3, "q8")
    tap.attempt(sums, 3, "f32", "--mca", "btl", "tcp,self")     # as between hosts
    tap.attempt(idle)


main()
tap.done()
