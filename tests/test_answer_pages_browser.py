"""Pages of capacities, plans, comparisons, sweeps and calibrations in a real browser."""

import pytest
from helpers_browser import (
    BROWSER,
    assert_offline_and_quiet,
    assert_printable,
    hover,
    open_page,
    rows_of,
    tooltip,
    wait_until,
)
from helpers_sizing import BATCHING
from test_answer_pages import LOAD, QUICK, SWEEP
from test_compare import run as compared_run
from test_plan import spec as plan_spec

import blis
from blis.studies.sweep.page import read_swept, write_sweep_report

pytestmark = [*BROWSER, pytest.mark.usefixtures("compiled_engine")]


@pytest.fixture(scope="module")
def capacity():
    return blis.capacity(BATCHING, LOAD, ["p99_ttft=50ms", "ttft=40ms"], **QUICK)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    path = tmp_path_factory.mktemp("sweep") / "s.parquet"
    blis.sweep(SWEEP, output=path)
    return path


@pytest.fixture(scope="module")
def pages(tmp_path_factory, capacity, swept):
    """Paths by name."""
    folder = tmp_path_factory.mktemp("pages")
    paths = {name: folder / f"{name}.html" for name in ("capacity", "plan", "comparison", "sweep")}
    capacity.write_report(paths["capacity"], ["capacity", "--model", "m"])
    blis.plan(plan_spec()).write_report(paths["plan"])
    blis.compare(compared_run(), compared_run(100)).write_report(paths["comparison"])
    write_sweep_report(swept, paths["sweep"])
    return paths


@pytest.mark.parametrize(
    ("name", "num_charts", "marks"),
    [("capacity", 2, "symbol"), ("plan", 2, "symbol"), ("comparison", 5, "rule"), ("sweep", 12, "line")],
)
def test_every_page_draws_all_of_its_charts_and_prints(browser, pages, name, num_charts, marks):
    page = open_page(browser, pages[name])
    assert_offline_and_quiet(page, pages[name])
    drawn = page.execute_script(
        "return [...document.querySelectorAll('figure .chart')].map(e => !!e.querySelector('svg'))"
    )
    assert drawn == [True] * num_charts
    assert page.execute_script(f"return document.querySelectorAll('.mark-{marks} path, .mark-{marks} line').length") > 0
    widths = page.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1]
    assert 1 <= assert_printable(page) <= 8


def test_hovering_over_a_rate_tells_its_figures(browser, pages, capacity):
    page = open_page(browser, pages["capacity"])
    hover(page, "#curve-p99-ttft .mark-symbol path")
    first = capacity.curve.row(0, named=True)
    text = tooltip(page)
    assert f"{first['p99_ttft_ms']:.4g}" in text
    assert first["backlog"] in text


def test_hovering_over_a_line_tells_its_point_and_stresses_it(browser, pages, swept):
    page = open_page(browser, pages["sweep"])
    hover(page, "#parallel .mark-symbol path:nth-last-child(1)")
    shown = dict(line.split("\t", 1) for line in tooltip(page).splitlines() if "\t" in line)
    number = int(next(value for key, value in shown.items() if key.startswith("point")))
    point = read_swept(swept).points.row(number, named=True)
    assert point["routing_policy"] in shown.values()
    assert f"{point['ttft_p99_ms']:.4g}" in shown.values()
    stressed = """
      return [...document.querySelectorAll("#parallel .mark-line path")].filter(
        line => line.getAttribute("stroke-width") == 3).length
    """
    wait_until(lambda: page.execute_script(stressed) == 1, "the line to be stressed")


def test_heat_maps_show_their_cells(browser, pages, swept):
    page = open_page(browser, pages["sweep"])
    rows = rows_of(page, "heat-rate-max-num-seqs-ttft-p99-ms", "value")
    assert len(rows) == 6
    text = "return [...document.querySelectorAll('#heat-rate-max-num-seqs-ttft-p99-ms .mark-text text')].length"
    assert page.execute_script(text) >= 6
