"""Timelines: rules of the trace-event format, and slices that are exactly what happened."""

import json
from collections import defaultdict

import numpy as np
import pytest
from helpers_cli import LLAMA
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import blis
from blis._core.codes import NEVER
from blis.cli.main import main
from blis.outcomes.metrics.activity import busy_us
from blis.outcomes.timeline import recording

pytestmark = pytest.mark.usefixtures("compiled_engine")

MODEL = "meta-llama/llama-3.1-8b-instruct"
#: Keys that each phase must have (Trace Event Format).
REQUIRED = {
    "X": {"name", "cat", "ts", "dur", "pid", "tid"},
    "C": {"name", "ts", "pid", "args"},
    "M": {"name", "pid", "args"},
    "i": {"name", "ts", "pid", "tid", "s"},
}


def read(path):
    """The events of a file that follows the rules of the format."""
    trace = json.loads(path.read_text())
    assert trace["displayTimeUnit"] == "ms"
    events, last, free_at, named = trace["traceEvents"], 0, defaultdict(int), set()
    for event in events:
        assert REQUIRED[event["ph"]] <= event.keys()
        assert isinstance(event["pid"], int)
        if event["ph"] == "M":
            named.add((event["pid"], event["tid"]))
            continue
        assert isinstance(event["ts"], int)
        assert event["ts"] >= last
        last = event["ts"]
        if event["ph"] == "X":
            track = event["pid"], event["tid"]
            assert event["dur"] > 0
            assert event["ts"] >= free_at[track], "slices of one track overlap"
            free_at[track] = event["ts"] + event["dur"]
            assert track in named
        if event["ph"] == "C":
            assert all(isinstance(value, int) and value >= 0 for value in event["args"].values())
    return trace, [event for event in events if event["ph"] != "M"]


def spans(events, name):
    """By request: start and length of its slice."""
    return {
        e["args"]["request"]: (e["ts"], e["dur"]) for e in events if e.get("cat") == "request" and e["name"] == name
    }


def check_requests(outcomes, events):
    """Each phase of each request, to the microsecond."""
    result = outcomes.result
    end = np.where(result.finished_us == NEVER, result.end_us, result.finished_us)
    begun = np.where(result.first_scheduled_us == NEVER, end, result.first_scheduled_us)
    first = np.where(result.first_token_us == NEVER, end, result.first_token_us)
    for name, start, stop in (
        ("waiting", result.enqueued_us, begun),
        ("prefill", begun, first),
        ("decode", first, end),
    ):
        wanted = {
            f"request_{number}": (int(start[row]), int(stop[row] - start[row]))
            for row, number in enumerate(outcomes.table.numbers)
            if result.enqueued_us[row] != NEVER and stop[row] > start[row]
        }
        assert spans(events, name) == wanted


def check_steps(outcomes, events, *, pauses=False):
    """Steps add up to the busy time of each instance, but for pauses, and to all tokens."""
    steps = [event for event in events if event.get("cat") == "step"]
    busy = [
        sum(step["dur"] for step in steps if step["pid"] == pid + 1) for pid in range(len(outcomes.result.instances))
    ]
    assert pauses or busy == busy_us(outcomes).tolist()
    assert len(steps) == outcomes.result.num_steps
    return steps


CASES = st.fixed_dictionaries(
    {
        "num_instances": st.integers(1, 3),
        "rate": st.sampled_from([2.0, 20.0, 200.0]),
        "horizon_us": st.sampled_from([None, 700_000]),
        "total_kv_blocks": st.sampled_from([250, 10_000]),
        "seed": st.integers(0, 3),
        "async_scheduling": st.booleans(),
    }
)


@given(CASES)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.slow
def test_slices_are_what_happened_and_outcomes_the_same(tmp_path, case):
    def simulate(timeline):
        return blis.simulate(
            blis.Deployment(MODEL, total_kv_blocks=case["total_kv_blocks"]),
            blis.DistributionWorkload(
                rate=case["rate"], num_requests=60, prompt_tokens_max=1500, output_tokens_max=600
            ),
            engine=blis.EngineOptions(async_scheduling=case["async_scheduling"]),
            cluster=blis.ClusterOptions(num_instances=case["num_instances"], routing_policy="least-loaded"),
            horizon_us=case["horizon_us"],
            seed=case["seed"],
            timeline=timeline,
        )

    timeline = blis.Timeline()
    outcomes = simulate(timeline)
    assert outcomes.requests.equals(simulate(None).requests)
    assert outcomes.summary == simulate(None).summary
    path = tmp_path / "timeline.json"
    assert timeline.write(outcomes, path) == []
    _, events = read(path)
    check_requests(outcomes, events)
    if case["horizon_us"] is None:
        steps = check_steps(outcomes, events, pauses=case["async_scheduling"])
        assert max(event["args"]["blocks"] for event in events if event["name"] == "KV blocks in use") == max(
            outcomes.result.instances.peak_used_blocks
        )
        if not outcomes.result.num_preemptions.any():
            prompts = outcomes.table.input_tokens.sum() - outcomes.result.cached_tokens.sum()
            assert sum(step["args"]["prefill_tokens"] for step in steps) == prompts


