"""The errors to expect of a run, by what it has in common with measured points: `blis.latency.expected_error`."""

import json
from collections import defaultdict

from accuracy.cuts import gpu_of, model_of
from accuracy.scores import score
from blis.files.output import replacing
from blis.latency.expected_error import FIGURES, LEAST_POINTS, PATH, kind_of, load_of, neighbourhoods

_ABOUT = (
    "errors in per cent by figure and neighbourhood: points, typical, 90th percentile, bias; "
    "written by benchmarks/check_accuracy.py --update"
)
#: What typical errors grow by on servers that the law's constants were not fitted to: fits that leave out a quarter of
#: all groups, on these, against the fit to all (docs/roofline.md); 90th percentiles don't grow.
_ELSEWHERE = {"tpot": 1.4, "ttft": 1.1, "e2e": 1.4, "throughput": 1.3}
_NAMES = dict(zip(FIGURES, ("TPOT", "TTFT", "E2E", "throughput"), strict=True))


def expected_errors(rows):
    """What the file holds: by figure and neighbourhood, points, typical error, 90th percentile and bias."""
    errors = {figure: defaultdict(list) for figure in FIGURES}
    for row in rows:
        gpu, kind = gpu_of(row.point).name, kind_of(model_of(row.point))
        names = neighbourhoods(gpu, kind, row.point.engine, load_of(row.answer.waiting, row.answer.in_system))
        for figure, name in _NAMES.items():
            if name in row.errors:
                for neighbourhood in names:
                    errors[figure][neighbourhood].append(row.errors[name])
    return {
        figure: {
            name: _figures(values, _ELSEWHERE[figure])
            for name, values in sorted(found.items())
            if len(values) >= LEAST_POINTS
        }
        for figure, found in errors.items()
    }


def _figures(values, elsewhere):
    found = score(values)
    typical = found.typical * elsewhere
    return [found.count, *(round(figure, 1) for figure in (typical, max(typical, found.p90), found.bias))]


def write_expected_errors(rows, path=PATH):
    """Write the file, a neighbourhood a line."""
    with replacing(path) as temporary:
        temporary.write_text(as_text(expected_errors(rows)), encoding="utf-8")


def as_text(errors):
    """The file."""
    parts = []
    for figure, found in errors.items():
        lines = ",\n".join(f"      {json.dumps(name)}: {json.dumps(values)}" for name, values in found.items())
        parts.append(f"    {json.dumps(figure)}: {{\n{lines}\n    }}")
    written = ",\n".join(parts)
    return f'{{\n  "about": {json.dumps(_ABOUT)},\n  "errors": {{\n{written}\n  }}\n}}\n'
