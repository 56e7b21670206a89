"""`blis.evaluate`: scores of policies as searches want them, whatever is wrong with the policy."""

import dataclasses
import importlib.util
import json
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import blis
from blis.simulation import native
from blis.simulation import run as simulation_run
from blis.studies import evaluation
from blis.workload import distribution
from blis.workload.requests import Labels

pytestmark = pytest.mark.slow

ROOT = Path(blis.__file__).parent.parent
#: Steps of 10 ms and 20 µs per prompt token, for a server that a few requests per second keep busy.
SLOW = blis.Deployment("m", alpha_coeffs=(0.0, 0.0, 0.0), beta_coeffs=(10_000.0, 20.0, 10.0), total_kv_blocks=5000)
FOUR = blis.ClusterOptions(num_instances=4)
BUSY = blis.DistributionWorkload(rate=60, num_requests=300, prompt_tokens=400, output_tokens=60, output_tokens_stdev=20)
WEIGHTS = {"p99_ttft": 1.0, "mean_e2e": 1.0}

#: numba knows no dicts of this kind as globals: a function that mentions it runs as plain Python.
WORDS = {"python": 0}


def scenario(name="busy", **changes):
    return blis.Scenario(**{"name": name, "deployment": SLOW, "workload": BUSY, "cluster": FOUR} | changes)


def simulated(scenario, **changes):
    given = {"engine": scenario.engine, "cluster": scenario.cluster, "horizon_us": scenario.horizon_us}
    described = {"deployment": scenario.deployment, "workload": scenario.workload, "seed": scenario.seed}
    return blis.simulate(**described | given | changes).summary


def first(request, instances, state):
    return 0


def least(request, instances, state):
    best = 0
    for i in range(instances.num_instances):
        load = instances.queue_depth[i] + instances.batch_size[i] + instances.pending_requests[i]
        if load < instances.queue_depth[best] + instances.batch_size[best] + instances.pending_requests[best]:
            best = i
    return best


@blis.admission_policy
def nobody(request, instances, state):
    return False


@blis.priority_policy
def shortest_first(request, now_us, state):
    return -request.input_tokens


@blis.step_time(parameters=(5_000.0, 7.0))
def affine(batch, parameters):
    return parameters[0] + parameters[1] * batch.prefill_tokens


# --- figures -------------------------------------------------------------------------------------------------


def test_good_policies_rank_above_bad_ones():
    scenarios = [scenario(), scenario("calmer", workload=blis.DistributionWorkload(rate=20, num_requests=100))]
    ranked = [blis.evaluate(p, scenarios, fitness_weights=WEIGHTS) for p in ("least-loaded", least, "always-busiest")]
    good, own, bad = (found["fitness"] for found in ranked)
    assert good == own
    assert good > 1.5 * bad > 0
    parts = ranked[0]["scenarios"]
    assert list(parts) == ["busy", "calmer"]
    assert good == (parts["busy"]["fitness"] + parts["calmer"]["fitness"]) / 2


