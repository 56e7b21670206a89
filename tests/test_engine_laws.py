"""The engine against theory: queueing formulas, conservation, determinism, equality of representations."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers_engine import LogRecord, logged_steps, run_engine_on, table_of
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.engine import RefRequest

from blis._core.codes import RequestStatus, StepLog
from blis.config.schema import EngineConfig
from blis.latency.blackbox import blackbox_model
from blis.simulation import Run, run_engine
from blis.workload.requests import LiteralTokens, RequestTable, TokenStreams

ROOMY = EngineConfig(total_kv_blocks=100_000)


def poisson_table(rng, count, mean_gap_us, input_tokens, output_tokens) -> RequestTable:
    arrival_us = np.rint(np.cumsum(rng.exponential(mean_gap_us, count))).astype(np.int64)
    return RequestTable(
        arrival_us,
        np.broadcast_to(input_tokens, count).astype(np.int64),
        np.broadcast_to(output_tokens, count).astype(np.int64),
    )


def assert_mean(samples, theory: float) -> None:
    """The mean of a correlated series is the theoretical one, within four standard errors of 50 batch means."""
    batches = np.array([batch.mean() for batch in np.array_split(samples, 50)])
    error = batches.std(ddof=1) / np.sqrt(len(batches))
    assert abs(samples.mean() - theory) < 4 * error
    assert error < 0.05 * theory  # the comparison means something


@pytest.mark.parametrize("load", [0.3, 0.7, 0.9])
def test_md1_wait(load):
    """One seat, one step per request of fixed length: waiting time rho * D / (2 * (1 - rho))."""
    service_us = 10_000
    count = 2_000_000 if load > 0.8 else 400_000
    table = poisson_table(np.random.default_rng(7), count, service_us / load, 10, 1)
    engine = dataclasses.replace(ROOMY, max_num_running_reqs=1)
    result = run_engine(table, engine, blackbox_model((0, 0, 0), (service_us, 0, 0)))
    assert_mean(result.first_scheduled_us - table.arrival_us, load * service_us / (2 * (1 - load)))


def test_mg1_wait():
    """Service proportional to the prompt, two kinds of prompt: Pollaczek and Khinchine's formula."""
    rng = np.random.default_rng(8)
    count = 400_000
    prompts = np.where(rng.random(count) < 0.8, 20, 200)
    service_us = 50.0 * prompts
    mean_gap_us = service_us.mean() / 0.6
    table = poisson_table(rng, count, mean_gap_us, prompts, 1)
    engine = dataclasses.replace(ROOMY, max_num_running_reqs=1)
    result = run_engine(table, engine, blackbox_model((0, 0, 0), (0, 50, 0)))
    wait_us = (service_us**2).mean() / mean_gap_us / (2 * (1 - 0.6))
    assert_mean(result.first_scheduled_us - table.arrival_us, wait_us)


def test_littles_law():
    """Time-integral of the number of running requests, from the steps, is the sum of their stays."""
    table = poisson_table(np.random.default_rng(9), 500, 4_000, 100, 40)
    run = Run(table, ROOMY, blackbox_model((0, 0, 0), (5_000, 10, 5)), log_steps=StepLog.ALL)
    run.load()
    run.advance()
    result = run.result()
    integral = sum(step.dt * len(step.sched) for step in logged_steps(run))
    assert result.num_preemptions.sum() == 0
    assert integral == (result.finished_us - result.first_scheduled_us).sum()


