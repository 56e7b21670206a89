"""Regret that is measured: the run once more, with one decision changed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from blis._core.codes import NONE
from blis.errors import EngineError, InvariantError
from blis.outcomes.decisions.comparing import Ints
from blis.outcomes.decisions.samples import Sample
from blis.outcomes.outcomes import Outcomes, instance_ids

if TYPE_CHECKING:
    import pyarrow as pa

    from blis.simulation import Decisions, Progress

logger = logging.getLogger("blis")


class Runner(Protocol):
    """Simulates one and the same thing again and again."""

    def __call__(
        self,
        progress: Progress | None,
        *,
        decisions: Callable[[Decisions], None] | None = None,
        forced: tuple[int, int] = (NONE, NONE),
    ) -> Outcomes:
        """Run it; the arguments are those of `blis.simulation.run_engine`."""


def realised_regret(
    actual: Outcomes,
    samples: Sequence[Sample],
    run: Runner,
    progress_of: Callable[[int], Progress | None],
) -> tuple[pa.Table, bool]:
    """Simulate once per sample what would have happened with the alternative.

    Regret is the actual duration minus that with the alternative: if positive, the alternative would have been better.

    Args:
        actual: outcomes of the decisions as they were made.
        samples: what to change.
        run: runs the same simulation.
        progress_of: gives what to call with the progress of the run of a sample, by its position.

    Returns:
        One row per sample, in the order of the decisions, and whether Ctrl-C came before all were done. Columns:
        ``request_id``, ``clock_us``, ``chosen`` and ``alternative`` (instance ids), ``own_e2e_regret_us`` and
        ``own_ttft_regret_us`` of the request itself (null unless it got there in both runs), ``mean_e2e_regret_us``
        and ``mean_ttft_regret_us`` over all requests that got there in both runs. Samples that fail are left out.
    """
    rows = []
    interrupted = False
    try:
        for position, sample in enumerate(samples):
            row = _row(actual, sample, run, progress_of(position))
            if row is not None:
                rows.append(row)
    except KeyboardInterrupt:
        interrupted = True
    return _table(sorted(rows), len(actual.result.instances), actual.table.numbers), interrupted


def _row(actual: Outcomes, sample: Sample, run: Runner, progress: Progress | None) -> tuple[Any, ...] | None:
    try:
        other = run(progress, forced=(sample.request, sample.alternative))
    except InvariantError:
        raise
    except EngineError as error:
        where = f"request_{actual.table.numbers[sample.request]} on instance_{sample.alternative}"
        logger.warning("a sample of regret fails and is left out, %s: %s", where, error)
        return None
    if other.result.interrupted:
        raise KeyboardInterrupt
    own_e2e, mean_e2e = _difference(actual.e2e_us(), other.e2e_us(), sample.request)
    own_ttft, mean_ttft = _difference(actual.ttft_us(), other.ttft_us(), sample.request)
    place = (sample.clock_us, sample.request, sample.chosen, sample.alternative)
    return (*place, own_e2e, own_ttft, mean_e2e, mean_ttft)


def _difference(actual: Ints, other: Ints, request: int) -> tuple[int | None, float | None]:
    """That of one request and that of all, on average; durations are -1 where unknown."""
    both = (actual >= 0) & (other >= 0)
    if not both.any():
        return None, None
    difference = actual - other
    return int(difference[request]) if both[request] else None, float(difference[both].mean())


def _table(rows: list[tuple[Any, ...]], num_instances: int, numbers: Ints) -> pa.Table:
    import pyarrow as pa

    clock, request, chosen, alternative, *figures = zip(*rows, strict=True) if rows else [()] * 8
    names = instance_ids(num_instances)
    return pa.table(
        {
            "request_id": pa.array([f"request_{numbers[row]}" for row in request], pa.string()),
            "clock_us": pa.array(clock, pa.int64()),
            "chosen": pa.array([names[index] for index in chosen], pa.string()),
            "alternative": pa.array([names[index] for index in alternative], pa.string()),
            "own_e2e_regret_us": pa.array(figures[0], pa.int64()),
            "own_ttft_regret_us": pa.array(figures[1], pa.int64()),
            "mean_e2e_regret_us": pa.array(figures[2], pa.float64()),
            "mean_ttft_regret_us": pa.array(figures[3], pa.float64()),
        }
    )
