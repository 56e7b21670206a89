"""Memory of a decision, filled by names, and calls through the pointers that the engine gets."""

import ctypes
from dataclasses import dataclass, field

import numpy as np

from blis._core.codes import VIEW_HEADER, ViewColumn, ViewNumber, ViewWord
from blis.compiled.function import address_of
from blis.policies.policy import INTEGER_COLUMNS

DOUBLE = ctypes.POINTER(ctypes.c_double)
DECISION = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 3)
PRIORITY = ctypes.CFUNCTYPE(ctypes.c_double, *[ctypes.c_void_p] * 3)
STEP_TIME = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 7, ctypes.c_void_p)


@dataclass
class View:
    """What a policy is shown. Keywords of `view` are names of words or columns, in lower case."""

    words: np.ndarray
    numbers: np.ndarray
    state: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def scores(self):
        n = self.words[ViewWord.NUM_INSTANCES]
        return self.numbers[ViewNumber.SCORE * n : (ViewNumber.SCORE + 1) * n]

    def put(self, **values):
        n = int(self.words[ViewWord.NUM_INSTANCES])
        for name, value in values.items():
            if name.upper() in ViewWord.__members__:
                self.words[ViewWord[name.upper()]] = value
            elif name in INTEGER_COLUMNS:
                start = VIEW_HEADER + ViewColumn[name.upper()] * n
                self.words[start : start + n] = value
            else:
                start = ViewNumber[name.upper()] * n
                self.numbers[start : start + n] = value
        return self

    def memory(self):
        self.words[ViewWord.STATE_LENGTH] = len(self.state)
        return self.words, self.numbers, self.state


def view(num_instances, policy=None, **values):
    """Zeros but for the values given; nan for scores; with the policy's state as a run begins."""
    words = np.zeros(VIEW_HEADER + len(ViewColumn) * num_instances, np.int64)
    words[ViewWord.NUM_INSTANCES] = num_instances
    seen = View(words, np.zeros(len(ViewNumber) * num_instances))
    seen.scores[:] = np.nan
    if policy is not None:
        seen.state = policy.initial_state(num_instances)
    return seen.put(**values)


def pointer(compiled, kind=DECISION):
    """The function at the address that the engine would call."""
    function = kind(address_of(compiled))
    function.owner = compiled  # alive as long as its address is known
    return function


def ask(policy, seen, kind=DECISION):
    """One decision."""
    return pointer(policy.compile(), kind)(*(block.ctypes.data for block in seen.memory()))
