"""Runs of workload specs, written as TraceV2 and replayed: rows and figures of the replay are those of the run."""

import dataclasses
from pathlib import Path

import pytest
from helpers_spec import write
from hypothesis import given, settings
from hypothesis import strategies as st

import blis
from blis.report.sections import Report

EXAMPLES = Path(blis.__file__).parents[1] / "examples"
#: Few blocks, so that requests wait and are preempted; 10 µs per token at the client.
MODEL = blis.Deployment("m", alpha_coeffs=(100.0, 1.0, 10.0), beta_coeffs=(2000.0, 20.0, 5.0), total_kv_blocks=1500)
CLUSTERS = {
    "one": blis.ClusterOptions(),
    "three": blis.ClusterOptions(num_instances=3, routing_policy="least-loaded", routing_latency_us=150),
    "affinity": blis.ClusterOptions(num_instances=3, routing_policy="prefix-affinity", admission_latency_us=70),
    "bucket": blis.ClusterOptions(
        admission_policy="token-bucket", token_bucket_capacity=10_000, token_bucket_refill_rate=1_500
    ),
}


def specs():
    """Names of the workload specs among the examples."""
    keys = ("clients:", "servegen_data:")
    return sorted(
        path.name
        for path in EXAMPLES.glob("*.yaml")
        if any(line.startswith(keys) for line in path.read_text().splitlines())
    )


def assert_replay_is_equal(folder, spec, cluster, model=MODEL, **options):
    """Run, write and replay; gives the rows of the run."""
    simulation = blis.prepare(model, blis.load_workload_spec(spec), cluster=cluster, **options)
    before = simulation.run()
    simulation.write_trace(before, folder / "t")
    replayed = blis.TraceV2(folder / "t.yaml", folder / "t.csv")
    after = blis.simulate(model, replayed, cluster=cluster, engine=options.get("engine"))
    assert after.requests.equals(before.requests)
    assert Report(after).values() == Report(before).values()
    return before.requests


def test_all_kinds_of_specs_are_among_the_examples():
    assert {"workload-sessions.yaml", "workload-closed-loop.yaml", "workload-multimodal.yaml"} <= set(specs())
    assert {"servegen-language.yaml", "workload-servegen.yaml"} <= set(specs())


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("name", specs())
def test_examples(tmp_path, name, cluster):
    rows = assert_replay_is_equal(tmp_path, EXAMPLES / name, CLUSTERS[cluster])
    status = set(rows["status"])
    assert "completed" in status
    assert ("rejected" in status) == (cluster == "bucket")
    if name == "workload-sessions.yaml":
        assert ("not_sent" in status) == (cluster == "bucket")
        assert rows["session_id"].null_count() == 0
    if name in ("workload-closed-loop.yaml", "servegen-language.yaml"):
        assert rows["session_id"].null_count() == len(rows)


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("name", ["workload-sessions.yaml", "workload-closed-loop.yaml"])
def test_runs_cut_by_a_horizon(tmp_path, name, cluster):
    """Whoever would have waited for what was cut does so in the replay, too."""
    rows = assert_replay_is_equal(tmp_path, EXAMPLES / name, CLUSTERS[cluster], horizon_us=9_000_000)
    assert rows["arrival_us"].null_count() > 0


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_conversations_of_users_who_wait(tmp_path, cluster):
    """Sessions one after the other per user, beside clients with a rate."""
    spec = write(
        tmp_path,
        "aggregate_rate: 20\nnum_requests: 300",
        """
        concurrency: 6
        num_requests: 120
        think_time_us: 3000
        reasoning: {multi_turn: {max_rounds: 4, think_time_us: 20000, context_growth: accumulate}}
        """,
        "prefix_group: p\nprefix_length: 40\narrival: {process: gamma, cv: 2.0}",
    )
    rows = assert_replay_is_equal(tmp_path, spec, CLUSTERS[cluster])
    assert rows["session_id"].drop_nulls().n_unique() == 30
    assert rows["session_id"].null_count() == 180


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_users_who_send_right_after_a_step(tmp_path, cluster):
    """Tokens cost the client nothing, and nobody thinks: a microsecond lies between an answer and the next request."""
    free = dataclasses.replace(MODEL, alpha_coeffs=(0.0, 0.0, 0.0))
    spec = write(tmp_path, "num_requests: 200", "concurrency: 8\nthink_time_us: 0")
    assert_replay_is_equal(tmp_path, spec, CLUSTERS[cluster], model=free)


CLIENTS = (
    "reasoning: {multi_turn: {max_rounds: 3, think_time_us: 30000, context_growth: accumulate}}",
    "prefix_group: p\nprefix_length: 40\nslo_class: batch\nnetwork: {rtt_ms: 2}",
    "concurrency: 3\nnum_requests: 15\nthink_time_us: 3000\ntenant_id: t",
    """
    concurrency: 2
    num_requests: 12
    reasoning: {multi_turn: {max_rounds: 3, think_time_us: 20000}}
    """,
)
runs = st.fixed_dictionaries(
    {
        "clients": st.lists(st.sampled_from(CLIENTS), min_size=1, max_size=3, unique=True),
        "num_requests": st.integers(3, 60),
        "horizon_us": st.none() | st.integers(0, 1_500_000),
        "cluster": st.sampled_from(sorted(CLUSTERS)),
        "max_model_len": st.sampled_from([None, 260, 130]),
        "async_scheduling": st.booleans(),
        "seed": st.integers(0, 1000),
    }
)


@settings(max_examples=60)
@given(runs)
def test_any_run_and_its_replay_are_equal(tmp_path_factory, run):
    """Sessions, closed loops, cuts, requests turned away or refused, and runs in which nothing arrives."""
    folder = tmp_path_factory.mktemp("run")
    is_open = any("concurrency" not in client for client in run["clients"])
    top = f"num_requests: {run['num_requests']}" + ("\naggregate_rate: 40" if is_open else "")
    engine = blis.EngineOptions(max_model_len=run["max_model_len"], async_scheduling=run["async_scheduling"])
    simulated = {"horizon_us": run["horizon_us"], "seed": run["seed"], "engine": engine}
    assert_replay_is_equal(folder, write(folder, top, *run["clients"]), CLUSTERS[run["cluster"]], **simulated)
