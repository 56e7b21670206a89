"""Runs whose decisions are recorded: the file, the summary, and regret that is measured."""

import json
import shutil
import signal

import numpy as np
import polars as pl
import polars.testing
import pyarrow.parquet as pq
import pytest

import blis
from blis._core.codes import NONE, ViewColumn, ViewNumber
from blis.api import prepare
from blis.outcomes.decisions.file import TraceFile
from blis.simulation import deciding, run_engine
from blis.simulation.interrupts import uninterrupted

MODEL = "meta-llama/llama-3.1-8b-instruct"
N = 120


def prepared(trace, policy="round-robin", seed=42, **options):
    workload = blis.DistributionWorkload(rate=80, num_requests=N, output_tokens=60, output_tokens_stdev=40)
    cluster = blis.ClusterOptions(num_instances=3, routing_policy=policy, **options)
    return prepare(MODEL, workload, cluster=cluster, seed=seed, trace=trace)


def traced(trace, policy="round-robin", **options):
    return prepared(trace, policy, **options).run()


def test_nobody_looks_unless_asked():
    assert traced(None).trace is None
    assert traced(blis.TraceOptions()).trace.realised is None


def test_recording_changes_nothing(tmp_path):
    plain = traced(None, "weighted")
    watched = traced(blis.TraceOptions(2, 1, tmp_path / "t.parquet"), "weighted")
    polars.testing.assert_frame_equal(watched.requests, plain.requests)
    assert watched.summary == plain.summary


def test_summary_agrees_with_the_rows():
    bucket = {"admission_policy": "token-bucket", "token_bucket_capacity": 30_000.0}
    outcomes = traced(blis.TraceOptions(), **bucket)
    summary, rows = outcomes.trace.summary, outcomes.requests
    rejected = rows.filter(pl.col("status") == "rejected").height
    assert 0 < rejected < N
    assert (summary["total_decisions"], summary["admitted"], summary["rejected"]) == (N, N - rejected, rejected)
    assert summary["target_distribution"] == dict(
        rows.drop_nulls("instance_id").group_by("instance_id").len().sort("instance_id").iter_rows()
    )
    assert summary["mean_regret"] is None


@pytest.mark.parametrize("policy", ["weighted", "least-loaded"])
def test_who_takes_the_best_regrets_nothing(policy):
    summary = traced(blis.TraceOptions(counterfactual_k=1), policy).trace.summary
    assert (summary["mean_regret"], summary["max_regret"]) == (0.0, 0.0)


def test_regret_does_not_depend_on_how_many_are_recorded():
    one, three = (traced(blis.TraceOptions(counterfactual_k=k)).trace.summary for k in (1, 3))
    assert one == three
    assert 0.0 < one["mean_regret"] < one["max_regret"]


def test_the_file_is_what_the_policies_saw(tmp_path):
    path = tmp_path / "trace.parquet"
    simulation = prepared(blis.TraceOptions(path=path), "prefix-affinity", routing_latency_us=500)
    outcomes = simulation.run()
    rows = pl.read_parquet(path)
    chunks = []
    run_engine(
        simulation.table,
        simulation.resolved.engine,
        simulation.resolved.latency,
        simulation.control,
        decisions=lambda chunk: chunks.append([part.copy() for part in chunk]),
    )
    decisions, columns, numbers = (np.concatenate(parts) for parts in zip(*chunks, strict=True))

    assert rows["clock_us"].to_list() == decisions[:, 2].tolist()
    assert rows["kind"].value_counts().sort("kind").rows() == [("admission", N), ("routing", N)]
    by_request = dict(outcomes.requests.select("request_id", "instance_id").iter_rows())
    routed = rows.filter(pl.col("kind") == "routing")
    assert dict(routed.select("request_id", "instance_id").iter_rows()) == by_request
    assert rows["regret"].null_count() == len(rows)

    seen = rows.select(pl.col("candidates").explode()).unnest("candidates")
    assert seen["instance_id"].to_list() == ["instance_0", "instance_1", "instance_2"] * 2 * N
    for column in set(ViewColumn) - {ViewColumn.CACHED_BLOCKS}:
        assert seen[column.name.lower()].to_list() == columns[:, column].ravel().tolist()
    for number in (ViewNumber.KV_UTILIZATION, ViewNumber.CACHE_HIT_RATE):
        assert seen[number.name.lower()].to_list() == numbers[:, number].ravel().tolist()
    assert seen["queue_depth"].max() > 0
    assert seen["kv_utilization"].max() > 0.0
    assert seen["score"].null_count() == seen["cached_blocks"].null_count() == len(seen)


