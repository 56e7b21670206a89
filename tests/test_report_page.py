"""Pages: everything inside, the data's own values, bounded size, the same bytes each time."""

import re

import numpy as np
import pytest
from helpers_outcomes import cluster_outcomes, make_outcomes, mixed_outcomes, served
from helpers_report import TARGETS_US, busy_run, specs, values

import blis
from blis.outcomes.metrics.timeline import MOST_BINS
from blis.report.charting import MOST_POINTS, MOST_QUANTILES
from blis.report.page import (
    Chart,
    Finding,
    Findings,
    Page,
    Section,
    Settings,
    Table,
    Text,
    Tile,
    Tiles,
    as_html,
    rounded,
    write_page,
)
from blis.report.run_page import run_page, write_run_page
from blis.report.sections import Report


@pytest.fixture(scope="module")
def html():
    return as_html(run_page(Report(busy_run(), slo_targets_us=TARGETS_US), ["run", "--model", "a b"]))


def body(html):
    """A page without scripts."""
    return re.sub(r"<script.*?</script>", "", html, flags=re.S)


def test_nothing_is_fetched(html):
    assert html.startswith("<!DOCTYPE html>")
    assert "default-src 'none'" in html
    assert not re.search(r"""(src|href)\s*=\s*["']?\s*(https?:)?//""", body(html))
    assert not re.search(r"<(link|img|iframe)|@import|url\(", body(html))
    assert html.count("window.vegaEmbed=") == 1  # once for all charts


def test_every_section_is_there(html):
    titles = re.findall(r"<h2>(.*?)</h2>", body(html))
    assert titles == [
        *("What stands out", "Over time", "Latency", "Classes and tenants", "Instances", "Configuration"),
    ]
    assert "blis run --model &#x27;a b&#x27;" in html
    assert "engine.block_size_tokens" in html


def test_what_stands_out_is_counted(html):
    outcomes = busy_run()
    refused = int((outcomes.requests["status"].cast(str) == "refused_too_long").sum())
    assert refused > 0
    assert f"{refused} of 800 requests refused on arrival: the prompt is longer" in html
    preemptions = int(outcomes.result.num_preemptions.sum())
    assert preemptions > 0
    assert f"({preemptions:,} preemptions in all)" in html


def test_outcomes_that_were_read_back_give_the_same_page(tmp_path):
    scenario = blis.scenario("mixed-slo", rate=20, num_requests=60)
    outcomes = blis.simulate("meta-llama/llama-3.1-8b-instruct", scenario)
    outcomes.write_parquet(tmp_path / "o.parquet")
    again = blis.Outcomes.read_parquet(tmp_path / "o.parquet")
    assert as_html(run_page(Report(again))) == as_html(run_page(Report(outcomes)))


def test_overload_stands_out():
    outcomes = blis.simulate("meta-llama/llama-3.1-8b-instruct", blis.DistributionWorkload(rate=200, num_requests=5000))
    page = run_page(Report(outcomes))
    findings = next(part for section in page.sections for part in section.parts if isinstance(part, Findings))
    backlog = outcomes.steady_state.backlog
    assert findings.findings[0].headline == "Overloaded"
    assert f"the backlog grew by {backlog.growth_per_s:,.3g} per second" in findings.findings[0].text
    assert page.verdict.startswith("Overloaded, ")


def test_names_from_outside_are_text(html):
    assert "<b>north</b>" not in html
    assert "&lt;b&gt;north&lt;/b&gt;" in html


def test_charts_hold_the_values_of_the_run(html):
    charts, outcomes = specs(html), busy_run()
    curve = [row["ms"] for row in values(charts["cdf-ttft"]) if row["group"] == "all"]
    ttft_ms = outcomes.ttft_us()[outcomes.ttft_us() >= 0] / 1000
    assert (curve[0], curve[-1]) == pytest.approx((ttft_ms.min(), ttft_ms.max()), rel=1e-5)
    bars = [row["value"] for row in values(charts["requests"])]
    assert bars == np.bincount(outcomes.result.instance[outcomes.result.instance >= 0]).tolist()
    rows = [row for row in values(charts["timeline"]) if "tokens_per_s" in row]
    width_s = outcomes.result.end_us / 1e6 / MOST_BINS
    assert sum(row["tokens_per_s"] for row in rows) * width_s == pytest.approx(
        outcomes.result.produced_tokens.sum(), rel=1e-4
    )
    targets = [row for row in values(charts["cdf-e2e"]) if "share" not in row]
    assert targets == [{"ms": 2000, "group": "interactive"}, {"ms": 20000, "group": "batch"}]


