"""A real vLLM run, where its data are at hand, through the commands of docs/accuracy.md."""

import json
import os
from pathlib import Path

import pytest
from helpers_docs import tables

from blis.cli.main import main

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("BLIS_SHARED", ROOT.parent / "shared"))
DEPLOYMENT = (
    *("--model", "meta-llama/llama-3.1-8b-instruct", "--hardware", "RTX-PRO-6000-Server", "--tp", "1"),
    *("--vllm-version", "0.19.0", "--max-num-seqs", "128", "--max-num-batched-tokens", "2048"),
    *("--front-end", "none"),
)

pytestmark = pytest.mark.slow
HELD = ("--hold", "alpha1_us_per_input_token")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    data = SHARED / "data" / "vllm-measured"
    if not data.exists():
        pytest.skip(f"{data} is not there; set BLIS_SHARED to the folder that holds data/")
    header = tmp_path_factory.mktemp("measured") / "measured.yaml"
    ids = ("--hash-ids", str(data / "workload_blocks.jsonl"), "--hash-block-tokens", "16")
    assert main(["convert", str(data / "requests.jsonl"), str(header), *ids]) == 0
    return ("--trace-header", str(header), "--trace-data", str(header.with_suffix(".csv")))


@pytest.fixture
def fitted(files, capsys):
    def fitted(*args):
        assert main(["fit", *files, *DEPLOYMENT, "--log", "error", *args]) == 0
        return json.loads(capsys.readouterr().out)

    return fitted


def assert_errors(judged, e2e, tpot, ttft, ttft_p50, throughput, mape):
    """Each error at most so large; of TTFT the median may be off further."""
    for name, most in (("e2e", e2e), ("tpot", tpot), ("ttft", ttft)):
        for figure in ("mean", "p50", "p90", "p99"):
            limit = ttft_p50 if (name, figure) == ("ttft", "p50") else most
            assert abs(judged[name][f"{figure}_error"]) <= limit, (name, figure)
    for name, most in mape.items():
        assert judged[name]["mape"] <= most, name
    if throughput is not None:
        assert abs(judged["throughput_error"]) <= throughput


def shown(judged):
    """Errors as the document has them, in per cent: a list per metric, and throughput's."""

    def percent(share):
        return f"{100 * share:+.1f}".replace("-", "\u2212")

    rows = {}
    for name in ("e2e", "tpot", "ttft"):
        errors = [percent(judged[name][f"{figure}_error"]) for figure in ("mean", "p50", "p90", "p99")]
        rows[name.upper()] = [*errors, f"{100 * judged[name]['mape']:.1f}"]
    return {**rows, "throughput": [percent(judged["throughput_error"]), "", "", "", ""]}


def test_the_document_has_these_errors(fitted):
    whole, half = ("--holdout", "0", *HELD), ("--holdout", "0.5", *HELD)
    three, five = fitted(*whole), fitted("--law", "extended", *whole)
    roofline, both, _, held_out = tables(ROOT / "docs" / "accuracy.md")[-4:]
    cells = [list(row.values()) for row in roofline]
    assert {row[0]: row[1:] for row in cells} == shown(three["before"]["training"])
    cells = [list(row.values())[1:] for row in both]
    assert {row[0]: row[1:] for row in cells[:4]} == shown(three["after"]["training"])
    assert {row[0]: row[1:] for row in cells[4:]} == shown(five["after"]["training"])
    judged = shown(fitted("--law", "extended", *half)["after"]["held_out"])
    assert {name: judged[name] for name in ("E2E", "TPOT", "TTFT")} == {
        row[0]: row[1:] for row in map(list, (one.values() for one in held_out))
    }


def test_the_document_has_these_coefficients(fitted):
    whole = ("--holdout", "0", *HELD)
    rows = tables(ROOT / "docs" / "accuracy.md")[-2]
    for values, widths, law in ((rows[0], rows[1], ()), (rows[2], rows[3], ("--law", "extended"))):
        found = fitted(*law, *whole)["coefficients"]
        digits = [(0, 0), (0, 0), (1, 1), (0, 1) if not law else (1, 0), (3, 3), (2, 2)]
        cells = [cell for cell in list(values.values())[1:] if cell]
        bounds = [cell for cell in list(widths.values())[1:] if cell]
        for one, cell, bound, (places, width_places) in zip(found, cells, bounds, digits, strict=False):
            assert cell == f"{one['value']:,.{places}f}"
            assert bound == f"± {one['high_95'] - one['value']:,.{width_places}f}"


def test_three_coefficients(fitted):
    found = fitted("--holdout", "0", *HELD)
    mape = {"e2e": 0.02, "tpot": 0.03, "ttft": 0.10}
    assert_errors(found["after"]["training"], 0.02, 0.025, 0.05, 0.10, 0.02, mape)
    assert found["doubts"] == []
    assert 2 < found["amplification"]["ttft"] < 3


def test_five_coefficients(fitted):
    found = fitted("--law", "extended", "--holdout", "0", *HELD)
    mape = {"e2e": 0.01, "tpot": 0.02, "ttft": 0.07}
    assert_errors(found["after"]["training"], 0.01, 0.015, 0.03, 0.05, 0.015, mape)


def test_five_coefficients_of_one_half_on_the_other(fitted):
    found = fitted("--law", "extended", "--holdout", "0.5", *HELD)
    assert found["measured"] == {"training": 150, "held_out": 150}
    mape = {"e2e": 0.03, "tpot": 0.04}
    assert_errors(found["after"]["held_out"], 0.03, 0.04, 0.02, 0.02, None, mape)


def test_the_roofline_as_it_stands(fitted):
    judged = fitted("--holdout", "0")["before"]["training"]
    assert_errors(judged, 0.15, 0.15, 1.0, 1.0, 0.20, {"ttft": 0.07})


def test_without_planning_ahead_who_finds_a_free_slot_is_a_step_early(fitted):
    assert fitted("--holdout", "0", "--no-async-scheduling")["before"]["training"]["ttft"]["mape"] > 0.14


def test_efficiency_and_host_are_not_told_apart(fitted, files, tmp_path, capsys):
    free = ("--law", "roofline", "--free", "host_step_us,weight_streaming")
    assert {text.split(":")[0] for text in fitted(*free)["doubts"]} == {"host_step_us", "weight_streaming"}
    entry = tmp_path / "gpu.json"
    assert main(["fit", *files, *DEPLOYMENT, *free, "--export", str(entry)]) == 1
    assert "gpu.json: not written: host_step_us: its interval is" in capsys.readouterr().err
    assert not entry.exists()
