"""`blis run` of several instances, from flags and policy files to figures."""

import json
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from helpers_cli import LLAMA, ROUND

import blis
from blis.cli.main import main
from blis.workload.distribution import DistributionWorkload

pytestmark = pytest.mark.usefixtures("compiled_engine")

EXAMPLES = Path(blis.__file__).parent.parent / "examples"
FOUR = ("--num-instances", "4", "--rate", "20", "--max-prompts", "200")
INSTANCES = [f"instance_{i}" for i in range(4)]


def run(capsys, *args):
    """Metrics blocks by instance id, and the whole document."""
    code = main(["run", *map(str, args)])
    out, err = capsys.readouterr()
    assert code == 0, err
    document = json.loads(out)
    blocks = [*document.get("instances", ()), document]
    return {block.get("instance_id"): block for block in blocks}, document


def instances_of_requests(capsys, tmp_path, *args):
    """Instance id of each request by arrival, None where it was sent to none."""
    run(capsys, *args, "--results-path", tmp_path / "r.json")
    return [request["instance_id"] for request in json.loads((tmp_path / "r.json").read_text())["requests"]]


def write_trace(path, **columns):
    pl.DataFrame(columns).write_parquet(path)
    return ("--workload", "traces", "--workload-traces-filepath", path)


def test_requests_are_dealt_in_turn(capsys, tmp_path):
    assert instances_of_requests(capsys, tmp_path, *LLAMA, *FOUR) == INSTANCES * 50


def test_every_instance_and_the_cluster_have_their_figures(capsys):
    blocks, _ = run(capsys, *LLAMA, *FOUR)
    assert list(blocks) == [*INSTANCES, "cluster"]
    assert [blocks[name]["completed_requests"] for name in INSTANCES] == [50] * 4
    assert blocks["cluster"]["completed_requests"] == 200
    tokens = sum(blocks[name]["total_output_tokens"] for name in INSTANCES)
    assert blocks["cluster"]["total_output_tokens"] == tokens


@pytest.mark.parametrize("name", ["policy-config.yaml", "weighted-routing.yaml"])
def test_examples_run(capsys, tmp_path, name):
    flags = (*LLAMA, *FOUR, "--policy-config", EXAMPLES / name)
    blocks, _ = run(capsys, *flags)
    cluster = blocks["cluster"]
    assert cluster["completed_requests"] + cluster["rejected_requests"] == cluster["injected_requests"] == 200
    used = instances_of_requests(capsys, tmp_path, *flags)
    assert set(used) - {None} == set(INSTANCES)
    assert used.count(None) == cluster["rejected_requests"]


def test_flags_win_over_the_file(capsys):
    config = ("--policy-config", EXAMPLES / "policy-config.yaml")
    blocks, document = run(capsys, *LLAMA, *FOUR, *config, "--admission-policy", "reject-all")
    assert blocks["cluster"]["completed_requests"] == 0
    assert blocks["cluster"]["rejected_requests"] == 200
    assert document["anomalies"]["rejected_requests"] == 200


def test_always_busiest_uses_one_instance(capsys, tmp_path):
    """Ties go to the first one, so it is the busiest from the first request on."""
    used = instances_of_requests(capsys, tmp_path, *LLAMA, *FOUR, "--routing-policy", "always-busiest")
    assert set(used) == {"instance_0"}


def test_weights_change_where_requests_go(capsys, tmp_path):
    flags = (*LLAMA, "--num-instances", 4, "--rate", 1000, "--max-prompts", 500, "--routing-policy", "weighted")
    cache = instances_of_requests(capsys, tmp_path, *flags, "--routing-cache-weight", 0.9, "--routing-load-weight", 0.1)
    load = instances_of_requests(capsys, tmp_path, *flags, "--routing-cache-weight", 0.1, "--routing-load-weight", 0.9)
    assert cache != load


