"""Pairs of measured and simulated requests: each rule by itself, load, configuration, and the verdict."""

import dataclasses
import json

import numpy as np
import pytest
from helpers_calibration import classes, measured, simulated, steady, write_trace
from helpers_outcomes import ints
from hypothesis import given
from hypothesis import strategies as st

import blis
from blis.errors import InputError, WorkloadError
from blis.measurement.calibrate.configuration import match_configuration
from blis.measurement.calibrate.pairing import Network, pair
from blis.measurement.calibrate.regimes import in_flight_when_sent, load_regimes
from blis.measurement.calibrate.report import throughput
from blis.measurement.calibrate.verdict import backlog_growth
from blis.workload.traces.tracev2.header import Server, TraceHeader
from blis.workload.traces.tracev2.records import ERROR, TIMEOUT

REAL = TraceHeader("real")


def paired(records, outcomes, *, header=REAL, warm_up=0, network=None):
    return pair(header, records, outcomes, warm_up_requests=warm_up, network=network or Network())


def counts(pairs, *names):
    return tuple(getattr(pairs.counts, name) for name in names)


REQUEST = (0, 100, 1000, 64, 10)


def test_requests_pair_by_number_whatever_their_order():
    records = measured(REQUEST, (50, 200, 2000, 64, 10), request_id=ints(7, 3))
    pairs = paired(records, simulated((0, 300, 3000, 64, 10), (0, 400, 4000, 64, 10), numbers=(3, 7)))
    assert pairs.measured.ttft_us.tolist() == [100, 200]
    assert pairs.simulated.ttft_us.tolist() == [400, 300]
    assert pairs.simulated.e2e_us.tolist() == [4000, 3000]
    assert counts(pairs, "num_requests", "matched_pairs", "unmatched_real", "unmatched_sim") == (2, 2, 0, 0)


def test_the_warm_up_goes_by_number_and_stays_unmatched():
    records = measured(REQUEST, REQUEST, REQUEST, request_id=ints(2, 0, 1))
    pairs = paired(records, simulated(REQUEST, REQUEST, REQUEST), warm_up=2)
    assert pairs.rows.tolist() == [0]
    assert counts(pairs, "warm_up_excluded", "matched_pairs", "unmatched_sim") == (2, 1, 2)


def test_requests_of_one_side_only():
    pairs = paired(measured(REQUEST, REQUEST), simulated(REQUEST, REQUEST, REQUEST, numbers=(1, 5, 6)))
    assert pairs.rows.tolist() == [1]
    assert counts(pairs, "matched_pairs", "unmatched_real", "unmatched_sim", "judged_unmatched") == (1, 1, 2, 1)


def test_outcomes_without_requests():
    pairs = paired(measured(REQUEST), simulated())
    assert (len(pairs), *counts(pairs, "unmatched_real", "unmatched_sim")) == (0, 1, 0)


def test_unfinished_simulated_requests_are_no_result():
    pairs = paired(measured(REQUEST, REQUEST), simulated(REQUEST, (0, 100, None, 64, 10)))
    assert counts(pairs, "matched_pairs", "unmatched_real", "unmatched_sim", "unserved_sim") == (1, 1, 0, 1)


def test_other_tokens_are_counted_and_compared_all_the_same():
    outcomes = simulated((0, 100, 2000, 65, 10), (0, 100, 2000, 64, 9), REQUEST)
    pairs = paired(measured(REQUEST, REQUEST, REQUEST), outcomes)
    assert counts(pairs, "token_mismatches") == (2,)
    assert len(pairs) == 3


@pytest.mark.parametrize("row", [(500, -1, 900, 64, 10), (500, 10, -1, 64, 10), (500, None, None, 64, 10)])
def test_without_valid_durations_matched_requests_are_unmatched_too(row):
    pairs = paired(measured(row, REQUEST), simulated(REQUEST, REQUEST))
    assert pairs.rows.tolist() == [1]
    assert counts(pairs, "matched_pairs", "unmatched_real", "unmatched_sim") == (2, 1, 0)


