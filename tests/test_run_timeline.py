"""What instances did over time: exact where stamps say it, and sums that are those of the run."""

import numpy as np
import pytest
from helpers_outcomes import cluster_outcomes, ints, make_outcomes, mixed_outcomes, served
from hypothesis import given, settings
from hypothesis import strategies as st

from blis._core.codes import NEVER, RequestStatus
from blis.outcomes.metrics.activity import activity
from blis.outcomes.metrics.groups import rows_by_code
from blis.outcomes.metrics.timeline import Grid, breakdown, load_over_time, timeline

METADATA = {"engine": {"block_size_tokens": 16}}


@st.composite
def runs(draw):
    """Requests of two instances, some without an end, some never scheduled."""
    end_us = draw(st.integers(1, 5_000_000))
    rows, instances = [], []
    for _ in range(draw(st.integers(1, 25))):
        moments = sorted(draw(st.lists(st.integers(0, end_us), min_size=4, max_size=4)))
        arrival, scheduled, first, finished = moments
        prompt, produced = draw(st.integers(1, 500)), draw(st.integers(1, 50))
        status = draw(st.sampled_from([RequestStatus.COMPLETED, RequestStatus.RUNNING, RequestStatus.WAITING]))
        if status == RequestStatus.COMPLETED:
            row = (arrival, prompt, produced, scheduled, first, finished, produced, status, 0)
        elif status == RequestStatus.RUNNING:
            row = (arrival, prompt, 60, scheduled, first, NEVER, produced, status, 0)
        else:
            row = (arrival, prompt, 60, NEVER, NEVER, NEVER, 0, status, 0)
        rows.append(row)
        instances.append(draw(st.integers(0, 1)))
    made = make_outcomes(rows, end_us=end_us, instance=instances, instances=[(end_us, 7, 5, 0)] * 2, metadata=METADATA)
    stamps = made.result
    stamps.enqueued_us[:] = stamps.arrival_us  # helpers set it later than the drawn stamps
    return made


@settings(max_examples=60)
@given(runs(), st.integers(1, 40))
def test_sums_over_time_are_those_of_the_requests(outcomes, bins):
    found, result = timeline(outcomes, bins), outcomes.result
    width_s = result.end_us / bins / 1e6
    end = np.where(result.finished_us == NEVER, result.end_us, result.finished_us)
    start = np.where(result.first_scheduled_us == NEVER, end, result.first_scheduled_us)
    for index in range(2):
        mine = result.instance == index
        waits_s = (start - result.enqueued_us)[mine].sum() / 1e6
        runs_s = (end - start)[mine].sum() / 1e6
        # Little's law: the area under the queue is the sum of the waits
        assert found.waiting[index].sum() * width_s == pytest.approx(waits_s, abs=1e-6)
        assert found.running[index].sum() * width_s == pytest.approx(runs_s, abs=1e-6)
        assert found.tokens_per_s[index].sum() * width_s == pytest.approx(result.produced_tokens[mine].sum())
    for values in (found.waiting, found.running, found.tokens_per_s, found.kv_share):
        assert (values >= 0).all()
        assert values.shape == (2, bins)


@settings(max_examples=60)
@given(runs(), st.integers(1, 40))
def test_all_instances_together_are_what_the_activity_of_the_run_says(outcomes, bins):
    found, whole = timeline(outcomes, bins), activity(outcomes, bins)
    np.testing.assert_allclose(found.waiting.sum(0), whole.waiting, atol=1e-6)
    np.testing.assert_allclose(found.running.sum(0), whole.running, atol=1e-6)


