"""Every format that can be converted, on tiny files, good and bad."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from helpers_convert import (
    AZURE,
    AZURE_2024,
    BURSTGPT,
    BURSTGPT_2,
    CONVERSATIONS,
    MOONCAKE,
    RESULT,
    SHAREGPT,
    SHAREGPT_LINES,
    TINY,
    TOKEN_CSV,
    VLLM,
    WITHOUT_ARRIVALS,
)

import blis
from blis.errors import ConfigError, InputError
from blis.workload.arrivals import arrival_times_us
from blis.workload.content import shared_blocks
from blis.workload.convert.converting import convert
from blis.workload.convert.formats import recognise
from blis.workload.convert.options import FORMATS, ReadOptions, Selection
from blis.workload.rng import stream
from blis.workload.traces.loading import load_trace


def converted(tmp_path, text, **options):
    """The trace a text becomes, and what became of its rows."""
    (tmp_path / "source").write_text(text, newline="")
    _, counts = convert(tmp_path / "source", tmp_path / "out.parquet", **options)
    return load_trace(tmp_path / "out.parquet"), counts


def columns(table):
    return table.arrival_us.tolist(), table.input_tokens.tolist(), table.output_tokens.tolist()


def test_names_of_formats_agree(tmp_path):
    for name, text in TINY.items():
        (tmp_path / name).write_text(text)
        assert recognise(tmp_path / name) == name
    assert {*TINY, "parquet"} == set(FORMATS)


def test_azure(tmp_path):
    table, counts = converted(tmp_path, AZURE)
    assert columns(table) == ([0, 1_052_000, 86_400_000_000], [4808, 110, 1], [10, 0, 1])
    assert table.content is None
    assert (counts.taken, counts.without_prompt, counts.without_output) == (3, 1, 1)


def test_azure_2024_has_time_zones(tmp_path):
    table, _ = converted(tmp_path, AZURE_2024)
    assert columns(table) == ([0, 990_070, 1_990_070], [2162, 2399, 76], [5, 6, 15])


def test_burstgpt(tmp_path):
    table, counts = converted(tmp_path, BURSTGPT)
    assert columns(table) == ([0, 40_000_000, 113_500_000], [472, 1087, 417], [18, 0, 276])
    assert counts.without_output == 1
    assert pl.read_parquet(tmp_path / "out.parquet")["model"].to_list() == ["ChatGPT", "ChatGPT", "GPT-4"]


def test_burstgpt_with_sessions(tmp_path):
    table, _ = converted(tmp_path, BURSTGPT_2)
    assert columns(table) == ([0, 51_000_000], [906, 36], [446, 29])
    assert pl.read_parquet(tmp_path / "out.parquet")["session_id"].to_list() == ["1722ac82", None]


def test_mooncake(tmp_path):
    table, _ = converted(tmp_path, MOONCAKE)
    assert columns(table) == ([0, 3_000_250], [1100, 1400], [80, 25])
    assert shared_blocks(table, 16).num_shared.tolist() == [64, 64]


def test_dynamo_has_other_names_and_blocks(tmp_path):
    text = '{"created_time": 0, "input_tokens": 40, "output_tokens": 8, "hash_ids": [7, 8, 9], "session_id": "s"}\n'
    options = ReadOptions(hash_block_tokens=16)
    table, _ = converted(tmp_path, text + text.replace("9", "10"), options=options)
    assert shared_blocks(table, 16).num_shared.tolist() == [2, 2]


@pytest.mark.parametrize("text", [SHAREGPT, SHAREGPT_LINES])
def test_sharegpt(tmp_path, text):
    table, counts = converted(tmp_path, text, selection=Selection(rate=2.0, seed=7))
    assert columns(table)[1:] == ([4], [8])
    assert (counts.without_prompt, counts.unanswered, counts.without_output) == (1, 1, 0)
    drawn = arrival_times_us("poisson", 2.0, 1, stream(7, "arrivals"))
    assert table.arrival_us.tolist() == drawn.tolist()
    more, _ = converted(tmp_path, text, selection=Selection(rate=2.0), options=ReadOptions(tokens_per_word=2.5))
    assert columns(more)[1:] == ([8], [15])


def test_a_draw_goes_on_from_piece_to_piece(tmp_path):
    lines = "\n".join([json.dumps(CONVERSATIONS[0])] * 20_000)
    table, _ = converted(tmp_path, lines, selection=Selection(rate=50.0))
    drawn = arrival_times_us("poisson", 50.0, 20_000, stream(42, "arrivals"))
    np.testing.assert_allclose(table.arrival_us, drawn, atol=1)


def test_vllm(tmp_path):
    table, counts = converted(tmp_path, VLLM)
    assert columns(table) == ([0, 1_500_000], [100, 300], [10, 30])
    assert counts.failed == 1


def test_vllm_of_an_older_version_needs_a_rate(tmp_path):
    text = json.dumps({name: value for name, value in RESULT.items() if name != "start_times"})
    with pytest.raises(InputError, match=r"rate: .* has no arrivals"):
        converted(tmp_path, text)
    table, _ = converted(tmp_path, text, selection=Selection(rate=1.0))
    assert len(table) == 2


def test_token_csv(tmp_path):
    table, _ = converted(tmp_path, TOKEN_CSV)
    assert columns(table) == ([0, 750_000], [3, 2], [1, 0])
    assert table.content.token_ids.tolist() == [1, 2, 3, 4, 1, 2]
    table, _ = converted(tmp_path, TOKEN_CSV, selection=Selection(keep_clock=True))
    assert table.arrival_us.tolist() == [1_500_000, 2_250_000]


def test_parquet_keeps_its_columns(tmp_path):
    given = {
        "arrival_us": [0, 10, 20],
        "input_tokens": [5, 40, 25],
        "output_tokens": [3, 0, 8],
        "hash_ids": [[], [1, 2, 3, 4], [1, 2, 9]],
        "hash_block_tokens": [10] * 3,
        "slo_class": ["batch", None, "gold"],
        "priority": [3, 2, 1],
    }
    pl.DataFrame(given).write_parquet(tmp_path / "in.parquet")
    convert(tmp_path / "in.parquet", tmp_path / "out.parquet", selection=Selection(scale_rate=0.5))
    assert pl.read_parquet(tmp_path / "out.parquet").to_dict(as_series=False) == given | {"arrival_us": [0, 20, 40]}


SELECTIONS = [
    ({}, [0, 40, 113.5], [472, 1087, 417]),
    ({"limit": 2}, [0, 40], [472, 1087]),
    ({"start_s": 40}, [0, 73.5], [1087, 417]),
    ({"end_s": 40}, [0], [472]),
    ({"start_s": 30, "end_s": 100}, [10], [1087]),
    ({"scale_rate": 2}, [0, 20, 56.75], [472, 1087, 417]),
    ({"start_s": 30, "scale_rate": 0.5}, [20, 167], [1087, 417]),
    ({"keep_clock": True}, [5, 45, 118.5], [472, 1087, 417]),
    ({"keep_clock": True, "start_s": 40}, [45, 118.5], [1087, 417]),
]


@pytest.mark.parametrize(("chosen", "seconds", "prompts"), SELECTIONS)
def test_selections(tmp_path, chosen, seconds, prompts):
    table, counts = converted(tmp_path, BURSTGPT, selection=Selection(**chosen))
    assert (table.arrival_us / 1e6).tolist() == seconds
    assert table.input_tokens.tolist() == prompts
    assert counts.taken == len(prompts)


def test_arrivals_count_from_the_earliest_wherever_it_stands(tmp_path):
    header, *rows = BURSTGPT.splitlines()
    table, counts = converted(tmp_path, "\n".join([header, *reversed(rows)]))
    assert table.arrival_us.tolist() == [113_500_000, 40_000_000, 0]
    assert counts.taken == 3


@pytest.mark.parametrize(
    ("chosen", "seconds"),
    [({"limit": 2}, [73.5, 0]), ({"limit": 1}, [0]), ({"limit": 2, "end_s": 100}, [40, 0])],
)
def test_a_limit_leaves_no_gap_before_the_first_arrival(tmp_path, chosen, seconds):
    """But a window counts from the earliest arrival of the whole file."""
    header, *rows = BURSTGPT.splitlines()
    table, _ = converted(tmp_path, "\n".join([header, *reversed(rows)]), selection=Selection(**chosen))
    assert (table.arrival_us / 1e6).tolist() == seconds


BAD = {
    "date": (AZURE.replace("2023-11-17", "soon"), "line 5: TIMESTAMP: expected a date with time, got 'soon 18:17"),
    "month": (AZURE.replace("2023-11-17", "2023-13-17"), "line 5: TIMESTAMP: expected a date with time"),
    "length": (AZURE.replace(",110,", ",1e2,"), "line 4: ContextTokens: expected a whole number, got '1e2'"),
    "negative": (AZURE.replace(",110,", ",-1,"), "line 4: ContextTokens: expected a whole number in [0, 2147483647]"),
    "fields": (AZURE.replace(",110,", ","), "line 4: expected 3 fields as in the header, got 2"),
    "seconds": (BURSTGPT.replace("118.5", "nan"), "line 4: Timestamp: expected a number in ["),
    "json": (MOONCAKE.replace(', "output_length": 25', ', "output'), "line 2: is no JSON: "),
    "object": (MOONCAKE + "[]\n", "line 3: expected a JSON object, got '[]'"),
    "time": (MOONCAKE.replace("3500.25", "null"), "line 2: timestamp: expected a number or a date, got None"),
    "delay": (MOONCAKE.replace('"timestamp": 3500.25', '"delay": 3'), "line 2: timestamp: is missing; a request that"),
    "input": (MOONCAKE.replace("1400", "true"), "line 2: input_length: expected a whole number in"),
    "output": (MOONCAKE.replace('h": 25,', 'h": -25,'), "line 2: output_length: expected a whole number in"),
    "ids": (MOONCAKE.replace("1, 3]", "1.5]"), "line 2: hash_ids: expected a list of 64-bit integers, got '[0, 1.5]'"),
    "too many": (MOONCAKE.replace("1400", "900"), "line 2: hash_ids: 3 ids of 512 tokens are too many for 925 tokens"),
    "talk": (SHAREGPT_LINES + '\n{"conversations": 3}', "line 6: conversations: expected a list of messages, got '3'"),
    "text": (
        SHAREGPT.replace('"just a question"', "7"),
        "conversation 2: conversations[0]: expected a message with a text as value or content, got",
    ),
    "lens": (VLLM.replace("300]", "null]"), "input_lens[2]: expected a number in [0, 2147483647], got nan"),
    "tokens": (TOKEN_CSV.replace("[1,2]", "[1,x]"), "line 3: prefill_tokens: expected a JSON list of integers"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_rows_fail_or_are_skipped(tmp_path, name):
    text, message = BAD[name]
    rate = Selection(rate=1.0) if "conversations" in text else Selection()
    with pytest.raises(InputError) as caught:
        converted(tmp_path, text, selection=rate)
    assert str(caught.value).startswith(f"{tmp_path / 'source'}: {message}")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    table, counts = converted(tmp_path, text, selection=rate, options=ReadOptions(on_bad_row="skip"))
    assert counts.bad == 1
    assert len(table) == counts.taken > 0


UNREADABLE = {
    "empty": ("\n", "is empty"),
    "header": ("a,b\n1,2\n", "is of no known format, it has a first line of 'a,b'; --from takes azure, burstgpt"),
    "keys": ('{"a": 1}', "is of no known format, it has keys a; --from takes azure"),
    "both": (AZURE.replace("TIMESTAMP", BURSTGPT.split("\n")[0] + ",TIMESTAMP"), "looks like azure and burstgpt; say"),
    "short": (VLLM.replace("[100, 200, 300]", "[100]"), "output_lens: expected 1 values as in input_lens, got 3"),
    "summary": ('{"model_id": "m", "num_prompts": 3}', "there is no list 'input_lens'; vLLM writes it with --save-det"),
    "cut off": (VLLM[:-40], "is no JSON: "),
    "cut list": (SHAREGPT[:-40], "is no JSON: "),
    "nobody": (AZURE.split("\r\n")[0], "no requests are left (the file holds none)"),
    "no prompts": ("\r\n".join(AZURE.split("\r\n")[0:3:2]), "no requests are left (1 without a prompt)"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_files_that_cannot_be_read(tmp_path, name):
    text, message = UNREADABLE[name]
    (tmp_path / "out.parquet").write_text("old")
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        converted(tmp_path, text, selection=Selection(rate=1.0) if "conversations" in text else Selection())
    assert "\n" not in str(caught.value)
    assert (tmp_path / "out.parquet").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(("name", "other"), [("azure", MOONCAKE), ("burstgpt", AZURE), ("parquet", AZURE)])
def test_a_wrong_name_of_the_format_is_told(tmp_path, name, other):
    with pytest.raises(
        InputError, match=r"source: (line 1: column '\w+' is missing; found: |cannot be read as Parquet)"
    ):
        converted(tmp_path, other, format_name=name)


def test_empty_lines_do_not_shift_line_numbers(tmp_path):
    header, *rows = BURSTGPT.splitlines()
    text = "\n".join([header, "", rows[0], "", "", rows[1].replace("1087,0", "x,0")])
    with pytest.raises(InputError, match="line 6: Request tokens"):
        converted(tmp_path, text)


@pytest.mark.parametrize("name", [name for name in TINY if name not in WITHOUT_ARRIVALS])
def test_a_tracev2_is_replayed_as_the_parquet_trace_is_run(tmp_path, name):
    """Hash ids and token ids included: small blocks, so that prompts share some."""
    source = tmp_path / "source"
    source.write_text(TINY[name])
    convert(source, tmp_path / "out.parquet")
    convert(source, tmp_path / "out.yaml")
    deployment = blis.Deployment("m", alpha_coeffs=(10, 1, 1), beta_coeffs=(1_000, 10, 10), total_kv_blocks=100_000)
    trace = blis.TraceV2(tmp_path / "out.yaml", tmp_path / "out.csv")
    run, replayed = (
        blis.simulate(deployment, workload, engine=blis.EngineOptions(block_size_tokens=1)).requests
        for workload in (tmp_path / "out.parquet", trace)
    )
    assert replayed.equals(run)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_refusals(tmp_path):
    source = tmp_path / "in.csv"
    source.write_text(BURSTGPT)
    for target, options, message in [
        ("out.txt", {}, r"suffix '.txt' cannot be written; valid: .parquet, .yaml"),
        ("out", {"target_format": "parket"}, r"format 'parket' cannot be written; did you mean 'parquet'"),
        ("out.csv", {"target_format": "tracev2"}, r"suffix '.csv' cannot be written; valid: .parquet, .yaml"),
        ("in.csv", {"target_format": "parquet"}, r"in.csv: is the file to read"),
        ("in.yaml", {}, r"in.csv: is the file to read"),
        ("no/out.parquet", {}, "there is no directory"),
        ("out.parquet", {"format_name": "azur"}, "format 'azur' is unknown; did you mean 'azure'"),
        ("out.parquet", {"selection": Selection(rate=1)}, "rate: .* has arrivals of its own"),
        (
            "out.parquet",
            {"selection": Selection(start_s=500)},
            r"no requests are left \(3 outside the time asked for\)",
        ),
        ("out.parquet", {"selection": Selection(scale_rate=1e-12)}, "beyond the clock's end"),
    ]:
        with pytest.raises(InputError, match=message):
            convert(source, tmp_path / target, **options)
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(
    "chosen",
    [
        {"limit": 0},
        {"start_s": -1},
        {"start_s": 3, "end_s": 3},
        {"scale_rate": 0},
        {"scale_rate": float("inf")},
        {"rate": 0},
    ],
)
def test_selections_are_checked(chosen):
    with pytest.raises(ConfigError, match=next(reversed(chosen))):
        Selection(**chosen)


#: Not ``ru_maxrss``: a child starts with what its parent had.
MEASURE = """
import re, sys
from pathlib import Path
from blis.workload.convert.converting import convert
convert(sys.argv[1], sys.argv[2])
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_five_million_requests_take_little_memory_and_run(tmp_path):
    """Holding what is kept of each, 16 bytes and more, would take 70 MB more for all than for a tenth of them."""
    rng = np.random.default_rng(0)
    peaks = {}
    for count in (500_000, 5_000_000):
        seconds = np.arange(count) * 0.004
        frame = pl.DataFrame({"Timestamp": seconds, "Model": "m", "Request tokens": rng.integers(1, 200, count)})
        frame = frame.with_columns(pl.lit(2).alias("Response tokens"))
        frame.write_csv(tmp_path / "in.csv")
        command = [sys.executable, "-c", MEASURE, tmp_path / "in.csv", tmp_path / "out.parquet"]
        peaks[count] = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) / 1024
    assert pq.ParquetFile(tmp_path / "out.parquet").metadata.num_row_groups > 20
    assert peaks[5_000_000] < peaks[500_000] + 30
    outcomes = blis.simulate("meta-llama/llama-3.1-8b-instruct", load_trace(tmp_path / "out.parquet"))
    assert outcomes.summary["completed_requests"] == 5_000_000
