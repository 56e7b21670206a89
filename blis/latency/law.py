"""The seam at which a model of step time plugs in.

A *law* tells how long one step of the engine takes from the aggregates of its batch. It is compiled on
its own (`numba.cfunc`) and passed into the engine, so that adding one changes nothing there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class StepTimeFunction(Protocol):
    """Whole microseconds one step takes; compiled with `step_time_signature`.

    Counts of requests, tokens and query-key pairs are integers, ``parameters`` are the law's own.
    Prefill request i has p_i tokens in the cache before the step (earlier chunks and prefix hits) and
    n_i new ones; decode request j has c_j tokens in the cache before the step.
    """

    def __call__(
        self,
        prefill_tokens: int,  # sum of n_i
        num_decodes: int,
        decode_context_tokens: int,  # sum of c_j
        attention_pairs: int,  # sum of n_i * p_i + n_i * (n_i + 1) / 2
        prefill_context_tokens: int,  # sum of p_i + n_i
        num_prefills: int,
        max_prefill_context_tokens: int,  # max of p_i + n_i, 0 without prefills
        parameters: Any,  # pointer to float64
    ) -> int:
        """The length of one step."""


def step_time_signature() -> Any:
    """The numba signature of a `StepTimeFunction`."""
    from numba import types

    pointer: Any = types.CPointer
    return types.int64(*[types.int64] * 7, pointer(types.float64))


def compile_law(law: StepTimeFunction) -> Any:
    """Compile a law, kept on disk for the next process where there is a place for it.

    Without a writable cache directory (a read-only container, say) it is compiled for this process only.
    """
    from numba import cfunc, config

    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        return _interpreted(law)
    try:
        return cfunc(step_time_signature(), cache=True)(law)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        return cfunc(step_time_signature())(law)


def _interpreted(law: Callable[..., int]) -> Callable[..., int]:
    """The law for an engine that runs as plain Python, for debuggers and coverage (``NUMBA_DISABLE_JIT=1``)."""
    from ctypes import POINTER, c_double

    def call(*aggregates_and_parameters: Any) -> int:
        *aggregates, parameters = aggregates_and_parameters
        return law(*aggregates, parameters.data_as(POINTER(c_double)))

    return call


@dataclass(frozen=True)
class LatencyModel:
    """Everything about time that the engine and its surroundings need.

    Attributes:
        name: ``blackbox``, ``roofline`` or a user's own.
        alpha: queueing delay ``trunc(alpha[0] + alpha[1] * input_tokens)`` µs before a request becomes
            visible to the scheduler; ``trunc(alpha[2])`` µs of client-side cost per output token.
        compile: gives the law compiled with `numba.cfunc`; called once per run, must cache.
        parameters: what the law gets as its last argument.
        last_prompt_token_is_decode: whether a request whose whole prompt but one token is cached counts
            as a decode (roofline) or as a prefill of one token (blackbox).
    """

    name: str
    alpha: tuple[float, float, float]
    compile: Callable[[], Any]
    parameters: NDArray[np.float64]
    last_prompt_token_is_decode: bool = False
