"""What the benchmarks serve, the same in every run: requests, engines, laws of step time, trace files."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from blis.config.defaults import load_defaults
from blis.config.hardware import load_hardware
from blis.config.huggingface import shipped_config_folder
from blis.config.model.reading import read_model
from blis.config.schema import EngineConfig
from blis.latency.blackbox import blackbox_model
from blis.latency.roofline import roofline_model
from blis.workload.client_spec import ClientSpec, MultiTurn, OpenLoop
from blis.workload.distribution import DistributionWorkload
from blis.workload.lengths import (
    Empirical,
    Exponential,
    Gaussian,
    Lengths,
    LogNormal,
    ParetoLogNormal,
    clamped_normal,
)
from blis.workload.requests import MOST_US, LiteralTokens, RequestTable, Sessions, TokenStreams
from blis.workload.spec import WorkloadSpec

MODEL = "meta-llama/llama-3.1-8b-instruct"
NUM_REQUESTS = 1_000_000
#: So many KV blocks that memory never binds; the other has what makes 11 requests per second tight.
AMPLE = EngineConfig(total_kv_blocks=1_000_000)
TIGHT = EngineConfig(total_kv_blocks=2_537)
#: vLLM up to 0.8.4 takes 64 tokens' worth of blocks beyond need.
PREALLOCATING = EngineConfig(total_kv_blocks=1_000_000, preallocated_tokens=64)

SEED = 42


def blackbox():
    """Published coefficients of `MODEL` on two H100."""
    row = load_defaults().find(MODEL, "H100", 2, "0.8.4")
    return blackbox_model(row.alpha, row.beta)


def roofline():
    """The analytical model of `MODEL` on one H100."""
    return roofline_model(read_model(shipped_config_folder(MODEL)), load_hardware().get("H100"), 1, "full")


def independent(rate, num_requests=NUM_REQUESTS):
    """Requests that share nothing: Poisson arrivals, 512 ± 256 input and 512 ± 256 output tokens."""
    return DistributionWorkload(rate=rate, num_requests=num_requests).requests(SEED)


def prefix_groups(rate, groups=1_000, prefix_tokens=300):
    """The same with a prefix before every prompt, each time one of so many."""
    table = independent(rate)
    group = np.random.default_rng(SEED).integers(0, groups, len(table))
    parent = np.concatenate([np.full(groups, -1), group])
    fork_tokens = np.concatenate([np.zeros(groups, np.int64), np.full(len(table), prefix_tokens)])
    content = TokenStreams(groups + np.arange(len(table)), parent, fork_tokens)
    return RequestTable(table.arrival_us, prefix_tokens + table.input_tokens, table.output_tokens, content)


def sessions(rate, turns=10, gap_s=30):
    """Conversations: a turn's prompt is all that was said before and 150 ± 50 new tokens; a turn every 30 s."""
    count = NUM_REQUESTS // turns
    rng = np.random.default_rng(SEED)
    new, output = (
        clamped_normal(rng, NUM_REQUESTS, mean=150, stdev=50, minimum=2, maximum=7000).reshape(count, turns)
        for _ in range(2)
    )
    new[:, 0] += 100  # a system prompt
    prompt = np.cumsum(new + output, axis=1) - output
    start_us = np.sort(rng.uniform(0, NUM_REQUESTS / rate * 1e6, count))
    arrival_us = (start_us[:, np.newaxis] + np.arange(turns) * gap_s * 1e6).astype(np.int64)
    content = TokenStreams(np.repeat(np.arange(count), turns), np.full(count, -1), np.zeros(count, np.int64))
    return RequestTable(arrival_us.ravel(), prompt.ravel(), output.ravel(), content)


def closed_sessions(rate, turns=10, think_s=30):
    """The same as a closed loop: a turn is sent so long after the answer to the one before."""
    table = sessions(rate, turns, think_s)
    rows = np.arange(len(table))
    opens = rows % turns == 0
    after, think_us = np.where(opens, -1, rows - 1), np.where(opens, 0, think_s * 1_000_000)
    return replace(table, sessions=Sessions(rows // turns, rows % turns, after, think_us))


def waiting_users(num_requests, users=16, prompt_tokens=1024, output_tokens=128):
    """Users who each send the next request as soon as the last one is answered; all requests are alike."""
    rows = np.arange(num_requests)
    none, ones = np.zeros(num_requests, np.int64), np.ones(num_requests, np.int64)
    after = np.where(rows < users, -1, rows - users)
    users_of = Sessions(rows % users, none, after, none)
    return RequestTable(none, prompt_tokens * ones, output_tokens * ones, sessions=users_of)


def hundred_clients(rate):
    """Every arrival process with five kinds of lengths, ten prefix groups; every tenth client holds sessions."""
    arrivals = (("poisson", 1.0), ("constant", 1.0), ("gamma", 2.5), ("weibull", 1.5))
    lengths = (
        Gaussian(512.0, 256.0),
        Exponential(512.0),
        LogNormal(6.0, 0.8),
        ParetoLogNormal(1.5, 400.0, 5.5, 1.0, 0.2),
        Empirical((64.0, 128.0, 2048.0), (0.5, 0.3, 0.2)),
    )
    think_time = Lengths(Exponential(30e6), 0, MOST_US)
    clients = tuple(
        ClientSpec(
            f"client_{k}",
            OpenLoop(1.0 + k % 7, *arrivals[k % 4]),
            Lengths(lengths[k % 5], 1, 7_000),
            Lengths(lengths[k // 5 % 5], 1, 7_000),
            prefix_group=f"group_{k // 10}",
            multi_turn=MultiTurn(5, think_time, accumulate=True) if k % 10 == 9 else None,
        )
        for k in range(100)
    )
    return WorkloadSpec(clients, aggregate_rate=rate, num_requests=NUM_REQUESTS)


def literal(rate, num_requests, vocabulary=2**15, groups=100, prefix_tokens=256):
    """Requests with token ids, about 1,000 each; each prompt begins as its group's does."""
    lengths = independent(rate, num_requests)
    offsets = np.concatenate(([0], np.cumsum(lengths.input_tokens + lengths.output_tokens)))
    rng = np.random.default_rng(SEED)
    tokens = rng.integers(0, vocabulary, offsets[-1], dtype=np.int32)
    prefixes = rng.integers(0, vocabulary, (groups, prefix_tokens), dtype=np.int32)
    for row, (start, prompt) in enumerate(zip(offsets.tolist(), lengths.input_tokens.tolist(), strict=False)):
        common = min(prompt, prefix_tokens)
        tokens[start : start + common] = prefixes[row % groups, :common]
    return RequestTable(lengths.arrival_us, lengths.input_tokens, lengths.output_tokens, LiteralTokens(tokens, offsets))


def write_csv_trace(table: RequestTable, path: Path):
    """Write requests with token ids as a CSV trace."""
    tokens = table.content.token_ids
    names = np.array([str(token) for token in range(tokens.max() + 1)], dtype=object)
    with path.open("w") as file:
        file.write("arrival_time,request_id,model,prefill_tokens,decode_tokens\n")
        for row, (start, end) in enumerate(pairwise(table.content.offsets.tolist())):
            middle = start + int(table.input_tokens[row])
            prompt, output = (",".join(names[tokens[part]]) for part in (slice(start, middle), slice(middle, end)))
            file.write(f'{table.arrival_us[row] / 1e6},req_{row},m,"[{prompt}]","[{output}]"\n')
