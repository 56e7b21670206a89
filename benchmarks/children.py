"""Runs a Python process and tells what it cost: seconds, CPU seconds of all its threads, peak memory.

Linux counts the pages of the process that starts another one towards that one's peak (`vfork` shares them until
`exec`), and a benchmark session has hundreds of MB. So a small process stands in between: this file as a script.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Child:
    """What a process wrote and what it cost; 1 MB is 10**6 bytes."""

    stdout: str
    stderr: str
    wall_s: float
    cpu_s: float
    peak_mb: float


def run_python(*arguments, **environment) -> Child:
    """Run ``python ARGUMENTS`` in the checkout, with some environment variables set."""
    launcher = [sys.executable, "-I", "-S", __file__, sys.executable, *map(str, arguments)]
    variables = os.environ | {name: str(value) for name, value in environment.items()}
    done = subprocess.run(launcher, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(launcher)}: exit code {done.returncode}\n{done.stderr}")
    stdout, _, usage = done.stdout.rstrip("\n").rpartition("\n")
    return Child(stdout, done.stderr, **json.loads(usage))


def blis(*arguments, **environment) -> Child:
    """Run ``blis ARGUMENTS``."""
    return run_python("-m", "blis", *arguments, **environment)


def _launch(command):
    """Run a command, write one line about it behind its output, and return its exit code."""
    began = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    wall_s = time.perf_counter() - began
    cpu_s = usage.ru_utime + usage.ru_stime
    line = json.dumps({"wall_s": wall_s, "cpu_s": cpu_s, "peak_mb": usage.ru_maxrss * 1024 / 1e6})  # Linux: KiB
    sys.stdout.write(f"\n{line}\n")
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(_launch(sys.argv[1:]))
