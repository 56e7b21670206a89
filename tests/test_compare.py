"""Two runs side by side, from Python and from the command line."""

import dataclasses
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from helpers_outcomes import make_outcomes, served

import blis
from blis.cli.main import main
from blis.errors import ConfigError, InputError
from blis.report.sections import Report
from blis.studies.compare.comparison import Change
from blis.studies.compare.conditions import failures, parse_condition
from blis.studies.compare.intervals import Interval
from blis.studies.compare.report import shown

EXAMPLE = Path(blis.__file__).parent.parent / "examples" / "ci" / "compare.yaml"
COUNT = 2_000


def run(extra_us=0, seed=1, count=COUNT, tokens=2):
    """A run of a system that keeps up: durations of about 5 ms, those of a seed alike, ``extra_us`` longer."""
    rng = np.random.default_rng(seed)
    arrival = np.cumsum(rng.integers(1_000, 20_000, count))
    e2e = rng.integers(2_000, 8_000, count) + extra_us
    rows = [served(int(at), int(us), tokens=tokens) for at, us in zip(arrival, e2e, strict=True)]
    return make_outcomes(rows, gaps=[1_000], end_us=int(arrival[-1]) + 20_000)


@pytest.fixture
def files(tmp_path):
    """Outcomes and results of two runs of the same trace, the second 100 µs slower."""
    paths = {}
    for name, outcomes in (("a", run()), ("b", run(100))):
        paths[name] = tmp_path / f"{name}.parquet", tmp_path / f"{name}.json"
        outcomes.write_parquet(paths[name][0])
        outcomes.write_json(paths[name][1])
    return paths


def compared(capsys, *args):
    code = main(["compare", *map(str, args)])
    out, err = capsys.readouterr()
    return code, out, err


def test_every_number_of_the_summary_is_there():
    a, b = run(), run(100)
    frame = blis.compare(a, b).frame
    numbers = [key for key, value in a.summary.items() if not isinstance(value, bool)]
    assert frame["metric"].to_list() == numbers
    assert frame["a"].to_list() == [a.summary[key] for key in numbers]
    assert frame["b"].to_list() == [b.summary[key] for key in numbers]
    row = frame.row(by_predicate=pl.col("metric") == "e2e_mean_ms", named=True)
    assert row["difference"] == pytest.approx(0.1)
    assert row["percent"] == pytest.approx(10 / a.summary["e2e_mean_ms"])


def test_the_same_trace_is_compared_request_by_request():
    """Each request takes 0.1 ms longer: pairs know that exactly, whatever the spread of the runs."""
    comparison = blis.compare(run(), run(100))
    assert comparison.num_pairs == COUNT
    for metric in ("e2e_mean_ms", "e2e_p50_ms", "e2e_p99_ms"):
        change = comparison[metric]
        assert change.interval.low == pytest.approx(change.interval.high, abs=0.02)
        assert change.interval.low - 0.001 <= 0.1 <= change.interval.high + 0.001
        assert change.significant
    assert comparison["completed_requests"].significant is None


def test_different_traces_are_independent():
    comparison = blis.compare(run(), run(100, seed=2))
    assert comparison.num_pairs is None
    assert "independent" in comparison.notes[0]
    mean = comparison["e2e_mean_ms"]
    assert mean.interval.low < 0.1 < mean.interval.high
    # two means of uniform durations 6 ms wide
    assert mean.interval.high - mean.interval.low == pytest.approx(
        2 * 1.96 * 6 / np.sqrt(12) * np.sqrt(2 / COUNT), rel=0.3
    )
    assert blis.compare(run(), run(3_000, seed=2))["e2e_p90_ms"].significant


@pytest.mark.parametrize("other", [run(count=COUNT - 1), run(tokens=3)], ids=["fewer requests", "longer outputs"])
def test_pairs_need_the_same_requests(other):
    assert blis.compare(run(), other).num_pairs is None


def test_a_run_that_was_cut_is_paired_over_what_both_finished():
    whole = run(100)
    cut = dataclasses.replace(
        whole.result, finished_us=np.where(np.arange(COUNT) < 1_900, whole.result.finished_us, -1)
    )
    comparison = blis.compare(run(), dataclasses.replace(whole, result=cut))
    assert comparison.num_pairs == COUNT
    assert comparison.notes[1] == "Only one of the runs finished 100 of them; intervals are over the others."
    assert comparison["e2e_mean_ms"].interval == pytest.approx((0.1, 0.1))


