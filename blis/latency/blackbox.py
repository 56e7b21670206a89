"""The data-driven model: step time from published or fitted coefficients.

docs/approach.md explains what the coefficients mean and what they are worth.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from blis.compiled.function import Source, compiled
from blis.latency.law import LatencyModel, check_coefficients, checked_alpha, law_source

_LEAST_BETA = 3
_MOST_BETA = 5
#: Positions of times among the coefficients; the last one is a share.
TIMES = (0, 1, 2, 3)


def blackbox_model(alpha: Sequence[float], beta: Sequence[float]) -> LatencyModel:
    """The blackbox law with given coefficients.

    Args:
        alpha: queueing delay of a request (µs, µs per input token) and client-side cost of a token (µs).
        beta: µs per step, µs per new prefill token, µs per decoding request; optionally µs per token of decode
            context and the share by which that grows in steps that also prefill.

    Raises:
        ConfigError: if there are too few or too many coefficients, or one is negative or not finite.
    """
    queueing = checked_alpha(alpha)
    check_coefficients("beta_coeffs", beta, _LEAST_BETA, _MOST_BETA)
    parameters = np.zeros(_MOST_BETA)
    parameters[: len(beta)] = beta
    return LatencyModel("blackbox", queueing, _compiled_law, parameters, times=TIMES)


@functools.cache
def _compiled_law() -> Any:
    return compiled(source())


def source() -> Source:
    """What the law is compiled from."""
    return law_source(_step_time_us)


def _step_time_us(
    prefill_tokens: int,
    num_decodes: int,
    decode_context_tokens: int,
    attention_pairs: int,
    prefill_context_tokens: int,
    num_prefills: int,
    max_prefill_context_tokens: int,
    parameters: Any,
) -> int:
    """``trunc(b0 + b1·prefill tokens + b2·decodes + b3·contexts·(1 + b4 if it also prefills))``, at least 1 µs."""
    duration_us = parameters[0] + parameters[1] * prefill_tokens + parameters[2] * num_decodes
    context_us = parameters[3] * decode_context_tokens
    if prefill_tokens > 0:
        context_us *= 1.0 + parameters[4]
    return max(1, int(duration_us + context_us))
