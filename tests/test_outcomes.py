"""What happened in a run: derived durations, the frame, the Parquet file, the results file."""

import json
import os
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from helpers_outcomes import CLIENT_US, cluster_outcomes, ints, make_outcomes, mixed_outcomes
from hypothesis import given, settings
from hypothesis import strategies as st

import blis
from blis._core.codes import NEVER, RequestStatus
from blis.errors import InputError
from blis.outcomes.outcomes import STATUS_NAMES, Outcomes
from blis.report.sections import Report

STAMPS = ("enqueued_us", "first_scheduled_us", "first_token_us", "finished_us")


def test_client_cost_enters_ttft_once_and_e2e_per_token():
    outcomes = mixed_outcomes()
    assert outcomes.ttft_us()[1] == 2_210 - 1_000 + CLIENT_US
    assert outcomes.e2e_us()[1] == 4_212 - 1_000 + 3 * CLIENT_US
    assert outcomes.scheduling_delay_us()[1] == 110
    assert outcomes.itl_mean_us()[1] == (4_212 - 2_210) / 2 + CLIENT_US


def test_what_never_happened_has_no_duration():
    outcomes = mixed_outcomes()
    assert outcomes.e2e_us().tolist()[2:] == [NEVER] * 6
    assert outcomes.ttft_us()[2] == 2_000 + CLIENT_US  # reached a first token, unfinished
    assert np.isnan(outcomes.itl_mean_us()[2:]).all()


def test_one_token_has_no_tpot():
    outcomes = make_outcomes([(0, 10, 1, 110, 1_210, 1_210, 1, RequestStatus.COMPLETED, 0)])
    assert np.isnan(outcomes.itl_mean_us()).all()
    assert outcomes.e2e_us()[0] == outcomes.ttft_us()[0] == 1_210 + CLIENT_US


def test_pooled_gaps_contain_the_client_cost():
    values, counts = mixed_outcomes().itl
    assert values.tolist() == [1_001 + CLIENT_US, 2_000 + CLIENT_US, 3_000 + CLIENT_US]
    assert counts.tolist() == [2, 3, 1]


def test_frame_has_one_row_per_request_in_input_order():
    frame = mixed_outcomes().requests
    assert frame["request_id"].to_list() == [f"request_{i}" for i in range(8)]
    assert frame["arrival_us"].to_list()[:2] == [2_000, 1_000]
    assert frame["status"].dtype == pl.Enum(STATUS_NAMES)
    assert frame["status"].to_list()[-2:] == ["rejected", "not_arrived"]
    assert frame["instance_id"].to_list() == ["instance_0"] * 4 + [None] * 4  # refused, rejected or yet to come
    assert frame["finished_us"].null_count() == 6
    assert frame["itl_mean_us"].null_count() == 6
    assert frame["itl_mean_us"].to_list()[0] == 2_000 + CLIENT_US
    for name in STAMPS:
        assert frame[name].dtype == pl.Int64


def test_empty_run():
    outcomes = make_outcomes([], end_us=0)
    assert outcomes.requests.height == 0
    assert outcomes.summary["ttft_mean_ms"] is None


def test_parquet_keeps_everything(tmp_path):
    outcomes = mixed_outcomes()
    outcomes.write_parquet(tmp_path / "outcomes.parquet")
    again = Outcomes.read_parquet(tmp_path / "outcomes.parquet")
    assert again.requests.equals(outcomes.requests)
    assert again.summary == outcomes.summary
    assert again.metadata == outcomes.metadata
    assert pl.read_parquet(tmp_path / "outcomes.parquet").columns == outcomes.requests.drop("tpot_us").columns


