"""Reading config.json, and the shipped ones against the models' published sizes."""

import json

import pytest

from blis.config.huggingface import LatentAttention, load_architecture, shipped_config_folder
from blis.config.quantization import Quantization
from blis.errors import ConfigError

BASE = {
    "model_type": "llama",
    "hidden_act": "silu",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 8,
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "torch_dtype": "bfloat16",
    "vocab_size": 1000,
}


@pytest.fixture
def read(tmp_path):
    def read(**changes):
        config = {key: value for key, value in {**BASE, **changes}.items() if value is not None}
        (tmp_path / "config.json").write_text(json.dumps(config))
        return load_architecture(tmp_path)

    return read


def shipped(name):
    return load_architecture(shipped_config_folder(name))


# Parameters in billions as the models' publishers state them (of multimodal models including the image encoder).
PARAMETERS = {
    "codellama-34b-instruct-hf": 33.7,
    "deepseek-moe-16b-chat": 16.4,
    "deepseek-r1": 671,
    "deepseek-v2-lite-chat": 15.7,
    "deepseek-v3": 671,
    "gpt-oss-120b": 116.8,
    "gpt-oss-20b": 20.9,
    "granite-3.1-8b-instruct": 8.17,
    "llama-2-7b-chat-hf": 6.74,
    "llama-2-7b-hf": 6.74,
    "llama-3.1-70b-instruct": 70.6,
    "llama-3.1-8b-instruct": 8.03,
    "llama-3.1-nemotron-70b-instruct-hf": 70.6,
    "llama-3.1-nemotron-70b-instruct-hf-fp8-dynamic": 70.6,
    "llama-3.3-70b-instruct": 70.6,
    "llama-3.3-70b-instruct-quantized.w4a16": 70.6,
    "llama-3.3-70b-instruct-quantized.w8a8": 70.6,
    "llama-4-maverick-17b-128e-instruct-fp8": 400,
    "llama-4-scout-17b-16e-instruct": 109,
    "llama-4-scout-17b-16e-instruct-fp8-dynamic": 109,
    "llama-4-scout-17b-16e-instruct-quantized.w4a16": 109,
    "mistral-7b-instruct-v0.3": 7.25,
    "mistral-nemo-instruct-2407": 12.2,
    "mistral-small-24b-instruct-2501": 23.6,
    "mistral-small-3.1-24b-instruct-2503": 24.0,
    "mistral-small-3.1-24b-instruct-2503-fp8-dynamic": 24.0,
    "mistral-small-3.1-24b-instruct-2503-quantized.w4a16": 24.0,
    "mistral-small-3.1-24b-instruct-2503-quantized.w8a8": 24.0,
    "mixtral-8x7b-instruct-v0.1": 46.7,
    "phi-4": 14.7,
    "phi-4-fp8-dynamic": 14.7,
    "phi-4-quantized.w4a16": 14.7,
    "phi-4-quantized.w8a8": 14.7,
    "qwen2.5-1.5b-instruct": 1.54,
    "qwen2.5-3b-instruct": 3.09,
    "qwen2.5-72b-instruct": 72.7,
    "qwen2.5-7b-instruct": 7.62,
    "qwen2.5-7b-instruct-fp8-dynamic": 7.62,
    "qwen2.5-7b-instruct-quantized.w4a16": 7.62,
    "qwen2.5-7b-instruct-quantized.w8a8": 7.62,
    "qwen3-14b": 14.8,
    "qwen3-30b-a3b": 30.5,
    "smollm3-3b-fp8-dynamic": 3.08,
    "yi-34b": 34.4,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_shipped_models_have_their_published_size(name):
    assert shipped(name).num_parameters / 1e9 == pytest.approx(PARAMETERS[name], rel=0.02)


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [
        ("llama-3.1-8b-instruct", 16.06),
        ("llama-3.3-70b-instruct-quantized.w8a8", 72.7),
        ("llama-4-scout-17b-16e-instruct-fp8-dynamic", 112.9),  # attention, router and LM head stay at 16 bit
        ("gpt-oss-120b", 65.2),  # the checkpoint is 65 GB
        ("gpt-oss-20b", 13.7),
        ("deepseek-v3", 673.0),  # FP8 but for 1 billion each of embeddings and LM head
    ],
)
def test_weight_bytes(name, gigabytes):
    assert shipped(name).weight_bytes / 1e9 == pytest.approx(gigabytes, rel=0.005)


