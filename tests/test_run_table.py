"""Figures of a run at a terminal: the same figures, in bounds of width, and JSON wherever there is no terminal."""

import json
import os
import pty
import re
import subprocess
import sys

import pytest
from helpers_cli import LLAMA
from helpers_outcomes import cluster_outcomes, make_outcomes, mixed_outcomes, served
from test_report import traced

import blis
from blis.cli.main import main
from blis.report.run_table import verdict
from blis.report.sections import Report
from blis.report.tables import sparkline

pytestmark = pytest.mark.usefixtures("compiled_engine")


def test_one_line_on_top_says_how_the_run_went():
    outcomes = make_outcomes([served(0, 1_000)])
    first = Report(outcomes).tables().splitlines()[0]
    assert re.fullmatch(r"too short to tell, \d+ % busy; p99 TTFT \d+ ms", first)


def test_overload_is_told_first():
    outcomes = blis.simulate(LLAMA[1], blis.DistributionWorkload(rate=200, num_requests=5000))
    growth = outcomes.steady_state.backlog.growth_per_s
    assert verdict(outcomes, outcomes.summary).startswith("overloaded, 100 % busy; the backlog grows by ")
    assert f"{growth:.3g} requests/s; p99 TTFT " in verdict(outcomes, outcomes.summary)
    assert verdict(outcomes, {**outcomes.summary, "interrupted": True}).startswith("interrupted; overloaded, ")
    assert "Long run" not in Report(outcomes).tables()


def test_a_long_run_has_intervals():
    outcomes = blis.simulate(LLAMA[1], blis.DistributionWorkload(rate=10, num_requests=2000))
    found = outcomes.steady_state.ttft
    text = Report(outcomes).tables()
    assert text.startswith("stable, ")
    assert f"mean TTFT, 95 %  {found.low / 1000:,.2f} to {found.high / 1000:,.2f} ms (effective sample size " in text


def test_all_sections_that_json_has():
    report = Report(traced(cluster_outcomes()), {"throughput": 1.0}, {"batch": 5_000}, summarize_trace=True)
    text = report.tables()
    for words in (
        *("TTFT", "ITL", "TPOT", "E2E", "Scheduling delay", "KV blocks, peak", "running", "waiting"),
        *("Instance", "SLO class", "Jain's index", "Fitness", "Anomalies", "Decisions", "sent to instance_10"),
    ):
        assert words in text
    assert max(map(len, text.splitlines())) <= 100


def test_what_is_missing_is_a_dash():
    text = Report(make_outcomes([])).tables()
    assert re.search(r"TTFT +- +- +- +- +-", text)
    assert "nan" not in text
    assert "None" not in text


def test_figures_are_those_of_the_summary():
    outcomes = mixed_outcomes()
    line = next(line for line in Report(outcomes).tables().splitlines() if line.startswith("E2E "))
    names = ("mean", "p50", "p90", "p95", "p99")
    assert line.split()[1:] == [f"{outcomes.summary[f'e2e_{name}_ms']:,.2f}" for name in names]


@pytest.mark.parametrize(("values", "bars"), [([0, 0], "▁▁"), ([0, 1, 2], "▁▅█"), ([], "")])
def test_sparklines(values, bars):
    assert sparkline(values) == bars


def test_json_where_there_is_no_terminal_and_where_it_is_asked_for(capsys):
    assert main(["run", *LLAMA]) == 0
    plain = capsys.readouterr().out
    assert json.loads(plain)["completed_requests"] == 100
    assert main(["run", *LLAMA, "--output", "json"]) == 0
    assert capsys.readouterr().out == plain
    assert main(["run", *LLAMA, "--output", "table"]) == 0
    assert "Latency (ms)" in capsys.readouterr().out


def test_quiet_leaves_errors_only(capsys, tmp_path):
    many = ("--num-requests", "5000", "--rate", "200")
    assert main(["run", *LLAMA, *many]) == 0
    assert "warning" in capsys.readouterr().err
    assert main(["run", *LLAMA, *many, "--quiet", "--log", "debug"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["run", *LLAMA, "--quiet", "--policy-config", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml" in capsys.readouterr().err


def on_a_terminal(columns, *args, **environment):
    """What a command prints on a terminal so wide."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "blis", *args],
        stdout=child,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color", **environment},
    )
    os.close(child)
    parts = []
    while True:
        try:
            part = os.read(parent, 1 << 16)
        except OSError:  # Linux: the other end is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(parent)
    assert process.wait(timeout=60) == 0
    return b"".join(parts).decode().replace("\r\n", "\n")


OVERLOADED = (
    "run",
    *LLAMA,
    "--rate",
    "300",
    "--num-requests",
    "12000",
    "--num-instances",
    "2",
    "--scenario",
    "mixed-slo",
)


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("args", [OVERLOADED, ("models",), ("hardware",), ("policies",), ("workloads",)])
def test_tables_fit_a_terminal_and_no_figure_is_cut(columns, args):
    text = re.sub(r"\x1b\[[0-9;]*m", "", on_a_terminal(columns, *args))
    lines = text.splitlines()
    assert max(map(len, lines)) <= columns
    assert "…" not in text


def test_no_colour_if_nobody_wants_it():
    text = on_a_terminal(80, "run", *LLAMA, NO_COLOR="1")
    assert "Latency (ms)" in text
    assert not re.search(r"\x1b\[[0-9;]*(3|4|9)\d[;m]", text)
