"""What the outcomes mean: percentiles by definition, counts, and figures that cannot be computed."""

import numpy as np
import pytest
from helpers_outcomes import CLIENT_US, cluster_outcomes, ints, make_outcomes, mixed_outcomes
from hypothesis import given
from hypothesis import strategies as st

from blis._core.codes import NEVER, RequestStatus
from blis.outcomes.metrics.latency import duration_figures, histogram_figures
from blis.outcomes.metrics.summary import WallClock, instance_summaries, summarize
from blis.outcomes.metrics.throughput import cache_hit_rate, per_second

#: The keys and their order in the sample output of the inference-sim project's README.
SEED_KEYS = [
    "sim_start_timestamp",
    "sim_end_timestamp",
    "completed_requests",
    "total_input_tokens",
    "total_output_tokens",
    "vllm_estimated_duration_s",
    "simulation_duration_s",
    "responses_per_sec",
    "tokens_per_sec",
    "e2e_mean_ms",
    "e2e_p90_ms",
    "e2e_p95_ms",
    "e2e_p99_ms",
    "ttft_mean_ms",
    "ttft_p90_ms",
    "ttft_p95_ms",
    "ttft_p99_ms",
    "itl_mean_ms",
    "itl_p90_ms",
    "itl_p95_ms",
    "itl_p99_ms",
    "scheduling_delay_p99_ms",
]
WALL_CLOCK_KEYS = {"sim_start_timestamp", "sim_end_timestamp", "simulation_duration_s"}


def test_percentiles_by_hand():
    # ranks in 5 values: p50 2.0, p90 3.6, p95 3.8, p99 3.96
    figures = duration_figures("x", ints(5_000, 1_000, 4_000, 2_000, 3_000))
    assert figures == pytest.approx(
        {"x_mean_ms": 3.0, "x_p50_ms": 3.0, "x_p90_ms": 4.6, "x_p95_ms": 4.8, "x_p99_ms": 4.96}
    )


def test_one_value_is_every_percentile():
    assert set(duration_figures("x", ints(1_234)).values()) == {1.234}


def test_no_values_no_figures():
    nothing = dict.fromkeys(["x_mean_ms", "x_p50_ms", "x_p90_ms", "x_p95_ms", "x_p99_ms"])
    assert duration_figures("x", ints()) == nothing
    assert histogram_figures("x", ints(), ints()) == nothing


@given(st.lists(st.integers(0, 50_000), min_size=1, max_size=200))
def test_percentiles_are_numpys(values):
    figures = duration_figures("x", ints(*values))
    for p in (50, 90, 95, 99):
        assert figures[f"x_p{p}_ms"] == pytest.approx(np.percentile(values, p) / 1000, rel=1e-12, abs=1e-12)
    assert figures["x_mean_ms"] == pytest.approx(np.mean(values) / 1000)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=300))
def test_a_histogram_gives_exactly_the_figures_of_its_values(values):
    distinct, counts = np.unique(ints(*values), return_counts=True)
    assert histogram_figures("x", distinct, counts) == duration_figures("x", ints(*values))


def test_histogram_of_half_a_billion_gaps():
    figures = histogram_figures("itl", ints(8_000, 40_000), ints(495_000_000, 5_000_000))
    assert figures["itl_p95_ms"] == 8.0
    assert figures["itl_mean_ms"] == 8.32
    assert figures["itl_p99_ms"] == pytest.approx(8.32)  # rank 0.99 * (n - 1) lies 1/100 behind the last 8 ms


def test_rates():
    assert per_second(30, 2_000_000) == 15.0
    assert per_second(0, 2_000_000) == 0.0
    assert per_second(0, 0) is None


def test_cache_hit_rate_is_over_admitted_requests():
    assert cache_hit_rate(ints(32, 0), ints(64, 1_000), ints(5, NEVER)) == 0.5
    assert cache_hit_rate(ints(0), ints(10), ints(NEVER)) is None


def test_keys_in_the_order_people_know():
    summary = summarize(mixed_outcomes(), WallClock("2026-01-14 19:07:19", "2026-01-14 19:07:20", 0.38))
    assert [key for key in summary if key in SEED_KEYS] == SEED_KEYS
    assert summary["simulation_duration_s"] == 0.38
    assert list(mixed_outcomes().summary) == [key for key in summary if key not in WALL_CLOCK_KEYS]