def test_shipped_folder_of_a_model_id():
    assert shipped_config_folder("Meta-Llama/Llama-3.1-8B-Instruct").name == "llama-3.1-8b-instruct"
    assert shipped_config_folder("nobody/nothing") is None
    assert shipped_config_folder("") is None


@pytest.mark.parametrize(
    ("name", "num_moe_layers", "num_experts", "experts_per_token", "expert_width", "shared_width", "dense_width"),
    [
        ("llama-4-scout-17b-16e-instruct", 48, 16, 1, 8192, 8192, 16384),
        ("llama-4-maverick-17b-128e-instruct-fp8", 24, 128, 1, 8192, 8192, 16384),
        ("mixtral-8x7b-instruct-v0.1", 32, 8, 2, 14336, 0, 14336),
        ("qwen3-30b-a3b", 48, 128, 8, 768, 0, 6144),
        ("deepseek-moe-16b-chat", 27, 64, 6, 1408, 2816, 10944),
        ("deepseek-v2-lite-chat", 26, 64, 6, 1408, 2816, 10944),
        ("deepseek-v3", 58, 256, 8, 2048, 2048, 18432),
        ("gpt-oss-120b", 36, 128, 4, 2880, 0, 2880),
        ("llama-3.1-8b-instruct", 0, 0, 0, 0, 0, 14336),
    ],
)
def test_experts(name, num_moe_layers, num_experts, experts_per_token, expert_width, shared_width, dense_width):
    arch = shipped(name)
    assert arch.num_moe_layers == num_moe_layers
    assert arch.num_experts == num_experts
    assert arch.experts_per_token == experts_per_token
    assert arch.expert_intermediate_size == expert_width
    assert arch.shared_intermediate_size == shared_width
    assert arch.intermediate_size == dense_width
    assert arch.num_dense_layers == arch.num_layers - num_moe_layers


MOE = {"num_experts": 8, "num_experts_per_tok": 2}


@pytest.mark.parametrize(
    ("changes", "num_moe_layers"),
    [
        ({}, 4),
        ({"num_experts": 1}, 0),
        ({"decoder_sparse_step": 1}, 4),
        ({"decoder_sparse_step": 2}, 2),
        ({"interleave_moe_layer_step": 3}, 1),
        ({"first_k_dense_replace": 1}, 3),
    ],
)
def test_moe_layers(read, changes, num_moe_layers):
    assert read(**{**MOE, **changes}).num_moe_layers == num_moe_layers


def test_shared_experts(read):
    assert read(**MOE, shared_expert_intermediate_size=96).shared_intermediate_size == 96
    assert read(**MOE, n_shared_experts=2, moe_intermediate_size=32).shared_intermediate_size == 64
    assert read(**MOE).shared_intermediate_size == 0


def test_heads(read):
    assert read().head_dim == 8
    assert read(head_dim=32).head_dim == 32
    assert read(num_key_value_heads=None).num_kv_heads == 8
    arch = read()
    assert [tp for tp in (1, 2, 3, 4, 8, 16) if arch.splits_over(tp)] == [1, 2, 4, 8]
    with pytest.raises(
        ConfigError, match="tp: 8 attention heads and 2 KV heads cannot be split over 3 GPUs; valid: 1, 2, 4, 8"
    ):
        arch.check_tp(3)


MLA = {"kv_lora_rank": 16, "qk_nope_head_dim": 6, "qk_rope_head_dim": 2, "v_head_dim": 5}


def test_latent_attention(read):
    assert read().latent_attention is None
    assert read(**MLA).latent_attention == LatentAttention(16, None, 6, 2, 5)
    assert read(**MLA, q_lora_rank=24).latent_attention == LatentAttention(16, 24, 6, 2, 5)
    assert shipped("deepseek-ai/DeepSeek-R1").latent_attention == LatentAttention(512, 1536, 128, 64, 128)
    assert shipped("deepseek-ai/DeepSeek-V2-Lite-Chat").latent_attention == LatentAttention(512, None, 128, 64, 128)


