"""Settings that vLLM refuses when it starts: refused here, too, and simulated with a warning if that is asked for."""

import json
from dataclasses import replace

import pytest
from helpers_cli import LLAMA, ROUND

import blis
from blis.cli.main import main
from blis.config.context_length import read_context_length
from blis.config.resolve import resolve
from blis.config.schema import Deployment, EngineOptions
from blis.errors import ConfigError
from blis.files.decode import Section

LLAMA_8B = "meta-llama/llama-3.1-8b-instruct"
#: A model of which nothing is known but its times.
UNKNOWN = {"model": "m", "alpha_coeffs": (0.0, 0.0, 0.0), "beta_coeffs": (1000.0, 1.0, 1.0)}


def refusal(deployment, **engine):
    """Why settings are refused; None: they are not. Allowed, they give that reason as a warning."""
    allowed = resolve(deployment, EngineOptions(**engine, allow_unservable=True))
    warnings = [text for text in allowed.warnings if "vLLM refuses" in text]
    if not warnings:
        resolve(deployment, EngineOptions(**engine))
        return None
    with pytest.raises(ConfigError, match="allow_unservable") as raised:
        resolve(deployment, EngineOptions(**engine))
    reason = str(raised.value).partition("; vLLM refuses")[0]
    assert warnings[0].startswith(reason)
    return reason


def unknown(**changes):
    return Deployment(**UNKNOWN | {"total_kv_blocks": 1000} | changes)


def test_a_step_must_have_a_token_for_each_request():
    assert refusal(unknown(), max_num_scheduled_tokens=256) is None
    text = "max_num_scheduled_tokens: must be >= max_num_running_reqs (256), got 255"
    assert refusal(unknown(), max_num_scheduled_tokens=255) == text


@pytest.mark.parametrize(
    ("version", "taken", "refused"),
    [
        ("0.8.4", (1, 8, 16, 32, 64, 128, 256), (7, 24, 48, 512)),
        ("0.18.1", (16, 256), (48,)),
        ("0.19.0", (1, 16, 48, 528), (7, 8, 24)),
        ("0.33.0", (16, 1568), (2,)),
        (None, (1, 8, 16, 48), (7, 24)),
    ],
)
def test_block_sizes_are_those_of_the_version(version, taken, refused):
    for size in taken:
        assert refusal(unknown(vllm_version=version), block_size_tokens=size) is None
    for size in refused:
        assert "block_size_tokens: must be" in refusal(unknown(vllm_version=version), block_size_tokens=size)


def test_a_request_of_the_longest_length_must_fit_into_the_cache():
    few = unknown(total_kv_blocks=100, vllm_version="0.8.4")
    assert refusal(few, max_model_len=1600) is None
    text = "max_model_len: must be <= 1600, the tokens that 100 KV blocks hold, got 1601"
    assert refusal(few, max_model_len=1601) == text
    newest = unknown(total_kv_blocks=100, vllm_version="0.33.0")  # leaves out the reserved block
    assert refusal(newest, max_model_len=1584) is None
    assert "<= 1584" in refusal(newest, max_model_len=1585)


def test_the_models_own_context_is_the_most():
    assert refusal(Deployment(LLAMA_8B), max_model_len=131_072) is None
    text = "max_model_len: must be <= 131072, the model's own context, got 131073"
    assert refusal(Deployment(LLAMA_8B), max_model_len=131_073) == text
    assert refusal(unknown(total_kv_blocks=2**20), max_model_len=10_000_000) is None


