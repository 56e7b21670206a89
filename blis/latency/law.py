"""The seam at which a model of step time plugs in.

A *law* tells how long one step of the engine takes from the aggregates of its batch. It is compiled on
its own (`numba.cfunc`) and passed into the engine, so that adding one changes nothing there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from blis.compiled.function import Source, compiled, files_beside, is_interpreted
from blis.errors import ConfigError

_NUM_ALPHA = 3
#: A quarter of an hour per token: beyond any server, and far from the end of int64.
_MOST_US = 1e9


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


def compile_law(law: StepTimeFunction, *helpers: Callable[..., Any]) -> Any:
    """Compile a law; `blis.compiled.function.compiled` says how. Arguments as of `law_source`."""
    return compiled(law_source(law, *helpers))


def law_source(law: StepTimeFunction, *helpers: Callable[..., Any]) -> Source:
    """What a law is compiled from.

    Args:
        law: a plain function.
        helpers: plain functions that it calls, in the same folder.
    """

    def make() -> StepTimeFunction:
        if helpers and not is_interpreted():
            from numba.extending import register_jitable

            for helper in helpers:
                register_jitable(forceinline=True)(helper)
        return law

    function: Any = law
    name = f"{function.__module__}.{function.__qualname__}"
    return Source(make, name, files_beside(function), step_time_signature)


def checked_alpha(alpha: Sequence[float]) -> tuple[float, float, float]:
    """Three queueing coefficients, see `LatencyModel`.

    Raises:
        ConfigError: if there is another number of them, or one is negative or not finite.
    """
    check_coefficients("alpha_coeffs", alpha, _NUM_ALPHA, _NUM_ALPHA)
    alpha_0, alpha_1, alpha_2 = map(float, alpha)
    return alpha_0, alpha_1, alpha_2


def check_coefficients(name: str, values: Sequence[float], least: int, most: int) -> None:
    """Refuse too few or too many coefficients, and such as are negative, not finite or beyond reason."""
    if not least <= len(values) <= most:
        counts = f"{least}" if least == most else f"{least} to {most}"
        raise ConfigError(f"{name}: must be {counts} numbers, got {len(values)}")
    for i, value in enumerate(values):
        if not 0 <= value <= _MOST_US:  # also refuses nan
            raise ConfigError(f"{name}[{i}]: must be a number in [0, {_MOST_US:g}], got {value}")


@dataclass(frozen=True, eq=False, repr=False)
class LatencyModel:
    """Everything about time that the engine and its surroundings need. It is equal to itself only.

    Attributes:
        name: ``blackbox``, ``roofline`` or a user's own.
        alpha: queueing delay ``trunc(alpha[0] + alpha[1] * input_tokens)`` µs before a request becomes
            visible to the scheduler; ``trunc(alpha[2])`` µs of client-side cost per output token.
        intake_us: time of the API server per request, which all requests that it has in hand share, before one becomes
            visible; 0: it has no limit.
        compile: gives the law compiled with `numba.cfunc`; called once per run, must cache.
        parameters: what the law gets as its last argument.
        last_prompt_token_is_decode: whether a request whose whole prompt but one token is cached counts
            as a decode (roofline) or as a prefill of one token (blackbox).
        failure: what went wrong, in one line, when the law has returned `blis._core.codes.RAISED`; asked with the
            seven aggregates (int64) and the parameters it was called with. None: the law never fails. A
            KeyboardInterrupt that came while the law ran is raised again instead.
        times: positions of those parameters that are times, to all of which together a step's length is proportional;
            None: not known of a user's own law.
    """

    name: str
    alpha: tuple[float, float, float]
    compile: Callable[[], Any]
    parameters: NDArray[np.float64]
    last_prompt_token_is_decode: bool = False
    failure: Callable[[NDArray[np.int64], NDArray[np.float64]], str] | None = None
    times: tuple[int, ...] | None = None
    intake_us: int = 0

    def __repr__(self) -> str:
        return f"<LatencyModel: {self.name}, alpha {list(self.alpha)}, {len(self.parameters)} parameters>"

    def scaled(self, factor: float) -> LatencyModel:
        """The same with steps that take ``factor`` times as long; what happens besides steps takes as long as before.

        Raises:
            ConfigError: the law is a user's own.
        """
        if factor == 1.0:
            return self
        if self.times is None:
            raise ConfigError(f"latency_model: step times of {self.name} cannot be scaled; it is a law of your own")
        parameters = self.parameters.copy()
        parameters[list(self.times)] *= factor
        return replace(self, parameters=parameters)


def step_durations_us(model: LatencyModel, loads: NDArray[np.int64]) -> NDArray[np.int64]:
    """Lengths of steps.

    Args:
        model: whose law is asked.
        loads: (s, 7) batches, as the arguments of `StepTimeFunction`.

    Returns:
        (s,) µs, at least 1 as in the engine.
    """
    from blis.latency._law_kernels import Law, durations

    law, out = model.compile(), np.empty(len(loads), dtype=np.int64)
    law = law if is_interpreted() else Law(law, step_time_signature())
    durations(law, np.ascontiguousarray(loads, dtype=np.int64), model.parameters, out)
    return np.maximum(out, 1)
