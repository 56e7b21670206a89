"""What a run covers: its clock begins at 0, its rates count the horizon, and who comes too late is counted."""

import dataclasses

import numpy as np
import polars as pl
import pytest

import blis
from blis.cli.main import main
from blis.outcomes.metrics.window import window_notes
from blis.outcomes.outcomes import Outcomes
from blis.workload.requests import RequestTable, Sessions
from blis.workload.window import EPOCH_US, from_zero, in_time, listed

pytestmark = pytest.mark.usefixtures("compiled_engine")

#: 10 ms per step.
MODEL = blis.Deployment("m", alpha_coeffs=(0.0, 0.0, 0.0), beta_coeffs=(10_000.0, 0.0, 0.0), total_kv_blocks=500)
COUNTS = ("completed", "running", "waiting", "rejected", "refused_too_long", "refused_never_fits")


def table(*arrivals, **more):
    count = len(arrivals)
    return RequestTable(np.array(arrivals, dtype=np.int64), np.full(count, 3), np.full(count, 2), **more)


def in_csv(folder, *arrivals):
    path = folder / "t.csv"
    rows = [f'{arrival},r,m,"[1,2,3]","[4,5]"\n' for arrival in arrivals]
    path.write_text("arrival_time,request_id,model,prefill_tokens,decode_tokens\n" + "".join(rows))
    return path


def in_parquet(folder, *arrivals):
    path = folder / "t.parquet"
    stamps = [round(arrival * 1e6) for arrival in arrivals]
    pl.DataFrame({"arrival_us": stamps, "input_tokens": 3, "output_tokens": 2}).write_parquet(path)
    return path


def in_tracev2(folder, *arrivals):
    path = in_parquet(folder, *arrivals)
    assert main(["convert", str(path), str(folder / "t.yaml"), "--keep-clock", "--quiet"]) == 0
    return blis.TraceV2(folder / "t.yaml", folder / "t.csv")


def in_python(folder, *arrivals):
    return table(*(round(arrival * 1e6) for arrival in arrivals))


KINDS = [in_csv, in_parquet, in_tracev2, in_python]


@pytest.mark.parametrize("kind", KINDS)
def test_requests_behind_the_horizon_are_counted_and_listed(tmp_path, kind):
    outcomes = blis.simulate(MODEL, kind(tmp_path, 0, 10, 5), horizon_us=5_000_000)
    summary = outcomes.summary
    assert outcomes.requests["status"].to_list() == ["completed", "not_arrived", "running"]
    assert summary["not_arrived_requests"] == 1
    assert summary["injected_requests"] == sum(summary[f"{name}_requests"] for name in COUNTS) == 2
    assert (summary["vllm_estimated_duration_s"], summary["responses_per_sec"]) == (5.0, 0.2)


@pytest.mark.parametrize("kind", KINDS)
def test_clocks_that_count_from_1970_begin_at_zero(tmp_path, kind, caplog):
    outcomes = blis.simulate(MODEL, kind(tmp_path, 1713398401.0, 1713398400.0))
    assert outcomes.requests["arrival_us"].to_list() == [1_000_000, 0]
    assert outcomes.summary["vllm_estimated_duration_s"] == 1.02
    assert "time 0 of the run is the first of them (2024-04-18T00:00:00.000000 UTC)" in caplog.text
    assert outcomes.metadata["origin_us"] == 1_713_398_400_000_000


def test_clocks_are_moved_with_their_horizons_and_only_if_they_must_be():
    assert from_zero(table(EPOCH_US - 1), 7)[1] == 7
    waits = Sessions(np.array([0, 0]), np.array([0, 1]), np.array([-1, 0]), np.array([0, 5]))
    moved, horizon_us = from_zero(table(EPOCH_US + 4, 0, sessions=waits), EPOCH_US + 10)
    assert (moved.arrival_us.tolist(), horizon_us, moved.origin_us) == ([0, 0], 6, EPOCH_US + 4)
    assert from_zero(table())[0].origin_us == 0


