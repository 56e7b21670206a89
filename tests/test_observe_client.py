"""What one request may come to: every failure is a record with a status and a reason."""

import asyncio
import base64
import html
import json
import socket
from urllib.parse import quote

import numpy as np
import polars as pl
import pytest
from helpers_observe import errors, measure, statuses, table_of
from helpers_server import HEAD, answer, serving
from hypothesis import given
from hypothesis import strategies as st

from blis.measurement.observe.secrets import Secret

KEY = "sk-very/secret-0123456789"


def outcome(tmp_path, behave, table=None, **options):
    """Status and reason of the first of the requests, and the records."""
    with serving(behave) as server:
        _, records = measure(tmp_path, server.url, table_of([0]) if table is None else table, **options)
    return statuses(records)[0], errors(records)[0], records


async def refuse(call):
    await call.respond(500, '{"error": "no\n   GPU"}')


async def redirect(call):
    await call.respond(307, "", f"Location: http://{call.headers['host']}/elsewhere\r\n")


async def half_a_stream(call):
    await call.send(HEAD)
    await call.token(" a")
    await call.send(b"0\r\n\r\n")


async def cut(call):
    await call.send(HEAD)
    await call.token(" a")
    call.writer.close()


async def reset(call):
    await call.send(HEAD)
    await call.token(" a")
    linger = call.writer.get_extra_info("socket")
    linger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    call.writer.transport.abort()


async def hang_up(call):
    call.writer.close()


async def not_http(call):
    await call.send(b"220 smtp.example.org ESMTP\r\n\r\n")
    call.writer.close()


async def no_headers(call):
    await asyncio.sleep(30)


async def stall(call):
    await call.send(HEAD)
    await call.token(" a")
    await asyncio.sleep(30)


async def error_event(call):
    await call.send(HEAD)
    await call.token(" a")
    await call.event({"error": {"message": "out of memory"}})
    await call.end()


async def nothing(call):
    await call.send(HEAD)
    await call.end()


async def no_stream(call):
    await call.respond(200, '{"choices": [{"text": "a"}]}')