def test_parquet_keeps_instances_classes_and_tenants(tmp_path):
    outcomes = cluster_outcomes()
    outcomes.write_parquet(tmp_path / "outcomes.parquet")
    again = Outcomes.read_parquet(tmp_path / "outcomes.parquet")
    assert again.requests.equals(outcomes.requests)
    assert Report(again).values() == Report(outcomes).values()
    for name in ("slo_class", "tenant"):
        assert getattr(again.table, name).names == getattr(outcomes.table, name).names
        assert getattr(again.table, name).codes.tolist() == getattr(outcomes.table, name).codes.tolist()
    for result in (again.result, outcomes.result):
        assert result.instance.tolist() == [0, 1, 0, 1, -1]
        assert result.instances.queue_length_sum.tolist() == [0, 20]
        assert result.itl_class.tolist() == [2, 2, -1, -1]
    types = {field.name: field.type for field in pq.read_schema(tmp_path / "outcomes.parquet")}
    assert {str(types[name]) for name in ("instance_id", "slo_class", "tenant_id")} == {"string"}


def test_names_of_each_row():
    frame = cluster_outcomes().requests
    assert frame["instance_id"].to_list() == ["instance_0", "instance_1", "instance_0", "instance_1", None]
    assert frame["slo_class"].to_list() == ["batch", None, "batch", None, "realtime"]
    assert frame["tenant_id"].to_list() == ["b", "a", "b", None, "c"]
    assert frame.filter(pl.col("slo_class") == "batch").height == 2
    assert mixed_outcomes().requests["slo_class"].null_count() == 8


def test_the_gaps_of_a_large_cluster_stay_small(tmp_path):
    rng = np.random.default_rng(1)
    rows = 64 * 3_000
    histogram = {
        "itl_instance": np.repeat(np.arange(64), 3_000),
        "itl_class": np.full(rows, NEVER),
        "itl_values_us": np.concatenate([np.sort(rng.choice(60_000, 3_000, replace=False)) for _ in range(64)]),
        "itl_counts": rng.integers(1, 5_000, rows),
    }
    outcomes = make_outcomes([])
    outcomes = replace(outcomes, result=replace(outcomes.result, **histogram))
    outcomes.write_parquet(tmp_path / "o.parquet")
    assert (tmp_path / "o.parquet").stat().st_size < 1_200_000  # 6 MB as plain integers
    again = Outcomes.read_parquet(tmp_path / "o.parquet").result
    for name, column in histogram.items():
        assert np.array_equal(getattr(again, name), column)


def test_histograms_of_one_instance_or_class():
    outcomes = cluster_outcomes()
    assert [column.tolist() for column in outcomes.itl] == [[2_012, 3_012, 3_014], [1, 2, 1]]
    assert [column.tolist() for column in outcomes.itl_of(instance=1)] == [[3_012, 3_014], [1, 1]]
    assert [column.tolist() for column in outcomes.itl_of(slo_class=2)] == [[2_012, 3_012], [1, 1]]
    assert [column.tolist() for column in outcomes.itl_of(slo_class=[2, -1])] == [[2_012, 3_012, 3_014], [1, 2, 1]]
    assert [column.tolist() for column in outcomes.itl_of(instance=1, slo_class=2)] == [[], []]


def test_figures_of_a_run_are_sum_and_maximum_over_instances():
    result = cluster_outcomes().result
    assert (result.num_steps, result.peak_used_blocks) == (9, 9)


def test_parquet_carries_the_configuration_where_other_tools_look(tmp_path):
    make_outcomes([], metadata={"seed": 7, "blis_version": "x"}).write_parquet(tmp_path / "o.parquet")
    metadata = pq.read_schema(tmp_path / "o.parquet").metadata
    assert json.loads(metadata[b"blis"]) == {"seed": 7, "blis_version": "x"}


def test_same_outcomes_same_bytes(tmp_path):
    for name in ("a", "b"):
        mixed_outcomes().write_parquet(tmp_path / f"{name}.parquet")
        mixed_outcomes().write_json(tmp_path / f"{name}.json")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_several_row_groups_and_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("blis.outcomes.outcomes._ROWS_PER_GROUP", 3)
    monkeypatch.setattr("blis.report.json_report._ROWS_PER_CHUNK", 3)
    outcomes = mixed_outcomes()
    outcomes.write_parquet(tmp_path / "o.parquet")
    outcomes.write_json(tmp_path / "o.json")
    assert pq.ParquetFile(tmp_path / "o.parquet").num_row_groups == 3
    assert Outcomes.read_parquet(tmp_path / "o.parquet").requests.equals(outcomes.requests)
    assert len(json.loads((tmp_path / "o.json").read_text())["requests"]) == 8


