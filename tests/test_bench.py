"""Golden runs: what is kept of configurations, and what is told when they give something else."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers_cli import ROUND
from helpers_outcomes import make_outcomes, served

import blis
from blis.cli.main import main
from blis.outcomes.digest import outcomes_digest
from blis.studies.bench.benching import FigureChange, RunDifference, differences
from blis.studies.bench.golden import Golden, GoldenRun, read_golden, write_golden
from blis.workload.traces.parquet import write_parquet_trace

EXAMPLES = Path(blis.__file__).parent.parent / "examples"
BASE = (
    "base: {model: m, alpha_coeffs: [100, 1, 10], beta_coeffs: [1000, 10, 1], total_kv_blocks: 1000, max_prompts: 50}\n"
)


@pytest.fixture
def bench(tmp_path, monkeypatch, capsys):
    """Writes bench.yaml, runs ``blis bench`` on it, and gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(runs, *flags):
        Path("bench.yaml").write_text(f"{BASE}runs:\n{runs}")
        code = main(["bench", "bench.yaml", *flags])
        return code, *capsys.readouterr()

    return run


def test_golden_runs_are_the_same_when_simulated_again(bench):
    code, out, err = bench("  a: {rate: 5}\n  b:\n", "--update")
    assert (code, err) == (0, "")
    first = Path("bench.golden.json").read_bytes()
    code, out, err = bench("  a: {rate: 5}\n  b:\n")
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert told["passed"] is True
    assert [(run["name"], run["status"], run["figures"]) for run in told["runs"]] == [
        ("a", "same", []),
        ("b", "same", []),
    ]
    bench("  a: {rate: 5}\n  b:\n", "--update")
    assert Path("bench.golden.json").read_bytes() == first


def test_golden_figures_are_those_of_blis_run(bench, capsys):
    bench("  a: {rate: 5}\n", "--update")
    flags = [*ROUND, "--max-prompts", "50", "--rate", "5"]
    assert main(["run", *flags]) == 0
    summary = json.loads(capsys.readouterr().out)
    figures = read_golden(Path("bench.golden.json")).runs["a"].figures
    assert figures["steady_state"] == summary.pop("steady_state")["verdict"]
    assert figures["steps"] > 0
    del summary["interrupted"], summary["anomalies"]
    assert {name: figures[name] for name in summary} == summary


def test_what_changed_is_told_and_fails(bench):
    bench("  a: {rate: 5}\n", "--update")
    code, out, err = bench("  a: {rate: 6}\n")
    (run,) = json.loads(out)["runs"]
    changed = {change["name"]: change for change in run["figures"]}
    assert code == 1
    assert run["status"] == "changed"
    assert run["settings"] == ["rate 5.0 -> 6.0"]
    each = changed["responses_per_sec"]
    assert each["percent"] == pytest.approx(100 * (each["after"] / each["before"] - 1))
    assert err.startswith(f"blis: failed: a: {len(changed)} figures changed, most of all ")
    assert bench("  a: {rate: 6}\n", "--tolerance", "1000%")[0] == 0


def test_update_tells_what_changed_and_keeps_it(bench):
    bench("  a: {rate: 5}\n", "--update")
    code, out, err = bench("  a: {rate: 6}\n", "--update")
    assert (code, err) == (0, "")
    assert json.loads(out)["runs"][0]["status"] == "changed"
    assert bench("  a: {rate: 6}\n")[0] == 0


def test_runs_that_came_or_went_fail(bench):
    bench("  a:\n  b:\n", "--update")
    code, _, err = bench("  b:\n  c:\n")
    assert code == 1
    assert err.splitlines() == ["blis: failed: c: has no golden run", "blis: failed: a: is in the golden file only"]


def test_another_content_of_a_file_is_told(bench, tmp_path):
    trace = tmp_path / "trace.parquet"
    ten = np.full(3, 10)
    write_parquet_trace(blis.RequestTable(np.arange(3) * 1000, ten, ten), trace)
    runs = "  a: {workload: traces, workload_traces_filepath: trace.parquet, max_prompts: null}\n"
    bench(runs, "--update")
    write_parquet_trace(blis.RequestTable(np.arange(3) * 2000, ten, ten), trace)
    code, out, _ = bench(runs)
    assert code == 1
    assert json.loads(out)["runs"][0]["settings"] == ["another content of trace.parquet"]


def test_markdown_names_what_failed(bench):
    bench("  a:\n", "--update")
    code, out, _ = bench("  a: {seed: 7}\n", "--output", "markdown")
    assert code == 1
    assert "| a | changed |" in out
    assert "- **Failed** a: " in out
    assert "- a: told otherwise: seed not set -> 7" in out


