"""`run_bench`: the runs of a bench file; `differences`: what they give now and did not when they were kept."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from blis import __version__
from blis.errors import EngineError
from blis.outcomes.digest import outcomes_digest
from blis.studies.bench.file import Bench
from blis.studies.bench.golden import Figure, Golden, GoldenRun
from blis.studies.sweep.work import figures_of

_log = logging.getLogger("blis")


def run_bench(bench: Bench) -> Golden:
    """Simulate all runs, one after the other.

    Raises:
        EngineError: a run failed, or completed no request: then there is nothing that could be compared.
    """
    runs = {}
    for name, run in bench.runs.items():
        try:
            outcomes = bench.worker.runner.run(run.case)
        except EngineError as error:
            raise type(error)(f"{bench.source}: runs.{name}: {error}") from error
        figures = {"steps": outcomes.result.num_steps, **figures_of(outcomes)}
        if figures["completed_requests"] == 0:
            raise EngineError(f"{bench.source}: runs.{name}: completed no request, so there is nothing to compare")
        runs[name] = GoldenRun(run.settings, run.inputs, outcomes_digest(outcomes), figures)
        _log.info("%s: done", name)
    return Golden(__version__, runs)


class FigureChange(NamedTuple):
    """A figure that is another one than it was; None: there is, or was, none.

    Attributes:
        name: of the figure.
        before: in the golden run.
        after: now.
    """

    name: str
    before: Figure
    after: Figure

    @property
    def percent(self) -> float | None:
        """By how much, in percent of what it was; None where that is no number."""
        if not isinstance(self.before, int | float) or not isinstance(self.after, int | float) or self.before == 0:
            return None
        return 100 * (self.after - self.before) / abs(self.before)

    def exceeds(self, tolerance: float) -> bool:
        """Whether it is more than so many percent, or no matter of percent."""
        return self.percent is None or abs(self.percent) > tolerance


@dataclass(frozen=True)
class RunDifference:
    """A run now against its golden one.

    Attributes:
        name: of the run.
        status: ``same``: every request met the same at the same microsecond; ``changed``: it did not; ``new``: there
            is no golden run of this name; ``gone``: only the golden run is there.
        figures: those that changed.
        settings: what it is told now and was not, one text each.
    """

    name: str
    status: Literal["same", "changed", "new", "gone"]
    figures: tuple[FigureChange, ...] = ()
    settings: tuple[str, ...] = ()

    def failure(self, tolerance: float | None) -> str | None:
        """Why the run fails; None if it does not.

        Args:
            tolerance: percent by which figures may differ; None: nothing may, figures or not.
        """
        if self.status == "new":
            return "has no golden run"
        if self.status == "gone":
            return "is in the golden file only"
        beyond = [change for change in self.figures if change.exceeds(tolerance or 0.0)]
        if beyond:
            most = max(beyond, key=lambda change: abs(change.percent or 0.0))
            share = "" if most.percent is None else f" ({most.percent:+.2f} %)"
            count = "1 figure" if len(beyond) == 1 else f"{len(beyond)} figures"
            return f"{count} changed, most of all {most.name} from {most.before} to {most.after}{share}"
        if self.status == "changed" and tolerance is None:
            return "requests met something else, though all figures are the same"
        return None


def differences(golden: Golden, now: Golden) -> tuple[RunDifference, ...]:
    """All runs, those of the bench file first."""
    gone = (RunDifference(name, "gone") for name in golden.runs if name not in now.runs)
    return (*(_difference(name, golden.runs.get(name), run) for name, run in now.runs.items()), *gone)


def _difference(name: str, before: GoldenRun | None, after: GoldenRun) -> RunDifference:
    if before is None:
        return RunDifference(name, "new")
    names = dict.fromkeys([*before.figures, *after.figures])
    changes = (FigureChange(each, before.figures.get(each), after.figures.get(each)) for each in names)
    figures = tuple(change for change in changes if change.before != change.after)
    status: Literal["same", "changed"] = "same" if before.digest == after.digest and not figures else "changed"
    return RunDifference(name, status, figures, tuple(_settings(before, after)))


def _settings(before: GoldenRun, after: GoldenRun) -> Iterator[str]:
    """What a run is told otherwise than before."""
    for key, old, new in _changed(before.settings, after.settings):
        yield f"{key} {_shown(old)} -> {_shown(new)}"
    for file, _, _ in _changed(before.inputs, after.inputs):
        yield f"another content of {file}"


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for key in dict.fromkeys([*before, *after]):
        if before.get(key) != after.get(key):
            yield key, before.get(key), after.get(key)


def _shown(value: Any) -> str:
    return "not set" if value is None else str(value)
