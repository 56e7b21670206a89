"""Asynchronous scheduling by hand, with steps of one length, and what is asked for of it."""

import dataclasses

import numpy as np
import pytest

import blis
from blis.config.resolve import resolve
from blis.config.schema import Deployment, EngineConfig, EngineOptions
from blis.latency.blackbox import blackbox_model
from blis.simulation import run_engine
from blis.workload.requests import RequestTable

STEP_US = 1_000
BLACKBOX = {"alpha_coeffs": (0, 0, 0), "beta_coeffs": (STEP_US, 0, 0)}
AHEAD = EngineConfig(total_kv_blocks=1_000, async_scheduling=True)


def served(arrivals, outputs, max_tokens=None, **rules):
    """Requests of 10 prompt tokens, served with steps of a millisecond."""
    count = len(arrivals)
    table = RequestTable(
        np.array(arrivals),
        np.full(count, 10),
        np.array(outputs),
        max_tokens=None if max_tokens is None else np.array(max_tokens),
    )
    return run_engine(table, dataclasses.replace(AHEAD, **rules), blackbox_model((0, 0, 0), (STEP_US, 0, 0)))


def test_who_comes_during_a_step_misses_the_next_one_too():
    result = served([0, 300, 1_000, 1_001], [20, 2, 2, 2])
    assert result.first_scheduled_us.tolist() == [0, 1_000, 1_000, 2_000]
    assert result.first_started_us.tolist() == [0, 2_000, 2_000, 3_000]
    assert result.first_token_us.tolist() == [1_000, 3_000, 3_000, 4_000]
    assert result.finished_us[0] == 20_000


def test_nothing_is_wasted_where_the_end_is_foreseen():
    assert served([0], [5]).num_steps == 5
    assert served([0], [5], [5]).num_steps == 5
    assert served([0], [5], [6], max_model_len=15).num_steps == 5


def test_a_stop_token_costs_a_step_in_vain():
    result = served([0], [5], [6])
    assert result.num_steps == 6
    assert result.finished_us.tolist() == [5_000]
    assert result.produced_tokens.tolist() == [5]
    assert result.itl_counts.sum() == 4


def test_a_slot_is_free_a_step_late():
    result = served([0, 0, 0], [4, 9, 3], max_num_running_reqs=2)
    assert result.finished_us[0] == 4_000
    assert result.first_scheduled_us[2] == 4_000  # the step from 4,000 on is planned already
    assert result.first_started_us[2] == 5_000


@pytest.mark.parametrize(("max_tokens", "pause_us"), [([4, 4], 1_000), ([5, 5], 0)])
def test_the_loop_pauses_where_no_tokens_can_be_planned(max_tokens, pause_us):
    """One slot: after an end that was foreseen nothing is planned; after a stop token a step in vain is."""
    result = served([0, 0], [4, 4], max_tokens, max_num_running_reqs=1, yield_us=1_000)
    assert result.first_scheduled_us[1] == 4_000 + pause_us
    in_vain_us = 0 if pause_us else STEP_US
    assert result.first_started_us[1] == 4_000 + pause_us + in_vain_us


def test_planning_takes_time_behind_the_step_that_runs():
    result = served([0], [6], schedule_us=300)
    assert result.finished_us.tolist() == [6_300]
    waits = served([0], [6], schedule_us=300, async_scheduling=False)
    assert waits.finished_us.tolist() == [6 * 1_300]
    assert waits.first_started_us.tolist() == [300]


def test_no_loop_is_no_loop():
    table = RequestTable(np.array([0, 10]), np.array([100, 40]), np.array([20, 30]))
    model = blackbox_model((5, 0, 0), (STEP_US, 3, 7))
    plain = run_engine(table, EngineConfig(total_kv_blocks=100), model)
    assert plain.first_started_us.tolist() == plain.first_scheduled_us.tolist()


def test_a_horizon_counts_what_has_come():
    table = RequestTable(np.array([0]), np.array([10]), np.array([50]))
    cut = run_engine(table, AHEAD, blackbox_model((0, 0, 0), (STEP_US, 0, 0)), horizon_us=10_500)
    assert cut.produced_tokens.tolist() == [10]
    assert cut.num_steps == 10


# ---- what is asked for


def engine_of(version=None, **options):
    deployment = Deployment("any/model", vllm_version=version, total_kv_blocks=1_000, **BLACKBOX)
    return resolve(deployment, EngineOptions(**options))


def test_the_pause_comes_with_the_loop():
    assert engine_of(async_scheduling=True).engine.yield_us == 1_000
    assert engine_of(async_scheduling=True, yield_us=0).engine.yield_us == 0
    assert engine_of(async_scheduling=False).engine.yield_us == 0
    assert not engine_of(async_scheduling=False).engine.runs_loop


def test_releases_without_it_are_simulated_with_a_warning():
    warned = engine_of("0.9.2", async_scheduling=True)
    assert "async_scheduling: vLLM 0.9.2 has no asynchronous scheduling; simulated anyway" in warned.warnings
    assert engine_of("0.10.0", async_scheduling=True).warnings == []


@pytest.mark.parametrize("name", ["schedule_us", "yield_us"])
def test_times_that_are_none(name):
    with pytest.raises(blis.ConfigError, match=f"{name}: must be in "):
        engine_of(**{name: -1})


def test_max_tokens_below_the_output():
    with pytest.raises(blis.WorkloadError, match="request 1: max_tokens must be at least its 5 output tokens, got 4"):
        RequestTable(np.array([0, 0]), np.array([1, 1]), np.array([3, 5]), max_tokens=np.array([3, 4]))


def test_outcomes_keep_both_stamps(tmp_path):
    def simulated(**options):
        engine = EngineOptions(**options)
        workload = blis.DistributionWorkload(rate=20, num_requests=50)
        return blis.simulate(Deployment("any/model", total_kv_blocks=5_000, **BLACKBOX), workload, engine=engine)

    outcomes = simulated(async_scheduling=True)
    outcomes.write_parquet(tmp_path / "ahead.parquet")
    read = blis.Outcomes.read_parquet(tmp_path / "ahead.parquet")
    assert (read.result.first_started_us == outcomes.result.first_started_us).all()
    assert (read.result.first_started_us > read.result.first_scheduled_us).any()
    assert read.summary == outcomes.summary
    assert "first_started_us" not in simulated(async_scheduling=False).requests.columns


@blis.priority_policy
def age(request, now_us, state):
    """What the built-in slo-based policy goes by."""
    return now_us - request.arrival_us


def test_a_priority_of_ones_own_orders_a_queue_that_requests_leave_from_within():
    """Preempted ones whose last token is in flight end there: few blocks, short outputs."""
    workload = blis.DistributionWorkload(
        rate=400, num_requests=400, prompt_tokens=16, prompt_tokens_max=60, output_tokens=40, output_tokens_max=90
    )
    small = Deployment("any/model", total_kv_blocks=40, **BLACKBOX)
    outcomes = []
    for policy in ("slo-based", f"{__file__}:age"):
        engine = EngineOptions(async_scheduling=True, scheduler="priority-fcfs", priority_policy=policy)
        outcomes.append(blis.simulate(small, workload, engine=engine))
    assert outcomes[0].result.num_preemptions.sum() > 100
    assert outcomes[1].requests.equals(outcomes[0].requests)
