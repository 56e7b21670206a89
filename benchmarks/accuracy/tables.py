"""Scores as tables in Markdown, for terminals and docs/accuracy.md."""

from collections import Counter

from accuracy.cuts import CUTS, exactness
from accuracy.scores import by, macro, scores, shape_rows

SHOWN = ("TPOT", "ITL", "TTFT", "TTFT p50", "E2E", "throughput")
#: Points shown as the worst, and figures that count for that.
NUM_WORST, WORST_OF = 15, ("TPOT", "TTFT", "throughput")


def all_tables(points, answers, rows):
    """Texts by name: ``overall``, ``coverage``, ``worst``, and one for each of `CUTS`."""
    return {
        "coverage": coverage(points, answers, rows),
        "overall": overall(rows),
        **{f"by {name.lower()}": cut(name, points, rows) for name in CUTS},
        "worst": worst(rows),
    }


def overall(rows):
    """Absolute and shape errors, each of points with and without a queue."""
    lines = []
    for name, chosen in (("Absolute", rows), ("Shape", shape_rows(rows))):
        lines += _split(name, chosen, len(chosen))
        lines += [line for key, part in by(chosen, exactness).items() for line in _split(f"– {key}", part, len(part))]
    middle = {name: f"{figure:.0f} ({count} groups)" for name, (count, figure) in macro(rows).items()}
    lines.append(_line("Absolute, median of the medians of groups", "", [middle.get(name, "") for name in SHOWN]))
    return _table("Errors", lines)


def cut(name, points, rows):
    """Absolute errors by one property of points; how many of all there are ran, and are no longer in doubt."""
    totals = Counter(str(CUTS[name](point)) for point in points)
    groups = by(rows, CUTS[name])
    lines = [line for key in sorted(totals) for line in _split(key, groups.get(key, []), totals[key])]
    return _table(name, lines)


def _split(key, rows, total):
    """A line for all rows, and one for those with a queue if that are some but not all."""
    full = [row for row in rows if row.full]
    ran = f"{len(rows)} of {total}" if total != len(rows) else f"{len(rows)}"
    share = f"{ran}, {100 * len(full) / len(rows):.0f} % full" if rows else ran
    if not full or len(full) == len(rows):
        return [_line(key, share, _cells(rows))]
    rest = [row for row in rows if not row.full]
    parts = [_line(f"· {what}", f"{len(part)}", _cells(part)) for what, part in (("not full", rest), ("full", full))]
    return [_line(key, share, _cells(rows)), *parts]


def _cells(rows):
    found = scores(rows)
    return [_cell(found[name]) if name in found else "" for name in SHOWN]


def _cell(score):
    return f"{score.typical:.0f} / {score.p90:.0f} / {signed(score.bias)} ({score.count})"


def signed(value):
    """A whole number with its sign."""
    text = f"{value:+.0f}".replace("-", "−")
    return "0" if text in ("+0", "−0") else text


def _line(key, ran, cells):
    return "| " + " | ".join([key, ran, *cells]) + " |"


def _table(name, lines):
    head = [_line(name, "Points", SHOWN), "|" + "---|" * (2 + len(SHOWN))]
    return "\n".join([*head, *lines])


def coverage(points, answers, rows):
    """How many points there are, ran, and are scored; and why others are not."""
    reasons = Counter(_reason(answer) for answer in answers if answer.reason is not None)
    doubts = Counter(
        point.doubt for point, answer in zip(points, answers, strict=True) if point.doubt and answer.reason is None
    )
    ran = sum(answer.reason is None for answer in answers)
    lines = [f"| all points | {len(points)} |", f"| that blis can run | {ran} |", f"| – and are scored | {len(rows)} |"]
    lines += [f"| – in doubt: {doubt} | {count} |" for doubt, count in doubts.most_common()]
    lines += [f"| that it cannot: {reason} | {count} |" for reason, count in reasons.most_common()]
    return "\n".join(["| | Points |", "|---|---|", *lines])


def _reason(answer):
    return answer.reason if answer.cannot else f"refused ({answer.reason.split(' (')[0]})"


def worst(rows):
    """The points with the largest errors, seen as ratios: half and twice are equally far off."""
    ranked = sorted(rows, key=lambda row: (-_distance(row), row.point.id))[:NUM_WORST]
    lines = [
        f"| `{row.point.id}` | {row.point.engine} {row.point.version or ''} | {_load(row.point)} | "
        + " | ".join(signed(row.errors[name]) if name in row.errors else "" for name in WORST_OF)
        + " |"
        for row in ranked
    ]
    head = ["| Point | Engine | Load | " + " | ".join(WORST_OF) + " |", "|" + "---|" * (3 + len(WORST_OF))]
    return "\n".join([*head, *lines])


def _distance(row):
    ratios = [1 + row.errors[name] / 100 for name in WORST_OF if name in row.errors]
    return max((max(ratio, 1 / ratio) for ratio in ratios), default=0.0)


def _load(point):
    load = point.load
    how = f"{load.users} users" if load.users else f"{load.rate:g} a second" if load.rate else load.kind
    return f"{how}; {point.prompts} × {point.input} in, {point.output} out"
