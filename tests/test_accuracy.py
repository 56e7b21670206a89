"""Errors on measured servers: how they are computed and judged, and that documentation and results say the same."""

import csv
import dataclasses
import importlib
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import blis
from blis.config.hardware import load_hardware
from blis.config.model_names import shipped_models
from blis.errors import ConfigError
from blis.latency.expected_error import PATH as EXPECTED_ERRORS

ROOT = Path(blis.__file__).parent.parent
sys.path.append(str(ROOT / "benchmarks"))
MODULES = "baseline constants leave_out neighbourhoods pages points prepared running scores servers tables workloads"
(
    baseline,
    constants,
    leave_out,
    neighbourhoods,
    pages,
    points,
    prepared,
    running,
    scores,
    servers,
    tables,
    workloads,
) = (importlib.import_module(f"accuracy.{name}") for name in MODULES.split())
Answer, Load, Point, Row = running.Answer, points.Load, points.Point, scores.Row

ALL = points.read_points()
POINT = Point(
    **{"id": "a/1", "source": "a", "licence": "none", "engine": "vllm", "version": "0.11.0", "model": "m", "tp": 1},
    **{"config": "qwen3-8b", "family": "f", "quantization": "bf16", "gpu": "H100", "load": Load("closed", users=2)},
    **{"input": 100, "output": 20, "prompts": 8, "measured": {"tpot_mean_ms": 10.0, "output_tps": 50.0}},
)


def like(name="a/1", **changes):
    return dataclasses.replace(POINT, id=name, **changes)


def row(point, waiting=0.0, **errors):
    return Row(point, Answer(point.id, waiting=waiting), errors)


# ---- The measured points ----


def test_every_point_has_its_source_and_can_be_asked_about():
    for point in ALL:
        assert point.licence, point.id
        assert point.url or point.page or (point.repository and point.path and point.commit), point.id
        assert point.measured.keys() & scores.SCORED.values(), point.id
        assert min(point.measured.values()) > 0, point.id
        assert load_hardware().find(point.gpu) is not None, point.id
        ours = points.FOLDER / "models" / point.config / "config.json"
        assert (point.config in shipped_models()) != ours.exists(), point.id


def test_a_file_that_is_wrong_is_refused(tmp_path):
    text = (
        "source: s\nlicence: l\nengine: vllm\nmodel: m\nfamily: f\nquantization: bf16\ngpu: H100\ntp: 1\n"
        "load: closed 2\n"
        "runs:\n- run: s/m\n  columns: [point, output_tps]\n  rows:\n  - [1, 5.0]\n  - [2, ~]\n"
    )
    file = tmp_path / "s.yaml"
    file.write_text(text)
    one, two = points.read_points(tmp_path)
    assert (one.id, one.load, one.measured) == ("s/m/001", Load("closed", users=2), {"output_tps": 5.0})
    assert two.measured == {}
    for wrong, said in (
        ("  - [1, 6.0]\n", "s/m/001 is given twice"),
        ("  - [3]\n", "a row has 1 values, not 2"),
        ("  sped: 1\n", "unknown keys: sped"),
    ):
        file.write_text(text + wrong)
        with pytest.raises(ConfigError, match=said):
            points.read_points(tmp_path)


@pytest.mark.parametrize(
    ("law", "low", "high", "mean"),
    [
        (7, 7, 7, 7),
        ("uniform 10 30", 10, 30, 20),
        ("exponential 200 4 1024", 4, 1024, 200),
        ("drawn sharegpt-prompts", 4, 1000, 215),
    ],
)
def test_lengths_are_drawn_from_their_law(law, low, high, mean):
    point = like(input=law, output=law, prompts=4000, load=Load("at once"))
    table = workloads.workload_of(point).requests(1)
    for drawn in (table.input_tokens, table.output_tokens):
        assert low <= drawn.min() <= drawn.max() <= max(high, low)
        assert drawn.mean() == pytest.approx(mean, rel=0.06)


def test_loads_are_what_they_say():
    closed = workloads.workload_of(like(prompts=10)).requests(1)
    assert (closed.sessions.after < 0).sum() == 2
    at_once = workloads.workload_of(like(prompts=10, load=Load("at once"))).requests(1)
    assert (at_once.sessions.after < 0).all()
    assert (at_once.arrival_us == 0).all()
    steady = workloads.workload_of(like(prompts=10, load=Load("open", rate=4.0, process="constant"))).requests(1)
    assert steady.sessions is None
    assert set(steady.arrival_us[1:] - steady.arrival_us[:-1]) == {250_000}
    recorded = next(point for point in ALL if point.load.kind == "replay")
    assert len(workloads.workload_of(recorded).requests(1)) == recorded.prompts
    assert workloads.num_prompts(like(prompts=10**6)) == workloads.MOST_PROMPTS


def test_prompts_of_a_group_share_their_prefix():
    load = Load("open", rate=50.0, process="constant")
    shared = like(load=load, shared_prefix="160 x 2", prompts=60)
    answers = [running.prepared(each).run().summary["cache_hit_rate"] for each in (shared, like(load=load, prompts=60))]
    assert answers[0] > 0.4
    assert answers[1] == 0.0


