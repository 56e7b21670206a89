"""Why it was decided so, in a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import ViewColumn
from blis.outcomes.decisions.comparing import ANSWER, given_scores, is_routing, loads, some_of

if TYPE_CHECKING:
    from blis.simulation import Control, Decisions

_REFUSALS = {"token-bucket": "insufficient tokens"}


class Reasons:
    """The reasons of a run's decisions; has to see all of them in their order.

    Args:
        control: the policies. A user's own gives its name as its reason.
    """

    def __init__(self, control: Control) -> None:
        admission = control.admission.name
        self._by_admission = np.array([_REFUSALS.get(admission, admission), ""], object)
        self._routing = control.routing.name
        self._turn = 0

    def of(self, chunk: Decisions) -> NDArray[np.object_]:
        """(d,) texts; those who are let in need none."""
        texts = np.empty(len(chunk.decisions), object)
        routing = is_routing(chunk)
        texts[~routing] = self._by_admission[chunk.decisions[~routing, ANSWER]]
        texts[routing] = self._of_routing(some_of(chunk, routing))
        return texts

    def _of_routing(self, chunk: Decisions) -> list[str]:
        name, chosen = self._routing, chunk.decisions[:, ANSWER]
        rows = np.arange(len(chosen))
        match name:
            case "round-robin":
                first, self._turn = self._turn, self._turn + len(chosen)
                return [f"{name}[{turn}]" for turn in range(first, self._turn)]
            case "least-loaded" | "always-busiest":
                return [f"{name} (load={load})" for load in loads(chunk)[rows, chosen].tolist()]
            case "weighted":
                return [f"weighted-scoring (score={score:.3f})" for score in given_scores(chunk)[rows, chosen].tolist()]
            case "prefix-affinity":
                hits = np.any(chunk.columns[:, ViewColumn.PREFIX_BLOCKS] > 0, axis=1)
                return [f"{name} ({'cache-hit' if hit else 'cache-miss, fallback to least-loaded'})" for hit in hits]
        return [name] * len(chosen)
