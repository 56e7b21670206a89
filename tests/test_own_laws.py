"""A law of step time of one's own as a value of `blis.Deployment`: wherever its name works, the law itself does."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import blis
from blis.studies.plan.report import report

WORKLOAD = blis.DistributionWorkload(rate=20, num_requests=200)
SWEEP = {
    "base": {"model": "m", "total_kv_blocks": 10_000, "rate": 20, "max_prompts": 60},
    "grid": {"max_num_seqs": [4, 8]},
}


@blis.step_time(parameters=(500.0, 10.0))
def law(batch, parameters):
    return parameters[0] + parameters[1] * batch.prefill_tokens + batch.num_decodes


def undecorated(batch, parameters):
    return parameters[0] + parameters[1] * batch.prefill_tokens + batch.num_decodes


def deployment(latency_model=law, **fields):
    return blis.Deployment("m", latency_model=latency_model, total_kv_blocks=10_000, **fields)


NAMED = deployment(f"{__file__}:law")


def test_it_is_what_its_name_is():
    own, named = blis.simulate(deployment(), WORKLOAD), blis.simulate(NAMED, WORKLOAD)
    assert own.requests.equals(named.requests)
    found = own.metadata["latency_model"]
    assert found["name"].startswith("law (test_own_laws.py:")
    assert found["origin"] == f"{__name__}:law"
    assert found | {"origin": None} == named.metadata["latency_model"] | {"origin": None}
    json.dumps(own.metadata)


coefficients = st.tuples(st.integers(1, 5000), st.integers(0, 50))


@settings(max_examples=15)
@given(beta=coefficients)
def test_a_blackbox_in_python_is_the_blackbox(beta):
    built_in = blis.Deployment("m", alpha_coeffs=(0, 0, 0), beta_coeffs=(*beta, 1.0), total_kv_blocks=10_000)
    own = deployment(undecorated, beta_coeffs=tuple(map(float, beta)))
    workload = dataclasses.replace(WORKLOAD, num_requests=20)
    assert blis.simulate(own, workload).requests.equals(blis.simulate(built_in, workload).requests)


def test_what_a_fit_has_found_is_one():
    model = blis.prepare("meta-llama/llama-3.1-8b-instruct", WORKLOAD).resolved.latency
    outcomes = blis.simulate(deployment(model), WORKLOAD)
    found = outcomes.metadata["latency_model"]
    assert (found["name"], found["alpha"]) == ("blackbox", list(model.alpha))
    given = deployment(None, alpha_coeffs=model.alpha, beta_coeffs=tuple(model.parameters))
    assert outcomes.requests.equals(blis.simulate(given, WORKLOAD).requests)
    with pytest.raises(blis.CombinationError, match="blackbox has coefficients of its own; leave out alpha_coeffs"):
        blis.simulate(deployment(model, alpha_coeffs=(1.0, 2.0, 3.0)), WORKLOAD)


def test_coefficients_may_be_lists_and_arrays():
    given = [blis.Deployment("m", alpha_coeffs=of([1.0, 2.0, 3.0])) for of in (tuple, list, np.array)]
    assert len(set(given)) == 1


@pytest.mark.parametrize(
    ("latency_model", "expected"),
    [
        (3, "latency_model: expected a name, a function of .batch, parameters., or what a fit has found, got 3"),
        (lambda batch: 1, "latency_model <lambda>: .* takes .batch., expected .batch, parameters."),
        (blis.routing_policy(lambda r, i, s: 0), "is decorated with @blis.routing_policy, expected @blis.step_time"),
        ("blackbx", "latency_model: unknown name 'blackbx'; did you mean 'blackbox'"),
    ],
)
def test_what_is_none_is_refused(latency_model, expected):
    with pytest.raises(blis.ConfigError, match=expected):
        blis.simulate(deployment(latency_model), WORKLOAD)


def test_studies_take_it():
    effort = {"num_requests": 200, "replications": 2}
    found, expected = (blis.capacity(each, WORKLOAD, "p99_ttft=300ms", **effort) for each in (deployment(), NAMED))
    assert found.rows == expected.rows
    assert found.configuration["latency_model"]["name"].startswith("law (")
    scores = [blis.evaluate(None, blis.Scenario("one", each, WORKLOAD))["fitness"] for each in (deployment(), NAMED)]
    assert scores[0] == scores[1] > 0


def test_a_plan_takes_it_and_says_how_to_run_it():
    candidates = {"hardware": "H100", "tp": 1, "latency_model": [law, "blackbox"], "beta_coeffs": [500.0, 10.0, 1.0]}
    spec = {
        "base": {"model": "m", "total_kv_blocks": 10_000, "rate": 20},
        "slos": ["p99_ttft=300ms"],
        "prices": {"H100": 2.0},
        "deployments": [candidates],
        "num_requests": 200,
        "replications": 2,
    }
    plan = blis.plan(spec, jobs=1)
    by_law = {row["latency_model"].partition(" ")[0]: row for row in plan.rows}
    assert by_law["law"]["cost_per_hour"] == by_law["blackbox"]["cost_per_hour"]
    assert "--latency-model file.py:law" in by_law["law"]["command"]
    json.dumps(report(plan))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_sweep_takes_it_on_threads(jobs, tmp_path):
    path = tmp_path / "sweep.parquet"
    base = {**SWEEP["base"], "latency_model": law}
    frame = blis.sweep({**SWEEP, "base": base}, executor="threads", jobs=jobs, output=path)
    named = blis.sweep({**SWEEP, "base": {**base, "latency_model": f"{__file__}:law"}}, executor="threads")
    assert frame.drop("latency_model").equals(named.drop("latency_model"))
    assert set(frame["latency_model"]) == {blis.simulate(deployment(), WORKLOAD).metadata["latency_model"]["name"]}
    assert b"law (test_own_laws.py" in pq.read_schema(path).metadata[b"blis.sweep"]


def test_laws_of_other_code_or_coefficients_are_other_sweeps(tmp_path):
    from blis.studies.sweep.named import Named

    def made(constant):
        return lambda batch, parameters: constant + batch.num_decodes

    digests = {Named.of("latency_model", each).digest for each in (made(1), made(2), law, undecorated)}
    assert len(digests) == 4
    assert Named.of("latency_model", made(1)).digest == Named.of("latency_model", made(1)).digest


PROGRAM = """
import sys
import blis

