#!/usr/bin/env python3
"""Runs one program for a measurement, and says how busy the machine was just before.

    alone.py [--spin CPU] -- PROGRAM [ARGUMENT]...

Prints {"busy": share of the processors, "out": the program's standard output}.  With --spin a process that does
nothing but spin is pinned to that processor for as long as the program runs.
"""
import json
import os
import subprocess
import sys
import time

LOOK_S = 0.2


def jiffies():
    """Busy and all time of all processors, stolen time counted as busy."""
    with open("/proc/stat") as f:
        times = [int(x) for x in f.readline().split()[1:9]]
    return sum(times) - times[3] - times[4], sum(times)


def busy_share(seconds=LOOK_S):
    busy, total = jiffies()
    time.sleep(seconds)
    busy_after, total_after = jiffies()
    return (busy_after - busy) / max(1, total_after - total)


def start_spinner(cpu):
    return subprocess.Popen([sys.executable, "-c", f"import os; os.sched_setaffinity(0, [{cpu}])\nwhile True: pass"])


def main():
    split = sys.argv.index("--")
    options, command = sys.argv[1:split], sys.argv[split + 1:]
    busy = busy_share()
    spinner = start_spinner(int(options[1])) if options[:1] == ["--spin"] else None
    try:
        if spinner:
            time.sleep(0.5)
        done = subprocess.run(command, capture_output=True, text=True)
    finally:
        if spinner:
            spinner.kill()
            spinner.wait()
    if done.returncode:
        sys.exit(f"{' '.join(command)}: status {done.returncode}\n{done.stderr[-2000:]}")
    json.dump({"busy": round(busy, 3), "out": done.stdout}, sys.stdout)


if __name__ == "__main__":
    main()
