"""The page of a GPU's memory (docs/report.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from blis.memory.work import GIB
from blis.report.charting import INK, SERIES, SOFT, Spec
from blis.report.configuration import configuration
from blis.report.page import Chart, Page, Section, Table, Tile, Tiles
from blis.report.tables import number
from blis.report.vega import colour, drawn, field, tip
from blis.studies.memory.asking import GpuMemory
from blis.studies.memory.report import LACKING, UNUSED, headlines, parts, report

_HEIGHT = 90
_NOTE = "The dashed line is the memory that the GPU shows. What is not for vLLM is what utilisation leaves."


def page_of(found: GpuMemory, command: Sequence[str] = ()) -> Page:
    """Put the page together.

    Args:
        found: what was found.
        command: arguments of ``blis`` that make the same; empty: not known.
    """
    verdict, *others = headlines(found)
    values = report(found)
    sections = [
        Section("", [Tiles(list(_tiles(found)))]),
        Section("Memory of a GPU", [Chart("memory", "GiB by what has it", _bar(found), _NOTE), _table(found)]),
        Section("KV caches", [_groups(values["kv_groups"])]),
        configuration({**values["settings"], "log": values["log"]}, command),
    ]
    return Page(f"Memory of {found.name}", verdict, sections, [*others, *(note.text for note in found.notes)])


def _tiles(found: GpuMemory) -> Iterator[Tile]:
    budget, plan = found.budget, found.budget.plan
    where = f"{found.known.tp} x {found.known.gpu.name}"
    yield Tile("Fits", [("", "yes" if found.fits else "no")], where, "good" if found.fits else "bad")
    smallest = "none" if found.smallest_tp is None else str(found.smallest_tp)
    yield Tile("Smallest tp that fits", [("", smallest)])
    yield Tile("Weights", [("GiB per GPU", number(budget.taken.weight_bytes / GIB, 2))])
    yield Tile("KV caches", [("GiB per GPU", number(max(0.0, budget.kv_bytes) / GIB, 2))])
    yield Tile("KV cache size", [("tokens", f"{plan.cache_tokens:,}")], "as vLLM logs it")
    yield Tile("Concurrency", [("requests", number(plan.max_concurrency, 2))], f"of {plan.max_model_len:,} tokens")
    yield Tile("Longest request", [("tokens", f"{plan.longest_request_tokens:,}")], f"of {plan.max_model_len:,}")


def _bar(found: GpuMemory) -> Spec:
    """One bar, cut into what has the memory; what is lacking cannot be drawn."""
    shown = [(name, size / GIB) for name, size in parts(found) if name != LACKING]
    names = [name for name, _ in shown]
    colours = [SOFT if name == UNUSED else hue for name, hue in zip(names, SERIES, strict=False)]
    data = [{"part": name, "gib": size, "place": place} for place, (name, size) in enumerate(shown)]
    bar = {
        "mark": {"type": "bar", "stroke": "var(--card)", "strokeWidth": 1},
        "encoding": {
            "x": field("gib:Q", title="GiB", stack="zero"),
            "color": colour("part:N", names, colours, title=None, sort=names),
            "order": field("place:O"),
            "tooltip": [tip("part:N", "Part"), tip("gib:Q", "GiB", ",.2f")],
        },
    }
    edge = {
        "mark": {"type": "rule", "stroke": INK, "strokeDash": [4, 3]},
        "encoding": {"x": {"datum": found.budget.visible_bytes / GIB}},
    }
    return drawn(data, {"layer": [bar, edge]}, _HEIGHT)


def _table(found: GpuMemory) -> Table:
    visible = found.budget.visible_bytes
    rows = [(name, f"{size / GIB:,.2f}", f"{100 * size / visible:.1f} %") for name, size in parts(found)]
    return Table(("Part", "GiB", "share"), [*rows, ("visible", f"{visible / GIB:,.2f}", "100.0 %")])


def _groups(groups: Sequence[dict[str, object]]) -> Table:
    columns = ("kind", "layers", "tokens of a block", "looks back", "blocks of one request")
    keys = ("kind", "layers", "block_size_tokens", "reach_tokens", "blocks_per_request")
    rows = [[each[key] for key in keys] for each in groups]
    return Table(columns, rows, "Groups of layers that share their blocks")  # type: ignore[arg-type]
