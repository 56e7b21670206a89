"""Any table becomes a trace: its columns are named by --columns or have usual names, which is told."""

import json

import polars as pl
import pytest
from helpers_convert import ANY_COLUMNS, AZURE
from hypothesis import given
from hypothesis import strategies as st

import blis
from blis.cli.main import main
from blis.errors import ConfigError, InputError
from blis.workload.convert.any_columns import guess_columns
from blis.workload.convert.converting import convert
from blis.workload.convert.formats import recognise
from blis.workload.convert.options import ReadOptions, Selection

FRAME = pl.DataFrame(
    {
        **{"when": [10.5, 11.0, 14.0], "n_in": [100, 200, 300], "n_out": [1, 2, 3]},
        **{"chat": ["a", "b", "a"], "who": ["x", None, "y"], "kind": ["batch", "batch", "realtime"]},
        "text": ["one", 'two "quoted", lines\nhere', ""],
    }
)
COLUMNS = {"arrival": "when", "input": "n_in", "output": "n_out", "session": "chat", "tenant": "who", "class": "kind"}


def write(path, how):
    if how == "parquet":
        FRAME.write_parquet(path)
    elif how == "lines":
        FRAME.write_ndjson(path)
    elif how == "list":
        path.write_text(FRAME.write_json())
    else:
        FRAME.write_csv(path, separator=how)
    return path


def converted(path, columns=None, rate=None, **options):
    target, options = path.parent / "out.parquet", ReadOptions(columns=columns, **options)
    _, counts = convert(path, target, options=options, selection=Selection(rate=rate))
    return pl.read_parquet(target), counts


def text(tmp_path, content):
    (tmp_path / "t").write_text(content)
    return tmp_path / "t"


@pytest.mark.parametrize("how", [",", ";", "\t", "|", "lines", "list", "parquet"])
def test_the_same_trace_whatever_holds_the_columns(tmp_path, how):
    found, _ = converted(write(tmp_path / "t", how), COLUMNS, time_unit="s")
    assert found.to_dict(as_series=False) == {
        **{"arrival_us": [0, 500_000, 3_500_000], "input_tokens": [100, 200, 300], "output_tokens": [1, 2, 3]},
        **{"session_id": ["a", "b", "a"], "tenant_id": ["x", None, "y"], "slo_class": ["batch", "batch", "realtime"]},
    }


def test_usual_names_are_guessed_and_told(tmp_path):
    found, counts = converted(text(tmp_path, ANY_COLUMNS))
    assert found["arrival_us"].to_list() == [0, 2_500_000]
    assert found["tenant_id"].to_list() == ["alice", None]
    assert counts.assumed == [
        "columns by their names: arrival=ts_ms, input=prompt_tokens, output=completion_tokens, tenant=user;"
        " --columns says otherwise",
        "ts_ms: taken as ms: its name says ms",
    ]


def test_the_command_says_on_stderr_what_it_guessed(capsys, tmp_path):
    path = str(text(tmp_path, ANY_COLUMNS))
    assert main(["inspect", path, "--output", "json"]) == 0
    done = capsys.readouterr()
    assert "blis: columns by their names: arrival=ts_ms" in done.err
    assert json.loads(done.out)["requests"] == 2
    columns = "arrival=ts_ms,input=completion_tokens,output=prompt_tokens"
    assert main(["inspect", path, "--columns", columns, "--quiet", "--output", "json"]) == 0
    done = capsys.readouterr()
    assert json.loads(done.out)["input_tokens"]["max"] == 7
    assert "by their names" not in done.err
    assert main(["inspect", path, "--columns", "input"]) == 2
    assert "expected arrival=NAME,input=NAME" in capsys.readouterr().err


def test_what_is_named_wins_over_what_would_be_guessed(tmp_path):
    path = text(tmp_path, ANY_COLUMNS.replace("user", "tokens_in").replace("alice", "77").replace("7,\n", "7,78\n"))
    found, _ = converted(path, {"input": "tokens_in"})
    assert found["input_tokens"].to_list() == [77, 78]


def test_keys_within_keys(tmp_path):
    rows = [{"created": 1_790_000_000 + at, "usage": {"prompt_tokens": 5, "completion_tokens": at}} for at in (3, 9)]
    path = text(tmp_path, "\n".join(map(json.dumps, rows)))
    assert recognise(path) == "columns"
    assert converted(path)[0].rows() == [(0, 5, 3), (6_000_000, 5, 9)]


def test_keys_that_the_first_record_lacks(tmp_path):
    rows = [{"ts": 1, "isl": 2, "osl": 3}, {"ts": 2, "isl": 2, "osl": 3, "user": "bob"}, {"ts": 3, "isl": None}]
    path = text(tmp_path, "\n\n".join(map(json.dumps, rows)))
    with pytest.raises(InputError, match="line 5: isl: expected a whole number, got ''"):
        converted(path)
    assert converted(path, on_bad_row="skip")[0]["tenant_id"].to_list() == [None, "bob"]


def test_structures_in_parquet(tmp_path):
    usage = [{"prompt_tokens": 5, "completion_tokens": 6}, {"prompt_tokens": 7, "completion_tokens": 8}]
    pl.DataFrame({"ts": [1.5, 2.5], "usage": usage}).write_parquet(tmp_path / "t")
    assert converted(tmp_path / "t", {"arrival": "ts"}, time_unit="s")[0].rows() == [(0, 5, 6), (1_000_000, 7, 8)]