def test_figures_are_those_of_a_simulation(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("def last(request, instances, state):\n    return instances.num_instances - 1\n")
    monkeypatch.chdir(tmp_path)
    busy = scenario(workload=blis.DistributionWorkload(num_requests=200, rate=60, prefix_tokens=100), horizon_us=10**7)
    for name in ("prefix-affinity", "weighted", "mine.py:last"):
        options = blis.ClusterOptions(num_instances=4, routing_policy=name)
        found = blis.evaluate(name, busy)["scenarios"]["busy"]
        assert found["error"] is None
        assert found["metrics"] == simulated(busy, cluster=options)
    assert blis.evaluate(None, scenario(cluster=options))["scenarios"]["busy"]["metrics"] == simulated(
        scenario(cluster=options)
    )


def test_the_score_is_the_weighted_sum_of_components():
    found = blis.evaluate(least, scenario(), fitness_weights={"p99_ttft": 2, "throughput": 3})["scenarios"]["busy"]
    metrics, parts = found["metrics"], found["components"]
    assert list(parts) == ["p99_ttft", "throughput"]
    assert parts["p99_ttft"] == 1 / (1 + metrics["ttft_p99_ms"])
    assert found["fitness"] == pytest.approx(2 * parts["p99_ttft"] + 3 * parts["throughput"])


def test_without_weights_there_is_a_score_too():
    found = blis.evaluate("round-robin", scenario())
    explicit = {"throughput": 0.5, "p99_ttft": 0.3, "mean_e2e": 0.2}
    assert found == blis.evaluate("round-robin", scenario(), fitness_weights=explicit)
    assert found["fitness"] > 0


def test_results_are_json_and_repeat():
    classes = Labels(np.array([0, 1, 0]), ("batch", "interactive"))
    table = blis.RequestTable(np.array([0, 5, 9]), np.array([10, 20, 30]), np.array([5, 5, 5]), slo_class=classes)
    scenarios = [scenario(), scenario("mine", workload=table)]
    found = blis.evaluate(least, scenarios)
    assert json.loads(json.dumps(found, allow_nan=False)) == found == blis.evaluate(least, scenarios)
    assert found["scenarios"]["mine"]["slo_classes"]["batch"]["completed"] == 2
    assert "slo_classes" not in found["scenarios"]["busy"]
    assert set(found["scenarios"]["busy"]["anomalies"]) == {
        "priority_inversions",
        "hol_blocking_events",
        "rejected_requests",
    }


# --- the four decisions --------------------------------------------------------------------------------------


def test_decorators_say_which_decision_it_is():
    found = blis.evaluate(nobody, scenario())["scenarios"]["busy"]
    assert (found["metrics"]["rejected_requests"], found["anomalies"]["rejected_requests"]) == (300, 300)
    assert found["components"]["p99_ttft"] is None
    assert (found["fitness"], found["error"]) == (0.0, None)


def test_the_seam_says_it_for_other_functions_and_names():
    assert (
        blis.evaluate(first, scenario(), seam="admission")["scenarios"]["busy"]["metrics"]["rejected_requests"] == 300
    )
    bucket = blis.ClusterOptions(num_instances=4, admission_policy="token-bucket")
    found = blis.evaluate("token-bucket", scenario(), seam="admission")["scenarios"]["busy"]
    assert found["metrics"] == simulated(scenario(), cluster=bucket)
    assert found["metrics"]["rejected_requests"] > 0


def test_priorities_make_the_scheduler_go_by_them():
    one = scenario(cluster=blis.ClusterOptions())
    by_length = blis.evaluate(shortest_first, one)["scenarios"]["busy"]
    assert by_length["metrics"] == simulated(one, engine=blis.EngineOptions(scheduler="sjf"))
    assert by_length["anomalies"]["priority_inversions"] > 0
    by_age = blis.evaluate("inverted-slo", one, seam="priority")["scenarios"]["busy"]
    engine = blis.EngineOptions(scheduler="priority-fcfs", priority_policy="inverted-slo")
    assert by_age["metrics"] == simulated(one, engine=engine)
    reverse = scenario(cluster=blis.ClusterOptions(), engine=blis.EngineOptions(scheduler="reverse-priority"))
    assert blis.evaluate(shortest_first, reverse)["scenarios"]["busy"]["metrics"] != by_length["metrics"]


def test_laws_of_step_time_take_the_place_of_the_deployments():
    table = blis.RequestTable(np.array([0]), np.array([100]), np.array([3]))
    one = scenario(deployment="meta-llama/llama-3.1-8b-instruct", workload=table)
    metrics = blis.evaluate(affine, one)["scenarios"]["busy"]["metrics"]
    assert metrics["ttft_mean_ms"] == 5.7  # no queueing delay, one step of 5000 + 7 * 100 µs
    assert metrics["e2e_mean_ms"] == 5.7 + 2 * 5.0
    given = blis.Deployment("m", alpha_coeffs=(100.0, 1.0, 10.0), beta_coeffs=(2_000.0, 1.0, 0.0))
    metrics = blis.evaluate(affine, scenario(deployment=given, workload=table))["scenarios"]["busy"]["metrics"]
    assert metrics["ttft_mean_ms"] == 0.1 + 0.1 + 2.1 + 0.01
    roofline = blis.Deployment(one.deployment, latency_model="roofline")
    found = blis.evaluate("roofline", one, seam="step_time")["scenarios"]["busy"]["metrics"]
    assert found == simulated(one, deployment=roofline)


# --- failures ------------------------------------------------------------------------------------------------


@blis.routing_policy
def raises(request, instances, state):
    if request.index == 7:
        raise ValueError("no idea")
    return 0


@blis.routing_policy
def raises_python(request, instances, state):
    return WORDS["go"]


def outside(request, instances, state):
    return 4


def fraction(request, instances, state):
    return 0.5


def exits(request, instances, state):
    sys.exit(WORDS["python"])


@blis.step_time
def never(batch, parameters):
    return -1.0


@blis.priority_policy
def undecided(request, now_us, state):
    return np.nan


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (raises, "raised ValueError: no idea (line "),
        (raises_python, "raised KeyError: 'go'"),
        (outside, "answered 4; it must be an instance from 0 to 3, for request_0 at "),
        (fraction, "returned 0.5, expected the index of an instance"),
        (exits, "raised SystemExit: 0"),
        (never, "returned -1.0, expected µs in"),
        (undecided, "returned nan, expected a finite number"),
        (lambda request: 0, "takes (request), expected (request, instances, state[, scores])"),
        (42, "policy: expected a function or a name, got 42"),
        ("least-load", "routing_policy: unknown name 'least-load'; did you mean 'least-loaded'"),
        ("gone.py:f", "policy gone.py:f: can't read gone.py: No such file"),
        ("bad.py:f", "policy bad.py:f: line 2 of bad.py: SyntaxError"),
        ("quits.py:f", "SystemExit: not today"),
        ("gone_:f", "policy gone_:f: no module 'gone_'"),
    ],
)
def test_bad_policies_are_results(policy, message, tmp_path, monkeypatch):
    (tmp_path / "bad.py").write_text("import math\ndef f(:\n")
    (tmp_path / "quits.py").write_text("import sys\nsys.exit('not today')\n")
    monkeypatch.chdir(tmp_path)
    found = blis.evaluate(policy, [scenario(), scenario("other", seed=1)], fitness_weights=WEIGHTS)
    assert message in found["error"]
    assert "\n" not in found["error"]
    assert found["fitness"] == 0.0
    assert found["scenarios"]["busy"] == {
        "fitness": 0.0,
        "components": {"mean_e2e": None, "p99_ttft": None},
        "metrics": {},
        "anomalies": {},
        "error": found["error"],
    }
    assert found["scenarios"]["other"]["error"] is not None
    json.dumps(found)


