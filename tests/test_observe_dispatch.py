"""When requests are sent, and what conversations say."""

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers_observe import errors, measure, sessions_of, statuses, table_of
from helpers_server import answer, serving

from blis.measurement.observe.sample import Sample
from blis.measurement.observe.summary import lateness
from blis.workload.requests import LiteralTokens, TokenStreams
from blis.workload.traces.tracev2.tracev2 import load_tracev2, trace_paths


async def slow(call):
    await answer(call, 0.1)


def test_requests_go_at_their_times_whatever_the_server_does(tmp_path):
    arrival_ms = [120, 0, 40, 40, 80]  # rows need not be sorted
    with serving(slow) as server:
        summary, records = measure(tmp_path, server.url, table_of(arrival_ms))
    assert (records.arrival_us - records.arrival_us.min()).tolist() == [1000 * ms for ms in arrival_ms]
    assert (records.send_us >= records.arrival_us).all()
    assert (records.first_chunk_us - records.send_us >= 100_000).all()
    assert server.most_at_once > 2
    assert summary["not_sent"] == 0


def test_no_more_than_so_many_at_once(tmp_path, caplog):
    with serving(slow) as server:
        summary, records = measure(tmp_path, server.url, table_of([0] * 6), max_concurrency=2)
    assert server.most_at_once == 2
    assert statuses(records) == ["ok"] * 6
    assert summary["saturated"]
    assert summary["waited_for_a_slot"] == 4
    assert "half of the requests were sent over" in caplog.text


@pytest.mark.parametrize(
    ("late_us", "slot_wait_us", "cause"),
    [(9_000, 0, None), (90_000, 85_000, "max_concurrency"), (90_000, 50_000, "client")],
)
def test_whose_fault_it_is_that_requests_are_late(late_us, slot_wait_us, cause):
    sent = [Sample(row, 0, send_us=late_us, slot_wait_us=slot_wait_us) for row in range(3)]
    figures = lateness(sent)
    assert (figures["saturated"], figures["saturated_by"]) == (cause is not None, cause)
    assert figures["lateness_p50_ms"] == late_us / 1000


def test_turns_wait_for_their_answers(tmp_path):
    sessions = sessions_of([0, 0, 0, -1], [0, 1, 2, 0], [-1, 0, 1, -1], [0, 50, 0, 0])
    with serving(slow) as server:
        _, records = measure(tmp_path, server.url, table_of([0, 0, 0, 20], sessions=sessions))
    assert records.arrival_us[1] == records.last_chunk_us[0] + 50_000
    assert records.arrival_us[2] == records.last_chunk_us[1] + 1
    assert (records.send_us >= records.arrival_us).all()
    assert records.round_index.tolist() == [0, 1, 2, 0]


def test_after_a_failed_turn_the_user_begins_anew(tmp_path):
    """Two sessions of one user, one after the other; the first turn of all fails."""

    async def behave(call):
        await (call.respond(503, "busy") if call.number == 0 else answer(call))

    sessions = sessions_of([0, 0, 0, 1, 1], [0, 1, 2, 0, 1], [-1, 0, 1, 2, 3], 10)
    with serving(behave) as server:
        summary, records = measure(tmp_path, server.url, table_of([0] * 5, sessions=sessions))
    assert statuses(records) == ["error", "error", "error", "ok", "ok"]
    assert errors(records)[1:3] == ["not sent: request_0 of its session ended with error"] * 2
    assert records.send_us[1:3].tolist() == [0, 0]
    assert (np.diff(records.arrival_us) >= 10_000).all()
    assert (len(server.calls), summary["sent"], summary["not_sent"]) == (3, 3, 2)
    replayed = load_tracev2(trace_paths(tmp_path / "t")[0])
    assert replayed.table.request_number.tolist() == [3, 4]


def test_the_horizon_ends_the_sending(tmp_path, caplog):
    sessions = sessions_of([0, 0, -1], [0, 1, 0], [-1, 0, -1], 500)
    with serving() as server:
        summary, records = measure(
            tmp_path, server.url, table_of([0, 0, 90_000], sessions=sessions), horizon_us=300_000
        )
    assert records.request_id.tolist() == [0]
    assert (summary["sent"], summary["not_sent"], summary["interrupted"]) == (1, 2, False)


def growing(count, own=30, output=4):
    """A conversation with a shared prefix of 12 tokens, whose prompts hold all that was said before."""
    turn = np.arange(count)
    streams = TokenStreams(np.ones(count, dtype=int), np.array([-1, 0]), np.array([0, 12]))
    sessions = sessions_of([0] * count, turn, turn - 1, 1)
    return table_of([0] * count, own * (turn + 1) + output * turn, output, content=streams, sessions=sessions)


