"""Traces that do not say the unit of their times or the size of their hash blocks."""

import json
import logging

import numpy as np
import polars as pl
import pytest
from helpers_convert import AZURE, BURSTGPT
from hypothesis import given
from hypothesis import strategies as st

from blis.cli.main import main
from blis.errors import ConfigError, InputError
from blis.workload.convert.options import TIME_UNITS, ReadOptions
from blis.workload.convert.source import Source
from blis.workload.convert.time_units import Form, decide_unit
from blis.workload.inspect.survey import inspect_trace
from blis.workload.traces.loading import load_trace

BAILIAN = {"chat_id": 1, "parent_chat_id": -1, "turn": 1, "type": "text"}


def inspected(tmp_path, times, *, fields=None, rows=None, **options):
    rows = rows or [{"input_length": 100, "output_length": 10}] * len(times)
    lines = [json.dumps({"timestamp": time, **row, **(fields or {})}) for time, row in zip(times, rows, strict=True)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    return inspect_trace(tmp_path / "in.jsonl", options=ReadOptions(**options))


#: Times, the keys besides, the span in seconds that they have, and whether there is a doubt.
TIMES = {
    "mooncake": ([0, 3000, 6000, 9000], {}, 9.0, False),
    "bailian": ([0.0, 10.5, 61.114], BAILIAN, 61.114, False),
    "bailian in whole seconds": ([0, 20, 45, 60], BAILIAN, 60.0, False),
    "seconds": ([0, 1.5, 3.25], {}, 3.25, True),
    "whole seconds": ([0, 20, 45, 60], {}, 60.0, True),
    "out of order": ([3.25, 0, 1.5], {}, 3.25, True),
    "us": ([0, 1_200_000, 2_500_000, 3_900_000], {}, 3.9, True),
    "ns": ([0, 1_200_000_000, 2_500_000_000, 3_900_000_000], {}, 3.9, True),
    "epoch s": ([1_700_000_000.25, 1_700_000_003.5], {}, 3.25, False),
    "epoch ms": ([1_700_000_000_250, 1_700_000_003_500], {}, 3.25, False),
    "epoch us": ([1_700_000_000_250_000, 1_700_000_003_500_000], {}, 3.25, False),
    "epoch ns": ([1_700_000_000_250_000_123, 1_700_000_003_500_000_999], {}, 3.25, False),
    "epoch ns as text": (["1700000000250000123", "1700000003500000999"], {}, 3.25, False),
    "epoch s as float text": (["1700000000.25", "1700000003.5"], {}, 3.25, False),
    "dense epoch": ([1_700_000_000 + k / 1000 for k in range(2000)], {}, 1.999, False),
    "dense": (list(range(2000)), {}, 1999.0, True),
    "dates": (["2024-05-10T00:00:00Z", "2024-05-10T02:00:03.25+02:00"], {}, 3.25, False),
    "dates without a zone": (["2024-05-10 00:00:00.000001", "2024-05-10 00:00:03.250001"], {}, 3.25, False),
    "one row": ([17], {}, 0.0, False),
    "all at once": ([17, 17, 17], {}, 0.0, False),
}


@pytest.mark.parametrize("name", TIMES)
def test_times_of_any_unit(tmp_path, name):
    times, fields, span_s, has_doubt = TIMES[name]
    figures = inspected(tmp_path, times, fields=fields)
    assert figures["arrivals"]["span_s"] == pytest.approx(span_s, abs=1e-6)
    assert bool(figures["doubts"]) == has_doubt
    assert all("--time-unit decides" in doubt for doubt in figures["doubts"])


@given(
    st.floats(0.5, 20),
    st.integers(20, 200),
    st.sampled_from(["s", "ms"]),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_usual_rates_tell_the_unit(tmp_path_factory, rate, count, unit, is_sorted, random):
    seconds = np.cumsum(np.random.default_rng(count).exponential(1 / rate, count))
    times = [round(second, 6) if unit == "s" else int(second * 1000) for second in seconds.tolist()]
    if not is_sorted:
        random.shuffle(times)
    source = Source(tmp_path_factory.getbasetemp() / "in")
    assert decide_unit(source, "timestamp", times, Form("ms", "as in Mooncake's traces", sure=False)) == unit
    assert bool(source.doubts) <= (unit != "ms" or rate > 10 / 3 or rate < 1)


@pytest.mark.parametrize("unit", TIME_UNITS)
def test_a_unit_that_is_given_wins(tmp_path, unit):
    for fields in ({}, BAILIAN):
        figures = inspected(tmp_path, [0, 1_000_000_000], fields=fields, time_unit=unit)
        assert figures["arrivals"]["span_s"] == pytest.approx(1e9 * TIME_UNITS[unit] / 1e6)
        assert figures["doubts"] == []
        assert not any("timestamp" in text for text in figures["assumed"])


def test_what_was_assumed_is_said(tmp_path, capsys):
    figures = inspected(tmp_path, [0.0, 10.5], fields=BAILIAN)
    said = "timestamp: taken as seconds: keys chat_id, parent_chat_id, turn are those of the Qwen-Bailian traces"
    assert said in figures["assumed"]
    source, target = tmp_path / "in.jsonl", tmp_path / "out.parquet"
    assert main(["convert", str(source), str(target)]) == 0
    assert f"blis: {said}" in capsys.readouterr().err.splitlines()
    assert load_trace(target).arrival_us.tolist() == [0, 10_500_000]
    inspected(tmp_path, [0, 1.5, 3.25])
    assert main(["convert", str(source), str(target)]) == 0
    warning = (
        f"blis: warning: {source}: timestamp: taken as seconds, 0.615 requests/s over 3.25 s; in ms it would be"
        " 615 requests/s over 0.00325 s; --time-unit decides"
    )
    assert warning in capsys.readouterr().err.splitlines()
    assert main(["inspect", str(source), "--time-unit", "ms"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["arrivals"]["rate_per_s"] == pytest.approx(615.4, abs=0.1)
    assert err == ""


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0, 5e-324], "timestamp: in which unit? Requests per second would be 1e+09 in seconds"),
        ([0, 0.001], "timestamp: in which unit? Requests per second would be 1e+03 in seconds, 1e+06 in ms"),
        (
            [1_700_000_000, 1_700_000_003_500],
            "timestamp: times since 1970 in seconds and ms, mixed; --time-unit takes s, ms",
        ),
        ([0, "2024-05-10T00:00:00Z"], "line 2: timestamp: expected numbers as in the rows before, got '2024-05-10T"),
        (["2024-05-10T00:00:00Z", 5], "line 2: timestamp: expected dates as in the rows before, got 5"),
        (["soon"], "line 1: timestamp: expected a number or a date, got 'soon'"),
        ([0, float("nan")], "line 2: timestamp: expected a number or a date, got nan"),
        ([0, 10**400], "line 2: timestamp: expected a number or a date, got 1000"),
    ],
)
def test_times_that_cannot_be_read(tmp_path, times, message):
    with pytest.raises(InputError) as caught:
        inspected(tmp_path, times)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_times_with_a_unit_take_no_other(tmp_path):
    (tmp_path / "in.csv").write_text(AZURE)
    with pytest.raises(InputError, match="time_unit: azure has times of a known unit; only burstgpt, mooncake,"):
        inspect_trace(tmp_path / "in.csv", options=ReadOptions(time_unit="ms"))
    with pytest.raises(InputError, match="timestamp: are dates, which have no unit; leave out --time-unit"):
        inspected(tmp_path, ["2024-05-10T00:00:00Z"], time_unit="ms")
    with pytest.raises(ConfigError, match="time_unit: must be one of s, ms, us, ns, got 'min'"):
        ReadOptions(time_unit="min")
    (tmp_path / "in.csv").write_text(BURSTGPT)
    figures = inspect_trace(tmp_path / "in.csv", options=ReadOptions(time_unit="ms"))
    assert figures["arrivals"]["span_s"] == pytest.approx(0.1135)