def test_the_file_names_the_run(tmp_path):
    path = tmp_path / "trace.parquet"
    outcomes = traced(blis.TraceOptions(2, path=str(path)), "weighted")
    metadata = json.loads(pq.read_schema(path).metadata[b"blis"])
    assert metadata == {**outcomes.metadata, "trace": {"counterfactual_k": 2}}
    routed = pl.read_parquet(path).filter(pl.col("kind") == "routing")
    best = routed.select(pl.col("candidates").list.first().struct.field("instance_id")).to_series()
    assert best.to_list() == routed["instance_id"].to_list()
    assert routed["candidates"].list.len().unique().to_list() == [2]
    assert routed["regret"].to_list() == [0.0] * N
    score = routed.row(0, named=True)["candidates"][0]["score"]
    assert routed["reason"][0] == f"weighted-scoring (score={score:.3f})"


def test_chunks_leave_no_mark(tmp_path, monkeypatch):
    whole = traced(blis.TraceOptions(2, 3, tmp_path / "whole.parquet"))
    monkeypatch.setattr(deciding, "DECISION_NUMBERS", 9 * 3 * 7)  # seven decisions
    monkeypatch.setattr("blis.outcomes.decisions.file._CANDIDATES_PER_GROUP", 40)
    pieces = traced(blis.TraceOptions(2, 3, tmp_path / "pieces.parquet"))
    assert pieces.trace.summary == whole.trace.summary
    polars.testing.assert_frame_equal(pieces.trace.realised, whole.trace.realised)
    frames = [pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("pieces", "whole")]
    polars.testing.assert_frame_equal(*frames)
    assert pq.read_metadata(tmp_path / "pieces.parquet").num_row_groups > 5


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        traced(blis.TraceOptions(1, 2, tmp_path / name))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("samples", [0, 2])
def test_no_decisions_is_a_file_without_rows(tmp_path, samples):
    path = tmp_path / "trace.parquet"
    nothing = blis.RequestTable(*(np.empty(0, np.int64) for _ in range(3)))
    options = blis.TraceOptions(1, samples, path)
    trace = blis.simulate(MODEL, nothing, cluster=blis.ClusterOptions(num_instances=2), trace=options).trace
    assert trace.summary["total_decisions"] == trace.summary["unique_targets"] == 0
    assert trace.summary["mean_regret"] is None
    assert trace.summary.get("realised_own_e2e_regret_mean_ms") is None
    rows = pl.read_parquet(path)
    assert rows.height == 0
    assert rows.schema["realised_own_e2e_regret_us"] == pl.Int64


