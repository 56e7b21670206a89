"""Measured durations: a vLLM server's stamps, and results of its benchmark, become a TraceV2 of what was measured."""

import json

import pytest
from helpers_convert import RESULT

from blis.cli.main import main
from blis.workload.content import shared_blocks
from blis.workload.traces.loading import load_trace
from blis.workload.traces.tracev2.tracev2 import load_tracev2, read_tracev2, trace_paths

#: The engine's clock began 1,699,990,000 s after 1970; the second request took longest to be queued.
STAMPS = [
    {"request_id": "a", "input_toks": 40, "output_toks": 3, "arrival_time": 1_700_000_000.25, "queued_ts": 10_000.26},
    {"request_id": "b", "input_toks": 40, "output_toks": 1, "arrival_time": 1_700_000_001.0, "queued_ts": 10_001.06},
]
TOKENS = [(10_000.5, 10_001.5), (10_001.76, 10_001.76)]


def stamps(rows=STAMPS, tokens=TOKENS, **changed):
    records = [
        row | {"first_token_ts": first, "last_token_ts": last} | changed
        for row, (first, last) in zip(rows, tokens, strict=True)
    ]
    return "\n".join(map(json.dumps, records)) + "\n"


@pytest.fixture
def converted(tmp_path, capsys):
    def converted(text, *args, name="stamps.jsonl", target="out.yaml", code=0):
        (tmp_path / name).write_text(text, encoding="utf-8")
        found = main(["convert", str(tmp_path / name), str(tmp_path / target), *map(str, args)])
        assert found == code
        return capsys.readouterr().err

    return converted


def test_stamps_become_what_was_measured(tmp_path, converted):
    converted(stamps())
    header, records = read_tracev2(trace_paths(tmp_path / "out")[0])
    assert header.mode == "real"
    assert records.send_us.tolist() == records.arrival_us.tolist() == [0, 750_000]
    # offset of the clocks: the least of queued - arrival, that of a; its front-end time of 10 ms cannot be seen
    assert (records.first_chunk_us - records.send_us).tolist() == [240_000, 750_000]
    assert (records.last_chunk_us - records.send_us).tolist() == [1_240_000, 750_000]
    assert records.streaming.tolist() == [True, False]
    assert records.num_chunks.tolist() == [3, 1]


def test_hash_ids_of_another_file_say_who_shares_tokens(tmp_path, converted):
    ids = tmp_path / "ids.jsonl"
    ids.write_text('{"request_id": "b", "hash_ids": [7, 9]}\n{"request_id": "a", "hash_ids": [7, 8]}\n')
    converted(stamps(), "--hash-ids", ids, "--hash-block-tokens", 16)
    table = load_tracev2(trace_paths(tmp_path / "out")[0]).table
    assert shared_blocks(table, 16).num_shared.tolist() == [1, 1]
    ids.write_text('{"request_id": "b", "hash_ids": [7, 9]}\n')
    assert "stamps.jsonl: line 1: request_id: " in converted(stamps(), "--hash-ids", ids, code=2)
    ids.write_text('{"request_id": "b", "hash_ids": "no"}\n')
    assert "ids.jsonl: line 1: hash_ids: expected a list" in converted(stamps(), "--hash-ids", ids, code=2)


def test_a_trace_to_run_keeps_lengths_and_arrivals(tmp_path, converted):
    converted(stamps(), target="out.parquet")
    table = load_trace(tmp_path / "out.parquet")
    assert table.arrival_us.tolist() == [0, 750_000]
    assert table.output_tokens.tolist() == [3, 1]


def test_under_another_rate_nothing_was_measured(tmp_path, converted):
    converted(stamps(), "--scale-rate", 2)
    header, records = read_tracev2(trace_paths(tmp_path / "out")[0])
    assert header.mode == "generated"
    assert not records.first_chunk_us.any()


def test_requests_that_never_got_a_token_are_left_out(tmp_path, converted):
    said = converted(stamps(tokens=[TOKENS[0], (0.0, 0.0)]))
    assert "left out 1 requests that failed" in said
    assert len(read_tracev2(trace_paths(tmp_path / "out")[0])[1]) == 1


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"input_toks": -1}, "line 1: input_toks: expected a whole number in [0, 2147483647], got -1"),
        ({"queued_ts": None}, "line 1: queued_ts: expected seconds, got None"),
        ({"first_token_ts": 9_000.0}, "line 1: queued_ts to last_token_ts: must not decrease, got 10000.26, 9000.0"),
    ],
)
def test_wrong_stamps_are_refused(converted, changed, says):
    assert says in converted(stamps(**changed), "--from", "vllm-stamps", code=2)


def test_results_of_vllms_benchmark_are_measured_too(tmp_path, converted):
    converted(json.dumps(RESULT), name="result.json")
    header, records = read_tracev2(trace_paths(tmp_path / "out")[0])
    assert header.mode == "real"
    assert records.send_us.tolist() == [0, 1_500_000]
    assert (records.first_chunk_us - records.send_us).tolist() == [100_000, 200_000]
    assert (records.last_chunk_us - records.send_us).tolist() == [130_000, 210_000]


def test_a_result_with_a_latency_that_is_none_is_refused(converted):
    wrong = converted(json.dumps(RESULT | {"itls": [[0.01, None], [], [0.01]]}), name="result.json", code=2)
    assert "itls[0]: expected a number in" in wrong


def test_a_result_without_latencies_is_what_is_to_be_sent(tmp_path, converted):
    converted(json.dumps({key: value for key, value in RESULT.items() if key != "itls"}), name="result.json")
    assert read_tracev2(trace_paths(tmp_path / "out")[0])[0].mode == "generated"