def test_a_run_equals_itself():
    comparison = blis.compare(run(), run())
    assert all(change.difference == 0 and change.percent == 0 for change in comparison.changes)
    assert not any(change.significant for change in comparison.changes)


@pytest.mark.slow
def test_hardly_ever_significant_without_a_difference():
    """Independent runs of one law: 5 % of the intervals leave zero out; 12 of 100 would be 3.2 deviations more."""
    means = [blis.compare(run(seed=2 * i), run(seed=2 * i + 1))["e2e_mean_ms"].significant for i in range(100)]
    assert sum(means) <= 12


def test_files_of_both_kinds_say_the_same(files):
    parquet = blis.compare(files["a"][0], files["b"][0])
    results = blis.compare(files["a"][1], str(files["b"][1]))
    assert parquet.frame.equals(results.frame)
    assert parquet.num_pairs == results.num_pairs == COUNT
    mixed = blis.compare(files["a"][0], json.loads(files["b"][1].read_text()))
    assert mixed.frame.equals(parquet.frame)
    assert mixed.b.name == "B"


def test_summaries_alone_have_no_intervals():
    comparison = blis.compare(run().summary, run(100))
    assert comparison["e2e_mean_ms"].difference == pytest.approx(0.1)
    assert comparison.frame["low"].null_count() == len(comparison.frame)
    assert "only the summary" in comparison.notes[0]


def test_overloaded_runs_have_no_intervals():
    arrival = np.arange(1_000) * 1_000
    slow = [served(int(at), 2_000 + int(at)) for at in arrival]
    fast = [served(int(at), 900) for at in arrival]
    comparison = blis.compare(*(make_outcomes(rows, end_us=10_000_000) for rows in (fast, slow)))
    assert comparison.b.verdict == "overloaded"
    assert comparison.frame["significant"].null_count() == len(comparison.frame)
    assert comparison.notes == ("Overloaded: B. Figures depend on how long that lasts; no intervals.",)


def test_a_change_in_percent():
    assert Change("m", 0.0, 0.0, None).percent == 0
    assert Change("m", 0.0, 1.0, None).percent is None
    assert Change("m", None, 1.0, None).difference is None
    assert Change("m", 4, 3, Interval(-2, 0)).percent == -25
    assert Change("m", 4, 3, Interval(-2, 0)).significant is False
    assert Change("m", 4, 3, Interval(-2, -1)).significant is True


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("e2e_mean_ms>+1%", True),
        ("mean_e2e>+1%", True),
        ("mean_e2e > +5 %", False),
        ("p99_e2e>+0.09ms", True),
        ("p99_e2e>+0.11ms", False),
        ("p99_e2e<+0.11ms", True),
        ("mean_e2e>0%", True),
        ("mean_e2e<-1e-3ms", False),
        ("tokens_per_sec<-3%", False),
        ("tokens_per_sec<+1/s", True),
        ("throughput>-1%", True),
        ("completed_requests<+1", True),
        ("preemption_count>+0", False),
        ("cache_hit_rate<-0.1", False),
    ],
)
def test_conditions(condition, holds):
    """The second run takes 0.1 ms longer, about 2 %."""
    failed = failures(blis.compare(run(), run(100)), [parse_condition(condition)])
    assert [failure.condition for failure in failed] == ([condition] if holds else [])


def test_from_nothing_to_something_is_more_than_any_percentage():
    a = run().summary
    comparison = blis.compare(a, a | {"preemption_count": 3})
    (failure,) = failures(comparison, [parse_condition("preemption_count>+1000%")])
    assert failure.reason.endswith("preemption_count went from 0 to 3 (+inf %)")


@pytest.mark.parametrize(
    "value", [None, math.nan, math.inf, -math.inf, 10**400], ids=["none", "nan", "inf", "-inf", "huge"]
)
@pytest.mark.parametrize("condition", ["p99_ttft>+5%", "p99_ttft<-5ms"])
def test_what_cannot_be_judged_fails(value, condition):
    a = run().summary
    for pair, name in ((a, a | {"ttft_p99_ms": value}), "B"), ((a | {"ttft_p99_ms": value}, a), "A"):
        (failure,) = failures(blis.compare(*pair), [parse_condition(condition)])
        assert failure.reason == f"{condition}: cannot be judged, ttft_p99_ms is unknown in {name}"


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("p99_tft>+5%", "unknown metric 'p99_tft'; did you mean 'p99_ttft'"),
        ("ttft_p99>+5%", "did you mean 'ttft_p99_ms'"),
        ("p99_ttft=+5%", "no metric, > or <, and change; valid would be 'p99_ttft>"),
        ("p99_ttft>5%", "the change needs a sign, got 5"),
        ("p99_ttft>+5", "the unit of ttft_p99_ms is % or ms, got ''"),
        ("p99_ttft>+5parsec", "'parsec' is no unit"),
        ("preemption_count>+5ms", "the unit of preemption_count is % or none, got 'ms'"),
        ("", "no metric"),
    ],
)
def test_wrong_conditions(condition, says, files, capsys):
    code, out, err = compared(capsys, files["a"][0], files["b"][0], "--fail-on", condition)
    assert (code, out) == (2, "")
    assert err.startswith("blis: error: --fail-on: ")
    assert says in err
    with pytest.raises(ConfigError):
        failures(blis.compare(run(), run()), [parse_condition(condition)])


