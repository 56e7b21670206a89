"""What is decided for the user, by which rule, and whether they are told."""

import dataclasses
import json

import pytest

from blis.config.defaults import load_defaults
from blis.config.front_end import VLLM_FRONT_END
from blis.config.resolve import resolve
from blis.config.schema import Deployment, EngineOptions
from blis.errors import CapacityError, ConfigError
from blis.files.resources import data_path
from blis.latency.expected_error import NOT_FULL, expected_errors

LLAMA = "meta-llama/llama-3.1-8b-instruct"
QWEN3 = "qwen/qwen3-14b"  # architecture shipped, no coefficients
OWN = {"alpha_coeffs": (1.0, 2.0, 3.0), "beta_coeffs": (4.0, 5.0, 6.0)}


def decide(model=LLAMA, *, options=None, **deployment):
    return resolve(Deployment(model, **deployment), options or EngineOptions())


def texts(resolved, level=None):
    return "\n".join(note.text for note in resolved.notes if level in (None, note.level))


# ---- Which model of step time ----


def test_a_model_alone_takes_its_defaults_and_says_so():
    r = decide()
    assert (r.model, r.hardware, r.tp, r.vllm_version) == (LLAMA, "H100-SXM", 2, "0.8.4")
    assert r.latency.name == "blackbox"
    assert r.latency.alpha[0] == 1601.350510688092
    assert r.latency.parameters[0] == 6910.420479880494
    assert "hardware: H100, the default of" in texts(r, "info")
    assert "tp: 2, the default of" in texts(r, "info")
    assert "vllm_version: 0.8.4, the default of" in texts(r, "info")
    assert "latency_model: blackbox, coefficients published for H100:2:0.8.4" in texts(r, "info")
    assert texts(r, "warning") == ""


@pytest.mark.parametrize("hardware", ["A100-80", "a100-sxm", "A100-80-SXM"])
@pytest.mark.parametrize("version", ["vllm/vllm-openai:v0.8.4", "v0.8.4", "0.8.4"])
def test_names_are_alike_in_all_their_forms(hardware, version):
    r = decide(LLAMA.upper(), hardware=hardware, tp=1, vllm_version=version)
    assert (r.model, r.hardware, r.vllm_version) == (LLAMA, "A100-80-SXM", "0.8.4")
    assert r.latency.parameters[0] == 16441.531547147923
    assert "the default of" not in texts(r)


def test_each_missing_part_is_filled_in_by_itself():
    r = decide(hardware="A100-80")
    assert (r.tp, r.vllm_version) == (2, "0.8.4")
    assert r.latency.parameters[0] == 8001.630597822392


def test_no_matching_coefficients_lead_to_the_roofline():
    r = decide(hardware="H200", tp=2)
    assert r.latency.name == "roofline"
    warnings = texts(r, "warning")
    assert (
        "roofline, since no coefficients match H200-SXM:2:0.33.0; coefficients exist for A100-80:1:0.8.4, " in warnings
    )
    assert "latency_model: roofline, whose TPOT was typically " in warnings


def test_another_version_than_the_published_one_leads_to_the_roofline():
    r = decide(vllm_version="0.11.0")
    assert r.latency.name == "roofline"
    assert r.details["latency_model"]["host_profile"] == "full"


def test_a_model_without_coefficients():
    r = decide(QWEN3, hardware="H100", tp=1)
    assert r.latency.name == "roofline"
    assert r.vllm_version == "0.33.0"
    assert "vllm_version: 0.33.0, the newest that is modelled" in texts(r, "info")
    assert "no coefficients of this model are known" in texts(r, "warning")
    assert r.details["latency_model"] == {
        "name": "roofline",
        "origin": "architecture and hardware file",
        "host_profile": "asynchronous",
        "model_kind": "dense",
        "accuracy_percent": round(expected_errors("H100-SXM", "dense", NOT_FULL)["tpot"].typical),
        "hardware_status": "measured",
        "kv_element_bytes": 2,
        "front_end": dataclasses.asdict(VLLM_FRONT_END),
    }


