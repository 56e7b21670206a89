"""Public traces as they are published, where these are at hand: converted, looked at, and run in full."""

import json
import os
from collections import Counter
from itertools import chain
from pathlib import Path

import polars as pl
import pytest

import blis
from blis.cli.main import main
from blis.workload.content import shared_blocks
from blis.workload.traces.loading import load_trace

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("BLIS_SHARED", ROOT.parent / "shared"))
MODEL = "meta-llama/llama-3.1-8b-instruct"


def real(*parts):
    path = SHARED.joinpath("data", *parts)
    if not path.exists():
        pytest.skip(f"{path} is not there; set BLIS_SHARED to the folder that holds data/")
    return path


@pytest.fixture
def convert(tmp_path):
    def convert(source):
        target = tmp_path / "out.parquet"
        assert main(["convert", str(source), str(target)]) == 0
        return target

    return convert


# Rows as in the files' own documentation; token sums are plain column sums.
@pytest.mark.parametrize(("name", "rows"), [("conv", 19_366), ("code", 8_819)])
def test_the_real_azure_traces(capsys, convert, name, rows):
    source = real("azure-2023", f"AzureLLMInferenceTrace_{name}.csv")
    target = convert(source)
    table = load_trace(target)
    assert len(table) == rows
    assert table.input_tokens.sum() == pl.read_csv(source)["ContextTokens"].sum()
    assert 3_400e6 < table.arrival_us[-1] < 3_600e6  # an hour
    capsys.readouterr()
    assert main(["run", "--model", MODEL, "--workload", "traces", "--workload-traces-filepath", str(target)]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["completed_requests"] == rows
    assert summary["total_output_tokens"] == table.output_tokens.sum()


def test_the_real_azure_trace_is_described(capsys):
    source = real("azure-2023", "AzureLLMInferenceTrace_conv.csv")
    assert main(["inspect", str(source)]) == 0
    figures = json.loads(capsys.readouterr().out)
    prompts = pl.read_csv(source)["ContextTokens"]
    assert figures["input_tokens"]["p99"] == pytest.approx(prompts.quantile(0.99, "linear"))
    assert figures["input_tokens"]["mean"] == pytest.approx(prompts.mean())
    stamps = pl.read_csv(source).select(pl.col("TIMESTAMP").str.to_datetime(time_unit="us"))["TIMESTAMP"]
    gaps = stamps.diff().drop_nulls().dt.total_microseconds()
    assert figures["arrivals"]["gap_cv"] == pytest.approx(gaps.std(ddof=0) / gaps.mean(), rel=1e-6)


def test_the_real_mooncake_trace(capsys, convert):
    source = real("mooncake", "conversation_trace_first3000.jsonl")
    table = load_trace(convert(source))
    assert len(table) == 3000
    assert table.arrival_us[-1] == 987_000_000
    # With KV blocks as large as those of the ids: ids are unique per path there, so counting users of an id will do.
    rows = list(pl.read_ndjson(source).select("hash_ids", "input_length").iter_rows())
    lists = [ids[: inputs // 512] for ids, inputs in rows]
    users = Counter(chain.from_iterable(lists))
    expected = [sum(users[i] > 1 for i in ids) for ids in lists]
    assert sum(expected) > 30_000
    assert shared_blocks(table, 512).num_shared.tolist() == expected
    # And so will a set of ids seen tell what an infinite cache has.
    seen: set[int] = set()
    hits = 0
    for ids, inputs in rows:
        hits += min(512 * sum(i in seen for i in ids), inputs)
        seen.update(ids)
    capsys.readouterr()
    assert main(["inspect", str(source)]) == 0
    sharing = json.loads(capsys.readouterr().out)["prefix_sharing"]
    assert sharing["hit_share"] == pytest.approx(hits / sum(inputs for _, inputs in rows))


def test_the_real_mooncake_trace_meets_its_own_prefixes(convert):
    """With KV for all of it, each prompt finds what earlier ones had, to the block of 16 tokens."""
    source = real("mooncake", "conversation_trace_first3000.jsonl")
    table = load_trace(convert(source))
    coefficients = {"alpha_coeffs": (0, 0, 0), "beta_coeffs": (7_000, 20, 3)}  # no queueing delay: order stays
    deployment = blis.Deployment(MODEL, total_kv_blocks=5_000_000, **coefficients)
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
