"""Measured times as sums of simulated steps.

Between a request's first and last token the server did nothing but steps; which ones, a simulation tells. So does it
for the time from a request's arrival to its first token, if the request did not have to queue: then that is the rest
of a step in flight, its queueing delay, and the steps of its prefill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blis.measurement.fit.laws import FreeLaw
from blis.measurement.fit.measured import Measured
from blis.simulation.result import EngineResult
from blis.simulation.steps import Steps
from blis.workload.requests import Ints

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Spans:
    """k measured times, each of which some of s steps explain.

    Attributes:
        law: what says how long the steps take.
        loads: (s, 7) their batches.
        first: (k,) the first step of each span.
        stop: (k,) behind its last one.
        measured_us: (k,) what the steps and delays of the span took.
        total_us: (k,) what an error is judged against, > 0.
        delays: (k, 2) how often each of alpha0 and alpha1 counts.
        place: (k,) when it was, in any unit: neighbours in it share their noise.
    """

    law: FreeLaw
    loads: Ints
    first: Ints
    stop: Ints
    measured_us: Floats
    total_us: Floats
    delays: Floats
    place: Ints

    def __len__(self) -> int:
        return len(self.first)

    def predicted_us(self, alpha: Floats, values: Floats) -> Floats:
        """(k,) what the law says of each span."""
        elapsed = np.concatenate(([0], np.cumsum(self.law.step_us(values.tolist(), self.loads))))
        predicted: Floats = elapsed[self.stop] - elapsed[self.first] + self.delays @ alpha
        return predicted


def waited_long(result: EngineResult, steps: Steps) -> NDArray[np.bool_]:
    """(n,) whether a request waited longer than any step took: its first token hangs on all that came before."""
    waits: NDArray[np.bool_] = result.first_started_us - result.enqueued_us > steps.duration_us.max()
    return waits


def request_spans(law: FreeLaw, measured: Measured, rows: Ints, result: EngineResult, steps: Steps) -> Spans:
    """What the requests in some rows took, by the steps of a simulation of all of them.

    Requests that waited long in the simulation (`waited_long`) give no time to their first token.
    """
    begun = np.searchsorted(steps.start_us, result.first_started_us)
    first_done = np.searchsorted(steps.end_us, result.first_token_us) + 1
    last_done = np.searchsorted(steps.end_us, result.finished_us) + 1
    waited_us = result.first_started_us - result.enqueued_us
    finished = result.finished_us >= 0
    is_streamed = measured.decode_us > 0
    decoding = rows[(finished & is_streamed)[rows]]
    prompt = rows[(finished & ~waited_long(result, steps))[rows]]
    until_us, done = np.where(is_streamed, (measured.ttft_us, first_done), (measured.e2e_us, last_done))
    # weights by what is measured would favour requests that happened to come at the right moment
    usual_us = result.enqueued_us - result.arrival_us + steps.end_us[done - 1] - result.first_started_us
    usual_us += int(steps.duration_us.mean())
    delays = np.column_stack((np.ones(len(prompt)), measured.table.input_tokens[prompt]))
    return Spans(
        law=law,
        loads=steps.loads,
        first=np.concatenate((first_done[decoding], begun[prompt])),
        stop=np.concatenate((last_done[decoding], done[prompt])),
        measured_us=np.concatenate((measured.decode_us[decoding], (until_us - waited_us)[prompt])).astype(np.float64),
        total_us=np.concatenate((measured.decode_us[decoding], usual_us[prompt])).astype(np.float64),
        delays=np.concatenate((np.zeros((len(decoding), 2)), delays)),
        place=np.concatenate((measured.sent_us[decoding], measured.sent_us[prompt])),
    )


def step_spans(law: FreeLaw, loads: Ints, duration_us: Floats) -> Spans:
    """Single steps whose lengths were measured."""
    at = np.arange(len(loads))
    return Spans(law, loads, at, at + 1, duration_us, duration_us, np.zeros((len(loads), 2)), at)


def predicted_us(parts: Sequence[Spans], alpha: Floats, values: Floats) -> Floats:
    """(k,) what the coefficients say of the spans of all parts."""
    return np.concatenate([part.predicted_us(alpha, values) for part in parts])