@pytest.mark.parametrize(
    ("model", "hardware", "tp", "kind"),
    [
        (QWEN3, "H100-SXM", 1, "dense"),
        ("redhatai/phi-4-fp8-dynamic", "H200-SXM", 1, "dense"),
        ("mistralai/mixtral-8x7b-instruct-v0.1", "H200-SXM", 2, "mixture of experts"),
        ("deepseek-ai/deepseek-r1", "H200-SXM", 8, "latent attention"),
        ("qwen/qwen3-next-80b-a3b-instruct", "H200-SXM", 4, "hybrid"),
        (QWEN3, "MI300X", 1, "dense"),
        (QWEN3, "TPU-v6e", 2, "dense"),
    ],
)
def test_every_roofline_result_says_how_far_to_trust_it(model, hardware, tp, kind):
    r = decide(model, hardware=hardware, tp=tp)
    error = expected_errors(hardware, kind, NOT_FULL)["tpot"]
    said = f"roofline, whose TPOT was typically {error.typical:.0f} % off, in 1 of 10 cases more than {error.p90:.0f} %"
    assert f"{said}, on {error.points} measured points ({error.of})" in texts(r, "warning")
    assert r.details["latency_model"]["accuracy_percent"] == round(error.typical)
    assert ("efficiencies of TPU-v6e are guesses" in texts(r, "warning")) == (hardware == "TPU-v6e")


def test_roofline_can_be_forced():
    r = decide(latency_model="roofline")
    assert r.latency.name == "roofline"
    assert (r.vllm_version, r.details["latency_model"]["host_profile"]) == ("0.33.0", "asynchronous")
    assert "no coefficients match" not in texts(r)


def test_blackbox_can_be_forced():
    assert decide(latency_model="blackbox").latency.name == "blackbox"
    with pytest.raises(
        ConfigError, match=r"no coefficients for .* on H100-SXM:8:0\.8\.4; coefficients exist for A100-80:1"
    ):
        decide(tp=8, latency_model="blackbox")


def test_coefficients_come_before_given_config_and_hardware_files():
    files = {
        "model_config_folder": data_path("model_configs") / "llama-3.1-8b-instruct",
        "hardware_config": data_path("hardware_config.json"),
    }
    r = decide(**files)
    assert r.latency.name == "blackbox"
    assert "coefficients come before the given config and hardware files" in texts(r, "warning")
    assert decide(**files, latency_model="roofline").latency.name == "roofline"
    assert decide("me/new-model", hardware="H100", tp=1, **files).latency.name == "roofline"


# ---- Coefficients of the user's own ----


def test_own_coefficients_need_nothing_else():
    r = decide("nobody/nothing", **OWN)
    assert r.latency.name == "blackbox"
    assert r.latency.alpha == (1.0, 2.0, 3.0)
    assert list(r.latency.parameters) == [4.0, 5.0, 6.0, 0.0, 0.0]
    assert (r.hardware, r.tp, r.vllm_version) == (None, None, None)
    assert r.engine.total_kv_blocks == 1_000_000
    assert "total_kv_blocks: 1000000, since model, GPU and TP do not tell" in texts(r, "warning")


def test_own_coefficients_take_no_defaults_of_the_model():
    r = decide(**OWN)
    assert (r.hardware, r.tp, r.vllm_version) == (None, None, None)
    assert r.engine.preallocated_tokens == 0


def test_own_coefficients_with_labels_nobody_knows():
    r = decide("nobody/nothing", hardware="TPUv5", tp=3, **OWN)
    assert (r.hardware, r.tp) == ("TPUv5", 3)
    assert "hardware: TPUv5 is not in the hardware file and serves as a label only" in texts(r, "warning")


