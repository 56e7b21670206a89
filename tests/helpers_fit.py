"""Measurements with known coefficients: what the engine itself did, with noise on every step."""

import functools

import numpy as np

from blis._core.codes import StepLog
from blis.config.schema import EngineConfig
from blis.latency.law import LatencyModel, compile_law
from blis.simulation import Run
from blis.simulation.steps import steps_of
from blis.workload.requests import RequestTable
from blis.workload.traces.tracev2.header import TraceHeader
from blis.workload.traces.tracev2.records import OK, TraceRecords, no_labels
from blis.workload.traces.tracev2.tracev2 import write_tracev2


def noisy_model(alpha, beta, noise):
    """The blackbox law, each step longer or shorter by up to ``noise`` (a fraction, uniform), drawn from its batch."""
    parameters = np.array([*beta, *[0.0] * (5 - len(beta)), noise])
    return LatencyModel("noisy", (*alpha, 0.0), _compiled, parameters)


@functools.cache
def _compiled():
    return compile_law(_noisy)


def _noisy(prefill, decodes, context, pairs, prefill_context, prefills, longest, p):
    mixed = 1.0 + p[4] if prefill > 0 else 1.0
    mean = p[0] + p[1] * prefill + p[2] * decodes + p[3] * context * mixed
    word = (context * 2654435761 + pairs * 40503 + decodes * 97 + 12345) % 2147483647
    word = (word * 48271) % 2147483647
    word = (word * 48271) % 2147483647
    return max(1, int(mean * (1.0 + p[5] * (2.0 * word / 2147483647.0 - 1.0))))


def poisson(seed, count, rate, prompt=(50, 1500), output=(20, 300)):
    """Requests of evenly spread lengths."""
    rng = np.random.default_rng(seed)
    arrival = np.cumsum(rng.exponential(1e6 / rate, count)).astype(np.int64)
    return RequestTable(arrival, rng.integers(*prompt, count), rng.integers(*output, count))


def measure(prefix, table, latency, *, max_num_seqs=256, rtt_us=0, jitter_us=0, header=None):
    """Write what a server with this law would have been measured to do, as a TraceV2; also its steps."""
    engine = EngineConfig(total_kv_blocks=100_000, max_num_running_reqs=max_num_seqs)
    run = Run(table, engine, latency, log_steps=StepLog.LOADS)
    run.load()
    run.advance()
    result, count = run.result(), len(table)
    jitter = np.random.default_rng(1).integers(0, jitter_us + 1, (2, count))
    nothing, nobody = np.zeros(count, np.int64), no_labels(count)
    records = TraceRecords(
        request_id=np.arange(count),
        client=nobody,
        tenant=nobody,
        slo_class=nobody,
        session=nobody,
        round_index=nothing,
        prefix_group=nobody,
        streaming=np.full(count, True),
        input_tokens=table.input_tokens,
        output_tokens=table.output_tokens,
        modality_tokens=np.zeros((count, 4), np.int64),
        reason_ratio=np.zeros(count),
        arrival_us=table.arrival_us,
        send_us=table.arrival_us,
        first_chunk_us=result.first_token_us + rtt_us + jitter[0],
        last_chunk_us=result.finished_us + rtt_us + jitter[1],
        num_chunks=table.output_tokens,
        status=np.full(count, OK),
        error_message=nobody,
    )
    write_tracev2(prefix, header or TraceHeader("real", measured_rtt_ms=rtt_us / 1000), records, table)
    return steps_of(run.steps())
