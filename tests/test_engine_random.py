"""The compiled engines against the slow reference engine, and their two ways of serving against each other.

Random small workloads: shared prefixes, duplicates, conversations that grow, bursts, KV pressure down to a few
blocks, budgets of a few tokens, block size 1, every scheduler parameter. The step time is one that every
aggregate of the batch shows in, so that equal times mean equal batches.
"""

from __future__ import annotations

import dataclasses
from random import Random

import numpy as np
import pytest
from helpers_engine import all_aggregates_model, all_aggregates_time, assert_served_alike, logged_steps, run_engine_on
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.engine import RefConfig, RefRequest, RefResult, StallError, simulate

from blis._core.codes import StepLog
from blis.config.schema import EngineConfig
from blis.errors import EngineError
from blis.simulation.steps import steps_of


def random_requests(rng: Random, count: int, longest: int) -> list[RefRequest]:
    """Requests of which many share leading tokens: with a group, with a duplicate, with an earlier turn."""
    groups = [tuple(rng.randrange(10**6) for _ in range(rng.randint(1, longest))) for _ in range(rng.randint(1, 4))]
    spread = rng.choice([0, 300, 5_000, 40_000])
    arrival = 0
    requests: list[RefRequest] = []
    for i in range(count):
        arrival += rng.randint(0, spread)
        tail = tuple(rng.randrange(10**6) for _ in range(rng.randint(0, longest)))
        base: tuple[int, ...] = ()
        kind = rng.random()
        if kind < 0.35:
            base = rng.choice(groups)
        elif kind < 0.65 and requests:
            earlier = rng.choice(requests)
            base = earlier.prompt + earlier.output
            base = base[: rng.choice([len(base), len(earlier.prompt), rng.randint(1, len(base))])]
            tail = rng.choice([tail, ()])
        prompt = (base + tail)[: 3 * longest] or (i,)
        output = tuple(rng.randrange(10**6) for _ in range(rng.choice([0, 1, 2, rng.randint(1, longest)])))
        if rng.random() < 0.2 and requests:  # the same conversation goes the same way twice
            output = (rng.choice(requests).output + output)[:longest]
        requests.append(RefRequest(f"{i:06d}", arrival, prompt, output, rng.randint(0, 2)))
    return requests