def test_measured_regret_is_the_difference_of_two_runs(tmp_path):
    path = tmp_path / "trace.parquet"
    simulation = prepared(blis.TraceOptions(regret_samples=4, path=path))
    actual = simulation.run()
    realised = actual.trace.realised
    assert realised.height == 4
    assert realised["clock_us"].is_sorted()
    wanted = pl.read_parquet(path).drop_nulls("realised_alternative")
    assert wanted["kind"].unique().to_list() == ["routing"]
    for row, written in zip(realised.iter_rows(named=True), wanted.iter_rows(named=True), strict=True):
        request, chosen, other = (int(row[name].rsplit("_", 1)[1]) for name in ("request_id", "chosen", "alternative"))
        assert actual.result.instance[request] == chosen != other
        loads = [c["queue_depth"] + c["batch_size"] + c["pending_requests"] for c in written["candidates"]]
        assert other == min((i for i in range(3) if i != chosen), key=lambda i: (loads[i], i))

        result = run_engine(
            simulation.table,
            simulation.resolved.engine,
            simulation.resolved.latency,
            simulation.control,
            forced=(request, other),
        )
        assert result.instance[request] == other
        regret = actual.result.finished_us - result.finished_us
        first_token = actual.result.first_token_us - result.first_token_us
        assert row["own_e2e_regret_us"] == regret[request] != 0
        assert row["own_ttft_regret_us"] == first_token[request]
        assert row["mean_e2e_regret_us"] == pytest.approx(regret.mean())
        assert row["mean_ttft_regret_us"] == pytest.approx(first_token.mean())
        names = [name for name in row if name.endswith("_us") and name != "clock_us"]
        assert [written[f"realised_{name}"] for name in names] == [row[name] for name in names]

    own_ms, everyones_ms = realised["own_e2e_regret_us"] / 1000, realised["mean_e2e_regret_us"] / 1000
    summary = actual.trace.summary
    assert summary["realised_samples"] == 4
    assert summary["realised_own_e2e_regret_mean_ms"] == pytest.approx(own_ms.mean())
    assert summary["realised_own_e2e_regret_max_ms"] == own_ms.max()
    assert summary["realised_everyones_e2e_regret_mean_ms"] == pytest.approx(everyones_ms.mean())


def test_a_request_that_is_cut_off_has_no_regret_of_its_own():
    workload = blis.DistributionWorkload(rate=80, num_requests=N)
    cluster, trace = blis.ClusterOptions(num_instances=2), blis.TraceOptions(regret_samples=N)
    outcomes = blis.simulate(MODEL, workload, cluster=cluster, horizon_us=600_000, trace=trace)
    unfinished = outcomes.requests.filter(pl.col("e2e_us").is_null())["request_id"]
    realised = outcomes.trace.realised
    cut = realised.filter(pl.col("request_id").is_in(unfinished.to_list()))
    assert cut.height > 0
    assert cut["own_e2e_regret_us"].null_count() == cut.height
    assert realised["own_ttft_regret_us"].drop_nulls().len() > 0
    with_others = realised["mean_ttft_regret_us"].is_not_null()
    assert with_others.any()


def test_ctrl_c_keeps_the_samples_that_are_done(tmp_path):
    path = tmp_path / "trace.parquet"
    simulation = prepared(blis.TraceOptions(regret_samples=5, path=path))
    whole = simulation.run().trace.realised

    def press(finished, total, clock_us):
        if finished > 3 * N:
            raise KeyboardInterrupt

    outcomes = simulation.run(press)
    assert not outcomes.result.interrupted
    assert outcomes.trace.interrupted
    assert outcomes.trace.summary["realised_samples"] == outcomes.trace.realised.height == 2
    assert set(outcomes.trace.realised.rows()) < set(whole.rows())
    assert pl.read_parquet(path)["realised_alternative"].is_not_null().sum() == 2


def test_an_interrupted_run_is_not_run_again(tmp_path):
    def press(finished, total, clock_us):
        raise KeyboardInterrupt

    outcomes = prepared(blis.TraceOptions(regret_samples=5, path=tmp_path / "t.parquet")).run(press)
    assert outcomes.result.interrupted
    assert outcomes.trace.realised.height == 0
    assert pl.read_parquet(tmp_path / "t.parquet").height == 2 * N


def test_progress_is_that_of_all_runs():
    seen = []
    prepared(blis.TraceOptions(regret_samples=2)).run(lambda finished, total, _: seen.append((finished, total)))
    assert seen == sorted(seen)
    assert seen[0][1] == seen[-1][0] == seen[-1][1] == 3 * N