def test_own_coefficients_with_a_known_deployment_derive_the_blocks():
    own = decide(hardware="H100", tp=2, vllm_version="0.8.4", **OWN)
    assert own.engine.total_kv_blocks == decide().engine.total_kv_blocks == 63_127


def test_beta_alone_looks_up_alpha():
    r = decide(beta_coeffs=(4.0, 5.0, 6.0))
    assert r.latency.alpha[0] == 1601.350510688092
    assert "alpha_coeffs: published for H100:2:0.8.4" in texts(r)
    r = decide("nobody/nothing", beta_coeffs=(4.0, 5.0, 6.0))
    assert r.latency.alpha == (0.0, 0.0, 0.0)
    assert "alpha_coeffs: all zero" in texts(r)


def test_alpha_alone_looks_up_beta():
    r = decide(alpha_coeffs=(1.0, 2.0, 3.0))
    assert r.latency.alpha == (1.0, 2.0, 3.0)
    assert r.latency.parameters[0] == 6910.420479880494
    with pytest.raises(ConfigError, match=r"^beta_coeffs: not given, and none known for nobody/nothing"):
        decide("nobody/nothing", alpha_coeffs=(1.0, 2.0, 3.0))
    with pytest.raises(ConfigError, match=r"^beta_coeffs: .* on H100-SXM:8:0\.8\.4; coefficients exist for"):
        decide(tp=8, alpha_coeffs=(1.0, 2.0, 3.0))


def test_all_zero_coefficients_are_taken_as_given():
    r = decide(alpha_coeffs=(0.0, 0.0, 0.0), beta_coeffs=(0.0, 0.0, 0.0))
    assert r.latency.name == "blackbox"
    assert list(r.latency.parameters) == [0.0] * 5


# ---- KV blocks ----


def test_blocks_are_derived_with_their_parts_also_for_blackbox():
    r = decide()
    assert r.latency.name == "blackbox"
    assert r.engine.total_kv_blocks == 63_127
    note = texts(r, "info")
    assert (
        "total_kv_blocks: 63127, derived: (71.28 GiB usable per GPU - 7.51 weights - 1.65 activations - 0.47 non-torch)"
        in note
    )
    assert "the published count of 132139 was never measured" in note
    assert r.details["kv_blocks"]["origin"] == "derived"
    assert r.details["kv_blocks"]["published"] == 132_139


def test_given_blocks_win():
    r = decide(total_kv_blocks=5000)
    assert r.engine.total_kv_blocks == 5000
    assert r.details["kv_blocks"] == {"origin": "given", "total": 5000}
    assert "total_kv_blocks" not in texts(r)


def test_given_blocks_beyond_the_memory_are_pointed_out():
    r = decide(total_kv_blocks=132_139)
    assert "132139 blocks take 129 GiB per GPU, which has 79.2 GiB" in texts(r, "warning")


def test_parts_can_be_set():
    assert decide(gpu_memory_utilization=0.5).engine.total_kv_blocks < 63_127
    assert decide(activation_gib=0.0).engine.total_kv_blocks > 63_127
    assert decide(options=EngineOptions(block_size_tokens=32)).engine.total_kv_blocks == 63_127 // 2
    assert decide(options=EngineOptions(max_num_scheduled_tokens=8192)).engine.total_kv_blocks < 63_127


def test_published_blocks_where_nothing_can_be_derived(tmp_path):
    row = "{hardware: ABC, tp: 2, vllm_version: '0.9.0', total_kv_blocks: 777, alpha: [1, 2, 3], beta: [1, 2, 3]}"
    path = tmp_path / "own.yaml"
    path.write_text(f"models: {{me/model: {{coefficients: [{row}]}}}}\nworkloads: {{}}\n")
    r = decide("me/model", hardware="abc", tp=2, vllm_version="0.9.0", defaults_filepath=path)
    assert r.engine.total_kv_blocks == 777
    assert "777 as published for ABC:2:0.9.0, a count that was never measured and is about tp times too large" in texts(
        r
    )


