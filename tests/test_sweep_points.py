"""Which runs a sweep file describes, and what it may not say."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import blis
from blis.cli.run import run
from blis.studies.sweep.file import load_sweep
from blis.studies.sweep.keys import KEYS
from blis.studies.sweep.sweeping import prepare_sweep
from blis.studies.sweep.work import tasks

#: Flags that say what to do with a run, not what is simulated.
NOT_KEYS = {
    *("log", "log_file", "quiet", "output", "report", "timeline", "timeline_window"),
    *("timestamps", "results_path", "metrics_path", "outcomes_path", "trace_output", "trace_path"),
    *("trace_level", "counterfactual_k", "summarize_trace", "regret_samples", "fitness_weights", "slo_targets"),
}


def values(spec):
    return [dict(point.values) for point in load_sweep(spec).points]


def test_keys_are_the_flags_of_run_and_the_traces_of_replay():
    flags = {flag[2:].replace("-", "_") for param in run.params for flag in param.opts}
    assert set(KEYS) == flags - NOT_KEYS | {"trace_header", "trace_data"}


def test_a_grid_in_the_order_of_the_file():
    assert values({"grid": {"tp": [1, 2], "rate": [5, 7.5]}}) == [
        {"tp": 1, "rate": 5.0},
        {"tp": 1, "rate": 7.5},
        {"tp": 2, "rate": 5.0},
        {"tp": 2, "rate": 7.5},
    ]


def test_a_list_over_the_base():
    spec = {"base": {"tp": 4}, "list": [{"rate": 1}, {"rate": 2, "tp": 8}]}
    assert values(spec) == [{"tp": 4, "rate": 1.0}, {"tp": 8, "rate": 2.0}]


def test_several_blocks_are_combined():
    spec = {
        "grid": {"tp": [1, 2]},
        "list": [{"rate": 1}, {"rate": 2}, {"rate": 3}],
        "random": {"count": 4, "ranges": {"prefix_tokens": {"integers": [1, 2**30]}}},
        "latin_hypercube": {"count": 5, "ranges": {"kv_watermark": {"uniform": [0, 0.5]}}},
    }
    points = values(spec)
    assert len(points) == 2 * 3 * 4 * 5
    assert len({tuple(point.items()) for point in points}) == len(points)


def test_nothing_varied_is_one_point():
    assert values({"base": {"tp": 2}}) == [{"tp": 2}]


def test_null_is_the_default():
    sweep = prepare_sweep(
        {
            "base": {"model": "m", "alpha_coeffs": [1, 1, 1], "beta_coeffs": [1, 1, 1]},
            "grid": {"max_model_len": [None, 4096]},
        }
    )
    cases = [sweep.worker.cases.case(point.values) for point in sweep.sweep.points]
    assert [case.engine.max_model_len for case in cases] == [None, 4096]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(1, 4))
def test_the_size_of_a_grid(lengths, replications):
    names = ["tp", "num_requests", "max_num_seqs", "seed"][: len(lengths)]
    spec = {"grid": {name: list(range(1, n + 1)) for name, n in zip(names, lengths, strict=True)}}
    sweep = load_sweep({**spec, "replications": replications})
    assert len(sweep.points) == math.prod(lengths)
    assert len(sweep) == math.prod(lengths) * replications
    assert len({tuple(point.values.items()) for point in sweep.points}) == len(sweep.points)


@given(st.integers(1, 50), st.integers(0, 2**32))
def test_latin_hypercubes_have_one_point_in_each_stratum(count, seed):
    spec = {
        "latin_hypercube": {
            "count": count,
            "seed": seed,
            "ranges": {
                "rate": {"uniform": [10, 30]},
                "token_bucket_capacity": {"log_uniform": [1, 1000]},
                "num_requests": {"integers": [1, count]},
                "tp": {"choices": list(range(count))},
            },
        }
    }
    points = values(spec)
    strata = {
        "rate": [(point["rate"] - 10) / 20 for point in points],
        "token_bucket_capacity": [math.log(point["token_bucket_capacity"]) / math.log(1000) for point in points],
    }
    for shares in strata.values():
        assert sorted(np.floor(np.array(shares) * count + 1e-9).astype(int)) == list(range(count))
    assert sorted(point["num_requests"] for point in points) == list(range(1, count + 1))
    assert sorted(point["tp"] for point in points) == list(range(count))


@given(st.integers(0, 2**32))
def test_random_values_lie_in_their_ranges(seed):
    ranges = {
        "rate": {"uniform": [1, 2]},
        "token_bucket_capacity": {"log_uniform": [0.5, 5000]},
        "tp": {"integers": [3, 5]},
        "scheduler": {"choices": ["fcfs", "sjf"]},
    }
    for point in values({"random": {"count": 20, "seed": seed, "ranges": ranges}}):
        assert 1 <= point["rate"] < 2
        assert 0.5 <= point["token_bucket_capacity"] < 5000
        assert point["tp"] in (3, 4, 5)
        assert point["scheduler"] in ("fcfs", "sjf")


@pytest.mark.parametrize(
    ("shape", "median"), [({"uniform": [0, 100]}, 50), ({"log_uniform": [1, 100]}, 10), ({"integers": [0, 100]}, 50)]
)
@pytest.mark.parametrize("block", ["random", "latin_hypercube"])
def test_the_law_of_what_is_drawn(block, shape, median):
    drawn = [point["prompt_tokens"] for point in values({block: {"count": 2001, "ranges": {"prompt_tokens": shape}}})]
    assert np.median(drawn) == pytest.approx(median, rel=0.2)


@pytest.mark.parametrize("block", ["random", "latin_hypercube"])
def test_a_further_key_shifts_nothing(block):
    rate, seed = {"rate": {"uniform": [1, 9]}}, {"seed": {"integers": [1, 9]}}
    one, both = ({block: {"count": 9, "ranges": ranges}} for ranges in (rate, {**seed, **rate}))
    assert [point["rate"] for point in values(one)] == [point["rate"] for point in values(both)]


def test_draws_depend_on_the_seed_of_the_block_or_the_base():
    def drawn(**seeds):
        block = {"count": 3, "ranges": {"rate": {"uniform": [1, 9]}}, **seeds.get("block", {})}
        return [point["rate"] for point in values({"base": seeds.get("base", {}), "random": block})]

    assert drawn() == drawn(base={"seed": 42}) == drawn(base={"seed": 7}, block={"seed": 42})
    assert drawn() != drawn(base={"seed": 0}) != drawn(base={"seed": 7})


def test_replications_have_the_same_seeds_at_every_point():
    sweep = load_sweep({"base": {"model": "m", "seed": 5}, "grid": {"rate": [1, 2]}, "replications": 3})
    cases = blis_cases(sweep)
    assert [(case.workload.rate, case.seed) for case in cases] == [(r, s) for r in (1.0, 2.0) for s in (5, 6, 7)]


def test_replications_of_a_spec_begin_at_its_own_seed(tmp_path):
    (tmp_path / "w.yaml").write_text(
        "seed: 9\naggregate_rate: 5\nnum_requests: 3\nclients: [{rate_fraction: 1, arrival: {process: poisson}, "
        "input_distribution: {type: gaussian, params: {mean: 9, std_dev: 1, min: 1, max: 20}}, "
        "output_distribution: {type: gaussian, params: {mean: 9, std_dev: 1, min: 1, max: 20}}}]\n"
    )
    (tmp_path / "s.yaml").write_text("base: {model: m, workload_spec: w.yaml}\nreplications: 2\n")
    assert [case.seed for case in blis_cases(load_sweep(tmp_path / "s.yaml"))] == [9, 10]


def blis_cases(sweep):
    from blis.studies.sweep.cases import Cases

    cases = Cases(sweep.folder)
    return [cases.case(task.settings, task.replication) for task in tasks(sweep, range(len(sweep)))]


def test_common_random_numbers():
    """Points that differ in the engine alone get the very same requests."""
    sweep = prepare_sweep(
        {
            "base": {"model": "m", "alpha_coeffs": [1, 1, 1], "beta_coeffs": [1, 1, 1]},
            "grid": {"max_num_seqs": [1, 2, 3]},
            "replications": 2,
        }
    )
    tables = [sweep.worker.runner.requests(case) for case in blis_cases(sweep.sweep)]
    assert Counter(map(id, tables)) == dict.fromkeys(map(id, tables[:2]), 3)


LLAMA = "base: {model: meta-llama/llama-3.1-8b-instruct}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must hold one mapping, got nothing"),
        ("gird: {}", "gird: unknown key; did you mean 'grid'?"),
        ("base: {modle: m}", "base.modle: unknown key; did you mean 'model'?"),
        ("base: {model: m}\nbase: {}", "key given twice: base"),
        ("grid: {rate: [1], rate: [2]}", "key given twice: rate"),
        ("grid: {rte: [1]}", "grid.rte: unknown key; did you mean 'rate'"),
        ("grid: {rate: 1}", "grid.rate: must be a list, got 1"),
        ("grid: {rate: []}", "grid.rate: must hold one value at least, got none"),
        ("grid: {rate: [1, fast]}", "grid.rate[1]: must be a number >= 0, got 'fast'"),
        ("grid: {tp: [1, 1.5]}", "grid.tp[1]: must be a whole number >= 0, got 1.5"),
        ("list: [{tp: 1}, {tpp: 1}]", "list[1].tpp: unknown key; did you mean 'tp'?"),
        ("list: []", "list: must hold one point at least, got none"),
        ("list: [1]", "list[0]: must be a mapping, got 1"),
        ("random: {ranges: {rate: {uniform: [1, 2]}}}", "random.count: missing"),
        ("random: {count: 0, ranges: {}}", "random.count: must be a whole number >= 1, got 0"),
        ("random: {count: 1, ranges: {}}", "random.ranges: must name one key at least, got none"),
        ("random: {count: 1, seeds: 1, ranges: {}}", "random.seeds: unknown key; did you mean 'seed'?"),
        ("random: {count: 1, ranges: {rate: {unifrom: [1, 2]}}}", "random.ranges.rate: must be one of uniform, "),
        ("random: {count: 1, ranges: {rate: {uniform: [2, 1]}}}", "rate.uniform: must be two numbers, the lower one"),
        ("random: {count: 1, ranges: {rate: {uniform: [1]}}}", "random.ranges.rate.uniform: must be 2 numbers, got 1"),
        ("random: {count: 1, ranges: {rate: {log_uniform: [0, 1]}}}", "log_uniform: must be two numbers > 0, got 0"),
        ("random: {count: 1, ranges: {tp: {uniform: [1, 2]}}}", "tp.uniform: tp is a whole number; give integers"),
        ("random: {count: 1, ranges: {tp: {integers: [1, 2.5]}}}", "tp.integers: must be two whole numbers"),
        ("random: {count: 1, ranges: {arrival: {integers: [1, 2]}}}", "arrival is no number; give choices"),
        ("grid: {rate: [1]}\nlist: [{rate: 2}]", "list[0].rate: is varied by grid.rate[0], too"),
        ("base: {max_num_seqs: 1}\ngrid: {max_num_running_reqs: [1]}", "is the same as max_num_seqs"),
        ("replications: 0", "replications: must be a whole number >= 1, got 0"),
        ("grid: {seed: [1, 2]}\nreplications: 9999999", "describes 19,999,998 runs; at most 10,000,000"),
        ("grid: {rate: [1]}", "point 0 (rate 1.0): model: missing; every run needs one"),
        # what the configuration's own checks say, at the place in the file
        (LLAMA + "grid: {tp: [1, 0]}", "grid.tp[1]: must be >= 1, got 0"),
        (LLAMA + "grid: {rate: [1, 0]}", "grid.rate[1]: "),
        (LLAMA + "grid: {max_num_seqs: [0]}", "grid.max_num_seqs[0]: must be in [1, "),
        (LLAMA + "grid: {num_instances: [0]}", "grid.num_instances[0]: must be in [1, "),
        (LLAMA + "grid: {routing_policy: [round-robbin]}", "routing_policy[0]: unknown name 'round-robbin'; did you"),
        (LLAMA + "grid: {alpha_coeffs: [[1, 2, 3], [1, 2]]}", "grid.alpha_coeffs[1]: must be 3 numbers, got 2"),
        (
            LLAMA + "list: [{arrival_cv: 2}]",
            "-8b-instruct, arrival_cv 2.0): arrival_cv: only gamma",
        ),
        (LLAMA + "grid: {tp: [1, 0], gpu_memory_utilization: [0.05, 0.9]}", "grid.tp[1]: must be >= 1, got 0"),
        (LLAMA + "grid: {hardware: [H100, H10]}", "grid.hardware[1]: unknown GPU 'H10'"),
        (LLAMA + "list: [{hardware: H10}]", "list[0].hardware: "),
        (LLAMA + "list: [{scenario: mixed}]", "list[0].scenario: unknown name 'mixed'; did you mean 'mixed-slo'?"),
        (LLAMA + "list: [{workload: chatbto}]", "list[0].workload: unknown name 'chatbto'; did you mean 'chatbot'?"),
        (LLAMA + "list: [{workload: traces}]", "workload_traces_filepath: missing; workload traces needs it"),
        (LLAMA + "list: [{workload_spec: nowhere.yaml}]", "nowhere.yaml: cannot be read"),
        (LLAMA + "list: [{policy_config: nowhere.yaml}]", "nowhere.yaml: cannot be read"),
        (LLAMA + "list: [{trace_data: x.csv}]", "list[0].trace_data: trace_header and trace_data go together"),
        (LLAMA + "list: [{horizon: 9223372036854775808}]", "list[0].horizon: must be a whole number from"),
        (LLAMA + "list: [{gpu_memory_utilization: 0.05}]", "point 0 ("),
        (LLAMA + "list: [{admission_policy: 'nowhere.py:f'}]", "can't read"),
        (LLAMA + "list: [{workload: traces, workload_traces_filepath: x.csv}]", "x.csv"),
    ],
)
def test_files_that_are_wrong(tmp_path, text, says):
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    with pytest.raises(blis.InputError) as caught:
        prepare_sweep(path)
    message = str(caught.value)
    assert says in message
    assert message.startswith(f"{path}")
    assert "\n" not in message


def test_files_are_found_from_the_sweep_file(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "p.py").write_text("def admit(request, instances, state):\n    return True\n")
    (tmp_path / "sub" / "p.yaml").write_text("scheduler: sjf\n")
    text = LLAMA + "list: [{admission_policy: 'p.py:admit', policy_config: p.yaml}]"
    (tmp_path / "sub" / "s.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    prepared = prepare_sweep(Path("sub") / "s.yaml")
    assert set(prepared.identity["inputs"]) == {"p.py", "p.yaml"}
    case = prepared.worker.cases.case(prepared.sweep.points[0].values)
    assert case.engine.scheduler == "sjf"
