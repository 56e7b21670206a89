"""How long prompts and outputs are: draws of token counts.

A `Lengths` draws from a distribution, rounds and clamps. Drawing n values gives the first n of any longer draw from
the same stream, so a shorter workload is the beginning of a longer one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from blis.workload.requests import Ints

#: Lengths stay below this, far beyond any context window.
MAX_TOKENS = 2**31 - 1

Floats = NDArray[np.float64]


def clamped_normal(
    rng: np.random.Generator, count: int, *, mean: float, stdev: float, minimum: int, maximum: int
) -> Ints:
    """Draw token counts: normal, clamped to [minimum, maximum], rounded half up.

    Clamping (unlike drawing again) heaps the tails on the bounds and moves the mean if a bound is near.

    Args:
        rng: where the draws come from; untouched if ``minimum == maximum``.
        count: how many.
        mean: of the normal distribution, in tokens.
        stdev: of the normal distribution, in tokens, >= 0.
        minimum: least count, >= 0.
        maximum: largest count.
    """
    if minimum == maximum:
        return np.full(count, minimum, dtype=np.int64)
    drawn = rng.standard_normal(count)
    drawn *= stdev
    drawn += mean
    np.clip(drawn, minimum, maximum, out=drawn)
    return _rounded(drawn)


class Distribution(Protocol):
    """Something numbers can be drawn from."""

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Draw (count,) numbers."""
        ...


@dataclass(frozen=True)
class Constant:
    """Always the same value."""

    value: float

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Give (count,) times the value; draws nothing."""
        return np.full(count, self.value)


@dataclass(frozen=True)
class Gaussian:
    """Normal numbers."""

    mean: float
    std_dev: float

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Draw (count,) numbers."""
        return self.mean + self.std_dev * rng.standard_normal(count)


@dataclass(frozen=True)
class Exponential:
    """Exponential numbers."""

    mean: float

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Draw (count,) numbers."""
        return self.mean * rng.standard_exponential(count)


@dataclass(frozen=True)
class LogNormal:
    """Numbers whose logarithm is normal with mean ``mu`` and standard deviation ``sigma``."""

    mu: float
    sigma: float

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Draw (count,) numbers."""
        with np.errstate(over="ignore"):  # infinite ones are clamped
            drawn: Floats = np.exp(self.mu + self.sigma * rng.standard_normal(count))
        return drawn


@dataclass(frozen=True)
class ParetoLogNormal:
    """With probability ``mix_weight`` a Pareto number (at least ``xm``, exponent ``alpha``), else a log-normal one."""

    alpha: float
    xm: float
    mu: float
    sigma: float
    mix_weight: float

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Draw (count,) numbers."""
        pick, first, second = rng.random((count, 3)).T
        log_first = np.log1p(-first)  # of a number in (0, 1]
        normal = np.sqrt(-2.0 * log_first) * np.cos(2.0 * np.pi * second)  # Box and Muller's: three uniforms for each
        with np.errstate(over="ignore"):  # infinite ones are clamped
            pareto = np.log(self.xm) - log_first / self.alpha
            logarithm = np.where(pick < self.mix_weight, pareto, self.mu + self.sigma * normal)
            drawn: Floats = np.exp(logarithm)
        return drawn


@dataclass(frozen=True)
class Empirical:
    """Given values with given weights, >= 0 and not all 0; they need not add up to 1."""

    values: tuple[float, ...]
    weights: tuple[float, ...]

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Draw (count,) of the values."""
        weights = np.array(self.weights)
        used = np.flatnonzero(weights)
        sums = np.cumsum(weights[used])
        positions = np.searchsorted(sums[:-1], rng.random(count) * sums[-1], side="right")
        values: Floats = np.array(self.values, dtype=np.float64)[used]
        return np.asarray(values[positions])


@dataclass(frozen=True)
class Lengths:
    """Whole numbers: drawn, clamped to [minimum, maximum], rounded half up."""

    distribution: Distribution
    minimum: int
    maximum: int

    def draw(self, rng: np.random.Generator, count: int) -> Ints:
        """Draw (count,) numbers."""
        return _rounded(np.clip(self.distribution.draw(rng, count), self.minimum, self.maximum))


def _rounded(drawn: Floats) -> Ints:
    whole = np.floor(drawn)
    whole += drawn - whole >= 0.5  # floor(x + 0.5) would round 0.49999999999999994 up
    return whole.astype(np.int64)
