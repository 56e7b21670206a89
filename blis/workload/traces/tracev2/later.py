"""Columns that inference-sim has added to the data file since (its ``sim/workload/tracev2.go`` and ``replay.go``).

There ``input_tokens`` are those behind the shared prefix, whose length has a column of its own; and of a request
without a prefix the server's own count, where there is one, is what it was given.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from blis.workload.requests import MOST_TOKENS, MOST_US, Ints

#: Columns of whole numbers, and their upper bounds.
WHOLE = {
    "prefix_length": MOST_TOKENS,
    "server_input_tokens": MOST_TOKENS,
    "vllm_priority": 2**31 - 1,
    "deadline_us": MOST_US,
    "slo_target_us": MOST_US,
}
#: Columns of text.
TEXT = ("model", "finish_reason", "x_request_id", "adapter")
#: What nothing is made of, and would be missed.
_NOT_SIMULATED = ("deadline_us", "adapter")

_log = logging.getLogger("blis")


def prompt_lengths(input_tokens: Ints, is_grouped: Any, whole: dict[str, Ints]) -> Ints:
    """Lengths of whole prompts.

    Args:
        input_tokens: (n,) as the file has them.
        is_grouped: (n,) bool, whether a request has a prefix group.
        whole: the columns `WHOLE`, as far as there are any.
    """
    nothing = np.zeros(len(input_tokens), dtype=np.int64)
    prefix = np.where(is_grouped, whole.get("prefix_length", nothing), 0)
    counted = np.where(is_grouped, 0, whole.get("server_input_tokens", nothing))
    return np.where(counted > 0, counted, input_tokens + prefix)


def warn_of_the_rest(path: Path, table: Any) -> None:
    """Say what of the further columns is not simulated."""
    import pyarrow.compute as pc

    for name in _NOT_SIMULATED:
        if name in table.column_names:
            nothing = "" if name in TEXT else 0
            count = pc.sum(pc.not_equal(table[name], nothing)).as_py() or 0
            if count:
                _log.warning("%s: %s: %d requests have one, which is not simulated", path, name, count)