def test_burstgpt_in_another_unit(tmp_path):
    header, rows = BURSTGPT.splitlines()[0], ["m,10,10,20,log"] * 4
    for times, doubts in [((0, 1500, 3200, 5100), 1), ((0, 40, 110, 190), 0)]:
        text = "\n".join([header, *(f"{time},{row}" for time, row in zip(times, rows, strict=True))])
        (tmp_path / "in.csv").write_text(text)
        figures = inspect_trace(tmp_path / "in.csv")
        assert figures["arrivals"]["span_s"] == times[-1]
        assert len(figures["doubts"]) == doubts
        assert figures["assumed"] == ["Timestamp: taken as seconds: as in BurstGPT"]
    (tmp_path / "in.csv").write_text(f"{header}\n1700000000000,m,1,1,2,log\n1700000002500,m,1,1,2,log\n")
    figures = inspect_trace(tmp_path / "in.csv", options=ReadOptions(time_unit="ms"))
    assert figures["arrivals"]["span_s"] == 2.5


def test_a_quote_that_is_not_closed_is_a_bad_row(tmp_path):
    (tmp_path / "in.csv").write_text(BURSTGPT.replace("ChatGPT,1087", '"ChatGPT,1087'))
    with pytest.raises(InputError, match="line 3: has a quote that is not closed"):
        inspect_trace(tmp_path / "in.csv")
    figures = inspect_trace(tmp_path / "in.csv", options=ReadOptions(on_bad_row="skip"))
    assert (figures["requests"], figures["left_out"]["bad"]) == (2, 1)