def test_one_scenario_may_fail_alone():
    few = scenario("few", workload=blis.DistributionWorkload(rate=60, num_requests=5))
    found = blis.evaluate(raises, [few, scenario()])
    assert found["scenarios"]["few"]["error"] is None
    assert found["fitness"] == found["scenarios"]["few"]["fitness"] / 2 > 0
    assert "request_7" in found["error"]
    assert found["error"] == found["scenarios"]["busy"]["error"]


def test_livelock_is_a_result():
    # lengths and rules of a case found at random: tests/test_engine_random.py, `random_case(106252, 13, 12)`
    inputs = np.array([11, 9, 10, 1, 11, 4, 2, 1, 10, 3, 1, 11, 6])
    outputs = np.array([11, 2, 11, 9, 10, 3, 1, 12, 1, 1, 12, 11, 1])
    priority = np.array([2, 2, 2, 2, 2, 1, 2, 1, 1, 0, 2, 1, 1])
    table = blis.RequestTable(np.zeros(13, np.int64), inputs, outputs, priority=priority)
    engine = blis.EngineOptions(
        max_num_running_reqs=8,
        max_num_scheduled_tokens=12,
        block_size_tokens=1,
        long_prefill_token_threshold=3,
        enable_prefix_caching=False,
        scheduling_policy="priority",
        preallocated_tokens=5,
        threshold_spares_lone_request=True,
    )
    tight = dataclasses.replace(SLOW, total_kv_blocks=27)
    found = blis.evaluate("round-robin", blis.Scenario("tight", tight, table, engine=engine))
    assert found["error"].startswith("livelock on instance_0 at ")
    assert found["fitness"] == 0.0


def test_interrupts_are_raised(monkeypatch):
    def presses(request, instances, state):
        signal.raise_signal(signal.SIGINT)
        return WORDS["python"]

    with pytest.raises(KeyboardInterrupt):
        blis.evaluate(presses, scenario())
    monkeypatch.setattr(native, "door", lambda *_, **__: lambda most: signal.raise_signal(signal.SIGINT) or 0)
    with pytest.raises(KeyboardInterrupt):
        blis.evaluate("round-robin", scenario())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"deployment": "no-such/model"}, "^scenario busy: model: unknown model 'no-such/model'"),
        ({"workload": "gone.csv"}, "^scenario busy: gone.csv: "),
        ({"horizon_us": -1}, "^scenario busy: horizon_us: must lie in"),
        (
            {"cluster": blis.ClusterOptions(routing_policy="gone.py:f")},
            "^scenario busy: routing_policy gone.py:f: can't",
        ),
    ],
)
def test_wrong_scenarios_are_refused(changes, message):
    with pytest.raises(blis.ConfigError, match=message):
        blis.evaluate("gone_:f", scenario(**changes))


