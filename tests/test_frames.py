"""Data frames as workloads: the same requests as in a file, whoever made the frame; what is guessed is told."""

import logging
from datetime import date

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import blis
from blis.workload.convert.converting import convert
from blis.workload.requests import LiteralTokens

#: Round coefficients; no model has to be known.
ROUND = blis.Deployment("m", alpha_coeffs=(100.0, 1.0, 10.0), beta_coeffs=(1000.0, 10.0, 1.0), total_kv_blocks=1000)
OURS = {"arrival_us": [0, 40_000, 95_000], "input_tokens": [374, 396, 879], "output_tokens": [44, 109, 0]}
LOG = {"ts": [12.0, 12.5, 14.25], "prompt_tokens": [10, 20, 30], "completion_tokens": [3, 4, 5]}
MAKERS = (pl.DataFrame, pd.DataFrame, pa.table)


def columns(table):
    return table.arrival_us.tolist(), table.input_tokens.tolist(), table.output_tokens.tolist()


def refused(frame, **options):
    with pytest.raises(blis.InputError) as found:
        blis.FrameWorkload(frame, **options)
    text = str(found.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("make", MAKERS)
def test_columns_as_in_traces(make, caplog):
    table = blis.FrameWorkload(make({**OURS, "tenant_id": ["a", None, "b"], "priority": [3, 2, 1]})).table
    assert columns(table) == tuple(OURS.values())
    assert table.tenant.names == ("a", "b")
    assert table.tenant.codes.tolist() == [0, -1, 1]
    assert table.priority.tolist() == [3, 2, 1]
    assert caplog.records == []


rows = st.lists(st.tuples(st.integers(0, 2**40), st.integers(1, 2**20), st.integers(0, 2**20)), min_size=1, max_size=9)


@settings(max_examples=25)
@given(rows=rows, make=st.sampled_from(MAKERS), kind=st.sampled_from([np.int32, np.int64, np.uint64, np.float64]))
def test_a_frame_is_what_its_parquet_file_is(rows, make, kind, tmp_path_factory):
    path = tmp_path_factory.mktemp("frames") / "trace.parquet"
    arrival, prompt, output = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    values = {"arrival_us": arrival, "input_tokens": prompt, "output_tokens": output}
    pl.DataFrame(values).write_parquet(path)
    frame = make({**values, "input_tokens": prompt.astype(kind)})
    assert columns(blis.FrameWorkload(frame).table) == columns(blis.load_trace(path))


times = st.lists(st.integers(0, 10**7), min_size=2, max_size=9, unique=True)


@settings(max_examples=25)
@given(times_ms=times, make=st.sampled_from(MAKERS))
def test_other_names_give_what_conversion_gives(times_ms, make, tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    count = len(times_ms)
    values = {"sent_at_ms": times_ms, "isl": list(range(1, count + 1)), "osl": [7] * count, "user": ["a"] * count}
    pl.DataFrame(values).write_csv(folder / "log.csv")
    convert(folder / "log.csv", folder / "log.parquet", format_name="columns")
    found, expected = blis.FrameWorkload(make(values)).table, blis.load_trace(folder / "log.parquet")
    assert columns(found) == columns(expected)
    assert found.tenant.names == expected.tenant.names


def test_whatever_says_when(caplog):
    at = pd.to_datetime(["2026-05-10T10:00:00.25", "2026-05-10T10:00:02.00"])
    lengths = {"isl": [5, 6], "osl": [1, 2]}
    zoned = pl.DataFrame({"created_at": at, **lengths}).with_columns(pl.col("created_at").dt.replace_time_zone("UTC"))
    for frame in (
        pd.DataFrame({"created_at": at, **lengths}),
        pd.DataFrame({"created_at": at.astype(str), **lengths}),
        pd.DataFrame({"created_at": at - at[0], **lengths}),
        pd.DataFrame(lengths, index=pd.Index(at, name="created_at")),
        pd.DataFrame({"created_at": at.astype("datetime64[ns]").astype("int64"), **lengths}),
        zoned,
        zoned.with_columns(pl.col("created_at").dt.convert_time_zone("Asia/Tokyo")),
    ):
        outcomes = blis.simulate(ROUND, frame)
        assert outcomes.requests["arrival_us"].to_list() == [0, 1_750_000]
    assert refused(zoned, time_unit="s") == (
        "frame: created_at: holds timestamp[us, tz=UTC], which has its unit; leave out time_unit"
    )


@pytest.mark.parametrize("make", MAKERS)
def test_what_was_guessed_is_told(make, caplog):
    outcomes = blis.simulate(ROUND, make({**LOG, "user_agent": ["x"] * 3}))
    assert outcomes.requests["arrival_us"].to_list() == [0, 500_000, 2_250_000]
    guessed, unused = (record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    for part in ("arrival=ts", "input=prompt_tokens", "output=completion_tokens", "seconds", "first one, at 12 s"):
        assert part in guessed
    assert unused == "frame: columns that are not used: user_agent"
    names = {"arrival_us": "ts", "input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}
    assert outcomes.metadata["workload"] == {"kind": "frame", "num_requests": 3, "columns": names}


def test_what_is_said_is_taken(caplog):
    frame = pl.DataFrame({"a": [1, 2], "b": [3, 4], "c": [5, 6], "input_tokens": [9, 9]})
    roles = {"arrival": "c", "input": "b", "output": "a"}
    assert columns(blis.FrameWorkload(frame, columns=roles, time_unit="ms").table) == ([0, 1000], [3, 4], [1, 2])
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # of the first arrival


def test_token_ids_and_hash_ids():
    tokens = {"arrival_us": [0, 9], "prompt_token_ids": [[1, 2], [1]], "output_token_ids": [[5], []]}
    for make in MAKERS:
        table = blis.FrameWorkload(make(tokens)).table
        assert columns(table) == ([0, 9], [2, 1], [1, 0])
        assert isinstance(table.content, LiteralTokens)
        assert table.content.token_ids.tolist() == [1, 2, 5, 1]
    hashed = pl.DataFrame({**OURS, "hash_ids": [[0], [0, 1], [0, 2]], "hash_block_tokens": [256] * 3})
    assert blis.FrameWorkload(hashed).table.content.parent.tolist().count(-1) == 1


def test_categories_and_lists_of_one_length():
    frame = pl.DataFrame({**OURS, "tenant_id": ["a", "b", "a"], "slo_class": [None, "batch", "batch"]})
    text = frame.with_columns(pl.col("tenant_id").cast(pl.Categorical), pl.col("slo_class").cast(pl.Enum(["batch"])))
    for each in (frame, text, text.to_pandas()):
        table = blis.FrameWorkload(each).table
        assert table.tenant.codes.tolist() == [0, 1, 0]
        assert table.slo_class.codes.tolist() == [-1, 2, 2]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"prompt_tokens": [1, None, 3]}, "frame: row 1: prompt_tokens: must not be null"),
        ({"prompt_tokens": [1.0, 2.5, 3.0]}, "frame: row 1: prompt_tokens: must be a whole number, got 2.5"),
        ({"prompt_tokens": [1, 2, 0]}, "frame: row 2: prompt_tokens: must lie in [1, 2147483647], got 0"),
        ({"completion_tokens": [1, -2, 0]}, "frame: row 1: completion_tokens: must lie in [0, 2147483647], got -2"),
        ({"prompt_tokens": ["1", "2", "3"]}, "frame: row 0: prompt_tokens: must be a whole number, got '1'"),
        ({"prompt_tokens": [[1], [2], [3]]}, "frame: prompt_tokens: expected integers, got "),
        ({"ts": [1.0, None, 2.0]}, "frame: row 1: ts: must not be null"),
        ({"ts": ["2026-05-10 10:00:00", "soon", "x"]}, "frame: row 1: ts: expected a date with time, got 'soon'"),
        ({"ts": [True, False, True]}, "frame: ts: expected times, got bool"),
        ({"ts": [date(2026, 5, 10)] * 3}, "frame: ts: expected dates with times, got date32[day], which has days only"),
    ],
)
@pytest.mark.parametrize("make", MAKERS)
def test_a_wrong_frame_names_row_and_column(make, change, expected):
    assert refused(make({**LOG, **change})).startswith(expected)


