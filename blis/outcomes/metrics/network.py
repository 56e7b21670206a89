"""What clients far away see: server-side latencies, and the way there and back on their own connection."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import NEVER
from blis.outcomes.outcomes import Ints, Outcomes, Rows

#: A token on the wire: four bytes.
_BITS_PER_TOKEN = 4 * 8


def transfer_us(tokens: Ints, bandwidth_mbps: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """(n,) time some tokens take on a connection.

    Args:
        tokens: (n,) how many.
        bandwidth_mbps: megabits per second; 0: unlimited.
    """
    limited = np.asarray(bandwidth_mbps, dtype=np.float64) > 0
    return np.where(limited, tokens * _BITS_PER_TOKEN / np.where(limited, bandwidth_mbps, 1.0), 0.0)


def has_network(outcomes: Outcomes) -> bool:
    """Whether anything is known of the connection of any client."""
    details = outcomes.table.details
    return details is not None and bool(details.rtt_us.any() or details.bandwidth_mbps.any())


def client_ttft_us(outcomes: Outcomes, rows: Rows = slice(None)) -> Ints:
    """(n,) time to first token with the round trip and the upload of the prompt, whole µs, -1 where there was none."""
    return _with_network(outcomes, outcomes.ttft_us(rows), rows, _upload_us(outcomes, rows))


def client_e2e_us(outcomes: Outcomes, rows: Rows = slice(None)) -> Ints:
    """(n,) end-to-end time with round trip, upload and download, whole µs, -1 for unfinished requests."""
    details = outcomes.table.details
    produced = outcomes.result.produced_tokens[rows]
    download_us = 0.0 if details is None else transfer_us(produced, details.bandwidth_mbps[rows])
    return _with_network(outcomes, outcomes.e2e_us(rows), rows, _upload_us(outcomes, rows) + download_us)


def _upload_us(outcomes: Outcomes, rows: Rows) -> NDArray[np.float64]:
    details, tokens = outcomes.table.details, outcomes.table.input_tokens[rows]
    return transfer_us(tokens, 0.0 if details is None else details.bandwidth_mbps[rows])


def _with_network(outcomes: Outcomes, server_us: Ints, rows: Rows, transfers_us: NDArray[np.float64]) -> Ints:
    details = outcomes.table.details
    rtt_us = 0 if details is None else details.rtt_us[rows]
    total: Ints = server_us + rtt_us + np.rint(transfers_us).astype(np.int64)
    return np.where(server_us >= 0, total, NEVER)
