"""Users' own policies and step-time laws: decorators, and loading them by name.

A function is compiled if numba can do that; else it runs as plain Python, which is some hundred times slower and
said in a warning. docs/policies.md is the manual.
"""

from __future__ import annotations

import inspect
import logging
import math
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import CodeType
from typing import Any, TypeVar, overload

import numpy as np

from blis.errors import ConfigError, SignalExit, nearest
from blis.latency.law import LatencyModel, checked_alpha
from blis.policies._loading import load_function
from blis.policies._seams import SEAMS, Kind, Seam, UnusableAnswerError
from blis.policies._views import BatchView, DecisionView
from blis.policies.policy import COLUMNS, Floats, Ints, Policy

Function = TypeVar("Function", bound=Callable[..., Any])

_log = logging.getLogger("blis")

#: Where a function keeps what is known about it as a policy.
_ATTRIBUTE = "__blis_policy__"
_LEAST_STATE = 256
_STATE_PER_INSTANCE = 16
_MOST_STATE = 2**27
_MOST_TEXT = 200


class UserFunction:
    """A user's function at one of the seams.

    Args:
        function: the user's.
        seam: where it is called.
        reads: columns of the instances it sees; None: those whose names its code mentions.
        state: numbers its state starts with, or so many zeros; None: 256 or 16 per instance if that is more.
        parameters: what a step-time law is given if nothing else is said.
        decorated: whether the user has said which seam it is for.

    Raises:
        ConfigError: it has another number of parameters, or one of the arguments is wrong.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        seam: Seam,
        *,
        reads: Sequence[str] | None = None,
        state: int | Sequence[float] | None = None,
        parameters: Sequence[float] = (),
        decorated: bool = False,
    ) -> None:
        self.seam = seam
        self.decorated = decorated
        self._function = function
        self._code = function.__code__
        self.name = f"{function.__name__} ({Path(self._code.co_filename).name}:{self._code.co_firstlineno})"
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            raise ConfigError(f"{self.name}: is a generator or coroutine, expected a function that returns its answer")
        names = self._parameter_names()
        self._parameters = [_finite(self.name, "parameters", value) for value in parameters]
        self._reads = _checked_reads(self.name, reads, self._code) if "instances" in names else ()
        self._state = _checked_state(self.name, state)
        self._is_law = seam.kind == "step-time"
        self._python: dict[int, _PythonFunction] = {}
        self._compiled: dict[int, Any] = {}
        self.policy = Policy(
            self.name,
            self.compile,
            frozenset(self._reads),
            self._initial_state,
            "scores" in names,
            self._decision_failure,
        )

    def __getstate__(self) -> dict[str, Any]:
        """What goes to workers elsewhere with a function: all but what was made for this process."""
        return {**self.__dict__, "_python": {}, "_compiled": {}}

    def _parameter_names(self) -> tuple[str, ...]:
        signature = inspect.signature(self._function)
        needed = [p for p in signature.parameters.values() if p.default is p.empty]
        positional = [p for p in needed if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        count = len(positional) if len(positional) == len(needed) else 0
        self.seam.check_count(self.name, str(signature), count)
        return self.seam.parameters_of(count)

    def latency_model(self, alpha: Sequence[float], parameters: Sequence[float] | None) -> LatencyModel:
        """A model of time with this law of step time."""
        numbers = np.array(self._parameters)
        if parameters is not None:
            numbers = np.array([_finite(self.name, "parameters", value) for value in parameters], np.float64)

        def failure(aggregates: Ints, parameters: Floats) -> str:
            return self._failure(len(numbers), *aggregates.tolist(), parameters.ctypes.data)

        queueing = checked_alpha(alpha)
        return LatencyModel(self.name, queueing, lambda: self.compile(len(numbers)), numbers, failure=failure)

    def compile(self, num_parameters: int = 0) -> Any:
        """What to pass into the entry, asked for as a run begins; compiled at the first call."""
        self._python_function(num_parameters).error = None  # of a run that ended before anybody asked
        if num_parameters not in self._compiled:
            self._compiled[num_parameters] = self._compile(num_parameters)
        return self._compiled[num_parameters]

    def _compile(self, num_parameters: int) -> Any:
        from numba import config

        python = self._python_function(num_parameters)
        if config.DISABLE_JIT:  # type: ignore[attr-defined]
            return python.interpreted
        from blis.policies._native import NotCompilableError, PythonCallback, compile_user

        try:
            return compile_user(self._function, self.seam, self._reads, num_parameters)
        except NotCompilableError as error:
            _log.warning("%s: runs as plain Python, which is slow: %s", self.name, str(error))
            return PythonCallback(python, self.seam)

    def _python_function(self, num_parameters: int) -> _PythonFunction:
        if num_parameters not in self._python:
            names = self._parameter_names()
            view = BatchView(num_parameters) if self._is_law else DecisionView(names, self._reads)
            self._python[num_parameters] = _PythonFunction(self._function, self.seam, view)
        return self._python[num_parameters]

    def _initial_state(self, num_instances: int) -> Floats:
        if isinstance(self._state, int):
            return np.zeros(self._state)
        if self._state is None:
            return np.zeros(max(_LEAST_STATE, _STATE_PER_INSTANCE * num_instances))
        return np.array(self._state)

    def _decision_failure(self, words: Ints, numbers: Floats, state: Floats) -> str:
        return self._failure(0, words.ctypes.data, numbers.ctypes.data, state.ctypes.data)

    def _failure(self, num_parameters: int, *arguments: int) -> str:
        """What went wrong: kept by the callback; a compiled function is called again, as Python."""
        python = self._python_function(num_parameters)
        if python.error is None:
            python(*arguments)
        error, python.error = python.error, None
        if error is None:
            return f"{self.name}: failed as compiled code, but not when called again as Python"
        if isinstance(error, KeyboardInterrupt | SignalExit):
            raise error
        if isinstance(error, UnusableAnswerError):
            return f"{self.name}: {error}"
        text = f"{type(error).__name__}: {_one_line(str(error))}".removesuffix(": ")
        return f"{self.name}: raised {text}{self._line(error)}"

    def _line(self, error: BaseException) -> str:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == self._code.co_filename]
        return f" (line {lines[-1]})" if lines else ""


class _PythonFunction:
    """A user's function on addresses: never raises, keeps the error instead."""

    def __init__(self, function: Callable[..., Any], seam: Seam, view: DecisionView | BatchView) -> None:
        self._function = function
        self._seam = seam
        self._arguments = view.arguments
        self.error: BaseException | None = None

    def __call__(self, *memory: int) -> float:
        if self.error is not None:  # some calls are made twice, and the second must not hide a Ctrl-C
            return self._seam.failed
        try:
            value = self._function(*self._arguments(*memory))
            try:
                return self._seam.answer(value)
            except UnusableAnswerError:
                text = f"returned {_one_line(repr(value))}, expected {self._seam.expected}"
                raise UnusableAnswerError(text) from None
        except BaseException as error:  # an exception must not reach compiled code
            self.error = error
            return self._seam.failed

    def interpreted(self, *arguments: Any) -> float:
        """For an engine that runs as plain Python, where pointers are numpy's ``array.ctypes``."""
        return self(*(argument.data if hasattr(argument, "data_as") else int(argument) for argument in arguments))