@pytest.mark.parametrize(
    ("behave", "status", "reason", "chunks"),
    [
        (refuse, "error", 'HTTP 500: {"error": "no GPU"}', 0),
        (redirect, "error", "HTTP 307: ", 0),
        (half_a_stream, "error", "stream ended early, after 1 chunks", 1),
        (cut, "error", "read error: ", 1),
        (reset, "error", "read error: ", 1),
        (hang_up, "error", "HTTP error: Server disconnected", 0),
        (not_http, "error", "HTTP error: ", 0),
        (no_headers, "timeout", "timeout: no complete answer within 0.3 s", 0),
        (stall, "timeout", "timeout: no complete answer within 0.3 s", 1),
        (error_event, "error", 'error in the stream: {"error": {"message": "out of memory"}}', 1),
        (nothing, "error", "the stream held no tokens", 0),
        (no_stream, "error", "stream ended early, after 0 chunks", 0),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_failures_of_streams(tmp_path, behave, status, reason, chunks):
    found, why, records = outcome(tmp_path, behave, timeout_s=0.3)
    assert found == status
    assert why.startswith(reason.strip())
    assert records.num_chunks[0] == chunks
    assert (records.first_chunk_us[0] > 0) == (chunks > 0)
    assert 0 < records.arrival_us[0] <= records.send_us[0]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{", "JSON parse error: "),
        ("<html>", "JSON parse error: "),
        ("[]", "no answer: []"),
        ('{"choices": []}', 'no answer: {"choices": []}'),
        ('{"object": "error", "message": "no"}', "no answer: {"),
    ],
)
def test_failures_of_whole_answers(tmp_path, body, reason):
    async def behave(call):
        await call.respond(200, body)

    status, why, _ = outcome(tmp_path, behave, streaming=False)
    assert (status, why[: len(reason)]) == ("error", reason)


def test_nobody_listens(tmp_path):
    with socket.socket() as taken:  # a port that nobody else gets meanwhile
        taken.bind(("127.0.0.1", 0))
        summary, records = measure(tmp_path, f"http://127.0.0.1:{taken.getsockname()[1]}", table_of([0, 1, 2]))
    assert statuses(records) == ["error"] * 3
    assert all(why.startswith("HTTP error: Cannot connect to host 127.0.0.1") for why in errors(records))
    assert (summary["ok"], summary["error"], sum(summary["errors"].values())) == (0, 3, 3)
    assert summary["ttft_p50_ms"] is None


def test_failures_do_not_disturb_others(tmp_path):
    async def behave(call):
        await (answer, refuse, cut)[call.number % 3](call)

    with serving(behave) as server:
        summary, records = measure(tmp_path, server.url, table_of(range(0, 90, 10)), max_concurrency=1)
    assert statuses(records) == ["ok", "error", "error"] * 3
    assert (summary["ok"], summary["error"], summary["judged"]) == (3, 6, 3)


def test_chunks_that_are_no_json_count(tmp_path):
    async def behave(call):
        await call.send(HEAD)
        await call.event("{oops")
        await call.token(" a")
        await call.end()

    status, _, records = outcome(tmp_path, behave)
    assert (status, records.num_chunks[0], records.output_tokens[0]) == ("ok", 2, 2)


def test_what_is_no_token_stamps_nothing(tmp_path):
    """Who speaks, comments and counts come before and after the tokens, and are none."""

    async def behave(call):
        await call.send(HEAD)
        await call.token("", role="assistant")
        await call.send(b"8\r\n: ping\n\n\r\n")
        await asyncio.sleep(0.15)
        for text in (" a", "", " b"):
            await call.token(text)
        await call.token("", "stop")
        await asyncio.sleep(0.15)
        await call.usage(31, 3)
        await call.end()

    _, _, records = outcome(tmp_path, behave, api_format="chat")
    assert (records.num_chunks[0], records.input_tokens[0], records.output_tokens[0]) == (3, 31, 3)
    assert records.first_chunk_us[0] - records.send_us[0] >= 150_000
    assert records.last_chunk_us[0] - records.first_chunk_us[0] < 150_000


def test_thoughts_are_tokens(tmp_path):
    async def behave(call):
        await call.send(HEAD)
        await call.token(None, role="assistant", reasoning_content="hm")
        await call.token("a", "stop")
        await call.end()

    assert outcome(tmp_path, behave, api_format="chat")[2].num_chunks[0] == 2


def test_events_may_come_in_any_pieces(tmp_path):
    async def behave(call):
        stream = "".join(f'data:{{"choices": [{{"text": "{text}"}}]}}\r\n\r\n' for text in "äb").encode()
        await call.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for at in range(0, len(stream), 7):
            await call.send(stream[at : at + 7])
            await asyncio.sleep(0.001)
        await call.send(b"data: [DONE]")  # and no end of the line
        call.writer.close()

    status, _, records = outcome(tmp_path, behave)
    assert (status, records.num_chunks[0]) == ("ok", 2)


def test_counts_that_a_server_leaves_out(tmp_path):
    async def behave(call):
        await call.send(HEAD)
        for _ in range(3):
            await call.token(" a")
        await call.end()

    with serving(behave) as server:
        summary, records = measure(tmp_path, server.url, table_of([0, 1], input_tokens=17))
    assert records.input_tokens.tolist() == [17, 17]
    assert records.output_tokens.tolist() == [3, 3]
    assert summary["missing_usage"] == 2


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("api_format", ["completions", "chat"])
def test_what_is_asked_for(tmp_path, api_format, streaming):
    with serving() as server:
        how = {"api_format": api_format, "streaming": streaming, "ignore_eos": True, "api_key": KEY}
        summary, records = measure(tmp_path, server.url + "/v1/", table_of([0], 25, 6), **how)
        (call,) = server.calls
    assert len(call.text().split()) == records.input_tokens[0] == 25
    assert (records.output_tokens[0], records.num_chunks[0]) == (6, 6 if streaming else 1)
    assert records.streaming[0] == streaming
    assert call.body | {"prompt": 0, "messages": 0} == {
        "model": "m",
        "max_tokens": 6,
        "temperature": 0,
        "ignore_eos": True,
        "stream": streaming,
        "prompt": 0,
        "messages": 0,
        **({"stream_options": {"include_usage": True}} if streaming else {}),
    }
    assert call.headers["authorization"] == f"Bearer {KEY}"
    assert (summary["ttft_p50_ms"] is not None) == streaming


@pytest.mark.parametrize(
    "escape",
    [
        str,
        lambda key: json.dumps(key).replace("/", "\\/"),
        lambda key: "".join(f"\\u{ord(c):04x}" for c in key),
        lambda key: "".join(f"\\\\u{ord(c):04X}" for c in key),
        quote,
        lambda key: quote(key, safe="").replace("%", "%25"),
        lambda key: "".join(f"%{ord(c):02x}" for c in key),
        lambda key: "".join(f"&#{ord(c)};" for c in key),
        lambda key: "".join(f"&#x{ord(c):X};" for c in key),
        lambda key: base64.b64encode(key.encode()).decode(),
        lambda key: base64.urlsafe_b64encode(b"u:" + key.encode()).decode(),
        lambda key: base64.b64encode(b"Bearer " + key.encode() + b"\n").decode(),
        lambda key: key.encode().hex(),
        lambda key: key.encode().hex().upper(),
    ],
)
def test_an_echoed_key_is_not_kept(tmp_path, escape):
    async def behave(call):
        await call.respond(401, f"wrong key {escape(KEY)}" + " " * 70_000 + KEY)

    status, why, _ = outcome(tmp_path, behave, api_key=KEY)
    assert status == "error"
    assert why.startswith("HTTP 401: wrong key ")
    assert "[API key]" in why
    for path in tmp_path.iterdir():
        assert b"secret" not in path.read_bytes()
        assert escape(KEY).encode() not in path.read_bytes()


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30))
def test_a_key_of_any_characters(key):
    secret = Secret(key)
    for written in (key, json.dumps(key)[1:-1], quote(key, safe=""), html.escape(key), key.encode().hex()):
        masked = secret.masked(f"<<{written}>>")
        assert "[API key]" in masked
        assert written not in masked.replace("[API key]", "")
    assert Secret("").masked("text") == "text"


