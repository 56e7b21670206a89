"""TraceV2 files are inspected, cut and scaled as other traces are, those of inference-sim, too."""

import gzip

import polars as pl
import pytest
from helpers_convert import TRACEV2

import blis
from blis.errors import InputError
from blis.workload.convert.converting import convert
from blis.workload.convert.formats import recognise
from blis.workload.convert.options import Selection
from blis.workload.inspect.survey import inspect_trace
from blis.workload.traces.tracev2.tracev2 import TraceV2, load_tracev2, read_tracev2

HEADER = "trace_version: 2\ntime_unit: microseconds\nmode: {}\n"


@pytest.fixture
def trace(tmp_path):
    (tmp_path / "t.csv").write_text(TRACEV2)
    (tmp_path / "t.yaml").write_text(HEADER.format("real"))
    return TraceV2(tmp_path / "t.yaml", tmp_path / "t.csv")


def test_prompts_of_the_later_columns_are_whole(trace):
    """A prefix stands before the input tokens; without one the server's own count is what it was given."""
    replay = load_tracev2(trace)
    assert replay.table.input_tokens.tolist() == [112, 56]
    assert replay.table.details.prefix_tokens.tolist() == [0, 48]


@pytest.mark.parametrize("name", ["t.csv", "t.yaml"])
def test_by_its_data_or_by_its_header(trace, tmp_path, name):
    assert recognise(tmp_path / name) == "tracev2"
    _, counts = convert(tmp_path / name, tmp_path / "out.parquet", selection=Selection(scale_rate=2))
    assert (counts.taken, counts.failed) == (2, 1)
    found = pl.read_parquet(tmp_path / "out.parquet")
    assert found["arrival_us"].to_list() == [0, 125_000]
    assert found["input_tokens"].to_list() == [112, 56]
    assert found["tenant_id"].to_list() == ["alice", None]
    assert "what prompts share is left out" in counts.doubts[0]


def test_what_was_measured_stays(trace, tmp_path):
    convert(trace.data, tmp_path / "out.yaml", selection=Selection(limit=1))
    header, records = read_tracev2(TraceV2(tmp_path / "out.yaml", tmp_path / "out.csv"))
    assert header.mode == "real"
    assert (records.first_chunk_us.tolist(), records.last_chunk_us.tolist()) == ([25_000], [200_000])


def test_a_simulated_trace_has_failures_of_its_own(trace, tmp_path):
    trace.header.write_text(HEADER.format("replayed"))
    assert inspect_trace(trace.data)["requests"] == 3


def test_without_a_header_it_is_taken_as_measured(trace):
    trace.header.unlink()
    assert "there is no header beside it: taken as measured" in inspect_trace(trace.data)["assumed"][0]


def test_the_header_of_a_packed_file(trace, tmp_path):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(trace.data.read_bytes()))
    trace.data.unlink()
    assert inspect_trace(tmp_path / "t.csv.gz")["assumed"] == []


def test_a_header_without_its_data(trace):
    trace.data.unlink()
    with pytest.raises(InputError, match=r"is the header of a TraceV2, but there is no t.csv beside it"):
        inspect_trace(trace.header)


def test_what_blis_run_writes_is_inspected(tmp_path):
    workload = blis.DistributionWorkload(num_requests=20, rate=10.0)
    simulation = blis.prepare(blis.Deployment("meta-llama/llama-3.1-8b-instruct"), workload)
    simulation.write_trace(simulation.run(), tmp_path / "t")
    found = inspect_trace(tmp_path / "t.csv")
    assert (found["format"], found["requests"], found["assumed"], found["doubts"]) == ("tracev2", 20, [], [])


def test_what_is_not_simulated_is_told(trace, caplog):
    trace.data.write_text(TRACEV2.replace(",0,112,", ",5000000,112,"))
    load_tracev2(trace)
    assert "deadline_us: 1 requests have one, which is not simulated" in caplog.text


def test_priorities_are_kept(trace):
    text = TRACEV2.replace("slo_class,", "slo_class,vllm_priority,").replace(",batch,", ",batch,7,")
    trace.data.write_text(text.replace("1,,,,", "1,,,,0,").replace("2,,,,", "2,,,,0,"))
    assert load_tracev2(trace).table.priority.tolist() == [7, 0]