def test_a_window_has_the_steps_that_begin_in_it_and_the_requests_there(tmp_path):
    whole, part = blis.Timeline(), blis.Timeline((2.0, 3.0))
    workload = blis.DistributionWorkload(rate=10, num_requests=100)
    everything, outcomes = (blis.simulate(MODEL, workload, timeline=timeline) for timeline in (whole, part))
    whole.write(everything, tmp_path / "whole.json")
    part.write(outcomes, tmp_path / "part.json")
    _, all_events = read(tmp_path / "whole.json")
    trace, events = read(tmp_path / "part.json")
    assert trace["otherData"]["window_s"] == [2.0, 3.0]
    assert [e for e in events if e.get("cat") == "step"] == [
        e for e in all_events if e.get("cat") == "step" and 2_000_000 <= e["ts"] < 3_000_000
    ]
    result = outcomes.result
    there = (result.enqueued_us < 3_000_000) & (result.finished_us >= 2_000_000)
    shown = {event["args"]["request"] for event in events if event.get("cat") == "request"}
    assert shown == {f"request_{row}" for row in np.flatnonzero(there)}


def test_what_would_be_too_much_is_cut_and_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(recording, "MOST_STEPS", 200)
    monkeypatch.setattr(recording, "MOST_REQUESTS", 5)
    path = tmp_path / "timeline.json"
    assert main(["run", *LLAMA, "--rate", "20", "--timeline", str(path)]) == 0
    err = capsys.readouterr().err
    trace, events = read(path)
    steps = [event for event in events if event.get("cat") == "step"]
    assert 0 < len(steps) <= 200
    assert steps[-1]["ts"] < trace["otherData"]["window_s"][1] * 1e6
    assert len({event["args"]["request"] for event in events if event.get("cat") == "request"}) == 5
    assert len(trace["otherData"]["left_out"]) == 2
    assert all(note in err for note in trace["otherData"]["left_out"])


def test_requests_that_are_turned_away_are_instants(tmp_path):
    timeline, path = blis.Timeline(), tmp_path / "timeline.json"
    outcomes = blis.simulate(
        MODEL,
        blis.DistributionWorkload(num_requests=7),
        cluster=blis.ClusterOptions(admission_policy="reject-all"),
        timeline=timeline,
    )
    timeline.write(outcomes, path)
    _, events = read(path)
    assert [(event["ph"], event["name"]) for event in events] == [("i", "rejected")] * 7
    assert [event["ts"] for event in events] == outcomes.result.arrival_us.tolist()


def test_samples_of_regret_are_not_in_it(tmp_path):
    timeline, path = blis.Timeline(), tmp_path / "timeline.json"
    outcomes = blis.simulate(
        MODEL,
        blis.DistributionWorkload(rate=20, num_requests=50),
        cluster=blis.ClusterOptions(num_instances=2),
        trace=blis.TraceOptions(regret_samples=2),
        timeline=timeline,
    )
    timeline.write(outcomes, path)
    check_steps(outcomes, read(path)[1])


@pytest.mark.parametrize("window", ["5", "3:2", "-1:2", "a:b", "2:2"])
def test_windows_that_are_none(capsys, tmp_path, window):
    args = ["run", *LLAMA, "--timeline", str(tmp_path / "t.json"), "--timeline-window", window]
    assert main(args) == 2
    assert "valid would be 10:20" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_places_where_nothing_can_be_written(capsys, tmp_path):
    assert main(["run", *LLAMA, "--timeline", str(tmp_path / "none" / "t.json")]) == 2
    same = str(tmp_path / "t.json")
    assert main(["run", *LLAMA, "--timeline", same, "--results-path", same]) == 2
    assert main(["run", *LLAMA, "--timeline-window", "1:2"]) == 0
    assert "--timeline-window has no effect without --timeline" in capsys.readouterr().err


def test_windows_in_python():
    with pytest.raises(blis.ConfigError, match="window_s: must have 0 <= start < end, got 2 to 1"):
        blis.Timeline((2, 1))
