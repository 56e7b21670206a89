"""Requests that wait for others: closed forms, conversations as streams and as tokens, sessions that fail.

Random cases against the reference cluster are in test_cluster_random.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from helpers_outcomes import ints

from blis._core.codes import NEVER, RequestStatus
from blis.config.schema import ClusterOptions, EngineConfig
from blis.errors import WorkloadError
from blis.latency.blackbox import blackbox_model
from blis.outcomes.metrics.sessions import STATES, session_figures
from blis.outcomes.outcomes import Outcomes
from blis.simulation import control_of, run_engine
from blis.workload.requests import LiteralTokens, RequestTable, Sessions, TokenStreams

ROOMY = EngineConfig(total_kv_blocks=100_000)


def chains(count: int, length: int, think_us: np.ndarray, *, turns: bool) -> Sessions:
    """So many chains of requests, row after row: link k of chain c is row ``k * count + c``."""
    rows = np.arange(count * length)
    link = rows // count
    session = rows % count if turns else rows
    after = np.where(link == 0, -1, rows - count)
    return Sessions(session, link if turns else np.zeros_like(rows), after, np.where(link == 0, 0, think_us))


def test_a_turn_arrives_when_the_one_before_has_been_read_and_thought_about():
    """Prefill 1 ms, one more token 1 ms, the client spends 10 µs per token, thinks 500 µs."""
    table = RequestTable(ints(100, 0), ints(8, 24), ints(2, 1), sessions=chains(1, 2, ints(0, 500), turns=True))
    result = run_engine(table, ROOMY, blackbox_model((0, 0, 10), (1_000, 0, 0)))
    assert result.finished_us.tolist() == [2_100, 2_100 + 20 + 500 + 1_000]
    assert result.arrival_us.tolist() == [100, 2_620]


def machine_repairman_utilisation(users: int, service_over_think: float) -> float:
    """Of one server with exponential service that ``users`` visit after exponential think times (M/M/1//N)."""
    terms = [math.perm(users, k) * service_over_think**k for k in range(users + 1)]
    return 1 - terms[0] / sum(terms)


@pytest.mark.parametrize(("users", "think_ms"), [(1, 400), (4, 800), (10, 1_500)])
def test_machine_repairman(users, think_ms):
    """One seat, service of 200 ms on average; the closed form is that of the finite-source queue."""
    rng = np.random.default_rng(users)
    length = 40_000 // users
    tokens = np.maximum(np.rint(rng.exponential(200, users * length)), 1).astype(np.int64)
    think_us = np.rint(rng.exponential(think_ms * 1_000, users * length)).astype(np.int64)
    arrival_us = np.where(np.arange(users * length) < users, think_us, 0)
    sessions = chains(users, length, think_us, turns=False)
    table = RequestTable(arrival_us, np.ones_like(tokens), tokens, sessions=sessions)
    engine = dataclasses.replace(ROOMY, max_num_running_reqs=1)
    result = run_engine(table, engine, blackbox_model((0, 0, 0), (1_000, 0, 0)))
    assert (result.status == RequestStatus.COMPLETED).all()
    until_us = int(result.finished_us.reshape(length, users)[-1].min())  # from then on users are missing
    busy_us = 1_000 * tokens[result.finished_us <= until_us].sum()
    expected = machine_repairman_utilisation(users, tokens.mean() / think_ms)
    assert busy_us / until_us == pytest.approx(expected, rel=0.02)


def conversations(rng: np.random.Generator, count: int, turns: int) -> tuple[RequestTable, RequestTable]:
    """The same conversations as token streams and as literal tokens; a turn goes on where the last one ended."""
    new, output = (rng.integers(1, 40, (turns, count)) for _ in range(2))
    prompt = np.cumsum(new + output, axis=0) - output
    text = rng.integers(0, 10**6, (count, int((prompt + output).max())), dtype=np.int32)
    arrival_us = np.concatenate([np.sort(rng.integers(0, 200_000, count)), np.zeros((turns - 1) * count, np.int64)])
    sessions = chains(count, turns, rng.integers(0, 50_000, turns * count), turns=True)
    columns = (arrival_us, prompt.ravel(), output.ravel())
    stream = np.tile(np.arange(count), turns)
    streams = TokenStreams(stream, np.full(count, -1), np.zeros(count, np.int64))
    total = columns[1] + columns[2]
    tokens = np.concatenate([text[s, :t] for s, t in zip(stream, total, strict=True)])
    literal = LiteralTokens(tokens, np.concatenate([[0], np.cumsum(total)]))
    return RequestTable(*columns, streams, sessions=sessions), RequestTable(*columns, literal, sessions=sessions)


@pytest.mark.parametrize("policy", ["round-robin", "prefix-affinity"])
@pytest.mark.parametrize("blocks", [80, 5_000])
def test_conversations_hit_what_the_same_tokens_hit(policy, blocks):
    engine = EngineConfig(total_kv_blocks=blocks, block_size_tokens=4, max_num_scheduled_tokens=100)
    model = blackbox_model((50, 1, 2), (1_000, 10, 5))
    named, literal = conversations(np.random.default_rng(blocks), 30, 6)
    control = control_of(ClusterOptions(num_instances=3, routing_policy=policy), engine)
    a, b = (run_engine(table, engine, model, control) for table in (named, literal))
    for name in ("arrival_us", "first_token_us", "finished_us", "cached_tokens", "num_preemptions", "instance"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert a.cached_tokens[30:].sum() > 0


def test_later_turns_find_all_blocks_of_the_turns_before():
    """With room for all, a turn misses its own new tokens and an unfinished block, nothing else."""
    engine = EngineConfig(total_kv_blocks=5_000, block_size_tokens=4)
    table, _ = conversations(np.random.default_rng(1), 20, 5)
    result = run_engine(table, engine, blackbox_model((50, 1, 2), (1_000, 10, 5)))
    before = (table.input_tokens + table.output_tokens).reshape(5, 20)[:-1] - 1  # the last token has no KV
    assert result.cached_tokens.reshape(5, 20)[1:].tolist() == (before // 4 * 4).tolist()


def outcomes_of(table: RequestTable, horizon_us: int | None = None, **options) -> Outcomes:
    model = blackbox_model((0, 0, 0), (1_000, 10, 5))
    engine = dataclasses.replace(ROOMY, max_model_len=330)
    result = run_engine(table, engine, model, control_of(ClusterOptions(**options), engine), horizon_us=horizon_us)
    return Outcomes.of(table, result, model, {})


@pytest.mark.parametrize("horizon_us", [None, 400_000])
def test_every_session_ends_in_one_state(horizon_us, tmp_path):
    table, _ = conversations(np.random.default_rng(2), 60, 8)
    bucket = {"admission_policy": "token-bucket", "token_bucket_capacity": 75_000.0}
    outcomes = outcomes_of(table, horizon_us, **bucket)
    figures = session_figures(outcomes)
    assert figures is not None
    assert sum(figures[f"{state}_sessions"] for state in STATES) == figures["sessions"] == 60
    assert figures["failed_sessions"] > 0
    assert figures["completed_sessions"] > 0 or horizon_us is not None
    status = outcomes.result.status.reshape(8, 60)
    for chain in status.T.tolist():  # nothing is sent behind a turn that failed
        failed = [place for place, code in enumerate(chain) if code in (4, 5, 6)]
        assert len(failed) <= 1
        assert all(code == RequestStatus.NOT_SENT for place in failed for code in chain[place + 1 :])
    outcomes.write_parquet(tmp_path / "o.parquet")
    assert session_figures(Outcomes.read_parquet(tmp_path / "o.parquet")) == figures


def test_cold_and_warm_turns_by_hand():
    """Prefill of 100 tokens takes 2 ms cold; warm all but the new tokens are cached."""
    table = RequestTable(
        ints(0, 0),
        ints(100, 132),
        ints(16, 1),
        TokenStreams(ints(0, 0), ints(-1), ints(0)),
        sessions=chains(1, 2, ints(0, 1_000), turns=True),
    )
    figures = session_figures(outcomes_of(table))
    assert figures["cold_ttft_mean_ms"] == 2.0
    assert figures["warm_ttft_mean_ms"] == 1.2  # 115 // 16 * 16 = 112 of 132 are cached
    assert [turn["cache_hit_rate"] for turn in figures["turns"]] == [0.0, 112 / 132]
    assert figures["session_duration_mean_ms"] == 2.0 + 15 * 1.005 + 1.0 + 1.2


def test_without_sessions_there_are_no_figures():
    assert session_figures(outcomes_of(RequestTable(ints(0), ints(1), ints(1)))) is None


def test_who_was_never_sent_has_no_arrival():
    table = RequestTable(ints(0, 0), ints(400, 5), ints(1, 1), sessions=chains(1, 2, ints(0, 5), turns=True))
    outcomes = outcomes_of(table)
    assert outcomes.result.status.tolist() == [RequestStatus.REFUSED_TOO_LONG, RequestStatus.NOT_SENT]
    assert outcomes.result.arrival_us.tolist() == [0, NEVER]
    assert outcomes.requests["arrival_us"].to_list() == [0, None]
    assert outcomes.summary["not_sent_requests"] == 1
    assert outcomes.summary["injected_requests"] == 1


@pytest.mark.parametrize(
    ("after", "think_us", "says"),
    [
        ((-1, 1), (0, 0), "request 1: must wait for an earlier row"),
        ((-1, 0), (0, -5), "request 1: must wait for an earlier row and a time"),
        ((-1, 0, 0), (0, 0, 0), "request 0: more than one request waits for it"),
    ],
)
def test_sessions_that_make_no_sense(after, think_us, says):
    zeros = np.zeros(len(after), np.int64)
    with pytest.raises(WorkloadError, match=says):
        RequestTable(zeros, zeros + 1, zeros + 1, sessions=Sessions(zeros, zeros, ints(*after), ints(*think_us)))
