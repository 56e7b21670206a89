"""A real browser for tests of pages."""

import base64
import os
import re
import shutil
import time

import numpy as np
import pytest

PROGRAMS = [shutil.which(name) for name in ("chromium", "chromedriver")]
#: Marks of tests that need a browser.
BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(None in PROGRAMS, reason="no chromium and chromedriver on the PATH"),
]


def wait_until(condition, what):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, f"waited too long for {what}"
        time.sleep(0.05)


def start_browser():
    """A headless browser that logs what pages say and ask for."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium (dependency group browser)")
    options = webdriver.ChromeOptions()
    options.binary_location = PROGRAMS[0]
    flags = ["--headless=new", "--window-size=1300,1000", "--disable-dev-shm-usage", "--disable-gpu"]
    if os.geteuid() == 0:
        flags.append("--no-sandbox")  # chromium has none for root
    for flag in flags:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.chrome.service.Service(PROGRAMS[1])
    return webdriver.Chrome(options=options, service=service)


def open_page(browser, path):
    """Draw a page, without a network and in light colours."""
    browser.get_log("browser")
    browser.get_log("performance")
    browser.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    light = [{"name": "prefers-color-scheme", "value": "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen", "features": light})
    browser.get(path.as_uri())
    wait_until(lambda: browser.execute_script("return document.documentElement.dataset.drawn"), "the charts")
    return browser


def rows_of(page, chart, field):
    """Rows of the chart's one source of data that has the field."""
    script = """
      const data = document.getElementById(arguments[0]).drawn.view.getState(
        {data: name => name.startsWith("source_") || name.startsWith("data-"), signals: () => false}).data;
      return Object.values(data).filter(rows => rows?.length && arguments[1] in rows[0])[0];
    """
    return page.execute_script(script, chart, field)


def hover(page, selector):
    """Put the pointer onto the middle of the first element in view that a selector finds."""
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    element = page.find_element(By.CSS_SELECTOR, selector)
    page.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
    ActionChains(page).move_to_element(element).perform()
    return element


def tooltip(page):
    """Text of the tooltip that is shown, once there is one."""
    script = "return document.querySelector('#vg-tooltip-element.visible')?.innerText"
    wait_until(lambda: page.execute_script(script), "a tooltip")
    return page.execute_script(script)


def assert_offline_and_quiet(page, path):
    """Nothing was said on the console, and nothing asked for but the page itself."""
    assert page.get_log("browser") == []
    sent = [entry["message"] for entry in page.get_log("performance") if "requestWillBeSent" in entry["message"]]
    urls = {url for message in sent for url in re.findall(r'"url":"(.*?)"', message)}
    assert {url for url in urls if not url.startswith(("data:", "blob:"))} <= {path.as_uri()}


def assert_printable(page):
    """On paper it is light, and nothing is cut; returns the number of sheets."""
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": dark})
    assert luminance(page, "body", "backgroundColor") > 0.9
    assert luminance(page, "figure", "backgroundColor") > 0.9
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 700, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    )
    try:
        cut = page.execute_script("""
          return [...document.querySelectorAll(".chart svg, table")].filter(e => {
            const own = e.getBoundingClientRect(), around = e.closest("figure").getBoundingClientRect();
            return own.right > around.right + 1 || own.bottom > around.bottom + 1;
          }).map(e => e.closest("figure").innerText.slice(0, 40));
        """)
        assert cut == []
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    made = page.execute_cdp_cmd("Page.printToPDF", {"printBackground": True, "preferCSSPageSize": True})
    pdf = base64.b64decode(made["data"])
    assert pdf.startswith(b"%PDF")
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


def luminance(page, selector, style, place=0):
    """Relative luminance of a colour, as WCAG 2.2 defines it."""
    script = "return getComputedStyle(document.querySelectorAll(arguments[0])[arguments[1]])[arguments[2]]"
    parts = np.array(re.findall(r"[\d.]+", page.execute_script(script, selector, place, style))[:3], float) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
