"""Fixtures of tests in more than one place."""

import pytest
from helpers_browser import start_browser
from hypothesis import HealthCheck, settings

import blis

# how long examples take to draw, or to test, says how busy the machine is
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.fixture(scope="session")
def compiled_engine():
    """Compiled before it counts: compiling is announced on stderr."""
    blis.simulate("meta-llama/llama-3.1-8b-instruct", blis.DistributionWorkload(num_requests=1))


@pytest.fixture(autouse=True)
def announced_before(request):
    """What a test reads on stderr or in the log does not depend on which test comes first."""
    if {"capsys", "capfd", "caplog"} & set(request.fixturenames):
        request.getfixturevalue("compiled_engine")


@pytest.fixture(scope="session")
def browser():
    """A real browser, for all tests of pages."""
    driver = start_browser()
    try:
        yield driver
    finally:
        driver.quit()