def test_the_load_over_time_is_that_of_the_run(html):
    rows, outcomes = values(specs(html)["load"]), busy_run()
    width_s = rows[0]["right"] - rows[0]["left"]
    assert sum(row["arrivals_per_s"] for row in rows) * width_s == pytest.approx(len(outcomes), rel=1e-4)
    ttft_ms = outcomes.ttft_us()[outcomes.ttft_us() >= 0] / 1000
    shown = [row["ttft_p95_ms"] for row in rows if row["ttft_p95_ms"] is not None]
    assert ttft_ms.min() < min(shown) < np.percentile(ttft_ms, 95) < max(shown) <= ttft_ms.max() * 1.00001


def test_cliffs_stand_out():
    def page_of(slow_ms):
        rows = [served(1_000_000 * i, 1_000 * (slow_ms if i % 30 == 0 else 19)) for i in range(300)]
        outcomes = make_outcomes(rows, end_us=400_000_000)
        return Report(outcomes).tables(), as_html(run_page(Report(outcomes)))

    text, html = page_of(170)
    assert re.search(r"cliff in TTFT +p95 19 ms, p99 170 ms", text)
    assert "It goes from 19.0 ms at p95 to 170.0 ms at p99" in html
    text, html = page_of(60)
    assert "cliff" not in text + html.split("<script")[0]


def test_charts_are_bounded(html):
    for name, chart in specs(html).items():
        most = {"timeline": 2 * MOST_BINS, "incidents": 6 * MOST_BINS}.get(name, MOST_POINTS)
        for rows in chart["datasets"].values():
            assert len(rows) <= (3 * MOST_QUANTILES if name.startswith("cdf") else most)


def test_the_same_outcomes_give_the_same_bytes(tmp_path):
    for name in ("a.html", "b.html"):
        write_run_page(Report(busy_run()), tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


@pytest.mark.parametrize(
    "outcomes",
    [
        make_outcomes([], end_us=0),
        mixed_outcomes(),
        cluster_outcomes(),
        make_outcomes([], instances=[(0, 0, 0, 0)] * 200, end_us=5),
    ],
)
def test_odd_runs_have_pages_too(outcomes):
    html = as_html(run_page(Report(outcomes, slo_targets_us={"batch": 5})))
    assert "timeline" in specs(html)
    assert "NaN" not in html.split('id="specs">')[1].split("</script>")[0]


def test_many_instances_are_a_mean_and_a_range():
    outcomes = make_outcomes([], instances=[(5, 1, 1, 0)] * 20, end_us=5)
    rows = [row for row in values(specs(as_html(run_page(Report(outcomes))))["timeline"]) if "waiting" in row]
    assert len(rows) == MOST_BINS
    assert {row["instance"] for row in rows} == {"mean of 20 instances"}


def test_any_page_of_parts():
    chart = Chart("c", "<chart>", {"mark": "bar", "data": {"values": [{"x": "</script>"}]}})
    parts = [
        Tiles([Tile("<tile>", [("a", "1")], level="bad")]),
        Table(("word", "share", "count"), [("<w>", "5.0 %", 12345), ("x", None, 1.25)]),
        Findings([Finding("f", "<text>")]),
        Settings("s", [("k", "<v>")]),
        Text("<t>"),
        chart,
    ]
    html = as_html(Page("<title>", "<verdict>", [Section("One two", parts)]))
    for raw in ("<chart>", "<tile>", "<w>", "<text>", "<v>", "<t>", "<verdict>"):
        assert raw not in html
    assert '<td class="number">12,345</td>' in html
    assert '<td class="number">–</td>' in html
    assert 'id="section-one-two"' in html
    assert specs(html)["c"]["data"]["values"] == [{"x": "</script>"}]


def test_numbers_are_as_long_as_people_need():
    assert rounded({"a": [1.23456789, float("nan"), 7, "x", None, 123456789]}) == {
        "a": [1.23457, None, 7, "x", None, 123456789]
    }


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "p.html"
    path.write_text("old")
    monkeypatch.setattr("pathlib.Path.write_text", lambda *_args, **_more: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match=r"p\.html"):
        write_page(Page("t", "v", []), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