def test_a_stamp_of_0_is_none_even_on_a_clock_that_starts_there():
    pairs = paired(measured((0, None, None, 64, 10), epoch_us=0), simulated(REQUEST))
    assert (len(pairs), *counts(pairs, "matched_pairs", "unmatched_real")) == (0, 1, 1)


def test_what_became_of_a_request_is_not_looked_at():
    records = measured(REQUEST, (0, None, None, 64, 10), status=ints(TIMEOUT, ERROR))
    pairs = paired(records, simulated(REQUEST, REQUEST))
    assert pairs.rows.tolist() == [0]
    assert counts(pairs, "failed", "judged") == (2, 0)


def test_the_network_is_added_to_the_simulated_side():
    """At 2 Mbit/s 64 tokens of 4 bytes take 1024 µs there, 10 tokens 160 µs back; 5 ms for the round trip."""
    pairs = paired(measured(REQUEST), simulated(REQUEST), network=Network(5000, 2))
    assert pairs.measured.ttft_us.tolist() == [100]
    assert pairs.simulated.ttft_us.tolist() == [100 + 5000 + 1024]
    assert pairs.simulated.e2e_us.tolist() == [1000 + 5000 + 1024 + 160]


def test_time_per_output_token_takes_two_tokens_that_came_apart():
    rows = [(0, 100, 1000, 64, 10), (0, 100, 100, 64, 1), (0, 1000, 1000, 64, 10), (0, 100, 1000, 64, 10)]
    records = measured(*rows, num_chunks=ints(10, 1, 1, 10))
    outcomes = simulated((0, 190, 2890, 64, 10), (0, 190, 2890, 64, 10), REQUEST, (0, 100, 112, 64, 1))
    pairs = paired(records, outcomes)
    assert pairs.has_tpot.tolist() == [True, False, False, False]
    assert [values.tolist() for values in pairs.durations_us("tpot")] == [[100], [300]]
    none = pairs.durations_us("tpot", ~pairs.has_tpot)
    assert [len(values) for values in none] == [0, 0]


def test_simulated_traces_tell_produced_tokens_as_chunks():
    records = measured((0, 100, 1000, 64, 50), num_chunks=ints(10))
    assert counts(paired(records, simulated(REQUEST)), "token_mismatches") == (1,)
    assert counts(paired(records, simulated(REQUEST), header=TraceHeader("generated")), "token_mismatches") == (0,)


def test_throughput_goes_by_each_sides_own_span():
    """20 tokens in 3 ms as measured, in 6 ms as simulated."""
    records = measured(REQUEST, (2000, 100, 1000, 64, 10))
    rate = throughput(paired(records, simulated(REQUEST, (2000, 100, 4000, 64, 10))))
    assert rate.measured_tokens_per_s == pytest.approx(20 / 0.003)
    assert rate.simulated_tokens_per_s == pytest.approx(20 / 0.006)
    assert rate.ratio == pytest.approx(0.5)


def test_load_is_what_was_sent_before_and_is_not_over():
    records = measured(*((sent, 1, 100, 1, 5) for sent in (0, 50, 99, 100, 101, 300)))
    assert in_flight_when_sent(records).tolist() == [0, 1, 2, 2, 3, 0]


def test_load_counts_requests_sent_at_once_as_later_and_knows_no_ends_of_failed_ones():
    records = measured((0, None, None, 1, 5), (5, 1, 100, 1, 5), (10, 1, 100, 1, 5), (10, 0, 0, 1, 5), (11, 1, 9, 1, 5))
    assert in_flight_when_sent(records).tolist() == [0, 0, 1, 1, 2]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=1, max_size=40))
def test_load_equals_a_count_one_by_one(rows):
    records = measured(*((sent, 1, took, 1, 5) for sent, took in rows))
    expected = [sum(other < sent < other + took for other, took in rows) for sent, _ in rows]
    assert in_flight_when_sent(records).tolist() == expected


def split(in_flight):
    return {name: in_flight[chosen].tolist() for name, chosen in load_regimes(in_flight)}


