"""Outcomes in a word: two runs with the same digest did the same to every request."""

from __future__ import annotations

import hashlib

import numpy as np

from blis.outcomes.outcomes import Outcomes

#: What is covered. Digests outlive versions of this package: a field that is new does not belong here.
_OF_REQUESTS = ("numbers", "input_tokens", "output_tokens")
_OF_RESULT = (
    *("arrival_us", "enqueued_us", "first_scheduled_us", "first_token_us", "finished_us"),
    *("produced_tokens", "cached_tokens", "num_preemptions", "status", "instance"),
    *("itl_instance", "itl_class", "itl_values_us", "itl_counts"),
)
_OF_INSTANCES = ("end_us", "num_steps", "peak_used_blocks", "queue_length_sum")


def outcomes_digest(outcomes: Outcomes) -> str:
    """SHA-256 of what happened to the requests and in the instances, in hexadecimal digits.

    It covers numbers and times to the microsecond, and neither versions nor the format of a file.
    """
    hashed = hashlib.sha256(f"{outcomes.client_cost_us} {outcomes.table.unlisted}".encode())
    covered = (
        (outcomes.table, _OF_REQUESTS),
        (outcomes.result, _OF_RESULT),
        (outcomes.result.instances, _OF_INSTANCES),
    )
    for owner, names in covered:
        for name in names:
            values = np.asarray(getattr(owner, name), "<i8")
            hashed.update(f" {name} {len(values)} ".encode() + values.tobytes())
    return hashed.hexdigest()
