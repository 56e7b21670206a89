"""What an engine takes by itself, and what the type of its cache changes."""

import dataclasses

import pytest
from helpers_models import FULL, of

from blis.cli.main import main
from blis.config.resolve import resolve
from blis.config.schema import Deployment, EngineOptions
from blis.errors import CombinationError, ConfigError
from blis.latency.roofline import step_terms
from blis.studies.sweep.keys import KEYS

LLAMA = "meta-llama/llama-3.1-8b-instruct"
QWEN3 = "qwen/qwen3-14b"  # architecture shipped, no coefficients
COEFFICIENTS = {"alpha_coeffs": (1.0, 2.0, 3.0), "beta_coeffs": (4.0, 5.0, 6.0)}


def decide(model=QWEN3, *, options=None, **deployment):
    return resolve(Deployment(model, **{"tp": 1, **deployment}), options or EngineOptions())


def told(resolved):
    return [note for note in resolved.notes if note.text.startswith("engine: ")]


@pytest.mark.parametrize(
    ("hardware", "version", "requests", "tokens", "share"),
    [
        ("H100", None, 1024, 8192, 0.92),
        ("H200", "0.20.0", 1024, 8192, 0.92),
        ("H200", "0.19.1", 1024, 8192, 0.9),
        ("RTX-PRO-6000-Server", "0.8.5", 1024, 8192, 0.9),
        ("A100-80", None, 256, 2048, 0.92),
        ("A100-80", "0.8.5", 256, 2048, 0.9),
        ("L40S", None, 256, 2048, 0.92),
    ],
)
def test_roofline_takes_what_the_version_takes_on_the_gpu(hardware, version, requests, tokens, share):
    r = decide(hardware=hardware, vllm_version=version)
    assert (r.engine.max_num_running_reqs, r.engine.max_num_scheduled_tokens) == (requests, tokens)
    assert r.details["kv_blocks"]["gpu_memory_utilization"] == share
    (note,) = told(r)
    assert note.level == "warning"
    assert note.text == (
        f"engine: max_num_running_reqs {requests}, max_num_scheduled_tokens {tokens}, gpu_memory_utilization {share}: "
        f"as vLLM {version or '0.33.0'} does by itself on {r.hardware}"
    )


@pytest.mark.parametrize("given", [{}, COEFFICIENTS])
def test_coefficients_come_with_what_they_were_measured_with(given):
    r = decide(LLAMA, hardware="H100", **given)
    assert (r.engine.max_num_running_reqs, r.engine.max_num_scheduled_tokens) == (256, 2048)
    assert r.details["kv_blocks"]["gpu_memory_utilization"] == 0.9
    (note,) = told(r)
    assert note.level == "info"


def test_what_is_given_stays_and_only_what_was_taken_is_told():
    options = EngineOptions(max_num_running_reqs=100)
    r = decide(hardware="H100", options=options, gpu_memory_utilization=0.5)
    assert (r.engine.max_num_running_reqs, r.engine.max_num_scheduled_tokens) == (100, 8192)
    assert r.details["kv_blocks"]["gpu_memory_utilization"] == 0.5
    assert [note.text for note in told(r)] == [
        "engine: max_num_scheduled_tokens 8192: as vLLM 0.33.0 does by itself on H100-SXM"
    ]
    everything = EngineOptions(max_num_running_reqs=100, max_num_scheduled_tokens=200)
    assert told(decide(hardware="H100", options=everything, gpu_memory_utilization=0.9)) == []


def test_a_share_of_the_memory_is_not_told_where_it_is_not_used():
    (note,) = told(decide(hardware="H100", total_kv_blocks=1000))
    assert "gpu_memory_utilization" not in note.text


def test_no_more_requests_by_themselves_than_a_step_has_tokens():
    r = decide(hardware="H100", options=EngineOptions(max_num_scheduled_tokens=300))
    assert r.engine.max_num_running_reqs == 300
    with pytest.raises(ConfigError, match=r"max_num_scheduled_tokens: must be >= max_num_running_reqs \(256\)"):
        decide(LLAMA, hardware="H100", options=EngineOptions(max_num_scheduled_tokens=100))


