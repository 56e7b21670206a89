"""Random numbers: independent streams, each known by a name, all from one seed.

Every use of randomness has a stream of its own, so that drawing more for one purpose (or choosing
another distribution for it) shifts nothing elsewhere. The bits of a stream depend on the seed and the
name alone, on every platform; what numpy makes of them (normal, exponential, …) stays the same for one
version of numpy (its NEP 19).
"""

from __future__ import annotations

import hashlib

import numpy as np

from blis.errors import ConfigError


def stream(seed: int, name: str) -> np.random.Generator:
    """Open the named stream of a seed, at its beginning.

    The generator is PCG64 seeded by `numpy.random.SeedSequence` with the seed as entropy and the first
    128 bits of the name's SHA-256 (four little-endian words) as spawn key.

    Args:
        seed: any integer >= 0.
        name: what the numbers are for, e.g. ``arrivals``.

    Raises:
        ConfigError: the seed is negative.
    """
    if seed < 0:
        raise ConfigError(f"seed: must be >= 0, got {seed}")
    key = np.frombuffer(hashlib.sha256(name.encode()).digest()[:16], dtype="<u4")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=tuple(key.tolist()))))
