"""The errors to expect that results of the roofline carry: whose they are, and of which load."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import blis
from blis.cli.main import main
from blis.config.hardware import load_hardware
from blis.config.huggingface import shipped_config_folder
from blis.config.model.reading import read_model
from blis.latency.expected_error import (
    ARCHITECTURES,
    FIGURES,
    FULL,
    LEAST_POINTS,
    NOT_FULL,
    expected_errors,
    kind_of,
    load_of,
    neighbourhoods,
)
from blis.outcomes.expected_error import load_figures
from blis.outcomes.reading import read_outcomes

DEPLOYMENT = ("--model", "qwen3-8b", "--hardware", "H100", "--tp", "1")
GPUS = [gpu.name for gpu in load_hardware().gpus]
KINDS = ("dense", "mixture of experts", "latent attention", "hybrid")


def simulated(**load):
    deployment = blis.Deployment("qwen3-8b", hardware="H100", tp=1)
    return blis.simulate(deployment, blis.DistributionWorkload(**load))


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("qwen3-8b", "dense"),
        ("gpt-oss-20b", "mixture of experts"),
        ("deepseek-r1", "latent attention"),
        ("qwen3.5-9b", "hybrid"),
        ("qwen3-next-80b-a3b-instruct", "hybrid"),
    ],
)
def test_kinds_of_models(model, kind):
    assert kind_of(read_model(shipped_config_folder(model))) == kind


@pytest.mark.parametrize(
    ("waiting", "in_system", "load"),
    [
        (0.0, 0.2, "up to 8 at a time, not full"),
        (0.099, 8.4, "up to 8 at a time, not full"),
        (0.1, 8.6, "9 to 64 at a time, full"),
        (0.0, 256, "65 to 256 at a time, not full"),
        (1.0, 257, "more than 256 at a time, full"),
    ],
)
def test_names_of_loads(waiting, in_system, load):
    assert load_of(waiting, in_system) == load


def test_the_nearest_neighbourhood_comes_first():
    assert neighbourhoods("H100-SXM", "dense", "vllm", "up to 8 at a time, full") == [
        "dense with vllm on H100-SXM, up to 8 at a time, full",
        "dense on H100-SXM, up to 8 at a time, full",
        "dense on Hopper, up to 8 at a time, full",
        "dense, up to 8 at a time, full",
        "dense with vllm on H100-SXM, full",
        "dense on H100-SXM, full",
        "dense on Hopper, full",
        "dense, full",
        "up to 8 at a time, full",
        "full",
    ]
    assert neighbourhoods("my own", "hybrid", "vllm", FULL) == [
        *("hybrid with vllm on my own, full", "hybrid on my own, full", "hybrid, full", "full")
    ]


@given(st.sampled_from(GPUS), st.sampled_from(KINDS), st.floats(0, 1), st.floats(0, 1e6))
def test_errors_are_of_enough_points_that_are_as_full(gpu, kind, waiting, in_system):
    load = load_of(waiting, in_system)
    found = expected_errors(gpu, kind, load)
    assert found.keys() <= set(FIGURES)
    assert {"tpot", "ttft", "throughput"} <= found.keys()
    for error in found.values():
        assert error.points >= LEAST_POINTS
        assert 0 <= error.typical <= error.p90
        assert abs(error.bias) <= error.p90
        assert error.of.endswith(NOT_FULL) == load.endswith(NOT_FULL)
        assert error.of in neighbourhoods(gpu, kind, "vllm", load)


def test_gpus_of_architectures_ship():
    known = [gpu for gpus in ARCHITECTURES.values() for gpu in gpus]
    assert len(known) == len(set(known))
    assert set(known) <= set(GPUS)
    assert set(GPUS) - set(known) == {"T4", "Gaudi-3", "TPU-v5e", "TPU-v6e"}


def test_a_run_has_the_errors_of_its_load():
    light, flooded = simulated(rate=2, num_requests=50), simulated(rate=2000, num_requests=1500)
    assert light.expected_error.load.endswith(NOT_FULL)
    assert flooded.expected_error.load == "more than 256 at a time, full"
    assert light.expected_error.errors == expected_errors("H100-SXM", "dense", light.expected_error.load)


def test_the_load_of_a_run_is_that_of_an_instance():
    """Little's law: requests in the system are rate times time; waiting is between the two stamps."""
    workload = blis.DistributionWorkload(rate=20, num_requests=400)
    deployment, cluster = blis.Deployment("qwen3-8b", hardware="H100", tp=1), blis.ClusterOptions(num_instances=2)
    outcomes = blis.simulate(deployment, workload, cluster=cluster)
    found, rows = load_figures(outcomes), outcomes.requests
    inside = rows["finished_us"] - rows["enqueued_us"]
    assert found.in_system == pytest.approx(inside.sum() / outcomes.result.end_us / 2)
    assert found.waiting == pytest.approx((rows["first_scheduled_us"] - rows["enqueued_us"]).sum() / inside.sum())


def test_coefficients_have_none():
    outcomes = blis.simulate("meta-llama/llama-3.1-8b-instruct", blis.DistributionWorkload(num_requests=5))
    assert outcomes.expected_error is None


def test_nothing_completed_is_no_load():
    deployment = blis.Deployment("qwen3-8b", hardware="H100", tp=1)
    outcomes = blis.simulate(deployment, blis.DistributionWorkload(num_requests=5), horizon_us=10)
    assert outcomes.expected_error is None


def test_a_file_of_outcomes_has_the_same(tmp_path):
    outcomes = simulated(rate=2, num_requests=20)
    outcomes.write_parquet(tmp_path / "outcomes.parquet")
    assert read_outcomes(tmp_path / "outcomes.parquet").expected_error == outcomes.expected_error


def test_json_and_tables_say_it(capsys):
    load = ("--rate", "2", "--num-requests", "20")
    assert main(["run", *DEPLOYMENT, *load]) == 0
    said = json.loads(capsys.readouterr().out)["expected_error"]
    error = expected_errors("H100-SXM", "dense", said.pop("load"))
    assert said["tpot"] == {
        "typical_percent": error["tpot"].typical,
        "p90_percent": error["tpot"].p90,
        "bias_percent": error["tpot"].bias,
        "measured_points": error["tpot"].points,
        "of": error["tpot"].of,
    }
    assert main(["run", *DEPLOYMENT, *load, "--output", "table"]) == 0
    shown = capsys.readouterr().out
    assert "Error to expect, " in shown
    assert f"{error['tpot'].typical:.0f} %" in shown
