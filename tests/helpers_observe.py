"""Small workloads, and how tests measure with them."""

import numpy as np

from blis.measurement.observe.observing import observe
from blis.measurement.observe.options import ObserveOptions
from blis.workload.requests import RequestTable, Sessions
from blis.workload.traces.tracev2.records import STATUSES
from blis.workload.traces.tracev2.tracev2 import read_tracev2, trace_paths


def table_of(arrival_ms, input_tokens=20, output_tokens=4, **more):
    """Requests at some times, alike in length unless told otherwise."""
    arrival_us = np.array(arrival_ms, dtype=np.int64) * 1000
    lengths = (np.broadcast_to(np.array(tokens), arrival_us.shape) for tokens in (input_tokens, output_tokens))
    return RequestTable(arrival_us, *lengths, **more)


def sessions_of(session, turn, after, think_ms=0):
    think_us = np.where(np.array(after) >= 0, np.array(think_ms) * 1000, 0)
    return Sessions(np.array(session), np.array(turn), np.array(after), think_us)


def measure(folder, url, table, *, seed=42, horizon_us=None, tokenizer=None, chunk_times=None, **options):
    """Measure; gives summary and records."""
    chosen = ObserveOptions(url, "m", **options)
    where = {"seed": seed, "horizon_us": horizon_us, "tokenizer": tokenizer, "chunk_times": chunk_times}
    observation = observe(table, chosen, folder / "t", **where)
    return observation.summary, records_in(folder)


def records_in(folder):
    return read_tracev2(trace_paths(folder / "t")[0])[1]


def statuses(records):
    return [STATUSES[code] for code in records.status]


def errors(records):
    names = (*records.error_message.names, "")
    return [names[code] for code in records.error_message.codes]
