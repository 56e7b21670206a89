"""Decisions as rows of an Arrow table, made column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import DecisionKind, ViewColumn, ViewNumber
from blis.outcomes.decisions.comparing import (
    ANSWER,
    KIND,
    REQUEST,
    TIME_US,
    Floats,
    Ints,
    best_first,
    given_scores,
    is_routing,
)
from blis.outcomes.decisions.reasons import Reasons
from blis.outcomes.outcomes import instance_ids

if TYPE_CHECKING:
    import pyarrow as pa

    from blis.simulation import Control, Decisions

#: Columns of a candidate that are only filled in if a policy looks at them.
_ON_DEMAND = (ViewColumn.PREFIX_BLOCKS, ViewColumn.CACHED_BLOCKS)


class DecisionRows:
    """Makes rows of a run's decisions; has to see all of them in their order.

    Args:
        control: the cluster and its policies.
        most_candidates: the best so many instances are kept of each decision; 0: all, by index.
        request_numbers: (n,) by which the requests are called; None: by their rows.
    """

    def __init__(self, control: Control, most_candidates: int, request_numbers: Ints | None = None) -> None:
        self._request_numbers = request_numbers
        self._num_instances = control.options.num_instances
        self._unread = {column for column in _ON_DEMAND if column.name.lower() not in control.reads}
        self._most_candidates = most_candidates
        self._reasons = Reasons(control)

    @property
    def candidates_per_row(self) -> int:
        """How many instances a row tells of."""
        return min(self._most_candidates or self._num_instances, self._num_instances)

    def table(self, chunk: Decisions, scores: Floats | None, regrets: Floats | None) -> pa.Table:
        """One row per decision.

        Args:
            chunk: the decisions; none of its memory is kept.
            scores: (d, m) by which the best candidates are found; None: all are kept.
            regrets: (d,) NaN where there is none; None: there is none at all.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        decisions, routing = chunk.decisions, is_routing(chunk)
        answer = decisions[:, ANSWER].copy()
        kinds = pa.array([kind.name.lower() for kind in DecisionKind])
        number = pa.array(self._numbers_of(decisions[:, REQUEST])).cast(pa.string())
        regret = np.full(len(decisions), np.nan) if regrets is None else regrets
        return pa.table(
            {
                "kind": pa.DictionaryArray.from_arrays(pa.array(decisions[:, KIND].astype(np.int32)), kinds),
                "request_id": pc.binary_join_element_wise("request", number, "_"),
                "clock_us": decisions[:, TIME_US].copy(),
                "admitted": pa.array(answer != 0, mask=routing),
                "instance_id": self._instances(answer, ~routing),
                "reason": pa.array(self._reasons.of(chunk), pa.string()),
                "regret": pa.array(regret, mask=np.isnan(regret)),
                "candidates": self._candidates(chunk, scores),
            }
        )

    def _numbers_of(self, requests: Ints) -> Ints:
        return requests.copy() if self._request_numbers is None else self._request_numbers[requests]

    def _candidates(self, chunk: Decisions, scores: Floats | None) -> pa.ListArray:
        import pyarrow as pa

        count = len(chunk.decisions)
        if scores is None:
            order: Ints = np.tile(np.arange(self._num_instances), (count, 1))
        else:
            order = best_first(scores, self._most_candidates)

        def taken(values: NDArray[Any]) -> NDArray[Any]:
            return np.take_along_axis(values, order, axis=1).ravel()

        score = taken(given_scores(chunk))
        columns = {"instance_id": self._instances(order.ravel()), "score": pa.array(score, mask=np.isnan(score))}
        order_of_columns = (
            *(ViewColumn.QUEUE_DEPTH, ViewColumn.BATCH_SIZE, ViewColumn.PENDING_REQUESTS, ViewNumber.KV_UTILIZATION),
            *(ViewColumn.FREE_KV_BLOCKS, *_ON_DEMAND, ViewNumber.CACHE_HIT_RATE),
        )
        for column in order_of_columns:
            seen = chunk.columns if isinstance(column, ViewColumn) else chunk.numbers
            known = column not in self._unread
            columns[column.name.lower()] = (
                pa.array(taken(seen[:, column])) if known else pa.nulls(order.size, pa.int64())
            )
        offsets = np.arange(count + 1, dtype=np.int32) * order.shape[1]
        return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(columns.values(), names=list(columns)))

    def _instances(self, indices: Ints, mask: NDArray[np.bool_] | None = None) -> pa.DictionaryArray:
        import pyarrow as pa

        names = pa.array(instance_ids(self._num_instances))
        return pa.DictionaryArray.from_arrays(pa.array(indices.astype(np.int32), mask=mask), names)