@pytest.mark.parametrize("end", ["\r\r", "\n\n", "\r\n\r\n"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_streams_of_any_line_ends_behind_a_byte_order_mark(tmp_path, end, size):
    async def behave(call):
        events = [f'data: {{"choices": [{{"text": "{text}"}}]}}' for text in "äb"]
        stream = ("\ufeff" + end.join([*events, "data: [DONE]", ""])).encode()
        await call.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for at in range(0, len(stream), size):
            await call.send(stream[at : at + size])
        call.writer.close()

    status, _, records = outcome(tmp_path, behave)
    assert (status, records.num_chunks[0]) == ("ok", 2)


def test_times_of_chunks(tmp_path):
    async def behave(call):
        await answer(call, 0.03, 0.02)

    with serving(behave) as server:
        summary, records = measure(tmp_path, server.url, table_of([0, 5]), chunk_times=tmp_path / "c.parquet")
    frame = pl.read_parquet(tmp_path / "c.parquet")
    times = [np.array(row) for row in frame["time_us"]]
    assert frame["request_id"].to_list() == [0, 1]
    assert [len(row) for row in times] == records.num_chunks.tolist() == [4, 4]
    assert [row[0] for row in times] == records.first_chunk_us.tolist()
    assert [row[-1] for row in times] == records.last_chunk_us.tolist()
    gaps = np.concatenate([np.diff(row) for row in times])
    assert summary["itl_mean_ms"] == pytest.approx(gaps.mean() / 1000)


def test_connections_are_used_again(tmp_path):
    ports = set()

    async def behave(call):
        ports.add(call.writer.get_extra_info("peername"))
        await answer(call)

    outcome(tmp_path, behave, table_of(range(0, 100, 10)), max_concurrency=1)
    assert len(ports) == 1