def load_policy(spec: str, kind: Kind) -> Policy:
    """A user's policy of admission, routing or priority by ``module:function`` or ``file.py:function``.

    Raises:
        ConfigError: it can't be found or loaded, is decorated for another seam, or has other parameters.
    """
    return _of(load_function(spec, SEAMS[kind].option), SEAMS[kind], spec).policy


def load_latency_model(
    law: Callable[..., Any] | str, alpha: Sequence[float] = (0.0, 0.0, 0.0), parameters: Sequence[float] | None = None
) -> LatencyModel:
    """A model of time with a user's law of step time.

    Args:
        law: a function, or its name: ``module:function`` or ``file.py:function``.
        alpha: see `LatencyModel`.
        parameters: numbers for the law; None: those of its decorator.

    Raises:
        ConfigError: as `load_policy`; it is no function, or a coefficient is not finite.
    """
    seam = SEAMS["step-time"]
    if isinstance(law, str):
        return _of(load_function(law, seam.option), seam, law).latency_model(alpha, parameters)
    function = getattr(law, "py_func", law)
    if not inspect.isfunction(function):
        expected = "a name, a function of (batch, parameters), or what a fit has found"
        raise ConfigError(f"{seam.option}: expected {expected}, got {_one_line(repr(law))}")
    return _of(function, seam, function.__name__).latency_model(alpha, parameters)


def user_function(policy: Callable[..., Any] | str, kind: Kind) -> UserFunction:
    """A user's function, itself or its name, at the seam that its decorator says, or else at this one.

    Raises:
        ConfigError: it is no function, can't be loaded, or has other parameters.
    """
    function = load_function(policy, "policy") if isinstance(policy, str) else getattr(policy, "py_func", policy)
    if not inspect.isfunction(function):
        raise ConfigError(f"policy: expected a function or a name, got {_one_line(repr(policy))}")
    known: UserFunction | None = getattr(function, _ATTRIBUTE, None)
    if known is not None and known.decorated:
        return known
    return _of(function, SEAMS[kind], function.__name__)


def _of(function: Callable[..., Any], seam: Seam, spec: str) -> UserFunction:
    """What is known about a function; undecorated ones become policies when they are first asked for."""
    known: UserFunction | None = getattr(function, _ATTRIBUTE, None)
    if known is not None and known.seam.kind == seam.kind:
        return known
    if known is not None and known.decorated:
        raise ConfigError(
            f"{seam.option} {spec}: is decorated with @blis.{known.seam.decorator}, expected @blis.{seam.decorator}"
        )
    try:
        return _mark(function, UserFunction(function, seam))
    except ConfigError as error:
        raise ConfigError(f"{seam.option} {spec}: {error}") from None


