"""What clients see behind a network: latencies by hand, and where they are reported."""

import dataclasses
import json

import numpy as np
import pytest
from helpers_outcomes import CLIENT_US, mixed_outcomes

from blis.outcomes.metrics.network import client_e2e_us, client_ttft_us, transfer_us
from blis.outcomes.outcomes import Outcomes
from blis.workload.requests import ClientDetails, Labels


def with_network(outcomes, rtt_us, bandwidth_mbps):
    """The same outcomes for clients of whom that is known."""
    count = len(outcomes)
    none, zeros = Labels(np.full(count, -1), ()), np.zeros(count, np.int64)
    details = ClientDetails(
        client=none,
        prefix_group=none,
        prefix_tokens=zeros,
        streaming=np.zeros(count, np.bool_),
        modality_tokens=np.zeros((count, 4), np.int64),
        reason_ratio=np.zeros(count),
        rtt_us=np.full(count, rtt_us),
        bandwidth_mbps=np.full(count, float(bandwidth_mbps)),
    )
    return dataclasses.replace(outcomes, table=dataclasses.replace(outcomes.table, details=details))


def test_transfers_take_four_bytes_per_token():
    """1000 tokens are 32,000 bits: 3.2 ms at 10 Mbit/s."""
    assert transfer_us(np.array([1000, 0, 1000]), np.array([10.0, 10.0, 0.0])).tolist() == [3200.0, 0.0, 0.0]


def test_client_latencies_by_hand():
    """Request 0 has 64 input and 4 output tokens: 1024 µs up and 64 µs down at 2 Mbit/s, 5 ms there and back."""
    outcomes = with_network(mixed_outcomes(), 5_000, 2)
    server_ttft_us, server_e2e_us = 2_000 + CLIENT_US, 8_000 + 4 * CLIENT_US
    assert client_ttft_us(outcomes)[0] == server_ttft_us + 5_000 + 1_024
    assert client_e2e_us(outcomes)[0] == server_e2e_us + 5_000 + 1_024 + 64
    assert client_ttft_us(outcomes)[3:].tolist() == [-1] * 5  # never got a token
    assert client_e2e_us(outcomes)[2] == -1  # never finished
    assert outcomes.ttft_us()[0] == server_ttft_us


def test_reported_beside_the_servers_figures(tmp_path):
    plain = mixed_outcomes()
    outcomes = with_network(plain, 5_000, 0)
    figures = outcomes.summary
    assert figures["client_ttft_mean_ms"] == pytest.approx(figures["ttft_mean_ms"] + 5)
    assert figures["client_e2e_p99_ms"] == pytest.approx(figures["e2e_p99_ms"] + 5)
    assert {key: value for key, value in figures.items() if not key.startswith("client_")} == plain.summary
    outcomes.write_json(tmp_path / "r.json")
    first, other = json.loads((tmp_path / "r.json").read_text())["requests"][:2]
    assert first["client_ttft_ms"] == pytest.approx(first["ttft_ms"] + 5)
    assert other["client_e2e_ms"] == pytest.approx(other["e2e_ms"] + 5)
    outcomes.write_parquet(tmp_path / "o.parquet")
    again = Outcomes.read_parquet(tmp_path / "o.parquet")
    assert again.summary == figures
    assert again.requests["client_ttft_us"][0] == outcomes.requests["ttft_us"][0] + 5_000
    assert again.requests["client_e2e_us"][2] is None


def test_nothing_is_said_where_nothing_is_known():
    for outcomes in (mixed_outcomes(), with_network(mixed_outcomes(), 0, 0)):
        assert not [key for key in outcomes.summary if key.startswith("client_")]
        assert not [name for name in outcomes.requests.columns if name.startswith("client_")]
