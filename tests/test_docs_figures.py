"""Figures in tables of the documentation, computed again: those that no command beside them prints."""

import dataclasses

import pytest
from helpers_docs import ROOT, tables
from helpers_sizing import ONE_SEAT, ONE_TOKEN, SERVICE_S, SINGLE
from test_capacity import md1_rate, scenarios
from test_changing_load import verdicts as verdicts_on_changes
from test_hardware import OWN_GUESSES
from test_kv_capacity import L70B, QWEN
from test_kv_capacity import capacity as kv_capacity
from test_roofline import VECTORS, architecture
from test_stability import verdicts
from test_statistics import covers_mean, deterministic, share_covered, two_kinds

import blis
from blis.config.hardware import load_hardware
from blis.latency.roofline import roofline_model, step_terms

DOCS = ROOT / "docs"
CLOSED_FORM, TEN_LOADS = [table for table in tables(DOCS / "capacity.md") if "found" in str(table[0])][-2:]
COVERAGE, VERDICTS, CHANGING = tables(DOCS / "statistics.md")[-3:]
SERVICES = {"M/D/1": deterministic, "M/G/1": two_kinds}


@pytest.mark.parametrize("row", CLOSED_FORM, ids=lambda row: row["SLO"])
@pytest.mark.slow
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
    assert abs(float(row["grid"]) / found.rate - 1) <= 0.0125


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


@pytest.mark.slow
@pytest.mark.parametrize("column", [name for name in CHANGING[0] if name != "Peak"])
@pytest.mark.parametrize("row", CHANGING, ids=lambda row: row["Peak"])
def test_verdicts_on_changing_loads(row, column):
    course, count = column.lower().split(", ")
    stable, overloaded = verdicts_on_changes(100, int(count.replace(",", "")), course, float(row["Peak"]))
    assert row[column] == f"{100 * stable:.0f} / {100 * overloaded:.0f}"


def table_with(page, column):
    """The one table of a page with such a column."""
    (found,) = [table for table in tables(DOCS / page) if column in table[0]]
    return found


def test_reference_steps_of_the_roofline():
    shown = [int(row["step µs"].replace(",", "")) for row in table_with("roofline.md", "step µs")]
    steps = []
    for (name, gpu, tp, profile, *ranks), prefills, decodes, *_ in VECTORS:
        figures = (architecture(name), load_hardware().get(gpu), tp, profile)
        law = roofline_model(*figures, data_parallel_ranks=ranks[0] if ranks else 1)
        steps.append(int(step_terms(law, prefills=prefills, decodes=decodes).step_us))
    assert shown == steps[3:]


def test_figures_of_gpus():
    gpus = load_hardware().gpus
    for row, gpu in zip(table_with("roofline.md", "16 bit TFLOPS"), gpus, strict=True):
        figures = (
            *(gpu.peak_16bit_tflops, *map(gpu.peak_of, ("fp8", "int8", "fp4")), gpu.memory_bandwidth_gb_per_s),
            *(gpu.nominal_memory_gib, gpu.visible_memory_gib, gpu.num_sms, gpu.link_gb_per_s),
            *(gpu.link_domain_gpus, gpu.pcie_generation, gpu.network_gb_per_s),
        )
        shown = ["–" if figure is None else f"{figure:g}" for figure in figures]
        assert list(row.values()) == [gpu.name, *shown]
    with_own = [gpu for gpu in gpus if gpu.status == "measured" or gpu.name in OWN_GUESSES]
    for row, gpu in zip(table_with("roofline.md", "e16"), with_own, strict=True):
        reduce = [figure for count in (2, 4, 8) for figure in dataclasses.astuple(gpu.all_reduce[count])]
        figures = [*dataclasses.astuple(gpu.efficiency), gpu.prefill_extra_context_tokens, *reduce]
        assert [row["GPU"], *map(float, list(row.values())[1:-1])] == [gpu.name, *figures]
        assert row["status"] == gpu.status


def test_kv_capacities_beside_those_that_vllm_reported():
    models = {
        **{"Llama-2-7B": "llama-2-7b-hf", "Llama-3.1-70B": L70B, "Qwen2.5-7B": QWEN, "Yi-34B": "yi-34b"},
        "Mistral-Nemo": "mistral-nemo-instruct-2407",
    }
    for row in table_with("memory.md", "derived"):
        blocks = kv_capacity(models[row["model"]], "H100", int(row["TP"]), int(row["T"]), sequences=128).plan.num_blocks
        reported = int(row["vLLM"].replace(",", ""))
        error = f"{100 * (blocks / reported - 1):+.1f} %".replace("-", "\u2212")
        assert row["derived"] == f"{blocks:,}"
        assert row["column 5"].lstrip("+\u2212") == error.lstrip("+\u2212")