@pytest.mark.parametrize("more", [["--fail-on"], []])
def test_exit_codes_and_reasons(files, capsys, more):
    paths = files["a"][0], files["b"][1]
    code, out, err = compared(capsys, *paths, "--fail-on", "mean_e2e>+50%")
    assert (code, err) == (0, "")
    assert json.loads(out)["failed"] == []
    code, out, err = compared(capsys, *paths, "--fail-on", "mean_e2e>+1%", *more, "p99_ttft>+0.01ms")
    assert code == 1
    reasons = [failure["reason"] for failure in json.loads(out)["failed"]]
    assert err.splitlines() == [f"blis: failed: {reason}" for reason in reasons]
    assert len(reasons) == 2
    assert reasons[0].startswith("mean_e2e>+1%: e2e_mean_ms went from ")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["a"], "at least two runs are needed, got 1"),
        (["a", "b", "c.parquet"], "c.parquet: No such file"),
        (["a", "b", "p99_ttft>+5%"], "'p99_ttft>+5%' is no file; conditions follow --fail-on"),
        (["a", "--baseline", "a"], "at least two runs are needed, got 1"),
        (["a", "b", "--fail-on", "goodput<-1%"], "no run has targets of SLO classes, which goodput needs; give --slo-"),
        (["a", "b", "--slo-targets", "batch:5"], "--slo-targets: no request has the SLO class 'batch'"),
    ],
)
def test_wrong_usage(files, capsys, args, says):
    paths = {name: str(path) for name, (path, _) in files.items()}
    code, out, err = compared(capsys, *(paths.get(arg, arg) for arg in args))
    assert (code, out) == (2, "")
    assert says in err
    assert len(err.splitlines()) == 1


def test_many_runs_are_compared_with_the_first():
    runs = run(), run(100), run(300), run(seed=2)
    found = blis.compare(*runs)
    assert [pair.b.label for pair in found.pairs] == ["B", "C", "D"]
    for label, other in zip("BCD", runs[1:], strict=True):
        alone = blis.compare(runs[0], other)
        assert found[label].changes == alone.changes
        assert found[label].num_pairs == alone.num_pairs
        rows = found.frame.filter(pl.col("run") == label).drop("run")
        assert rows.equals(alone.frame)
    assert found.notes == (
        f"B, C beside A: Both runs served the same {COUNT} requests: intervals are of differences per request.",
        "D beside A: The runs served different requests: intervals take them for independent.",
    )
    with pytest.raises(KeyError):
        found["E"]
    assert "A: A, B: B; " in repr(found)
    assert "e2e_mean_ms" in found._repr_html_()


def test_more_runs_than_letters():
    summary = run().summary
    labels = [pair.b.label for pair in blis.compare(*[summary] * 30).pairs]
    assert labels[23:27] == ["Y", "Z", "AA", "AB"]
    assert len(set(labels)) == 29


@pytest.mark.parametrize("baseline", ["among the others", "apart"])
def test_any_file_may_be_the_baseline(files, tmp_path, capsys, baseline):
    run(300).write_parquet(tmp_path / "c.parquet")
    a, b, c = str(files["a"][0]), str(files["b"][0]), str(tmp_path / "c.parquet")
    given = [a, b, c] if baseline == "among the others" else [a, b]
    code, out, _ = compared(capsys, *given, "--baseline", c)
    found = json.loads(out)
    assert code == 0
    assert found["a"]["name"] == c
    assert [each["b"]["name"] for each in found["comparisons"]] == [a, b]
    means = [next(row for row in each["metrics"] if row["metric"] == "e2e_mean_ms") for each in found["comparisons"]]
    assert [row["difference"] for row in means] == pytest.approx([-0.3, -0.2])


