"""Work in copies of a process; each test in a process of its own, since a copy takes one of a single thread."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import polars as pl
import pytest
import yaml
from helpers_sweep import BASE

import blis
from blis.studies.processes import in_processes

GRID = {"base": BASE, "grid": {"max_num_seqs": [1, 4], "rate": [5, 10, 20]}, "replications": 2}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are copied on Linux only")


def python(code: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)


def test_all_items_are_done_once_and_by_others():
    done = python("""
        import os
        from blis.studies.processes import in_processes
        unpicklable = lambda x: (x * x, os.getpid())
        found = dict(in_processes(unpicklable, range(100), 3))
        assert [found[k][0] for k in range(100)] == [k * k for k in range(100)]
        assert os.getpid() not in {pid for _, pid in found.values()}
    """)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_raised_is_raised_here():
    done = python("""
        from blis.errors import WorkloadError
        from blis.studies.processes import in_processes
        def work(item):
            if item == 3:
                raise WorkloadError("three")
        try:
            list(in_processes(work, range(5), 2))
        except WorkloadError as error:
            print(error)
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "three\n", "")


def test_a_killed_process_is_an_error_not_a_hang():
    done = python("""
        import os, signal
        from blis.studies.processes import in_processes
        list(in_processes(lambda item: os.kill(os.getpid(), signal.SIGKILL), range(5), 2))
    """)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("blis.errors.EngineError: a process was killed;")


def test_nobody_is_left_when_the_results_are_not_wanted_any_more():
    done = python("""
        import multiprocessing, time
        from blis.studies.processes import in_processes
        results = in_processes(lambda item: time.sleep(30 * (item > 0)), range(5), 2)
        next(results)
        began = time.monotonic()
        results.close()
        assert time.monotonic() - began < 10
        assert multiprocessing.active_children() == []
    """)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_process_of_several_threads_is_not_copied():
    done = python("""
        import threading
        from blis.studies.processes import can_split
        assert can_split()
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        assert not can_split()
    """)
    assert (done.returncode, done.stderr) == (0, "")
    assert "polars" in sys.modules
    with pytest.raises(blis.ConfigError, match=r"executor: processes need Linux, and .*; threads do not"):
        next(in_processes(str, [1], 2))


def is_there(group: int) -> bool:
    """Whether any process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def sweep_command(folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "blis", "sweep", f"{folder}/s.yaml", "--output", f"{folder}/out.parquet", *more]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(GRID))
    return tmp_path


@pytest.mark.slow
def test_a_sweep_gives_the_same_bytes_whoever_does_it(folder):
    written = []
    for more in (("--executor", "threads"), ("--executor", "processes", "--jobs", "3"), ()):
        done = subprocess.run(sweep_command(folder, *more), capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["ok"] == 12
        written.append((folder / "out.parquet").read_bytes())
    assert written == written[:1] * 3


@pytest.mark.slow
def test_failures_are_rows_in_processes_too(folder):
    policy = "import blis\n@blis.routing_policy\ndef fails(request, instances, state):\n    return 99\n"
    (folder / "p.py").write_text(policy)
    base = {**GRID["base"], "routing_policy": "p.py:fails", "num_instances": 2}
    (folder / "s.yaml").write_text(yaml.safe_dump({**GRID, "base": base}))
    command = sweep_command(folder, "--executor", "processes", "--jobs", "2", "--max-failures", "100")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr
    assert pl.read_parquet(folder / "out.parquet")["status"].unique().to_list() == ["failed"]


@pytest.mark.slow
def test_ctrl_c_ends_all_processes_and_the_sweep_goes_on(folder):
    spec = {**GRID, "base": {**GRID["base"], "num_requests": 20_000}, "replications": 20}
    (folder / "s.yaml").write_text(yaml.safe_dump(spec))
    rows = folder / "out.parquet.partial" / "rows.jsonl"
    command = sweep_command(folder, "--executor", "processes", "--jobs", "2")
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while run.poll() is None and not (rows.exists() and rows.stat().st_size):
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert err.splitlines()[-1].startswith("blis: error: interrupted; finished runs are kept in ")
    assert "Traceback" not in err
    assert not is_there(run.pid)
    finished = len(rows.read_bytes().splitlines())
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{finished} of " in done.stderr


@pytest.mark.slow
def test_nobody_outlives_a_killed_sweep(folder):
    spec = {**GRID, "base": {**GRID["base"], "num_requests": 20_000}, "replications": 20}
    (folder / "s.yaml").write_text(yaml.safe_dump(spec))
    rows = folder / "out.parquet.partial" / "rows.jsonl"
    run = subprocess.Popen(sweep_command(folder, "--executor", "processes", "--jobs", "2"), start_new_session=True)
    while run.poll() is None and not (rows.exists() and rows.stat().st_size):
        time.sleep(0.01)
    run.kill()
    run.wait(timeout=60)
    ends = time.monotonic() + 10
    while is_there(run.pid) and time.monotonic() < ends:
        time.sleep(0.05)
    assert not is_there(run.pid)


@pytest.mark.slow
def test_a_plan_is_the_same_in_processes(tmp_path):
    code = """
        import json, sys
        import blis.studies.plan.planning as planning
        from blis.studies.plan.report import report
        if sys.argv[1] == "1":
            planning.can_split = lambda: False
        spec = {
            "base": {"model": "meta-llama/llama-3.1-8b-instruct", "latency_model": "roofline", "rate": 20},
            "slos": ["p99_ttft=1s"], "prices": {"H100": 4.0, "L40S": 1.0}, "num_requests": 300, "replications": 2,
            "deployments": [{"hardware": ["H100", "L40S"], "tp": [1, 2]}],
        }
        told = []
        plan = planning.plan(spec, jobs=int(sys.argv[1]), progress=told.append)
        print(json.dumps([report(plan), sorted(point.rate for point in told)]))
    """
    outputs = []
    for jobs in ("1", "2"):
        command = [sys.executable, "-c", textwrap.dedent(code), jobs]
        outputs.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert outputs[0] == outputs[1]
    assert '"choices": [{' in outputs[0]
