"""Sweeps that tests run."""

from pathlib import Path

#: Quick runs of round coefficients.
BASE = {
    "model": "m",
    "alpha_coeffs": [100, 1, 10],
    "beta_coeffs": [1000, 10, 1],
    "total_kv_blocks": 1000,
    "num_requests": 20,
    "rate": 10,
}

#: A policy that kills its process when the 400th request of all runs comes, unless one was killed before.
KILLER = """
import os, pathlib, signal

MARK = pathlib.Path(__file__).with_name("killed")
count = 0

def admit(request, instances, state):
    global count
    count += 1
    if count == 400 and not MARK.exists():
        MARK.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return True
"""


def killing_sweep(folder: Path):
    """100 runs; in a process of this sweep, the 20th kills it, once."""
    (folder / "killer.py").write_text(KILLER)
    base = {**BASE, "admission_policy": str(folder / "killer.py") + ":admit"}
    return {"base": base, "grid": {"rate": [2, 4, 8, 16, 32]}, "replications": 20}


def without_killing(folder: Path):
    """The same, of which no process dies."""
    (folder / "killed").touch()
    return killing_sweep(folder)
