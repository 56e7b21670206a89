"""What runs say of their steady state."""

import json

import numpy as np
import pytest
from helpers_cli import ROUND
from helpers_outcomes import make_outcomes, served

import blis
from blis._core.codes import RequestStatus
from blis.cli.main import main

#: About 20 tokens of output at 1 ms a step: one seat serves 48 requests a second.
ONE_SEAT = (*ROUND, "--max-num-running-reqs", "1", "--prompt-tokens", "5", "--prompt-tokens-max", "6")
ONE_SEAT += ("--prompt-tokens-stdev", "0", "--output-tokens", "20", "--output-tokens-stdev", "0")


def printed(capsys, *args):
    assert main(["run", *map(str, args)]) == 0
    out, err = capsys.readouterr()
    return json.loads(out), err


def test_a_run_that_keeps_up(capsys):
    metrics, err = printed(capsys, *ONE_SEAT, "--rate", 20, "--max-prompts", 5_000)
    found = metrics["steady_state"]
    assert found["verdict"] == "stable"
    for name in ("e2e", "ttft"):
        low, high = found[f"{name}_mean_ms_ci95"]
        assert low < metrics[f"{name}_mean_ms"] < high < 1.5 * low
    assert 10 < found["effective_sample_size"] < 5_000
    assert "overloaded" not in err


def test_an_overloaded_run_warns_once_and_gives_no_intervals(capsys):
    metrics, err = printed(capsys, *ONE_SEAT, "--rate", 100, "--max-prompts", 2_000)
    found = metrics["steady_state"]
    assert found["verdict"] == "overloaded"
    assert found["e2e_mean_ms_ci95"] is found["ttft_mean_ms_ci95"] is found["effective_sample_size"] is None
    warnings = [line for line in err.splitlines() if "overloaded" in line]
    assert len(warnings) == 1
    assert warnings[0].startswith("blis: warning: overloaded: the backlog grows by ")
    served_per_s = metrics["responses_per_sec"]  # its backlog drained in the end, at the same rate
    assert float(warnings[0].split(" by ")[1].split()[0]) == pytest.approx(100 - served_per_s, rel=0.1)


def test_a_short_run_cannot_tell(capsys):
    metrics, err = printed(capsys, *ONE_SEAT, "--rate", 100, "--max-prompts", 5)
    assert metrics["steady_state"] == {
        "verdict": "too short to tell",
        "load": None,
        "peak_arrivals_per_s": None,
        "overloaded_s": None,
        "warm_up_requests": 0,
        "e2e_mean_ms_ci95": None,
        "ttft_mean_ms_ci95": None,
        "effective_sample_size": None,
    }
    assert err == ""


def test_the_file_says_what_the_run_said(tmp_path):
    outcomes = blis.simulate(
        blis.Deployment("m", alpha_coeffs=(100, 1, 10), beta_coeffs=(1000, 10, 1), total_kv_blocks=1_000),
        blis.DistributionWorkload(rate=5, num_requests=500),
    )
    outcomes.write_parquet(tmp_path / "o.parquet")
    again = blis.Outcomes.read_parquet(tmp_path / "o.parquet").steady_state
    assert (again.backlog, again.e2e, again.ttft) == (
        outcomes.steady_state.backlog,
        outcomes.steady_state.e2e,
        outcomes.steady_state.ttft,
    )


def test_requests_that_were_turned_away_are_no_backlog():
    rng = np.random.default_rng(1)
    arrivals = np.cumsum(rng.integers(1, 20_000, 2_000))
    rejected = RequestStatus.REJECTED
    rows = [served(int(at), 1_000) for at in arrivals]
    rows += [(int(at) + 1, 10, 5, -1, -1, -1, 0, rejected, 0) for at in arrivals]
    outcomes = make_outcomes(rows, end_us=int(arrivals[-1]) + 2_000)
    assert outcomes.steady_state.verdict == "stable"
    assert outcomes.steady_state.figures()["e2e_mean_ms_ci95"] == [1.0, 1.0]


def test_a_warm_up_is_left_out_of_both():
    """The first 500 of 4,000 requests take ten times as long."""
    noise = np.random.default_rng(2).integers(0, 100, 4_000)
    rows = [served(10_000 * i, int(noise[i]) + (10_000 if i < 500 else 1_000)) for i in range(4_000)]
    found = make_outcomes(rows, end_us=41_000_000).steady_state
    assert found.warm_up_requests == 500
    assert found.e2e.mean == found.ttft.mean == pytest.approx(1_050, abs=5)


def test_nothing_arrived():
    assert make_outcomes([], end_us=0).steady_state.verdict == "too short to tell"
