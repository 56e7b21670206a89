"""Loads that change: what their course is called, and that only one beyond capacity is overload."""

import json
import re

import numpy as np
import pytest
from helpers_queues import COURSES, changing_arrivals, changing_queue, queue

from blis.cli.main import main
from blis.outcomes.statistics.arrivals import arrival_rate
from blis.outcomes.statistics.stability import stability


def courses(trials, arrivals):
    """How many of so many trials are called what."""
    rng = np.random.default_rng(11)
    found = [arrival_rate(arrivals(rng)).course for _ in range(trials)]
    return {word: found.count(word) for word in set(found)}


@pytest.mark.parametrize(
    ("course", "word"),
    [
        *(("rises", "rises"), ("step", "rises"), ("falls", "falls"), ("day", "varies")),
        *(("week", "constant"), ("bursts", "constant")),  # no eighth of the time has more than another
    ],
)
def test_courses(course, word):
    assert courses(20, lambda rng: 1e6 * changing_arrivals(rng, 5_000, course)) == {word: 20}


@pytest.mark.parametrize("arrival_cv", [1.0, 3.0])
@pytest.mark.parametrize("count", [100, 1_000, 10_000])
def test_chance_is_no_change(count, arrival_cv):
    assert courses(200, lambda rng: queue(rng, count, 0.5, arrival_cv=arrival_cv)[0]).get("constant", 0) >= 198


def test_the_peak_is_found():
    found = arrival_rate(1e6 * changing_arrivals(np.random.default_rng(12), 100_000, "rises"))
    assert found.mean_per_s == pytest.approx(1, rel=0.02)
    assert found.peak_per_s == pytest.approx(4 / 2.5, rel=0.04)
    assert found.peak_us[0] > 0.9e11
    even = arrival_rate(np.arange(1_000) * 1e6)
    assert (even.course, even.peak_per_s) == ("constant", even.mean_per_s)


def test_too_few_arrivals_have_no_course():
    assert arrival_rate(np.arange(29)) is None
    assert arrival_rate(np.zeros(100)) is None
    assert arrival_rate(np.arange(100), end_us=20) is None


def verdicts(trials, count, course, peak, *, see_starts=True):
    """Shares of (stable, overloaded)."""
    rng = np.random.default_rng(13)
    found = []
    for _ in range(trials):
        arrival, started, done = changing_queue(rng, count, course, peak)
        found.append(stability(arrival, done, started_us=started if see_starts else None).stable)
    return found.count(True) / trials, found.count(False) / trials


@pytest.mark.parametrize("see_starts", [True, False])
@pytest.mark.parametrize("course", COURSES)
def test_a_load_that_stays_below_capacity_is_no_overload(course, see_starts):
    stable, overloaded = verdicts(20, 5_000, course, 0.62, see_starts=see_starts)
    assert overloaded == 0
    assert stable >= 0.9 or course in ("week", "bursts")


@pytest.mark.slow
@pytest.mark.parametrize("peak", [0.62, 0.9, 0.95])
@pytest.mark.parametrize("count", [500, 5_000, 50_000])
@pytest.mark.parametrize("course", COURSES)
def test_false_alarms_are_rare(course, count, peak):
    assert verdicts(60, count, course, peak)[1] <= 0.05


@pytest.mark.parametrize("course", ["rises", "falls", "step", "day"])
@pytest.mark.parametrize(("peak", "count"), [(1.5, 5_000), (1.2, 20_000)])
def test_a_load_beyond_capacity_is_overload(course, peak, count):
    assert verdicts(10, count, course, peak) == (0, 1)


def test_overload_is_told_from_when_to_when():
    rng = np.random.default_rng(14)
    arrival, started, done = changing_queue(rng, 40_000, "rises", 1.5)
    found = stability(arrival, done, started_us=started)
    crossing = 40_000e6 * (4 / 1.5 - 1) / 3  # here 1 + 3 t is what the server can do
    assert found.window_us[0] == pytest.approx(crossing, abs=0.12 * 40_000e6)
    assert found.window_us[0] >= crossing - 0.02 * 40_000e6
    assert found.window_us[1] == pytest.approx(arrival[-1], rel=0.01)
    waiting = (started > found.window_us[1]).sum()
    assert found.growth_per_s == pytest.approx(waiting / np.diff(found.window_us)[0] * 1e6, rel=0.25)
    arrival, started, done = changing_queue(rng, 40_000, "day", 1.3)
    start, end = stability(arrival, done, started_us=started).window_us
    level = np.arccos((2.5 - 4 / 1.3) / 1.5) / (2 * np.pi)  # when the rate crosses the server's
    assert start / 40_000e6 == pytest.approx(level, abs=0.05)
    assert end / 40_000e6 == pytest.approx(1 - level, abs=0.03)


def test_all_that_come_at_once_are_overload_for_a_moment():
    """Nothing breaks on a queue that jumps."""
    arrival = np.sort(np.concatenate([np.arange(1_000) * 1e6, np.full(4_000, 900e6)]))
    service = np.full(5_000, 0.1e6)
    done = np.maximum.accumulate(arrival - np.cumsum(service) + service) + np.cumsum(service)
    assert stability(arrival, done, started_us=done - service).stable is not True


