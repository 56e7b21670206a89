"""Workloads drawn from distributions."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blis.errors import ConfigError
from blis.workload.distribution import DistributionWorkload
from blis.workload.lengths import clamped_normal
from blis.workload.rng import stream


def columns(table):
    return table.arrival_us.tolist(), table.input_tokens.tolist(), table.output_tokens.tolist()


def test_the_defaults_are_those_of_the_flags():
    # inference-sim's README and defaults: 100 requests at 1/s, 512 ± 256 tokens in [2, 7000] each way
    workload = DistributionWorkload()
    assert (workload.rate, workload.num_requests, workload.arrival) == (1.0, 100, "poisson")
    assert (workload.prompt_tokens, workload.prompt_tokens_stdev) == (512, 256)
    assert (workload.prompt_tokens_min, workload.prompt_tokens_max) == (2, 7000)
    assert (workload.output_tokens, workload.output_tokens_stdev) == (512, 256)
    assert (workload.output_tokens_min, workload.output_tokens_max) == (2, 7000)
    assert workload.prefix_tokens == 0
    table = workload.requests(42)
    assert len(table) == 100
    assert table.content is None


def test_lengths_follow_the_clamped_normal():
    table = DistributionWorkload(num_requests=200_000, prompt_tokens_max=600).requests(1)
    # statistics.NormalDist(512, 256): P(x > 599.5) = 0.3663, P(x < 2.5) = 0.0233, P(299.5 < x < 511.5) = 0.2960
    assert (table.input_tokens == 600).mean() == pytest.approx(0.3663, abs=0.005)
    assert (table.input_tokens == 2).mean() == pytest.approx(0.0233, abs=0.002)
    assert ((table.input_tokens >= 300) & (table.input_tokens < 512)).mean() == pytest.approx(0.2960, abs=0.005)
    assert table.input_tokens.max() == 600
    assert table.output_tokens.max() > 1000


@pytest.mark.parametrize(("mean", "rounded"), [(2.5, 3), (3.5, 4), (2.499999, 2), (0.49999999999999994, 0)])
def test_halves_are_rounded_away_from_zero(mean, rounded):
    drawn = clamped_normal(stream(0, "x"), 3, mean=mean, stdev=0, minimum=0, maximum=10)
    assert drawn.tolist() == [rounded] * 3


@given(st.integers(1, 300), st.floats(0, 1000), st.integers(0, 300), st.integers(0, 2**32))
def test_lengths_stay_within_their_bounds(low, stdev, width, seed):
    workload = DistributionWorkload(
        num_requests=20,
        prompt_tokens=low,
        prompt_tokens_stdev=stdev,
        prompt_tokens_min=low,
        prompt_tokens_max=low + width,
    )
    lengths = workload.requests(seed).input_tokens
    assert lengths.min() >= low
    assert lengths.max() <= low + width


def test_changing_one_thing_shifts_nothing_else():
    base = DistributionWorkload(num_requests=50)
    arrivals, prompts, outputs = columns(base.requests(5))
    other = columns(dataclasses.replace(base, rate=3.0, output_tokens_min=512, output_tokens_max=512).requests(5))
    assert other[1] == prompts
    assert other[2] == [512] * 50
    assert columns(dataclasses.replace(base, prompt_tokens_stdev=1.0).requests(5))[::2] == (arrivals, outputs)
    longer = columns(dataclasses.replace(base, num_requests=80).requests(5))
    assert [column[:50] for column in longer] == [arrivals, prompts, outputs]
    assert columns(base.requests(6)) != (arrivals, prompts, outputs)


def test_a_horizon_leaves_out_nobody():
    workload = DistributionWorkload(num_requests=50, prefix_tokens=10)
    every, cut = workload.requests(5), workload.requests(5, 0)
    assert (columns(cut), cut.unlisted) == (columns(every), 0)
    slow = dataclasses.replace(workload, rate=1e-12).requests(5, 1000)  # most would arrive behind the clock's end
    assert len(slow) + slow.unlisted == 50
    assert slow.unlisted > 40


def test_a_huge_number_of_requests_is_counted_not_drawn(monkeypatch):
    monkeypatch.setattr("blis.workload.distribution.MOST_LATE", 10)
    workload = DistributionWorkload(num_requests=10**9)
    every = dataclasses.replace(workload, num_requests=50).requests(5)
    table = workload.requests(5, int(every.arrival_us[19]))
    assert columns(table) == tuple(column[:30] for column in columns(every))
    assert table.unlisted == 10**9 - 30


def test_a_prefix_lengthens_every_prompt_and_is_shared():
    workload = DistributionWorkload(num_requests=30, prefix_tokens=100)
    table = workload.requests(9)
    plain = dataclasses.replace(workload, prefix_tokens=0).requests(9)
    assert (table.input_tokens - plain.input_tokens == 100).all()
    content = table.content
    assert len(set(content.stream.tolist())) == 30
    assert set(content.parent[content.stream].tolist()) == {0}
    assert set(content.fork_tokens[content.stream].tolist()) == {100}
    assert content.parent[0] == -1


def test_means_of_a_preset_are_free():
    workload = DistributionWorkload(preset="tiny", prompt_tokens=0, prompt_tokens_min=5, prompt_tokens_max=5)
    assert np.unique(workload.requests(0).input_tokens).tolist() == [5]


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ({"prompt_tokens": "256"}, r"workloads.chatbot.prompt_tokens: must be a number in .*, got '256'"),
        ({"prompt_tokens_min": True}, r"workloads.chatbot.prompt_tokens_min: must be an integer in .*, got True"),
        ({"prompt_tokens_min": 0}, r"workloads.chatbot.prompt_tokens_min: must be an integer in \[1, .*, got 0"),
        ({"output_tokens_max": 0}, r"workloads.chatbot.output_tokens_min: must be <= .*_max \(0\), got 2"),
        ({"output_tokens_stdev": float("nan")}, r"workloads.chatbot.output_tokens_stdev: must be a number"),
    ],
)
def test_a_wrong_figure_of_a_preset_is_refused_by_its_key(figures, message):
    with pytest.raises(ConfigError, match=message):
        DistributionWorkload(preset="chatbot", **figures)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_requests": 0}, r"num_requests: must be an integer in \[1, 2147483647\], got 0"),
        ({"prefix_tokens": -1}, r"prefix_tokens: must be an integer in \[0, "),
        ({"prompt_tokens": 1}, r"prompt_tokens: must lie in .* = \[2, 7000\], got 1"),
        ({"output_tokens": 7001}, r"output_tokens: must lie in .* = \[2, 7000\], got 7001"),
        ({"prompt_tokens_stdev": -1}, r"prompt_tokens_stdev: must be a number in \[0, "),
        ({"prompt_tokens_stdev": float("inf")}, r"prompt_tokens_stdev: must be a number in \[0, "),
        ({"prompt_tokens_min": 0}, r"prompt_tokens_min: must be an integer in \[1, "),
        ({"output_tokens_max": 2**31}, r"output_tokens_max: must be an integer in \[0, 2147483647\]"),
        ({"rate": 0}, r"rate: must be a positive number"),
        ({"arrival": "weekly"}, r"arrival: unknown process 'weekly'; valid: constant, gamma, poisson"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        DistributionWorkload(**arguments)


def test_stdev_may_be_zero_and_a_prefix_may_be_the_whole_prompt():
    workload = DistributionWorkload(prompt_tokens_stdev=0, output_tokens_stdev=0, num_requests=3)
    assert np.unique(workload.requests(0).input_tokens).tolist() == [512]
    alone = DistributionWorkload(prefix_tokens=64, prompt_tokens=0, prompt_tokens_min=0, prompt_tokens_max=0)
    assert np.unique(alone.requests(0).input_tokens).tolist() == [64]