def test_a_sample_that_fails_is_left_out(monkeypatch, caplog):
    simulation = prepared(blis.TraceOptions(regret_samples=2))
    run, forced = run_engine, []

    def fails_once(*args, **kwargs):
        if kwargs["forced"][0] != NONE:
            forced.append(kwargs["forced"])
            if len(forced) == 1:
                raise blis.EngineError("livelock")
        return run(*args, **kwargs)

    monkeypatch.setattr("blis.simulation.run_engine", fails_once)
    monkeypatch.setattr("logging.Logger.propagate", True, raising=False)
    outcomes = simulation.run()
    assert outcomes.trace.realised["request_id"].to_list() == [f"request_{forced[1][0]}"]
    assert f"request_{forced[0][0]} on instance_{forced[0][1]}: livelock" in caplog.text


def test_ctrl_c_waits_until_a_chunk_is_taken():
    simulation = prepared(None)
    taken = []

    def sink(chunk):
        signal.raise_signal(signal.SIGINT)
        taken.extend(chunk.decisions[:, 1].tolist())

    result = run_engine(
        simulation.table,
        simulation.resolved.engine,
        simulation.resolved.latency,
        simulation.control,
        decisions=sink,
    )
    assert result.interrupted
    assert taken == [row for row in range(N) for _ in range(2)]


def test_an_uninterrupted_block_passes_its_exceptions_on():
    with pytest.raises(ZeroDivisionError), uninterrupted():
        1 / 0  # noqa: B018
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("samples", [0, 2])
def test_a_lost_directory_does_not_cost_the_run(tmp_path, samples):
    folder = tmp_path / "gone"
    folder.mkdir()
    whole = traced(blis.TraceOptions(regret_samples=samples))
    simulation = prepared(blis.TraceOptions(regret_samples=samples, path=folder / "t.parquet"))
    outcomes = simulation.run(lambda *_: shutil.rmtree(folder, ignore_errors=True))
    polars.testing.assert_frame_equal(outcomes.requests, whole.requests)
    assert outcomes.trace.summary == whole.trace.summary
    error = outcomes.trace.file_error
    assert (error.filename, error.strerror) == (str(folder / "t.parquet"), "No such file or directory")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_can_not_be_written_is_told(caplog, monkeypatch):
    def fail(self, rows):
        raise OSError(28, "No space left on device", "t.parquet")

    monkeypatch.setattr("blis.outcomes.decisions.file.TraceFile.write", fail)
    monkeypatch.setattr("logging.Logger.propagate", True, raising=False)
    trace = blis.TraceOptions(path="t.parquet")
    outcomes = blis.simulate(MODEL, blis.DistributionWorkload(num_requests=3), trace=trace)
    assert outcomes.summary["completed_requests"] == 3
    assert "t.parquet: No space left on device; there is no file of the decisions" in caplog.text


def test_ctrl_c_while_the_file_is_finished_costs_nothing(tmp_path, monkeypatch):
    finish = TraceFile.finish

    def press(self, realised):
        signal.raise_signal(signal.SIGINT)
        finish(self, realised)

    monkeypatch.setattr("blis.outcomes.decisions.file.TraceFile.finish", press)
    outcomes = traced(blis.TraceOptions(path=tmp_path / "t.parquet"))
    assert outcomes.trace.interrupted
    assert not outcomes.result.interrupted
    assert pl.read_parquet(tmp_path / "t.parquet").height == 2 * N


@pytest.mark.parametrize("name", ["counterfactual_k", "regret_samples"])
def test_negative_counts_are_refused(name):
    with pytest.raises(blis.ConfigError, match=f"{name}: must be >= 0, got -1"):
        blis.TraceOptions(**{name: -1})


def test_wrong_wishes_are_refused_before_the_run(tmp_path):
    with pytest.raises(blis.ConfigError, match="regret_samples: needs num_instances of 2 at least, got 1"):
        prepare(MODEL, blis.DistributionWorkload(), trace=blis.TraceOptions(regret_samples=1))
    with pytest.raises(blis.InputError, match="no directory"):
        prepare(MODEL, blis.DistributionWorkload(), trace=blis.TraceOptions(path=tmp_path / "no" / "t.parquet"))