@pytest.mark.parametrize("model", ["latency_model", "coefficients"])
def test_a_model_that_does_not_fit_is_refused(model):
    kind = {"latency_model": "roofline"} if model == "latency_model" else OWN
    small = EngineOptions(max_num_running_reqs=256, max_num_scheduled_tokens=2048)
    with pytest.raises(CapacityError, match=r"does not fit 1 x H100-SXM .* smallest tp that fits: 2"):
        decide("meta-llama/llama-3.3-70b-instruct", hardware="H100", tp=1, options=small, **kind)


# ---- The scheduler's rules ----


@pytest.mark.parametrize(
    ("version", "preallocated_tokens", "reserve_full_prompt", "profile"),
    [
        ("0.8.4", 64, False, "vLLM up to 0.8.4"),
        ("0.8.5", 0, False, "vLLM 0.8.5 to 0.13"),
        ("0.14.0", 0, False, "vLLM 0.14 to 0.18"),
        ("0.19.0", 0, True, "vLLM from 0.19"),
        (None, 0, True, "vLLM from 0.19"),
    ],
)
def test_the_version_selects_the_rules(version, preallocated_tokens, reserve_full_prompt, profile):
    r = decide(QWEN3, hardware="H100", tp=1, vllm_version=version)
    assert r.engine.preallocated_tokens == preallocated_tokens
    assert r.engine.reserve_full_prompt is reserve_full_prompt
    assert r.details["scheduler_profile"] == profile
    assert f"scheduler: rules of {profile}" in texts(r, "info")


def test_the_version_of_the_selected_coefficients_counts():
    assert decide().engine.preallocated_tokens == 64
    assert decide("openai/gpt-oss-20b").engine.preallocated_tokens == 0


def test_each_rule_can_be_set_by_itself():
    r = decide(
        vllm_version="0.19",
        options=EngineOptions(reserve_full_prompt=False, kv_watermark=0.05, preallocated_tokens=32),
    )
    assert not r.engine.reserve_full_prompt
    assert r.engine.kv_watermark == 0.05
    assert r.engine.preallocated_tokens == 32
    assert r.engine.free_keyless_blocks_first


def test_server_parameters_reach_the_engine():
    options = EngineOptions(
        max_num_running_reqs=7,
        max_num_scheduled_tokens=99,
        block_size_tokens=8,
        long_prefill_token_threshold=5,
        max_model_len=321,
        enable_prefix_caching=False,
        scheduling_policy="priority",
    )
    engine = decide(options=options).engine
    for name in (
        "max_num_running_reqs",
        "max_num_scheduled_tokens",
        "block_size_tokens",
        "long_prefill_token_threshold",
    ):
        assert getattr(engine, name) == getattr(options, name)
    assert (engine.max_model_len, engine.enable_prefix_caching) == (321, False)
    assert engine.scheduling_policy == "priority"


def test_versions_that_never_had_what_is_asked_for():
    priority = EngineOptions(scheduling_policy="priority")
    assert "vLLM 0.8.4 has no priority scheduling" in texts(decide(options=priority), "warning")
    assert "no priority scheduling" not in texts(decide(vllm_version="0.9.2", options=priority))
    assert "no priority scheduling" not in texts(decide(**OWN, options=priority))
    assert "0.6.3 used the V0 engine by default" in texts(decide(vllm_version="0.6.3"), "warning")


# ---- Bad input ----