def test_regimes_are_thirds_of_the_requests_and_keep_equal_loads_together():
    assert split(np.arange(9)) == {"low": [0, 1, 2], "medium": [3, 4, 5], "high": [6, 7, 8]}
    assert split(ints(4, 4, 4)) == {"low": [4, 4, 4]}
    assert split(ints(0, 0, 0, 0, 7)) == {"low": [0, 0, 0, 0], "high": [7]}
    assert split(ints()) == {}


def test_configurations_side_by_side():
    server = Server(model="Meta/M", tensor_parallel=2, max_num_seqs=128, block_size=16, max_model_len=8192)
    engine = {"max_num_running_reqs": 256, "block_size_tokens": 16, "max_model_len": None}
    metadata = {"model": "meta/m", "tp": 2, "engine": engine, "kv_blocks": {"gpu_memory_utilization": 0.9}}
    found = match_configuration(server, metadata)
    assert found.matched == {"model": "meta/m", "tp": 2, "block_size_tokens": 16}
    assert found.defaulted == {"gpu_memory_utilization": 0.9}
    assert found.different == {
        "max_num_running_reqs": {"server": 128, "simulation": 256},
        "max_model_len": {"server": 8192, "simulation": None},
    }
    assert list(found.contradictions()) == ["max_num_running_reqs is 256, that of the server 128"]
    unsaid = match_configuration(None, {})
    assert (len(unsaid.defaulted), unsaid.matched, unsaid.different) == (6, {}, {})


def calibrated(tmp_path, records, outcomes, *, header=None, **options):
    return blis.calibrate(
        write_trace(tmp_path, records, **(header or {})), outcomes, **{"warm_up_requests": 0} | options
    )


def test_a_perfect_simulation(tmp_path):
    found = calibrated(tmp_path, measured(*steady()), simulated(*steady()))
    report = found.report
    assert found.is_meaningful
    assert report["not_meaningful_because"] == report["notes"] == []
    for metric in ("ttft", "e2e", "tpot"):
        figures = report["metrics"][metric]
        assert (figures["mape"], figures["bias"], figures["quality"], figures["count"]) == (
            0,
            "neutral",
            "excellent",
            60,
        )
        assert figures["pearson_r"] == pytest.approx(1)
        assert figures["measured_p95_ms"] == figures["simulated_p95_ms"]
        assert figures["p95_relative_error"] == 0
    assert report["metrics"]["throughput"]["ratio"] == 1
    assert report["trace_info"] == {
        "num_requests": 60,
        "warm_up_excluded": 0,
        "matched_pairs": 60,
        "unmatched_real": 0,
        "unmatched_sim": 0,
        "unserved_sim": 0,
        "token_mismatches": 0,
        "failed": 0,
        "compared_pairs": 60,
        "duration_s": pytest.approx(max(sent + e2e for sent, _, e2e, *_ in steady()) / 1e6),
    }
    assert json.loads(found.text()) == report
    assert len(report["known_limitations"]) == 3


def test_everything_a_tenth_too_long(tmp_path):
    report = calibrated(tmp_path, measured(*steady()), simulated(*steady(factor=1.1))).report
    for metric in ("ttft", "e2e", "tpot"):
        figures = report["metrics"][metric]
        assert figures["mape"] == pytest.approx(0.1, rel=1e-3)
        assert figures["mean_relative_error"] == pytest.approx(0.1, rel=1e-3)
        assert figures["bias"] == "over-predict"
    assert report["metrics"]["ttft"]["simulated_mean_ms"] == pytest.approx(
        1.1 * np.mean([ttft for _, ttft, *_ in steady()]) / 1000, rel=1e-4
    )


