"""Pages of capacities, plans, comparisons and sweeps: their answer, and charts of their own values."""

import math
import re

import numpy as np
import polars as pl
import pytest
from helpers_report import specs, values
from helpers_sizing import BATCHING
from hypothesis import given
from hypothesis import strategies as st
from test_compare import run as compared_run
from test_plan import spec as plan_spec
from test_sweep import failing_sweep

import blis
from blis.cli.main import main
from blis.errors import InputError
from blis.report.figure_charts import on_front
from blis.report.page import as_html
from blis.studies.capacity.page import page_of as sizing_page
from blis.studies.compare.conditions import Failure
from blis.studies.compare.page import page_of as comparison_page
from blis.studies.plan.page import page_of as plan_page
from blis.studies.sweep.charts import text_of
from blis.studies.sweep.page import read_swept, sweep_page

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("compiled_engine")]

QUICK = {"num_requests": 400, "replications": 2, "tolerance": 0.1}
LOAD = blis.DistributionWorkload(prompt_tokens=100, prompt_tokens_stdev=50, output_tokens=20, output_tokens_stdev=10)
BASE = {"model": "m", "alpha_coeffs": [100, 1, 10], "beta_coeffs": [1000, 10, 50], "total_kv_blocks": 20_000}
SWEEP = {
    "base": {**BASE, "num_requests": 100, "prompt_tokens": 100, "output_tokens": 20},
    "grid": {"rate": [50, 100, 200], "max_num_seqs": [4, 16], "routing_policy": ["round-robin", "least-loaded"]},
    "replications": 2,
}


@pytest.fixture(scope="module")
def capacity():
    return blis.capacity(BATCHING, LOAD, ["p99_ttft=50ms", "ttft=40ms"], **QUICK)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    path = tmp_path_factory.mktemp("sweep") / "s.parquet"
    return path, blis.sweep(SWEEP, output=path)


def charts(page):
    """Charts of a page by name."""
    return specs(as_html(page))


def rows_with(spec, *columns):
    """Rows of a chart's data that have these columns."""
    return [row for row in values(spec) if set(columns) <= set(row)]


def test_a_capacity_shows_its_curve_and_its_limits(capacity):
    page = sizing_page(capacity, ["capacity", "--slo", "p99_ttft=50ms"])
    drawn = charts(page)
    assert list(drawn) == ["curve-p99-ttft", "curve-goodput"]
    rows = rows_with(drawn["curve-p99-ttft"], "kind")
    curve = capacity.curve
    assert curve["num_requests"].n_unique() == 1
    np.testing.assert_allclose([row["x"] for row in rows], curve["rate_per_s"], rtol=1e-5)
    np.testing.assert_allclose([row["value"] for row in rows], curve["p99_ttft_ms"], rtol=1e-5)
    assert [row["kind"] == "meets all SLOs" for row in rows] == curve["meets_slos"].to_list()
    lines = [row["value"] for row in values(drawn["curve-p99-ttft"]) if set(row) == {"value"}]
    assert lines == pytest.approx([50.0, capacity.rate], rel=1e-5)
    lines = [row["value"] for row in values(drawn["curve-goodput"]) if set(row) == {"value"}]
    assert lines == pytest.approx([0.99, capacity.rate], rel=1e-5)
    assert page.verdict.startswith(f"Capacity: {capacity.rate:.5g} requests per second")
    html = as_html(page)
    assert "blis capacity --slo p99_ttft=50ms" in html
    assert "workload.kind" in html


def test_instances_needed_are_against_instances(tmp_path):
    found = blis.instances_for(600, BATCHING, LOAD, "p99_ttft=50ms", num_requests=400, replications=2)
    page = sizing_page(found)
    assert page.title == "Instances of m"
    rows = rows_with(charts(page)["curve-p99-ttft"], "kind")
    assert [row["x"] for row in rows] == found.curve["num_instances"].to_list()
    found.write_report(tmp_path / "r.html")
    assert (tmp_path / "r.html").stat().st_size > 100_000


