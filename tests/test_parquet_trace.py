"""Parquet traces: lengths, hash ids, token ids."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from blis.errors import InputError, WorkloadError
from blis.workload.content import shared_blocks
from blis.workload.distribution import DistributionWorkload
from blis.workload.requests import LiteralTokens, RequestTable
from blis.workload.traces.hash_ids import HashIds, token_streams
from blis.workload.traces.loading import load_trace
from blis.workload.traces.parquet import load_parquet_trace, write_parquet_trace

DOCS = Path(__file__).parents[1] / "docs" / "workload-formats.md"

LENGTHS = {"arrival_us": [30, 10, 20], "input_tokens": [5, 40, 25], "output_tokens": [3, 0, 8]}
HASHED = LENGTHS | {"hash_ids": [[], [1, 2, 3, 4], [1, 2, 9]], "hash_block_tokens": [10, 10, 10]}
TOKENS = {"arrival_us": [30, 10], "prompt_token_ids": [[1, 2], [3]], "output_token_ids": [[4], []]}


def load(tmp_path, columns, horizon_us=None, **types):
    path = tmp_path / "trace.parquet"
    pl.DataFrame(columns, schema_overrides=types).write_parquet(path)
    return load_parquet_trace(path, horizon_us)


def columns_of(table):
    """A table as plain lists."""
    named = {name: getattr(table, name) for name in ("arrival_us", "input_tokens", "output_tokens", "priority")}
    if isinstance(table.content, LiteralTokens):
        named |= {"token_ids": table.content.token_ids, "offsets": table.content.offsets}
    return {name: None if column is None else column.tolist() for name, column in named.items()}


def test_lengths_are_read(tmp_path):
    table = load(tmp_path, LENGTHS)
    assert columns_of(table) == LENGTHS | {"priority": None}
    assert table.content is None
    assert {c.dtype for c in (table.arrival_us, table.input_tokens, table.output_tokens)} == {np.dtype(np.int64)}


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt8, pl.Int16, pl.UInt16, pl.Int32, pl.UInt32, pl.UInt64])
def test_integers_of_any_width_are_read(tmp_path, dtype):
    assert columns_of(load(tmp_path, LENGTHS, **dict.fromkeys(LENGTHS, dtype))) == LENGTHS | {"priority": None}
    tokens = load(tmp_path, TOKENS, prompt_token_ids=pl.List(dtype), output_token_ids=pl.List(dtype))
    assert tokens.content.token_ids.tolist() == [1, 2, 4, 3]


def test_priorities_are_read_and_may_be_negative(tmp_path):
    assert load(tmp_path, LENGTHS | {"priority": [-5, 0, 7]}).priority.tolist() == [-5, 0, 7]


def test_metadata_changes_nothing(tmp_path):
    more = {"request_id": ["a", "b", None], "model": ["m"] * 3, "session_id": [1, 2, 3]}
    assert columns_of(load(tmp_path, LENGTHS | more)) == LENGTHS | {"priority": None}


NAMED = {"slo_class": ["batch", None, "gold"], "tenant_id": ["", "zoe", "amy"]}


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical])
def test_classes_and_tenants_are_read(tmp_path, dtype):
    for columns in (LENGTHS, HASHED):
        table = load(tmp_path, columns | NAMED, **dict.fromkeys(NAMED, dtype))
        assert table.slo_class.names == ("realtime", "interactive", "batch", "gold")
        assert table.slo_class.codes.tolist() == [2, -1, 3]
        assert table.tenant.names == ("amy", "zoe")
        assert table.tenant.codes.tolist() == [-1, 1, 0]


def test_names_of_rows_after_the_horizon_are_forgotten(tmp_path):
    table = load(tmp_path, LENGTHS | NAMED, 20)
    assert table.tenant.codes.tolist() == [1, 0]
    assert load(tmp_path, LENGTHS | NAMED, 10).slo_class is None


def test_columns_without_a_name_give_no_labels(tmp_path):
    table = load(tmp_path, LENGTHS | {"slo_class": [None] * 3, "tenant_id": ["", None, ""]})
    assert table.slo_class is None
    assert table.tenant is None


def test_classes_and_tenants_come_back_as_written(tmp_path):
    write_parquet_trace(load(tmp_path, LENGTHS | NAMED), tmp_path / "again.parquet")
    again = pl.read_parquet(tmp_path / "again.parquet")
    assert {name: again[name].to_list() for name in NAMED} == NAMED | {"tenant_id": [None, "zoe", "amy"]}
    assert load_trace(tmp_path / "again.parquet").slo_class.codes.tolist() == [2, -1, 3]


def test_hash_ids_become_streams(tmp_path):
    table = load(tmp_path, HASHED)
    assert shared_blocks(table, 5).num_shared.tolist() == [0, 4, 4]
    assert shared_blocks(table, 7).num_shared.tolist() == [0, 2, 2]


def test_token_ids_are_read(tmp_path):
    table = load(tmp_path, TOKENS)
    assert columns_of(table) == {
        "arrival_us": [30, 10],
        "input_tokens": [2, 1],
        "output_tokens": [1, 0],
        "priority": None,
        "token_ids": [1, 2, 4, 3],
        "offsets": [0, 3, 4],
    }
    assert table.content.token_ids.dtype == np.int32


def test_lists_of_arrow_s_short_kind_and_in_row_groups_are_read(tmp_path):
    import pyarrow.parquet as pq

    pq.write_table(pa.table(TOKENS), tmp_path / "t.parquet", row_group_size=1)
    assert load_parquet_trace(tmp_path / "t.parquet").content.token_ids.tolist() == [1, 2, 4, 3]


def test_rows_after_the_horizon_are_left_out(tmp_path):
    assert load(tmp_path, LENGTHS | {"priority": [1, 2, 3]}, 20).priority.tolist() == [2, 3]
    assert load(tmp_path, TOKENS, 10).content.token_ids.tolist() == [3]
    cut = load(tmp_path, HASHED | {"arrival_us": [10, 30, 20]}, 20)
    assert cut.input_tokens.tolist() == [5, 25]
    assert shared_blocks(cut, 5).num_shared.tolist() == [0, 0]
    assert len(load(tmp_path, LENGTHS, 0)) == 0


def test_most_tokens(tmp_path):
    most = [output + 1 for output in LENGTHS["output_tokens"]]
    table = load(tmp_path, LENGTHS | {"max_tokens": most})
    assert table.max_tokens.tolist() == most
    write_parquet_trace(table, tmp_path / "again.parquet")
    assert load_parquet_trace(tmp_path / "again.parquet").max_tokens.tolist() == most
    most[2] -= 2
    with pytest.raises(WorkloadError, match=r"row 2: max_tokens: must be at least the \d+ output tokens, got"):
        load(tmp_path, LENGTHS | {"max_tokens": most})


@pytest.mark.parametrize("priority", [None, [3, -1, 2]])
def test_lengths_come_back_as_written(tmp_path, priority):
    table = DistributionWorkload(num_requests=3).requests(1)
    table = RequestTable(
        table.arrival_us, table.input_tokens, table.output_tokens, None, priority and np.array(priority)
    )
    write_parquet_trace(table, tmp_path / "t.parquet")
    assert columns_of(load_trace(tmp_path / "t.parquet")) == columns_of(table)


def test_token_ids_come_back_as_written(tmp_path):
    table = load(tmp_path, TOKENS | {"priority": [1, 0]})
    write_parquet_trace(table, tmp_path / "again.parquet")
    assert columns_of(load_parquet_trace(tmp_path / "again.parquet")) == columns_of(table)
    assert pl.read_parquet(tmp_path / "again.parquet").to_dict(as_series=False) == TOKENS | {"priority": [1, 0]}


def test_hash_ids_come_back_as_written(tmp_path):
    ids = HashIds(np.array([0, 0, 4, 7]), np.array([1, 2, 3, 4, 1, 2, 9]), 10)
    lengths = [np.array(LENGTHS[name]) for name in LENGTHS]
    table = RequestTable(*lengths, token_streams(ids, *lengths[1:]))
    path = tmp_path / "t.parquet"
    write_parquet_trace(table, path, ids)
    assert pl.read_parquet(path).to_dict(as_series=False) == HASHED
    again = load_parquet_trace(path).content
    for name in ("stream", "parent", "fork_tokens"):
        assert getattr(again, name).tolist() == getattr(table.content, name).tolist()


def test_streams_without_hash_ids_cannot_be_written(tmp_path):
    table = DistributionWorkload(num_requests=3, prefix_tokens=9).requests(1)
    with pytest.raises(WorkloadError, match="token streams cannot be written; give the hash ids"):
        write_parquet_trace(table, tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    table = DistributionWorkload(num_requests=3).requests(1)
    with pytest.raises(InputError, match="there is no directory"):
        write_parquet_trace(table, tmp_path / "no" / "t.parquet")


def without(columns, name):
    return {key: column for key, column in columns.items() if key != name}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (without(LENGTHS, "output_tokens"), "column 'output_tokens' is missing; found: arrival_us, input_tokens"),
        (without(TOKENS, "output_token_ids"), "column 'output_token_ids' is missing"),
        (without(HASHED, "hash_block_tokens"), "column 'hash_block_tokens' is missing"),
        (without(LENGTHS, "arrival_us"), "column 'arrival_us' is missing"),
        (LENGTHS | {"priorty": [1, 2, 3]}, "unknown column 'priorty'; did you mean 'priority'"),
        (LENGTHS | {"input_token": [1, 2, 3]}, "unknown column 'input_token'; did you mean 'input_tokens'"),
        (TOKENS | {"input_tokens": [2, 1]}, "column 'input_tokens' contradicts token ids"),
        (LENGTHS | {"arrival_us": [1, None, 3]}, "row 1: arrival_us: must not be null"),
        (LENGTHS | {"arrival_us": [1, 2, -3]}, r"row 2: arrival_us: must lie in \[0, .*\], got -3"),
        (LENGTHS | {"input_tokens": [1, 0, 3]}, r"row 1: input_tokens: must lie in \[1, 2147483647\], got 0"),
        (LENGTHS | {"output_tokens": [2**31, 0, 3]}, r"row 0: output_tokens: .*, got 2147483648"),
        (LENGTHS | {"arrival_us": [1.0, 2.0, 3.0]}, "arrival_us: expected integers, got double"),
        (LENGTHS | {"slo_class": [1, 2, 3]}, "slo_class: expected strings, got int64"),
        (LENGTHS | {"tenant": ["a", "b", "c"]}, "unknown column 'tenant'; did you mean 'tenant_id'"),
        (LENGTHS | {"input_tokens": [True, True, True]}, "input_tokens: expected integers, got bool"),
        (LENGTHS | {"input_tokens": [[1], [1], [2]]}, "input_tokens: expected integers, got large_list"),
        (TOKENS | {"prompt_token_ids": [[1], []]}, "row 1: prompt_token_ids: a prompt must hold at least one token"),
        (TOKENS | {"prompt_token_ids": [[1], None]}, "row 1: prompt_token_ids: must not be null"),
        (TOKENS | {"output_token_ids": [[1], [2, None]]}, "row 1: output_token_ids: must not be null"),
        (TOKENS | {"output_token_ids": [[], [2, -7]]}, r"row 1: output_token_ids: must lie in .*, got -7"),
        (TOKENS | {"output_token_ids": [[2**31], []]}, r"row 0: output_token_ids: must lie in .*, got 2147483648"),
        (TOKENS | {"output_token_ids": ["a", "b"]}, "output_token_ids: expected lists of integers, got large_string"),
        (TOKENS | {"output_token_ids": [[1.5], []]}, "output_token_ids: expected lists of integers, got large_list"),
        (TOKENS | {"output_token_ids": [1, 2]}, "output_token_ids: expected lists of integers, got int64"),
        (HASHED | {"hash_ids": [[1], [1, 2, 3, 4, 5], [2]]}, "row 1: hash_ids: 5 ids of 10 tokens are too many"),
        (
            HASHED | {"hash_block_tokens": [10, 10, 11]},
            "row 2: hash_block_tokens: must be the same in all rows, got 11",
        ),
        (HASHED | {"hash_block_tokens": [0, 0, 0]}, r"row 0: hash_block_tokens: must lie in \[1, "),
    ],
)
def test_a_wrong_column_is_refused_with_its_row(tmp_path, columns, message):
    with pytest.raises(WorkloadError, match=rf"trace\.parquet: {message}") as caught:
        load(tmp_path, columns)
    assert "\n" not in str(caught.value)


def test_an_arrival_beyond_the_clock_is_refused(tmp_path):
    with pytest.raises(WorkloadError, match=r"row 1: arrival_us: must lie in .*, got 18446744073709551615"):
        load(tmp_path, LENGTHS | {"arrival_us": [0, 2**64 - 1, 0]}, arrival_us=pl.UInt64)


def test_what_is_no_trace_at_all_is_refused(tmp_path):
    with pytest.raises(WorkloadError, match=r"trace\.parquet: holds no requests"):
        load(tmp_path, {name: [] for name in LENGTHS}, **dict.fromkeys(LENGTHS, pl.Int64))
    (tmp_path / "text.parquet").write_text("arrival_us,input_tokens\n")
    with pytest.raises(WorkloadError, match=r"text\.parquet: cannot be read as Parquet: "):
        load_trace(tmp_path / "text.parquet")
    with pytest.raises(WorkloadError, match=r"no\.parquet: cannot be read: No such file"):
        load_trace(tmp_path / "no.parquet")
    with pytest.raises(WorkloadError, match=r"cannot be read: Is a directory"):
        load_parquet_trace(tmp_path)
    whole = (tmp_path / "trace.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WorkloadError, match=r"cut\.parquet: cannot be read"):
        load_trace(tmp_path / "cut.parquet")


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_the_examples_of_the_documentation_run(tmp_path, monkeypatch, library):
    pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    for block in blocks:
        if f"import {library}" in block:
            exec(block, {})
    assert {"polars": 2, "pandas": 1}[library] == len(list(tmp_path.iterdir()))
    for path in tmp_path.iterdir():
        assert len(load_trace(path)) >= 2


def test_the_csv_example_of_the_documentation_is_read(tmp_path):
    (example,) = re.findall(r"```csv\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (tmp_path / "t.csv").write_text(example)
    assert load_trace(tmp_path / "t.csv").input_tokens.tolist() == [3, 2]
