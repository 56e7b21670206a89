"""Where short labels stand beside points, so that none lies on another one or on a point, however wide the chart is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

#: Widths of charts on pages, the narrowest and the widest, px.
_WIDTHS = (180.0, 640.0)
#: Distance of points from the edges, and how large they are, px.
PADDING, _POINT = 16, 9.0
#: A label: one character's width, and its height, px.
_CHARACTER, _LINE = 6.2, 12.0
#: Points that are so close together have one label, px.
_SAME = 4.0
#: Points of more than this are not all named in it.
_MOST_NAMED = 3
#: Labels stand above, to the right, below or to the left: the middle of a label, relative to its point, where 1 is half
#: its width in x, and px otherwise.
_PLACES = ((0, 0.0, -11.0), (1, 8.0, 0.0), (0, 0.0, 12.0), (-1, -8.0, 0.0))


class Label(NamedTuple):
    """A label that has found its place.

    Attributes:
        row: of the point it stands beside.
        text: of all points that are there.
        dx: of its middle, px to the right of the point.
        dy: px below it.
    """

    row: int
    text: str
    dx: float
    dy: float


class _Box(NamedTuple):
    """What is covered, at the narrowest and the widest chart: middles, and half of width and height."""

    x: tuple[float, float]
    y: float
    half_width: float
    half_height: float

    def is_off(self, other: _Box) -> bool:
        """Whether the two never touch, at any width between these."""
        if abs(self.y - other.y) >= self.half_height + other.half_height:
            return True
        room = self.half_width + other.half_width
        narrow, wide = (mine - theirs for mine, theirs in zip(self.x, other.x, strict=True))
        return min(narrow, wide) >= room or max(narrow, wide) <= -room


def placed(places: Sequence[tuple[float, float]], texts: Sequence[str], height: float) -> list[Label]:
    """Labels of points, the first ones first; those that find no room are left out.

    Args:
        places: where points stand, from 0 to 1 to the right and upwards.
        texts: one of each.
        height: of the chart, px.
    """
    points = [_box(place, height) for place in places]
    taken = list(points)
    found = []
    for row, here in _together(points).items():
        named = ", ".join(texts[each] for each in here[:_MOST_NAMED])
        text = named + (" …" if len(here) > _MOST_NAMED else "")
        half = len(text) * _CHARACTER / 2
        for side, dx, dy in _PLACES:
            middle = dx + side * half
            box = _Box(_moved(points[row].x, middle), points[row].y + dy, half, _LINE / 2)
            if all(box.is_off(other) for other in taken):
                taken.append(box)
                found.append(Label(row, text, middle, dy))
                break
    return found


def _box(place: tuple[float, float], height: float) -> _Box:
    x, y = place
    middles = [PADDING + x * (width - 2 * PADDING) for width in _WIDTHS]
    up = PADDING + (1 - y) * (height - 2 * PADDING)
    return _Box((middles[0], middles[1]), up, _POINT / 2, _POINT / 2)


def _moved(x: tuple[float, float], by: float) -> tuple[float, float]:
    return x[0] + by, x[1] + by


def _together(points: Sequence[_Box]) -> dict[int, list[int]]:
    """Rows of points that stand in one place, by the first of them."""
    groups: dict[int, list[int]] = {}
    for row, point in enumerate(points):
        same = (
            first
            for first in groups
            if abs(points[first].x[1] - point.x[1]) < _SAME and abs(points[first].y - point.y) < _SAME
        )
        groups.setdefault(next(same, row), []).append(row)
    return groups