def test_classes_apart(tmp_path):
    """Batch is predicted exactly, interactive 50 % too long, and one request has no class."""
    names = ["batch" if i % 2 else "interactive" for i in range(59)] + [None]
    sim = [
        exact if i % 2 else longer for i, (exact, longer) in enumerate(zip(steady(), steady(factor=1.5), strict=True))
    ]
    report = calibrated(tmp_path, measured(*steady(), slo_class=classes(*names)), simulated(*sim)).report
    assert list(report["slo_classes"]) == ["batch", "default", "interactive"]
    batch, default, interactive = report["slo_classes"].values()
    assert (batch["count"], default["count"], interactive["count"]) == (29, 1, 30)
    assert (batch["e2e"]["mape"], batch["e2e"]["quality"]) == (0, "excellent")
    assert interactive["ttft"]["mape"] == pytest.approx(0.5, rel=1e-3)
    assert interactive["tpot"]["bias"] == "over-predict"
    assert calibrated(tmp_path, measured(*steady()), simulated(*sim)).report["slo_classes"] == {}


def test_load_regimes_apart(tmp_path):
    """Requests that met others are predicted twice too long."""
    rows = [(2_000_000 * (i // 2) + 1000 * (i % 2), 10_000, 500_000 + i, 64, 10) for i in range(60)]
    sim = [
        (sent, ttft, e2e * (1 + i % 2), inputs, outputs) for i, (sent, ttft, e2e, inputs, outputs) in enumerate(rows)
    ]
    report = calibrated(tmp_path, measured(*rows), simulated(*sim)).report
    low, high = report["load_regimes"]["low"], report["load_regimes"]["medium"]
    assert (low["in_flight_min"], low["in_flight_max"], low["count"], low["e2e"]["mape"]) == (0, 0, 30, 0)
    assert (high["in_flight_min"], high["in_flight_max"], high["count"]) == (1, 1, 30)
    assert high["e2e"]["mape"] == pytest.approx(1)


def test_metrics_without_pairs_are_null(tmp_path):
    one = [(1000 * i, 100 + i, 100 + i, 64, 1) for i in range(40)]
    report = calibrated(tmp_path, measured(*one), simulated(*one)).report
    assert report["metrics"]["tpot"] is None
    assert report["load_regimes"]["low"]["tpot"] is None


def reasons(tmp_path, records=None, outcomes=None, **options):
    records = measured(*steady()) if records is None else records
    outcomes = simulated(*steady()) if outcomes is None else outcomes
    found = calibrated(tmp_path, records, outcomes, **options)
    assert found.is_meaningful == (found.report["not_meaningful_because"] == [])
    return found.report["not_meaningful_because"]


def test_a_growing_backlog(tmp_path):
    rows = [(100_000 * i, 20_000 + 60_000 * i, 1_000_000 + 60_000 * i, 100, 50) for i in range(90)]
    (reason,) = reasons(tmp_path, measured(*rows), simulated(*rows))
    assert reason.startswith("The server was saturated: requests met ")
    assert backlog_growth(np.arange(90), np.full(90, 40)) is None
    assert backlog_growth(np.arange(90), np.minimum(np.arange(90), 20)) is None  # fills up, then stays
    assert backlog_growth(np.arange(90), np.arange(90) // 30) is None  # 0, 1, 2: chance
    assert backlog_growth(np.arange(90), np.arange(90)) == (14.5, 74.5)
    assert backlog_growth(ints(), ints()) is None
    assert backlog_growth(ints(5, 5), ints(0, 1)) is None


def test_a_late_client(tmp_path):
    records = measured(*steady())
    for late_us, expected in ((10_000, []), (10_100, ["The client was late: half of the requests were sent 10.1 ms"])):
        late = dataclasses.replace(records, arrival_us=records.send_us - late_us)
        assert [
            reason[: len(start)] for reason, start in zip(reasons(tmp_path, late), expected, strict=True)
        ] == expected


def test_failed_requests(tmp_path):
    for failed, expected in ((3, []), (4, ["4 of 60 requests failed"])):
        status = ints(*[ERROR] * failed, *[0] * (60 - failed))
        found = reasons(tmp_path, measured(*steady(), status=status))
        assert [reason.split(";")[0] for reason in found] == expected


def test_a_warm_up_that_nobody_spoke_of(tmp_path):
    """It is no reason against a comparison, but something to know."""

    def notes(**options):
        found = calibrated(tmp_path, measured(*steady()), simulated(*steady()), **options)
        assert found.is_meaningful
        return found.report["notes"]

    (note,) = notes(warm_up_requests=None)
    assert note.startswith("No warm-up was excluded")
    assert notes() == notes(header={"warm_up_requests": 5}, warm_up_requests=None) == []
    (note,) = notes(header={"mode": "generated"}, warm_up_requests=None)
    assert "two simulations" in note


def test_few_pairs(tmp_path):
    rows = steady(29)
    (reason,) = reasons(tmp_path, measured(*rows), simulated(*rows))
    assert reason == "Only 29 requests can be compared; 30 are needed for figures that mean something."


def test_answers_without_a_result(tmp_path):
    (reason,) = reasons(tmp_path, outcomes=simulated(*steady()[:50]))
    assert reason == "The simulation has no result for 10 of the 60 requests that the server answered."


def test_other_work(tmp_path):
    sim = [
        (sent, ttft, e2e, inputs + (i < 4), outputs) for i, (sent, ttft, e2e, inputs, outputs) in enumerate(steady())
    ]
    (reason,) = reasons(tmp_path, outcomes=simulated(*sim))
    assert reason.startswith("4 of 60 matched requests have other token counts")


def test_answers_that_were_not_streamed(tmp_path):
    rows = [(sent, e2e, e2e, inputs, outputs) for sent, _, e2e, inputs, outputs in steady()]
    (reason,) = reasons(tmp_path, measured(*rows, num_chunks=np.ones(60, np.int64)))
    assert reason.startswith("60 of 60 answers came in one piece")


def test_another_configuration_and_an_interrupted_simulation(tmp_path):
    outcomes = simulated(*steady(), metadata={"engine": {"max_num_running_reqs": 256}}, interrupted=True)
    stopped, other = reasons(tmp_path, outcomes=outcomes, header={"server": {"max_num_seqs": 64, "max_model_len": 99}})
    assert stopped == "The simulation was interrupted before its end."
    assert other.endswith("than the server: max_num_running_reqs is 256, that of the server 64.")


def test_the_headers_values_are_defaults(tmp_path):
    header = {"warm_up_requests": 20, "network": {"measured_rtt_ms": 2.5}}
    trace = write_trace(tmp_path, measured(*steady()), **header)
    found = blis.calibrate(trace, simulated(*steady()))
    assert found.report["trace_info"]["warm_up_excluded"] == 20
    assert found.report["network"] == {"rtt_us": 2500, "bandwidth_mbps": 0}
    assert np.all(found.pairs.simulated.ttft_us - found.pairs.measured.ttft_us == 2500)
    own = blis.calibrate(trace, simulated(*steady()), warm_up_requests=1, network_rtt_us=0, network_bandwidth_mbps=8)
    assert own.report["trace_info"]["warm_up_excluded"] == 1
    assert own.report["network"] == {"rtt_us": 0, "bandwidth_mbps": 8}


def test_two_simulations(tmp_path):
    found = calibrated(tmp_path, measured(*steady()), simulated(*steady()), header={"mode": "generated"})
    (note,) = found.report["notes"]
    assert "two simulations are compared" in note


@pytest.mark.parametrize(
    ("records", "options", "problem"),
    [
        (measured(*steady()), {"warm_up_requests": 60}, "all 60 requests are warm-up"),
        (measured(REQUEST, request_id=ints(99)), {}, "the outcomes have no result for any of its requests"),
        (measured((0, None, None, 64, 10)), {}, "no request has stamps of its first and last token"),
    ],
)
def test_nothing_to_compare(tmp_path, records, options, problem):
    with pytest.raises(WorkloadError, match=rf"real\.csv: nothing to compare: {problem}"):
        calibrated(tmp_path, records, simulated(*steady()), **options)


@pytest.mark.parametrize("name", ["warm_up_requests", "network_rtt_us", "network_bandwidth_mbps"])
def test_options_that_make_no_sense(tmp_path, name):
    with pytest.raises(InputError, match=f"{name}: must be a number >= 0, got -1"):
        calibrated(tmp_path, measured(*steady()), simulated(*steady()), **{name: -1})
