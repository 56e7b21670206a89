"""Front ends: a station that requests share, names and files of figures, and what they do to runs."""

import dataclasses
import json
from fractions import Fraction

import numpy as np
import pytest
from helpers_docs import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

import blis
from blis.cli.main import main
from blis.config.front_end import NO_FRONT_END, VLLM_FRONT_END, front_end_of
from blis.config.hardware import load_hardware
from blis.config.schema import ClusterOptions, EngineConfig
from blis.errors import CombinationError, ConfigError
from blis.latency.blackbox import blackbox_model
from blis.measurement.fit.export import export
from blis.simulation import control_of, run_engine
from blis.workload.requests import RequestTable

LLAMA = blis.Deployment("meta-llama/llama-3.1-8b-instruct", "H100", 1, latency_model="roofline")


def processor_sharing(arrivals, work):
    """When each leaves a server that all inside share evenly: exact."""
    inside, left, now, out = {}, list(enumerate(arrivals)), Fraction(0), [None] * len(arrivals)
    while inside or left:
        coming = Fraction(left[0][1]) if left else None
        leaving = now + min(inside.values()) * len(inside) if inside else None
        at = min(time for time in (coming, leaving) if time is not None)
        for who in inside:
            inside[who] -= (at - now) / len(inside)
        now = at
        for who in [who for who, missing in inside.items() if missing <= 0]:
            out[who] = now
            del inside[who]
        while left and left[0][1] == now:
            inside[left.pop(0)[0]] = Fraction(work)
    return out


def seen_us(arrivals, intake_us, num_instances=1, routing="round-robin"):
    n = len(arrivals)
    table = RequestTable(np.array(arrivals), np.full(n, 10), np.full(n, 2))
    engine = EngineConfig(total_kv_blocks=200, max_num_running_reqs=32)
    control = control_of(ClusterOptions(num_instances=num_instances, routing_policy=routing), engine)
    model = dataclasses.replace(blackbox_model((0, 0, 0), (1000, 1, 1)), intake_us=intake_us)
    return run_engine(table, engine, model, control).enqueued_us.tolist()


@settings(max_examples=40)
@given(st.lists(st.integers(0, 2_000), min_size=1, max_size=30).map(sorted), st.integers(1, 500))
def test_requests_share_the_server(arrivals, intake_us):
    exact = processor_sharing(arrivals, intake_us)
    for got, true in zip(seen_us(arrivals, intake_us), exact, strict=True):
        assert -1 <= got - true <= 1 + len(arrivals)  # each leaves at a whole µs, and others that much later


@settings(max_examples=40)
@given(st.lists(st.integers(0, 2_000), min_size=2, max_size=30).map(sorted), st.integers(1, 500))
def test_whoever_looks_changes_nothing(arrivals, intake_us):
    """With one instance a router that looks sends everything where one that doesn't sends it, by another way."""
    assert seen_us(arrivals, intake_us) == seen_us(arrivals, intake_us, routing="least-loaded")


def test_a_burst_is_seen_when_all_of_it_is_taken_in():
    assert seen_us([0] * 100, 5_000) == [500_000] * 100
    assert seen_us([0, 10_000, 20_000], 5_000) == [5_000, 15_000, 25_000]
    assert seen_us([0] * 4, 5_000, num_instances=2) == [10_000] * 4


def test_no_more_get_in_than_the_server_has_time_for():
    short = {"prompt_tokens": 9, "prompt_tokens_stdev": 0, "output_tokens": 2, "output_tokens_stdev": 0}
    outcomes = blis.simulate(LLAMA, blis.DistributionWorkload(rate=400, num_requests=1_000, **short))
    assert 190 < 1_000 / outcomes.summary["vllm_estimated_duration_s"] <= 200


@pytest.mark.parametrize("name", ["none", "NONE", "vllm"])
def test_names(name):
    assert front_end_of(name) is {"none": NO_FRONT_END, "vllm": VLLM_FRONT_END}[name.lower()]


def test_a_file(tmp_path):
    path = tmp_path / "ours.yaml"
    path.write_text("request_us: 12000\nprompt_token_us: 1.5\noutput_token_us: 300\nintake_us: 900\nsource: measured\n")
    expected = blis.FrontEnd("ours", "measured", 12_000, 1.5, 300, 900)
    assert front_end_of(path) == front_end_of(str(path)) == front_end_of(expected) == expected
    path.write_text("{}")
    assert front_end_of(path).alpha == (0, 0, 0)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("request_ms: 3", r"ours\.yaml: request_ms: unknown key; did you mean 'request_us'\?"),
        ("intake_us: -1", r"ours\.yaml: intake_us: must be a whole number >= 0, got -1"),
        ("intake_us: 10000000000", r"ours\.yaml: intake_us: must be <= 1e\+09, got 10000000000"),
        ("request_us: soon", r"ours\.yaml: request_us: must be a number"),
    ],
)
def test_files_that_make_no_sense(tmp_path, text, problem):
    path = tmp_path / "ours.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=problem):
        front_end_of(path)


