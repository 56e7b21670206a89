"""Answers and options as people meet them in a notebook: a line each, and small tables that obey nobody."""

import inspect
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from helpers_browser import BROWSER, start_browser
from helpers_outcomes import make_outcomes

import blis
from blis.report.answer import Shown
from blis.report.notebook import parts_html
from blis.report.tables import pairs, table

LLAMA = blis.Deployment("meta-llama/llama-3.1-8b-instruct", tp=1)
WORKLOAD = blis.DistributionWorkload(rate=20, num_requests=300)
SPEC = Path(blis.__file__).parent.parent / "examples" / "workload-sessions.yaml"
#: What a name from somebody's data may hold.
EVIL = "<script>document.title='obeyed'</script>\x1b[31m<b onmouseover=x>&"


@blis.step_time(parameters=(500.0,))
def law(batch, parameters):
    return parameters[0] + batch.prefill_tokens + batch.num_decodes


@pytest.fixture(scope="module")
def simulation():
    return blis.prepare(LLAMA, WORKLOAD, cluster=blis.ClusterOptions(num_instances=2))


@pytest.fixture(scope="module")
def outcomes(simulation):
    return simulation.run()


@pytest.fixture(scope="module")
def answers(simulation, outcomes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers")
    simulation.write_trace(outcomes, folder / "trace")
    trace = blis.TraceV2(folder / "trace.yaml", folder / "trace.csv")
    effort = {"num_requests": 300, "replications": 2}
    spec = {
        "base": {"model": LLAMA.model, "rate": 20},
        "slos": ["p99_ttft=300ms"],
        "prices": {"H100": 2.0},
        "deployments": [{"hardware": "H100", "tp": [1, 2]}],
        **effort,
    }
    return [
        outcomes,
        blis.capacity(LLAMA, WORKLOAD, "p99_ttft=200ms", **effort),
        blis.instances_for(60, LLAMA, WORKLOAD, "p99_ttft=200ms", **effort),
        blis.plan(spec, jobs=1),
        blis.compare(outcomes, blis.simulate(LLAMA, WORKLOAD, seed=3)),
        blis.calibrate(trace, outcomes),
        blis.fit_traces([trace], [LLAMA]),
    ]


def is_a_line(text):
    return "\n" not in text and len(text) <= 340 and " object at 0x" not in text and "array(" not in text


def test_options_show_what_was_said():
    assert repr(LLAMA) == "Deployment(model='meta-llama/llama-3.1-8b-instruct', tp=1)"
    assert repr(blis.Deployment("m", latency_model=law)) == "Deployment(model='m', latency_model=law)"
    assert repr(blis.EngineOptions()) == "EngineOptions()"
    assert repr(blis.ClusterOptions(num_instances=2)) == "ClusterOptions(num_instances=2)"
    assert repr(WORKLOAD) == "DistributionWorkload(rate=20, num_requests=300)"
    assert eval(repr(LLAMA), {"Deployment": blis.Deployment}) == LLAMA


def test_every_answer_is_a_line_with_its_figures(answers):
    kinds = {type(each).__name__: repr(each) for each in answers}
    assert all(map(is_a_line, kinds.values()))
    assert kinds["Outcomes"].startswith("<Outcomes: 300 of 300 requests completed, ")
    assert f"p99 TTFT {answers[0].summary['ttft_p99_ms']:.4g} ms" in kinds["Outcomes"]
    assert f"{answers[1].rate:.5g} requests per second" in kinds["Capacity"]
    assert kinds["InstancesNeeded"].startswith(f"<InstancesNeeded: {answers[2].num_instances} instance")
    assert f"{answers[3].best.cost_per_hour:.2f} per hour" in kinds["Plan"]
    assert f"ttft_p99_ms {answers[4]['ttft_p99_ms'].percent:+.2f} %" in kinds["Comparison"]
    assert "300 pairs; TTFT excellent" in kinds["Calibration"]
    assert f"beta0_us {answers[6].intervals[2].value:.4g}" in kinds["Fit"]


def test_parts_of_answers_are_a_line(simulation, outcomes, answers):
    parts = [simulation, simulation.resolved, simulation.table, outcomes.result, outcomes.result.instances]
    parts += [outcomes.steady_state, outcomes.plot, blis.Timeline(), blis.EventLog(), blis.FitOptions()]
    parts += [answers[1].points[0], answers[3].best, answers[4].a, answers[4].a.requests, answers[6].model]
    parts += [blis.load_workload_spec(SPEC), blis.PolicyFile(), blis.TraceOptions()]
    parts += [blis.FrameWorkload(pl.DataFrame({"arrival_us": [0], "input_tokens": [1], "output_tokens": [1]}))]
    parts += [blis.Scenario("a", LLAMA, pl.DataFrame({"x": range(100)}))]
    tokens = np.arange(3)
    parts += [blis.LiteralTokens(tokens, tokens), blis.TokenStreams(tokens, tokens, tokens)]
    parts += [blis.RequestTable(*[tokens[:0]] * 3)]
    for part in parts:
        assert is_a_line(repr(part)), repr(part)
        assert type(part).__name__ in repr(part)


def test_public_classes_have_a_line_of_their_own():
    """But for errors, protocols, and the two paths of a trace."""
    classes = [each for name in blis.__all__ if inspect.isclass(each := getattr(blis, name))]
    plain = [each for each in classes if not issubclass(each, Exception) and each not in (blis.Workload, blis.TraceV2)]
    assert [each.__name__ for each in plain if each.__repr__ is object.__repr__] == []
    made = [each.__name__ for each in plain if getattr(each, "__dataclass_params__", None)]
    assert [name for name in made if getattr(blis, name).__dataclass_params__.repr] == []


def tags_of(text):
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append((tag, dict(attributes)))
    parser.feed(text)
    return tags


def test_every_answer_has_small_html_of_its_own(answers):
    for answer in answers:
        text = answer._repr_html_()
        tags = tags_of(text)
        assert {tag for tag, _ in tags} <= {"p", "b", "br", "table", "thead", "tbody", "tr", "th", "td"}
        assert {name for _, attributes in tags for name in attributes} <= {"style"}
        assert len(text) < 16_000
        assert "http" not in text
        assert "color" not in text  # those of the notebook, light or dark


def test_nothing_ran():
    nothing = make_outcomes([], end_us=0)
    assert repr(nothing) == "<Outcomes: 0 of 0 requests completed>"
    assert "nothing was measured" in nothing._repr_html_()


def test_html_holds_the_figures_of_the_text():
    rows = table("name", "per\nsecond")
    rows.add_row("a", "1.5")
    assert parts_html(["Answer", rows, ""]) == (
        "<p><b>Answer</b></p>"
        '<table><thead><tr><th style="text-align:left">name</th><th style="text-align:right">per<br>second</th></tr>'
        '</thead><tbody><tr><td style="text-align:left">a</td><td style="text-align:right">1.5</td></tr></tbody>'
        "</table>"
    )
    assert parts_html([]) == ""


def test_long_answers_are_cut_and_say_so():
    rows = pairs("many", [(f"row {i}", "x") for i in range(1000)])
    text = parts_html([rows, *[f"line {i}" for i in range(500)]])
    assert "… and 976 more rows" in text
    assert "… and 477 more lines" in text
    assert len(text) < 5_000


def test_names_from_data_obey_nothing():
    rows = table(EVIL)
    rows.add_row(EVIL)
    rows.title = EVIL
    text = parts_html([EVIL, rows])
    assert "<script" not in text
    assert "\x1b" not in text
    assert {tag for tag, _ in tags_of(text)} == {"p", "b", "table", "thead", "tbody", "tr", "th", "td"}


def test_names_in_lines_obey_nothing():
    deployment = blis.Deployment(EVIL)
    side = blis.Scenario("a\nb", deployment, WORKLOAD)
    assert is_a_line(repr(side))
    assert "\x1b" not in repr(deployment)


@BROWSER[0]
@BROWSER[1]
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_answers_can_be_read_in_a_notebook(answers, scheme, tmp_path):
    browser = start_browser()
    try:
        media = {"media": "screen", "features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        page = tmp_path / "page.html"
        html = "".join(answer._repr_html_() for answer in answers) + parts_html([EVIL])
        page.write_text(f"<!doctype html><meta charset=utf-8><meta name=color-scheme content='light dark'>{html}")
        browser.get(page.as_uri())
        colours = """
          const shown = [...document.querySelectorAll('p, b, th, td')];
          return [...new Set(shown.map(each => getComputedStyle(each).color))];
        """
        assert browser.execute_script(colours) == ["rgb(0, 0, 0)" if scheme == "light" else "rgb(255, 255, 255)"]
        assert browser.title != "obeyed"
        assert browser.execute_script("return document.scripts.length") == 0
        assert browser.get_log("browser") == []
    finally:
        browser.quit()


def test_all_that_is_shown_has_a_report():
    assert {each.__name__ for each in Shown.__subclasses__()} == {"Answer", "Fit"}
