"""``blis capacity`` on the command line: figures, table, and what goes wrong."""

import json

import pytest
from helpers_cli import ROUND

from blis.cli.main import main

QUICK = ("--num-requests", "500", "--replications", "2", "--tolerance", "0.1")
SLO = ("--slo", "p99_ttft=100ms")


def capacity(capsys, *args):
    assert main(["capacity", *map(str, args)]) == 0
    return capsys.readouterr()


def test_json_where_stdout_is_no_terminal(capsys):
    out, err = capacity(capsys, *ROUND, *SLO, "--slo", "e2e=20s", "--goodput", "0.95", *QUICK)
    result = json.loads(out)
    assert result["verdict"] == "found"
    assert result["rate_low95_per_s"] <= result["rate_per_s"] < result["rate_high95_per_s"]
    assert result["slos"] == {"p99_ttft": 100.0, "e2e": 20000.0}
    assert result["goodput"] == 0.95
    assert [row["rate_per_s"] for row in result["curve"]] == sorted(row["rate_per_s"] for row in result["curve"])
    assert err == ""


def test_table(capsys):
    out, _ = capacity(capsys, *ROUND, *SLO, *QUICK, "--output", "table")
    assert out.startswith("Capacity: ")
    assert "In the way of more: p99_ttft <= 100 ms" in out
    assert "|limit" in out


def test_what_cannot_be_found_is_said(capsys):
    out, _ = capacity(capsys, *ROUND, "--slo", "p50_ttft=1us", *QUICK, "--output", "table")
    assert out.startswith("No rate meets the SLOs: even at")
    assert "(p50_ttft <= 0.001 ms is asked for)" in " ".join(out.split())
    out, _ = capacity(capsys, *ROUND, *SLO, *QUICK, "--max-rate", 0.5, "--output", "table")
    assert out.startswith("No limit was found: the SLOs are met even at 0.5 requests per second")


def test_requests_turned_away_count_as_endless(capsys):
    """JSON has no number for that; people read a word."""
    strict = ("--admission-policy", "token-bucket", "--token-bucket-capacity", 600)
    out, _ = capacity(capsys, *ROUND, *SLO, *QUICK, *strict)
    assert {"strain": None, "p99_ttft_ms": None}.items() <= json.loads(out)["curve"][-1].items()
    out, _ = capacity(capsys, *ROUND, *SLO, *QUICK, *strict, "--output", "table")
    assert "p99_ttft is endless (p99_ttft <= 100 ms is asked for)" in " ".join(out.split())


def test_instances_for_a_rate(capsys):
    out, _ = capacity(capsys, *ROUND, *SLO, *QUICK[:4], "--for-rate", 40)
    result = json.loads(out)
    assert result["num_instances"] >= 2
    out, _ = capacity(capsys, *ROUND, *SLO, *QUICK[:4], "--for-rate", 40, "--max-instances", 1, "--output", "table")
    assert out.startswith("Not even 1 instances")


def test_traces(capsys, tmp_path):
    import polars as pl

    path = tmp_path / "trace.parquet"
    arrival_us = [500_000 * i for i in range(200)]
    frame = {"arrival_us": arrival_us, "input_tokens": [100] * 200, "output_tokens": [20] * 200}
    pl.DataFrame(frame).write_parquet(path)
    out, _ = capacity(
        capsys, *ROUND, "--slo", "p99_ttft=100ms", "--workload", "traces", "--workload-traces-filepath", path
    )
    result = json.loads(out)
    assert result["interval"] == "of bisection"
    assert result["rate_per_s"] > 2


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((), "Missing option '--slo'"),
        (("--slo", "p99_tfft=1s"), "--slo: unknown metric 'p99_tfft'; did you mean 'p99_ttft'"),
        (("--slo", "p99_ttft=1"), "--slo: no unit in"),
        ((*SLO, "--goodput", 0.9), "--goodput: needs a limit per request"),
        ((*SLO, "--for-rate", "nan"), "'nan' is no number > 0"),
        ((*SLO, "--for-rate", 3, "--tolerance", 0.1), "--for-rate and --tolerance cannot be combined"),
        ((*SLO, "--for-rate", 3, "--num-instances", 2), "--for-rate and --num-instances cannot be combined"),
        ((*SLO, "--max-instances", 3), "--max-instances needs --for-rate"),
        ((*SLO, "--tolerance", 0), "--tolerance: must be in"),
        ((*SLO, "--max-rate", "-1"), "--max-rate: must be a positive number"),
        ((*SLO, "--replications", 0), "--replications: must be in"),
        ((*SLO, "--rate", 3), "--rate"),
    ],
)
def test_wrong_usage_is_one_line(capsys, args, says):
    assert main(["capacity", *ROUND, *map(str, args)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert says in err
