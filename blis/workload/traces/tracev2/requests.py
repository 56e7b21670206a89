"""What the data file of a TraceV2 says of requests before anything happened to them."""

from __future__ import annotations

from typing import Any

import numpy as np

from blis.workload.requests import Ints, Labels, RequestTable, Sessions
from blis.workload.traces.tracev2.records import no_labels


def request_columns(table: RequestTable) -> dict[str, Any]:
    """Those fields of `TraceRecords` that follow from the requests themselves.

    Args:
        table: the requests, in the order of the records.
    """
    count, details = len(table), table.details
    session, turn = _sessions(table.sessions, count)
    return {
        "request_id": table.numbers,
        "client": details.client if details else no_labels(count),
        "tenant": table.tenant or no_labels(count),
        "slo_class": table.slo_class or no_labels(count),
        "session": session,
        "round_index": turn,
        "prefix_group": details.prefix_group if details else no_labels(count),
        "streaming": details.streaming if details else np.zeros(count, dtype=np.bool_),
        "input_tokens": table.input_tokens,
        "output_tokens": table.output_tokens,
        "modality_tokens": details.modality_tokens if details else np.zeros((count, 4), dtype=np.int64),
        "reason_ratio": details.reason_ratio if details else np.zeros(count),
    }


def _sessions(sessions: Sessions | None, count: int) -> tuple[Labels, Ints]:
    if sessions is None:
        return no_labels(count), np.zeros(count, dtype=np.int64)
    numbers, codes = np.unique(sessions.session, return_inverse=True)
    has_none = int(len(numbers) > 0 and numbers[0] < 0)
    names = tuple(f"session_{number}" for number in numbers[has_none:])
    return Labels(codes - has_none, names), np.where(sessions.session >= 0, sessions.turn, 0)
