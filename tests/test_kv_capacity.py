"""Derived KV blocks against counts that vLLM reported and against an independent implementation."""

import pytest

from blis.config.hardware import load_hardware
from blis.config.huggingface import shipped_config_folder
from blis.config.model.reading import read_model
from blis.errors import CapacityError, ConfigError
from blis.latency.kv_capacity import GIB, kv_block_bytes, kv_capacity

L8B, L70B, QWEN = "llama-3.1-8b-instruct", "llama-3.1-70b-instruct", "qwen2.5-7b-instruct"


def capacity(name, gpu="H100", tp=1, tokens=2048, sequences=256, block_size=16, **options):
    return kv_capacity(
        read_model(shipped_config_folder(name)),
        load_hardware().get(gpu),
        tp,
        block_size_tokens=block_size,
        max_num_scheduled_tokens=tokens,
        max_num_running_reqs=sequences,
        **options,
    )


# vLLM's own num_gpu_blocks on H100 with 128 sequences, as its public logs have it, and what the formula gives.
@pytest.mark.parametrize(
    ("name", "tp", "tokens", "measured", "derived"),
    [
        ("llama-2-7b-hf", 1, 2048, 7_463, 7_451),
        (L70B, 4, 8192, 30_251, 30_233),
        (L70B, 4, 2048, 30_425, 30_386),
        ("mistral-nemo-instruct-2407", 2, 1024, 48_009, 47_977),
        ("mistral-nemo-instruct-2407", 1, 2048, 19_251, 19_382),
        (QWEN, 1, 2048, 65_352, 65_333),
        (QWEN, 1, 1024, 65_368, 65_349),
        ("yi-34b", 2, 2048, 20_793, 20_935),
    ],
)
def test_counts_that_vllm_reported(name, tp, tokens, measured, derived):
    blocks = capacity(name, "H100", tp, tokens, sequences=128).total_kv_blocks
    assert blocks == derived
    assert blocks == pytest.approx(measured, rel=0.008)


@pytest.mark.parametrize(
    ("name", "gpu", "tp", "sequences", "tokens", "derived"),
    [
        (L8B, "H100", 1, 256, 8192, 27_799),
        (L8B, "H100", 2, 256, 2048, 63_169),
        (L8B, "A100-80", 4, 256, 2048, 133_997),
        (QWEN, "L40S", 1, 256, 2048, 27_555),
        ("qwen2.5-7b-instruct-fp8-dynamic", "RTX-4090", 1, 64, 2048, 14_341),
        ("llama-3.1-nemotron-70b-instruct-hf-fp8-dynamic", "H200", 1, 256, 8192, 11_469),
        ("mixtral-8x7b-instruct-v0.1", "H100", 2, 256, 8192, 27_116),
        (L70B, "H100", 2, 256, 2048, 1_404),
        (L70B, "H100", 4, 256, 2048, 29_722),
    ],
)
def test_reference_counts(name, gpu, tp, sequences, tokens, derived):
    assert capacity(name, gpu, tp, tokens, sequences).total_kv_blocks == derived


def test_parts_add_up():
    c = capacity(L8B, tp=2)
    assert c.visible_bytes == 79.2 * GIB
    assert c.usable_bytes == pytest.approx(0.9 * 79.2 * GIB)
    assert c.weight_bytes == pytest.approx(8.03e9, rel=1e-3)
    assert c.non_torch_bytes == pytest.approx(0.46 * GIB)
    assert c.vision_encoder_bytes == 0.0
    spent = c.weight_bytes + c.activation_bytes + c.non_torch_bytes
    assert c.budget_bytes == pytest.approx(c.usable_bytes - spent)
    assert c.block_bytes == 2 * 32 * 4 * 128 * 2 * 16
    assert c.total_kv_blocks == int(c.budget_bytes / c.block_bytes)


def test_activations_grow_by_four_hidden_sizes_per_token_while_the_sampler_is_the_peak():
    few, many = (capacity(QWEN, tokens=tokens).activation_bytes for tokens in (1024, 2048))
    assert many - few == 4 * 3584 * 1024


