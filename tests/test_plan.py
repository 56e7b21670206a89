"""``blis plan``: the cheapest deployment that holds, the front, and what is left out and why."""

import json
import shlex
from pathlib import Path

import pytest
import yaml

import blis
from blis.cli.main import main
from blis.report.tables import render
from blis.studies.capacity.objectives import Slos
from blis.studies.plan.planning import plan
from blis.studies.plan.report import headlines, report, text

#: Fast and dear, slow and cheap: 1 ms and 3 ms per step.
FAST = {"hardware": "fast", "beta_coeffs": [1000, 10, 50]}
SLOW = {"hardware": "slow", "beta_coeffs": [3000, 30, 150]}
LOAD = {
    **{"model": "m", "alpha_coeffs": [100, 1, 10], "total_kv_blocks": 20_000, "rate": 150, "tp": 1},
    **{"prompt_tokens": 200, "prompt_tokens_stdev": 100, "output_tokens": 40, "output_tokens_stdev": 20},
}


def spec(**changed):
    values = {
        "base": LOAD,
        "slos": ["p99_ttft=300ms", "mean_itl=20ms"],
        "prices": {"fast": 5.0, "slow": 1.0},
        "deployments": [FAST, SLOW],
        "num_requests": 1000,
        "replications": 4,
        **changed,
    }
    return {name: value for name, value in values.items() if value is not None}


@pytest.fixture(scope="module")
def found():
    return plan(spec())


def test_the_cheapest_comes_first_and_costs_what_its_gpus_cost(found):
    assert [one.hardware for one in found.choices] == ["slow", "fast"]
    assert found.best.cost_per_hour == found.best.num_gpus * 1.0 == found.best.num_instances
    tokens = found.best.at_rate.output_tokens_per_s
    assert found.best.cost_per_million_output_tokens == pytest.approx(found.best.cost_per_hour / tokens / 3600 * 1e6)
    dear = plan(spec(prices={"fast": 5.0, "slow": 100.0}))
    assert dear.best.hardware == "fast"


def test_the_number_of_instances_is_the_fewest(found):
    """One less misses the SLOs at the rate with its margin."""
    best = found.best
    fewer = plan(spec(deployments=[{**SLOW, "num_instances": best.num_instances - 1}]))
    assert fewer.best is None


def test_choices_hold_with_seeds_that_nobody_has_seen(found):
    for one in found.choices:
        settings = FAST if one.hardware == "fast" else SLOW
        deployment = blis.Deployment(
            "m", beta_coeffs=settings["beta_coeffs"], alpha_coeffs=(100, 1, 10), total_kv_blocks=20_000
        )
        shape = {name: value for name, value in LOAD.items() if "tokens" in name}
        workload = blis.DistributionWorkload(rate=150, num_requests=20_000, **shape)
        for seed in (777, 778, 779):
            cluster = blis.ClusterOptions(one.num_instances)
            summary = blis.simulate(deployment, workload, cluster=cluster, seed=seed).summary
            assert summary["ttft_p99_ms"] <= 300
            assert summary["itl_mean_ms"] <= 20


def test_nothing_on_the_front_is_beaten(found):
    front = found.front
    assert found.best in front
    for one in front:
        for other in found.choices:
            assert other is one or any(a > b for a, b in zip(other.costs, one.costs, strict=True))
    same = plan(spec(deployments=[SLOW, {**SLOW, "price_per_gpu_hour": 2.0}]))
    assert len(same.choices) == 2
    assert [one.cost_per_hour for one in same.front] == [same.best.cost_per_hour]


def test_the_front_goes_by_the_latencies_that_are_limited(found):
    """Mean ITL is limited, so its p99 is no reason to be on the front; TTFT is limited by its p99."""
    assert found.file.slos.latencies == ("p99_ttft", "mean_itl")
    for one in found.choices:
        cost, ttft, itl, _ = one.costs
        assert cost == one.cost_per_hour
        assert ttft == one.at_rate.estimates["p99_ttft"].mean
        assert itl == one.at_rate.estimates["mean_itl"].mean