@pytest.mark.parametrize("zone", ["Z", "+00:00", ""])
def test_dates(tmp_path, zone):
    content = f"time,isl,osl\n2026-01-01T00:00:00.25{zone},5,6\n2026-01-01 00:00:02{zone},7,8\n"
    assert converted(text(tmp_path, content))[0].rows() == [(0, 5, 6), (1_750_000, 7, 8)]
    with pytest.raises(InputError, match="time: are dates, which have no unit"):
        converted(text(tmp_path, content), time_unit="s")


@pytest.mark.parametrize(
    ("name", "per_s"),
    [("ts_us", 1e6), ("Time (ms)", 1e3), ("arrival_time_ns", 1e9), ("created_seconds", 1), ("Start Time [s]", 1)],
)
def test_a_unit_in_the_name(tmp_path, name, per_s):
    content = f"{name},isl,osl\n{3 * per_s:.0f},5,6\n{4 * per_s:.0f},7,8\n"
    found, counts = converted(text(tmp_path, content))
    assert found["arrival_us"].to_list() == [0, 1_000_000]
    assert "its name says" in counts.assumed[1]


def test_what_is_no_number_in_a_list(tmp_path):
    rows = [{"ts": 1, "isl": 2, "osl": 3, "ttft": float("nan")}, {"ts": 2, "isl": 2, "osl": 3, "ttft": float("inf")}]
    assert len(converted(text(tmp_path, json.dumps(rows)))[0]) == 2


def test_an_object_over_several_lines(tmp_path):
    with pytest.raises(InputError, match="line 1: begins an object of several lines; JSON lines or a list of objects"):
        converted(text(tmp_path, json.dumps({"rows": [{"ts": 1, "isl": 2, "osl": 3}]}, indent=2)))


def test_dates_in_parquet(tmp_path):
    frame = pl.DataFrame({"created_at": ["2026-01-01 00:00:01", "2026-01-01 00:00:03"], "isl": [1, 2], "osl": [3, 4]})
    frame.with_columns(pl.col("created_at").str.to_datetime()).write_parquet(tmp_path / "t")
    assert converted(tmp_path / "t")[0].rows() == [(0, 1, 3), (2_000_000, 2, 4)]


def test_counts_as_pandas_writes_them_beside_missing_ones(tmp_path):
    path = text(tmp_path, "ts,isl,osl\n1,10.0,5.0\n2,,3.0\n3,12.5,1\n")
    with pytest.raises(InputError, match="row 3: isl: expected a whole number, got ''"):
        converted(path)
    found, counts = converted(path, on_bad_row="skip")
    assert (found["input_tokens"].to_list(), counts.bad) == ([10], 2)


def test_without_arrivals_a_rate_is_asked_for(tmp_path):
    path = text(tmp_path, "isl,osl\n1,2\n")
    with pytest.raises(InputError, match=r"is of no known format.*; --columns reads any table"):
        converted(path)
    with pytest.raises(InputError, match="has no arrivals"):
        converted(path, {"input": "isl"})
    assert len(converted(path, {"input": "isl"}, rate=1.0)[0]) == 1


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"input": "promt_tokens"}, "input=promt_tokens: there is no such column; did you mean 'prompt_tokens'"),
        ({"output": "user"}, "row 2: user: expected a whole number, got 'alice'"),
    ],
)
def test_wrong_columns(tmp_path, columns, problem):
    with pytest.raises(InputError, match=problem):
        converted(text(tmp_path, ANY_COLUMNS), columns)


def test_columns_that_nobody_can_guess(tmp_path):
    with pytest.raises(InputError, match=r"which column holds the output tokens.*found: a, b"):
        converted(text(tmp_path, "a,b\n1,2\n"), {"input": "a"})
    with pytest.raises(ConfigError, match="columns: unknown 'imput'; did you mean 'input'"):
        ReadOptions(columns={"imput": "a"})
    options = ReadOptions(columns=COLUMNS)
    with pytest.raises(InputError, match="columns: azure has columns of its own"):
        convert(text(tmp_path, AZURE), tmp_path / "o.parquet", format_name="azure", options=options)


def test_rows_of_another_length(tmp_path):
    path = text(tmp_path, ANY_COLUMNS + "4000,1\n5000,6,7,bob\n")
    with pytest.raises(InputError, match="expected 4 fields as in the header, got 2"):
        converted(path)
    assert converted(path, on_bad_row="skip")[1].bad == 1


def test_another_encoding_is_named(tmp_path):
    (tmp_path / "t").write_bytes(ANY_COLUMNS.replace("alice", "zo\u00eb").encode("latin1"))
    with pytest.raises(InputError, match="is not in UTF-8"):
        converted(tmp_path / "t")


@given(st.permutations(["prompt_tokens", "Completion Tokens", "Arrival-Time", "model", "latency_ms"]))
def test_the_order_of_columns_does_not_matter(names):
    found = guess_columns(names)
    assert found == {"arrival": "Arrival-Time", "input": "prompt_tokens", "output": "Completion Tokens"}


def test_outcomes_are_no_trace_but_have_requests(tmp_path):
    workload = blis.DistributionWorkload(num_requests=5, rate=10.0)
    blis.simulate(blis.Deployment("meta-llama/llama-3.1-8b-instruct"), workload).write_parquet(tmp_path / "o.parquet")
    with pytest.raises(InputError, match="holds the outcomes of a run, no trace; --columns arrival=arrival_us"):
        recognise(tmp_path / "o.parquet")
    columns = {"arrival": "arrival_us", "input": "input_tokens", "output": "output_tokens"}
    assert len(converted(tmp_path / "o.parquet", columns)[0]) == 5