def test_what_cannot_be_found_has_a_page_too():
    none = blis.capacity(BATCHING, LOAD, "p50_ttft=1us", **QUICK)
    assert sizing_page(none).verdict.startswith("No rate meets the SLOs")
    few = blis.instances_for(5000, BATCHING, LOAD, "p99_ttft=50ms", max_instances=1, num_requests=400, replications=1)
    html = as_html(sizing_page(few))
    assert "more than 1" in html


def test_a_plan_shows_costs_against_latencies():
    found = blis.plan(plan_spec())
    page = plan_page(found)
    drawn = charts(page)
    assert list(drawn) == ["cost-p99-ttft", "cost-mean-itl"]  # what is limited, by its own statistic
    by_name = {row["name"]: row for row in rows_with(drawn["cost-p99-ttft"], "cost", "name")}
    assert len(by_name) == len(found.choices)
    frame = found.frame
    np.testing.assert_allclose(sorted(row["cost"] for row in by_name.values()), frame["cost_per_hour"].sort())
    np.testing.assert_allclose(
        sorted(row["p99_ttft"] for row in by_name.values()), frame["p99_ttft_ms"].sort(), rtol=1e-5
    )
    assert [row["value"] for row in values(drawn["cost-p99-ttft"]) if set(row) == {"value"}] == [300.0]
    itl = [row["mean_itl"] for row in rows_with(drawn["cost-mean-itl"], "cost", "name")]
    np.testing.assert_allclose(sorted(itl), frame["mean_itl_ms"].sort(), rtol=1e-5)
    html = as_html(page)
    assert f"<b>{found.best.cost_per_month:,.0f}</b><i>per month of 730 h</i>" in html
    assert "beaten by another" not in html  # of two, each is better in something
    assert found.best.command.split()[3] in html
    assert "Cheapest for 150 requests per second" in page.verdict


def test_a_plan_without_an_answer_says_what_comes_closest():
    found = blis.plan(plan_spec(max_instances=1, slos=["p99_ttft=2ms"]))
    page = plan_page(found)
    assert page.verdict.startswith("None of the deployments meets the SLOs")
    assert charts(page) == {}
    html = as_html(page)
    assert "<h2>Left out</h2>" in html
    assert found.rejected[0].reason.split("<")[0] in html.replace("&lt;", "<")


def test_a_comparison_shows_its_intervals_and_both_distributions():
    a, b = compared_run(), compared_run(100)
    found = blis.compare(a, b)
    page = comparison_page(found, ["compare", "a", "b"], failed=[Failure("x", "e2e_mean_ms went up")])
    drawn = charts(page)
    assert list(drawn) == ["forest", "cdf-ttft", "cdf-e2e", "cdf-tpot", "cdf-scheduling-delay"]
    mean = next(row for row in rows_with(drawn["forest"], "metric") if row["metric"] == "e2e_mean_ms")
    change = found["e2e_mean_ms"]
    assert mean["percent"] == pytest.approx(change.percent, rel=1e-5)
    ends = [100 * end / change.a for end in change.interval]
    assert [mean["low"], mean["high"]] == pytest.approx(ends, rel=1e-5)
    curve = [row["ms"] for row in rows_with(drawn["cdf-e2e"], "group") if row["group"] == "B"]
    assert (min(curve), max(curve)) == pytest.approx((b.e2e_us().min() / 1000, b.e2e_us().max() / 1000), rel=1e-5)
    assert page.verdict.startswith("1 condition failed; ")
    assert "e2e_mean_ms went up" in as_html(page)


def test_summaries_alone_have_a_page_without_charts():
    a = compared_run().summary
    page = comparison_page(blis.compare(a, a))
    assert charts(page) == {}
    assert "No intervals" in page.verdict