def test_used_and_free_blocks_are_all_blocks():
    """Replaying the scheduled tokens gives the blocks in use at every step, under pressure and preemption."""
    rng = np.random.default_rng(10)
    table = poisson_table(rng, 300, 2_000, rng.integers(1, 200, 300), rng.integers(1, 100, 300))
    engine = EngineConfig(total_kv_blocks=80, max_num_scheduled_tokens=256)
    run = Run(table, engine, blackbox_model((0, 0, 0), (5_000, 10, 5)), log_steps=StepLog.ALL)
    run.load()
    run.advance()
    assert run.result().num_preemptions.sum() > 100
    computed: dict[int, int] = {}
    for step in logged_steps(run):
        for request in step.preempted:
            del computed[request]
        computed |= step.admitted | step.resumed
        for request, tokens in step.sched:
            computed[request] += tokens
        used = sum(-(-tokens // 16) for tokens in computed.values())
        assert used + step.free == engine.total_kv_blocks - 1
        for request in step.finished:
            del computed[request]
        used = sum(-(-tokens // 16) for tokens in computed.values())
        assert used + step.free_end == engine.total_kv_blocks - 1
    assert not computed


def test_every_request_ends_in_one_state():
    rng = np.random.default_rng(11)
    table = poisson_table(rng, 2_000, 1_000, rng.integers(1, 3_000, 2_000), rng.integers(0, 300, 2_000))
    engine = EngineConfig(total_kv_blocks=150, max_model_len=2_500)
    result = run_engine(table, engine, blackbox_model((500, 1, 0), (5_000, 10, 5)), horizon_us=1_500_000)
    needs_others = {RequestStatus.REJECTED, RequestStatus.NOT_SENT}
    assert set(result.status) == {status.value for status in RequestStatus} - needs_others
    assert (result.finished_us >= 0).sum() == (result.status == RequestStatus.COMPLETED).sum()
    started = result.first_scheduled_us >= 0
    done = result.finished_us >= 0
    assert (result.enqueued_us[started] <= result.first_scheduled_us[started]).all()
    assert (result.first_scheduled_us[done] < result.finished_us[done]).all()
    assert result.finished_us.max() <= result.end_us == 1_500_000


def test_same_input_same_result_and_rows_may_come_in_any_order():
    rng = np.random.default_rng(12)
    table = poisson_table(rng, 3_000, 3_000, rng.integers(1, 400, 3_000), rng.integers(1, 300, 3_000))
    engine = EngineConfig(total_kv_blocks=400)
    model = blackbox_model((300, 2, 0), (5_000, 10, 5))
    assert len(np.unique(table.arrival_us + 2 * table.input_tokens)) == 3_000  # no ties that rows would decide
    shuffle = rng.permutation(3_000)
    shuffled = RequestTable(table.arrival_us[shuffle], table.input_tokens[shuffle], table.output_tokens[shuffle])
    first, again, other = (run_engine(t, engine, model) for t in (table, table, shuffled))
    assert first.num_preemptions.sum() > 0
    for field in dataclasses.fields(first):
        name = field.name
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        value = getattr(first, name)
        of_requests = isinstance(value, np.ndarray) and not name.startswith("itl")
        np.testing.assert_array_equal(value[shuffle] if of_requests else value, getattr(other, name))


@settings(max_examples=300)
@given(st.integers(0, 2**40), st.sampled_from([1, 2, 4, 16]), st.sampled_from([40, 100, 1000]))
@pytest.mark.slow
def test_streams_and_literal_tokens_are_the_same(seed, block_size, tokens_of_cache):
    """Content given as names of token streams equals the same content spelt out token by token."""
    rng = np.random.default_rng(seed)
    streams = 6
    parent = np.array([-1, *(rng.integers(-1, s) for s in range(1, streams))])
    fork = np.where(parent < 0, 0, rng.integers(0, 30, streams))
    text = np.empty((streams, 80), np.int32)
    for s in range(streams):
        text[s] = rng.integers(0, 10**6, 80)
        text[s, : fork[s]] = text[parent[s], : fork[s]]
    count = 15
    stream = rng.integers(0, streams, count)
    inputs, outputs = rng.integers(1, 30, count), rng.integers(0, 20, count)
    total = inputs + outputs
    arrival_us = np.cumsum(rng.integers(0, 5_000, count))
    tokens = np.concatenate([text[s, :t] for s, t in zip(stream, total, strict=True)])
    offsets = np.concatenate([[0], np.cumsum(total)])
    named = RequestTable(arrival_us, inputs, outputs, TokenStreams(stream, parent, fork))
    literal = RequestTable(arrival_us, inputs, outputs, LiteralTokens(tokens, offsets))
    engine = EngineConfig(
        total_kv_blocks=2 + tokens_of_cache // block_size, block_size_tokens=block_size, max_num_scheduled_tokens=20
    )
    model = blackbox_model((0, 0, 0), (1_000, 10, 5))
    a, b = run_engine(named, engine, model), run_engine(literal, engine, model)
    for field in dataclasses.fields(a):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name))


def test_ctrl_c_gives_what_had_happened():
    table = poisson_table(np.random.default_rng(13), 20_000, 50_000, 100, 300)

    def interrupt(finished: int, total: int, clock_us: int) -> None:
        assert 0 < finished < total == 20_000
        assert clock_us > 0
        raise KeyboardInterrupt

    result = run_engine(table, ROOMY, blackbox_model((0, 0, 0), (5_000, 10, 5)), progress=interrupt)
    assert result.interrupted
    completed = result.status == RequestStatus.COMPLETED
    assert 0 < completed.sum() < 20_000
    assert (result.finished_us[completed] <= result.end_us).all()
    assert (result.status[table.arrival_us > result.end_us] == RequestStatus.NOT_ARRIVED).all()


def test_long_gaps_are_counted_exactly(monkeypatch):
    """Gaps beyond the histogram's range go through a log that has to be emptied and added up many times."""
    monkeypatch.setattr("blis.simulation.run.MOST_LONG_GAPS", 1_000)
    monkeypatch.setattr("blis.simulation.packing.LOG_ROWS", 100)
    table = poisson_table(np.random.default_rng(14), 3_000, 300_000, 10, 30)
    gap_us = 200_000 + 7
    result = run_engine(table, ROOMY, blackbox_model((0, 0, 0), (gap_us, 0, 1)))
    total_us = (result.finished_us - result.first_token_us).sum()
    assert (result.itl_values_us * result.itl_counts).sum() == total_us
    assert (np.diff(result.itl_values_us) > 0).all()
    assert result.itl_counts.sum() == 3_000 * 29


def test_the_cut_step_is_the_only_one_without_an_end():
    requests = [RefRequest("a", 0, (1, 2, 3), (4, 5, 6))]
    model = blackbox_model((0, 0, 0), (100, 0, 0))
    run = run_engine_on(requests, ROOMY, model, horizon_us=250, log_steps=StepLog.ALL)
    assert [step.t for step in logged_steps(run)] == [0, 100]
    assert (run.steps()[:, 0] == LogRecord.STEP).sum() == 3
    assert run.result().end_us == 250
    assert run.result().produced_tokens.tolist() == [2]
    assert len(table_of(requests)) == 1
