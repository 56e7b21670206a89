"""The results file: names and shapes, no arithmetic but units."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import RequestStatus
from blis.files import replacing
from blis.outcomes import STATUS_NAMES, instance_ids

if TYPE_CHECKING:
    from blis.outcomes import Outcomes

_ROWS_PER_CHUNK = 1 << 15

_REASONS = {
    RequestStatus.REFUSED_TOO_LONG: '"the prompt is longer than max_model_len allows"',
    RequestStatus.REFUSED_NEVER_FITS: '"it needs more KV blocks than the cache has"',
    RequestStatus.REJECTED: '"turned away by the admission policy"',
}

_ENTRY = (
    '    {"arrived_at": %r, "requestID": "request_%d", "num_prefill_tokens": %d, "num_decode_tokens": %d, '
    '"ttft_ms": %s, "itl_ms": %s, "e2e_ms": %s, "scheduling_delay_ms": %s, "status": "%s", "reason": %s, '
    '"produced_tokens": %d, "num_preemptions": %d, "cached_tokens": %d, "instance_id": %s'
)


def write_results(outcomes: Outcomes, path: Path, figures: Mapping[str, Any]) -> None:
    """Write figures and, under ``requests``, one entry per request, sorted by arrival.

    Args:
        outcomes: whose requests to write.
        path: replaced at once when everything is written.
        figures: what to write before them (`blis.report.sections.Report.values`).
    """
    head = json.dumps(figures, indent=2, allow_nan=False).removesuffix("\n}")
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(head + ',\n  "requests": [')
        for chunk in _entries(outcomes):
            file.write(chunk)
        file.write("\n  ]\n}\n")


def _entries(outcomes: Outcomes) -> Iterator[str]:
    """Entries of the list, many at a time: formatting one dict per request would take five times as long."""
    order = np.argsort(outcomes.table.arrival_us, kind="stable")
    reasons = [_REASONS.get(code, "null") for code in RequestStatus]
    instances = [*map(json.dumps, instance_ids(len(outcomes.result.instances))), "null"]  # -1, none, is the last
    labels = [
        (given.codes, [*(f', "{key}": {json.dumps(name)}' for name in given.names), ""])
        for key, given in (("slo_class", outcomes.table.slo_class), ("tenant_id", outcomes.table.tenant))
        if given is not None
    ]
    entry = _ENTRY + "%s" * len(labels) + "}"
    for start in range(0, len(order), _ROWS_PER_CHUNK):
        rows = order[start : start + _ROWS_PER_CHUNK]
        result, table = outcomes.result, outcomes.table
        status = result.status[rows].tolist()
        columns = (
            (table.arrival_us[rows] / 1e6).tolist(),
            rows.tolist(),
            table.input_tokens[rows].tolist(),
            table.output_tokens[rows].tolist(),
            _milliseconds(outcomes.ttft_us(rows)),
            _milliseconds(outcomes.itl_mean_us(rows)),
            _milliseconds(outcomes.e2e_us(rows)),
            _milliseconds(outcomes.scheduling_delay_us(rows)),
            [STATUS_NAMES[code] for code in status],
            [reasons[code] for code in status],
            result.produced_tokens[rows].tolist(),
            result.num_preemptions[rows].tolist(),
            result.cached_tokens[rows].tolist(),
            [instances[index] for index in result.instance[rows].tolist()],
            *([texts[code] for code in codes[rows].tolist()] for codes, texts in labels),
        )
        text = ",\n".join([entry % values for values in zip(*columns, strict=True)])
        yield ("\n" if start == 0 else ",\n") + text


def _milliseconds(values_us: NDArray[np.int64] | NDArray[np.float64]) -> list[float | str]:
    milliseconds: list[float | str] = (values_us / 1000).tolist()
    for row in np.flatnonzero(~(values_us >= 0)).tolist():
        milliseconds[row] = "null"
    return milliseconds
