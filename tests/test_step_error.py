"""What errors of the model of step time do to capacities, and steps that take longer or shorter."""

import dataclasses

import numpy as np
import pytest
from helpers_sizing import BATCHING, ONE_SEAT, ONE_TOKEN, SINGLE
from hypothesis import given
from hypothesis import strategies as st

import blis
from blis.config.resolve import resolve
from blis.errors import ConfigError
from blis.latency.blackbox import blackbox_model
from blis.latency.law import LatencyModel, step_durations_us
from blis.studies.capacity.report import headlines, report

QUICK = {"num_requests": 300, "replications": 2, "tolerance": 0.05}
ROOFLINE = blis.Deployment("meta-llama/llama-3.1-8b-instruct", hardware="H100", tp=1, latency_model="roofline")
SLO = "p99_ttft=500ms"
STATED = resolve(ROOFLINE, blis.EngineOptions()).details["latency_model"]["accuracy_percent"]
IF_OFF = f" if steps are {STATED} % off, as they may be."


@given(st.floats(0.5, 2.0))
def test_all_terms_of_a_step_are_scaled(factor):
    """A step of prefills, decodes and their contexts, of a law with five coefficients."""
    model = blackbox_model((5.0, 1.0, 2.0), (5000.0, 30.0, 40.0, 0.5, 0.4))
    loads = np.array([[200, 17, 9000, 20_000, 300, 2, 200], [0, 30, 20_000, 0, 0, 0, 0]])
    scaled = model.scaled(factor)
    np.testing.assert_allclose(step_durations_us(scaled, loads), factor * step_durations_us(model, loads), atol=2)
    assert scaled.alpha == model.alpha


def test_steps_of_the_roofline_are_scaled():
    model = resolve(ROOFLINE, blis.EngineOptions()).latency
    loads = np.array([[512, 30, 30_000, 131_328, 512, 1, 512]])
    np.testing.assert_allclose(step_durations_us(model.scaled(1.3), loads), 1.3 * step_durations_us(model, loads), 1e-3)


def test_a_law_of_the_users_own_cannot_be_scaled():
    own = LatencyModel("own", (0.0, 0.0, 0.0), lambda: None, np.zeros(1))
    assert own.scaled(1.0) is own
    with pytest.raises(ConfigError, match="step times of own cannot be scaled"):
        own.scaled(1.3)


@pytest.fixture(scope="module")
def found():
    return blis.capacity(ROOFLINE, blis.preset("chatbot"), SLO, **QUICK)


def test_the_rate_lies_within_what_step_errors_make_of_it(found):
    percent, slow, fast = dataclasses.astuple(found.step_error)
    assert percent == STATED
    assert slow < found.rate < fast
    assert slow == pytest.approx(found.rate / (1 + percent / 100), rel=0.1)
    assert fast == pytest.approx(found.rate / (1 - percent / 100), rel=0.1)


def test_it_is_said(found):
    lines = list(headlines(found))
    assert any(" requests per second; " in line and line.endswith(IF_OFF) for line in lines)
    assert report(found)["step_error_percent"] == STATED
    assert report(found)["rate_per_s_if_steps_longer"] == found.step_error.slow


def test_errors_that_nobody_stated_are_not_made_up():
    found = blis.capacity(SINGLE, ONE_TOKEN, "mean_scheduling_delay=20ms", engine=ONE_SEAT, **QUICK)
    assert found.step_error is None
    assert any(line.startswith("How far step times may be off is not stated") for line in headlines(found))
    assert report(found)["step_error_percent"] is None


def test_instances_if_steps_are_off():
    needed = blis.instances_for(130, ROOFLINE, blis.preset("chatbot"), SLO, num_requests=300, replications=2)
    assert needed.step_error.fast <= needed.num_instances <= needed.step_error.slow
    assert needed.step_error.fast < needed.step_error.slow
    assert any(IF_OFF in line for line in headlines(needed))


def test_no_margin_is_named():
    needed = blis.instances_for(25, BATCHING, ONE_TOKEN, "p99_ttft=1s", num_requests=300, replications=2)
    line = "No margin is taken; blis plan takes 10% unless told otherwise, and asks for 27.5 per second."
    assert line in headlines(needed)
    assert report(needed)["margin"] == 0