def test_a_sweep_shows_every_point_and_means_over_two_settings(sweep):
    path, frame = sweep
    page = sweep_page(read_swept(path))
    drawn = charts(page)
    assert page.verdict.startswith("12 points, 24 runs")
    pairs = ("rate-max-num-seqs", "rate-routing-policy", "max-num-seqs-routing-policy")
    assert [name for name in drawn if name.startswith("heat")] == [
        f"heat-{pair}-{figure}" for pair in pairs for figure in ("ttft-p99-ms", "itl-p99-ms", "tokens-per-sec")
    ]
    lines = rows_with(drawn["parallel"], "axis", "point")
    axes = {row["axis"] for row in lines}
    assert axes >= {"rate, requests/s", "max_num_seqs, requests", "routing_policy", "p99 TTFT, ms", "output tokens/s"}
    assert {row["point"] for row in lines} == set(range(12))
    assert all(0 <= row["place"] <= 1 for row in lines)
    means = frame.group_by("point").agg(pl.col("tokens_per_sec").mean(), pl.col("rate").first()).sort("point")
    place = [row["place"] for row in sorted(lines, key=lambda row: row["point"]) if row["axis"] == "output tokens/s"]
    assert np.argmax(place) == means["tokens_per_sec"].arg_max()
    tips = {row["point"]: row for row in rows_with(drawn["parallel"], "point", "tokens_per_sec")}
    assert tips[3]["tokens_per_sec"] == pytest.approx(means["tokens_per_sec"][3], rel=1e-5)
    cells = rows_with(drawn["heat-rate-max-num-seqs-ttft-p99-ms"], "x")
    here = frame.filter((pl.col("rate") == 50) & (pl.col("max_num_seqs") == 4))["ttft_p99_ms"].mean()
    found = next(row for row in cells if (row["x"], row["y"]) == ("50", "4"))
    assert found["value"] == pytest.approx(here, rel=1e-5)
    assert found["runs"] == 4


def test_every_axis_of_a_sweep_has_a_title(sweep):
    """But for the parallel ones, each of which has its own above it, and the shades of heat maps."""
    for name, chart in charts(sweep_page(read_swept(sweep[0]))).items():
        if name == "parallel":
            continue
        for channel in ("x", "y"):
            titles = [
                layer["encoding"][channel].get("title")
                for layer in chart["layer"]
                if channel in layer.get("encoding", {})
            ]
            assert any(titles), (name, channel)


def section(page, title):
    return next(section for section in page.sections if section.title == title)


def test_a_sweep_ranks_settings_by_their_places_at_each_load(sweep):
    path, frame = sweep
    table = section(sweep_page(read_swept(path)), "Ranking").parts[0]
    assert [head.partition(",")[0] for head in table.columns[:4]] == [
        "place",
        "max_num_seqs",
        "routing_policy",
        "mean place",
    ]
    assert len(table.rows) == 4
    points = frame.group_by("point", "rate", "max_num_seqs", "routing_policy", "steady_state", maintain_order=True).agg(
        pl.col("ttft_p99_ms", "itl_p99_ms", "e2e_p99_ms", "tokens_per_sec").mean()
    )
    verdicts = dict(zip(*read_swept(path).points.select("point", "kind").get_columns(), strict=True))
    places = {}
    for _, group in points.unique("point").group_by("rate"):
        rows = group.to_dicts()
        for row in rows:
            total = 0.0
            for name in ("ttft_p99_ms", "itl_p99_ms", "e2e_p99_ms", "tokens_per_sec"):
                sign = -1 if name == "tokens_per_sec" else 1
                mine, others = sign * row[name], [sign * other[name] for other in rows]
                place = sum(other < mine for other in others) + (sum(other == mine for other in others) + 1) / 2
                total += len(rows) if verdicts[row["point"]] == "overloaded" else place
            places.setdefault((str(row["max_num_seqs"]), row["routing_policy"]), []).append(total / 4)
    means = {key: float(np.mean(each)) for key, each in places.items()}
    found = {(row[1], row[2]): row[3] for row in table.rows}
    assert found == pytest.approx(means)
    assert [row[3] for row in table.rows] == sorted(means.values())
    shown = section(sweep_page(read_swept(path)), "Points").parts[0]
    best = table.rows[0][1:3]
    assert {tuple(row[2:4]) for row in shown.rows[:3]} == {tuple(best)}


