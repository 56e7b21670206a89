"""What a run leaves behind: `EngineResult`, as plain arrays in the order of the requests, and `DecisionTrace`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blis.workload.requests import MOST_US

if TYPE_CHECKING:
    import polars as pl

Ints = NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class InstanceFigures:
    """What each of the m instances did.

    Attributes:
        end_us: (m,) end of its last step, or the horizon.
        num_steps: (m,) steps that ran tokens.
        peak_used_blocks: (m,) most KV blocks in use at once.
        queue_length_sum: (m,) requests left waiting when a step was scheduled, summed over its steps.
    """

    end_us: Ints
    num_steps: Ints
    peak_used_blocks: Ints
    queue_length_sum: Ints

    def __len__(self) -> int:
        return len(self.end_us)

    def __repr__(self) -> str:
        return f"<InstanceFigures: {len(self)} instances, {self.num_steps.sum():,} steps>"


@dataclass(frozen=True, repr=False)
class EngineResult:
    """Raw outcome of one run. Times are µs on the simulated clock, -1 where it never happened.

    None of the times contains the client-side cost per output token (``alpha[2]``). The gaps between consecutive
    output tokens of one request are a histogram in long form, sorted by instance, class and gap.

    Attributes:
        arrival_us: (n,) reached the system; of a request that waits for the end of another only if that came.
        enqueued_us: (n,) visible to the scheduler.
        first_scheduled_us: (n,) when the first step that ran some of it was planned.
        first_started_us: (n,) when the GPU began with that step; the same if it waited for the plan.
        first_token_us: (n,) end of the step that produced its first output token.
        finished_us: (n,) end of the step that finished it.
        produced_tokens: (n,) output tokens it got.
        cached_tokens: (n,) prompt tokens found in the prefix cache when it was first scheduled.
        num_preemptions: (n,) how often it lost its blocks.
        status: (n,) `blis._core.codes.RequestStatus`.
        instance: (n,) index of the instance it was sent to, -1: to none.
        end_us: end of the run: the horizon if there was one (`until`), else the last step's end.
        usable_blocks: KV blocks there are in each instance, the reserved one not counted.
        itl_instance: (k,) instance that produced the tokens.
        itl_class: (k,) code of the requests' service class, -1: none is given.
        itl_values_us: (k,) gap.
        itl_counts: (k,) how often it occurred.
        instances: what each instance did.
        interrupted: stopped by the user before its end.
    """

    arrival_us: Ints
    enqueued_us: Ints
    first_scheduled_us: Ints
    first_started_us: Ints
    first_token_us: Ints
    finished_us: Ints
    produced_tokens: Ints
    cached_tokens: Ints
    num_preemptions: Ints
    status: Ints
    instance: Ints
    end_us: int
    usable_blocks: int
    itl_instance: Ints
    itl_class: Ints
    itl_values_us: Ints
    itl_counts: Ints
    instances: InstanceFigures
    interrupted: bool

    def __repr__(self) -> str:
        where = f"{len(self.instances)} instances, {self.num_steps:,} steps"
        return f"<EngineResult: {len(self.status):,} requests on {where}, end at {self.end_us / 1e6:,.6g} s>"

    def until(self, horizon_us: int | None) -> EngineResult:
        """The same, observed until the horizon that was asked for, even if nothing happened at the end of that time.

        What was interrupted has seen no more than the engine, and a horizon behind the clock's end is none.
        """
        if horizon_us is None or horizon_us >= MOST_US or self.interrupted:
            return self
        instances = replace(self.instances, end_us=np.full(len(self.instances), horizon_us))
        return replace(self, end_us=horizon_us, instances=instances)

    @property
    def num_steps(self) -> int:
        """Steps that ran tokens, of all instances."""
        return int(self.instances.num_steps.sum())

    @property
    def peak_used_blocks(self) -> int:
        """Most KV blocks in use at once in one instance."""
        return int(self.instances.peak_used_blocks.max(initial=0))

    def itl_histogram(
        self, *, instance: int | None = None, slo_class: int | Sequence[int] | None = None
    ) -> tuple[Ints, Ints]:
        """Gaps between output tokens, however long form has them split up.

        Args:
            instance: only tokens of this instance.
            slo_class: only tokens of requests of these classes (codes; -1: none is given).

        Returns:
            Distinct gaps in µs, ascending, and how often each occurred.
        """
        chosen = np.full(len(self.itl_counts), True)
        if instance is not None:
            chosen &= self.itl_instance == instance
        if slo_class is not None:
            chosen &= np.isin(self.itl_class, slo_class)
        of_one = self.itl_instance[chosen], self.itl_class[chosen]
        if all(len(column) == 0 or column[0] == column[-1] for column in of_one):  # long form is sorted by them
            return self.itl_values_us[chosen], self.itl_counts[chosen]
        values_us, index = np.unique(self.itl_values_us[chosen], return_inverse=True)
        counts = np.zeros(len(values_us), np.int64)
        np.add.at(counts, index, self.itl_counts[chosen])
        return values_us, counts


@dataclass(frozen=True, eq=False, repr=False)
class DecisionTrace:
    """What was decided about the requests of a run.

    Attributes:
        summary: its figures (docs/decision-traces.md); None where one cannot be computed.
        realised: a row per routing decision that was simulated again with its best alternative; None: nobody asked.
        interrupted: Ctrl-C came before all of them were.
        file_error: why there is no file although one was asked for: a disk that was full, say.
    """

    summary: Mapping[str, Any]
    realised: pl.DataFrame | None = None
    interrupted: bool = False
    file_error: OSError | None = None

    def __repr__(self) -> str:
        return f"<DecisionTrace: {len(self.summary)} figures{', interrupted' if self.interrupted else ''}>"