def test_files_of_others_are_refused(tmp_path):
    pl.DataFrame({"arrival_us": [1]}).write_parquet(tmp_path / "foreign.parquet")
    (tmp_path / "text.parquet").write_text("no")
    for name in ("foreign.parquet", "text.parquet", "absent.parquet"):
        with pytest.raises(InputError, match=name):
            Outcomes.read_parquet(tmp_path / name)


def test_a_file_without_one_of_the_columns_is_refused(tmp_path):
    mixed_outcomes().write_parquet(tmp_path / "o.parquet")
    table = pq.read_table(tmp_path / "o.parquet")
    pq.write_table(table.drop_columns(["turn"]), tmp_path / "fewer.parquet")
    with pytest.raises(InputError, match=r"fewer\.parquet: not a file of outcomes: it has no column 'turn'"):
        Outcomes.read_parquet(tmp_path / "fewer.parquet")


def test_row_groups_are_read_one_behind_the_other(tmp_path, monkeypatch):
    """Each has names of its own, and nulls of its own."""
    outcomes = mixed_outcomes()
    outcomes.write_parquet(tmp_path / "one.parquet")
    monkeypatch.setattr("blis.outcomes.outcomes._ROWS_PER_GROUP", 3)
    outcomes.write_parquet(tmp_path / "many.parquet")
    assert pq.read_metadata(tmp_path / "many.parquet").num_row_groups == 3
    one, many = (Outcomes.read_parquet(tmp_path / f"{name}.parquet") for name in ("one", "many"))
    assert many.requests.equals(one.requests)
    assert many.requests.equals(outcomes.requests)


def entries(tmp_path, outcomes):
    outcomes.write_json(tmp_path / "results.json")
    return json.loads((tmp_path / "results.json").read_text())


def test_results_file_is_the_metrics_object_plus_all_requests(tmp_path):
    outcomes = mixed_outcomes()
    results = entries(tmp_path, outcomes)
    assert list(results)[-2:] == ["anomalies", "requests"]
    requests = results.pop("requests")
    assert results.pop("anomalies") == {"priority_inversions": 0, "hol_blocking_events": 0, "rejected_requests": 1}
    assert results == outcomes.summary | {"steady_state": outcomes.steady_state.figures()}
    assert [entry["requestID"] for entry in requests[:2]] == ["request_1", "request_0"]  # by arrival
    assert len(requests) == 8


def test_results_entries_are_in_ms_and_null_where_nothing_happened(tmp_path):
    requests = entries(tmp_path, mixed_outcomes())["requests"]
    assert requests[0] == {
        "arrived_at": 0.001,
        "requestID": "request_1",
        "num_prefill_tokens": 10,
        "num_decode_tokens": 3,
        "ttft_ms": 1.222,
        "itl_ms": 1.013,
        "e2e_ms": 3.248,
        "scheduling_delay_ms": 0.11,
        "status": "completed",
        "reason": None,
        "produced_tokens": 3,
        "num_preemptions": 0,
        "cached_tokens": 0,
        "instance_id": "instance_0",
    }
    assert list(requests[0])[:8] == [
        "arrived_at",
        "requestID",
        "num_prefill_tokens",
        "num_decode_tokens",
        "ttft_ms",
        "itl_ms",
        "e2e_ms",
        "scheduling_delay_ms",
    ]
    refused = {entry["status"]: entry for entry in requests if entry["reason"] is not None}
    assert set(refused) == {"refused_too_long", "refused_never_fits", "rejected"}
    assert "max_model_len" in refused["refused_too_long"]["reason"]
    assert "blocks" in refused["refused_never_fits"]["reason"]
    assert refused["rejected"]["ttft_ms"] is refused["rejected"]["e2e_ms"] is None


