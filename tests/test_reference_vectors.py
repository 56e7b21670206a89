"""The reference engine against vLLM's own scheduler, step by step, and against figures worked by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from helpers_vectors import VectorRun, all_vector_runs, loop_vector_runs, recorded_steps, ref_config
from reference.engine import (
    BatchAggregates,
    RefConfig,
    RefOutcome,
    RefRequest,
    RefResult,
    StallError,
    blackbox,
    simulate,
)
from reference.scheduler import Scheduler

#: vLLM itself never gets done with a request larger than its cache; such requests are refused here.
STALLING = [run for run in all_vector_runs() if run.record["stalled"]]
COMPLETE = [run for run in all_vector_runs() if not run.record["stalled"]]


def as_recorded(request: RefRequest, outcome: RefOutcome, alpha2: float) -> dict[str, Any]:
    """An outcome the way the vectors tell it, client-side cost per token included."""
    if outcome.status == "refused_too_long":
        return {"rejected": True}
    assert outcome.first_token_us is not None
    assert outcome.finish_us is not None
    per_token_us = int(alpha2)
    return {
        "visible_us": outcome.visible_us,
        "first_scheduled_us": outcome.first_scheduled_us,
        "cached_first": outcome.cached_first,
        "n_preemptions": outcome.n_preemptions,
        "n_out": outcome.n_out,
        "done": outcome.status == "completed",
        "ttft_us": outcome.first_token_us - request.arrival_us + per_token_us,
        "itl_sum_us": sum(outcome.itls) + len(outcome.itls) * per_token_us,
        "last_token_us": outcome.first_token_us + sum(outcome.itls),
        "finish_us": outcome.finish_us,
        "e2e_us": outcome.finish_us - request.arrival_us + outcome.n_out * per_token_us,
        "reason": "length",
    }


@pytest.mark.parametrize("run", COMPLETE, ids=str)
def test_reproduces_vllm_step_by_step(run: VectorRun) -> None:
    result = simulate(run.requests, ref_config(run))

    for ours, recorded in zip(result.steps, recorded_steps(run), strict=False):
        assert dataclasses.asdict(ours).items() >= recorded.items()
    assert len(result.steps) == run.record["n_steps"]
    assert result.end_us == run.record["end_us"]
    for request in run.requests:
        ours_as_recorded = as_recorded(request, result.requests[request.id], run.config["a2"])
        assert (request.id, ours_as_recorded) == (request.id, run.record["requests"][request.id])
    refused = [id_ for id_, outcome in result.requests.items() if outcome.status != "completed"]
    assert refused == run.record["rejected"]


@pytest.mark.parametrize("run", loop_vector_runs(), ids=str)
def test_reproduces_vllms_own_loop_step_by_step(run: VectorRun) -> None:
    result = simulate(run.requests, ref_config(run))

    assert len(result.steps) == run.record["n_steps"]
    for ours, recorded in zip(result.steps, recorded_steps(run), strict=True):
        told = {key: value for key, value in recorded.items() if key != "out"}
        if recorded["sched"]:  # nobody looks when a plan without tokens is settled
            told["seen"] = recorded.get("seen", recorded["t"] + recorded["dt"])
        assert dataclasses.asdict(ours).items() >= told.items()
    for request in run.requests:
        ours, recorded = result.requests[request.id], run.record["requests"][request.id]
        told = as_recorded(request, ours, run.config["a2"])
        if "rejected" not in told:
            told |= {"first_plan_us": ours.first_scheduled_us, "first_scheduled_us": ours.first_started_us}
            told["reason"] = recorded["reason"]
        assert told == recorded


@pytest.mark.parametrize("run", STALLING, ids=str)
def test_request_larger_than_the_cache_is_refused_and_harms_nobody(run: VectorRun) -> None:
    result = simulate(run.requests, ref_config(run))

    stalled = run.record["unfinished"][0]
    assert {id_: outcome.status for id_, outcome in result.requests.items()} == {
        request.id: "refused_never_fits" if request.id == stalled else "completed" for request in run.requests
    }
    its_visible_us = run.record["requests"][stalled]["visible_us"]
    before = [step for step in recorded_steps(run) if step["t"] < its_visible_us]
    assert before
    for ours, recorded in zip(result.steps, before, strict=False):
        assert dataclasses.asdict(ours).items() >= recorded.items()


def test_vectors_cover_every_version() -> None:
    versions = [run.version for run in all_vector_runs()]
    assert {version: versions.count(version) for version in versions} == {"0.8.4": 36, "0.8.5": 36, "0.33.0": 46}


# ---- worked by hand: blocks of 4 tokens, a step takes 1000 µs + 10 per prefill token + 100 per decode


def small(total_kv_blocks: int = 100, **changes: Any) -> RefConfig:
    settings: dict[str, Any] = {"block_size_tokens": 4, "step_time": blackbox(1000, 10, 100)} | changes
    return RefConfig(total_kv_blocks=total_kv_blocks, **settings)


def request(prompt: int, output: int, arrival_us: int = 0, name: str = "a") -> RefRequest:
    """A request of given lengths that shares no token with one of another name."""
    first = 1000 * ord(name)
    return RefRequest(name, arrival_us, tuple(range(first, first + prompt)), (7,) * output)


def only(result: RefResult) -> RefOutcome:
    (outcome,) = result.requests.values()
    return outcome


def test_one_request_takes_one_prefill_and_a_decode_step_per_further_token() -> None:
    result = simulate([request(8, 3, arrival_us=50)], small(alpha=(20.9, 2.5, 0.0)))

    # Visible at 50 + trunc(20.9 + 20), then steps of 1080, 1100 and 1100 µs.
    assert only(result) == RefOutcome(
        status="completed",
        visible_us=90,
        first_scheduled_us=90,
        first_started_us=90,
        first_token_us=1170,
        finish_us=3370,
        n_out=3,
        itls=[1100, 1100],
    )
    assert result.end_us == 3370
    assert result.min_free_blocks == 99 - 3  # 8 + 3 - 1 slots


@pytest.mark.parametrize(
    ("horizon_us", "status", "n_out", "num_steps", "end_us"),
    [
        (0, "running", 0, 1, 0),  # the step that starts at the horizon schedules
        (1079, "running", 0, 1, 1079),
        (1080, "running", 1, 2, 1080),  # a step that ends at the horizon counts, and the next one starts
        (2179, "running", 1, 2, 2179),
        (3279, "running", 2, 3, 3279),
        (3280, "completed", 3, 3, 3280),
        (9999, "completed", 3, 3, 3280),  # nothing was cut
    ],
)
def test_horizon_lets_the_step_schedule_but_not_end(
    horizon_us: int, status: str, n_out: int, num_steps: int, end_us: int
) -> None:
    result = simulate([request(8, 3)], small(horizon_us=horizon_us))

    outcome = only(result)
    assert (outcome.status, outcome.n_out, len(result.steps), result.end_us) == (status, n_out, num_steps, end_us)
    assert outcome.first_scheduled_us == 0
    assert outcome.itls == [1100] * max(0, n_out - 1)


def test_horizon_before_between_and_behind_the_moments_of_an_arrival() -> None:
    def at(horizon_us: int) -> tuple[str, int | None, int | None, int]:
        result = simulate([request(8, 3, arrival_us=100)], small(alpha=(500.0, 0.0, 0.0), horizon_us=horizon_us))
        outcome = only(result)
        return outcome.status, outcome.visible_us, outcome.first_scheduled_us, result.end_us

    assert at(99) == ("not_arrived", None, None, 99)
    assert at(100) == ("waiting", None, None, 100)
    assert at(599) == ("waiting", None, None, 599)
    assert at(600) == ("running", 600, 600, 600)


def test_horizon_cuts_a_run_that_only_misses_a_later_arrival() -> None:
    result = simulate([request(8, 1), request(8, 1, arrival_us=5001, name="b")], small(horizon_us=5000))

    assert [outcome.status for outcome in result.requests.values()] == ["completed", "not_arrived"]
    assert result.end_us == 5000


def test_request_becomes_visible_while_the_last_step_is_cut() -> None:
    result = simulate(
        [request(8, 1), request(8, 1, arrival_us=50, name="b"), request(8, 1, arrival_us=60, name="c")],
        small(horizon_us=59),
    )

    assert [(outcome.status, outcome.visible_us) for outcome in result.requests.values()] == [
        ("running", 0),
        ("waiting", 50),
        ("not_arrived", None),
    ]


def test_no_output_means_done_with_the_prefill() -> None:
    result = simulate([request(8, 0)], small(max_num_scheduled_tokens=5))

    # Chunks of 5 and 3 tokens: 1050 + 1030 µs.
    stamps = {"visible_us": 0, "first_scheduled_us": 0, "first_started_us": 0, "finish_us": 2080}
    assert only(result) == RefOutcome(status="completed", **stamps)
    assert [step.finished for step in result.steps] == [[], ["a"]]
    assert result.steps[-1].free_end == 99


@pytest.mark.parametrize(
    ("prompt", "output", "changes", "status", "n_out"),
    [
        # 2 usable blocks of 4 tokens; the last output token needs no slot.
        (8, 0, {}, "completed", 0),
        (8, 1, {}, "completed", 1),
        (8, 2, {}, "refused_never_fits", 0),
        (9, 0, {}, "refused_never_fits", 0),
        (1, 9, {}, "refused_never_fits", 0),
        # max_model_len cuts the output before the fit is looked at.
        (6, 100, {"max_model_len": 9}, "completed", 3),
        (6, 100, {"max_model_len": 10}, "refused_never_fits", 0),
        (8, 5, {"max_model_len": 8}, "completed", 1),
        (8, 0, {"max_model_len": 8}, "completed", 0),
        (8, 5, {"max_model_len": 8, "refuse_prompt_of_max_model_len": True}, "refused_too_long", 0),
        (7, 5, {"max_model_len": 8, "refuse_prompt_of_max_model_len": True}, "completed", 1),
        (9, 5, {"max_model_len": 8}, "refused_too_long", 0),
        # Too long and too large: too long is said.
        (50, 5, {"max_model_len": 40}, "refused_too_long", 0),
    ],
)
def test_refusals(prompt: int, output: int, changes: dict[str, Any], status: str, n_out: int) -> None:
    result = simulate([request(prompt, output)], small(total_kv_blocks=3, **changes))

    outcome = only(result)
    assert (outcome.status, outcome.n_out) == (status, n_out)
    if status.startswith("refused"):
        assert outcome == RefOutcome(status=status)
        assert (result.steps, result.end_us, result.min_free_blocks) == ([], 0, 2)


def test_refusal_needs_an_arrival() -> None:
    result = simulate([request(99, 1, arrival_us=11)], small(total_kv_blocks=3, horizon_us=10))

    assert only(result).status == "not_arrived"


@pytest.mark.parametrize(
    ("total_kv_blocks", "max_model_len", "held_blocks"),
    [
        (100, None, 1 + 2),  # 5 tokens in advance are 2 blocks of 4
        (100, 12, 3),
        (100, 8, 2),  # never more than max_model_len needs
        (3, None, 2),  # never more than there is
    ],
)
def test_preallocated_blocks(total_kv_blocks: int, max_model_len: int | None, held_blocks: int) -> None:
    result = simulate([request(3, 1)], small(total_kv_blocks, preallocated_tokens=5, max_model_len=max_model_len))

    assert result.min_free_blocks == total_kv_blocks - 1 - held_blocks


def test_watermark_binds_only_while_something_runs() -> None:
    # 10 usable blocks, trunc(0.5 * 11) = 5 of them spare. a enters alone and takes 6; b needs 1 and must wait.
    result = simulate([request(24, 1), request(4, 1, name="b")], small(11, kv_watermark=0.5))

    assert [step.sched for step in result.steps] == [[("a", 24)], [("b", 4)]]


def test_watermark_counts_requests_admitted_in_the_same_pass() -> None:
    # Of 10 blocks 5 are spare: a and b take 1 each, c the 3 left over, d finds none although 5 are free.
    trace = [request(4, 1), request(4, 1, name="b"), request(12, 1, name="c"), request(1, 1, name="d")]
    result = simulate(trace, small(11, kv_watermark=0.5))

    assert [step.sched for step in result.steps] == [[("a", 4), ("b", 4), ("c", 12)], [("d", 1)]]


def test_step_that_runs_tokens_takes_a_microsecond_at_least() -> None:
    result = simulate([request(8, 3)], small(step_time=blackbox(0, 0, 0)))

    assert [step.dt for step in result.steps] == [1, 1, 1]


@pytest.mark.parametrize("last_prompt_token_is_decode", [False, True])
def test_aggregates_of_chunked_prefills_beside_a_decode(last_prompt_token_is_decode: bool) -> None:
    seen: list[BatchAggregates] = []

    def step_time(batch: BatchAggregates) -> int:
        seen.append(batch)
        return 1000

    config = small(
        step_time=step_time,
        max_num_scheduled_tokens=5,
        last_prompt_token_is_decode=last_prompt_token_is_decode,
    )
    simulate([request(8, 2), request(3, 1, name="b")], config)

    assert seen == [
        # a: tokens 1 to 5, 1 + 2 + 3 + 4 + 5 pairs
        BatchAggregates(5, 0, 0, 15, 5, 1, 5),
        # a: tokens 6 to 8, 6 + 7 + 8 pairs; b: tokens 1 and 2, 1 + 2 pairs
        BatchAggregates(5, 0, 0, 24, 10, 2, 8),
        # a decodes behind 8 tokens; b: its last prompt token behind 2
        BatchAggregates(0, 2, 10, 0, 0, 0, 0) if last_prompt_token_is_decode else BatchAggregates(1, 1, 8, 3, 3, 1, 3),
    ]


def test_ties_keep_the_given_order_also_against_arrival() -> None:
    # Both visible at 100: the later arrival has the shorter prompt and stands first in the trace.
    result = simulate(
        [request(4, 1, arrival_us=96, name="b"), request(8, 1, arrival_us=92)], small(alpha=(0.0, 1.0, 0.0))
    )

    assert result.steps[0].sched == [("b", 4), ("a", 8)]


def test_stall_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scheduler, "_may_enter", lambda *_: False)
    with pytest.raises(StallError, match="at 0 µs nothing can be scheduled"):
        simulate([request(8, 1)], small())
