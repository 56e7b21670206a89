"""What users' policies see: named views on the memory of a decision, made without copying it.

Nothing here says how many tokens a request will generate: no real router or scheduler could know.
"""

from __future__ import annotations

import ctypes
import functools
from collections import namedtuple
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import VIEW_HEADER, ViewColumn, ViewNumber, ViewWord
from blis.errors import nearest
from blis.policies.policy import COLUMNS, INTEGER_COLUMNS


class Request(NamedTuple):
    """The request that is decided about."""

    #: Its row in the table of requests.
    index: int  # type: ignore[assignment]  # hides tuple.index
    #: When it reached the system, µs.
    arrival_us: int
    input_tokens: int
    #: vLLM's request priority, smaller is more urgent; 0 if the table has none.
    priority: int
    #: Position in the names of the table's classes, -1: none is given.
    slo_class: int
    #: Position in the names of the table's tenants, -1: none is given.
    tenant: int
    #: Full KV blocks of the prompt.
    prompt_blocks: int


class Batch(NamedTuple):
    """What a step does; prefill i has p_i tokens in the cache and n_i new ones, decode j has c_j in the cache."""

    #: Sum of n_i.
    prefill_tokens: int
    num_decodes: int
    #: Sum of c_j.
    decode_context_tokens: int
    #: Sum of n_i * p_i + n_i * (n_i + 1) / 2.
    attention_pairs: int
    #: Sum of p_i + n_i.
    prefill_context_tokens: int
    num_prefills: int
    #: Largest p_i + n_i, 0 without prefills.
    max_prefill_context_tokens: int


#: The words a `Request` is made of, in its order.
REQUEST_WORDS = range(ViewWord.REQUEST, ViewWord.PROMPT_BLOCKS + 1)

# what every call needs, without looking up enums
_NUM_INSTANCES, _STATE_LENGTH, _NOW_US = map(int, (ViewWord.NUM_INSTANCES, ViewWord.STATE_LENGTH, ViewWord.NOW_US))
_FIRST, _BEHIND = REQUEST_WORDS.start, REQUEST_WORDS.stop
#: Makes a named tuple three times as fast as its class does.
_new = tuple.__new__


@functools.cache
def instances_type(reads: tuple[str, ...]) -> type[Any]:
    """A named tuple of ``now_us``, ``num_instances`` and those columns: one value per instance each."""
    base = namedtuple("Instances", ("now_us", "num_instances", *reads))  # type: ignore[misc]

    def missing(self: Any, name: str) -> Any:
        if name in COLUMNS:
            known = ", ".join(reads) or "none"
            raise AttributeError(
                f"instances.{name} is not among the columns read ({known}); name it in reads=(...) of the decorator"
            )
        raise AttributeError(f"instances has no {name!r}; {nearest(name, (*base._fields, *COLUMNS))}")

    return type("Instances", (base,), {"__slots__": (), "__getattr__": missing})


def column_place(name: str) -> tuple[bool, int]:
    """Whether a column is one of ``words``, and which of those (else: of ``numbers``)."""
    if name in INTEGER_COLUMNS:
        return True, int(ViewColumn[name.upper()])
    return False, int(ViewNumber[name.upper()])


def memory(address: int, kind: type[Any], length: int, *, writeable: bool = False) -> NDArray[Any]:
    """An array of ctypes' ``kind`` on foreign memory."""
    array = np.ctypeslib.as_array((kind * length).from_address(address)) if length else np.zeros(0, kind)
    array.flags.writeable = writeable
    return array


class DecisionView:
    """Python's view on a decision; the arrays are made once per run, as the engine keeps its memory in place.

    Args:
        parameters: what the function gets, out of ``request``, ``instances``, ``now_us``, ``state``, ``scores``.
        reads: columns of the instances.
    """

    def __init__(self, parameters: tuple[str, ...], reads: tuple[str, ...]) -> None:
        self._has_instances = "instances" in parameters
        self._has_scores = "scores" in parameters
        self._reads = reads
        self._instances = instances_type(reads)
        self._addresses: tuple[int, ...] = ()
        self._sizes: tuple[int, int] = (-1, -1)

    def arguments(self, *addresses: int) -> tuple[Any, ...]:
        """What the function is called with, from the addresses of words, numbers and state."""
        if addresses != self._addresses:
            self._addresses, self._sizes = addresses, (-1, -1)
            self._header = memory(addresses[0], ctypes.c_int64, VIEW_HEADER)
        header = self._header.tolist()
        sizes = header[_NUM_INSTANCES], header[_STATE_LENGTH]
        if sizes != self._sizes:
            self._look(*sizes)
        request = _new(Request, header[_FIRST:_BEHIND])
        if not self._has_instances:
            return request, header[_NOW_US], self._state
        instances = _new(self._instances, (header[_NOW_US], sizes[0], *self._columns))
        return request, instances, self._state, *self._scores

    def _look(self, num_instances: int, state_length: int) -> None:
        _, numbers, state = self._addresses
        self._sizes = num_instances, state_length
        self._state = memory(state, ctypes.c_double, state_length, writeable=True)
        self._columns = [self._column(name, num_instances) for name in self._reads]
        self._scores = []
        if self._has_scores:
            start = numbers + 8 * ViewNumber.SCORE * num_instances
            self._scores = [memory(start, ctypes.c_double, num_instances, writeable=True)]

    def _column(self, name: str, num_instances: int) -> NDArray[Any]:
        words, numbers, _ = self._addresses
        is_word, column = column_place(name)
        if is_word:
            return memory(words + 8 * (VIEW_HEADER + column * num_instances), ctypes.c_int64, num_instances)
        return memory(numbers + 8 * column * num_instances, ctypes.c_double, num_instances)


class BatchView:
    """Python's view on a step and the law's parameters.

    Args:
        num_parameters: how many there are.
    """

    def __init__(self, num_parameters: int) -> None:
        self._num_parameters = num_parameters
        self._address = 0

    def arguments(self, *aggregates_and_address: int) -> tuple[Any, ...]:
        """What the function is called with, from the seven aggregates and the address of the parameters."""
        *aggregates, address = aggregates_and_address
        if address != self._address:
            self._address = address
            self._parameters = memory(address, ctypes.c_double, self._num_parameters)
        return Batch(*aggregates), self._parameters
