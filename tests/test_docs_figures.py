"""Figures in tables of the documentation, computed again: those that no command beside them prints."""

import pytest
from helpers_docs import ROOT, tables
from helpers_sizing import ONE_SEAT, ONE_TOKEN, SERVICE_S, SINGLE
from test_capacity import md1_rate, scenarios
from test_stability import verdicts
from test_statistics import covers_mean, deterministic, share_covered, two_kinds

import blis

DOCS = ROOT / "docs"
CLOSED_FORM, TEN_LOADS = [table for table in tables(DOCS / "capacity.md") if "found" in str(table[0])][-2:]
COVERAGE, VERDICTS = tables(DOCS / "statistics.md")[-2:]
SERVICES = {"M/D/1": deterministic, "M/G/1": two_kinds}


@pytest.mark.parametrize("row", CLOSED_FORM, ids=lambda row: row["SLO"])
def test_capacities_beside_their_closed_form(row):
    wait_ms = int(row["SLO"].split()[1])
    found = blis.capacity(SINGLE, ONE_TOKEN, f"mean_scheduling_delay={wait_ms}ms", engine=ONE_SEAT)
    assert row["closed form, per second"] == f"{md1_rate(wait_ms / 1000, SERVICE_S):.2f}"
    assert row["found"] == f"{found.rate:.2f}"
    assert row["interval"] == f"{found.low:.2f} to {found.high:.2f}"


@pytest.mark.slow
@pytest.mark.parametrize("row", TEN_LOADS, ids=lambda row: row["Load"])
def test_capacities_of_ten_loads(row):
    deployment, workload, slos, options = next(rest for name, *rest in scenarios() if name == row["Load"])
    found = blis.capacity(deployment, workload, slos, **options)
    assert row["found"] == f"{found.rate:.4g}"
    assert row["interval"] == f"{found.low:.4g} to {found.high:.4g}"
    assert row["SLO that binds"] == found.binding
    assert abs(float(row["grid"]) / found.rate - 1) <= 0.013


@pytest.mark.slow
@pytest.mark.parametrize("column", [name for name in COVERAGE[0] if name != "Load"])
@pytest.mark.parametrize("row", COVERAGE, ids=lambda row: row["Load"])
def test_coverage_of_intervals(row, column):
    kind = column.split(",")[0]
    count = int(column.split(", ")[1].split()[0].replace(",", ""))
    share = share_covered(500, 5, covers_mean(float(row["Load"]), SERVICES[kind], count))
    assert float(row[column].rstrip(" %")) == pytest.approx(100 * share, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("column", [name for name in VERDICTS[0] if name != "Load"])
@pytest.mark.parametrize("row", VERDICTS, ids=lambda row: row["Load"])
def test_verdicts_on_the_backlog(row, column):
    kind, count = column.split(", ")
    trials = 60 if count == "100,000" else 300
    arrival_cv = {"Poisson": 1.0, "Gamma": 3.0}[kind]
    stable, overloaded, _ = verdicts(trials, int(count.replace(",", "")), float(row["Load"]), arrival_cv=arrival_cv)
    assert row[column] == f"{100 * stable:.0f} / {100 * overloaded:.0f}"
