"""What nobody has is never good: no requests, none completed, no gaps, classes and targets that apply to nobody."""

import re

import pytest
from helpers_outcomes import make_outcomes, served, unserved

import blis
from blis._core.codes import RequestStatus
from blis.cli.main import main
from blis.errors import ConfigError
from blis.outcomes.metrics.fitness import fitness
from blis.outcomes.metrics.slo import attained, check_targets, slo_class_figures
from blis.report.page import Findings, Tiles
from blis.report.run_page import run_page
from blis.report.sections import Report
from blis.studies.compare.conditions import failures, parse_condition

REJECTED = [unserved(1_000 * place, RequestStatus.REJECTED) for place in range(40)]
LATE = [unserved(5_000_000, RequestStatus.NOT_ARRIVED)] * 3
MODEL = ("--model", "meta-llama/llama-3.1-8b-instruct")


def headline(outcomes, **asked):
    return Report(outcomes, **asked).tables().splitlines()[0]


def test_runs_without_an_answer_say_so_on_top():
    assert headline(make_outcomes([])) == "no request arrived: nothing was measured"
    assert headline(make_outcomes(LATE)) == "no request arrived: nothing was measured"
    assert headline(make_outcomes(REJECTED)) == "no request completed: nothing was measured"
    assert headline(make_outcomes(REJECTED, interrupted=True)).startswith("interrupted; no request completed")


def test_a_page_of_nothing_finds_nothing_good():
    page = run_page(Report(make_outcomes(LATE), slo_targets_us={"default": 5_000}))
    parts = [part for section in page.sections for part in section.parts]
    (finding,) = next(part for part in parts if isinstance(part, Findings)).findings
    assert finding.text.startswith("Nothing was served")
    tiles = {tile.name: tile.figures for tile in next(part for part in parts if isinstance(part, Tiles)).tiles}
    assert tiles["Attainment"] == [("", "-")]
    assert tiles["Goodput"] == [("requests/s", "-")]


@pytest.mark.parametrize(("rows", "attainment"), [([], None), (LATE, None), (REJECTED, 0.0), ([served(0, 900)], 1.0)])
def test_attainment_is_of_those_who_arrived(rows, attainment):
    outcomes = make_outcomes(rows)
    assert slo_class_figures(outcomes, {"default": 1_000})["default"]["attainment"] == attainment
    has_target, met = attained(outcomes, {"default": 1_000})
    assert (met.sum(), has_target.sum()) == (
        (attainment or 0) * has_target.sum(),
        0 if attainment is None else len(rows),
    )


def test_a_score_gets_no_points_for_what_nobody_has():
    found = fitness(make_outcomes(REJECTED), {"p99_ttft": 0.5, "mean_e2e": 0.5})
    assert found == {"score": 0.0, "components": {"mean_e2e": None, "p99_ttft": None}}


def test_targets_of_classes_that_nobody_has():
    outcomes = make_outcomes([served(0, 900)] * 2, slo_class=["interactive", None])
    check_targets({"interactive": 1, "default": 1}, outcomes.table.slo_class)
    with pytest.raises(ConfigError, match="no request has the SLO class 'interactiv'; did you mean 'interactive'"):
        check_targets({"interactiv": 1}, outcomes.table.slo_class)
    with pytest.raises(ConfigError, match="no request has the SLO class 'batch'; valid: default, interactive"):
        check_targets({"batch": 1}, outcomes.table.slo_class)
    with pytest.raises(ConfigError, match="'default'; valid: batch"):
        check_targets({"default": 1}, make_outcomes([served(0, 900)], slo_class=["batch"]).table.slo_class)


@pytest.mark.usefixtures("compiled_engine")
def test_the_command_line_refuses_such_targets(capsys, tmp_path):
    outcomes = tmp_path / "o.parquet"
    assert main(["run", *MODEL, "--max-prompts", "5", "--slo-targets", "nosuch:5"]) == 2
    assert "--slo-targets: no request has the SLO class 'nosuch'; valid: default" in capsys.readouterr().err
    assert main(["run", *MODEL, "--max-prompts", "5", "--outcomes-path", str(outcomes)]) == 0
    page = tmp_path / "r.html"
    assert main(["report", str(outcomes), "-o", str(page), "--slo-targets", "nosuch:5"]) == 2
    assert not page.exists()
    with pytest.raises(ConfigError, match="nosuch"):
        blis.Outcomes.read_parquet(outcomes).write_report(page, slo_targets_us={"nosuch": 5})


@pytest.mark.parametrize("condition", ["completed_requests<-1%", "preemption_count>+0", "p99_ttft>+5%", "p99_itl>+5%"])
def test_no_condition_is_fine_with_runs_that_answered_nothing(condition):
    empty, full = make_outcomes(REJECTED), make_outcomes([served(1_000 * place, 900) for place in range(40)])
    for a, b in ((empty, empty), (full, empty), (empty, full)):
        (failure,) = failures(blis.compare(a, b), [parse_condition(condition)])
        assert re.search("cannot be judged, (no request was completed|.* is unknown) in|went from", failure.reason)


def test_figures_that_nobody_has_fail_a_gate():
    """One token each: no gaps between tokens."""
    outcomes = make_outcomes([served(1_000 * place, 900) for place in range(40)])
    (failure,) = failures(blis.compare(outcomes, outcomes), [parse_condition("p99_itl>+5%")])
    assert failure.reason == "p99_itl>+5%: cannot be judged, itl_p99_ms is unknown in A and B"
