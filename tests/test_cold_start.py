"""The first runs on a machine: many at once, killed ones, without a home, with another version beside."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numba
import pytest
from test_compiled import CHECKOUT, NOTHING_SHIPPED, RUN, ask, compiled, place, run_process, source  # noqa: F401  # fixtures

from blis.files import kept

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")

#: A small function with its kept code, in a process of its own.
SMALL = """
import sys
from pathlib import Path
import numba
from blis.compiled.function import Source, compiled

def law(x):
    return x + 1

found = compiled(Source(lambda: law, "law", (Path(sys.argv[0]),), lambda: numba.types.int64(numba.types.int64)))
print(found.is_stored)
"""


def begun(folder, *more):
    """A run that finds its code in a folder, or compiles it."""
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "NUMBA_CACHE_DIR": str(folder)} | NOTHING_SHIPPED
    command = [sys.executable, "-m", "blis", *RUN, "--output", "json", *more]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_four_at_once_of_which_one_is_killed_while_it_compiles(tmp_path):
    folder = tmp_path / "kept"
    runs = [begun(folder) for _ in range(4)]
    assert "compiling the engine" in runs[0].stderr.readline()
    time.sleep(1.0)
    runs[0].kill()
    answers = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [-signal.SIGKILL, 0, 0, 0]
    assert len({out for out, _ in answers[1:]}) == 1
    assert [path.suffix for path in folder.iterdir() if path.suffix != ".code"] == []
    warm = begun(folder)
    assert warm.communicate() == (answers[1][0], "")


def test_threads_compile_once(place, source):  # noqa: F811
    made, found = [], []
    threads = [threading.Thread(target=lambda: found.append(compiled(made, source))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), [ask(law, 5) for law in found]) == (1, [8] * 6)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no process can be copied")
def test_a_copy_of_a_process_runs_what_was_loaded_before():
    code = """
import os
from blis.latency.blackbox import blackbox_model
from blis.latency.law import step_durations_us
import numpy as np
model = blackbox_model((0, 0, 0), (1000, 10, 1))
ask = lambda: step_durations_us(model, np.array([[5, 2, 0, 0, 0, 0, 0]])).tolist()
before = ask()
child = os.fork()
if child == 0:
    os._exit(0 if ask() == before else 1)
print(os.waitpid(child, 0)[1])
"""
    assert run_process(code) == "0\n"


def test_a_copy_does_not_wait_for_threads_that_it_lacks():
    code = """
import os, sys, threading, time
import numba
from blis.compiled.function import Source, compiled

def slowly():
    begun.set()
    time.sleep(1.0)
    return lambda x: x

begun = threading.Event()
kind = lambda: numba.types.int64(numba.types.int64)
thread = threading.Thread(target=compiled, args=(Source(slowly, "slow", (), kind),))
thread.start()
begun.wait()
child = os.fork()
if child == 0:
    compiled(Source(lambda: lambda x: x + 1, "quick", (), kind))
    os._exit(0)
for _ in range(300):
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended:
        break
    time.sleep(0.1)
else:
    os.kill(child, 9)
thread.join()
print(ended == child, status)
"""
    assert run_process(code) == "True 0\n"


@pytest.mark.slow
def test_two_versions_share_a_folder(tmp_path):
    """Each finds its own code, and leaves the other's alone."""
    other = tmp_path / "other"
    shutil.copytree(CHECKOUT / "blis", other / "blis", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "small.py").write_text(SMALL)
    said = []
    for checkout in (CHECKOUT, other) * 2:
        environment = os.environ | {"PYTHONPATH": str(checkout), "NUMBA_CACHE_DIR": str(tmp_path / "kept")}
        command = [sys.executable, tmp_path / "small.py"]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
        said.append(done.stdout.strip())
    assert said == ["False", "False", "True", "True"]
    assert len(list((tmp_path / "kept").iterdir())) == 2


@pytest.mark.parametrize("foreign", ["folder", "link to nowhere", "file of others"])
def test_what_others_put_in_the_place_of_a_file(place, source, foreign):  # noqa: F811
    compiled([], source)
    (path,) = place.iterdir()
    path.unlink()
    if foreign == "folder":
        path.mkdir()
    elif foreign == "link to nowhere":
        path.symlink_to(place / "gone" / "a")
    else:
        path.write_bytes(os.urandom(100_000))
    assert ask(compiled([], source), 5) == 8
    assert not list(place.glob(".*"))


def test_without_a_home_there_is_one_place_less(monkeypatch, tmp_path):
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.setattr(kept, "_PACKAGE", tmp_path / "file" / "package")
    (tmp_path / "file").touch()
    kept.write("a", b"1", b"data")
    assert kept.read("a", b"1") is None


def test_a_home_that_takes_nothing(monkeypatch, tmp_path):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(kept, "_PACKAGE", tmp_path / "file" / "package")
    kept.write("a", b"1", b"data")
    assert kept.read("a", b"1") is None
    assert (tmp_path / "file").read_bytes() == b""
