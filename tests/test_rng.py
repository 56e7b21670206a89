"""Named random streams."""

import pytest

from blis.errors import ConfigError
from blis.workload.rng import stream


def test_bits_are_fixed_by_seed_and_name():
    # From numpy.random.SeedSequence and PCG64, whose bits numpy guarantees (NEP 19), and SHA-256.
    drawn = [int(stream(42, "arrivals").bit_generator.random_raw()) for _ in range(2)]
    assert drawn == [731232060520595063] * 2


def test_names_and_seeds_give_different_streams():
    first = {stream(seed, name).integers(2**62) for seed in (0, 1, 42, 2**63, 2**200) for name in ("a", "b", "")}
    assert len(first) == 15


def test_streams_are_uncorrelated():
    a, b = (stream(7, name).standard_normal(100_000) for name in ("arrivals", "prompt lengths"))
    assert abs((a * b).mean()) < 4 / 100_000**0.5


def test_a_negative_seed_is_refused():
    with pytest.raises(ConfigError, match="seed: must be >= 0, got -1"):
        stream(-1, "arrivals")
