"""Fixtures of tests in more than one place."""

import pytest

import blis


@pytest.fixture(scope="session")
def compiled_engine():
    """Compiled before it counts: compiling is announced on stderr."""
    blis.simulate("meta-llama/llama-3.1-8b-instruct", blis.DistributionWorkload(num_requests=1))
