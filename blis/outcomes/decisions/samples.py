"""Which routing decisions are tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from blis.outcomes.decisions.comparing import (
    ANSWER,
    REQUEST,
    TIME_US,
    Ints,
    best_other,
    comparable_scores,
    is_routing,
    some_of,
)
from blis.workload.rng import stream

if TYPE_CHECKING:
    from blis.simulation import Decisions


class Sample(NamedTuple):
    """A routing decision, and the next best.

    Attributes:
        request: its row.
        clock_us: when it was decided.
        chosen: index of the instance it was sent to.
        alternative: index of the best other one.
    """

    request: int
    clock_us: int
    chosen: int
    alternative: int


class RegretSamples:
    """Draws among the routing decisions of a run while they are made, however many there will be.

    Each request has a rank by chance, and those of lowest rank are kept. So the draw depends on the seed and on who
    is routed, and a smaller draw is the beginning of a larger one.

    Args:
        seed: of the run.
        num_requests: rows of its table.
        most: how many to draw.
    """

    def __init__(self, seed: int, num_requests: int, most: int) -> None:
        self._most = most
        self._rank = stream(seed, "regret samples").permutation(num_requests)
        self._kept = np.empty((0, 1 + len(Sample._fields)), np.int64)

    def add(self, chunk: Decisions) -> None:
        """Draw among some more decisions, with two instances at least."""
        rank = self._rank[chunk.decisions[:, REQUEST]]
        drawn = is_routing(chunk)
        if len(self._kept) == self._most:
            drawn &= rank < self._kept[:, 0].max(initial=-1)
        if not drawn.any():
            return
        chunk = some_of(chunk, drawn)
        columns: list[Ints] = [chunk.decisions[:, column] for column in (REQUEST, TIME_US, ANSWER)]
        alternative = best_other(comparable_scores(chunk), columns[-1])
        kept = np.concatenate([self._kept, np.column_stack([rank[drawn], *columns, alternative])])
        self._kept = kept[np.argsort(kept[:, 0])][: self._most]

    def drawn(self) -> list[Sample]:
        """Them, in the order of the draw: the first few are a fair draw, too."""
        return [Sample(*row) for row in self._kept[:, 1:].tolist()]