def test_a_name_that_nobody_knows(capsys):
    arguments = ("--model", "llama-3.1-8b-instruct", "--hardware", "H100", "--tp", "1", "--latency-model", "roofline")
    assert main(["run", *arguments, "--front-end", "vlm"]) == 2
    assert "--front-end: unknown name 'vlm'; did you mean 'vllm'?" in capsys.readouterr().err


def test_what_is_left_out_is_vllms_and_none_is_none():
    workload = blis.DistributionWorkload(rate=1, num_requests=40, arrival="constant", output_tokens=5)
    usual, none = (
        blis.simulate(
            blis.Deployment(LLAMA.model, "H100", 1, latency_model="roofline", front_end=front_end), workload
        ).summary
        for front_end in (None, "none")
    )
    assert usual["ttft_mean_ms"] - none["ttft_mean_ms"] == pytest.approx(10)
    assert usual["itl_mean_ms"] == pytest.approx(none["itl_mean_ms"])


@pytest.mark.parametrize(
    "changes",
    [{"latency_model": None, "vllm_version": "0.8.4"}, {"latency_model": None, "beta_coeffs": (1, 2, 3)}],
)
def test_coefficients_have_their_own(changes):
    deployment = blis.Deployment(**{"model": LLAMA.model, "hardware": "H100", "tp": 1, "front_end": "vllm", **changes})
    with pytest.raises(CombinationError, match="front_end: coefficients have one of their own, alpha_coeffs"):
        blis.prepare(deployment, blis.preset("chatbot"))


def test_the_result_says_which(capsys):
    arguments = ("--model", "llama-3.1-8b-instruct", "--hardware", "H100", "--tp", "1", "--latency-model", "roofline")
    assert main(["run", *arguments, "--max-prompts", "10", "--rate", "1"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["completed_requests"] == 10
    assert "front_end: vllm: 5 ms before a request is taken in, 5 ms of the API server's time for each" in err


def hardware_with(front_end, path):
    entry = json.loads((ROOT / "hardware_config.json").read_text())["H100-SXM"]
    path.write_text(json.dumps({"H100-SXM": entry | {"front_end": front_end}}))
    return path


def test_a_hardware_file_may_have_its_own(tmp_path):
    path = hardware_with({"request_us": 7_000, "source": "our gateway"}, tmp_path / "ours.json")
    ours = dataclasses.replace(LLAMA, hardware_config=path)
    resolved = blis.prepare(ours, blis.preset("chatbot")).resolved
    assert resolved.details["latency_model"]["front_end"]["source"] == "our gateway"
    assert (resolved.latency.alpha, resolved.latency.intake_us) == ((7_000, 0, 0), 0)
    none = blis.prepare(dataclasses.replace(ours, front_end="none"), blis.preset("chatbot")).resolved
    assert none.latency.alpha == (0, 0, 0)
    hardware_with({"request_ms": 7}, path)
    with pytest.raises(ConfigError, match=r"front_end\.request_ms: unknown key; did you mean 'request_us'"):
        blis.prepare(ours, blis.preset("chatbot"))


@pytest.mark.slow
def test_what_a_fit_finds_is_exported(tmp_path):
    """Requests that come one by one tell the front end from the host."""
    ours = dataclasses.replace(LLAMA, front_end=blis.FrontEnd("ours", "made up", request_us=30_000))
    simulation = blis.prepare(ours, blis.DistributionWorkload(rate=2, num_requests=150))
    simulation.write_trace(simulation.run(), tmp_path / "measured")
    trace = blis.TraceV2(tmp_path / "measured.yaml", tmp_path / "measured.csv")
    options = blis.FitOptions(law="roofline", free=("host_step_us",), hold={"alpha1_us_per_input_token": 0.0})
    export(blis.fit_traces([trace], [LLAMA], options=options), tmp_path / "fitted.json")
    front_end = load_hardware(tmp_path / "fitted.json").get("H100").front_end
    assert front_end.request_us == pytest.approx(30_000, rel=0.02)
    assert front_end.intake_us == 0
    assert front_end.source.startswith("fitted by blis to ")
