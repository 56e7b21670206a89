"""No file, however broken, brings anything but figures or one line that says what is wrong with it."""

import resource
import sys
import time

import numpy as np
import pytest
from helpers_fuzz import targets

from blis.errors import InputError

#: How often each file is broken: in all runs, and in those with time.
FEW, MANY = 15, 570
#: No loader takes longer for so little, s of CPU time.
MOST_S = 3.0


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    return targets(tmp_path_factory.mktemp("fuzz"))


def faults(target, seed, count):
    """What a loader lets through, with the seeds that show it."""
    found = []
    for case in range(count):
        rng = np.random.default_rng([seed, case])
        target.write(target.breaks(rng, target.valid))
        began = time.process_time()
        try:
            target.read(target.path)
        except InputError as error:
            if not str(error).strip():
                found.append((case, "says nothing"))
        except Exception as error:
            found.append((case, f"{type(error).__name__}: {str(error)[:200]}"))
        if time.process_time() - began > MOST_S:
            found.append((case, f"took {time.process_time() - began:.1f} s"))
    target.write(target.valid)
    return found


def check(fuzzed, seed, count):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {name: faults(target, seed + i, count) for i, (name, target) in enumerate(fuzzed.items())}
    assert {name: some for name, some in found.items() if some} == {}
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert sys.platform != "linux" or grown_mib < 1000


def test_valid_files_are_read(fuzzed):
    for target in fuzzed.values():
        target.read(target.path)


def test_some_broken_files(fuzzed):
    check(fuzzed, 0, FEW)


@pytest.mark.slow
def test_many_broken_files(fuzzed):
    assert len(fuzzed) * MANY >= 20_000
    check(fuzzed, 1000, MANY)