@pytest.mark.parametrize(
    ("model", "deployment", "message"),
    [
        (" ", {}, r"^model: must not be empty"),
        (LLAMA, {"tp": 0}, r"^tp: must be >= 1, got 0$"),
        (LLAMA, {"tp": 3}, r"^tp: 32 attention heads and 8 KV heads cannot be split over 3 GPUs; valid: 1, 2, 4, 8$"),
        (LLAMA, {"hardware": "H10"}, r"^hardware: unknown GPU 'H10' in .*; did you mean 'H100'"),
        (LLAMA, {"vllm_version": "newest"}, r"^vllm_version: must look like 0\.8\.4, .*, got 'newest'$"),
        (LLAMA, {"gpu_memory_utilization": 1.5}, r"^gpu_memory_utilization: must be in \(0, 1\], got 1\.5$"),
        (LLAMA, {"activation_gib": -1.0}, r"^activation_gib: must be in \[0, 1e\+06\], got -1\.0$"),
        (LLAMA, {"activation_gib": float("nan")}, r"^activation_gib: must be in \[0, 1e\+06\], got nan$"),
        (LLAMA, {"total_kv_blocks": 0}, r"^total_kv_blocks: must be in \[2, 134217728\], got 0$"),
        (
            LLAMA,
            {"latency_model": "magic"},
            r"^latency_model: unknown name 'magic'; valid: blackbox, file.py:fun",
        ),
        (LLAMA, {"latency_model": "roofline", **OWN}, r"^latency_model: roofline takes no coefficients"),
        (LLAMA, {"alpha_coeffs": (1.0,), "beta_coeffs": (1.0, 2.0, 3.0)}, r"^alpha_coeffs: must be 3 numbers, got 1$"),
        (
            "meta-llama/llama-3.1-9b-instruct",
            {"hardware": "H100", "tp": 1},
            r"^model: unknown model 'meta-llama/llama-3\.1-9b-instruct'; roofline needs a config\.json .*; "
            r"did you mean 'meta-llama/llama-3\.1-8b-instruct'",
        ),
        (QWEN3, {}, r"^model: no coefficients for qwen/qwen3-14b on \?:\?:\?, and roofline needs hardware, tp; "),
        (QWEN3, {"latency_model": "roofline", "tp": 1}, r"^latency_model: roofline needs hardware$"),
    ],
)
def test_errors_are_one_line_that_says_what_would_be_valid(model, deployment, message):
    with pytest.raises(ConfigError, match=message) as error:
        decide(model, **deployment)
    assert "\n" not in str(error.value)


def test_engine_options_are_checked_before_anything_is_derived_from_them():
    with pytest.raises(ConfigError, match=r"^block_size_tokens: must be in \[1, 1048576\], got 0$"):
        decide(options=EngineOptions(block_size_tokens=0))


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.json: cannot be read: No such file"):
        decide(model_config_folder=tmp_path)
    with pytest.raises(ConfigError, match=r"gone\.json: cannot be read: No such file"):
        decide(hardware_config=tmp_path / "gone.json")
    with pytest.raises(ConfigError, match=r"gone\.yaml: cannot be read: No such file"):
        decide(defaults_filepath=tmp_path / "gone.yaml")


# ---- The whole table, and the record ----


def test_every_published_deployment_resolves_to_its_coefficients():
    defaults = load_defaults()
    for model in defaults.models:
        for row in defaults.rows(model):
            r = decide(model, hardware=row.hardware, tp=row.tp, vllm_version=row.vllm_version)
            assert r.latency.name == "blackbox"
            assert r.latency.alpha == row.alpha
            assert r.details["kv_blocks"]["origin"] == "derived"
            assert 1000 < r.engine.total_kv_blocks < 3_000_000


def test_description_is_plain_json_that_says_everything():
    r = decide(total_kv_blocks=5000)
    description = r.describe()
    assert json.loads(json.dumps(description)) == description
    assert description["model"] == LLAMA
    assert description["engine"] == dataclasses.asdict(r.engine)
    assert description["latency_model"] == {
        "name": "blackbox",
        "origin": "published for H100:2:0.8.4",
        "alpha": [1601.350510688092, 3.512476196805965, 1805.5430360826988],
        "beta": [6910.420479880494, 17.67057489844186, 2.8377471109943855],
    }
    assert {note["text"] for note in description["notes"]} == {note.text for note in r.notes}
