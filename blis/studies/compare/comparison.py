"""`compare`: every figure of two runs or more, and what chance allows it to differ by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from string import ascii_uppercase
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np

from blis.report.answer import Answer
from blis.studies.compare.intervals import Interval, difference_intervals, pair
from blis.studies.compare.sides import Ints, Requests, Run, Side, side_of

if TYPE_CHECKING:
    import polars as pl

#: Confidence of all intervals.
CONFIDENCE = 0.95
#: Keys of the summary in which people look for no difference.
_NOT_COMPARED = {"simulation_duration_s"}


class Change(NamedTuple):
    """One figure of the summary in both runs.

    Attributes:
        metric: its key in the summary.
        a: in the first run; None: it could not be computed.
        b: in the second.
        interval: of the difference, if one can be given.
    """

    metric: str
    a: float | None
    b: float | None
    interval: Interval | None

    @property
    def difference(self) -> float | None:
        """How much higher it is in the second run, in its own unit."""
        return None if self.a is None or self.b is None else self.b - self.a

    @property
    def percent(self) -> float | None:
        """The same in percent of the first; None if that is 0 and the second is not."""
        if self.difference is None or self.a is None or (self.a == 0 and self.difference != 0):
            return None
        return 0.0 if self.difference == 0 else 100 * self.difference / self.a

    @property
    def significant(self) -> bool | None:
        """Whether the interval leaves zero out; None if there is no interval."""
        return None if self.interval is None else self.interval.excludes_zero


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Answer):
    """Two runs side by side.

    Attributes:
        a: the first run.
        b: the second.
        changes: one per figure of their summaries, in the order of these.
        num_pairs: requests of the trace that both runs served; None: they did not serve the same one.
        notes: what readers should know, one sentence each.
    """

    a: Side
    b: Side
    changes: tuple[Change, ...]
    num_pairs: int | None
    notes: tuple[str, ...]

    def __getitem__(self, metric: str) -> Change:
        """The change of one figure of the summary.

        Raises:
            KeyError: there is no such figure.
        """
        return self.by_metric[metric]

    @cached_property
    def by_metric(self) -> dict[str, Change]:
        """The same by their keys."""
        return {change.metric: change for change in self.changes}

    @cached_property
    def frame(self) -> pl.DataFrame:
        """One row per figure: metric, a, b, difference, percent, low, high, significant.

        Differences and the ends of their 95 % intervals are in the unit of the figure; null where there is none, and
        infinite ends where the runs are too short to bound it.
        """
        import polars as pl

        rows = [
            (
                each.metric,
                each.a,
                each.b,
                each.difference,
                each.percent,
                *(each.interval or (None, None)),
                each.significant,
            )
            for each in self.changes
        ]
        numbers = ("a", "b", "difference", "percent", "low", "high")
        schema = {"metric": pl.String, **dict.fromkeys(numbers, pl.Float64), "significant": pl.Boolean}
        return pl.DataFrame(rows, schema=schema, orient="row")


@dataclass(frozen=True, eq=False, repr=False)
class Comparisons(Answer):
    """Several runs, each beside one baseline.

    Attributes:
        baseline: the run that all others are compared with.
        pairs: one comparison per other run, in the order in which they were given; `Comparison.a` is the baseline.
    """

    baseline: Side
    pairs: tuple[Comparison, ...]

    def __getitem__(self, label: str) -> Comparison:
        """The comparison of the run with a label, ``B``, ``C`` and so on.

        Raises:
            KeyError: there is no such run.
        """
        return {each.b.label: each for each in self.pairs}[label]

    @property
    def notes(self) -> tuple[str, ...]:
        """What readers should know, one sentence each, with the runs that it is about."""
        about: dict[str, list[str]] = {}
        for each in self.pairs:
            for note in each.notes:
                about.setdefault(note, []).append(each.b.label)
        return tuple(f"{', '.join(labels)} beside {self.baseline.label}: {note}" for note, labels in about.items())

    @cached_property
    def frame(self) -> pl.DataFrame:
        """Those of the pairs below each other, with the name of the run in a first column ``run``."""
        import polars as pl

        return pl.concat([each.frame.select(pl.lit(each.b.name).alias("run"), pl.all()) for each in self.pairs])


@overload
def compare(a: Run, b: Run, *, slo_targets_us: Mapping[str, int] | None = None) -> Comparison: ...
@overload
def compare(a: Run, b: Run, *more: Run, slo_targets_us: Mapping[str, int] | None = None) -> Comparisons: ...
def compare(a: Run, b: Run, *more: Run, slo_targets_us: Mapping[str, int] | None = None) -> Comparison | Comparisons:
    """Put two runs or more side by side, the first one as the baseline.

    If two served the same trace (same request ids, arrivals and lengths), intervals are those of the differences
    request by request; otherwise each run is taken for itself. Either way they respect that neighbouring requests
    are alike (docs/compare.md). Runs whose backlog grows get no intervals, since theirs has no steady state.

    Args:
        a: the run to start from: outcomes, the path of an outcomes or results file, or what is in a results file.
        b: the run that is compared with it, likewise.
        more: further ones.
        slo_targets_us: per SLO class, the longest end-to-end time that is good enough, for goodput and attainment;
            None: those with which results files were written.

    Returns:
        `Comparison` of two runs, `Comparisons` of more.

    Raises:
        InputError: a file cannot be read, or is neither; or no request has a class that a target is for.
    """
    first, *others = (side_of(run, _label(place), slo_targets_us) for place, run in enumerate((a, b, *more)))
    pairs = tuple(_compared(first, other) for other in others)
    return Comparisons(first, pairs) if more else pairs[0]


def _label(place: int) -> str:
    """A to Z, then AA, AB and so on."""
    letter = ascii_uppercase[place % len(ascii_uppercase)]
    return letter if place < len(ascii_uppercase) else _label(place // len(ascii_uppercase) - 1) + letter


def _compared(first: Side, second: Side) -> Comparison:
    pairing: Ints | None = None
    intervals: Mapping[str, Interval] = {}
    overloaded = [side.label for side in (first, second) if side.verdict == "overloaded"]
    if first.requests is None or second.requests is None:
        notes = ["A run of which only the summary is known allows no intervals."]
    else:
        pairing = pair(first.requests, second.requests)
        notes = _notes(first.requests, second.requests, pairing)
        if not overloaded:
            intervals = difference_intervals(first.requests, second.requests, pairing, CONFIDENCE)
    if overloaded:
        notes = [f"Overloaded: {' and '.join(overloaded)}. Figures depend on how long that lasts; no intervals."]
    if first.targets_ms != second.targets_ms:
        notes.append("The runs have other targets of SLO classes: goodput and attainment are not of the same thing.")
    metrics = [key for key in dict.fromkeys([*first.figures, *second.figures]) if key not in _NOT_COMPARED]
    changes = tuple(Change(key, first.figures.get(key), second.figures.get(key), intervals.get(key)) for key in metrics)
    return Comparison(first, second, changes, None if pairing is None else len(pairing), tuple(notes))


def _notes(first: Requests, second: Requests, pairing: Ints | None) -> list[str]:
    """How the two were compared, and what that leaves out."""
    if pairing is None:
        return ["The runs served different requests: intervals take them for independent."]
    notes = [f"Both runs served the same {len(pairing)} requests: intervals are of differences per request."]
    done_in_a = ~np.isnan(first.durations_ms["e2e"])
    done_in_b = ~np.isnan(second.durations_ms["e2e"][pairing])
    in_one = int((done_in_a != done_in_b).sum())
    if in_one:
        notes.append(f"Only one of the runs finished {in_one} of them; intervals are over the others.")
    return notes
