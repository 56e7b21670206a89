"""Pages in a real browser: they draw without a network, show the data's own values, answer the pointer, and print."""

import re

import numpy as np
import pytest
from helpers_browser import (
    BROWSER,
    assert_offline_and_quiet,
    assert_printable,
    hover,
    luminance,
    open_page,
    rows_of,
    tooltip,
    wait_until,
)
from helpers_report import TARGETS_US, busy_run

from blis.outcomes.metrics.timeline import MOST_BINS, timeline
from blis.report.run_page import write_run_page
from blis.report.sections import Report

pytestmark = BROWSER

CHARTS = {
    *("incidents", "load", "timeline", "breakdown", "cdf-ttft", "cdf-itl", "cdf-e2e", "scatter-ttft", "scatter-e2e"),
    *("requests", "tokens"),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    made = tmp_path_factory.mktemp("page") / "r.html"
    write_run_page(Report(busy_run(), slo_targets_us=TARGETS_US), made, ["run", "--seed", "1"])
    return made


@pytest.fixture
def page(browser, path):
    return open_page(browser, path)


def test_it_draws_everything_without_errors_or_requests(page, path):
    assert_offline_and_quiet(page, path)
    drawn = page.execute_script("return [...document.querySelectorAll('.chart')].filter(e => e.querySelector('svg'))")
    assert {element.get_attribute("id") for element in drawn} == CHARTS
    widths = page.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1]


def test_charts_show_the_values_of_the_run(page):
    outcomes = busy_run()
    sent = np.bincount(outcomes.result.instance[outcomes.result.instance >= 0])
    labels = page.execute_script(
        "return [...document.querySelectorAll('#requests .mark-rect path')].map(e => e.getAttribute('aria-label'))"
    )
    shown = [int(re.search(r"requests: ([\d,]+)", label)[1].replace(",", "")) for label in labels]
    assert shown == sent.tolist()
    running = timeline(outcomes).running
    rows = rows_of(page, "timeline", "running")
    for index in range(2):
        mine = [row["running"] for row in rows if row["instance"] == f"instance_{index}"]
        np.testing.assert_allclose(mine, running[index], rtol=1e-4, atol=1e-9)


def test_hovering_tells_the_values(page):
    hover(page, "#requests .mark-rect path")
    sent = int(np.count_nonzero(busy_run().result.instance == 0))
    assert f"{sent:,}" in tooltip(page)


def test_hovering_over_time_tells_all_instances(page):
    bars = "#timeline .mark-rect path[fill='var(--hover)']"
    hover(page, f"{bars}:nth-child({MOST_BINS // 2})")
    text = tooltip(page)
    assert "instance_0" in text
    assert "instance_1" in text
    style = f'return getComputedStyle(document.querySelector("{bars}:nth-child({MOST_BINS // 2})")).fillOpacity'
    assert float(page.execute_script(style)) > 0


@pytest.mark.parametrize(("chart", "faded"), [("cdf-ttft", [0.1, 0.1, 1]), ("timeline", [0.08] * 4 + [1] * 4)])
def test_a_click_on_the_legend_fades_the_others(page, chart, faded):
    from selenium.webdriver import ActionChains

    opacities = f"""
      return [...document.querySelectorAll("#{chart} .mark-line path")].map(e => +(e.getAttribute("opacity") ?? 1))
    """
    assert set(page.execute_script(opacities)) == {1}
    symbol = hover(page, f"#{chart} .role-legend-symbol path")
    ActionChains(page).click(symbol).perform()
    wait_until(lambda: sorted(page.execute_script(opacities)) == faded, "the others to fade")


def test_dragging_over_the_overview_zooms(page):
    from selenium.webdriver import ActionChains

    area = hover(page, "#timeline .mark-area path")
    box = page.execute_script("return arguments[0].getBoundingClientRect().toJSON()", area)
    domain = "return document.getElementById('timeline').drawn.view.signal('window').seconds"
    x, y = (round(value) for value in (box["left"] + box["width"] / 4, box["bottom"] - 2))
    actions = ActionChains(page, duration=50)
    actions.w3c_actions.pointer_action.move_to_location(x, y)
    actions.click_and_hold()
    for part in range(1, 6):
        actions.w3c_actions.pointer_action.move_to_location(x + round(part * box["width"] / 20), y)
    actions.release().perform()
    wait_until(lambda: page.execute_script(domain), "the zoom")
    low, high = page.execute_script(domain)
    end_s = busy_run().result.end_us / 1e6
    assert (low, high) == pytest.approx((end_s / 4, end_s / 2), abs=end_s / 20)


def contrast(page, selector, style, place=0):
    """Contrast of a part of a chart against the ground it stands on."""
    sides = sorted((luminance(page, selector, style, place), luminance(page, "figure", "backgroundColor")))
    return (sides[1] + 0.05) / (sides[0] + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_lines_can_be_told_from_the_ground(page, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen", "features": features})
    assert (luminance(page, "body", "backgroundColor") < 0.2) == (scheme == "dark")
    # WCAG 2.2: 4.5 for text (1.4.3), 3 for graphical objects (1.4.11)
    assert contrast(page, "#timeline .role-axis-label text", "fill") >= 4.5
    assert contrast(page, "#timeline .role-legend-label text", "fill") >= 4.5
    for place in range(3):
        assert contrast(page, "#cdf-ttft .mark-line path", "stroke", place) >= 3


def test_print_is_light_and_complete(page):
    assert 3 <= assert_printable(page) <= 12


def test_a_narrow_window_has_charts_of_its_width(page):
    page.set_window_size(600, 900)
    try:
        narrow = """
          return [...document.querySelectorAll(".chart svg")].every(
            e => Math.abs(e.getBoundingClientRect().width - e.parentElement.clientWidth) < 80)
            && document.documentElement.scrollWidth <= window.innerWidth
        """
        wait_until(lambda: page.execute_script(narrow), "the charts to be drawn anew")
    finally:
        page.set_window_size(1300, 1000)