def test_each_of_many_runs_must_keep_the_conditions(files, tmp_path, capsys):
    run(300).write_parquet(tmp_path / "c.parquet")
    paths = files["a"][0], files["b"][0], tmp_path / "c.parquet"
    code, out, err = compared(capsys, *paths, "--fail-on", "mean_e2e>+0.2ms", "p99_e2e>+1%", "--output", "markdown")
    assert code == 1
    assert [line.split(": e2e_")[0] for line in err.splitlines()] == [
        "blis: failed: B: p99_e2e>+1%",
        "blis: failed: C: mean_e2e>+0.2ms",
        "blis: failed: C: p99_e2e>+1%",
    ]
    rows = [line for line in out.splitlines() if line.startswith("|")]
    assert rows[0] == "| metric | A | B | % | C | % |"
    assert {row.count("|") for row in rows} == {7}
    assert out.count("- **Failed** ") == 3


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_a_table_of_many_runs_keeps_every_figure(files, tmp_path, capsys, monkeypatch, width):
    monkeypatch.setattr("blis.report.tables._WIDTH", width)
    run(300).write_parquet(tmp_path / "c.parquet")
    paths = files["a"][0], files["b"][0], tmp_path / "c.parquet", files["b"][1], files["a"][1]
    _, out, _ = compared(capsys, *paths, "--output", "table")
    assert "…" not in out
    rows = [line.split() for line in out.splitlines() if line.startswith("e2e_mean_ms")]
    found = blis.compare(*paths)
    for pair in found.pairs:
        shown = f"{pair['e2e_mean_ms'].b:.3f}"
        assert any(shown in row for row in rows)
    assert max(map(len, out.splitlines())) <= max(width, max(len(str(path)) for path in paths) + 3)


def test_counts_that_did_not_change_are_one_line(files, capsys):
    a = run().summary
    for form in ("table", "markdown"):
        _, out, _ = compared(capsys, files["a"][0], files["b"][0], "--output", form)
        assert out.count("Unchanged: 2000 completed_requests, ") == 1
        assert not re.search(r"(rejected_requests|preemption_count)`? +[|\d]", out)
    changed = shown(blis.compare(a, a | {"preemption_count": 3, "ttft_p99_ms": 1.0}))
    assert [row[0] for row in changed.rows if row[0] == "preemption_count"] == ["preemption_count"]
    assert "preemption_count" not in changed.unchanged
    assert "_ms" not in changed.unchanged  # a latency that did not change is worth its row
    many = shown(blis.compare(a, a, a | {"preemption_count": 3}))
    assert "preemption_count" not in many.unchanged


def with_classes(share, seconds=10):
    """A run with two classes, of which these shares of requests took 5 ms, and the others 50 ms."""
    names = ["batch", "chat"] * (seconds * 50)
    rows = [
        served(place * 10_000, 5_000 if place % 100 < 100 * share[name] else 50_000) for place, name in enumerate(names)
    ]
    return make_outcomes(rows, gaps=[1_000], end_us=seconds * 1_000_000, slo_class=names)


TARGETS = {"chat": 10_000, "batch": 100_000}


def test_goodput_and_attainment():
    a, b = with_classes({"chat": 1, "batch": 1}), with_classes({"chat": 0.5, "batch": 0})
    found = blis.compare(a, b, slo_targets_us=TARGETS)
    assert (found["attainment.chat"].a, found["attainment.chat"].b) == (1, 0.5)
    assert (found["attainment.batch"].a, found["attainment.batch"].b) == (1, 1)
    assert found["attainment"].b == 0.75
    assert found["goodput_per_sec"].a == pytest.approx(100, rel=0.01)
    assert found["goodput_per_sec"].percent == pytest.approx(-25)
    for condition, holds in {
        "goodput<-20%": True,
        "goodput<-30%": False,
        "goodput<-20/s": True,
        "attainment<-0.2": True,
        "attainment.chat<-0.4": True,
        "attainment.chat<-60%": False,
        "attainment.batch<-0.01": False,
    }.items():
        assert bool(failures(found, [parse_condition(condition)])) is holds
    with pytest.raises(ConfigError, match=r"did you mean 'attainment\.chat'"):
        failures(found, [parse_condition("attainment.chatt<-1%")])


