"""The results file: names and shapes, no arithmetic but units."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import NEVER, NONE, RequestStatus
from blis.files.document import json_document
from blis.files.output import replacing
from blis.outcomes.metrics.network import client_e2e_us, client_ttft_us, has_network
from blis.outcomes.outcomes import STATUS_NAMES, instance_ids

if TYPE_CHECKING:
    import polars as pl

    from blis.outcomes.outcomes import Outcomes

Ints = NDArray[np.int64]

_ROWS_PER_CHUNK = 1 << 16

_REASONS = {
    RequestStatus.REFUSED_TOO_LONG: '"the prompt is longer than max_model_len allows"',
    RequestStatus.REFUSED_NEVER_FITS: '"it needs more KV blocks than the cache has"',
    RequestStatus.REJECTED: '"turned away by the admission policy"',
    RequestStatus.NOT_SENT: '"its session had ended: an earlier turn was turned away"',
}


def write_results(outcomes: Outcomes, path: Path, figures: Mapping[str, Any]) -> None:
    """Write figures and, under ``requests``, one entry per request, sorted by arrival.

    Args:
        outcomes: whose requests to write.
        path: replaced at once when everything is written.
        figures: what to write before them (`blis.report.sections.Report.values`).
    """
    head = json_document(figures, ascii_only=True).removesuffix("\n}")
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(head + ',\n  "requests": [')
        for chunk in _entries(outcomes):
            file.write(chunk)
        file.write("\n  ]\n}\n")


def _entries(outcomes: Outcomes) -> Iterator[str]:
    """Entries of the list, many at a time: putting them together by columns takes a third of the time."""
    import polars as pl

    arrival_us = outcomes.result.arrival_us
    order = np.argsort(np.where(arrival_us == NEVER, np.iinfo(np.int64).max, arrival_us), kind="stable")
    for start in range(0, len(order), _ROWS_PER_CHUNK):
        rows = order[start : start + _ROWS_PER_CHUNK]
        parts: list[pl.Expr | pl.Series] = []
        for key, texts in _columns(outcomes, rows):
            parts += [pl.lit(f', "{key}": ' if parts else f'    {{"{key}": '), texts]
        entries = pl.select(pl.concat_str(*parts, *_labels(outcomes, rows), pl.lit("}"))).to_series()
        yield ("\n" if start == 0 else ",\n") + entries.str.join(",\n").item()


def _columns(outcomes: Outcomes, rows: Ints) -> Iterator[tuple[str, pl.Series]]:
    """Keys that all entries have, and for each its values in these rows as JSON."""
    import polars as pl

    result, table = outcomes.result, outcomes.table
    yield "arrived_at", _decimals(result.arrival_us[rows] / 1e6)
    yield "requestID", pl.select(pl.format('"request_{}"', pl.Series(table.numbers[rows]))).to_series()
    yield "num_prefill_tokens", _integers(table.input_tokens[rows])
    yield "num_decode_tokens", _integers(table.output_tokens[rows])
    yield "ttft_ms", _decimals(outcomes.ttft_us(rows) / 1000)
    yield "itl_ms", _decimals(outcomes.itl_mean_us(rows) / 1000)
    yield "e2e_ms", _decimals(outcomes.e2e_us(rows) / 1000)
    yield "scheduling_delay_ms", _decimals(outcomes.scheduling_delay_us(rows) / 1000)
    yield "status", _looked_up([json.dumps(name) for name in STATUS_NAMES], result.status[rows])
    yield "reason", _looked_up([_REASONS.get(code, "null") for code in RequestStatus], result.status[rows])
    yield "produced_tokens", _integers(result.produced_tokens[rows])
    yield "num_preemptions", _integers(result.num_preemptions[rows])
    yield "cached_tokens", _integers(result.cached_tokens[rows])
    instances = map(json.dumps, instance_ids(len(result.instances)))
    yield "instance_id", _looked_up([*instances, "null"], result.instance[rows])
    if has_network(outcomes):
        yield "client_ttft_ms", _decimals(client_ttft_us(outcomes, rows) / 1000)
        yield "client_e2e_ms", _decimals(client_e2e_us(outcomes, rows) / 1000)
    if table.sessions is not None and (table.sessions.session != NONE).any():
        session, turn = table.sessions.session[rows], table.sessions.turn[rows]
        yield "session_id", _nullable(session, session >= 0)
        yield "turn", _nullable(turn, session >= 0)


def _labels(outcomes: Outcomes, rows: Ints) -> Iterator[pl.Series]:
    """Class and tenant, with their keys, of those rows that have them."""
    for key, given in (("slo_class", outcomes.table.slo_class), ("tenant_id", outcomes.table.tenant)):
        if given is not None:
            yield _looked_up([*(f', "{key}": {json.dumps(name)}' for name in given.names), ""], given.codes[rows])


def _looked_up(texts: list[str], codes: NDArray[np.integer[Any]]) -> pl.Series:
    """The text of each code; -1 means the last one."""
    import polars as pl

    return pl.Series(texts).gather(codes % len(texts))


def _integers(values: Ints) -> pl.Series:
    import polars as pl

    return pl.Series(values).cast(pl.String)


def _nullable(values: Ints, known: NDArray[np.bool_]) -> pl.Series:
    texts = _integers(values)
    return texts.scatter(np.flatnonzero(~known), "null")


def _decimals(values: NDArray[np.float64]) -> pl.Series:
    """Numbers as `json` writes them; null for those that are negative or nan."""
    import polars as pl

    texts = pl.Series(values).cast(pl.String)
    plain = (values == 0.0) | ((values >= 1e-4) & (values < 1e16))  # outside, Python and polars write powers of ten
    odd = np.flatnonzero(~plain)
    return texts.scatter(odd, [repr(value) if value > 0.0 else "null" for value in values[odd].tolist()])
