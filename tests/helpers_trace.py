"""Chunks of decisions made by hand."""

import numpy as np

from blis._core.codes import DecisionKind, ViewColumn, ViewNumber
from blis.config.schema import ClusterOptions
from blis.policies.policy import Policy
from blis.simulation import Control, Decisions

ADMISSION, ROUTING = DecisionKind


def control_by_name(admission, routing, *, instances=3, reads=()):
    """A cluster whose policies are only names."""
    policies = (Policy(name, lambda: None, frozenset(reads)) for name in (admission, routing))
    return Control(ClusterOptions(num_instances=instances), *policies)


def chunk_of(*rows, instances=3):
    """Decisions as (kind, request, clock, answer, queue depths, batch sizes, scores); the last three are optional.

    Column c of instance i is 100 * c + i, number c is c + i / 10, unless given.
    """
    columns = np.empty((len(rows), len(ViewColumn), instances), np.int64)
    columns[:] = 100 * np.arange(len(ViewColumn))[:, np.newaxis] + np.arange(instances)
    columns[:, ViewColumn.PENDING_REQUESTS] = 0
    numbers = np.empty((len(rows), len(ViewNumber), instances))
    numbers[:] = np.arange(len(ViewNumber))[:, np.newaxis] + np.arange(instances) / 10
    numbers[:, ViewNumber.SCORE] = np.nan
    for i, (*_, queue, batch, scores) in enumerate(row + (None,) * (7 - len(row)) for row in rows):
        if queue is not None:
            columns[i, ViewColumn.QUEUE_DEPTH] = queue
        if batch is not None:
            columns[i, ViewColumn.BATCH_SIZE] = batch
        if scores is not None:
            numbers[i, ViewNumber.SCORE] = scores
    return Decisions(np.array([row[:4] for row in rows], np.int64).reshape(-1, 4), columns, numbers)
