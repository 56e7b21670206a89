"""Scores as tables in Markdown, for terminals and docs/accuracy.md."""

from collections import Counter

from accuracy.cuts import CUTS, exactness
from accuracy.scores import by, macro, scores, shape_rows

#: Columns of the table of all points; and of those by engine, GPU and so on, with and without a queue.
SHOWN = ("TPOT", "ITL", "TTFT", "TTFT p50", "E2E", "throughput")
SPLIT = ("TPOT", "TTFT", "throughput")
#: Points shown as the worst, and figures that count for that.
NUM_WORST, WORST_OF = 20, ("TPOT", "TTFT", "throughput")


def all_tables(points, answers, rows):
    """Texts by name: ``overall``, ``coverage``, ``worst``, and one for each of `CUTS`."""
    return {
        "coverage": coverage(points, answers, rows),
        "overall": overall(rows),
        **{f"by {name.lower()}": cut(name, points, rows) for name in CUTS},
        "worst": worst(rows),
    }


def overall(rows):
    """Absolute and shape errors, also of points that are run as what they are, and with and without a queue."""
    lines = []
    for name, chosen in (("Absolute", rows), ("Shape", shape_rows(rows))):
        parts = {name: chosen, **{f"– {key}": part for key, part in by(chosen, exactness).items()}}
        for key, part in parts.items():
            full, rest = _by_queue(part)
            lines += [_line(key, len(part), *_cells(part, SHOWN))]
            lines += [
                _line("– – not full", len(rest), *_cells(rest, SHOWN)),
                _line("– – full", len(full), *_cells(full, SHOWN)),
            ]
    middle = {name: f"{figure:.0f} ({count} groups)" for name, (count, figure) in macro(rows).items()}
    lines.append(_line("Absolute, median of the medians of groups", "", *(middle.get(name, "") for name in SHOWN)))
    return _table(("Errors", "Points", *SHOWN), lines)


def cut(name, points, rows):
    """Absolute errors by one property of points; and how many of all there are ran, and are not in doubt."""
    totals = Counter(str(CUTS[name](point)) for point in points)
    groups = by(rows, CUTS[name])
    lines = []
    for key in sorted(totals):
        part = groups.get(key, [])
        full, rest = _by_queue(part)
        cells = [cell for each in zip(_cells(rest, SPLIT), _cells(full, SPLIT), strict=True) for cell in each]
        share = f"{100 * len(full) / len(part):.0f} %" if part else ""
        lines.append(_line(key, f"{len(part)} of {totals[key]}", share, *cells, *_cells(part, ("E2E",))))
    columns = [f"{figure}{of}" for figure in SPLIT for of in ("", ", full")]
    return _table((name, "Points", "Full", *columns, "E2E"), lines)


def _by_queue(rows):
    return [row for row in rows if row.full], [row for row in rows if not row.full]


def _cells(rows, names):
    found = scores(rows)
    return [_cell(found[name]) if name in found else "" for name in names]


def _cell(score):
    return f"{score.typical:.0f} / {score.p90:.0f} / {signed(score.bias)} ({score.count})"


def signed(value):
    """A whole number with its sign."""
    text = f"{value:+.0f}".replace("-", "−")
    return "0" if text in ("+0", "−0") else text


def _line(*cells):
    return "| " + " | ".join(map(str, cells)) + " |"


def _table(columns, lines):
    return "\n".join([_line(*columns), "|" + "---|" * len(columns), *lines])


def coverage(points, answers, rows):
    """How many points there are, ran, and are scored; and why others are not."""
    reasons = Counter(_reason(answer) for answer in answers if answer.reason is not None)
    doubts = Counter(
        point.doubt for point, answer in zip(points, answers, strict=True) if point.doubt and answer.reason is None
    )
    ran = sum(answer.reason is None for answer in answers)
    lines = [_line("all", len(points)), _line("blis runs", ran), _line("– and they are scored", len(rows))]
    lines += [_line(f"– not scored: {doubt}", count) for doubt, count in doubts.most_common()]
    lines += [_line(f"blis does not run: {reason}", count) for reason, count in reasons.most_common()]
    return _table(("Measured points", "Number"), lines)


def _reason(answer):
    return answer.reason if answer.cannot else f"refused ({answer.reason.split(' (')[0]})"


def worst(rows):
    """The points with the largest errors, seen as ratios: half and twice are equally far off."""
    ranked = sorted(rows, key=lambda row: (-_distance(row), row.point.id))[:NUM_WORST]
    return _table(("Point", "Engine", "Load", *WORST_OF), [_worst(row) for row in ranked])


def _worst(row):
    point = row.point
    errors = [signed(row.errors[name]) if name in row.errors else "" for name in WORST_OF]
    return _line(f"`{point.id}`", f"{point.engine} {point.version or ''}", _load(point), *errors)


def _distance(row):
    ratios = [1 + row.errors[name] / 100 for name in WORST_OF if name in row.errors]
    return max((max(ratio, 1 / ratio) for ratio in ratios), default=0.0)


def _load(point):
    load = point.load
    how = f"{load.users} users" if load.users else f"{load.rate:g} a second" if load.rate else load.kind
    return f"{point.prompts:,} requests, {how}; {_tokens(point.input)} in, {_tokens(point.output)} out"


def _tokens(law):
    """A law of lengths in a word or two."""
    kind, *figures = str(law).split()
    if kind == "uniform":
        return f"{int(figures[0]):,} to {int(figures[1]):,}"
    if kind == "exponential":
        return f"{float(figures[0]):,.0f} on average"
    return f"{law:,}" if isinstance(law, int) else "ShareGPT"
