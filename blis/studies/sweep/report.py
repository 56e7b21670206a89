"""What is said of a sweep besides its table: JSON values, and lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blis.files.printable import printable

if TYPE_CHECKING:
    from blis.studies.sweep.sweeping import Prepared


def report(prepared: Prepared, output: Path, num_failed: int) -> dict[str, Any]:
    """How the runs of a sweep ended, as plain JSON values, and where the table is.

    Args:
        prepared: the sweep.
        output: its table.
        num_failed: runs that failed.
    """
    all_runs, able = len(prepared.sweep), len(prepared.runs)
    return {
        "runs": all_runs,
        "replications": prepared.sweep.replications,
        "ok": able - num_failed,
        "failed": num_failed,
        "refused": all_runs - able,
        "outcomes_path": str(output),
    }


def text(prepared: Prepared, output: Path, num_failed: int) -> str:
    """The same for people; the arguments are those of `report`."""
    told = report(prepared, output, num_failed)
    counts = ", ".join(f"{told[status]} {status}" for status in ("ok", "failed", "refused"))
    return printable(f"{told['runs']} runs ({counts}) in {output}")


def points(prepared: Prepared) -> dict[str, Any]:
    """The points of a sweep, as plain JSON values; ``error`` says why one cannot run."""
    sweep = prepared.sweep
    return {
        "runs": len(sweep),
        "replications": sweep.replications,
        "points": [
            {
                "point": index,
                "settings": {key.name: point.values.get(key.name) for key in sweep.keys},
                "error": prepared.refused.get(index),
            }
            for index, point in enumerate(sweep.points)
        ],
    }


def points_text(prepared: Prepared) -> str:
    """The same for people, a line per point."""
    return "\n".join(_point_lines(prepared))


def _point_lines(prepared: Prepared) -> Iterator[str]:
    sweep = prepared.sweep
    yield f"{len(sweep)} runs: {len(sweep.points)} points, {sweep.replications} of each"
    for index, point in enumerate(sweep.points):
        cells = (f"{key.name}={key.cell(point.values.get(key.name))}" for key in sweep.keys)
        reason = prepared.refused.get(index)
        yield printable(f"{index}: {' '.join(cells)}" + (f"  cannot run: {reason}" if reason else ""))