def _mark(function: Callable[..., Any], user: UserFunction) -> UserFunction:
    setattr(function, _ATTRIBUTE, user)
    return user


def _decorator(kind: Kind, function: Callable[..., Any] | None, **options: Any) -> Any:
    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        function = getattr(function, "py_func", function)
        if not inspect.isfunction(function):
            raise ConfigError(f"@blis.{SEAMS[kind].decorator}: expected a function, got {_one_line(repr(function))}")
        _mark(function, UserFunction(function, SEAMS[kind], decorated=True, **options))
        return function

    return mark if function is None else mark(function)


@overload
def admission_policy(function: Function) -> Function: ...
@overload
def admission_policy(
    *, state: int | Sequence[float] | None = None, reads: Sequence[str] | None = None
) -> Callable[[Function], Function]: ...
def admission_policy(
    function: Callable[..., Any] | None = None,
    *,
    state: int | Sequence[float] | None = None,
    reads: Sequence[str] | None = None,
) -> Any:
    """Mark ``function(request, instances, state)``, which says whether a request is let in, as a policy.

    Args:
        function: the policy; stays callable as it is.
        state: numbers its state starts with, or so many zeros; None: 256 or 16 per instance if that is more.
        reads: columns of the instances it sees; None: those whose names its code mentions.

    Raises:
        ConfigError: one of these is wrong.
    """
    return _decorator("admission", function, state=state, reads=reads)


@overload
def routing_policy(function: Function) -> Function: ...
@overload
def routing_policy(
    *, state: int | Sequence[float] | None = None, reads: Sequence[str] | None = None
) -> Callable[[Function], Function]: ...
def routing_policy(
    function: Callable[..., Any] | None = None,
    *,
    state: int | Sequence[float] | None = None,
    reads: Sequence[str] | None = None,
) -> Any:
    """Mark ``function(request, instances, state[, scores])``, which returns an instance's index, as a policy.

    The arguments are those of `admission_policy`. ``scores`` is for decision traces: one number per instance.
    """
    return _decorator("routing", function, state=state, reads=reads)


@overload
def priority_policy(function: Function) -> Function: ...
@overload
def priority_policy(*, state: int | Sequence[float] | None = None) -> Callable[[Function], Function]: ...
def priority_policy(function: Callable[..., Any] | None = None, *, state: int | Sequence[float] | None = None) -> Any:
    """Mark ``function(request, now_us, state)``, which returns a waiting request's urgency, as a policy.

    The arguments are those of `admission_policy`.
    """
    return _decorator("priority", function, state=state)


@overload
def step_time(function: Function) -> Function: ...
@overload
def step_time(*, parameters: Sequence[float] = ()) -> Callable[[Function], Function]: ...
def step_time(function: Callable[..., Any] | None = None, *, parameters: Sequence[float] = ()) -> Any:
    """Mark ``function(batch, parameters)``, which returns the length of a step in µs, as a law of step time.

    Args:
        function: the law; stays callable as it is.
        parameters: numbers it is given if no others are asked for.
    """
    return _decorator("step-time", function, parameters=parameters)


def _checked_reads(where: str, reads: Sequence[str] | None, code: CodeType) -> tuple[str, ...]:
    if reads is None:
        mentioned = _names(code)
        return tuple(name for name in COLUMNS if name in mentioned)
    if isinstance(reads, str):
        raise ConfigError(f"{where}: reads: expected a sequence of names, got {reads!r}")
    for name in reads:
        if name not in COLUMNS:
            raise ConfigError(f"{where}: reads: unknown column {name!r}; {nearest(str(name), COLUMNS)}")
    return tuple(name for name in COLUMNS if name in reads)


def _names(code: CodeType) -> set[str]:
    """All attributes and globals that code mentions, functions inside it included."""
    inner = [_names(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*inner)


def _checked_state(where: str, state: int | Sequence[float] | None) -> int | list[float] | None:
    if state is None:
        return None
    if not isinstance(state, Iterable):
        if not isinstance(state, (int, np.integer)) or not 0 <= state <= _MOST_STATE:
            raise ConfigError(f"{where}: state: must be a count in [0, {_MOST_STATE}] or numbers, got {state!r}")
        return int(state)
    return [_finite(where, "state", value) for value in state]


def _finite(where: str, what: str, value: Any) -> float:
    if not isinstance(value, (int, float, np.integer, np.floating)) or not math.isfinite(value):
        raise ConfigError(f"{where}: {what}: must be finite numbers, got {value!r}")
    return float(value)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_MOST_TEXT]
