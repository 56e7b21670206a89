"""Errors of simulated against measured figures, and what many of them come to."""

from collections import defaultdict
from dataclasses import dataclass
from statistics import fmean, median

from blis.latency.expected_error import FULL_FROM

#: What is scored: its name in tables, and the key of the figure.
SCORED = {
    "TPOT": "tpot_mean_ms",
    "TPOT p50": "tpot_median_ms",
    "ITL": "itl_mean_ms",
    "TTFT": "ttft_mean_ms",
    "TTFT p50": "ttft_median_ms",
    "E2E": "e2e_mean_ms",
    "E2E p50": "e2e_median_ms",
    "throughput": "output_tps",
}


@dataclass(frozen=True)
class Row:
    """A point that ran.

    Attributes:
        point: what was measured.
        answer: what blis says.
        errors: by name of `SCORED`, 100 · (simulated / measured − 1).
    """

    point: object
    answer: object
    errors: dict[str, float]

    @property
    def full(self):
        """Whether requests had to wait in the simulated run, where errors of steps grow."""
        return self.answer.waiting >= FULL_FROM


def rows_of(points, answers):
    """The points that ran and are not in doubt, in their order."""
    return [
        Row(point, answer, errors(point.measured, answer.simulated))
        for point, answer in zip(points, answers, strict=True)
        if answer.reason is None and point.doubt is None
    ]


def errors(measured, simulated):
    """Relative errors in per cent of all that is known of both."""
    return {
        name: 100 * (simulated[key] / measured[key] - 1)
        for name, key in SCORED.items()
        if measured.get(key) and simulated.get(key)
    }


def shape_rows(rows):
    """Errors of what a curve does from its lowest level on; the levels behind the first, and others of that one not."""
    curves = defaultdict(list)
    for row in rows:
        curves[row.point.curve].append(row)
    found = []
    for curve in curves.values():
        anchor, *others = sorted(curve, key=lambda row: row.point.level)
        found += [_against(anchor, row) for row in others if row.point.level > anchor.point.level]
    return found


def _against(anchor, row):
    both = row.errors.keys() & anchor.errors.keys()
    ratios = {name: (100 + row.errors[name]) / (100 + anchor.errors[name]) for name in SCORED if name in both}
    return Row(row.point, row.answer, {name: 100 * (ratio - 1) for name, ratio in ratios.items()})


@dataclass(frozen=True)
class Score:
    """What the errors of one figure come to, in per cent.

    Attributes:
        count: how many there are.
        typical: median of the absolute errors.
        p90: their 90th percentile.
        bias: median of the errors with their signs.
        mean: of the absolute errors.
        within30: share of those of at most 30.
    """

    count: int
    typical: float
    p90: float
    bias: float
    mean: float
    within30: float


def score(values):
    """The `Score` of errors; None if there are none."""
    if not values:
        return None
    sizes = sorted(map(abs, values))
    p90 = sizes[round(0.9 * (len(sizes) - 1))]
    within = 100 * sum(size <= 30 for size in sizes) / len(sizes)
    return Score(len(sizes), median(sizes), p90, median(values), fmean(sizes), within)


def scores(rows):
    """By name of `SCORED`, of what any row has."""
    found = {name: score([row.errors[name] for row in rows if name in row.errors]) for name in SCORED}
    return {name: each for name, each in found.items() if each is not None}


def by(rows, key):
    """Rows by what ``key`` says of their points, sorted."""
    groups = defaultdict(list)
    for row in rows:
        groups[str(key(row.point))].append(row)
    return dict(sorted(groups.items()))


def macro(rows):
    """By name, number of groups and median of their typical errors: big sweeps weigh no more than small ones."""
    of_groups = [scores(group) for group in by(rows, lambda point: point.group).values()]
    typical = {name: [each[name].typical for each in of_groups if name in each] for name in SCORED}
    return {name: (len(values), median(values)) for name, values in typical.items() if values}