def random_config(rng: Random, longest: int) -> EngineConfig:
    block_size = rng.choice([1, 1, 2, 3, 4, 8, 16])
    tokens_per_request = 4 * longest
    blocks = 2 + tokens_per_request // block_size
    config = EngineConfig(
        total_kv_blocks=rng.choice([blocks // 2 + 2, blocks, blocks + rng.randint(0, blocks), 20 * blocks]),
        block_size_tokens=block_size,
        max_num_running_reqs=rng.choice([1, 2, 3, 8, 64]),
        max_num_scheduled_tokens=rng.choice([1, 2, 5, longest, 3 * longest, 50 * longest]),
        long_prefill_token_threshold=rng.choice([0, 0, 1, 3, longest]),
        max_model_len=rng.choice([None, None, None, longest, 2 * longest]),
        enable_prefix_caching=rng.random() < 0.85,
        scheduling_policy=rng.choice(["fcfs", "fcfs", "priority"]),
        preallocated_tokens=rng.choice([0, 0, 5, 64]),
        free_keyless_blocks_first=rng.random() < 0.4,
        threshold_spares_lone_request=rng.random() < 0.4,
        refuse_prompt_of_max_model_len=rng.random() < 0.5,
        reserve_full_prompt=rng.random() < 0.3,
        kv_watermark=rng.choice([0.0, 0.0, 0.1, 0.3]),
    )
    if config.scheduling_policy == "priority":
        return config
    scheduler = rng.choice(["fcfs", "fcfs", "sjf", "priority-fcfs", "reverse-priority"])
    priority_policy = rng.choice(["constant", "slo-based", "inverted-slo"])
    return dataclasses.replace(config, scheduler=scheduler, priority_policy=priority_policy)


@dataclasses.dataclass
class Case:
    requests: list[RefRequest]
    engine: EngineConfig
    last_prompt_token_is_decode: bool
    horizon_us: int | None


def random_case(seed: int, count: int, longest: int) -> Case:
    rng = Random(seed)
    requests = random_requests(rng, count, longest)
    horizon_us = rng.choice([None, None, None, rng.randint(0, 200_000)])
    return Case(requests, random_config(rng, longest), rng.random() < 0.5, horizon_us)


def with_loop(case: Case, seed: int) -> Case:
    """The same with an engine loop: mostly one that plans ahead. Some requests end by a stop token."""
    rng = Random(f"loop {seed}")
    stops = rng.choice([0.0, 0.0, 0.3, 1.0])
    requests = [
        dataclasses.replace(request, max_tokens=len(request.output) + rng.choice([0, 1, 1, 2, 50]))
        if request.output and rng.random() < stops
        else request
        for request in case.requests
    ]
    engine = dataclasses.replace(
        case.engine,
        async_scheduling=rng.random() < 0.85,
        schedule_us=rng.choice([0, 0, 0, 1, 70, 3_000]),
        yield_us=rng.choice([0, 0, 1, 1_000]),
    )
    return dataclasses.replace(case, requests=requests, engine=engine)


def random_loop_case(seed: int, count: int, longest: int) -> Case:
    return with_loop(random_case(seed, count, longest), seed)


any_size = st.integers(0, 2**40), st.integers(1, 24), st.sampled_from([2, 5, 12, 40])
cases = st.one_of(st.builds(random_case, *any_size), st.builds(random_loop_case, *any_size))


def reference_config(case: Case) -> RefConfig:
    return RefConfig(
        **dataclasses.asdict(case.engine),
        step_time=lambda load: all_aggregates_time(dataclasses.astuple(load)),
        alpha=(40.0, 0.5, 12.9),
        last_prompt_token_is_decode=case.last_prompt_token_is_decode,
        horizon_us=case.horizon_us,
    )


def reference(case: Case) -> RefResult | None:
    """What should happen; None: a livelock."""
    try:
        return simulate(case.requests, reference_config(case))
    except StallError:
        return None


def compiled(case: Case, **how: bool):
    model = all_aggregates_model(case.last_prompt_token_is_decode)
    return run_engine_on(case.requests, case.engine, model, horizon_us=case.horizon_us, **how)


def assert_requests_equal(case: Case, expected: RefResult | None, **how: bool) -> None:
    if expected is None:
        with pytest.raises(EngineError, match="livelock"):
            compiled(case, **how)
        return
    result = compiled(case, **how).result()

    for i, request in enumerate(case.requests):
        assert_served_alike(result, i, expected.requests[request.id])
    gaps, counts = np.unique([gap for want in expected.requests.values() for gap in want.itls], return_counts=True)
    assert dict(zip(result.itl_values_us.tolist(), result.itl_counts.tolist(), strict=True)) == dict(
        zip(gaps.astype(int).tolist(), counts.tolist(), strict=True)
    )
    assert result.end_us == expected.end_us
    assert result.usable_blocks - result.peak_used_blocks == expected.min_free_blocks


@settings(max_examples=300)
@given(cases)
def test_every_time_is_the_reference_engines(case):
    assert_requests_equal(case, reference(case))


@pytest.mark.slow  # plain Python takes a minute for the few that preempt for ever
@settings(max_examples=1500)
@given(cases)
def test_every_time_is_the_reference_engines_in_many_cases(case):
    assert_requests_equal(case, reference(case))


@settings(max_examples=500)
@given(cases)
def test_every_step_is_the_reference_engines(case):
    expected = reference(case)
    assert_requests_equal(case, expected, log_steps=StepLog.ALL)
    if expected is None:
        return
    finished = compiled(case, log_steps=StepLog.ALL)
    number = {request.id: i for i, request in enumerate(case.requests)}
    steps = logged_steps(finished)
    cut = len(expected.steps) - len(steps)  # steps that the horizon cuts have no end
    assert 0 <= cut <= 1 + case.engine.async_scheduling
    assert cut == 0 or case.horizon_us is not None
    for got, want in zip(steps, expected.steps, strict=False):
        assert got.sched == [(number[name], n) for name, n in want.sched]
        assert got.admitted == {number[name]: n for name, n in want.new.items()}
        assert got.resumed == {number[name]: n for name, n in want.resumed.items()}
        assert got.preempted == [number[name] for name in want.preempted]
        assert got.finished == [number[name] for name in want.finished]
        assert got[7:] == (want.pre_tok, want.dec, want.free, want.free_end, want.run, want.wait, want.plan)
        assert (got.t, got.dt) == (want.t, want.dt)


@settings(max_examples=500)
@given(cases)
def test_bulk_and_plain_agree(case):
    try:
        bulk = compiled(case).result()
    except EngineError:
        return  # a livelock, judged elsewhere
    plain = compiled(case, plain=True).result()
    for field in dataclasses.fields(bulk):
        np.testing.assert_array_equal(getattr(bulk, field.name), getattr(plain, field.name), err_msg=field.name)


@pytest.mark.slow
@pytest.mark.parametrize("first_seed", range(0, 4_000, 1_000))
def test_many_more(first_seed):
    for seed in range(first_seed, first_seed + 500):
        for make in (random_case, random_loop_case):
            case = make(seed, 1 + seed % 60, (2, 5, 12, 40, 90)[seed % 5])
            expected = reference(case)
            assert_requests_equal(case, expected)
            assert_requests_equal(case, expected, plain=True)


def test_livelock_is_an_error_not_a_hang():
    """vLLM's priority policy lets two requests that tie preempt each other for ever (found at random)."""
    case = random_case(106252, 13, 12)
    assert_requests_equal(case, None)
    assert_requests_equal(case, None, plain=True)


@settings(max_examples=300)
@given(cases)
def test_logged_loads_are_those_the_law_was_asked_about(case):
    if reference(case) is None:
        return
    everything, loads = (steps_of(compiled(case, log_steps=what).steps()) for what in (StepLog.ALL, StepLog.LOADS))
    again = [all_aggregates_time(load) for load in loads.loads.tolist()]
    assert again == loads.duration_us.tolist() == everything.duration_us.tolist()
    assert np.array_equal(loads.start_us, everything.start_us)
    assert (loads.start_us[1:] >= loads.end_us[:-1]).all()
