"""How fast work is made ready for the engine: generation, trace files, block identities.

    pytest benchmarks/bench_loading.py

Kernels are compiled before anything is timed, and every result is checked.
"""

import numpy as np
import pytest

from blis.workload.content import shared_blocks
from blis.workload.distribution import DistributionWorkload, generate
from blis.workload.parquet_trace import write_parquet_trace
from blis.workload.requests import LiteralTokens, RequestTable
from blis.workload.trace import load_trace

NUM_REQUESTS = 1_000_000


def literal_table(num_requests, prompt_tokens, prefix_tokens, num_groups):
    """Random prompts of which groups begin alike; 32 output tokens each."""
    rng = np.random.default_rng(0)
    length = prompt_tokens + 32
    tokens = rng.integers(0, 128_000, (num_requests, length), dtype=np.int32)
    prefixes = rng.integers(0, 128_000, (num_groups, prefix_tokens), dtype=np.int32)
    tokens[:, :prefix_tokens] = prefixes[np.arange(num_requests) % num_groups]
    content = LiteralTokens(tokens.ravel(), np.arange(num_requests + 1) * length)
    lengths = [np.full(num_requests, count) for count in (prompt_tokens, 32)]
    return RequestTable(np.arange(num_requests), *lengths, content)


@pytest.fixture(scope="module")
def drawn():
    return generate(DistributionWorkload(rate=20, num_requests=NUM_REQUESTS, prefix_tokens=300), 42)


def test_generate_1m_requests(benchmark):
    workload = DistributionWorkload(rate=20, num_requests=NUM_REQUESTS)
    table = benchmark(generate, workload, 42)
    assert len(table) == NUM_REQUESTS


def test_identities_of_1m_requests_with_a_prefix(benchmark, drawn):
    shared_blocks(drawn, 16)
    shared = benchmark(shared_blocks, drawn, 16)
    assert (shared.num_shared == 18).mean() > 0.99


@pytest.mark.parametrize("groups", [1_000, 10_000])
def test_identities_of_20m_literal_tokens(benchmark, groups):
    table = literal_table(20_000, 968, 640, groups)
    shared_blocks(table, 16)
    shared = benchmark(shared_blocks, table, 16)
    assert (shared.num_shared == 40).all()
    assert len(shared.parent) == 40 * groups


def test_load_1m_lengths_from_parquet(benchmark, tmp_path, drawn):
    path = tmp_path / "lengths.parquet"
    write_parquet_trace(RequestTable(drawn.arrival_us, drawn.input_tokens, drawn.output_tokens), path)
    table = benchmark(load_trace, path)
    assert len(table) == NUM_REQUESTS


def test_load_token_ids_from_csv(benchmark, tmp_path):
    path = tmp_path / "tokens.csv"
    written = literal_table(5_000, 968, 0, 1)
    offsets, tokens = written.content.offsets, written.content.token_ids
    with path.open("w") as file:
        file.write("arrival_time,request_id,model,prefill_tokens,decode_tokens\n")
        for r in range(len(written)):
            prompt, output = (tokens[offsets[r] : offsets[r + 1]][part].tolist() for part in np.s_[:968, 968:])
            file.write(f'{r / 25},req_{r},m,"{prompt}","{output}"\n')
    load_trace(path)
    table = benchmark(load_trace, path)
    benchmark.extra_info["bytes"] = path.stat().st_size
    assert (table.content.token_ids == tokens).all()