def test_summary_by_hand():
    summary = mixed_outcomes().summary
    assert summary["completed_requests"] == 2
    assert summary["total_input_tokens"] == 64 + 10 + 16 + 16  # neither refused, rejected nor yet to come
    assert summary["total_output_tokens"] == 4 + 3 + 2
    assert summary["vllm_estimated_duration_s"] == 0.01
    assert summary["responses_per_sec"] == 200.0
    assert summary["tokens_per_sec"] == 900.0
    assert summary["e2e_mean_ms"] == pytest.approx((8_000 + 4 * CLIENT_US + 3_212 + 3 * CLIENT_US) / 2_000)
    assert summary["ttft_mean_ms"] == pytest.approx((2_000 + 1_210 + 2_000 + 3 * CLIENT_US) / 3_000)
    assert summary["itl_mean_ms"] == pytest.approx((2 * 1_001 + 3 * 2_000 + 3_000) / 6_000 + CLIENT_US / 1_000)
    assert summary["tpot_mean_ms"] == pytest.approx((2_000 + 1_001) / 2_000 + CLIENT_US / 1_000)
    assert summary["scheduling_delay_mean_ms"] == pytest.approx((500 + 110 + 500) / 3_000)
    assert summary["cache_hit_rate"] == 32 / (64 + 10 + 16)
    assert summary["preemption_count"] == 1
    assert summary["kv_blocks_total"] == 100
    assert summary["kv_blocks_peak"] == 5
    assert summary["interrupted"] is False


def test_every_request_is_somewhere():
    summary = mixed_outcomes().summary
    parts = ("completed", "running", "waiting", "rejected", "refused_too_long", "refused_never_fits")
    assert summary["injected_requests"] == sum(summary[f"{part}_requests"] for part in parts) == 7
    assert summary["not_arrived_requests"] == 1


def test_nothing_completed_still_gives_every_key():
    row = (0, 10, 5, NEVER, NEVER, NEVER, 0, RequestStatus.WAITING, 0)
    summary = make_outcomes([row], end_us=0).summary
    assert list(summary) == list(mixed_outcomes().summary)
    assert summary["completed_requests"] == 0
    assert summary["total_input_tokens"] == 10
    assert summary["responses_per_sec"] is None
    assert summary["tokens_per_sec"] is None
    assert summary["cache_hit_rate"] is None
    assert all(summary[key] is None for key in summary if key.endswith("_ms"))


def test_interrupted_runs_say_so():
    assert make_outcomes([], interrupted=True).summary["interrupted"] is True


def test_the_block_of_a_cluster_says_so_first():
    summary = summarize(cluster_outcomes(), WallClock("a", "b", 0.1))
    assert next(iter(summary.items())) == ("instance_id", "cluster")
    assert list(summary)[1:] == list(summarize(mixed_outcomes(), WallClock("a", "b", 0.1)))
    assert summary["vllm_estimated_duration_s"] == 0.01
    assert (summary["completed_requests"], summary["injected_requests"], summary["rejected_requests"]) == (3, 5, 1)
    assert (summary["kv_blocks_total"], summary["kv_blocks_peak"]) == (100, 9)


def test_blocks_of_instances_by_hand():
    first, second = instance_summaries(cluster_outcomes())
    assert list(first) == list(second) == list(cluster_outcomes().summary)
    assert (first["instance_id"], second["instance_id"]) == ("instance_0", "instance_1")
    assert (first["vllm_estimated_duration_s"], second["vllm_estimated_duration_s"]) == (0.005, 0.01)
    assert (first["completed_requests"], first["running_requests"], first["injected_requests"]) == (1, 1, 2)
    assert (first["total_input_tokens"], first["total_output_tokens"]) == (64 + 16, 4)
    assert (first["responses_per_sec"], first["tokens_per_sec"]) == (200.0, 800.0)
    assert first["e2e_mean_ms"] == pytest.approx((4_000 + 2 * CLIENT_US) / 1_000)
    assert first["ttft_mean_ms"] == pytest.approx((2_000 + 3_000 + 2 * CLIENT_US) / 2_000)
    assert first["itl_mean_ms"] == pytest.approx((2_500 + CLIENT_US) / 1_000)
    assert second["itl_mean_ms"] == pytest.approx((3_001 + CLIENT_US) / 1_000)
    assert first["cache_hit_rate"] == 32 / 80
    assert (first["kv_blocks_peak"], second["kv_blocks_peak"]) == (9, 3)
    assert (second["completed_requests"], second["rejected_requests"]) == (2, 0)


def test_an_instance_that_got_nothing_has_a_block():
    row = (0, 10, 1, 0, 5, 5, 1, RequestStatus.COMPLETED, 0)
    outcomes = make_outcomes([row], instance=[1], instances=[(0, 0, 0, 0), (5, 1, 1, 0)])
    idle, busy = instance_summaries(outcomes)
    assert (idle["completed_requests"], idle["responses_per_sec"], idle["e2e_mean_ms"]) == (0, None, None)
    assert busy["completed_requests"] == 1