def hashed(size, prompts, *, output=8):
    return [
        {
            "input_length": prompt,
            "output_length": output,
            "hash_ids": [0, *range(at * 1000, at * 1000 - 1 - -prompt // size)],
        }
        for at, prompt in enumerate(prompts, 1)
    ]


def test_ids_are_taken_as_blocks_that_fit(tmp_path):
    rows = hashed(1024, [4096, 4096, 5000])
    figures = inspected(tmp_path, [0, 1000, 2000], rows=rows)
    assert figures["prefix_sharing"]["block_tokens"] == 1024
    assert "512 fit 0 of the first 3 prompts with ids" in figures["doubts"][0]
    told = inspected(tmp_path, [0, 1000, 2000], rows=rows, hash_block_tokens=512)
    assert told["prefix_sharing"]["block_tokens"] == 512
    assert told["doubts"] == [
        "hash_ids: 512 fit 0 of the first 3 prompts with ids, 1024 nearly all; --hash-block-tokens 1024 takes that"
    ]
    fitting = inspected(tmp_path, [0, 1000, 2000], rows=rows, hash_block_tokens=1024)
    assert fitting["prefix_sharing"] == figures["prefix_sharing"]
    assert fitting["doubts"] == []


@given(
    st.sampled_from([16, 32, 64, 128, 256, 512, 1024, 2048]),
    st.lists(st.integers(2048, 50_000), min_size=3, max_size=9),
)
def test_any_usual_size_is_found(tmp_path_factory, size, prompts):
    figures = inspected(
        tmp_path_factory.mktemp("sizes"), [1000 * at for at in range(len(prompts))], rows=hashed(size, prompts)
    )
    found = figures["prefix_sharing"]["block_tokens"]
    assert all(-(-prompt // found) == -(-prompt // size) for prompt in prompts)


def test_the_size_of_other_formats(tmp_path):
    figures = inspected(tmp_path, [0, 10], fields=BAILIAN, rows=hashed(16, [64, 64]))
    assert figures["prefix_sharing"]["block_tokens"] == 16
    assert figures["doubts"] == []
    with_output = [{"input_length": 1000, "output_length": 600, "hash_ids": [0, 1, 2, 3]}] * 2
    assert inspected(tmp_path, [0, 3000], rows=with_output)["doubts"] == []
    with pytest.raises(
        InputError, match="512 fit 0 of the first 2 prompts with ids, 995 to 1002 fit all; give --hash-b"
    ):
        inspected(tmp_path, [0, 3000], rows=hashed(1000, [4975, 9025]))
    short = [
        {"input_length": 9000, "output_length": 1, "hash_ids": [0]},
        {"input_length": 40, "output_length": 1, "hash_ids": [1]},
    ]
    doubts = inspected(tmp_path, [0, 3000], rows=[short[0], short[0] | {"hash_ids": [0, 7, 8, 9]}])["doubts"]
    assert "and no other size fits most" in doubts[0]


def test_a_trace_without_ids_says_nothing_of_sharing(tmp_path):
    assert inspected(tmp_path, [0, 3000])["prefix_sharing"] is None


def test_a_parquet_trace_with_a_wrong_size_is_told(tmp_path, caplog):
    frame = pl.DataFrame(
        {
            "arrival_us": [0, 1_000_000],
            "input_tokens": [4096, 4096],
            "output_tokens": [8, 8],
            "hash_ids": [[1, 2, 3, 4], [1, 2, 3, 5]],
            "hash_block_tokens": [512, 512],
        }
    )
    frame.write_parquet(tmp_path / "in.parquet")
    said = "hash_block_tokens: 512 does not fit the number of ids of the prompts, 1024 would"
    assert inspect_trace(tmp_path / "in.parquet")["doubts"] == [said]
    with caplog.at_level(logging.WARNING, "blis"):
        load_trace(tmp_path / "in.parquet")
    assert said in caplog.text
    caplog.clear()
    frame.with_columns(hash_block_tokens=1024).write_parquet(tmp_path / "in.parquet")
    load_trace(tmp_path / "in.parquet")
    assert caplog.text == ""
