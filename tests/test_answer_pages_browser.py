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
from test_plan import FAST, SLOW
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
    paths = {name: folder / f"{name}.html" for name in ("capacity", "plan", "memory", "comparison", "sweep")}
    capacity.write_report(paths["capacity"], ["capacity", "--model", "m"])
    blis.plan(plan_spec()).write_report(paths["plan"])
    blis.gpu_memory(blis.Deployment("phi-4", hardware="L40S", tp=1)).write_report(paths["memory"])
    blis.compare(compared_run(), compared_run(100)).write_report(paths["comparison"])
    write_sweep_report(swept, paths["sweep"])
    return paths


@pytest.mark.parametrize(
    ("name", "num_charts", "marks"),
    [
        ("capacity", 2, "symbol"),
        ("plan", 2, "symbol"),
        ("memory", 1, "rect"),
        ("comparison", 5, "rule"),
        ("sweep", 16, "line"),
    ],
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


LABELS = """
  const boxes = [...document.querySelectorAll(`#${arguments[0]} .mark-text text`)].map(e => e.getBoundingClientRect());
  return boxes.map(b => [b.left, b.right, b.top, b.bottom]);
"""


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """The page of a plan with many deployments close together."""
    path = tmp_path_factory.mktemp("crowd") / "plan.html"
    same = [{**SLOW, "price_per_gpu_hour": 1 + place / 50} for place in range(12)]
    blis.plan(plan_spec(deployments=[FAST, *same])).write_report(path)
    return path


@pytest.mark.parametrize("width", [400, 700, 1300])
def test_labels_of_a_plan_do_not_overlap(browser, crowded, width):
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page = open_page(browser, crowded)
        for chart in ("cost-p99-ttft", "cost-mean-itl"):
            boxes = page.execute_script(LABELS, chart)
            assert len(boxes) > 2
            for number, (left, right, top, bottom) in enumerate(boxes):
                for other in boxes[:number]:
                    assert right <= other[0] or other[1] <= left or bottom <= other[2] or other[3] <= top
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("name", ["plan", "comparison", "sweep", "capacity"])
def test_no_chart_is_wider_than_its_place(browser, pages, name):
    size = {"width": 400, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page = open_page(browser, pages[name])
        beyond = page.execute_script("""
          return [...document.querySelectorAll(".chart")].map(
            e => e.querySelector("svg").getBoundingClientRect().right - e.getBoundingClientRect().right)
        """)
        assert max(beyond) < 1
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def column_of(page, table, place):
    script = """
      const table = document.querySelectorAll("table")[arguments[0]];
      return [...table.tBodies[0].rows].map(row => row.cells[arguments[1]].innerText);
    """
    return page.execute_script(script, table, place)


def test_a_click_on_a_heading_sorts(browser, pages, swept):
    page = open_page(browser, pages["sweep"])
    tables = page.execute_script("return document.querySelectorAll('table').length")
    headings = page.execute_script(
        f"return [...document.querySelectorAll('table')[{tables - 1}].tHead.rows[0].cells].map(e => e.innerText)"
    )
    place = headings.index("p99 TTFT, ms")
    click = f"document.querySelectorAll('table')[{tables - 1}].tHead.rows[0].cells[{place}].firstChild.click()"
    before = column_of(page, tables - 1, place)
    numbers = [float(text.replace(",", "")) for text in before]
    page.execute_script(click)
    assert [float(text.replace(",", "")) for text in column_of(page, tables - 1, place)] == sorted(numbers)
    page.execute_script(click)
    assert [float(text.replace(",", "")) for text in column_of(page, tables - 1, place)] == sorted(numbers)[::-1]
    points = column_of(page, tables - 1, 0)
    assert sorted(map(int, points)) == list(range(len(read_swept(swept).points)))
    policies = headings.index("routing_policy")
    page.execute_script(click.replace(f"cells[{place}]", f"cells[{policies}]"))
    assert column_of(page, tables - 1, policies) == sorted(column_of(page, tables - 1, policies))


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
