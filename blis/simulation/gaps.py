"""Gaps between tokens, as the recorders have counted them, in long form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from blis.workload.requests import Ints


def long_form(histogram: Ints, used: Ints, gaps: Sequence[Sequence[Ints]]) -> dict[str, Ints]:
    """Put together short and long gaps: instance, class, gap and count, sorted.

    Args:
        histogram: (instances, classes, µs) counts; the first class is that of requests without one, -1.
        used: (instances,) gaps in the histogram are below; most of its memory was never touched.
        gaps: per instance, arrays of rows (class, gap, count) of those that the histogram is too short for.
    """
    parts: list[Ints] = [np.empty((4, 0), np.int64)]
    for i, of_instance in enumerate(gaps):
        long = added_up(of_instance)
        for row, counts in enumerate(histogram[i, :, : used[i]]):
            short = np.flatnonzero(counts != 0)  # ten times as fast as of the counts themselves
            parts.append(_in_place(i, row, short, counts[short]))
            if len(long):
                parts.append(_in_place(i, row, *long[long[:, 0] == row, 1:].T))
    names = ("itl_instance", "itl_class", "itl_values_us", "itl_counts")
    return dict(zip(names, np.concatenate(parts, axis=1), strict=True))


def _in_place(instance: int, row: int, values_us: Ints, counts: Ints) -> Ints:
    columns = np.empty((4, len(values_us)), np.int64)
    columns[0], columns[1], columns[2], columns[3] = instance, row - 1, values_us, counts
    return columns


def added_up(gaps: Sequence[Ints]) -> Ints:
    """Rows (class, gap, count) with those of equal class and gap added up, sorted."""
    rows = np.concatenate([np.empty((0, 3), np.int64), *gaps])
    if not len(rows):
        return rows
    keys, index = np.unique(rows[:, :2], axis=0, return_inverse=True)
    counts = np.zeros(len(keys), np.int64)
    np.add.at(counts, index.ravel(), rows[:, 2])
    return np.column_stack([keys, counts])