@pytest.mark.parametrize(
    ("engine", "version", "is_run_as"),
    [
        *(("vllm", "0.11.0", "0.11.0"), ("vllm", "0.6.3 (V0)", "0.8.4"), ("vllm", None, servers.UNSAID_VERSION)),
        *(("vllm", "main of June 2026", servers.UNSAID_VERSION), ("sglang", "0.5.3", servers.OTHERS_VERSION)),
    ],
)
def test_versions(engine, version, is_run_as):
    assert servers.version_of(like(engine=engine, version=version)) == is_run_as


def test_what_cannot_be_expressed_is_not_run():
    for changes, why in (
        ({"pp": 2}, "pipeline parallelism"),
        ({"attention_dp": True}, "attention data parallelism"),
        ({"dp": 2, "ep": 2}, "data-parallel attention with expert parallelism"),
        ({"config": None}, "no config.json of the model"),
        ({"input": None}, "lengths were not published"),
        ({"cuda_graphs": False}, "CUDA graphs off"),
    ):
        assert running.run_point(like(**changes)) == Answer("a/1", why, cannot=True)
    refused = running.run_point(like(config="llama-3.1-405b-instruct"))
    assert not refused.cannot
    assert "does not fit" in refused.reason


def test_a_point_is_run_as_what_it_is():
    answer = running.run_point(like(kv_dtype="fp8", max_num_seqs=4, dp=2, prompts=30))
    deployment = blis.Deployment(*("qwen3-8b", "H100", 1, "0.11.0"), latency_model="roofline", kv_cache_dtype="fp8")
    outcomes = blis.simulate(
        deployment,
        workloads.workload_of(like(prompts=30)),
        engine=blis.EngineOptions(max_num_running_reqs=4),
        cluster=blis.ClusterOptions(num_instances=2),
    )
    assert answer.simulated["tpot_mean_ms"] == outcomes.summary["tpot_mean_ms"]
    assert answer.simulated["output_tps"] == outcomes.summary["tokens_per_sec"]


def test_the_number_of_processes_changes_nothing():
    some = [point for point in ALL if servers.inexpressible(point) is None][::60]
    assert running.run_all(some, processes=1) == running.run_all(some, processes=2)


# ---- Scores ----


def test_errors_are_relative_to_what_was_measured():
    found = scores.errors({"tpot_mean_ms": 10.0, "output_tps": 50.0}, {"tpot_mean_ms": 12.0, "e2e_mean_ms": 1.0})
    assert found == {"TPOT": pytest.approx(20.0)}


def test_doubtful_points_are_not_scored():
    answers = [Answer("a", simulated={"tpot_mean_ms": 10.0}), Answer("b"), Answer("c", "no")]
    rows = scores.rows_of([like("a"), like("b", doubt="odd"), like("c")], answers)
    assert [each.point.id for each in rows] == ["a"]


@given(st.lists(st.floats(-99, 1000), min_size=1, max_size=40))
def test_a_score_lies_among_its_errors(values):
    found = scores.score(values)
    sizes = sorted(map(abs, values))
    assert found.count == len(values)
    assert sizes[0] <= found.typical <= found.p90 <= sizes[-1]
    assert min(values) <= found.bias <= max(values)
    assert 0 <= found.within30 <= 100


def test_big_sweeps_weigh_no_more_in_macro_figures():
    rows = [row(like(source="big"), TPOT=10.0)] * 9 + [
        row(like(source="small"), TPOT=-30.0),
        row(like(source="one"), TPOT=50.0),
    ]
    assert scores.macro(rows) == {"TPOT": (3, 30.0)}


def test_shape_is_relative_to_the_lowest_level():
    levels = {1: 100.0, 4: 50.0, 16: 0.0}  # twice, one and a half times, and as much as measured
    rows = [row(like(load=Load("closed", users=users)), TPOT=error) for users, error in levels.items()]
    assert [each.errors["TPOT"] for each in scores.shape_rows(rows)] == [pytest.approx(-25.0), pytest.approx(-50.0)]
    assert scores.shape_rows([*rows[:1], row(like(tp=2, load=Load("closed", users=4)), TPOT=0.0)]) == []


# ---- The baseline ----


@pytest.fixture
def written(tmp_path):
    """Gives what a baseline of some answers says."""

    def write(some, answers):
        path = tmp_path / "baseline.csv"
        baseline.write_baseline(some, answers, path)
        return baseline.read_baseline(some, path)

    return write


def test_a_baseline_is_read_as_it_was_written(written, tmp_path):
    some = [like("a/1"), like("a/2"), like("a/3")]
    answers = [
        Answer("a/1", simulated={"tpot_mean_ms": 12.34}, waiting=0.25, in_system=3.2),
        Answer("a/2", "tp: it does not fit"),
        Answer("a/3", "turns", cannot=True),
    ]
    read, rows = written(some, answers)
    assert read == [Answer("a/1", waiting=0.25, in_system=3.2), *answers[1:]]
    assert [each.errors for each in rows] == [{"TPOT": 23.4}]
    with pytest.raises(ConfigError, match="is not of the points"):
        baseline.read_baseline(some[:2], tmp_path / "baseline.csv")


