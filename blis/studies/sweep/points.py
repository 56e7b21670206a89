"""The points of a sweep: combinations of settings, each made when it is looked at."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from blis.workload.rng import stream

Floats = NDArray[np.float64]
Shape = Literal["uniform", "log_uniform", "integers", "choices"]


@dataclass(frozen=True)
class Settings:
    """Some keys with values, and where in the file they stand.

    Attributes:
        values: plain JSON, by key; None: left to the default.
        places: path of each in the sweep file.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)

    def over(self, other: Settings) -> Settings:
        """Both; where they differ, this one's values."""
        return Settings({**other.values, **self.values}, {**other.places, **self.places})


class Points(Sequence[Settings]):
    """Every combination of one of each axis, over a base; the last axis varies fastest."""

    def __init__(self, base: Settings, axes: Sequence[Sequence[Settings]]) -> None:
        self._base = base
        self._axes = axes

    def __len__(self) -> int:
        return math.prod(map(len, self._axes))

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        rest = range(len(self))[index]  # IndexError beyond the end
        point = self._base
        for axis in reversed(self._axes):
            rest, place = divmod(rest, len(axis))
            point = axis[place].over(point)
        return point

    def __iter__(self) -> Iterator[Settings]:
        return (self[i] for i in range(len(self)))


@dataclass(frozen=True)
class Range:
    """Where the values of a key are drawn from.

    Attributes:
        shape: ``uniform`` and ``log_uniform`` in [low, high), ``integers`` from low to high, both included, all
            alike, or ``choices``, all alike.
        values: low and high, or the choices.
    """

    shape: Shape
    values: tuple[Any, ...]

    def at(self, shares: Floats) -> list[Any]:
        """Values that so much of the distribution lies below.

        Args:
            shares: (n,) in [0, 1).
        """
        low, high = self.values[0], self.values[-1]
        drawn: list[Any]
        match self.shape:
            case "choices":
                drawn = [self.values[i] for i in (shares * len(self.values)).astype(np.int64).tolist()]
            case "integers":
                steps = np.floor(shares * (high - low + 1)).astype(np.int64)
                drawn = np.minimum(low + steps, high).tolist()  # where rounding goes beyond
            case "log_uniform":
                drawn = np.clip(low * np.exp(shares * np.log(high / low)), low, high).tolist()
            case "uniform":
                drawn = (low + shares * (high - low)).tolist()
        return drawn


def random_shares(seed: int, key: str, count: int) -> Floats:
    """(count,) independent numbers in [0, 1); the stream depends on seed and key alone."""
    return stream(seed, f"sweep {key}").random(count)


def latin_hypercube_shares(seed: int, key: str, count: int) -> Floats:
    """(count,) numbers in [0, 1), one in each of ``count`` equal parts, in random order.

    The dimensions of a Latin hypercube are permuted independently of each other, so each key can have a stream of its
    own, and adding one leaves the others as they are. (McKay, Beckman, Conover 1979; the numbers are those of
    `scipy.stats.qmc.LatinHypercube`, whose import takes as long as 500 runs.)
    """
    rng = stream(seed, f"sweep {key}").spawn(1)[0]
    within, parts = rng.uniform(size=count), np.arange(1, count + 1)
    rng.shuffle(parts)
    shares: Floats = (parts - within) / count
    return shares


#: How shares are drawn, by the block of the sweep file: of seed, key and count.
SAMPLERS: Mapping[str, Callable[[int, str, int], Floats]] = {
    "random": random_shares,
    "latin_hypercube": latin_hypercube_shares,
}
