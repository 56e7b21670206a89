"""What stdout and the results file say besides the rows."""

import dataclasses
import json
import re

import numpy as np
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


def sections(text):
    """(title, body) in order."""
    parts = re.split(r"^=== (.*) ===\n", text, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def test_one_instance_prints_one_block():
    outcomes = make_outcomes([served(0, 1_000)])
    text = Report(outcomes).text()
    block = outcomes.summary | {"steady_state": outcomes.steady_state.figures()}
    assert text == "=== Simulation Metrics ===\n" + json.dumps(block, indent=2)
    assert Report(outcomes).values() == block | {
        "anomalies": {"priority_inversions": 0, "hol_blocking_events": 0, "rejected_requests": 0}
    }


def traced(outcomes, **changes):
    return dataclasses.replace(outcomes, trace=DecisionTrace({**TRACE, **changes}))


def test_all_sections_in_order():
    traced_outcomes = traced(cluster_outcomes())
    report = Report(traced_outcomes, {"throughput": 1.0, "p99_e2e": 0.5}, {"batch": 5_000}, summarize_trace=True)
    found = sections(report.text())
    assert [title for title, _ in found] == [
        *["Simulation Metrics"] * 3,
        "SLO Class Metrics",
        "Fairness",
        "Fitness Evaluation",
        "Anomaly Counters",
        "Trace Summary",
    ]
    blocks = [json.loads(body) for title, body in found if title.endswith("Metrics")]
    assert [block["instance_id"] for block in blocks[:3]] == ["instance_0", "instance_1", "cluster"]
    values = report.values()
    assert values["instances"] == blocks[:2]
    assert values["slo_classes"] == blocks[3]
    assert list(values)[-6:] == [
        "instances",
        "slo_classes",
        "jain_fairness_index",
        "anomalies",
        "fitness",
        "trace_summary",
    ]
    # p99 of 4.024, 6.012 and 7.248 ms end to end is 6.012 + 0.98 * 1.236
    assert report.text().endswith(
        "=== Fairness ===\n"
        "Jain Fairness Index: 0.653333\n"
        "\n"
        "=== Fitness Evaluation ===\n"
        "Score: 0.810803\n"
        "  p99_e2e: 0.121606\n"
        "  throughput: 0.750000\n"
        "\n"
        "=== Anomaly Counters ===\n"
        "Priority Inversions: 0\n"
        "HOL Blocking Events: 1\n"
        "Rejected Requests: 1\n"
        "\n"
        "=== Trace Summary ===\n"
        "Total Decisions: 5\n"
        "  Admitted: 4\n"
        "  Rejected: 1\n"
        "Unique Targets: 2\n"
        "Target Distribution:\n"
        "  instance_0: 2\n"
        "  instance_10: 2\n"
        "Mean Regret: 0.250000\n"
        "Max Regret: 1.000000"
    )


def test_a_section_needs_something_to_say():
    quiet = make_outcomes([served(0, 1_000)], slo_class=["batch"], tenant=["a"])
    assert [title for title, _ in sections(Report(quiet).text())] == ["Simulation Metrics", "Fairness"]
    assert list(Report(quiet).values()["slo_classes"]) == ["batch"]
    asked = Report(quiet, slo_targets_us={"batch": 1_000}).text()
    assert [title for title, _ in sections(asked)] == ["Simulation Metrics", "SLO Class Metrics", "Fairness"]
    unserved = traced(make_outcomes([], end_us=0), target_distribution={}, mean_regret=None, max_regret=None)
    text = Report(unserved, {"p99_e2e": 1.0}, summarize_trace=True).text()
    assert "Score: 0.000000\n  p99_e2e: null\n" in text
    assert text.endswith("Rejected: 1\nUnique Targets: 2")


def test_decisions_are_for_people_who_ask_and_for_all_programs():
    report = Report(traced(make_outcomes([served(0, 1_000)])))
    assert "Trace Summary" not in report.text()
    assert report.values()["trace_summary"] == TRACE


def test_measured_regret_follows_that_by_scores():
    measured = {
        "realised_samples": 3,
        "realised_own_e2e_regret_mean_ms": 1.5,
        "realised_own_e2e_regret_max_ms": 4.0,
        "realised_everyones_e2e_regret_mean_ms": None,
    }
    text = Report(traced(make_outcomes([served(0, 1_000)]), **measured), summarize_trace=True).text()
    assert text.endswith(
        "Max Regret: 1.000000\n"
        "Realised Samples: 3\n"
        "  Own E2E Regret, Mean (ms): 1.500000\n"
        "  Own E2E Regret, Max (ms): 4.000000"
    )


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