def test_latencies_of_admission_and_routing_count(capsys, tmp_path):
    """1.22 ms: visible after 100 + 10 µs, prefill of 1000 + 10 * 10, 10 µs at the client; then 1 ms and 5 ms more."""
    trace = write_trace(tmp_path / "t.parquet", arrival_us=[0], input_tokens=[10], output_tokens=[3])
    blocks, _ = run(capsys, *ROUND, *trace)
    assert blocks[None]["ttft_mean_ms"] == pytest.approx(1.22)
    blocks, _ = run(capsys, *ROUND, *trace, "--admission-latency", 1000, "--routing-latency", 5000)
    assert blocks[None]["ttft_mean_ms"] == pytest.approx(7.22)


def test_a_token_bucket_refuses_what_it_cannot_pay(capsys, tmp_path):
    """100 tokens at the start, 10 a second: 60 are paid, 60 are too many, and 0.2 s later 42 are left for 41."""
    trace = write_trace(
        tmp_path / "t.parquet", arrival_us=[0, 1, 200_000], input_tokens=[60, 60, 41], output_tokens=[3, 3, 3]
    )
    bucket = ("--token-bucket-capacity", 100, "--token-bucket-refill-rate", 10)
    used = instances_of_requests(capsys, tmp_path, *ROUND, *trace, "--admission-policy", "token-bucket", *bucket)
    assert used == ["instance_0", None, "instance_0"]


def test_python_and_command_line_agree(capsys):
    blocks, _ = run(capsys, *LLAMA, *FOUR, "--policy-config", EXAMPLES / "weighted-routing.yaml")
    policies = blis.load_policies(EXAMPLES / "weighted-routing.yaml")
    outcomes = blis.simulate(
        LLAMA[1],
        DistributionWorkload(rate=20, num_requests=200),
        engine=policies.engine(),
        cluster=policies.cluster(num_instances=4),
    )
    figures = outcomes.summary | {"steady_state": outcomes.steady_state.figures()}
    assert {key: blocks["cluster"][key] for key in figures} == figures


def test_a_summary_of_decisions(capsys):
    trace = ("--trace-level", "decisions", "--counterfactual-k", 2, "--summarize-trace")
    summary = run(capsys, *LLAMA, *FOUR, *trace)[1]["trace_summary"]
    assert (summary["total_decisions"], summary["admitted"], summary["unique_targets"]) == (200, 200, 4)
    assert summary["target_distribution"] == dict.fromkeys(INSTANCES, 50)
    assert summary["mean_regret"] is not None


def test_decisions_are_written(capsys, tmp_path):
    path = tmp_path / "trace.parquet"
    run(capsys, *LLAMA, *FOUR, "--trace-level", "decisions", "--trace-path", path)
    assert pq.read_metadata(path).num_rows > 0


def test_a_fitness_score(capsys):
    _, document = run(capsys, *LLAMA, *FOUR, "--fitness-weights", "throughput:0.5,p99_ttft:0.3,mean_e2e:0.2")
    assert 0.0 < document["fitness"]["score"] < 1.0
    assert sorted(document["fitness"]["components"]) == ["mean_e2e", "p99_ttft", "throughput"]


def test_wrong_fitness_weights_stop_before_the_run(capsys, monkeypatch):
    monkeypatch.setattr("blis.api.prepare", None)  # would be called next
    assert main(["run", *LLAMA, "--fitness-weights", "p99_tft:1"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("blis: error: --fitness-weights")
    assert "p99_ttft" in err
    assert len(err.splitlines()) == 1


def test_targets_of_classes(capsys, tmp_path):
    """Each request alone takes 3.242 ms: within 4 ms, but not within 3."""
    trace = write_trace(
        tmp_path / "t.parquet",
        arrival_us=[0, 100_000],
        input_tokens=[10, 10],
        output_tokens=[3, 3],
        slo_class=["batch", "interactive"],
    )
    classes = run(capsys, *ROUND, *trace, "--slo-targets", "batch:4,interactive:3")[1]["slo_classes"]
    assert [(name, figures["attainment"]) for name, figures in classes.items()] == [
        ("batch", 1.0),
        ("interactive", 0.0),
    ]