def test_wrong_arguments_are_refused():
    with pytest.raises(blis.ConfigError, match=r"^scenarios: must be one at least, got none$"):
        blis.evaluate(None, [])
    with pytest.raises(blis.ConfigError, match=r"^scenarios: 'busy' is given twice"):
        blis.evaluate(None, [scenario(), scenario()])
    with pytest.raises(blis.ConfigError, match=r"^seam: unknown name 'steptime'; did you mean 'step_time'"):
        blis.evaluate(None, scenario(), seam="steptime")
    for weights, message in [
        ({}, "must have one key at least; valid: mean_e2e, "),
        ({"p99_tft": 1}, "unknown key 'p99_tft'; did you mean 'p99_ttft'"),
        ({"p99_ttft": -1}, "p99_ttft must be a finite number >= 0, got -1"),
        ({"p99_ttft": None}, "p99_ttft must be a finite number >= 0, got None"),
    ]:
        with pytest.raises(blis.ConfigError, match=rf"^fitness_weights: {message}"):
            blis.evaluate(None, scenario(), fitness_weights=weights)
    vllms_own = scenario(engine=blis.EngineOptions(scheduling_policy="priority"))
    with pytest.raises(
        blis.ConfigError, match=r"^scenario busy: scheduling_policy: must be fcfs for a priority policy"
    ):
        blis.evaluate(shortest_first, vllms_own)
    assert blis.evaluate(None, vllms_own, seam="priority")["error"] is None


# --- what a further policy costs -----------------------------------------------------------------------------


def test_requests_are_prepared_once(monkeypatch):
    calls = {"requests": 0, "shared_blocks": 0, "late": 0}

    def counting(name, function):
        def count(*args, **options):
            calls[name] += 1
            return function(*args, **options)

        return count

    monkeypatch.setattr(
        distribution.DistributionWorkload, "requests", counting("requests", distribution.DistributionWorkload.requests)
    )
    monkeypatch.setattr(evaluation, "shared_blocks", counting("shared_blocks", evaluation.shared_blocks))
    monkeypatch.setattr(simulation_run, "shared_blocks", counting("late", simulation_run.shared_blocks))
    workload = blis.DistributionWorkload(rate=60, num_requests=50, prefix_tokens=64)
    scenarios = [
        scenario(seed=7),
        *(scenario(f"{n}", workload=workload, cluster=blis.ClusterOptions(n)) for n in (2, 3)),
    ]
    for policy in ("least-loaded", least, "prefix-affinity"):
        assert blis.evaluate(policy, scenarios)["error"] is None
    assert calls == {"requests": 2, "shared_blocks": 2, "late": 0}
    blis.evaluate(least, scenario(seed=8))
    assert calls["requests"] == 3


def test_what_is_known_of_a_scenario_goes_with_it():
    kept = len(evaluation._simulations)
    blis.evaluate(None, scenario(seed=99))
    assert len(evaluation._simulations) == kept
    assert not any(key[1] == 99 for key in evaluation._tables)


def test_the_engine_is_loaded_once_for_all():
    engine = native.load(False)
    for policy in (least, nobody, shortest_first, affine, raises_python, "weighted"):
        blis.evaluate(policy, scenario())
    assert native.load(False) is engine


def test_files_are_read_anew(tmp_path):
    path = tmp_path / "mine.py"
    busy = scenario(cluster=blis.ClusterOptions(num_instances=4, admission_policy=f"{path}:f"))
    rejected = []
    for answer in ("True", "request.index < 10"):
        path.write_text(f"def f(request, instances, state):\n    return {answer}\n")
        rejected.append(blis.evaluate(least, busy)["scenarios"]["busy"]["metrics"]["rejected_requests"])
    assert rejected == [0, 290]


def test_threads_get_the_same():
    scenarios = [scenario(), scenario("seeds", seed=1)]
    policies = ["least-loaded", "always-busiest", least, raises]
    alone = [blis.evaluate(policy, scenarios) for policy in policies]
    again = [scenario(), scenario("seeds", seed=1)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda policy: blis.evaluate(policy, again), policies)) == alone


# --- examples/openevolve -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evaluator():
    spec = importlib.util.spec_from_file_location("evaluator", ROOT / "examples" / "openevolve" / "evaluator.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_openevolve_gets_a_score(evaluator):
    initial = ROOT / "examples" / "openevolve" / "initial_program.py"
    assert "# EVOLVE-BLOCK-START" in initial.read_text()
    metrics = evaluator.evaluate(str(initial))
    assert "error" not in metrics
    assert all(type(value) is float for value in metrics.values())
    scores = [metrics[f"{scenario.name}_score"] for scenario in evaluator.SCENARIOS]
    assert metrics["combined_score"] == pytest.approx(np.mean(scores))
    assert min(scores) > 0


def test_openevolve_is_told_what_is_wrong(evaluator, tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import blis\n\n@blis.routing_policy\ndef route(request, instances, state):\n    return 17\n")
    metrics = evaluator.evaluate(str(program))
    assert metrics["combined_score"] == 0.0
    assert "answered 17; it must be an instance from 0 to 3" in metrics["error"]
