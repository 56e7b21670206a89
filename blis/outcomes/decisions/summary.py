"""The decisions of a run in a few figures, added up as they are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from blis._core.codes import DecisionKind
from blis.outcomes.decisions.comparing import ANSWER, KIND, Floats, Ints
from blis.outcomes.outcomes import instance_ids

if TYPE_CHECKING:
    import pyarrow as pa


class TraceSummary:
    """Counts of decisions, and how much they are to be regretted.

    Args:
        num_instances: among which requests are routed.
    """

    def __init__(self, num_instances: int) -> None:
        self._by_admission = np.zeros(2, np.int64)
        self._by_target = np.zeros(num_instances, np.int64)
        self._num_regrets = 0
        self._regret_sum = 0.0
        self._most_regret = 0.0

    def add(self, decisions: Ints, regrets: Floats | None) -> None:
        """Count some more.

        Args:
            decisions: (d, 4) as in `blis.simulation.Decisions`.
            regrets: (r,) of those of routing, NaN where it is unknown; None: nobody asked for it.
        """
        routing = decisions[:, KIND] == DecisionKind.ROUTING
        self._by_admission += np.bincount(decisions[~routing, ANSWER], minlength=2)
        self._by_target += np.bincount(decisions[routing, ANSWER], minlength=len(self._by_target))
        if regrets is not None:
            known = regrets[~np.isnan(regrets)]
            self._num_regrets += len(known)
            self._regret_sum += float(known.sum())
            self._most_regret = max(self._most_regret, float(known.max(initial=0.0)))

    def values(self) -> dict[str, Any]:
        """The figures, None where one cannot be computed; only instances that were sent something are listed."""
        rejected, admitted = self._by_admission.tolist()
        names = instance_ids(len(self._by_target))
        targets = {name: count for name, count in zip(names, self._by_target.tolist(), strict=True) if count}
        some = self._num_regrets > 0
        return {
            "total_decisions": rejected + admitted,
            "admitted": admitted,
            "rejected": rejected,
            "unique_targets": len(targets),
            "target_distribution": targets,
            "mean_regret": self._regret_sum / self._num_regrets if some else None,
            "max_regret": self._most_regret if some else None,
        }


def realised_figures(realised: pa.Table) -> dict[str, Any]:
    """Sum up measured regret (`blis.outcomes.decisions.realised`), in ms; None where no sample has a figure."""
    own, everyones = (realised[f"{whose}_e2e_regret_us"].drop_null().to_numpy() / 1000 for whose in ("own", "mean"))
    return {
        "realised_samples": len(realised),
        "realised_own_e2e_regret_mean_ms": float(own.mean()) if len(own) else None,
        "realised_own_e2e_regret_max_ms": float(own.max()) if len(own) else None,
        "realised_everyones_e2e_regret_mean_ms": float(everyones.mean()) if len(everyones) else None,
    }