def test_parameters_of_latent_attention(read):
    keys_values_and_output = 64 * (16 + 2) + 16 * 8 * (6 + 5) + 8 * 5 * 64
    assert read(**MLA).attention_parameters == 4 * (64 * 8 * (6 + 2) + keys_values_and_output)
    low_rank_queries = 64 * 24 + 24 * 8 * (6 + 2)
    assert read(**MLA, q_lora_rank=24).attention_parameters == 4 * (low_rank_queries + keys_values_and_output)


def test_text_config_comes_before_the_top_level(read):
    arch = read(text_config={"num_hidden_layers": 7}, vision_config={"model_type": "pixtral"})
    assert arch.num_layers == 7
    assert arch.hidden_size == 64
    assert arch.has_vision_encoder
    assert not read().has_vision_encoder


@pytest.mark.parametrize(
    ("changes", "window", "num_layers"),
    [
        ({}, 0, 0),
        ({"sliding_window": 32}, 32, 4),  # Mistral 7B v0.1: all layers
        ({"sliding_window": 32, "use_sliding_window": False, "max_window_layers": 1}, 0, 0),  # Qwen2
        ({"sliding_window": 32, "use_sliding_window": True, "max_window_layers": 1}, 32, 3),
        ({"sliding_window": 32, "use_sliding_window": True, "max_window_layers": 4}, 0, 0),
        ({"sliding_window": 32, "sliding_window_pattern": 2}, 32, 2),  # Gemma 3: every n-th layer is full
        ({"sliding_window": 32, "layer_types": ["sliding_attention", "full_attention"] * 2}, 32, 2),
        ({"sliding_window": None, "layer_types": ["full_attention"] * 4}, 0, 0),
        ({"layer_types": ["chunked_attention"] * 3 + ["full_attention"]}, 0, 0),  # Llama 4
    ],
)
def test_sliding_windows(read, changes, window, num_layers):
    arch = read(**changes)
    assert (arch.sliding_window_tokens, arch.num_sliding_window_layers) == (window, num_layers)


def test_gpt_oss_alternates_windows():
    arch = shipped("openai/gpt-oss-120b")
    assert (arch.sliding_window_tokens, arch.num_sliding_window_layers) == (128, 18)


def test_tied_embeddings(read):
    assert shipped("granite-3.1-8b-instruct").tie_word_embeddings
    assert not read().tie_word_embeddings
    assert read(tie_word_embeddings=True).num_parameters == read().num_parameters - 64_000
    assert read(model_type="gemma2", hidden_act="gelu_pytorch_tanh").tie_word_embeddings


def tensors(bits, kind, activations, ignore=("lm_head",), **weights):
    return {
        "quant_method": "compressed-tensors",
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": {"num_bits": bits, "type": kind, **weights},
                "input_activations": {"num_bits": 8, "type": activations} if activations else None,
            }
        },
        "ignore": list(ignore),
    }


SKIP_EXPERTLESS = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (None, Quantization()),
        (tensors(8, "float", "float"), Quantization(1, 1, 1, "fp8")),
        (tensors(8, "int", "int"), Quantization(1, 1, 1, "int8")),
        (tensors(8, "int", None), Quantization(1, 1, 1)),
        (tensors(4, "int", None, group_size=128), Quantization(0.516, 0.516, 0.516)),
        (tensors(4, "int", None, group_size=32), Quantization(0.562, 0.562, 0.562)),
        ({"quant_method": "fp8", "activation_scheme": "dynamic"}, Quantization(1, 1, 1, "fp8")),
        ({"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]}, Quantization(1, 1, 1, "fp8")),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, Quantization(0.516, 0.516, 0.516)),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, Quantization(1, 1, 1)),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": 128}, Quantization(0.516, 0.516, 0.516)),
        ({"quant_method": "mxfp4", "modules_to_not_convert": SKIP_EXPERTLESS}, Quantization(2, 0.53125, 0.53125)),
    ],
)
def test_quantisation_methods(read, config, expected):
    assert read(quantization_config=config).quantization == expected


