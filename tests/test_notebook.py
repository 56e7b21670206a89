"""What notebooks show of outcomes."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

import blis
from blis.report.charting import MOST_POINTS
from blis.report.plots import Plots

NOTEBOOK = Path(__file__).parent.parent / "examples" / "quickstart.ipynb"
METHODS = ("ttft_cdf", "latency_cdf", "timeline", "latency_vs_input")


@pytest.fixture(scope="module")
def outcomes():
    return blis.simulate(
        "meta-llama/llama-3.1-8b-instruct", blis.DistributionWorkload(rate=100, num_requests=MOST_POINTS + 500)
    )


def test_headline_figures_as_html(outcomes):
    text = outcomes._repr_html_()
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append(tag)
    parser.feed(text)
    assert set(tags) == {"p", "b", "table", "thead", "tbody", "tr", "th", "td"}
    assert "http" not in text
    assert f"{outcomes.summary['responses_per_sec']:,.2f}" in text


@pytest.mark.parametrize("method", METHODS)
def test_charts_are_valid_and_bounded(outcomes, method):
    spec = getattr(outcomes.plot, method)().to_dict()  # validates against the schema
    (rows,) = spec["datasets"].values()
    assert 0 < len(rows) <= MOST_POINTS


@pytest.mark.parametrize("method", METHODS)
def test_nothing_to_draw_is_an_empty_chart(method):
    nothing = blis.simulate(
        "meta-llama/llama-3.1-8b-instruct",
        blis.DistributionWorkload(num_requests=3),
        cluster=blis.ClusterOptions(admission_policy="reject-all"),
    )
    assert getattr(nothing.plot, method)().to_dict()


def test_charts_without_the_extra(outcomes, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(blis.InputError, match=r"pip install 'blis-sim\[plots\]'"):
        Plots(outcomes)


def test_the_example_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert all(
        cell["outputs"] == [] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code"
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:zmq", "ignore::DeprecationWarning:jupyter_client")
def test_the_example_runs():
    import nbclient
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    charts = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "vega" in output.get("data", {}).get("text/html", "")
    ]
    assert len(charts) == 3