def test_without_a_load_in_common_all_points_are_ranked(tmp_path):
    drawn = {"count": 6, "ranges": {"rate": {"uniform": [50, 100]}, "max_num_seqs": {"integers": [4, 64]}}}
    two = {"base": SWEEP["base"], "random": drawn, "grid": {"routing_policy": ["round-robin", "least-loaded"]}}
    blis.sweep(two, output=tmp_path / "s.parquet")
    table = section(sweep_page(read_swept(tmp_path / "s.parquet")), "Ranking").parts[0]
    assert len(table.rows) == 12  # each load was tried with one number of seats only
    assert "among all points in" in table.note


def test_main_effects_are_means_and_shares_of_the_variation(sweep):
    path, _ = sweep
    page = sweep_page(read_swept(path))
    points = read_swept(path).points
    values = points["itl_p99_ms"]
    rows = rows_with(charts(page)["effects-itl-p99-ms"], "setting", "level")
    for setting in ("rate", "max_num_seqs", "routing_policy"):
        for level, group in points.group_by(setting):
            shown = next(row for row in rows if (row["setting"], row["level"]) == (setting, text_of(level[0])))
            assert shown["value"] == pytest.approx(group["itl_p99_ms"].mean(), rel=1e-5)
            assert shown["points"] == len(group)
    table = section(page, "Main effects").parts[0]
    shares = {row[0].partition(",")[0]: row[2] for row in table.rows}
    between = points.select((pl.col("itl_p99_ms").mean().over("rate") - values.mean()) ** 2).sum().item()
    share = between / ((values - values.mean()) ** 2).sum()
    assert shares["rate"] == f"{100 * share:.1f} %"


def test_one_setting_is_a_line_with_intervals(tmp_path):
    one = {**SWEEP, "grid": {"rate": [50, 100, 200]}, "replications": 3}
    frame = blis.sweep(one, output=tmp_path / "s.parquet")
    drawn = charts(sweep_page(read_swept(tmp_path / "s.parquet")))
    assert not any(name.startswith("heat") for name in drawn)
    rows = rows_with(drawn["line-ttft-p99-ms"], "kind")
    mine = frame.filter(pl.col("rate") == 100)["ttft_p99_ms"]
    assert [row["x"] for row in rows] == [50, 100, 200]
    assert rows[1]["value"] == pytest.approx(mine.mean(), rel=1e-5)
    assert rows[1]["low"] < mine.mean() < rows[1]["high"]


def test_failures_are_listed(tmp_path):
    blis.sweep(failing_sweep(tmp_path), output=tmp_path / "s.parquet", max_failures=2)
    page = sweep_page(read_swept(tmp_path / "s.parquet"))
    assert page.verdict.endswith("; 2 runs failed")
    table = next(section for section in page.sections if section.title == "Failures").parts[0]
    assert len(table.rows) == 2
    assert all("two are too many" in row[-1] for row in table.rows)


def test_a_sweep_shows_points_that_cannot_run(tmp_path):
    models = [f"meta-llama/llama-3.{name}-instruct" for name in ("1-8b", "3-70b")]
    blis.sweep({"base": {"num_requests": 5, "tp": 1}, "grid": {"model": models}}, output=tmp_path / "s.parquet")
    page = sweep_page(read_swept(tmp_path / "s.parquet"))
    assert page.verdict == "2 points, 2 runs; 1 point cannot run"
    refused = next(section for section in page.sections if section.title == "Points that cannot run")
    assert "does not fit 1 x H100" in refused.parts[0].rows[0][2]


