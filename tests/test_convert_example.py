"""examples/convert_traces.py, on tiny samples and on the real files where these are at hand."""

import importlib.util
import os
from collections import Counter
from itertools import chain
from pathlib import Path

import polars as pl
import pytest

import blis
from blis.workload.content import shared_blocks
from blis.workload.trace import load_trace

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("BLIS_SHARED", ROOT.parent / "shared"))

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319608,0,8
2023-11-16 18:17:05.0319609,110,0
2023-11-17 18:17:03.9799600,1,1"""

MOONCAKE = """{"timestamp": 500, "input_length": 1100, "output_length": 80, "hash_ids": [0, 1, 2]}
{"timestamp": 3500, "input_length": 1400, "output_length": 25, "hash_ids": [0, 1, 3]}
"""


def load_example():
    spec = importlib.util.spec_from_file_location("convert_traces", ROOT / "examples" / "convert_traces.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def convert(tmp_path, kind, source):
    target = tmp_path / "out.parquet"
    load_example().main([kind, str(source), str(target)])
    return load_trace(target)


def test_azure_lengths_and_arrivals(tmp_path, capsys):
    (tmp_path / "in.csv").write_text(AZURE)
    table = convert(tmp_path, "azure", tmp_path / "in.csv")
    assert table.arrival_us.tolist() == [0, 1_052_000, 86_400_000_000]
    assert table.input_tokens.tolist() == [4808, 110, 1]
    assert table.output_tokens.tolist() == [10, 0, 1]
    assert table.content is None
    assert capsys.readouterr().err.endswith("in.csv: dropped 1 requests without a prompt\n")


def test_mooncake_prefixes(tmp_path, capsys):
    (tmp_path / "in.jsonl").write_text(MOONCAKE)
    table = convert(tmp_path, "mooncake", tmp_path / "in.jsonl")
    assert table.arrival_us.tolist() == [0, 3_000_000]
    assert (table.input_tokens.tolist(), table.output_tokens.tolist()) == ([1100, 1400], [80, 25])
    assert shared_blocks(table, 16).num_shared.tolist() == [64, 64]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("kind", "text"), [("azure", MOONCAKE), ("mooncake", AZURE), ("azure", AZURE.replace("2023-11-17", "soon"))]
)
def test_a_wrong_source_is_refused_in_one_line(tmp_path, kind, text):
    source = tmp_path / "in"
    source.write_text(text)
    with pytest.raises(SystemExit) as caught:
        convert(tmp_path, kind, source)
    assert str(caught.value).startswith(f"{source}: ")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [source]


def real(*parts):
    path = SHARED.joinpath("data", *parts)
    if not path.exists():
        pytest.skip(f"{path} is not there; set BLIS_SHARED to the folder that holds data/")
    return path


# Rows as in the files' own documentation; token sums are plain column sums.
@pytest.mark.parametrize(("name", "rows"), [("conv", 19_366), ("code", 8_819)])
def test_the_real_azure_traces(tmp_path, name, rows):
    source = real("azure-2023", f"AzureLLMInferenceTrace_{name}.csv")
    table = convert(tmp_path, "azure", source)
    assert len(table) == rows
    assert table.input_tokens.sum() == pl.read_csv(source)["ContextTokens"].sum()
    assert 3_400e6 < table.arrival_us[-1] < 3_600e6  # an hour
    outcomes = blis.simulate("meta-llama/llama-3.1-8b-instruct", table)
    assert outcomes.summary["completed_requests"] == rows
    assert outcomes.summary["total_output_tokens"] == table.output_tokens.sum()


def test_the_real_mooncake_trace(tmp_path):
    source = real("mooncake", "conversation_trace_first3000.jsonl")
    table = convert(tmp_path, "mooncake", source)
    assert len(table) == 3000
    assert table.arrival_us[-1] == 987_000_000
    # With KV blocks as large as those of the ids: ids are unique per path there, so counting users of an id will do.
    rows = pl.read_ndjson(source).select("hash_ids", "input_length").iter_rows()
    lists = [ids[: inputs // 512] for ids, inputs in rows]
    users = Counter(chain.from_iterable(lists))
    expected = [sum(users[i] > 1 for i in ids) for ids in lists]
    assert sum(expected) > 30_000
    assert shared_blocks(table, 512).num_shared.tolist() == expected


def test_the_real_mooncake_trace_meets_its_own_prefixes(tmp_path):
    """With KV for all of it, each prompt finds what earlier ones had, to the block of 16 tokens."""
    source = real("mooncake", "conversation_trace_first3000.jsonl")
    table = convert(tmp_path, "mooncake", source)
    coefficients = {"alpha_coeffs": (0, 0, 0), "beta_coeffs": (7_000, 20, 3)}  # no queueing delay: order stays
    deployment = blis.Deployment("meta-llama/llama-3.1-8b-instruct", total_kv_blocks=5_000_000, **coefficients)
    outcomes = blis.simulate(deployment, table)
    assert outcomes.summary["completed_requests"] == 3000
    seen: set[int] = set()
    for row, ids in enumerate(pl.read_ndjson(source)["hash_ids"].to_list()):
        known = next((i for i, name in enumerate(ids) if name not in seen), len(ids))
        seen.update(ids)
        cached = int(outcomes.result.cached_tokens[row])
        longest = min(512 * known, int(table.input_tokens[row]) - 1)
        assert longest - 512 < cached <= longest  # the last id may stand for less than 512 tokens
        assert cached % 16 == 0
