"""Sweeps from file to table: rows, failures, and sweeps that were ended before their last run."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
import yaml
from helpers_sweep import BASE, killing_sweep, without_killing

import blis
from blis.cli.main import main
from blis.outcomes.metrics.summary import summarize
from blis.studies.sweep.journal import Journal
from blis.studies.sweep.keys import KEYS
from blis.studies.sweep.runner import Case, Runner, StoppedError
from blis.studies.sweep.threads import in_threads
from blis.studies.sweep.work import Row

GRID = {"base": BASE, "grid": {"max_num_seqs": [1, 4], "rate": [5, 10, 20]}, "replications": 2}

#: Fails for all points of two instances.
PICKY = """
def admit(request, instances, state):
    if instances.num_instances > 1:
        raise ValueError("two are too many")
    return True
"""


def failing_sweep(folder):
    (folder / "picky.py").write_text(PICKY)
    policy = str(folder / "picky.py") + ":admit"
    return {"base": {**BASE, "admission_policy": policy}, "grid": {"num_instances": [1, 2], "rate": [5, 10]}}


def call(capsys, *args):
    code = main(["sweep", *map(str, args)])
    return code, *capsys.readouterr()


@pytest.fixture
def sweep_file(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(GRID, sort_keys=False))
    return path


def test_rows_are_what_single_runs_say():
    rows = blis.sweep(GRID, jobs=2).to_dicts()
    deployment = blis.Deployment("m", alpha_coeffs=(100, 1, 10), beta_coeffs=(1000, 10, 1), total_kv_blocks=1000)
    assert len(rows) == 12
    for index, row in enumerate(rows):
        point, replication = divmod(index, 2)
        seqs, rate = divmod(point, 3)
        outcomes = blis.simulate(
            deployment,
            blis.DistributionWorkload(rate=[5, 10, 20][rate], num_requests=20),
            engine=blis.EngineOptions(max_num_running_reqs=[1, 4][seqs]),
            seed=42 + replication,
        )
        assert (
            row.items()
            >= {
                "point": point,
                "replication": replication,
                "seed": 42 + replication,
                "max_num_seqs": [1, 4][seqs],
                "rate": [5.0, 10.0, 20.0][rate],
                "alpha_coeffs": "100.0,1.0,10.0",
                "status": "ok",
                "error": None,
            }.items()
        )
        figures = {name: value for name, value in outcomes.summary.items() if name != "interrupted"}
        assert row.items() >= figures.items()
        assert row["steady_state"] == outcomes.steady_state.verdict


def test_any_number_of_threads_gives_the_same_bytes(tmp_path):
    files = [tmp_path / f"{jobs}.parquet" for jobs in (1, 2, 5)]
    for jobs, file in zip((1, 2, 5), files, strict=True):
        blis.sweep(GRID, output=file, jobs=jobs)
    assert len({file.read_bytes() for file in files}) == 1


def test_parameters_and_figures_have_names_of_their_own():
    outcomes = blis.simulate("meta-llama/llama-3.1-8b-instruct", blis.DistributionWorkload(num_requests=1))
    assert set(summarize(outcomes)).isdisjoint({*KEYS, "point", "replication", "status", "error", "steady_state"})


def test_metadata_says_what_was_run(tmp_path):
    (tmp_path / "policy.yaml").write_text("scheduler: sjf\n")
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({**GRID, "base": {**BASE, "policy_config": "policy.yaml"}}))
    blis.sweep(tmp_path / "sweep.yaml", output=tmp_path / "out.parquet")
    metadata = json.loads(pq.read_schema(tmp_path / "out.parquet").metadata[b"blis.sweep"])
    assert metadata["blis_version"] == blis.__version__
    assert metadata["sweep"]["grid"] == GRID["grid"]
    assert set(metadata["inputs"]) == {"policy.yaml"}
    assert str(tmp_path) not in json.dumps(metadata)


def test_a_recorded_trace_is_swept(tmp_path, caplog):
    prefix = tmp_path / "recorded"
    args = ["run", "--model", "m", "--alpha-coeffs", "1,1,1", "--beta-coeffs", "1000,10,1", "--max-prompts", "9"]
    assert main([*args, "--trace-output", str(prefix)]) == 0
    base = {**BASE, "trace_header": f"{prefix}.yaml", "trace_data": f"{prefix}.csv"}
    frame = blis.sweep({"base": base, "grid": {"num_instances": [1, 2]}, "replications": 2})
    assert frame["completed_requests"].to_list() == [9] * 4
    assert "all alike" in caplog.text


@pytest.mark.filterwarnings("ignore:runs as plain Python")
def test_keys_without_effect_are_told(caplog):
    useless = {"workload": "chatbot", "prompt_tokens": 5}
    blis.sweep({**GRID, "base": {**BASE, **useless}})
    assert caplog.text.count("prompt_tokens has no effect with workload chatbot") == 1
    assert "rate has no" not in caplog.text
    caplog.clear()
    mixed = {"base": {**BASE, "prompt_tokens": 5}, "grid": {"workload": ["chatbot", "distribution"]}}
    blis.sweep(mixed)
    assert "no effect" not in caplog.text


def test_failures_are_rows(tmp_path):
    frame = blis.sweep(failing_sweep(tmp_path), max_failures=2)
    assert frame["status"].to_list() == ["ok", "ok", "failed", "failed"]
    assert all("two are too many" in error for error in frame["error"][2:])
    assert frame["completed_requests"].to_list() == [20, 20, None, None]
    assert frame["seed"].null_count() == 0


def test_too_many_failures_end_the_sweep(tmp_path, capsys):
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(failing_sweep(tmp_path), sort_keys=False))
    output = tmp_path / "out.parquet"
    code, out, err = call(capsys, tmp_path / "s.yaml", "--output", output, "--max-failures", 1)
    assert (code, out, output.exists()) == (1, "", False)
    assert "2 runs failed, max_failures is 1" in err
    # with more patience the same sweep goes on
    code, out, err = call(capsys, tmp_path / "s.yaml", "--output", output, "--max-failures", 2)
    told = {"runs": 4, "replications": 1, "ok": 2, "failed": 2, "refused": 0, "outcomes_path": str(output)}
    assert (code, json.loads(out)) == (0, told)
    assert "2 of 4 runs failed" in err
    assert output.exists()
    more = ("--max-failures", 2, "--output", "table")
    code, out, _ = call(capsys, tmp_path / "s.yaml", "--outcomes-path", output, *more)
    assert (code, out) == (0, f"4 runs (2 ok, 2 failed, 0 refused) in {output}\n")
    assert not (tmp_path / "out.parquet.partial").exists()


#: Of four points, the large model does not fit one GPU.
FITS_NOT_ALL = {
    "base": {"num_requests": 5},
    "grid": {
        "tp": [1, 8],
        "model": ["meta-llama/llama-3.1-8b-instruct", "meta-llama/llama-3.3-70b-instruct"],
    },
    "replications": 2,
}


def test_points_that_cannot_run_are_rows_with_the_reason(tmp_path, caplog):
    files = [tmp_path / f"{jobs}.parquet" for jobs in (1, 3)]
    for jobs, file in zip((1, 3), files, strict=True):
        frame = blis.sweep(FITS_NOT_ALL, output=file, jobs=jobs)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert frame["status"].to_list() == ["ok"] * 2 + ["refused"] * 2 + ["ok"] * 4
    assert frame["point"].to_list() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert frame["completed_requests"].to_list() == [5, 5, None, None, 5, 5, 5, 5]
    assert frame["seed"].to_list()[:4] == [42, 43, None, None]
    assert frame["error"][2].startswith("tp: the model does not fit 1 x H100")
    assert "1 of 4 points cannot run" in caplog.text
    assert "point 1 (num_requests 5, model meta-llama/llama-3.3-70b-instruct, tp 1)" in caplog.text


def test_a_sweep_with_refused_points_goes_on(tmp_path):
    whole, ended = tmp_path / "whole.parquet", tmp_path / "ended.parquet"
    blis.sweep(FITS_NOT_ALL, output=whole)

    def press(done, total):
        assert total == 6
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        blis.sweep(FITS_NOT_ALL, output=ended, jobs=1, progress=press)
    blis.sweep(FITS_NOT_ALL, output=ended)
    assert ended.read_bytes() == whole.read_bytes()


def test_a_dry_run_tells_what_cannot_run(tmp_path, capsys):
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(FITS_NOT_ALL))
    _, out, _ = call(capsys, tmp_path / "s.yaml", "--dry-run")
    assert [(point["error"] or "")[:26] for point in json.loads(out)["points"]].count("tp: the model does not fit") == 1
    code, out, _ = call(capsys, tmp_path / "s.yaml", "--dry-run", "--output", "table")
    lines = out.splitlines()
    assert (code, len(lines)) == (0, 5)
    assert [" cannot run: tp: the model does not fit" in line for line in lines[1:]].count(True) == 1


def test_a_sweep_of_which_nothing_can_run_is_refused(tmp_path, capsys):
    spec = {**FITS_NOT_ALL, "grid": {"tp": [1, 64], "model": ["meta-llama/llama-3.3-70b-instruct"]}}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(spec))
    code, out, err = call(capsys, tmp_path / "s.yaml", "--output", tmp_path / "out.parquet")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "s.yaml: none of the 2 points can run; point 0 (" in err
    assert "the model does not fit" in err
    assert "an all-reduce over 64 GPUs is not known" in err
    assert [path.name for path in tmp_path.iterdir()] == ["s.yaml"]


@pytest.mark.slow
def test_a_killed_sweep_goes_on(tmp_path):
    """Killed hard in another process; what it had done is not done again, and the table is that of a whole one."""
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(killing_sweep(tmp_path), sort_keys=False))
    output, rows = tmp_path / "out.parquet", tmp_path / "out.parquet.partial" / "rows.jsonl"
    args = [sys.executable, "-m", "blis", "sweep", tmp_path / "s.yaml", "--output", output, "--jobs", "2"]
    args += ["--executor", "threads"]
    done = subprocess.run(list(map(str, args)), capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    kept = rows.read_bytes()
    finished = len(kept.splitlines())
    assert 10 <= finished <= 20
    rows.write_bytes(kept + b'[99, 42, null, {"completed_req')  # as if it had been killed while writing
    done = subprocess.run(list(map(str, args)), capture_output=True, text=True, check=True)
    assert f"{finished} of 100 runs were done before" in done.stderr
    whole = tmp_path / "whole.parquet"
    blis.sweep(without_killing(tmp_path), output=whole)
    assert output.read_bytes() == whole.read_bytes()


def test_ctrl_c_keeps_what_was_done(tmp_path, sweep_file, capsys, monkeypatch):
    output, count = tmp_path / "out.parquet", 0

    def interrupted(self, row, add=Journal.add):
        nonlocal count
        count += 1
        if count == 5:
            raise KeyboardInterrupt
        add(self, row)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", interrupted)
        code, out, err = call(capsys, sweep_file, "--output", output)
    assert (code, out, output.exists()) == (130, "", False)
    assert err.splitlines() == [
        f"blis: error: interrupted; finished runs are kept in {output}.partial, the same command goes on from there"
    ]
    code, out, err = call(capsys, sweep_file, "--output", output)
    assert (code, json.loads(out)["ok"]) == (0, 12)
    assert "4 of 12 runs were done before" in err
    assert pl.read_parquet(output).equals(blis.sweep(GRID))


def test_rows_of_another_sweep_are_refused(tmp_path, capsys):
    policy, path, output = tmp_path / "p.yaml", tmp_path / "s.yaml", tmp_path / "out.parquet"
    policy.write_text("scheduler: sjf\n")
    spec = {**GRID, "base": {**BASE, "policy_config": "p.yaml"}}
    path.write_text(yaml.safe_dump(spec))

    def begin_and_kill():
        from blis.studies.sweep.sweeping import prepare_sweep

        with Journal(output, prepare_sweep(path).identity) as journal:
            journal.add(Row(0, 42, "ok", None, {"completed_requests": -1}))

    begin_and_kill()
    policy.write_text("scheduler: fcfs\n")
    code, _, err = call(capsys, path, "--output", output)
    assert code == 2
    assert "holds rows of another sweep (a file that it names changed); --restart discards them" in err
    path.write_text(yaml.safe_dump({**spec, "replications": 3}))
    assert "(the sweep file and a file that it names changed)" in call(capsys, path, "--output", output)[2]
    assert call(capsys, path, "--output", output, "--restart")[0] == 0
    assert pl.read_parquet(output)["completed_requests"].to_list() == [20] * 18


def test_comments_may_change(tmp_path, sweep_file):
    from blis.studies.sweep.sweeping import prepare_sweep

    before = prepare_sweep(sweep_file).identity
    sweep_file.write_text("# a remark\n" + sweep_file.read_text())
    assert prepare_sweep(sweep_file).identity == before


def test_a_broken_journal_is_refused(tmp_path):
    output = tmp_path / "out.parquet"
    identity = {"blis_version": "1", "sweep": {}, "inputs": {}}
    with Journal(output, identity) as journal:
        journal.add(Row(0, 42, "ok", None, {}))
    rows = tmp_path / "out.parquet.partial" / "rows.jsonl"
    rows.write_bytes(b"[1]\n" + rows.read_bytes())
    with pytest.raises(blis.InputError, match=r"rows\.jsonl: line 1: no row of a sweep; --restart begins anew"):
        Journal(output, identity)
    with Journal(output, identity, restart=True) as journal:
        assert list(journal.rows()) == []


def test_dry_run_prints_the_points(tmp_path, sweep_file, capsys):
    _, out, _ = call(capsys, sweep_file, "--dry-run")
    points = json.loads(out)["points"]
    assert (len(points), points[1]["point"], points[1]["error"]) == (6, 1, None)
    assert points[1]["settings"].items() >= {"max_num_seqs": 1, "rate": 10.0, "alpha_coeffs": [100, 1, 10]}.items()
    code, out, err = call(capsys, sweep_file, "--dry-run", "--output", "table")
    lines = out.splitlines()
    assert (code, lines[0], len(lines)) == (0, "12 runs: 6 points, 2 of each", 7)
    assert lines[2].startswith("1: max_num_seqs=1 rate=10.0 ")
    assert "s on one thread" in err
    assert list(tmp_path.iterdir()) == [sweep_file]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((), "Missing option '--output'"),
        (("--output", "json"), "Missing option '--output' or '--outcomes-path'"),
        (("--output", "x", "--outcomes-path", "y"), "--outcomes-path and --output x both name a file"),
        (("--outcomes-path", "sweep.yaml"), "given for both FILE and --outcomes-path"),
        (("--output", "nowhere/x"), "there is no directory nowhere"),
        (("--output", "x", "--jobs", "0"), "--jobs: must be at least 1, got 0"),
        (("--output", "x", "--max-failures", "-1"), "--max-failures: must be >= 0, got -1"),
        (("--output", "x", "--executor", "dusk"), "--executor: unknown name 'dusk'; did you mean 'dask'"),
        (("--output", "x", "--executor", "dask://"), "--executor: unknown name 'dask://'"),
        (("--output", "x", "--executor", "threads://h:1"), "--executor: unknown name 'threads://h:1'"),
        (("--output", "sweep.yaml"), "given for both FILE and --output"),
    ],
)
def test_wrong_usage(capsys, sweep_file, monkeypatch, args, says):
    monkeypatch.chdir(sweep_file.parent)
    code, out, err = call(capsys, "sweep.yaml", *args)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert says in err
    assert list(sweep_file.parent.iterdir()) == [sweep_file]


def test_missing_extras_are_named(monkeypatch):
    for module, extra in (("distributed", "dask"), ("ray", "ray")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(blis.ConfigError, match=rf"executor: {extra} is not installed; .*'blis-sim\[{extra}\]'"):
            blis.sweep(GRID, executor=extra)


def test_a_stopped_runner_ends_runs_under_way():
    runner = Runner()
    deployment = blis.Deployment("m", alpha_coeffs=(1, 1, 1), beta_coeffs=(1000, 10, 1), total_kv_blocks=1000)
    case = Case(deployment, blis.DistributionWorkload(rate=10, num_requests=10))
    assert runner.run(case).summary["completed_requests"] == 10
    runner.stop()
    with pytest.raises(StoppedError):
        runner.run(case)


def test_requests_are_shared_and_forgotten(monkeypatch):
    monkeypatch.setattr("blis.studies.sweep.runner._MOST_NUMBERS", 8 * 25)
    runner = Runner()
    deployment = blis.Deployment("m")
    one, two = (Case(deployment, blis.DistributionWorkload(num_requests=10), seed=seed) for seed in (1, 2))
    first = runner.requests(one)
    assert runner.requests(two) is not first
    assert runner.requests(one) is first  # 20 requests are within the limit
    for seed in (3, 4):
        runner.requests(Case(deployment, blis.DistributionWorkload(num_requests=10), seed=seed))
    assert runner.requests(one) is not first


def test_threads_yield_everything_and_stop_early():
    assert sorted(in_threads(lambda x: x * x, range(100), 3)) == [x * x for x in range(100)]
    stopped = threading.Event()
    results = in_threads(lambda x: x, iter(int, 1), 2, stopped.set)
    assert next(results) == 0
    results.close()
    assert stopped.is_set()


def test_what_work_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda x: 1 / x, [1, 0, 1], 2))


def test_the_example(tmp_path):
    example = Path(blis.__file__).parent.parent / "examples" / "sweep.yaml"
    frame = blis.sweep(example)
    assert set(frame["status"]) == {"ok"}
    assert frame["point"].n_unique() * frame["replication"].n_unique() == len(frame)


def test_runs_that_measured_nothing_are_told(caplog):
    base = {"model": "meta-llama/llama-3.1-8b-instruct", "num_requests": 5}
    spec = {"base": base, "grid": {"admission_policy": ["always-admit", "reject-all"]}}
    assert blis.sweep(spec)["completed_requests"].to_list() == [5, 0]
    assert "1 of 2 runs completed no request: nothing was measured in them" in caplog.messages
