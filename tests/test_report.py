"""What stdout and the results file say besides the rows."""

import dataclasses
import json

import numpy as np
import pytest
from helpers_outcomes import cluster_outcomes, make_outcomes, mixed_outcomes, served

from blis.outcomes.metrics.summary import WallClock
from blis.report.json_report import _decimals
from blis.report.sections import Report
from blis.simulation.result import DecisionTrace

TRACE = {
    "total_decisions": 5,
    "admitted": 4,
    "rejected": 1,
    "unique_targets": 2,
    "target_distribution": {"instance_0": 2, "instance_10": 2},
    "mean_regret": 0.25,
    "max_regret": 1.0,
}


def test_one_instance_gives_its_metrics():
    outcomes = make_outcomes([served(0, 1_000)])
    block = outcomes.summary | {"steady_state": outcomes.steady_state.figures()}
    assert Report(outcomes).values() == block | {
        "anomalies": {"priority_inversions": 0, "hol_blocking_events": 0, "rejected_requests": 0}
    }


def traced(outcomes, **changes):
    return dataclasses.replace(outcomes, trace=DecisionTrace({**TRACE, **changes}))


def test_metrics_come_first_and_then_all_parts():
    outcomes = traced(cluster_outcomes())
    report = Report(outcomes, {"throughput": 1.0, "p99_e2e": 0.5}, {"batch": 5_000}, summarize_trace=True)
    values = report.values()
    assert values["instance_id"] == "cluster"
    assert [block["instance_id"] for block in values["instances"]] == ["instance_0", "instance_1"]
    assert list(values)[: len(outcomes.summary)] == list(outcomes.summary)
    assert list(values)[len(outcomes.summary) :] == [
        *("steady_state", "instances", "slo_classes", "jain_fairness_index", "anomalies", "fitness", "trace_summary")
    ]
    # p99 of 4.024, 6.012 and 7.248 ms end to end is 6.012 + 0.98 * 1.236
    assert values["fitness"] == {
        "score": pytest.approx(0.810803, abs=1e-6),
        "components": {"p99_e2e": pytest.approx(0.121606, abs=1e-6), "throughput": 0.75},
    }
    assert values["jain_fairness_index"] == pytest.approx(0.653333, abs=1e-6)
    assert values["anomalies"] == {"priority_inversions": 0, "hol_blocking_events": 1, "rejected_requests": 1}
    assert values["trace_summary"] == TRACE
    assert report.printed() == values


def test_a_part_needs_something_to_say():
    quiet = Report(make_outcomes([served(0, 1_000)], slo_class=["batch"], tenant=["a"])).values()
    assert list(quiet)[-4:] == ["steady_state", "slo_classes", "jain_fairness_index", "anomalies"]
    assert list(quiet["slo_classes"]) == ["batch"]


def test_a_figure_that_cannot_be_computed_is_null():
    values = Report(make_outcomes([], end_us=0), {"p99_e2e": 1.0}).values()
    assert values["fitness"] == {"score": 0.0, "components": {"p99_e2e": None}}


def test_decisions_are_printed_if_asked_for_and_always_in_files():
    report = Report(traced(make_outcomes([served(0, 1_000)])))
    assert "trace_summary" not in report.printed()
    assert report.values()["trace_summary"] == TRACE
    assert report.printed() == {key: value for key, value in report.values().items() if key != "trace_summary"}


def test_only_the_block_of_the_whole_run_has_wall_clock_times():
    report = Report(cluster_outcomes(), wall_clock=WallClock("a", "b", 0.5))
    assert report.values()["simulation_duration_s"] == 0.5
    assert all("simulation_duration_s" not in block for block in report.values()["instances"])


def test_the_results_file_is_everything_plus_all_requests(tmp_path):
    for outcomes in (cluster_outcomes(), mixed_outcomes()):
        outcomes.write_json(tmp_path / "r.json")
        results = json.loads((tmp_path / "r.json").read_text())
        assert len(results.pop("requests")) == len(outcomes)
        assert results == Report(outcomes).values()
        assert list(results) == list(Report(outcomes).values())


def test_numbers_are_written_as_json_writes_them():
    draws = np.random.default_rng(1)
    numbers = np.concatenate(
        [
            [0.0, 1e-6, 9.9e-5, 1e-4, 0.001, 4.0, 123456789.0, 9.999e15, 1e16, 1e17, 5e-324],
            10.0 ** draws.uniform(-8, 20, 5_000),
            draws.integers(0, 10**9, 5_000) / 1000,
            draws.integers(0, 10**9, 5_000) / draws.integers(1, 1000, 5_000) / 1000,
        ]
    )
    assert _decimals(numbers).to_list() == [*map(json.dumps, numbers.tolist())]
    assert _decimals(np.array([-1.0, 2.5, np.nan])).to_list() == ["null", "2.5", "null"]
