"""Pictures for the documentation, drawn of simulations and records whenever the pages are built (a hook of MkDocs).

``python docs/pictures.py`` draws the one that is kept in the repository, because the README shows it: the top of a
run's page, as a browser draws it. That needs the dependency groups docs and browser.
"""

from __future__ import annotations

import base64
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import polars as pl
import vl_convert
from mkdocs.structure.files import File, Files

import blis
from blis.report.charting import BLUE, GREY, ORANGE
from blis.simulation.steps import run_with_steps
from blis.workload.content import shared_blocks

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from history import costs

MODEL = "meta-llama/llama-3.1-8b-instruct"
RATES = (2, 5, 10, 15, 20, 25, 30, 33, 36, 40, 45, 55)
_INK = "#5b636d"


def on_files(files: Files, config: Any) -> Files:
    """Add the pictures, and the examples that pages refer to, to what is built."""
    for name, chart in (("load", load()), ("steps", steps()), ("history", history())):
        files.append(File.generated(config, f"images/{name}.svg", content=as_svg(chart)))
    root = Path(config["config_file_path"]).parent
    for path in sorted((root / "examples").rglob("*.yaml")):
        files.append(File.generated(config, path.relative_to(root).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to examples stay within the site."""
    return markdown.replace("](../examples/", "](examples/")


def as_svg(chart: Any) -> str:
    """A chart that can be read on light and dark ground."""
    looks = {"labelColor": _INK, "titleColor": _INK, "gridColor": "#8884", "domainColor": _INK, "tickColor": _INK}
    styled = (
        chart.configure(background="transparent", font="Helvetica, Arial, sans-serif")
        .configure_view(stroke=None)
        .configure_axis(**looks, labelFontSize=12, titleFontSize=12, titleFontWeight="normal")
        .configure_legend(labelColor=_INK, titleColor=_INK, orient="top", title=None, labelFontSize=12)
        .configure_title(color=_INK, fontSize=13, fontWeight="normal", anchor="start")
    )
    return vl_convert.vegalite_to_svg(styled.to_dict())


def load() -> Any:
    """Tail latency and throughput against the request rate."""
    rows = []
    for rate in RATES:
        workload = blis.DistributionWorkload(rate=rate, num_requests=2000)
        outcomes = blis.simulate(MODEL, workload)
        summary = outcomes.summary
        rows.append(
            {
                "rate": rate,
                "ttft": summary["ttft_p99_ms"],
                "throughput": summary["responses_per_sec"],
                "verdict": outcomes.steady_state.verdict,
            }
        )
    frame = pl.DataFrame(rows)
    x = alt.X("rate:Q", title="requests per second")
    colour = alt.Color(
        "verdict:N",
        scale=alt.Scale(domain=["stable", "too short to tell", "overloaded"], range=[BLUE, GREY, ORANGE]),
    )
    panels = []
    for field, title, kind in (
        ("ttft", "p99 time to first token, ms", "log"),
        ("throughput", "completed requests per second", "linear"),
    ):
        y = alt.Y(f"{field}:Q", title=None, scale=alt.Scale(type=kind))
        base = alt.Chart(frame, title=title, width=330, height=210).encode(x, y)
        panels.append(base.mark_line(color=GREY, strokeWidth=1) + base.mark_point(filled=True, size=70).encode(colour))
    return alt.hconcat(*panels)


def steps() -> Any:
    """Which requests took part in which step of a short run."""
    rng = np.random.default_rng(3)
    count = 12
    table = blis.RequestTable(
        np.sort(rng.integers(0, 120_000, count)), rng.integers(100, 2400, count), rng.integers(4, 12, count)
    )
    simulation = blis.prepare(MODEL, table, engine=blis.EngineOptions(max_num_scheduled_tokens=1024))
    resolved = simulation.resolved
    blocks = shared_blocks(table, resolved.engine.block_size_tokens)
    result, log = run_with_steps(table, resolved.engine, resolved.latency, simulation.control, blocks)
    rows = []
    for request in range(count):
        took_part = (log.start_us >= result.first_scheduled_us[request]) & (log.end_us <= result.finished_us[request])
        for step in np.flatnonzero(took_part):
            is_prefill = log.end_us[step] <= result.first_token_us[request]
            rows.append(
                {
                    "request": request,
                    "from": log.start_us[step] / 1000,
                    "to": log.end_us[step] / 1000,
                    "kind": "prefill" if is_prefill else "decode",
                }
            )
    waits = pl.DataFrame(
        {
            "request": range(count),
            "from": result.arrival_us / 1000,
            "to": result.first_scheduled_us / 1000,
        }
    )
    y = alt.Y("request:O", title="request", axis=alt.Axis(grid=False))
    boxes = (
        alt.Chart(pl.DataFrame(rows), width=700, height=260)
        .mark_bar(stroke="white", strokeWidth=0.7)
        .encode(
            alt.X("from:Q", title="simulated time, ms"),
            alt.X2("to:Q"),
            y,
            alt.Color("kind:N", scale=alt.Scale(domain=["prefill", "decode"], range=[ORANGE, BLUE])),
        )
    )
    queue = alt.Chart(waits).mark_rule(color=GREY, strokeDash=[3, 2]).encode(alt.X("from:Q"), alt.X2("to:Q"), y)
    return queue + boxes


def history() -> Any:
    """What the cases of benchmarks/track.py cost in each release."""
    frame = pl.DataFrame(costs()).with_columns(pl.col("cpu_s") * 1000, pl.col("case").str.replace_all("_", " "))
    return (
        alt.Chart(frame, width=700, height=260)
        .mark_line(point=alt.OverlayMarkDef(size=60))
        .encode(
            alt.X(
                "version:O",
                title="release",
                sort=frame["version"].unique(maintain_order=True).to_list(),
                axis=alt.Axis(labelAngle=0),
            ),
            alt.Y("cpu_s:Q", title="CPU time, ms", scale=alt.Scale(type="log")),
            alt.Color("case:N", sort=frame["case"].unique(maintain_order=True).to_list()),
        )
    )


def report_page(target: Path) -> None:
    """The top of the page of the run that the README begins with, in light colours, as PNG."""
    outcomes = blis.simulate(MODEL, blis.preset("chatbot", rate=50, num_requests=4000))
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "run.html")
        outcomes.write_report(page)
        target.write_bytes(_photographed(page, "figure:has(.chart)"))


def _photographed(page: Path, last: str) -> bytes:
    """A page down to the end of the first element that a selector finds, once its charts are there."""
    from selenium import webdriver
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--window-size=1100,1000"):
        options.add_argument(flag)
    with webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver"))) as browser:
        light = [{"name": "prefers-color-scheme", "value": "light"}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen", "features": light})
        browser.get(page.as_uri())
        WebDriverWait(browser, 30).until(
            lambda shown: shown.execute_script("return document.documentElement.dataset.drawn")
        )
        end = browser.execute_script(f"return document.querySelector('{last}').getBoundingClientRect().bottom")
        clip = {"x": 0, "y": 0, "width": 1100, "height": end + 20, "scale": 1.5}
        shot = {"format": "png", "clip": clip, "captureBeyondViewport": True}
        return base64.b64decode(browser.execute_cdp_cmd("Page.captureScreenshot", shot)["data"])


if __name__ == "__main__":
    report_page(Path(__file__).with_name("images") / "report.png")