def test_activations_of_the_mlp_where_it_is_the_peak():
    c = capacity("mixtral-8x7b-instruct-v0.1", tp=2, tokens=8192)
    assert c.activation_bytes == 2 * 8192 * (3 * 4096 + 3 * 2 * 14336 / 2)


def test_given_activations_count_for_the_whole_group():
    assert capacity(L8B, tp=2, activation_gib=3.0).activation_bytes == 1.5 * GIB
    assert capacity(L8B, tp=2, activation_gib=0.0).activation_bytes == 0.0


def test_gpu_memory_utilization_scales_what_is_usable():
    assert capacity(L8B, gpu_memory_utilization=0.5).usable_bytes == 0.5 * 79.2 * GIB
    assert capacity(L8B, gpu_memory_utilization=0.95).total_kv_blocks > capacity(L8B).total_kv_blocks


def test_an_image_encoder_is_allowed_for():
    c = capacity("llama-4-scout-17b-16e-instruct-fp8-dynamic", tp=2, sequences=128)
    assert c.vision_encoder_bytes == 4 * GIB
    assert c.total_kv_blocks == pytest.approx(8_253, rel=0.08)  # reported by vLLM on two H100


def test_one_kv_head_per_gpu_is_the_least():
    arch = read_model(shipped_config_folder(QWEN))
    assert kv_block_bytes(arch, 4, 16) == kv_block_bytes(arch, 1, 16) / 4 == 2 * 28 * 1 * 128 * 2 * 16
    assert kv_block_bytes(arch, 8, 16) == kv_block_bytes(arch, 4, 16)


def test_latents_are_in_whole_on_every_gpu():
    arch = read_model(shipped_config_folder("deepseek-v2-lite-chat"))
    assert [kv_block_bytes(arch, tp, 16) for tp in (1, 2, 4, 8)] == [27 * (512 + 64) * 2 * 16] * 4


def test_capacity_with_latent_attention():
    """DeepSeek-V2-Lite on one H100, from the sizes of its config.json."""
    attention = 27 * (2048 * 16 * 192 + 2048 * 576 + 512 * 16 * 256 + 16 * 128 * 2048)
    mlps = 3 * 2048 * (10944 + 26 * 2 * 1408) + 26 * 2048 * 64 + 26 * 64 * 3 * 2048 * 1408
    weights = 2 * (attention + mlps + 2 * 102400 * 2048 + (2 * 27 + 1) * 2048)
    activations = 4 * 2048 * 2048 + 53 * 256 * 102400
    budget = (0.9 * 79.2 - 0.28) * GIB - weights - activations
    blocks = capacity("deepseek-v2-lite-chat").total_kv_blocks
    assert blocks == int(budget / (27 * 576 * 2 * 16)) == 87_240


def test_deepseek_v3_needs_eight_large_gpus():
    c = capacity("deepseek-v3", "H200", 8, tokens=8192)
    assert c.weight_bytes == pytest.approx(673e9 / 8, rel=0.001)
    assert c.block_bytes == 61 * 576 * 2 * 16
    assert 40_000 < c.total_kv_blocks < 45_000  # 690 thousand tokens
    with pytest.raises(
        CapacityError,
        match=r"does not fit 8 x H100-SXM \(78\.3 GiB of weights per GPU, 71\.3 GiB usable\); not even tp 8 fits$",
    ):
        capacity("deepseek-v3", "H100", 8, tokens=8192)


def test_blocks_shrink_with_their_size():
    assert capacity(L8B, block_size=32).total_kv_blocks == capacity(L8B).total_kv_blocks // 2


def test_a_model_that_does_not_fit():
    with pytest.raises(
        CapacityError,
        match=r"^tp: the model does not fit 1 x H100-SXM \(131\.4 GiB of weights per GPU, 71\.3 GiB usable\); "
        r"smallest tp that fits: 2$",
    ):
        capacity(L70B)
    with pytest.raises(CapacityError, match=r"not even tp 8 fits$"):
        capacity("llama-4-maverick-17b-128e-instruct-fp8", "RTX-4090", 8)


def test_heads_that_cannot_be_split():
    with pytest.raises(ConfigError, match="tp: 28 attention heads and 4 KV heads cannot be split over 8 GPUs"):
        capacity(QWEN, tp=8)
