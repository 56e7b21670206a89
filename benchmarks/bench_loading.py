"""How fast work is made ready for the engine: generation, trace files, block identities.

    pytest benchmarks/bench_loading.py

Kernels are compiled before anything is timed, and every result is checked.
"""

import numpy as np
import pytest
from workloads import NUM_REQUESTS, hundred_clients, independent, literal, write_csv_trace

from blis.workload.content import shared_blocks
from blis.workload.distribution import DistributionWorkload
from blis.workload.requests import LiteralTokens, RequestTable
from blis.workload.traces.loading import load_trace
from blis.workload.traces.parquet import write_parquet_trace


def grouped_table(num_requests, prompt_tokens, prefix_tokens, num_groups):
    """Random prompts of one length of which groups begin alike; 32 output tokens each."""
    rng = np.random.default_rng(0)
    length = prompt_tokens + 32
    tokens = rng.integers(0, 128_000, (num_requests, length), dtype=np.int32)
    prefixes = rng.integers(0, 128_000, (num_groups, prefix_tokens), dtype=np.int32)
    tokens[:, :prefix_tokens] = prefixes[np.arange(num_requests) % num_groups]
    content = LiteralTokens(tokens.ravel(), np.arange(num_requests + 1) * length)
    lengths = [np.full(num_requests, count) for count in (prompt_tokens, 32)]
    return RequestTable(np.arange(num_requests), *lengths, content)


def test_generate_1m_requests(benchmark, record):
    workload = DistributionWorkload(rate=20, num_requests=NUM_REQUESTS)
    table = benchmark(workload.requests, 42)
    assert len(table) == NUM_REQUESTS
    record("draw 1 M requests")


def test_generate_1m_requests_of_100_clients(benchmark, record):
    spec = hundred_clients(20)
    table = benchmark.pedantic(spec.requests, (42,), rounds=5, warmup_rounds=1)
    assert NUM_REQUESTS - 5 < len(table) <= NUM_REQUESTS  # sessions of five turns come whole
    assert len(np.unique(table.details.client.codes)) == 100
    record("draw 1 M requests of a spec of 100 clients", budget={"cpu_s": 2.0})


def test_identities_of_1m_requests_with_a_prefix(benchmark, record):
    table = DistributionWorkload(rate=20, num_requests=NUM_REQUESTS, prefix_tokens=300).requests(42)
    shared_blocks(table, 16)
    shared = benchmark(shared_blocks, table, 16)
    assert (shared.num_shared == 18).mean() > 0.99
    record("identities of the blocks of 1 M requests with a common prefix")


@pytest.mark.parametrize("groups", [1_000, 10_000])
def test_identities_of_20m_literal_tokens(benchmark, record, groups):
    table = grouped_table(20_000, 968, 640, groups)
    shared_blocks(table, 16)
    shared = benchmark(shared_blocks, table, 16)
    assert (shared.num_shared == 40).all()
    assert len(shared.parent) == 40 * groups
    record(f"identities of the blocks of 20 M token ids, {groups:,} prefixes of 640 tokens")


def test_load_1m_lengths_from_parquet(benchmark, record, tmp_path):
    path = tmp_path / "lengths.parquet"
    write_parquet_trace(independent(20), path)
    table = benchmark(load_trace, path)
    assert len(table) == NUM_REQUESTS
    record("load 1 M requests from Parquet, lengths only")


def test_load_token_ids_from_csv(benchmark, record, tmp_path):
    path = tmp_path / "tokens.csv"
    written = literal(20, 5_000)
    write_csv_trace(written, path)
    load_trace(path)
    table = benchmark(load_trace, path)
    assert (table.content.token_ids == written.content.token_ids).all()
    megabytes = path.stat().st_size / 1e6
    record(f"load {megabytes:.0f} MB of CSV with token ids", megabytes=megabytes)
