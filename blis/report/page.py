"""A page of figures: one HTML file with everything inside, made of sections with tiles, tables and charts.

What is on a page is plain data (`Page`), and this module alone knows HTML. Colours are CSS variables, also within
charts, so a page follows the reader's light or dark setting, and prints light, without drawing anything anew.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, Literal

from blis.files import kept
from blis.files.output import replacing
from blis.report.charting import check_charts

Cell = str | int | float | None
Width = Literal["full", "half", "third"]
Level = Literal["", "good", "bad"]

#: Texts that are numbers, with or without a sign for per cent.
_NUMBER = re.compile(r"[+-]?[\d,]*\.?\d+( ?%)?")
#: Significant digits of the numbers in charts: more than anybody sees, and far fewer than floats have.
_DIGITS = 6


@dataclass(frozen=True)
class Tile:
    """One headline.

    Attributes:
        name: what is told.
        figures: label and value of each figure; a single one may have an empty label.
        note: a few words more.
        level: ``good`` and ``bad`` are marked.
    """

    name: str
    figures: Sequence[tuple[str, str]]
    note: str = ""
    level: Level = ""


@dataclass(frozen=True)
class Tiles:
    """Headlines side by side."""

    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Table:
    """Rows under headings; numbers stand to the right, None is a dash.

    Attributes:
        columns: headings.
        rows: one cell per column; texts as they are, integers with separators, floats with one decimal.
        title: stands above.
        note: stands below.
        is_sortable: whether a click on a heading sorts the rows.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    title: str = ""
    note: str = ""
    is_sortable: bool = False


@dataclass(frozen=True)
class Chart:
    """A drawing.

    Attributes:
        name: unique on its page; letters, digits and dashes.
        title: stands above.
        spec: Vega-Lite; the page sets its width and the looks of axes and legends.
        note: stands below: how to read it, and what it cannot tell.
        width: how much of the page it takes; narrow screens give each the whole.
    """

    name: str
    title: str
    spec: Mapping[str, Any]
    note: str = ""
    width: Width = "full"


@dataclass(frozen=True)
class Finding:
    """Something that people should know.

    Attributes:
        headline: a few words.
        text: a sentence or two.
    """

    headline: str
    text: str


@dataclass(frozen=True)
class Findings:
    """Findings, one below the other."""

    findings: Sequence[Finding]


@dataclass(frozen=True)
class Settings:
    """Names and values in two columns."""

    title: str
    values: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Text:
    """A paragraph, or lines just as they are (``code``)."""

    text: str
    code: bool = False


Part = Tiles | Table | Chart | Findings | Settings | Text


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Page:
    """What a file shows.

    Attributes:
        title: of the page.
        verdict: the one line to read if no other.
        about: lines below it.
        sections: the first one may have no title.
    """

    title: str
    verdict: str
    sections: Sequence[Section]
    about: Sequence[str] = field(default=())


def write_page(page: Page, path: Path) -> None:
    """Write a page; the same page gives the same bytes.

    Raises:
        InputError: the extra ``plots`` is not installed.
        OSError: it could not be written; what was there is as it was.
    """
    check_charts(path)
    html = as_html(page)
    with replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