@pytest.mark.parametrize("api_format", ["completions", "chat"])
def test_prompts_hold_the_real_answers(tmp_path, api_format):
    async def behave(call):
        await answer(call, text=f" answer{call.number}")

    with serving(behave) as server:
        _, records = measure(tmp_path, server.url, growing(3), api_format=api_format)
    asked = [call.text() for call in server.calls]
    said = [f" answer{number}" * 4 for number in range(3)]
    assert asked[1].startswith(asked[0] + said[0])
    assert asked[2].startswith(asked[1] + said[1])
    assert [len(text.split()) for text in asked] == [30, 64, 98] == records.input_tokens.tolist()
    if api_format == "chat":
        roles = [[m["role"] for m in call.body["messages"]] for call in server.calls]
        assert roles == [["user"], ["user", "assistant", "user"], ["user", "assistant"] * 2 + ["user"]]
        assert server.calls[2].body["messages"][3]["content"] == said[1]


def test_replayed_conversations_do_not_wait_for_answers(tmp_path):
    """Open loop: a turn whose predecessor is still being answered says words in its place."""
    table = growing(3)
    sessions = sessions_of([0] * 3, [0, 1, 2], [-1] * 3)
    table = table_of([0, 50, 400], table.input_tokens, 4, content=table.content, sessions=sessions)
    with serving(slow) as server:
        _, records = measure(tmp_path, server.url, table)
    asked = [call.text() for call in server.calls]
    assert statuses(records) == ["ok"] * 3
    assert (records.arrival_us - records.arrival_us[0]).tolist() == [0, 50_000, 400_000]
    assert asked[1].startswith(asked[0])
    assert "yes yes" not in asked[1]
    assert asked[2].startswith(asked[1] + " yes" * 4)


@pytest.mark.parametrize("counted", [-3, 0, 5])
def test_the_trace_shares_what_was_shared(tmp_path, counted):
    """Whatever the server counts: who follows whom stays the same in the replay."""

    async def behave(call):
        call.body["prompt"] += " more" * counted if counted > 0 else ""
        call.body["prompt"] = " ".join(call.body["prompt"].split()[: counted if counted < 0 else None])
        await answer(call)

    rng = np.random.default_rng(1)
    first, second, other = rng.integers(0, 1000, 30), rng.integers(0, 1000, 26), rng.integers(0, 1000, 24)
    ids = np.concatenate((first, first, second, first[:10], other)).astype(np.int32)
    table = table_of(
        [0, 0, 5],
        [26, 50, 30],
        [4, 6, 4],
        content=LiteralTokens(ids, np.array([0, 30, 86, 120])),
        sessions=sessions_of([0, 0, -1], [0, 1, 0], [-1, 0, -1]),
    )
    with serving(behave) as server:
        _, records = measure(tmp_path, server.url, table)
    assert records.input_tokens.tolist() == [26 + counted, 50 + counted, 30 + counted]
    replayed = load_tracev2(trace_paths(tmp_path / "t")[0]).table
    assert replayed.input_tokens.tolist() == records.input_tokens.tolist()
    starts, tokens = replayed.content.offsets, replayed.content.token_ids
    turns = [tokens[starts[row] : starts[row + 1]] for row in range(3)]
    assert np.array_equal(turns[1][: len(turns[0])], turns[0])
    assert np.array_equal(turns[2][:10], turns[0][:10])
    assert turns[2][10] != turns[0][10]
    assert len(server.calls) == 3


def test_a_measurement_may_run_in_any_thread(tmp_path):
    with serving() as server, ThreadPoolExecutor() as pool:
        summary, _ = pool.submit(measure, tmp_path, server.url, table_of([0, 5])).result()
    assert summary["ok"] == 2


def test_a_measurement_that_breaks_down_at_once_leaves_no_files(tmp_path, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("blis.measurement.observe.observing.Clock", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure(tmp_path, "http://localhost:1", table_of([0]))
    assert list(tmp_path.iterdir()) == []


def test_all_in_flight_are_recorded_when_stopped(tmp_path):
    """SIGTERM in this process: the loop's handler ends the measurement."""

    async def behave(call):
        if call.number == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(30)

    with serving(behave) as server:
        summary, records = measure(tmp_path, server.url, table_of([0, 10, 20, 60_000]))
    assert (statuses(records), errors(records)) == (["error"] * 3, ["interrupted"] * 3)
    assert (summary["interrupted"], summary["sent"], summary["not_sent"]) == (True, 3, 1)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