@pytest.mark.parametrize(
    ("slos", "latencies"),
    [
        (["p95_ttft=1s"], ("p95_ttft", "p99_itl")),
        (["p90_tpot=1s", "p50_e2e=9s"], ("p90_tpot", "p50_e2e", "p99_ttft")),
        (["ttft=1s"], ("p99_ttft", "p99_itl")),
        (["p50_ttft=1s", "p99_ttft=2s", "mean_itl=1s"], ("p50_ttft", "p99_ttft", "mean_itl")),
    ],
)
def test_latencies_to_choose_by(slos, latencies):
    assert Slos.of(slos).latencies == latencies


def test_a_month_has_730_hours(found):
    best = report(found)["best"]
    assert best["cost_per_month"] == pytest.approx(730 * best["cost_per_hour"])
    assert f", {730 * found.best.cost_per_hour:,.0f} per month of 730 h" in next(headlines(found))


def test_a_mark_only_where_some_are_beaten(found):
    assert not found.has_beaten
    assert "nothing else beats" not in render(text(found))
    beaten = plan(spec(deployments=[SLOW, {**SLOW, "price_per_gpu_hour": 2.0}]))
    assert beaten.has_beaten
    shown = render(text(beaten))
    assert "* nothing else beats" in shown
    assert sum(line.startswith("* ") for line in shown.splitlines()) == len(beaten.front) == 1


@pytest.mark.parametrize("width", [80, 100])
def test_the_table_cuts_no_figure(found, monkeypatch, width):
    monkeypatch.setattr("blis.report.tables._WIDTH", width)
    lines = render(text(found)).splitlines()
    assert "…" not in "".join(lines)
    assert max(len(line) for line in lines if "blis run" not in line) <= width
    for one in found.choices:
        assert any(f"{one.cost_per_month:,.0f}" in line for line in lines)


def test_it_is_deterministic(found):
    assert found.frame.equals(plan(spec(), jobs=1).frame)


def test_none_and_what_comes_closest():
    result = plan(spec(slos=["p50_ttft=2ms"]))
    assert result.best is None
    assert result.closest.candidate.settings["hardware"] == "fast"
    assert result.closest.missed == "p50_ttft"
    assert "even an idle instance: p50_ttft is" in result.closest.reason
    few = plan(spec(max_instances=1, deployments=[SLOW]))
    assert few.best is None
    assert "would be needed" in few.rejected[0].reason


def test_what_does_not_fit_is_left_out_with_the_reason():
    llama = {"model": "meta-llama/llama-3.1-70b-instruct", "latency_model": "roofline", "num_instances": 1}
    base = {"workload": "chatbot", "rate": 1}
    deployments = [{**llama, "hardware": "H100", "tp": [1, 4]}]
    result = plan(spec(base=base, deployments=deployments, prices={"H100": 4}, slos=["p99_ttft=5s"]))
    assert [one.num_gpus for one in result.choices] == [4]
    assert "does not fit" in result.rejected[0].reason


