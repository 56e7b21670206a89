"""``--report`` of runs, replays and calibrations, and ``blis report``."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers_calibration import measured, simulated, steady, write_trace
from helpers_cli import ROUND
from helpers_report import specs

import blis
from blis.cli.main import main

pytestmark = pytest.mark.usefixtures("compiled_engine")

RUN = ("run", *ROUND, "--rate", "20", "--max-prompts", "80")


def figures(page):
    """The page without what only the run itself knows: its command, and what a full system would answer."""
    text = re.sub(r"<p class=\"text\">The same run.*?</pre>", "", page.read_text(), flags=re.S)
    return re.sub(r"\d+ % (of capacity|busy)", "", text)


def test_a_run_writes_its_page_and_outcomes_make_the_same_one(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*RUN, "--report", "a b.html", "--outcomes-path", "o.parquet", "--slo-targets", "default:500"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["completed_requests"]
    assert err == ""
    page = (tmp_path / "a b.html").read_text()
    assert "--report &#x27;a b.html&#x27;" in page
    assert "Attainment" in page
    assert re.search(r"\d+ % of capacity; p99 TTFT", page)

    def simulates(*_args, **_more):
        raise AssertionError("nothing is to be simulated")

    monkeypatch.setattr("blis.simulation.run_engine", simulates)
    assert main(["report", "o.parquet", "-o", "again.html", "--slo-targets", "default:500"]) == 0
    assert capsys.readouterr() == ("", "")
    again = (tmp_path / "again.html").read_text()
    assert "The same run" not in again
    assert figures(tmp_path / "again.html").split() == figures(tmp_path / "a b.html").split()


def test_a_page_of_outcomes_loads_no_more_than_it_needs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*RUN, "--outcomes-path", "o.parquet"]) == 0
    heavy = ("altair", "numba", "pandas", "polars", "scipy", "blis.studies.sweep.page")
    code = f"""
import sys
from blis.cli.main import main
assert main(["report", "o.parquet", "-o", "r.html"]) == 0
print([name for name in {heavy} if name in sys.modules])
"""
    variables = os.environ | {"PYTHONPATH": str(Path(blis.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_replay_writes_its_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*RUN, "--trace-output", "t"]) == 0
    assert main(["replay", *ROUND, "--trace-header", "t.yaml", "--trace-data", "t.csv", "--report", "r.html"]) == 0
    assert "blis replay --model m" in (tmp_path / "r.html").read_text()


def test_decisions_are_told_where_they_were_recorded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    traced = ("--num-instances", "3", "--trace-level", "decisions", "--counterfactual-k", "2", "--regret-samples", "2")
    assert main([*RUN, *traced, "--report", "r.html"]) == 0
    page = (tmp_path / "r.html").read_text()
    assert "<h2>Decisions</h2>" in page
    assert "Mean regret" in page
    assert "Own E2E regret" in page


def test_a_calibration_writes_a_page_or_json_by_suffix(tmp_path, capsys):
    trace = write_trace(tmp_path, measured(*steady()))
    simulated(*steady(factor=1.1)).write_parquet(tmp_path / "o.parquet")
    flags = ["--trace-header", trace.header, "--trace-data", trace.data, "--sim-outcomes", tmp_path / "o.parquet"]
    assert main(["calibrate", *map(str, flags), "--report", str(tmp_path / "r.html")]) == 0
    assert capsys.readouterr().out.startswith("{")
    page = (tmp_path / "r.html").read_text()
    assert "blis calibrate --trace-header" in page
    charts = specs(page)
    assert list(charts) == [
        *(f"{kind}-{name}" for kind in ("pairs", "cdf") for name in ("ttft", "e2e", "tpot")),
        "errors",
    ]
    assert "#0072B2" not in str(charts)  # colours are the page's


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["none.parquet", "-o", "r.html"], "none.parquet: cannot be read as Parquet: "),
        (["text.parquet", "-o", "r.html"], "text.parquet: cannot be read as Parquet: "),
        (["text.parquet", "-o", "text.parquet"], "text.parquet: given for both OUTCOMES and -o"),
        (["text.parquet", "-o", "no/r.html"], "no/r.html: there is no directory no"),
        (["text.parquet"], "Missing option '-o' / '--report'. (try 'blis report --help')"),
        (["text.parquet", "-o", "r.html", "--slo-targets", "a"], "'a'"),
    ],
)
def test_wrong_usage(args, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.parquet").write_text("text")
    assert main(["report", *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert len(err.splitlines()) == 1
    assert (tmp_path / "text.parquet").read_text() == "text"
    assert not (tmp_path / "r.html").exists()


def test_a_missing_extra_is_told_before_anything_is_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("blis.api.prepare", lambda *_args, **_more: pytest.fail("it ran"))
    for args in (RUN, ("report", str(tmp_path / "o.parquet"))):
        assert main([*args, "--report", str(tmp_path / "r.html")]) == 2
        line = capsys.readouterr().err
        assert line == (
            f"blis: error: {tmp_path}/r.html: plots need altair and vl_convert; "
            "install them with: pip install 'blis-sim[plots]'\n"
        )


def test_a_page_that_cannot_be_written_does_not_cost_the_figures(tmp_path, monkeypatch, capsys):
    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    assert main([*RUN, "--report", str(tmp_path / "r.html")]) == 1
    out, err = capsys.readouterr()
    assert "completed_requests" in out
    assert err == f"blis: error: {tmp_path}/r.html: No space left on device\n"


def test_commands_in_pages_hold_no_secret():
    """Commands that write their arguments into a page have no flag for anything secret."""
    from blis.cli.main import cli

    for name in ("run", "replay", "calibrate"):
        flags = {opt for param in cli.commands[name].params for opt in param.opts}
        assert not {flag for flag in flags if re.search("-key$|secret|password|bearer", flag)}, name


def test_outcomes_of_python_have_pages(tmp_path):
    outcomes = blis.simulate(
        blis.Deployment("m", alpha_coeffs=(100, 1, 10), beta_coeffs=(1000, 10, 1), total_kv_blocks=1000),
        blis.preset("chatbot", num_requests=5),
    )
    outcomes.write_report(tmp_path / "r.html", slo_targets_us={"default": 5000})
    assert "Attainment" in (tmp_path / "r.html").read_text()