def test_of_many_late_requests_the_first_have_rows(monkeypatch, tmp_path):
    monkeypatch.setattr("blis.workload.window.MOST_LATE", 2)
    outcomes = blis.simulate(MODEL, table(9, 0, 8, 7, 1, 6), horizon_us=5)
    assert outcomes.requests["request_id"].to_list() == [f"request_{number}" for number in (0, 1, 2, 4)]
    assert (outcomes.summary["not_arrived_requests"], outcomes.summary["injected_requests"]) == (4, 2)
    outcomes.write_parquet(tmp_path / "o.parquet")
    assert Outcomes.read_parquet(tmp_path / "o.parquet").summary == outcomes.summary
    assert listed(table(9, 0, 8), 5).unlisted == 0


def test_in_time():
    assert in_time(table(9, 0, 5), 5).arrival_us.tolist() == [0, 5]
    assert len(in_time(table(9, 0), None)) == 2


@pytest.mark.parametrize("instances", [1, 2])
def test_rates_count_the_horizon_whatever_happens_last(instances):
    cluster = blis.ClusterOptions(num_instances=instances)
    free, cut = (blis.simulate(MODEL, table(0), cluster=cluster, horizon_us=end) for end in (None, 5_000_000))
    assert (free.summary["vllm_estimated_duration_s"], free.summary["responses_per_sec"]) == (0.02, 50)
    assert (cut.summary["vllm_estimated_duration_s"], cut.summary["responses_per_sec"]) == (5.0, 0.2)
    assert cut.result.instances.end_us.tolist() == [5_000_000] * instances
    assert cut.requests.equals(free.requests)
    endless = blis.simulate(MODEL, table(0), cluster=cluster, horizon_us=2**63 - 1)
    assert endless.summary == free.summary


NO_ARRIVAL = "nothing was served: nothing arrives before the horizon of 1,000 µs (0.001 s)"
NOTES = [
    ((6_000,), 1_000, {}, f"{NO_ARRIVAL}; the first would at 6,000 µs (0.006 s); horizons are in µs"),
    ((), 1_000, {}, f"{NO_ARRIVAL}; horizons are in µs"),
    ((), None, {}, "nothing was served: the workload holds no requests"),
    ((0, 5), None, {"admission_policy": "reject-all"}, "no request was completed: 2 rejected by the admission policy"),
    (
        *((0, 5), 9_000, {}),
        "no request was completed: 1 still waiting, 1 still running at the horizon of 9,000 µs (0.009 s); horizons are "
        "in µs",
    ),
    (
        *((0,), 5_000_000, {}),
        "all was done at 20,000 µs (0.02 s); rates count the whole time to the horizon of 5,000,000 µs (5 s)",
    ),
    ((0,), 30_000, {}, None),
    ((0, 10_000_000), 5_000_000, {}, None),
]


@pytest.mark.parametrize(("arrivals", "horizon_us", "cluster", "note"), NOTES)
def test_what_is_said_of_the_time_covered(arrivals, horizon_us, cluster, note, caplog):
    outcomes = blis.simulate(MODEL, table(*arrivals), cluster=blis.ClusterOptions(**cluster), horizon_us=horizon_us)
    assert list(window_notes(outcomes)) == ([] if note is None else [note])
    assert note is None or note in caplog.text
    stopped = dataclasses.replace(outcomes, result=dataclasses.replace(outcomes.result, interrupted=True))
    assert not list(window_notes(stopped))


def test_the_page_says_that_nothing_was_served(tmp_path):
    outcomes = blis.simulate(MODEL, table(6_000), horizon_us=1_000)
    outcomes.write_report(tmp_path / "r.html")
    assert "Nothing was served: nothing arrives before the horizon of 1,000 µs" in (tmp_path / "r.html").read_text()