def test_layers_with_a_window_may_keep_fewer_blocks(tmp_path):
    config = {
        "model_type": "mistral",
        "num_hidden_layers": 4,
        "hidden_size": 64,
        "vocab_size": 100,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "sliding_window": 16,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    for version, fits in (("0.8.4", False), ("0.11.0", True), (None, True)):
        deployment = unknown(total_kv_blocks=10, vllm_version=version, model_config_folder=tmp_path)
        assert (refusal(deployment, max_model_len=1000) is None) == fits


@pytest.mark.parametrize(("version", "longest"), [("0.11.0", 56_912), ("0.19.0", None)])
def test_the_longest_request_that_a_derived_cache_holds(version, longest):
    known = Deployment("gpt-oss-120b", hardware="H100", tp=1, vllm_version=version, latency_model="roofline")
    found = refusal(known, max_model_len=131_072, max_num_running_reqs=1024, max_num_scheduled_tokens=8192)
    assert found is not None
    assert longest is None or f"max_model_len: must be <= {longest}, the longest request that the KV cache" in found


def test_blocks_with_a_scale_each_must_not_be_cut():
    moe = Deployment("minimax-m2", hardware="H200", tp=4)
    assert refusal(moe) is None
    cut = "tp: experts 1536 wide, with a scale for each 128 of it, cannot be split over 8 GPUs; vLLM starts with"
    notes = resolve(replace(moe, tp=8), EngineOptions()).notes
    assert [note.text.partition(" --enable")[0] for note in notes if note.text.startswith("tp: ")] == [cut]


def test_heads_must_be_split_evenly():
    deployment = Deployment(**UNKNOWN | {"model": LLAMA_8B, "tp": 3, "total_kv_blocks": 1000})
    assert "cannot be split over 3 GPUs" in refusal(deployment)


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ({}, None),
        ({"max_position_embeddings": 4096}, 4096),
        ({"max_position_embeddings": 4096, "seq_length": 2048}, 2048),
        ({"n_positions": 1024}, 1024),
        ({"max_position_embeddings": 8192, "model_max_length": 131_072}, 131_072),
        ({"max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 4.0}}, 16_384),
        ({"max_position_embeddings": 4096, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, 8192),
        ({"max_position_embeddings": 131_072, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, 131_072),
        ({"max_position_embeddings": 131_072, "rope_scaling": {"type": "longrope", "factor": 32.0}}, 131_072),
        ({"max_position_embeddings": 131_072, "rope_scaling": {"type": "su"}}, 131_072),
        (
            {
                "max_position_embeddings": 131_072,
                "rope_scaling": {"type": "linear", "factor": 8},
                "model_type": "gemma3_text",
            },
            131_072,
        ),
        (
            {
                "max_position_embeddings": 163_840,
                "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096},
            },
            163_840,
        ),
        ({"max_position_embeddings": 40_960, "rope_scaling": {"rope_type": "yarn", "factor": 4}}, 163_840),
        ({"max_position_embeddings": 262_144, "rope_parameters": {"rope_type": "default", "rope_theta": 1e7}}, 262_144),
        (
            {
                "max_position_embeddings": 1024,
                "rope_parameters": {
                    "full_attention": {"rope_type": "linear", "factor": 8.0},
                    "sliding_attention": {"rope_type": "default"},
                },
            },
            8192,
        ),
        ({"max_position_embeddings": 4096, "rope_scaling": None}, 4096),
    ],
)
def test_context_lengths_are_those_that_vllm_derives(config, length):
    assert read_context_length(Section(config, "config.json")) == length


@pytest.mark.parametrize(
    ("flags", "flag"),
    [
        (("--max-num-batched-tokens", 64, "--max-num-seqs", 256), "--max-num-scheduled-tokens: "),
        (("--max-model-len", 200_000), "--max-model-len: "),
        (("--max-model-len", 8192, "--total-kv-blocks", 100), "--max-model-len: "),
        (("--block-size-in-tokens", 7), "--block-size-in-tokens: "),
    ],
)
def test_the_command_refuses_and_can_be_told_not_to(flags, flag, capsys):
    words = [str(word) for word in ("run", *LLAMA, "--num-requests", 2, *flags)]
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"blis: error: {flag}")
    assert "--allow-unservable" in err
    assert main([*words, "--allow-unservable"]) == 0
    assert "vLLM refuses to start so, simulated all the same" in capsys.readouterr().err


def test_sweeps_have_a_key_for_it():
    base = {"model": "m", "alpha_coeffs": [0, 0, 0], "beta_coeffs": [1000, 1, 1], "total_kv_blocks": 100}
    plan = {"base": {**base, "num_requests": 2}, "grid": {"block_size_in_tokens": [7, 16]}}
    assert blis.sweep(plan)["status"].to_list() == ["refused", "ok"]
    plan["base"]["allow_unservable"] = True
    assert len(blis.sweep(plan)) == 2


def test_capacities_take_the_flag(capsys):
    words = ["capacity", *ROUND, "--slo", "p99_ttft=200ms", "--num-requests", "200", "--replications", "2"]
    words += ["--block-size-in-tokens", "7", "--tolerance", "0.3"]
    assert main(words) == 2
    assert "--allow-unservable" in capsys.readouterr().err
    assert main([*words, "--allow-unservable"]) == 0
