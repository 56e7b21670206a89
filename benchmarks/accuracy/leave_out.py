"""What other constants of the law would be worth: errors by source, and of sources that had no say in the choice."""

from statistics import fmean

from accuracy.scores import by, macro, scores
from accuracy.tables import signed

#: What a choice goes by: the mean of these figures' macro errors.
CHOSEN_BY = ("TPOT", "TTFT p50", "throughput")


def cost(rows):
    """The mean of the macro errors, in per cent; the less the better."""
    found = macro(rows)
    return fmean(found[name][1] for name in CHOSEN_BY if name in found)


def by_source(rows):
    """A table of typical errors and biases."""
    lines = [f"{'':28}" + "".join(f"{name:>22}" for name in CHOSEN_BY)]
    groups = {"all": rows, **by(rows, lambda point: point.source)}
    for source, part in groups.items():
        found = scores(part)
        cells = [_cell(found[name]) if name in found else "" for name in CHOSEN_BY]
        lines.append(f"{source[:27]:28}" + "".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)


def leave_one_out(prepared, candidates):
    """For each source the best of some settings without it, and that one's errors on it.

    Args:
        prepared: `accuracy.prepared.PreparedPoints`.
        candidates: settings (`accuracy.constants.applied`), the first of them what is so now.
    """
    tried = [prepared.rows(settings) for settings in candidates]
    lines = [f"candidate {i}: {cost(rows):6.2f}  {candidates[i]}" for i, rows in enumerate(tried)]
    lines += ["", f"{'left out':28}{'best without it':>16}{'its errors: first':>20}{'best':>8}"]
    for source in by(tried[0], lambda point: point.source):
        without = [cost([row for row in rows if row.point.source != source]) for rows in tried]
        best = without.index(min(without))
        first, chosen = (cost([row for row in tried[i] if row.point.source == source]) for i in (0, best))
        lines.append(f"{source[:27]:28}{best:>16}{first:>20.1f}{chosen:>8.1f}")
    return "\n".join(lines)


def _cell(score):
    return f"{score.typical:.1f} {signed(score.bias):>4} ({score.count})"