LENGTHS = {"type": "exponential", "params": {"mean": 128}}


def spec_of(path, rates, seconds, length=LENGTHS):
    """Clients that come one after the other, each with its rate, for so long."""
    clients = [
        {
            "rate_fraction": rate,
            "arrival": {"process": "poisson"},
            "lifecycle": {
                "windows": [{"start_us": int(place * seconds * 1e6), "end_us": int((place + 1) * seconds * 1e6)}]
            },
            "input_distribution": length,
            "output_distribution": length,
        }
        for place, rate in enumerate(rates)
    ]
    path.write_text(json.dumps({"aggregate_rate": sum(rates), "clients": clients}))
    return path


def run(capsys, spec, *args):
    model = "meta-llama/llama-3.1-8b-instruct"
    assert main(["run", "--model", model, "--workload-spec", str(spec), *map(str, args)]) == 0
    out, err = capsys.readouterr()
    return out, err


UP = [10, 16, 22, 28, 34, 40]


@pytest.mark.usefixtures("compiled_engine")
@pytest.mark.parametrize(
    ("rates", "word"),
    [(UP, "rises"), (UP[::-1], "falls"), ([10, 20, 40, 40, 20, 10], "varies"), ([10] * 6, "constant")],
)
def test_runs_below_capacity(capsys, tmp_path, rates, word):
    out, err = run(capsys, spec_of(tmp_path / "s.yaml", rates, 60), "--num-instances", 2)
    found = json.loads(out)["steady_state"]
    assert (found["load"], found["overloaded_s"]) == (word, None)
    assert found["verdict"] == "stable"
    assert (found["e2e_mean_ms_ci95"] is None) is (word != "constant")
    assert found["peak_arrivals_per_s"] == pytest.approx(max(rates), rel=0.1)
    assert "overloaded" not in err


@pytest.mark.usefixtures("compiled_engine")
def test_the_headline_of_a_load_that_rises(capsys, tmp_path):
    spec = spec_of(tmp_path / "s.yaml", [rate / 4 for rate in UP], 60)
    out, _ = run(capsys, spec, "--max-num-running-reqs", 24, "--output", "table")
    share = re.match(r"load rises; at its peak (\d+) % of capacity; p99 TTFT \d+ ms\n", out)[1]
    assert 35 < int(share) < 65  # 24 requests of 1.1 s each: 21 per second at most, 10 at the peak
    out, _ = run(capsys, spec, "--num-instances", 4, "--output", "table")  # too few requests to fill them
    assert re.match(r"load rises; at its peak \d+\.\d requests/s; p99 TTFT \d+ ms\n", out)


@pytest.mark.usefixtures("compiled_engine")
def test_a_load_that_rises_beyond_capacity(capsys, tmp_path):
    spec = spec_of(tmp_path / "s.yaml", [2, 4, 8, 16, 32, 40], 60)
    out, err = run(capsys, spec, "--max-num-running-reqs", 8, "--output", "table")
    headline = " ".join(out.split("\n\n")[0].split())
    found = re.match(r"overloaded from ([\d.]+) s on; load rises; at its peak .*; the backlog grows by ", headline)
    assert 100 < float(found[1]) < 250
    peak = re.search(r"at its peak (\d+) % of capacity", headline)
    assert peak is None or int(peak[1]) > 100
    assert f"overloaded from {found[1]} s on: the backlog grows by " in err


@pytest.mark.usefixtures("compiled_engine")
@pytest.mark.parametrize(
    ("rates", "percent"), [([50, 120], 120), ([40, 60, 80, 100, 120, 140], 140), ([140, 60, 20], 140)]
)
def test_the_peak_of_an_overload_is_a_share_of_what_is_answered_then(capsys, tmp_path, rates, percent):
    """Eight at a time, of 20 steps of 4 ms each: 100 per second."""
    spec = spec_of(tmp_path / "s.yaml", rates, 60, {"type": "constant", "params": {"value": 20}})
    steps = ("--alpha-coeffs", "0,0,0", "--beta-coeffs", "4000,0,0", "--hardware", "H100", "--tp", 1)
    out, _ = run(capsys, spec, *steps, "--max-num-running-reqs", 8, "--output", "table")
    headline = " ".join(out.split("\n\n")[0].split())
    found = re.match(r"overloaded from .*; at its peak (\d+) % of capacity; the backlog grows by ", headline)
    assert float(found[1]) == pytest.approx(percent, abs=7)


@pytest.mark.usefixtures("compiled_engine")
def test_an_overload_that_passes(capsys, tmp_path):
    spec = spec_of(tmp_path / "s.yaml", [2, 2, 40, 40, 2, 2, 2, 2], 60)
    out, _ = run(capsys, spec, "--max-num-running-reqs", 8, "--output", "table")
    found = re.match(r"overloaded from ([\d.]+) to ([\d.]+) s; load (varies|falls); ", out)
    assert float(found[1]) == pytest.approx(120, abs=20)
    assert float(found[2]) == pytest.approx(240, abs=10)
