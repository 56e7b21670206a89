"""Drives the compiled engine with the requests of tests, and reads its step log."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from helpers_vectors import VectorRun, ref_config
from reference.records import RefOutcome

from blis._core.codes import NEVER, LogRecord, RequestStatus
from blis.config.schema import EngineConfig
from blis.latency.law import LatencyModel, compile_law
from blis.simulation import Control, Run
from blis.workload.requests import LiteralTokens, RequestTable, Sessions


class Request(Protocol):
    """What a test's request has."""

    arrival_us: int
    prompt: tuple[int, ...]
    output: tuple[int, ...]
    priority: int
    max_tokens: int | None


def table_of(requests: Sequence[Request]) -> RequestTable:
    """Requests with literal tokens as a table."""
    tokens = [request.prompt + request.output for request in requests]
    lengths = [len(t) for t in tokens]
    return RequestTable(
        arrival_us=np.array([r.arrival_us for r in requests], np.int64),
        input_tokens=np.array([len(r.prompt) for r in requests], np.int64),
        output_tokens=np.array([len(r.output) for r in requests], np.int64),
        content=LiteralTokens(
            np.array([token for t in tokens for token in t], np.int32),
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        ),
        priority=np.array([r.priority for r in requests], np.int64),
        sessions=sessions_of(requests),
        max_tokens=np.array(
            [len(r.output) if r.max_tokens is None else max(r.max_tokens, len(r.output)) for r in requests]
        ),
    )


def sessions_of(requests: Sequence[Request]) -> Sessions | None:
    """Who waits for whom; None: nobody."""
    after = np.array([getattr(r, "after", -1) for r in requests])
    if (after < 0).all():
        return None
    turn = np.array([0 if r.after < 0 or r.begins else 1 for r in requests])
    return Sessions(np.zeros(len(requests), np.int64), turn, after, np.array([r.think_us for r in requests]))


def _all_aggregates(
    prefill_tokens,
    num_decodes,
    decode_context_tokens,
    attention_pairs,
    prefill_context_tokens,
    num_prefills,
    max_prefill_context_tokens,
    parameters,
):
    """A law that any change of any aggregate shows in."""
    return int(
        parameters[0]
        + 3 * prefill_tokens
        + 5 * num_decodes
        + 7 * decode_context_tokens
        + 11 * attention_pairs
        + 13 * prefill_context_tokens
        + 17 * num_prefills
        + 19 * max_prefill_context_tokens
    )


@functools.cache
def _compiled_all_aggregates() -> Any:
    return compile_law(_all_aggregates)


def all_aggregates_model(last_prompt_token_is_decode: bool) -> LatencyModel:
    """A step time in which every aggregate counts, so that a wrong one is a wrong time."""
    return LatencyModel(
        "all aggregates", (40.0, 0.5, 12.9), _compiled_all_aggregates, np.array([100.0]), last_prompt_token_is_decode
    )


def all_aggregates_time(aggregates: Any) -> int:
    """The same law for the reference engine."""
    return _all_aggregates(*aggregates, parameters=(100.0,))


class Step(NamedTuple):
    """One step of the log."""

    t: int
    dt: int
    sched: list[tuple[int, int]]
    admitted: dict[int, int]
    resumed: dict[int, int]
    preempted: list[int]
    finished: list[int]
    pre_tok: int
    dec: int
    free: int
    free_end: int
    run: int
    wait: int
    plan: int


def logged_steps(run: Run, instance: int = 0) -> list[Step]:
    """The step log of a run with ``log_steps`` as one record per step."""
    steps: list[Step] = []
    fields = _nothing()
    planned: list[dict[str, Any]] = []  # whose end is still to come
    finished: list[int] = []
    for code, a, b, c in run.steps(instance).tolist():
        match LogRecord(code):
            case LogRecord.PLAN:
                fields["plan"] = a
            case LogRecord.STEP:
                fields = {"plan": a} | fields | {"t": a, "dt": b, "free": c}
                planned.append(fields)
                current, fields = fields, _nothing()
            case LogRecord.LOAD:
                current |= {"pre_tok": a, "dec": b}
            case LogRecord.SCHEDULED:
                current["sched"].append((a, b))
            case LogRecord.ADMITTED:
                fields["resumed" if c else "admitted"][a] = b
            case LogRecord.PREEMPTED:
                fields["preempted"].append(a)
            case LogRecord.FINISHED:
                finished.append(a)
            case LogRecord.END:
                steps.append(Step(**planned.pop(0), finished=finished, free_end=a, run=b, wait=c))
                finished = []
    return steps


def _nothing() -> dict[str, Any]:
    return {"sched": [], "admitted": {}, "resumed": {}, "preempted": [], "pre_tok": 0, "dec": 0}


def run_engine_on(
    requests: Sequence[Request],
    engine: EngineConfig,
    latency: LatencyModel,
    *,
    control: Control | None = None,
    horizon_us: int | None = None,
    **how: Any,
) -> Run:
    """A finished run; ``how`` are further arguments of `Run`."""
    run = Run(table_of(requests), engine, latency, control, horizon_us, **how)
    run.load()
    run.advance()
    return run


def stamp(time_us: int) -> int | None:
    """A time of the engine's results as the reference has it."""
    return None if time_us == NEVER else int(time_us)


def assert_served_alike(result: Any, i: int, want: RefOutcome) -> None:
    """Request ``i`` of a compiled engine's result fared as in the reference: state, times, preemptions, tokens."""
    assert RequestStatus(result.status[i]).name.lower() == want.status
    got = (
        stamp(result.enqueued_us[i]),
        stamp(result.first_scheduled_us[i]),
        stamp(result.first_started_us[i]),
        stamp(result.first_token_us[i]),
        stamp(result.finished_us[i]),
        int(result.num_preemptions[i]),
        int(result.produced_tokens[i]),
        int(result.cached_tokens[i]),
    )
    assert got == (
        want.visible_us,
        want.first_scheduled_us,
        want.first_started_us,
        want.first_token_us,
        want.finish_us,
        want.n_preemptions,
        want.n_out,
        want.cached_first,
    )


def engine_config(run: VectorRun) -> EngineConfig:
    """The configuration of a recorded run."""
    names = {field.name for field in dataclasses.fields(EngineConfig)}
    reference = ref_config(run)
    return EngineConfig(**{name: getattr(reference, name) for name in names})