def judged(before, after):
    """Failures, from errors by group before and after; None: it did not run."""
    sides = []
    for errors in (before, after):
        some = [like(group, source=group) for group in errors]
        answers = [Answer(each.id, None if errors[each.id] is not None else "no") for each in some]
        rows = [row(each, TPOT=errors[each.id]) for each in some if errors[each.id] is not None]
        sides.append((answers, rows))
    return baseline.judge(*sides)


def test_what_is_worse_fails():
    base = dict.fromkeys("abcdefg", 10.0)
    assert judged(base, base) == baseline.Verdict([], [])
    assert judged(base, {**base, "a": -11.9}) == baseline.Verdict([], [])
    assert judged(base, {**base, "a": -12.1}).failures == ["a, f, H100: typical error of TPOT was 10.0 %, now 12.1 %"]
    assert judged(base, {**base, "a": 7.0}).failures == []
    assert judged(base, {**base, "a": 7.0}).notes == ["a, f, H100: typical error of TPOT was 10.0 %, now 7.0 %"]
    assert judged(base, {**base, "a": None}).failures == ["a: it ran, now it does not: no"]
    assert judged({**base, "a": None}, base).notes == ["a: it runs now"]
    all_of_them = judged(base, dict.fromkeys("abcdefg", 9.0)).failures
    assert all_of_them == ["all points: typical error of TPOT was 10.0 %, now 9.0 %: docs/accuracy.md says what was"]


# ---- What documentation and results say ----


def test_the_documentation_has_the_tables_of_the_baseline():
    answers, rows = baseline.read_baseline(ALL)
    text = pages.PAGE.read_text(encoding="utf-8")
    made = tables.all_tables(ALL, answers, rows)
    assert all(f"<!-- accuracy: {name} -->" in text for name in made)
    assert pages.with_tables(text, made) == text, "python benchmarks/check_accuracy.py --update"


def test_results_carry_the_errors_of_the_baseline():
    _, rows = baseline.read_baseline(ALL)
    made = neighbourhoods.as_text(neighbourhoods.expected_errors(rows))
    assert made == EXPECTED_ERRORS.read_text(encoding="utf-8"), "python benchmarks/check_accuracy.py --update"


def test_the_baseline_is_small_and_of_all_points():
    with baseline.PATH.open(newline="") as file:
        assert [line["point"] for line in csv.DictReader(file)] == [point.id for point in ALL]


# ---- Other constants ----


def test_constants_hold_for_a_while():
    figures = {"H100-SXM.host_factor": 3.0, "*.efficiency.weight_?treaming": "x0.5"}
    gap = "blis.latency.roofline_parameters:GAP_US_PER_HALF_LAYER"
    module = importlib.import_module("blis.latency.roofline_parameters")
    shipped, before = load_hardware().get("H100-SXM"), module.GAP_US_PER_HALF_LAYER
    with constants.applied({**figures, gap: 99.0}) as path:
        gpu = load_hardware(path).get("H100-SXM")
        assert gpu.host_factor == 3.0
        assert gpu.efficiency.weight_streaming == shipped.efficiency.weight_streaming / 2
        assert module.GAP_US_PER_HALF_LAYER == 99.0
    assert before == module.GAP_US_PER_HALF_LAYER
    assert load_hardware().get("H100-SXM") == shipped
    for wrong in ("H100-SXM.host", "blis.latency.roofline:NO_SUCH", "H100-SXM.status"):
        with pytest.raises(ConfigError, match=r"nothing of that name|is no number"), constants.applied({wrong: 1.0}):
            pass


def test_prepared_points_answer_as_if_run_anew():
    some = [like(f"a/{users}", load=Load("closed", users=users)) for users in (1, 4)]
    ready = prepared.PreparedPoints([*some, like("odd", doubt="odd"), like("no", pp=2)])
    usual = ready.rows({})
    assert [each.errors for each in usual] == [
        each.errors for each in scores.rows_of(some, running.run_all(some, processes=1))
    ]
    slower = ready.rows({"*.host_factor": "x4"})
    assert all(after.errors["TPOT"] > before.errors["TPOT"] for after, before in zip(slower, usual, strict=True))
    assert ready.rows({}) == usual


def test_sources_have_no_say_in_the_choice_for_them():
    """Candidate 1 helps a and b, candidate 2 helps c only, and by more than 1 helps all."""
    errors = [{"a": 20.0, "b": 20.0, "c": 60.0}, {"a": 10.0, "b": 10.0, "c": 59.0}, {"a": 25.0, "b": 25.0, "c": 0.0}]

    class Prepared:
        def rows(self, settings):
            return [row(like(source, source=source), TPOT=error) for source, error in errors[settings["which"]].items()]

    text = leave_out.leave_one_out(Prepared(), [{"which": i} for i in range(3)])
    chosen = {line.split()[0]: line.split()[1:] for line in text.splitlines()[5:]}
    assert chosen["c"] == ["1", "60.0", "59.0"]
