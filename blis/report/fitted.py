"""Tables for terminals that cut no figure: where room is short words take more lines, and columns move below."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table
from rich.text import Text

#: No terminal is as wide.
_ENDLESS = 10_000
#: Words that are longer may be broken.
_LONGEST_WORD = 28


class _Measured(NamedTuple):
    """A column, how wide it would like to be, and how narrow it may be."""

    column: Column
    widest: int
    least: int


class FittedTable(Table):
    """A table that is as narrow as it must be without cutting anything.

    Words are broken into lines first. If that is not enough, the table is cut between columns: each part begins with
    the same words, so rows can still be told.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What rich prints; overrides what it would do with too little room."""
        columns = [self._measured(console, options, column) for column in self.columns]
        stubs = _stubs(columns)
        for number, group in enumerate(self._groups(columns, stubs, options.max_width)):
            if number > 0:
                yield Text("")
            yield from super(FittedTable, self._part(group, options.max_width, number)).__rich_console__(
                console, options
            )

    def _measured(self, console: Console, options: ConsoleOptions, column: Column) -> _Measured:
        found = self._measure_column(console, options.update_width(_ENDLESS), column)
        least = min(found.minimum, max(_LONGEST_WORD, column.min_width or 0)) if _is_words(column) else found.maximum
        return _Measured(column, found.maximum, least)

    def _groups(self, columns: Sequence[_Measured], stubs: int, room: int) -> Iterator[Sequence[_Measured]]:
        """Columns of each part: those that tell rows apart, and as many of the others as there is room for."""
        first, others = columns[:stubs], columns[stubs:]
        group: list[_Measured] = []
        for column in others:
            if group and _least_width([*first, *group, column]) > room:
                yield [*first, *group]
                group = []
            group.append(column)
        yield [*first, *group]

    def _part(self, group: Sequence[_Measured], room: int, number: int) -> FittedTable:
        part = copy.copy(self)
        part.title = self.title if number == 0 else None
        widths = _narrowed(group, room - len(group) + 1)
        part.columns = []
        for index, (each, width) in enumerate(zip(group, widths, strict=True)):
            column = dataclasses.replace(each.column, _index=index)
            if width < each.widest:
                padding = self._get_padding_width(each.column._index)
                column.no_wrap, column.width = False, max(width - padding, 1)
            part.columns.append(column)
        return part


def _is_words(column: Column) -> bool:
    return column.justify == "left"


def _least_width(columns: Sequence[_Measured]) -> int:
    """The least that columns take, with what stands between them."""
    return sum(each.least for each in columns) + len(columns) - 1


def _stubs(columns: Sequence[_Measured]) -> int:
    """How many columns at the left are words, by which rows are told apart; one if all are."""
    count = next((place for place, each in enumerate(columns) if not _is_words(each.column)), 1)
    return max(count, 1)


def _narrowed(group: Sequence[_Measured], room: int) -> list[int]:
    """Widths with which the group fits: of those columns that may be narrower, the widest gives way first."""
    widths = [each.widest for each in group]
    while sum(widths) > room:
        spare = [place for place, each in enumerate(group) if widths[place] > each.least]
        if not spare:  # a word that is wider than the terminal
            spare = [place for place in range(len(group)) if widths[place] > 1]
            if not spare:
                break
        widths[max(spare, key=lambda place: widths[place])] -= 1
    return widths