@pytest.mark.parametrize(
    ("ignore", "expected"),
    [
        (["re:.*self_attn"], (2, 1, 1)),
        (["re:.*self_attn.*", "re:.*router"], (2, 1, 1)),
        (["self_attn"], (2, 1, 1)),
        (["gate"], (1, 1, 1)),  # the router's name, not a part of gate_proj
        ([f"model.layers.{i}.self_attn.q_proj" for i in range(4)], (2, 1, 1)),
        ([f"language_model.model.layers.{i}.self_attn.q_proj" for i in range(4)], (2, 1, 1)),
        ([f"model.layers.{i}.self_attn.q_b_proj" for i in range(4)], (2, 1, 1)),  # latent attention has no q_proj
        (["model.layers.0.self_attn.q_proj"], (1, 1, 1)),  # one layer of four does not decide
        ([f"vision_model.model.layers.{i}.self_attn.q_proj" for i in range(4)], (1, 1, 1)),
        (["re:vision_tower.*"], (1, 1, 1)),
        (["model.layers.*.mlp"], (1, 2, 2)),
        (["re:.*mlp.experts.*"], (1, 1, 2)),
        (["re:.*shared_expert"], (1, 2, 1)),
    ],
)
def test_ignored_modules_stay_at_16_bit(read, ignore, expected):
    config = tensors(8, "float", "float", ignore)
    q = read(**MOE, shared_expert_intermediate_size=96, quantization_config=config).quantization
    assert (q.attention_bytes, q.mlp_bytes, q.expert_bytes) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llama-4-scout-17b-16e-instruct-fp8-dynamic", Quantization(2, 1, 1, "fp8")),
        ("llama-4-scout-17b-16e-instruct-quantized.w4a16", Quantization(2, 0.516, 0.516)),
        ("llama-4-maverick-17b-128e-instruct-fp8", Quantization(2, 2, 1, "fp8")),
        ("mistral-small-3.1-24b-instruct-2503-fp8-dynamic", Quantization(1, 1, 1, "fp8")),
        ("gpt-oss-20b", Quantization(2, 0.53125, 0.53125)),
        ("phi-4-quantized.w8a8", Quantization(1, 1, 1, "int8")),
        ("deepseek-v3", Quantization(1, 1, 1, "fp8")),
    ],
)
def test_quantisation_of_shipped_models(name, expected):
    assert shipped(name).quantization == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": None}, r"num_hidden_layers: missing"),
        ({"hidden_size": "big"}, r"hidden_size: must be a whole number >= 1, got 'big'"),
        ({"vocab_size": 0}, r"vocab_size: must be a whole number >= 1, got 0"),
        ({"kv_lora_rank": 512}, r"qk_nope_head_dim: missing"),
        ({**MLA, "q_lora_rank": 0}, r"q_lora_rank: must be a whole number >= 1, got 0"),
        ({**MLA, "index_topk": 2048}, r"index_topk: sparse attention \(DeepSeek-V3\.2\) is not supported"),
        ({**MLA, "linear_attn_config": {}}, r"linear_attn_config: linear attention is not supported"),
        ({"is_encoder_decoder": True}, r"is_encoder_decoder: encoder-decoder models are not supported"),
        ({"hidden_act": "relu"}, r"hidden_act: only gated MLPs are supported \(silu, swiglu, geglu\), got 'relu'"),
        ({"torch_dtype": "float8"}, r"torch_dtype: unknown value 'float8'"),
        ({"num_experts": 8}, r"num_experts_per_tok: missing"),
        ({"num_experts": 8, "num_experts_per_tok": 9}, r"num_experts_per_tok: must be <= num_experts \(8\), got 9"),
        ({**MOE, "first_k_dense_replace": 4}, r"first_k_dense_replace: must be < num_hidden_layers \(4\), got 4"),
        ({"layer_types": ["mamba"] * 4}, r"layer_types\[0\]: 'mamba' is not supported; valid: full_attention"),
        ({"sliding_window": 9, "layer_types": ["full_attention"]}, r"layer_types: must name 4 layers, got 1"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, r"quant_method: unknown value 'bitsandbytes'"),
        ({"quantization_config": {}}, r"quantization_config\.quant_method: missing"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 3}}, r"bits: must be 4 or 8, got 3"),
        (
            {"quantization_config": tensors(4, "float", "float")},
            r"input_activations: must be 8 bit and of the weights'",
        ),
        ({"quantization_config": tensors(8, "int", "int", ["re:("])}, r"ignore: no valid regular expression 're:\('"),
    ],
)
def test_what_is_missing_invalid_or_unsupported(read, changes, message):
    with pytest.raises(ConfigError, match=r"config\.json: .*" + message):
        read(**changes)


def test_a_folder_without_config(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.json: cannot be read: No such file or directory"):
        load_architecture(tmp_path)
