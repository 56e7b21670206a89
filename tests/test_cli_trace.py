"""Decisions and their regret through `blis run`."""

import json

import polars as pl
import pytest
from helpers_cli import LLAMA

import blis
from blis.cli.main import main

pytestmark = pytest.mark.usefixtures("compiled_engine")

RUN = ("run", *LLAMA, "--rate", "60", "--max-prompts", "150")
FOUR = (*RUN, "--num-instances", "4")
DECISIONS = ("--trace-level", "decisions")


def run(capsys, *args, code=0):
    """Stdout and stderr."""
    assert main(list(map(str, args))) == code
    return capsys.readouterr()


def test_all_outputs_tell_the_same(capsys, tmp_path):
    files = ("--trace-path", tmp_path / "t.parquet", "--results-path", tmp_path / "r.json")
    flags = ("--counterfactual-k", 2, "--regret-samples", 3, "--summarize-trace")
    out, _ = run(capsys, *FOUR, *DECISIONS, *flags, *files)
    summary = json.loads((tmp_path / "r.json").read_text())["trace_summary"]
    python = blis.simulate(
        RUN[2],
        blis.DistributionWorkload(rate=60, num_requests=150),
        cluster=blis.ClusterOptions(num_instances=4),
        trace=blis.TraceOptions(2, 3),
    )
    assert python.trace.summary == summary

    assert json.loads(out)["trace_summary"] == summary
    assert (summary["total_decisions"], summary["admitted"], summary["realised_samples"]) == (150, 150, 3)

    rows = pl.read_parquet(tmp_path / "t.parquet")
    assert rows.filter(pl.col("kind") == "routing")["regret"].mean() == pytest.approx(summary["mean_regret"])
    assert rows["realised_own_e2e_regret_us"].max() == 1000 * summary["realised_own_e2e_regret_max_ms"]


def test_the_summary_is_printed_only_if_asked_for(capsys, tmp_path):
    plain, _ = run(capsys, *FOUR)
    out, _ = run(capsys, *FOUR, *DECISIONS, "--results-path", tmp_path / "r.json")
    assert out == plain
    summary = json.loads((tmp_path / "r.json").read_text())["trace_summary"]
    assert summary["total_decisions"] == 150
    assert "realised_samples" not in summary


def test_the_same_seed_prints_the_same(capsys):
    flags = (*FOUR, *DECISIONS, "--counterfactual-k", 1, "--regret-samples", 2, "--summarize-trace")
    assert run(capsys, *flags).out == run(capsys, *flags).out


def test_one_instance_leaves_no_alternative(capsys):
    out, err = run(capsys, *RUN, *DECISIONS, "--regret-samples", 1, code=2)
    assert out == ""
    assert err == "blis: error: --regret-samples: needs num_instances of 2 at least, got 1\n"


def test_without_a_level_nothing_is_recorded(capsys, tmp_path):
    path = tmp_path / "t.parquet"
    out, err = run(capsys, *FOUR, "--summarize-trace", "--trace-path", path)
    assert "Trace Summary" not in out
    assert not path.exists()
    assert "--trace-path has no effect with --trace-level none" in err


def test_ctrl_c_among_the_samples_is_told_by_the_exit_code(capsys, monkeypatch):
    from contextlib import contextmanager

    def press(finished, total, clock_us):
        if finished > 150:
            raise KeyboardInterrupt

    @contextmanager
    def bar(flags):
        yield press

    monkeypatch.setattr("blis.cli.run.progress_bar", bar)
    out, _ = run(capsys, *FOUR, *DECISIONS, "--regret-samples", 2, "--summarize-trace", code=130)
    assert json.loads(out)["trace_summary"]["realised_samples"] == 0
    assert '"interrupted": false' in out


@pytest.mark.parametrize("samples", [0, 2])
def test_a_full_disk_does_not_cost_the_figures(capsys, tmp_path, samples):
    resource = pytest.importorskip("resource")
    flags = (*FOUR, *DECISIONS, "--summarize-trace", "--counterfactual-k", 1, "--regret-samples", samples)
    path = tmp_path / "t.parquet"
    expected, _ = run(capsys, *flags)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        out, err = run(capsys, *flags, "--trace-path", path, code=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (out, err) == (expected, f"blis: error: {path}: File too large\n")
    assert list(tmp_path.iterdir()) == []


def test_one_file_that_fails_does_not_cost_the_others(capsys, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device", "r.json")

    monkeypatch.setattr("blis.report.json_report.write_results", fail)
    monkeypatch.setattr("blis.outcomes.decisions.file.TraceFile.write", fail)
    expected, _ = run(capsys, *RUN)
    files = {f"--{name}-path": tmp_path / name for name in ("results", "outcomes", "trace")}
    out, err = run(capsys, *RUN, *DECISIONS, *sum(files.items(), ()), code=1)
    assert out == expected
    assert err == 2 * "blis: error: r.json: No space left on device\n"
    assert [path.name for path in tmp_path.iterdir()] == ["outcomes"]
    assert len(blis.Outcomes.read_parquet(tmp_path / "outcomes")) == 150
