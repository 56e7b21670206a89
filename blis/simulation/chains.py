"""Chains of shared blocks: what the router's prefix table takes together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import NONE


class Chains(NamedTuple):
    """Identities with consecutive numbers, each the parent of the next.

    Attributes:
        first: (c,) int32, the first identity of each chain, upwards.
        before: (c,) int32, the chain with the parent of that, -1 for none.
    """

    first: NDArray[np.int32]
    before: NDArray[np.int32]

    def of(self, identities: NDArray[np.int32]) -> NDArray[np.int32]:
        """The chain of each identity; -1 for -1."""
        return _chains_of(self.first, identities)


def chains_of(parent: NDArray[np.int32], *, used: bool) -> Chains:
    """Cut identities into chains.

    Args:
        parent: of `blis.workload.content.SharedBlocks`.
        used: False: nobody asks for prefixes, so there are none.
    """
    if not used:
        none = np.empty(0, np.int32)
        return Chains(none, none.copy())
    follows = parent == np.arange(-1, len(parent) - 1, dtype=np.int32)
    follows[:1] = False  # its parent is nobody, not the one before
    first = np.flatnonzero(~follows).astype(np.int32)
    return Chains(first, _chains_of(first, parent[first]))


def _chains_of(first: NDArray[np.int32], identities: NDArray[np.int32]) -> NDArray[np.int32]:
    return (np.searchsorted(first, identities, side="right") + NONE).astype(np.int32)