def test_a_queue_by_hand():
    # waits from 100 to 600, runs from 600 to 1000; first token at 800
    row = (100, 16, 3, 600, 800, 1000, 3, RequestStatus.COMPLETED, 0)
    outcomes = make_outcomes([row], end_us=1000, usable=2, metadata=METADATA)
    outcomes.result.enqueued_us[:] = 100
    found = timeline(outcomes, 5)
    assert found.edges_us.tolist() == [0, 200, 400, 600, 800, 1000]
    assert found.waiting[0].tolist() == pytest.approx([0.5, 1, 1, 0, 0])
    assert found.running[0].tolist() == pytest.approx([0, 0, 0, 1, 1])
    # the first token where it came, two more until the end; 200 µs per part
    assert (found.tokens_per_s[0] * 200e-6).tolist() == pytest.approx([0, 0, 0, 0, 3])
    # of 32 tokens' room: 0 to 16 while the prompt is read, then 16 to 19
    assert found.kv_share[0].tolist() == pytest.approx([0, 0, 0, 8 / 32, 17.5 / 32])


def test_levels_that_rise_over_many_parts():
    grid = Grid(1000, 10)
    found = grid.mean(ints(0), ints(50), ints(950), 0, 90)  # 0.1 per µs
    assert found[0].tolist() == pytest.approx([1.25, 10, 20, 30, 40, 50, 60, 70, 80, 43.75])


@settings(max_examples=20)
@given(runs(), st.integers(1, 3))
def test_requests_that_are_looked_at_a_few_at_a_time_add_up(outcomes, at_once):
    whole = timeline(outcomes, 1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("blis.outcomes.metrics.timeline._ROWS_AT_ONCE", at_once)
        found = timeline(outcomes, 1)
    for name in ("waiting", "running", "tokens_per_s", "kv_share"):
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name))


@given(st.lists(st.integers(-1, 4), max_size=30), st.sampled_from([5, 40_000]))
def test_rows_of_each_code_are_those_that_have_it(codes, count):
    groups = rows_by_code(ints(*codes), count)
    assert len(groups) == count
    for code in range(5):
        assert groups[code].tolist() == [row for row, each in enumerate(codes) if each == code]


def test_no_estimate_of_the_cache_without_the_size_of_its_blocks():
    assert timeline(mixed_outcomes()).kv_share is None


def test_instances_are_told_apart():
    found = timeline(cluster_outcomes(), 10)
    assert found.running.shape == (2, 10)
    # of instance 1: (1110, 8212) and (4000, 9000) µs of 10,000
    assert found.running[1].sum() * 1000 == pytest.approx(7102 + 5000)


def test_parts_of_latencies_add_up_to_the_mean():
    outcomes = make_outcomes([served(1000 * place, 500 + place, tokens=3) for place in range(300)])
    found = breakdown(outcomes)
    assert found.requests.sum() == 300
    total = np.nansum((found.queueing_ms + found.prefill_ms + found.decode_ms) * found.requests)
    assert total == pytest.approx(outcomes.e2e_us().sum() / 1000)


def test_nothing_happened():
    found = timeline(make_outcomes([], end_us=0))
    assert (found.waiting == 0).all()
    assert breakdown(make_outcomes([])).requests.sum() == 0


def test_load_over_time_is_that_of_those_who_arrived():
    """Two a second for 50 s, then six a second; each TTFT is the second it arrived in, in ms."""
    arrivals = np.concatenate([np.arange(100) * 500_000, 50_000_000 + np.arange(300) * 166_667])
    rows = [
        (us, 10, 1, us, us + 1_000 + us // 1_000, us + 2_000 + us // 1_000, 1, RequestStatus.COMPLETED, 0)
        for us in arrivals
    ]
    outcomes = make_outcomes(rows, end_us=120_000_000)
    found = load_over_time(outcomes)
    width_s = found.edges_us[1] / 1e6
    assert found.arrivals_per_s.sum() * width_s == pytest.approx(400)
    assert found.arrivals_per_s[0] == pytest.approx(2, rel=0.1)
    assert found.arrivals_per_s[-1] == pytest.approx(6, rel=0.1)
    ttft_ms = outcomes.ttft_us() / 1000
    first = arrivals < found.edges_us[1]
    assert found.ttft_p95_ms[0] == pytest.approx(np.percentile(ttft_ms[first], 95))
    assert np.isnan(found.itl_p95_ms).all()  # one token has no gaps
    nobody = load_over_time(make_outcomes([]))
    assert nobody.arrivals_per_s.sum() == 0
    assert np.isnan(nobody.ttft_p95_ms).all()
