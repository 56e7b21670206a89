"""Fitness: weights as text, components, score."""

import pytest
from helpers_outcomes import make_outcomes, served, unserved

from blis._core.codes import RequestStatus
from blis.errors import ConfigError
from blis.outcomes.metrics.fitness import FITNESS_KEYS, fitness, parse_fitness_weights


def test_weights_are_read_and_sorted():
    weights = parse_fitness_weights(" throughput : 0.5, p99_ttft:0.3,mean_e2e:0 ")
    assert list(weights.items()) == [("mean_e2e", 0.0), ("p99_ttft", 0.3), ("throughput", 0.5)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected key:weight,key:weight, got ''"),
        ("throughput:0,mean_e2e:0.0", "one must be above 0 at least, or every score is 0"),
        ("throughput:1,", "expected key:weight,key:weight, got '' in 'throughput:1,'"),
        ("throughput=1", "expected key:weight,key:weight, got 'throughput=1'"),
        ("p99_tft:1", "unknown key 'p99_tft'; did you mean 'p99_ttft'"),
        ("speed:1", "unknown key 'speed'; valid: mean_e2e, mean_ttft, p50_e2e"),
        ("throughput:fast", "throughput must be a finite number >= 0, got 'fast'"),
        ("throughput:", "throughput must be a finite number >= 0, got ''"),
        ("throughput:1:2", "throughput must be a finite number >= 0, got '1:2'"),
        ("throughput:nan", "got 'nan'"),
        ("throughput:inf", "got 'inf'"),
        ("throughput:-1", "got '-1'"),
        ("throughput:1,throughput:2", "throughput is given twice"),
    ],
)
def test_wrong_weights_are_refused(text, message):
    with pytest.raises(ConfigError, match=r"^fitness_weights: ") as caught:
        parse_fitness_weights(text)
    assert message in str(caught.value)


def test_score_by_hand():
    # 2 requests with 10 tokens each in 1 s; end to end 1 ms and 3 ms
    outcomes = make_outcomes([served(0, 1_000, tokens=10), served(5, 3_000, tokens=10)], end_us=1_000_000)
    found = fitness(outcomes, {"throughput": 0.5, "mean_e2e": 0.25, "tokens_per_sec": 2.0})
    assert list(found["components"]) == ["mean_e2e", "throughput", "tokens_per_sec"]
    assert found["components"] == pytest.approx(
        {"mean_e2e": 1 / 3, "throughput": 2 / 102, "tokens_per_sec": 20 / 10_020}
    )
    assert found["score"] == pytest.approx(0.25 / 3 + 0.5 * 2 / 102 + 2.0 * 20 / 10_020)


def test_every_key_has_a_component():
    found = fitness(make_outcomes([served(0, 1_000)]), dict.fromkeys(FITNESS_KEYS, 1.0))
    assert tuple(found["components"]) == FITNESS_KEYS
    assert len(FITNESS_KEYS) == 10
    assert all(0 < points <= 1 for points in found["components"].values())


def test_what_cannot_be_computed_adds_nothing():
    outcomes = make_outcomes([unserved(0, RequestStatus.WAITING)], end_us=0)
    weights = dict.fromkeys(FITNESS_KEYS, 1.0)
    assert fitness(outcomes, weights) == {"score": 0.0, "components": dict.fromkeys(FITNESS_KEYS)}