@pytest.mark.parametrize(
    ("runs", "flags", "message"),
    [
        ("  a:\n", (), "bench.golden.json: there are no golden runs yet; 'blis bench bench.yaml --update' makes them"),
        ("  {}\n", (), "bench.yaml: runs: must name one run at least, got none"),
        ("  a: {ratee: 1}\n", (), "bench.yaml: runs.a.ratee: unknown key; did you mean 'rate'"),
        ("  a: {rate: -1}\n", (), "bench.yaml: runs.a.rate: must be a number >= 0, got -1"),
        ("  a: {max_num_seqs: 0}\n", (), "bench.yaml: runs.a.max_num_seqs: must be in [1, 2147483648], got 0"),
        ("  a: {model: null}\n", (), "bench.yaml: runs.a.model: missing; every run needs one"),
        ("  a: {num_requests: 5}\n", (), "is the same as max_prompts, which is given, too; use one name"),
        ("  a:\nmore: 1\n", (), "bench.yaml: more: unknown key; valid: base, runs"),
        ("  a:\n", ("--tolerance", "1"), "'1' is no number of percent >= 0; valid would be 1%"),
        ("  a:\n", ("--tolerance", "-1%"), "'-1%' is no number of percent >= 0; valid would be 1%"),
        ("  a:\n", ("--golden", "bench.yaml", "--update"), "bench.yaml: given for both FILE and --golden"),
        ("  a:\n", ("--golden", "no/golden.json", "--update"), "no/golden.json: there is no directory no"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(bench, runs, flags, message):
    code, out, err = bench(runs, *flags)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert message in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "bench.golden.json: must hold one mapping, got list"),
        ('{"blis_version": "1"}', "bench.golden.json: runs: missing"),
        ('{"blis_version": "1", "runs": {"a": {}}}', "bench.golden.json: runs.a.settings: missing"),
        (
            '{"blis_version": "1", "runs": {"a": {"settings": {}, "inputs": {}, "digest": "", "figures": {"x": []}}}}',
            "bench.golden.json: runs.a.figures.x: must be a number, a text or null, got []",
        ),
    ],
)
def test_other_files_are_no_golden_runs_and_are_kept(bench, content, message):
    Path("bench.golden.json").write_text(content)
    for flags in ((), ("--update",)):
        code, _, err = bench("  a:\n", *flags)
        assert code == 2
        assert message in err
        assert Path("bench.golden.json").read_text() == content


def test_a_run_that_completes_nothing_is_no_golden_run(bench):
    code, out, err = bench("  a: {horizon: 1}\n", "--update")
    assert (code, out) == (1, "")
    assert "runs.a: completed no request, so there is nothing to compare" in err
    assert not Path("bench.golden.json").exists()


def test_a_run_that_fails_is_named_and_nothing_is_kept(bench):
    text = "import blis\n\n\n@blis.routing_policy\ndef nowhere(request, instances, state):\n    return 9\n"
    Path("mine.py").write_text(text)
    code, out, err = bench("  a:\n  b: {num_instances: 2, routing_policy: 'mine.py:nowhere'}\n", "--update")
    assert (code, out) == (1, "")
    assert "bench.yaml: runs.b: routing policy" in err
    assert not Path("bench.golden.json").exists()


def golden(figures, digest="d"):
    return Golden("1", {"a": GoldenRun({}, {}, digest, figures)})


@pytest.mark.parametrize(
    ("before", "after", "tolerance", "fails"),
    [
        ({"x": 100}, {"x": 101}, 1.0, False),
        ({"x": 100}, {"x": 99}, 1.0, False),
        ({"x": 100}, {"x": 102}, 1.0, True),
        ({"x": 100}, {"x": 101}, None, True),
        ({"x": 0}, {"x": 1}, 50.0, True),
        ({"x": None}, {"x": 1.0}, 50.0, True),
        ({"x": 1.0}, {}, 50.0, True),
        ({"steady_state": "stable"}, {"steady_state": "overloaded"}, 50.0, True),
        ({"x": -100.0}, {"x": -101.0}, 1.0, False),
    ],
)
def test_tolerance_is_of_what_a_figure_was(before, after, tolerance, fails):
    (difference,) = differences(golden(before), golden(after))
    assert (difference.failure(tolerance) is not None) == fails


@pytest.mark.parametrize(("tolerance", "fails"), [(None, True), (0.0, False)])
def test_a_digest_alone_fails_unless_there_is_a_tolerance(tolerance, fails):
    (difference,) = differences(golden({"x": 1}), golden({"x": 1}, digest="e"))
    assert difference.status == "changed"
    assert (difference.failure(tolerance) is not None) == fails


def test_the_largest_change_is_named():
    run = RunDifference("a", "changed", (FigureChange("x", 10, 11), FigureChange("y", 10, 5)))
    assert run.failure(None) == "2 figures changed, most of all y from 10 to 5 (-50.00 %)"


def test_golden_files_give_back_what_they_were_given(tmp_path):
    kept = golden({"x": 0.1 + 0.2, "n": 3, "none": None, "steady_state": "stable"})
    write_golden(tmp_path / "g.json", kept)
    assert read_golden(tmp_path / "g.json") == kept


def test_the_digest_covers_every_request_and_survives_a_file(tmp_path):
    rows = [served(0, 5_000), served(1_000, 6_000)]
    outcomes = make_outcomes(rows, gaps=[1_000], end_us=20_000)
    digest = outcomes_digest(outcomes)
    assert digest == outcomes_digest(make_outcomes(rows, gaps=[1_000], end_us=20_000))
    later = outcomes.result.finished_us + np.array([0, 1])
    assert digest != outcomes_digest(
        dataclasses.replace(outcomes, result=dataclasses.replace(outcomes.result, finished_us=later))
    )
    outcomes.write_parquet(tmp_path / "o.parquet")
    assert outcomes_digest(blis.Outcomes.read_parquet(tmp_path / "o.parquet")) == digest


def test_the_example_workflow_runs_what_there_is():
    workflow = yaml.safe_load((EXAMPLES / "ci" / "bench.yaml").read_text())
    commands = [step["run"] for step in workflow["jobs"]["bench"]["steps"] if "run" in step]
    assert commands[-1].startswith("blis bench bench.yaml --output markdown")
