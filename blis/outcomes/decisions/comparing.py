"""Scores by which the instances of a decision are compared afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import DecisionKind, ViewColumn, ViewNumber

if TYPE_CHECKING:
    from blis.simulation import Decisions

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: Columns of `Decisions.decisions`.
KIND, REQUEST, TIME_US, ANSWER = range(4)

_LOAD = (ViewColumn.QUEUE_DEPTH, ViewColumn.BATCH_SIZE, ViewColumn.PENDING_REQUESTS)


def some_of(chunk: Decisions, rows: NDArray[np.bool_]) -> Decisions:
    """Those decisions alone."""
    return chunk._replace(**{name: part[rows] for name, part in chunk._asdict().items()})


def is_routing(chunk: Decisions) -> NDArray[np.bool_]:
    """(d,) whether a decision is one of routing."""
    routing: NDArray[np.bool_] = chunk.decisions[:, KIND] == DecisionKind.ROUTING
    return routing


def loads(chunk: Decisions) -> Ints:
    """(d, m) requests that were seen at an instance or on their way there."""
    total: Ints = chunk.columns[:, _LOAD].sum(axis=1)
    return total


def given_scores(chunk: Decisions) -> Floats:
    """(d, m) what the routing policy said, NaN where it gave no score; admission gives none."""
    return np.where(is_routing(chunk)[:, np.newaxis], chunk.numbers[:, ViewNumber.SCORE], np.nan)


def comparable_scores(chunk: Decisions) -> Floats:
    """(d, m) the policy's scores, -inf for instances without one; -(queue + batch + pending) if it gave none at all."""
    given = given_scores(chunk)
    missing = np.isnan(given)
    by_load = missing.all(axis=1, keepdims=True)
    return np.where(by_load, -loads(chunk), np.where(missing, -np.inf, given))


def regrets(scores: Floats, chosen: Ints) -> Floats:
    """(d,) how much better the best instance scored than the chosen one; NaN if that is no finite number."""
    with np.errstate(invalid="ignore"):  # inf - inf
        regret = scores.max(axis=1) - scores[np.arange(len(chosen)), chosen]
    return np.where(np.isfinite(regret), regret, np.nan)


def best_first(scores: Floats, most: int) -> Ints:
    """(d, min(most, m)) instances by descending score, equal ones by index."""
    order: Ints = np.argsort(-scores, axis=1, kind="stable")[:, :most]
    return order


def best_other(scores: Floats, chosen: Ints) -> Ints:
    """(d,) the best instance apart from the chosen one; there must be two at least."""
    first, second = best_first(scores, 2).T
    other: Ints = np.where(first == chosen, second, first)
    return other