def test_the_newest_version_is_meant_where_no_coefficients_say_another():
    assert decide(LLAMA, hardware="H100").vllm_version == "0.8.4"
    assert decide(LLAMA, hardware="H100", **COEFFICIENTS).vllm_version is None
    for forced in ({"latency_model": "roofline"}, {"hardware": "H200"}):
        r = decide(LLAMA, **{"hardware": "H100", **forced})
        assert (r.vllm_version, r.details["scheduler_profile"]) == ("0.33.0", "vLLM from 0.19")
    assert decide(LLAMA, hardware="H200", vllm_version="0.8.4").vllm_version == "0.8.4"


def test_every_run_is_told(capsys):
    arguments = ["run", "--model", QWEN3, "--hardware", "H100", "--tp", "1", "--max-prompts", "1"]
    assert main(arguments) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "by itself" in line]
    assert len(lines) == 1
    assert lines[0].startswith("blis: warning: engine: max_num_running_reqs 1024, ")


# ---- The type of the cache ----


@pytest.mark.parametrize("name", ["fp8", "fp8_e4m3", "fp8_e5m2"])
def test_fp8_halves_what_is_read_and_what_a_block_takes(name):
    half, whole = (decide(hardware="H100", kv_cache_dtype=each) for each in (name, "auto"))
    read = [step_terms(each.latency, decodes=[5000] * 8).decode_attention for each in (half, whole)]
    assert read[0] == pytest.approx(read[1] / 2)
    assert half.engine.total_kv_blocks == pytest.approx(2 * whole.engine.total_kv_blocks, abs=1)
    assert (half.details["latency_model"]["kv_element_bytes"], half.warnings) == (1, whole.warnings)


def test_16_bit_is_what_a_model_has_of_itself():
    assert decide(hardware="H100", kv_cache_dtype="bf16").engine == decide(hardware="H100").engine


def test_auto_is_what_the_checkpoint_asks_for():
    made = dataclasses.replace(of(FULL), kv_cache_type="fp8")
    assert [made.kv_element_bytes(name) for name in ("auto", "bf16", "fp8")] == [1, 2, 1]
    assert of(FULL).kv_element_bytes("auto") == 2


def test_coefficients_know_nothing_of_the_cache_and_say_so():
    r = decide(LLAMA, hardware="H100", kv_cache_dtype="fp8")
    assert r.warnings == [
        "kv_cache_dtype: fp8 changes memory only, since step times are not roofline's (latency_model)"
    ]
    plain = decide(LLAMA, hardware="H100")
    assert list(r.latency.parameters) == list(plain.latency.parameters)
    assert r.engine.total_kv_blocks > plain.engine.total_kv_blocks


def test_unknown_types_are_refused():
    with pytest.raises(ConfigError, match=r"^kv_cache_dtype: unknown name 'fp4'; "):
        decide(hardware="H100", kv_cache_dtype="fp4")


@pytest.mark.parametrize("name", ["kv_cache_dtype", "quantization"])
def test_sweeps_have_the_keys(name):
    assert (KEYS[name].field, KEYS[name].kind) == (name, "text")


# ---- Quantising on the way in ----


def test_quantised_weights_are_half_as_much_to_read_and_to_keep():
    half, whole = (decide(hardware="H100", quantization=name) for name in ("fp8", None))
    read = [step_terms(each.latency, decodes=[50]).linear for each in (half, whole)]
    assert read[0] == pytest.approx(read[1] / 2)
    kept = [each.details["kv_blocks"]["bytes_per_gpu"]["weights"] for each in (half, whole)]
    assert 0.5 < kept[0] / kept[1] < 0.6  # embeddings and LM head stay
    assert half.engine.total_kv_blocks > whole.engine.total_kv_blocks


def test_coefficients_know_nothing_of_quantisation_and_say_so():
    r = decide(LLAMA, hardware="H100", quantization="fp8")
    assert r.warnings == ["quantization: fp8 changes memory only, since step times are not roofline's (latency_model)"]
    assert r.latency.name == "blackbox"


def test_quantisation_that_cannot_be():
    with pytest.raises(ConfigError, match=r"^quantization: unknown value 'fp9'; "):
        decide(hardware="H100", quantization="fp9")
    with pytest.raises(CombinationError, match=r"^quantization: fp8 needs a checkpoint of 16 bit"):
        decide("redhatai/phi-4-fp8-dynamic", hardware="H100", quantization="fp8")
    with pytest.raises(CombinationError, match=r"^quantization: fp8 needs to know the model's layers"):
        decide("me/unknown", hardware="H100", quantization="fp8", **COEFFICIENTS)