def test_results_entries_name_instance_class_and_tenant_where_there_is_one(tmp_path):
    requests = entries(tmp_path, cluster_outcomes())["requests"]
    assert [entry["instance_id"] for entry in requests] == ["instance_0", "instance_1"] * 2 + [None]
    assert [entry.get("slo_class") for entry in requests] == ["batch", None, "batch", None, "realtime"]
    assert list(requests[0])[-3:] == ["instance_id", "slo_class", "tenant_id"]
    assert list(requests[1])[-2:] == ["instance_id", "tenant_id"]
    assert list(requests[3])[-1] == "instance_id"


def test_any_name_gives_valid_json(tmp_path):
    row = (5, 1, 1, NEVER, NEVER, NEVER, 0, RequestStatus.WAITING, 0)
    (entry,) = entries(tmp_path, make_outcomes([row], tenant=['100% "Ünï\n"']))["requests"]
    assert entry["tenant_id"] == '100% "Ünï\n"'


def test_equal_arrivals_keep_their_order(tmp_path):
    rows = [(5, 1, 1, NEVER, NEVER, NEVER, 0, RequestStatus.WAITING, 0)] * 50
    ids = [entry["requestID"] for entry in entries(tmp_path, make_outcomes(rows))["requests"]]
    assert ids == [f"request_{i}" for i in range(50)]


def test_milliseconds_give_back_the_microseconds(tmp_path):
    rng = np.random.default_rng(3)
    first = rng.integers(1, 10**9, 500)
    rows = [(0, 1, 1, 0, int(us), int(us), 1, RequestStatus.COMPLETED, 0) for us in first]
    requests = entries(tmp_path, make_outcomes(rows))["requests"]
    assert [round(entry["ttft_ms"] * 1000) for entry in requests] == (first + CLIENT_US).tolist()
    assert [entry["ttft_ms"] for entry in requests] == [(int(us) + CLIENT_US) / 1000 for us in first]


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    path.write_text("old")

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("blis.report.json_report._entries", fail)
    with pytest.raises(OSError, match="No space"):
        mixed_outcomes().write_json(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_pipes_are_written_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        make_outcomes([]).write_json(tmp_path / "pipe")
        assert json.loads(os.read(reader, 1 << 16))["requests"] == []
    finally:
        os.close(reader)


def test_a_link_keeps_pointing_to_its_file(tmp_path):
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to("real.json")
    make_outcomes([]).write_json(tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text())["completed_requests"] == 0


def test_rows_can_be_asked_for_by_slice_and_by_index():
    outcomes = mixed_outcomes()
    assert outcomes.e2e_us(slice(1, 3)).tolist() == outcomes.e2e_us().tolist()[1:3]
    assert outcomes.itl_mean_us(ints(1, 0)).tolist() == outcomes.itl_mean_us()[[1, 0]].tolist()


@settings(max_examples=20)
@given(
    lengths=st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(1, 300), st.integers(0, 40)), min_size=1, max_size=30
    ),
    horizon_us=st.integers(1, 2 * 10**6),
    client_us=st.integers(0, 500),
)
def test_columns_have_the_means_of_the_summary(lengths, horizon_us, client_us):
    """TPOT weighs requests alike; ITL weighs gaps alike, of which a request has one less than tokens."""
    deployment = blis.Deployment(
        "m", alpha_coeffs=(100, 1, client_us), beta_coeffs=(1000, 10, 100), total_kv_blocks=100
    )
    table = blis.RequestTable(*np.array(lengths).T)
    for outcomes in (blis.simulate(deployment, table), blis.simulate(deployment, table, horizon_us=horizon_us)):
        frame, summary = outcomes.requests, outcomes.summary
        for name in ("ttft", "tpot", "e2e", "scheduling_delay"):
            mean = frame[f"{name}_us"].mean()
            assert (mean is None) == (summary[f"{name}_mean_ms"] is None)
            assert mean is None or mean / 1000 == pytest.approx(summary[f"{name}_mean_ms"])
    whole = blis.simulate(deployment, table)
    gaps = whole.requests.filter(pl.col("itl_mean_us").is_not_null()).with_columns(n=pl.col("produced_tokens") - 1)
    if gaps.height:
        pooled = (gaps["itl_mean_us"] * gaps["n"]).sum() / gaps["n"].sum() / 1000
        assert pooled == pytest.approx(whole.summary["itl_mean_ms"])