def test_the_command_simulates_the_choice(found, capsys):
    words = shlex.split(found.best.command)
    assert words[:2] == ["blis", "run"]
    assert main(words[1:]) == 0
    out = capsys.readouterr().out
    assert f'"instance_id": "instance_{found.best.num_instances - 1}"' in out or found.best.num_instances == 1


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"slos": None}, "plan: missing slos"),
        ({"slos": []}, "plan: slos: at least one"),
        ({"slos": ["p99_tfft=1s"]}, "plan: slos: unknown metric 'p99_tfft'"),
        ({"prices": {"fast": 1}}, "plan: prices: none of slow"),
        ({"deployments": []}, "plan: deployments: must hold one"),
        (
            {"deployments": [{**FAST, "hardwre": 1}]},
            "plan: deployments[0].hardwre: unknown key; did you mean 'hardware'",
        ),
        ({"deployments": [{**FAST, "rate": 1}]}, "plan: deployments[0].rate: is the same for all deployments"),
        ({"deployments": [{**FAST, "num_instances": 0}]}, "plan: deployments[0].num_instances: must be at least 1"),
        ({"base": {**LOAD, "num_instances": 1}}, "plan: base.num_instances: belongs to the deployments"),
        ({"base": {**LOAD, "max_prompts": 5}}, "plan: base.max_prompts: is decided by the plan"),
        ({"margin": -1}, "plan: margin: must be a number"),
        ({"merge": 1}, "plan: merge: unknown key"),
        ({"base": {**LOAD, "rate": -1}, "deployments": [FAST]}, "plan: base.rate: must be"),
    ],
)
def test_wrong_files_are_one_line(changed, says):
    with pytest.raises(blis.ConfigError) as error:
        plan(spec(**changed))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_command_line(tmp_path, capsys):
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(spec()))
    assert main(["plan", str(path)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["best"]["hardware"] == "slow"
    assert len(result["choices"]) == 2
    assert main(["plan", str(path), "--output", "table"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Cheapest for 150 requests per second with a margin of 10% (165 per second): ")
    assert "  blis run " in out
    path.write_text(yaml.safe_dump(spec(slos=["p50_ttft=2ms"])))
    assert main(["plan", str(path), "--output", "table"]) == 0
    assert "None of the deployments meets the SLOs" in capsys.readouterr().out
    assert main(["plan", str(tmp_path / "no.yaml")]) == 2
    assert "no.yaml: cannot be read" in capsys.readouterr().err


@pytest.mark.slow
def test_the_example_holds(capsys):
    example = Path(blis.__file__).parent.parent / "examples" / "plan.yaml"
    assert main(["plan", str(example)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["best"] is not None


ONE_OUTPUT_TOKEN = {"output_tokens": 1, "output_tokens_min": 1, "output_tokens_max": 1, "output_tokens_stdev": 0}


def test_what_no_request_has_is_no_figure():
    """Of one output token there are no gaps: a dash and null, not 0."""
    found = blis.plan(spec(base={**LOAD, **ONE_OUTPUT_TOKEN}, slos=["p99_ttft=1s"]))
    assert found.best is not None
    assert set(found.frame["p99_itl_ms"]) == {None}
    assert report(found)["best"]["p99_itl_ms"] is None
    rows = [line for line in render(text(found)).splitlines() if "  blis run " not in line]
    assert not any(" 0 " in row for row in rows)
    assert found.front


@pytest.mark.parametrize("slo", ["p99_itl=1us", "mean_itl=1s", "p50_tpot=1s", "tpot=1s"])
def test_what_no_request_has_cannot_be_limited(slo):
    changed = spec(base={**LOAD, **ONE_OUTPUT_TOKEN}, slos=["p99_ttft=1s", slo])
    with pytest.raises(blis.WorkloadError, match=f"^slos: {slo.partition('=')[0]}: no request has a second token"):
        blis.plan(changed)


def test_instances_if_steps_are_off():
    roofline = {"hardware": "H100", "tp": 1, "latency_model": "roofline"}
    base = {"model": "meta-llama/llama-3.1-8b-instruct", "workload": "chatbot", "rate": 100}
    found = blis.plan(
        {
            "base": base,
            "slos": ["p99_ttft=500ms"],
            "prices": {"H100": 2.0},
            "deployments": [roofline],
            "num_requests": 300,
            "replications": 2,
        }
    )
    best = found.best
    percent = best.step_error.percent
    assert percent > 0
    assert best.step_error.fast <= best.num_instances <= best.step_error.slow
    assert any(f" if steps are {percent} % off, as they may be." in line for line in headlines(found))
    assert found.frame["num_instances_if_steps_longer"].to_list() == [best.step_error.slow]


def test_nothing_is_full_beyond_what_it_bears(found):
    assert all(one.saturation_rate > found.rate * (1 + found.file.margin) for one in found.choices)


def test_requests_turned_away_count_as_endless():
    """Whether an SLO is on that, or a figure that is always there is."""
    strict = {**LOAD, "admission_policy": "reject-all"}
    found = plan(spec(base=strict, deployments=[FAST]))
    assert json.loads(json.dumps(report(found), allow_nan=False))["closest"]["strain"] is None
    assert "p99_ttft is endless" in " ".join(headlines(found))
    lax = {**LOAD, "admission_policy": "token-bucket", "token_bucket_refill_rate": 25_000, "rate": 140}
    found = plan(spec(base=lax, slos=["ttft=300ms"], goodput=0.5, margin=0, deployments=[FAST]))
    best = json.loads(json.dumps(report(found), allow_nan=False))["best"]
    assert best["p99_ttft_ms"] is None
    assert best["goodput"] < 0.99