def test_a_sweep_that_finished_nothing_has_a_page(tmp_path):
    blis.sweep({**SWEEP, "base": {**SWEEP["base"], "horizon": 1}}, output=tmp_path / "s.parquet")
    page = sweep_page(read_swept(tmp_path / "s.parquet"))
    assert "TTFT" not in "".join(charts(page))


def test_a_large_sweep_has_a_small_page(tmp_path, monkeypatch):
    path = tmp_path / "s.parquet"
    blis.sweep({**SWEEP, "grid": {"rate": [50, 100]}}, output=path)
    swept = read_swept(path)
    count = 20_000
    rng = np.random.default_rng(1)
    row = swept.points.row(0, named=True)
    points = pl.DataFrame({name: [value] * count for name, value in row.items()}).with_columns(
        point=pl.int_range(count),
        rate=pl.Series(rng.random(count) * 100),
        ttft_p99_ms=pl.Series(rng.random(count)),
        tokens_per_sec=pl.Series(rng.random(count)),
    )
    html = as_html(sweep_page(swept._replace(points=points)))
    assert len(html) < 4_000_000
    assert "Drawn are 500 of 20,000 points" in html


costs = st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, 2.0, 3.0, math.nan])] * 2), max_size=12)


@given(costs)
def test_the_front_is_what_nothing_beats(rows):
    def beats(one, other):
        return one != other and one[0] <= other[0] and one[1] <= other[1]

    front = [not any(map(math.isnan, row)) and not any(beats(other, row) for other in rows) for row in rows]
    assert on_front([row[0] for row in rows], [row[1] for row in rows]).tolist() == front


def test_every_command_writes_its_page(tmp_path, capsys, monkeypatch, sweep):
    import yaml

    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(plan_spec()))
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({**SWEEP, "replications": 1}))
    compared_run().write_parquet("a.parquet")
    compared_run(100).write_parquet("b.parquet")
    flags = ["--model", "m", "--alpha-coeffs", "100,1,10", "--beta-coeffs", "1000,10,50", "--total-kv-blocks", "20000"]
    quick = ["--num-requests", "400", "--replications", "2", "--tolerance", "0.1"]
    commands = {
        "capacity": ["capacity", *flags, "--slo", "p99_ttft=50ms", *quick],
        "plan": ["plan", "p.yaml"],
        "compare": ["compare", "a.parquet", "b.parquet"],
        "sweep": ["sweep", "s.yaml", "--output", "s.parquet"],
    }
    for name, args in commands.items():
        assert main([*args, "--report", f"{name}.html"]) == 0
        html = (tmp_path / f"{name}.html").read_text()
        assert f"blis {name} " in html
        assert len(specs(html)) > 0
    capsys.readouterr()
    assert main(["report", "s.parquet", "-o", "again.html"]) == 0
    assert specs((tmp_path / "again.html").read_text()) == specs((tmp_path / "sweep.html").read_text())


@pytest.mark.parametrize(
    "args",
    [["plan", "p.yaml", "--report", "p.yaml"], ["compare", "p.yaml", "b", "--report", "p.yaml"],
     ["sweep", "p.yaml", "--output", "s.parquet", "--report", "s.parquet"]],
)  # fmt: skip
def test_a_page_overwrites_no_input(tmp_path, capsys, monkeypatch, args):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yaml").write_text("base: {}\n")
    assert main(args) == 2
    assert re.search(r"(p\.yaml|s\.parquet): given for both", capsys.readouterr().err)
    assert (tmp_path / "p.yaml").read_text() == "base: {}\n"


def test_other_files_are_no_sweeps(tmp_path):
    compared_run().write_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a.parquet: not a table that blis sweep wrote"):
        read_swept(tmp_path / "a.parquet")