def test_a_frame_without_columns_is_told():
    assert refused(pl.DataFrame()).endswith("; found: no columns")


@pytest.mark.parametrize("times", [[0, 40_000, 80_000], [0, 40_000, 95_000]])
def test_an_index_with_a_name_is_a_column(times):
    frame = pd.DataFrame({**OURS, "arrival_us": times})
    spaced = frame.drop(columns="arrival_us")
    spaced.index = pd.RangeIndex(0, 120_000, 40_000, name="arrival_us") if times[2] == 80_000 else times
    spaced.index.name = "arrival_us"
    assert columns(blis.FrameWorkload(spaced).table) == columns(blis.FrameWorkload(frame).table)


def test_half_floats_are_numbers(recwarn):
    frame = pd.DataFrame(OURS).assign(output_tokens=np.array([44, 109, 0], np.float16))
    assert columns(blis.FrameWorkload(frame).table) == tuple(OURS.values())
    assert "cannot be" in refused(frame.rename_axis(index="input_tokens"))
    assert not recwarn.list


def test_a_wrong_frame_says_what_would_be_right():
    log = pl.DataFrame(LOG)
    found = "found: prompt_tokens, completion_tokens"
    says = "columns={'arrival': 'NAME'} says which"
    assert refused(log.drop("ts")) == f"frame: no column looks like arrivals; {says}; {found}"
    assert "which column holds the input tokens? columns={'input': 'NAME'} says it" in refused(
        log.drop("prompt_tokens")
    )
    assert "did you mean 'prompt_tokens'" in refused(log, columns={"input": "promt_tokens"})
    assert refused(log, columns={"inputs": "ts"}) == "columns: unknown 'inputs'; did you mean 'input'?"
    assert refused(log, time_unit="m") == "time_unit: must be one of s, ms, us, ns, got 'm'"
    assert refused(pl.DataFrame(OURS).clear()) == refused(log.clear()) == "frame: holds no requests"
    assert refused(log["ts"]).startswith("frame: cannot be read as a table: ")
    assert "Duplicate column names" in refused(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    mixed = pd.DataFrame({**LOG, "prompt_tokens": [1, "2", 3]})
    assert refused(mixed) == "frame: row 1: prompt_tokens: '2' is of another kind than the first value, int"
    tokens = {"arrival_us": [0], "prompt_token_ids": [[1]], "output_token_ids": [[1]], "n": [1]}
    assert "contradicts token ids" in refused(pl.DataFrame(tokens), columns={"input": "n"})
    times = "frame: ts: in which unit? Requests per second would be"
    assert refused(log.with_columns(ts=pl.Series([0.0, 1e9, 3e13]))).startswith(times)


@pytest.mark.parametrize("workload", [None, 3, [1, 2], pl.DataFrame(OURS).lazy()])
def test_what_is_no_workload_is_refused(workload):
    with pytest.raises(blis.WorkloadError, match=r"^workload: expected a blis.Workload, a data frame or the path"):
        blis.simulate(ROUND, workload)


def test_a_frame_whose_columns_are_called_as_the_parts_of_a_workload():
    frame = pd.DataFrame({**OURS, "seed": [1] * 3, "requests": [1] * 3})
    assert blis.simulate(ROUND, frame).summary["injected_requests"] == 3


def test_later_changes_of_the_frame_change_nothing():
    values = {name: np.array(column) for name, column in OURS.items()}
    frame = pd.DataFrame(values, copy=False)
    workload = blis.FrameWorkload(frame)
    values["input_tokens"][:] = 1
    frame["output_tokens"] = 1
    assert columns(workload.table) == tuple(OURS.values())


def test_outcomes_are_a_workload():
    first = blis.simulate(ROUND, pl.DataFrame(OURS))
    assert blis.simulate(ROUND, first.requests).summary == first.summary


def test_everything_that_takes_a_workload_takes_a_frame():
    count = 400
    arrival_us = np.cumsum(np.random.default_rng(1).exponential(20_000, count)).astype(np.int64)
    frame = pl.DataFrame({"arrival_us": arrival_us, "input_tokens": [200] * count, "output_tokens": [20] * count})
    table = blis.FrameWorkload(frame).table
    for each in (frame.to_pandas(), frame):
        assert blis.simulate(ROUND, each).summary == blis.simulate(ROUND, table).summary
    found, expected = (blis.capacity(ROUND, each, "p99_ttft=500ms", num_requests=200) for each in (frame, table))
    assert found.rows == expected.rows
    assert blis.instances_for(20, ROUND, frame, "p99_ttft=500ms", num_requests=200).num_instances >= 1
    scores = [blis.evaluate(None, blis.Scenario("one", ROUND, each))["fitness"] for each in (frame, table)]
    assert scores[0] == scores[1] > 0


def steady(count=300):
    arrival_us = np.cumsum(np.random.default_rng(0).exponential(50_000, count)).astype(np.int64)
    return pl.DataFrame({"arrival_us": arrival_us, "input_tokens": [100] * count, "output_tokens": [50] * count})


def test_sweeps_take_frames_and_other_workloads(caplog):
    base = {"model": "m", "alpha_coeffs": [0, 0, 0], "beta_coeffs": [5000, 10, 10], "total_kv_blocks": 1000}
    frame, drawn = steady(), blis.DistributionWorkload(num_requests=50)
    grid = {"workload": [frame, frame.tail(200), drawn, "chatbot"], "rate": [1, 2]}
    table = blis.sweep({"base": {**base, "max_prompts": 20}, "grid": grid}, executor="threads")
    deployment = blis.Deployment("m", alpha_coeffs=(0, 0, 0), beta_coeffs=(5000, 10, 10), total_kv_blocks=1000)
    for row, workload in ((0, frame), (2, frame.tail(200)), (4, drawn)):
        assert table["e2e_mean_ms"][row] == table["e2e_mean_ms"][row + 1]  # it has a rate of its own
        assert table["e2e_mean_ms"][row] == blis.simulate(deployment, workload).summary["e2e_mean_ms"]
    names = table["workload"].unique(maintain_order=True).to_list()
    assert [name.split()[0] for name in names] == ["frame", "frame", "distribution", "chatbot"]
    assert len(set(names)) == 4  # frames are told apart by what they hold
    blis.sweep({"base": {**base, "workload": frame, "rate": 3}}, executor="threads")
    assert f"rate has no effect with workload {names[0]}" in caplog.messages


def test_rows_of_another_frame_are_another_sweep(tmp_path):
    base = {"model": "m", "alpha_coeffs": [0, 0, 0], "beta_coeffs": [5000, 10, 10], "total_kv_blocks": 1000}

    def stop(done, total):
        raise KeyboardInterrupt

    def run(frame, progress=None):
        spec = {"base": {**base, "workload": frame}, "grid": {"max_num_seqs": [4, 8]}}
        return blis.sweep(spec, executor="threads", jobs=1, output=tmp_path / "out.parquet", progress=progress)

    with pytest.raises(KeyboardInterrupt):
        run(steady(), stop)
    with pytest.raises(blis.InputError, match="holds rows of another sweep"):
        run(steady().with_columns(pl.col("output_tokens") + 1))
    assert run(steady().to_pandas()).height == 2


def test_plans_take_frames():
    spec = {
        "base": {"model": "meta-llama/llama-3.1-8b-instruct", "workload": steady()},
        "slos": ["p99_ttft=300ms"],
        "prices": {"H100": 2.0},
        "deployments": [{"hardware": "H100", "tp": 1}],
        "num_requests": 200,
    }
    plan = blis.plan(spec, jobs=1)
    assert plan.rate == pytest.approx(1e6 * 299 / np.ptp(steady()["arrival_us"].to_numpy()))
    assert "--workload traces --workload-traces-filepath trace.parquet" in plan.best.command
    for key, value in (("workload", 3), ("latency_model", print), ("routing_policy", print)):
        with pytest.raises(blis.InputError) as found:
            blis.plan({**spec, "base": {**spec["base"], key: value}}, jobs=1)
        assert "\n" not in str(found.value)