@blis.step_time(parameters=(500.0, 10.0))
def law(batch, parameters):
    return parameters[0] + parameters[1] * batch.prefill_tokens + batch.num_decodes

if __name__ == "__main__":
    blis.simulate(blis.Deployment("m", latency_model=law), blis.DistributionWorkload(num_requests=3))
    sweep = {SWEEP}
    sweep["base"]["latency_model"] = law
    blis.sweep(sweep, executor=sys.argv[1], jobs=2, output=sys.argv[2])
"""


def swept_elsewhere(executor, folder):
    program, output = folder / "program.py", folder / f"{executor}.parquet"
    program.write_text(PROGRAM.replace("{SWEEP}", repr(SWEEP)))
    done = subprocess.run([sys.executable, program, executor, output], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return pl.read_parquet(output)


def expected_rows():
    return blis.sweep({**SWEEP, "base": {**SWEEP["base"], "latency_model": law}}, executor="threads")


def test_a_sweep_takes_it_on_processes(tmp_path):
    assert swept_elsewhere("processes", tmp_path).drop("latency_model").equals(expected_rows().drop("latency_model"))


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["dask", "ray"])
def test_a_sweep_takes_it_on_clusters(executor, tmp_path):
    pytest.importorskip(executor)
    assert swept_elsewhere(executor, tmp_path).drop("latency_model").equals(expected_rows().drop("latency_model"))