def test_results_files_know_their_targets(tmp_path):
    """As blis run --slo-targets wrote them; other targets are judged by their requests."""
    outcomes = with_classes({"chat": 0.5, "batch": 0})
    whole = Report(outcomes, slo_targets_us=TARGETS).values()
    outcomes.write_json(tmp_path / "r.json")
    entries = json.loads((tmp_path / "r.json").read_text())["requests"]
    results = whole | {"requests": entries}
    parquet = blis.compare(outcomes, outcomes, slo_targets_us=TARGETS)
    for run_ in (results, whole):
        found = blis.compare(run_, run_)
        for metric in ("goodput_per_sec", "attainment", "attainment.chat", "attainment.batch"):
            assert found[metric].a == parquet[metric].a
    other = {"batch": 10_000}
    assert (
        blis.compare(results, outcomes, slo_targets_us=other)["attainment"].a
        == blis.compare(outcomes, outcomes, slo_targets_us=other)["attainment"].a
        == 0
    )
    with pytest.raises(InputError, match="has no requests"):
        blis.compare(whole, outcomes, slo_targets_us=other)
    mixed = blis.compare(results, outcomes)
    assert mixed.notes[-1].startswith("The runs have other targets")
    (failure,) = failures(mixed, [parse_condition("goodput<-1%")])
    assert failure.reason == "goodput<-1%: cannot be judged, goodput_per_sec is unknown in B"


def test_json_is_the_frame(files, capsys):
    _, out, _ = compared(capsys, files["a"][0], files["b"][0])
    values = json.loads(out)
    frame = blis.compare(files["a"][0], files["b"][0]).frame
    assert pl.DataFrame(values["metrics"], schema=frame.schema).equals(frame)
    assert values["a"] == {"name": str(files["a"][0]), "verdict": "stable"}
    assert values["paired_requests"] == COUNT


def test_markdown_is_a_table(files, capsys):
    _, out, _ = compared(
        capsys, files["a"][0], files["b"][0], "--output", "markdown", "--fail-on", "tokens_per_sec<+1%"
    )
    rows = [line for line in out.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {7}
    changes = blis.compare(files["a"][0], files["b"][0]).changes
    assert len(rows) == 2 + sum(
        change.difference != 0 or change.metric.endswith(("_ms", "_s", "_sec")) for change in changes
    )
    assert any("`e2e_mean_ms`" in row and "†" in row for row in rows)
    assert "- **Failed** tokens_per_sec&lt;+1%: " in out


def test_a_table_for_people(files, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    _, out, _ = compared(capsys, files["a"][0], files["b"][0], "--output", "table")
    line = next(line for line in out.splitlines() if "e2e_mean_ms" in line)
    assert "+0.100" in line
    assert line.rstrip().endswith("†")
    assert "† significant" in out


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file"),
        (b"=== Simulation Metrics ===", "neither Parquet nor JSON"),
        (b"[1]", "expected an object of figures, got list"),
        (b"{}", "no summary of a run"),
        (b"PAR1", "cannot be read as Parquet"),
        (b'{"completed_requests": 1, "requests": 5}', "requests: expected a list, got int"),
        (b'{"completed_requests": 1, "requests": [{"arrived_at": 1}]}', "not those of a results file"),
    ],
)
def test_files_that_are_none_of_ours(content, says, files, tmp_path, capsys):
    path = tmp_path / "bad"
    if content is not None:
        path.write_bytes(content)
    code, out, err = compared(capsys, files["a"][0], path)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert str(path) in err
    assert says in err
    with pytest.raises(InputError):
        blis.compare(path, run())


@pytest.mark.slow
def test_the_example_workflow(tmp_path):
    """Its commands, as a shell would run them, on a change that makes the deployment worse."""
    workflow = yaml.safe_load(EXAMPLE.read_text())
    steps = workflow["jobs"]["compare"]["steps"]
    commands = [step["run"] for step in steps if step.get("run", "").startswith("blis ")]
    assert [command.split()[1] for command in commands] == ["run", "run", "compare"]
    for name, policy in (("base", "least-loaded"), ("head", "always-busiest")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy-config.yaml").write_text(f"routing:\n  policy: {policy}\n")
    summary = tmp_path / "summary.md"
    shell = f'blis() {{ "{sys.executable}" -m blis "$@"; }}\n'
    environment = os.environ | {"GITHUB_STEP_SUMMARY": str(summary)}
    codes = [
        subprocess.run(["bash", "-c", shell + command], cwd=tmp_path, env=environment, check=False).returncode
        for command in commands
    ]
    assert codes == [0, 0, 1]
    assert "**Failed** p99_ttft>+5%" in summary.read_text()
    assert "| `ttft_p99_ms` |" in summary.read_text()
