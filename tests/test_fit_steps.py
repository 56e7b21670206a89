"""Coefficients found from logs of single steps."""

import json

import numpy as np
import polars as pl
import pytest
from helpers_fit import measure, poisson

import blis
from blis.cli.main import main
from blis.config.hardware import load_hardware
from blis.config.huggingface import shipped_config_folder
from blis.config.model.reading import read_model
from blis.errors import InputError, WorkloadError
from blis.latency.blackbox import blackbox_model
from blis.latency.law import step_durations_us
from blis.latency.roofline import roofline_model
from blis.measurement.fit.export import DegenerateFitError, export
from blis.measurement.fit.laws import with_fields
from blis.measurement.fit.step_log import LOADS, read_step_log
from blis.workload.traces.tracev2.tracev2 import trace_paths

LLAMA = "meta-llama/llama-3.1-8b-instruct"
LABEL = blis.Deployment("m", "H100", 1, "0.19.0", alpha_coeffs=(0.0, 0.0, 0.0), beta_coeffs=(1e4, 10.0, 10.0))


def batches(seed, count=400):
    """Loads of all kinds: decodes only at many batch sizes, and steps that also prefill one or two prompts."""
    rng = np.random.default_rng(seed)
    decodes = rng.choice([1, 8, 32, 128], count)
    context = (decodes * rng.integers(100, 4000, count)).astype(np.int64)
    prefills = rng.choice([0, 0, 1, 2], count)
    tokens = prefills * rng.integers(100, 1000, count)
    pairs = np.where(prefills > 0, tokens * (tokens // np.maximum(prefills, 1) + 1) // 2, 0)
    return np.column_stack((tokens, decodes, context, pairs, tokens, prefills, tokens // np.maximum(prefills, 1)))


def noisy(loads, *beta):
    """Lengths of steps under the blackbox law, up to 5 % longer or shorter."""
    duration_us = step_durations_us(blackbox_model((0, 0, 0), beta), loads)
    return duration_us * np.random.default_rng(9).uniform(0.95, 1.05, len(loads))


def vllm_log(path, loads, duration_us):
    lines = [
        f"(EngineCore pid=7) INFO 11-02 10:00:00 [core.py:357] Iteration({i}): {load[5]} context requests, {load[0]} "
        f"context tokens, {load[1]} generation requests, {load[1]} generation tokens, iteration elapsed time: "
        f"{us / 1000:.2f} ms"
        for i, (load, us) in enumerate(zip(loads, duration_us, strict=True))
    ]
    path.write_text("INFO 11-02 09:59:59 Starting to load model\n" + "\n".join(lines) + "\nbye\n", encoding="utf-8")
    return path


def table(path, loads, duration_us, names=LOADS):
    frame = pl.DataFrame({name: loads[:, LOADS.index(name)] for name in names} | {"duration_us": duration_us})
    frame.write_parquet(path) if path.suffix == ".parquet" else frame.write_csv(path)
    return path


def values_of(fit):
    return {one.name: one.value for one in fit.intervals}


def test_a_log_of_vllm_gives_three_coefficients(tmp_path):
    loads = batches(1)
    loads[:, 2:5] = loads[:, 6] = 0  # such logs do not tell contexts
    log = vllm_log(tmp_path / "server.log", loads, noisy(loads, 8_000, 40, 70))
    fit = blis.fit_steps(log, LABEL)
    assert fit.num_measured == {"training": 280, "held_out": 120}
    for one, true in zip(fit.intervals, (8_000, 40, 70), strict=True):
        assert one.low <= true <= one.high
        assert one.value == pytest.approx(true, rel=0.05)
    assert fit.judgements["after"]["held_out"].metrics["step"].mape < 0.03
    assert fit.doubts == []
    with pytest.raises(InputError, match="does not tell decode_context_tokens, which the law extended goes by"):
        blis.fit_steps(log, LABEL, options=blis.FitOptions(law="extended"))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_with_contexts_gives_five(tmp_path, suffix):
    loads = batches(2)
    log = table(tmp_path / f"steps{suffix}", loads, noisy(loads, 8_000, 40, 30, 0.06, 0.9), LOADS[:3])
    fit = blis.fit_steps(log, LABEL, options=blis.FitOptions(law="extended"))
    assert list(values_of(fit).values()) == pytest.approx([8_000, 40, 30, 0.06, 0.9], rel=0.15)
    for one, true in zip(fit.intervals, (8_000, 40, 30, 0.06, 0.9), strict=True):
        assert one.low <= true <= one.high


FIELDS = ("host_step_us", "linear_16bit", "weight_streaming", "decode_attention", "prefill_attention")


def changed_h100(**values):
    return with_fields(load_hardware().get("H100"), "asynchronous", values)


def roofline_of(gpu, model=LLAMA):
    return roofline_model(read_model(shipped_config_folder(model)), gpu, 1, "asynchronous")


@pytest.fixture
def roofline_steps(tmp_path):
    loads = batches(3, 600)
    rng = np.random.default_rng(3)
    truth = dict(zip(FIELDS, (3_000.0, 0.6, 0.8, 0.7, 0.5), strict=True))
    duration_us = step_durations_us(roofline_of(changed_h100(**truth)), loads) * rng.uniform(0.98, 1.02, len(loads))
    return table(tmp_path / "steps.csv", loads, duration_us), truth


def test_steps_tell_all_fields_of_a_gpu_apart_and_the_entry_is_used(roofline_steps, tmp_path):
    log, truth = roofline_steps
    deployment = blis.Deployment(LLAMA, "H100", 1, "0.19.0", latency_model="roofline")
    fit = blis.fit_steps(log, deployment, options=blis.FitOptions(law="roofline", free=FIELDS))
    assert fit.doubts == []
    assert values_of(fit) == {name: pytest.approx(value, rel=0.1) for name, value in truth.items()}
    assert fit.judgements["before"]["held_out"].metrics["step"].mape > 0.1
    assert fit.judgements["after"]["held_out"].metrics["step"].mape < 0.03
    entry = tmp_path / "gpu.json"
    export(fit, entry)
    gpu = load_hardware(entry).get("H100")
    assert gpu.efficiency.linear_16bit == fit.gpu.efficiency.linear_16bit
    assert roofline_of(gpu).parameters == pytest.approx(fit.model.parameters)
    assert "fitted by blis" in gpu.sources["efficiency"]
    assert "fitted by blis" in gpu.sources["host_profiles"]
    assert "fitted by blis" not in gpu.sources["num_sms"]


@pytest.mark.slow
def test_two_models_on_one_gpu_tell_streaming_from_the_host(tmp_path):
    truth = changed_h100(host_step_us=3_000.0, weight_streaming=0.75)
    models = (LLAMA, "qwen/qwen2.5-3b-instruct")
    traces, deployments = [], []
    for i, model in enumerate(models):
        measure(tmp_path / str(i), poisson(i, 200, 4), roofline_of(truth, model))
        traces.append(trace_paths(tmp_path / str(i))[0])
        deployments.append(
            blis.Deployment(model, "H100", 1, "0.19.0", latency_model="roofline", total_kv_blocks=20_000)
        )
    options = blis.FitOptions(law="roofline", free=("host_step_us", "weight_streaming"), holdout=0)
    engine = blis.EngineOptions(async_scheduling=False)
    inflation = []
    for count in (1, 2):
        fit = blis.fit_traces(traces[:count], deployments[:count], engine=engine, options=options)
        inflation.append(fit.found.precision.inflation[-1])
    assert inflation[0] > 500 * inflation[1]
    assert values_of(fit)["host_step_us"] == pytest.approx(3_000, rel=0.02)
    assert values_of(fit)["weight_streaming"] == pytest.approx(0.75, rel=0.01)


def test_steps_of_one_kind_do_not_tell_streaming_from_the_host(tmp_path):
    loads = batches(4, 1000)
    loads = loads[(loads[:, 0] == 0) & (loads[:, 1] == 1)]
    log = table(tmp_path / "steps.csv", loads, step_durations_us(roofline_of(changed_h100()), loads).astype(float))
    deployment = blis.Deployment(LLAMA, "H100", 1, "0.19.0", latency_model="roofline")
    free = ("host_step_us", "weight_streaming")
    fit = blis.fit_steps(log, deployment, options=blis.FitOptions(law="roofline", free=free))
    assert [text.split(":")[0] for text in fit.doubts] == list(free)
    with pytest.raises(DegenerateFitError):
        export(fit, tmp_path / "gpu.json")


def test_a_field_that_nothing_depends_on_is_doubted_and_left_alone(roofline_steps):
    log, _ = roofline_steps
    deployment = blis.Deployment(LLAMA, "H100", 1, "0.19.0", latency_model="roofline")
    options = blis.FitOptions(law="roofline", free=("host_step_us", "experts_8bit"))
    fit = blis.fit_steps(log, deployment, options=options)
    assert fit.doubts == ["experts_8bit: nothing that was measured depends on it"]
    assert fit.gpu.efficiency == load_hardware().get("H100").efficiency


BAD = {
    "nothing.log": ("hello\n", "has no line 'Iteration(…)"),
    "steps.csv": ("prefill_tokens,duration_us\n1,2\n", "column num_decodes is missing; needed: prefill_tokens"),
    "text.csv": ("prefill_tokens,num_decodes,duration_us\n1,x,2\n", "num_decodes: expected numbers, got String"),
    "minus.csv": (
        "prefill_tokens,num_decodes,duration_us\n1,1,2\n1,-1,2\n",
        "row 2: num_decodes: must be a number in [0, 1e+15]",
    ),
    "few.csv": ("prefill_tokens,num_decodes,duration_us\n" + "1,1,20000\n" * 49, "holds 49 steps; at least 50"),
    "hole.csv": (
        "prefill_tokens,num_decodes,duration_us\n1,,2\n1,1,2\n",
        "row 1: num_decodes: must be a number in [0, 1e+15], got nan",
    ),
    "none.parquet": ("not parquet", "cannot be read as a table"),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_logs_are_refused(tmp_path, name):
    text, says = BAD[name]
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WorkloadError) as caught:
        read_step_log(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)


def test_a_log_of_a_server_that_did_not_wait_for_its_gpu_is_refused(tmp_path):
    loads = batches(5)
    path = vllm_log(tmp_path / "server.log", loads, np.where(np.arange(400) % 3, 30.0, 20_000.0))
    with pytest.raises(WorkloadError, match=r"266 of 400 steps took less than 0\.1 ms.*--no-async-scheduling"):
        read_step_log(path)


def test_a_missing_log_is_one_line(tmp_path, capsys):
    assert main(["fit", "--step-log", str(tmp_path / "no.log"), "--model", LLAMA]) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("no.log: cannot be read: No such file or directory")


def test_the_command_takes_a_log(tmp_path, capsys):
    loads = batches(6)
    log = vllm_log(tmp_path / "server.log", loads, noisy(loads, 8_000, 40, 70))
    assert main(["fit", "--step-log", str(log), "--model", LLAMA, "--hardware", "H100", "--tp", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"].split("_")[0] for one in found["coefficients"]] == ["beta0", "beta1", "beta2"]
    assert found["held"] == {"alpha0_us": 0.0, "alpha1_us_per_input_token": 0.0}
    assert found["measured"] == {"training": 280, "held_out": 120}
    assert set(found["after"]["held_out"]) == {"step"}


def test_a_holdout_that_leaves_too_few_steps_is_refused(tmp_path):
    loads = batches(7, 60)
    log = table(tmp_path / "steps.csv", loads, noisy(loads, 8_000, 40, 70))
    with pytest.raises(InputError, match="holdout: leaves 42 of 60 steps to learn from; at least 50 are needed"):
        blis.fit_steps(log, LABEL)
