"""How SLOs are written, and how far figures are from their limits."""

import math

import pytest

from blis.errors import ConfigError
from blis.studies.capacity.objectives import Objective, Slos


@pytest.mark.parametrize(
    ("text", "name", "limit_us"),
    [
        ("p99_ttft=200ms", "p99_ttft", 200_000),
        ("mean_e2e=3s", "mean_e2e", 3_000_000),
        (" p95_itl = 40 ms ", "p95_itl", 40_000),
        ("p50_scheduling_delay=1.5e2us", "p50_scheduling_delay", 150),
        ("tpot=0.05s", "tpot", 50_000),
    ],
)
def test_written_form(text, name, limit_us):
    objective = Objective.of(text)
    assert (objective.name, objective.limit_us) == (name, pytest.approx(limit_us))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("p99_tfft=200ms", "did you mean 'p99_ttft'"),
        ("itl=20ms", "unknown metric 'itl'"),
        ("p98_ttft=1s", "unknown metric 'p98_ttft'"),
        ("p99_ttft", "no metric=time"),
        ("p99_ttft=fast", "no metric=time"),
        ("p99_ttft=1e-e2ms", "no metric=time"),
        ("p99_ttft=200", "no unit in 'p99_ttft=200'; valid: us, ms, s"),
        ("p99_ttft=2min", "unknown unit 'min'"),
        ("p99_ttft=0ms", "must be a time > 0"),
        ("p99_ttft=-1ms", "must be a time > 0"),
    ],
)
def test_wrong_forms(text, says):
    with pytest.raises(ConfigError, match=r"^slos: ") as error:
        Objective.of(text)
    assert says in str(error.value)


def test_sets_of_slos():
    assert Slos.of(["p99_ttft=1s"]).goodput is None
    assert Slos.of(["ttft=1s", "p99_e2e=9s"]).goodput == 0.99
    assert Slos.of("ttft=1s", 0.9).names == ("goodput",)
    for slos, goodput, says in [
        ([], None, "at least one"),
        (["p99_ttft=1s", "p99_ttft=2s"], None, "given twice"),
        (["p99_ttft=1s"], 0.9, "^goodput: needs a limit per request"),
        (["ttft=1s"], 1.1, "^goodput: must be above 0"),
    ]:
        with pytest.raises(ConfigError, match=says):
            Slos.of(slos, goodput)


def test_strain_of_goodput_is_the_share_of_misses_that_is_used_up():
    slos = Slos.of(["ttft=1s"], 0.98)
    assert slos.strain("goodput", 0.99) == pytest.approx(0.5)
    assert slos.strain("goodput", 0.96) == pytest.approx(2.0)
    perfect = Slos.of(["ttft=1s"], 1.0)
    assert perfect.strain("goodput", 1.0) == 0
    assert perfect.strain("goodput", 0.999) == math.inf