def as_html(page: Page) -> str:
    """The whole file as text."""
    charts = {part.name: part.spec for section in page.sections for part in section.parts if isinstance(part, Chart)}
    specs = json.dumps(rounded(charts), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    folder = files("blis.report")
    return Template((folder / "page.html").read_text("utf-8")).substitute(
        title=escape(page.title),
        style=(folder / "page.css").read_text("utf-8"),
        verdict=escape(page.verdict),
        about="".join(f"<p>{escape(line)}</p>" for line in page.about),
        links="".join(
            f'<a href="#{_anchor(section)}">{escape(section.title)}</a>' for section in page.sections if section.title
        ),
        body="\n".join(_section(section) for section in page.sections),
        specs=specs.replace("<", "\\u003c"),  # nothing in it can end the script element
        vega=_vega(),
        script=(folder / "page.js").read_text("utf-8"),
    )


def _vega() -> str:
    """What draws charts. To put it together takes longer than most pages' figures, so it is kept."""
    import vl_convert

    module: Any = vl_convert  # its stub lacks the version, and demands an argument that does not have to be given
    name, digest = "vega.kept", hashlib.sha256(module.__version__.encode()).digest()
    script = kept.read(name, digest)
    if script is None:
        script = module.javascript_bundle().encode()
        kept.write(name, digest, script)
    return script.decode()


def rounded(value: Any) -> Any:
    """The same JSON value with shorter floats; those that are no numbers become null."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(inner) for inner in value]
    return value


def _anchor(section: Section) -> str:
    """Id of a section; no chart has one that begins so."""
    return "section-" + section.title.lower().replace(" ", "-")


def _section(section: Section) -> str:
    heading = f"<h2>{escape(section.title)}</h2>" if section.title else ""
    parts = "\n".join(_part(part) for part in section.parts)
    return f'<section id="{_anchor(section)}">{heading}<div class="parts">\n{parts}\n</div></section>'


def _part(part: Part) -> str:
    match part:
        case Tiles():
            return '<div class="tiles">' + "".join(_tile(tile) for tile in part.tiles) + "</div>"
        case Table():
            return _table(part)
        case Chart():
            label = escape(part.title, quote=True)
            return (
                f'<figure class="{part.width}"><h3>{escape(part.title)}</h3>'
                f'<div class="chart" id="{part.name}" role="group" aria-label="{label}"></div>'
                f"{_note(part.note)}</figure>"
            )
        case Findings():
            items = (f"<dt>{escape(each.headline)}</dt><dd>{escape(each.text)}</dd>" for each in part.findings)
            return f'<dl class="findings">{"".join(items)}</dl>'
        case Settings():
            items = (f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in part.values)
            title = f"<h3>{escape(part.title)}</h3>"
            return f'<figure class="full table">{title}<dl class="settings">{"".join(items)}</dl></figure>'
        case Text():
            return f"<pre>{escape(part.text)}</pre>" if part.code else f'<p class="text">{escape(part.text)}</p>'


def _tile(tile: Tile) -> str:
    figures = "".join(
        f'<span class="figure"><b>{escape(value)}</b>{f"<i>{escape(label)}</i>" if label else ""}</span>'
        for label, value in tile.figures
    )
    note = f"<small>{escape(tile.note)}</small>" if tile.note else ""
    return f'<div class="tile {tile.level}"><h3>{escape(tile.name)}</h3><div>{figures}</div>{note}</div>'


def _table(table: Table) -> str:
    numeric = [any(_is_number(row[place]) for row in table.rows) for place in range(len(table.columns))]
    sides = ["number" if right else "word" for right in numeric]
    can_sort = table.is_sortable and len(table.rows) > 1
    heads = "".join(
        f'<th class="{side}">{_heading(name, can_sort=can_sort)}</th>'
        for side, name in zip(sides, table.columns, strict=True)
    )
    rows = "".join(
        "<tr>"
        + "".join(f'<td class="{side}">{escape(_cell(cell))}</td>' for side, cell in zip(sides, row, strict=True))
        + "</tr>"
        for row in table.rows
    )
    title = f"<h3>{escape(table.title)}</h3>" if table.title else ""
    return (
        f'<figure class="full table">{title}<div class="scroll"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{_note(table.note)}</figure>"
    )


def _heading(name: str, *, can_sort: bool) -> str:
    """What stands in the head of a column; a button, where a click sorts by it (page.js)."""
    return f'<button type="button">{escape(name)}</button>' if can_sort and name else escape(name)


def _is_number(cell: Cell) -> bool:
    if isinstance(cell, str):
        return _NUMBER.fullmatch(cell) is not None
    return cell is not None


def _cell(cell: Cell) -> str:
    if cell is None:
        return "–"
    return cell if isinstance(cell, str) else f"{cell:,}" if isinstance(cell, int) else f"{cell:,.1f}"


def _note(note: str) -> str:
    return f"<figcaption>{escape(note)}</figcaption>" if note else ""
