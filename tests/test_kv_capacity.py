"""What becomes of a GPU's memory, beside what vLLM's start-up logs say, and by hand."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blis.config.hardware import load_hardware
from blis.config.huggingface import shipped_config_folder
from blis.config.model.layers import Attention, Experts, Indexer, LatentAttention, Layer, Mlp, StateMixer
from blis.config.model.model import Model
from blis.config.model.reading import read_model
from blis.config.quantization import Quantization
from blis.errors import ConfigError
from blis.memory.budget import Serving, kv_plan, memory_budget, smallest_tp
from blis.memory.releases import release_of
from blis.memory.weights import weight_bytes_by_part

GIB = 2**30
L8B, L70B, QWEN = "llama-3.1-8b-instruct", "llama-3.1-70b-instruct", "qwen2.5-7b-instruct"
FP8 = Quantization(1.0, 1.0, 1.0, "fp8")


def capacity(name, gpu="H100", tp=1, tokens=2048, sequences=256, version="0.8.4", **more):
    model = read_model(shipped_config_folder(name)) if isinstance(name, str) else name
    return memory_budget(model, load_hardware().get(gpu), tp, Serving(release_of(version), sequences, tokens, **more))


# vLLM's own num_gpu_blocks on H100 with 128 sequences, as its public logs have it, and what the formula gives.
@pytest.mark.parametrize(
    ("name", "tp", "tokens", "measured", "derived"),
    [
        ("llama-2-7b-hf", 1, 2048, 7_463, 7_456),
        (L70B, 4, 8192, 30_251, 30_009),
        (L70B, 4, 2048, 30_425, 30_162),
        ("mistral-nemo-instruct-2407", 2, 1024, 48_009, 47_768),
        ("mistral-nemo-instruct-2407", 1, 2048, 19_251, 19_298),
        (QWEN, 1, 2048, 65_352, 65_371),
        (QWEN, 1, 1024, 65_368, 65_387),
        ("yi-34b", 2, 2048, 20_793, 20_928),
    ],
)
def test_counts_that_vllm_reported(name, tp, tokens, measured, derived):
    blocks = capacity(name, "H100", tp, tokens, sequences=128).plan.num_blocks
    assert blocks == derived
    assert blocks == pytest.approx(measured, rel=0.009)


def qwen3_moe(layers, hidden, heads, width, quantization, encoder=0):
    layer = Layer((Attention(heads, 4, 128, 128),), Experts(128, 8, width))
    family = "qwen3_vl_moe" if encoder else "qwen3_moe"
    return Model(family, hidden, 151_936, (layer,) * layers, False, 0, encoder, 262_144, quantization=quantization)


def sparse_latent():
    latent = LatentAttention(128, 512, 1536, 128, 64, 128, Indexer(64, 128, 2048))
    layers = tuple(Layer((latent,), Mlp(18_432) if i < 3 else Experts(256, 8, 2048, 2048)) for i in range(61))
    return Model("deepseek_v32", 7168, 129_280, layers, False, 0, 0, 163_840, quantization=FP8)


def gemma_4():
    window = Attention(32, 16, 256, 256, "window", 1024)
    full = Attention(32, 4, 512, 512, values_are_keys=True)
    layers = tuple(Layer((full if i % 6 == 5 else window,), Mlp(21_504)) for i in range(60))
    return Model("gemma4_text", 5376, 262_144, layers, True, 0, 552_019_968, 262_144)


def sarvam():
    latent = LatentAttention(64, 512, None, 128, 64, 128)
    layers = tuple(Layer((latent,), Mlp(16_384) if i < 1 else Experts(128, 8, 2048, 2048)) for i in range(32))
    return Model("sarvam_mla", 4096, 262_144, layers, False, 0, 0, 131_072)


def nemotron():
    kinds = {
        "M": Layer((StateMixer("mamba2", 4096 * 26_752, 3, 8192, 2**20, 4, 8, 256),), None),
        "E": Layer((), Experts(512, 22, 2688, 5376, 2, 1024)),
        "*": Layer((Attention(32, 2, 128, 128),), None),
    }
    layers = tuple(kinds[each] for each in "MEMEMEM*" + "EMEMEMEM*" * 2 + "EMEMEMEMEM*" * 4 + "EMEMEMEM*EMEMEMEME")
    return Model("nemotron_h", 4096, 131_072, layers, False, 0, 0, 262_144, quantization=FP8)


LARGE = qwen3_moe(94, 4096, 64, 1536, Quantization())
SEEING = qwen3_moe(48, 2048, 32, 768, Quantization(), 538_177_536)
MINISTRAL = Model(
    *("ministral3", 5120, 131_072, (Layer((Attention(32, 8, 128, 128),), Mlp(16_384)),) * 40),
    *(False, 0, 439_091_200, 262_144),
    quantization=FP8,
)

# Start-up logs of vLLM's server, by the test data of ashishkamra/vllm-memory-estimator: GiB per GPU of weights and of
# KV caches, tokens, concurrency.
LOGS = [
    (LARGE, "H200", 4, "0.11.2", 8192, 2, (109.61, 12.73, 284_080, 34.68)),
    (LARGE, "MI300X", 4, "0.11.2", 8192, 2, (112.61, 56.83, 1_267_456, 154.72)),
    (replace(LARGE, quantization=FP8), "H200", 4, "0.11.0", 8192, 2, (55.20, 69.62, 1_553_136, 189.59)),
    (replace(LARGE, quantization=FP8), "H200", 4, "0.11.2", 8192, 2, (55.20, 66.13, 1_475_472, 180.11)),
    (SEEING, "H200", 1, "0.13.0", 8192, 2, (58.23, 64.23, 701_600, 85.64)),
    (SEEING, "H200", 1, "0.16.0", 8192, 2, (58.23, 63.73, 696_144, 84.98)),
    (SEEING, "H200", 1, "0.18.0", 262_144, 2, (58.23, 67.03, 732_176, 2.79)),
    (SEEING, "H200", 1, "0.20.0", 262_144, 2, (58.23, 66.76, 729_136, 2.78)),
    (SEEING, "B200", 1, "0.18.0", 8192, 2, (58.23, 102.51, 1_119_696, 136.68)),
    (SEEING, "MI300X", 1, "0.18.0", 8192, 2, (79.29, 93.01, 1_015_872, 124.01)),
    (MINISTRAL, "H200", 1, "0.14.1", 8192, 2, (14.71, 108.80, 713_040, 87.04)),
    (MINISTRAL, "H200", 1, "0.19.0", 10_000, 2, (14.71, 111.64, 731_632, 73.16)),
    (MINISTRAL, "MI300X", 1, "0.16.0", 8192, 2, (17.60, 152.81, 1_001_440, 122.25)),
    (sparse_latent(), "H200", 8, "0.16.0", 10_000, 2, (80.62, 42.19, 578_368, 57.56)),
    (sparse_latent(), "H200", 8, "0.18.0", 163_840, 2, (80.76, 41.76, 572_480, 3.49)),
    (sparse_latent(), "B200", 8, "0.18.0", 8192, 2, (80.77, 78.87, 1_081_216, 131.98)),
    (gemma_4(), "H200", 1, "0.19.1", 8192, 2, (58.90, 65.56, 71_600, 9.52)),
    (nemotron(), "H200", 2, "0.18.0", 10_000, 1, (59.91, 64.70, 5_649_280, 582.43)),
    (nemotron(), "H200", 2, "0.20.0", 262_144, 1, (59.91, 64.07, 5_591_040, 109.11)),
    (sarvam(), "H200", 2, "0.18.0", 8192, 2, (99.03, 24.25, 706_240, 86.21)),
]


@pytest.mark.parametrize(("model", "gpu", "tp", "version", "length", "element_bytes", "logged"), LOGS)
def test_what_vllm_logged(model, gpu, tp, version, length, element_bytes, logged):
    weights, kv, tokens, concurrency = logged
    serving = Serving(release_of(version), 1024, 8192, length, 0.92, element_bytes)
    budget = memory_budget(model, load_hardware().get(gpu), tp, serving)
    assert budget.fits
    assert budget.taken.weight_bytes / GIB == pytest.approx(weights, rel=0.013)
    assert budget.kv_bytes / GIB == pytest.approx(kv, rel=0.021)
    plan = kv_plan(model, tp, serving, round(kv * GIB))  # of the memory logged, which is rounded
    assert plan.cache_tokens == pytest.approx(tokens, rel=0.0004)
    assert plan.max_concurrency == pytest.approx(concurrency, rel=0.0004, abs=0.006)


@pytest.mark.parametrize("version", ["0.10.2", "0.11.0", "0.11.2", "0.19.0", "0.20.0", "0.33.0"])
def test_gpt_oss_120b_does_not_start_on_one_h100(version):
    share = 0.92 if version in ("0.20.0", "0.33.0") else 0.9
    model, gpu = read_model(shipped_config_folder("gpt-oss-120b")), load_hardware().get("H100")
    serving = Serving(release_of(version), 1024, 8192, gpu_memory_utilization=share)
    assert not memory_budget(model, gpu, 1, serving).fits
    assert smallest_tp(model, gpu, serving) == 2


def test_parts_add_up():
    budget = capacity(L8B, tp=2)
    assert budget.visible_bytes == 79.2 * GIB
    assert budget.usable_bytes == pytest.approx(0.9 * 79.2 * GIB)
    assert budget.taken.weight_bytes == pytest.approx(
        8.03e9 + 131_072 * 128 * 2, rel=1e-3
    )  # with the table of positions
    assert budget.taken.non_torch_bytes == pytest.approx(0.47 * GIB)
    assert budget.kv_bytes == pytest.approx(budget.usable_bytes - sum(budget.taken.by_name.values()))
    assert budget.plan.block_bytes == 2 * 32 * 4 * 128 * 2 * 16
    assert budget.plan.num_blocks == int(budget.kv_bytes / budget.plan.block_bytes)


def test_weights_by_hand():
    """Two layers, one with 2 KV heads on 4 GPUs, one with latent attention and experts."""
    latent = LatentAttention(8, 64, 32, 16, 8, 16)
    layers = (Layer((Attention(8, 2, 16, 16),), Mlp(256)), Layer((latent,), Experts(4, 2, 64, 128)))
    model = Model("", 128, 1000, layers, False, 0, 1000, 0)
    attention = 128 * (8 * 16 * 2 // 4 + 2 * 16)  # one KV head on each GPU
    latents = 128 * (64 + 8 + 32) + (32 * 8 * 24 + 64 * 8 * 32 + 8 * 16 * 128) // 4 + 64 * 8 * 32 // 4
    assert weight_bytes_by_part(model, 4, 2048) == {
        "embeddings": 2 * 256 * 128 * 2,  # 1000 rows are filled up to 1024
        "mixers": 2 * (attention + latents),
        "mlps": 2 * 3 * 128 * (256 + 128) / 4,
        "experts": 2 * 4 * 3 * 128 * 16,
        "routers": 2 * 128 * 4,
        "others": 2 * 5 * 128,
        "encoders": 500,
    }


def test_widths_that_kernels_fill_up():
    mxfp4 = Quantization(expert_bytes=0.53125)
    layer = Layer((), Experts(4, 2, 300))
    model = Model("", 384, 64, (layer,), quantization=mxfp4)
    assert weight_bytes_by_part(model, 2, 1)["experts"] == 4 * 3 * 512 * 256 * 0.53125
    ungated = replace(model, layers=(Layer((), Experts(4, 2, 300, num_matrices=2)),), quantization=FP8)
    assert weight_bytes_by_part(ungated, 2, 1)["experts"] == 4 * 2 * 384 * 256
    gated = replace(model, quantization=FP8)
    assert weight_bytes_by_part(gated, 2, 1)["experts"] == 4 * 3 * 384 * 150


models = st.builds(
    Model,
    st.just(""),
    st.sampled_from([1024, 4096]),
    st.integers(1000, 200_000),
    st.lists(
        st.builds(
            Layer,
            st.builds(Attention, st.just(32), st.sampled_from([2, 8, 32]), st.just(128), st.just(128)).map(
                lambda mixer: (mixer,)
            ),
            st.builds(Mlp, st.integers(512, 8192)) | st.builds(Experts, st.just(8), st.just(2), st.just(1024)),
        ),
        min_size=1,
        max_size=30,
    ).map(tuple),
    st.booleans(),
)
servings = st.builds(
    Serving,
    st.sampled_from(["0.11.0", "0.16.0", "0.20.0", "0.33.0"]).map(release_of),
    st.integers(1, 1024),
    st.integers(1, 16_384),
    st.integers(1, 100_000),
    st.floats(0.1, 1.0),
    st.sampled_from([1, 2]),
)


@given(models, servings, st.sampled_from(["H100", "L40S", "MI300X", "B200"]))
def test_more_gpus_and_smaller_batches_leave_no_less(model, serving, gpu):
    gpus = load_hardware().get(gpu)
    budgets = [memory_budget(model, gpus, tp, serving) for tp in (1, 2, 4, 8)]
    weights = [budget.taken.weight_bytes for budget in budgets]
    assert weights == sorted(weights, reverse=True)
    smaller = replace(serving, max_num_seqs=1, max_num_batched_tokens=1)
    assert memory_budget(model, gpus, 1, smaller).kv_bytes >= budgets[0].kv_bytes
    for budget in budgets:
        taken = sum(budget.taken.by_name.values()) + budget.kv_bytes
        assert taken == pytest.approx(budget.usable_bytes)
        assert budget.plan.num_blocks * budget.plan.block_bytes <= max(0.0, budget.kv_bytes)
    smallest = smallest_tp(model, gpus, serving)
    assert smallest == next((tp for tp, budget in zip((1, 2, 4, 8), budgets, strict=True) if budget.fits), None)


def test_activations_grow_by_four_hidden_sizes_per_token_while_the_sampler_is_the_peak():
    few, many = (capacity(QWEN, tokens=tokens).taken.activation_bytes for tokens in (1024, 2048))
    assert many - few == 4 * 3584 * 1024


def test_activations_of_the_mlp_where_it_is_the_peak():
    budget = capacity("mixtral-8x7b-instruct-v0.1", tp=2, tokens=8192)
    assert budget.taken.activation_bytes == 2 * 8192 * (3 * 4096 + 3 * 2 * 14336 / 2)


def test_given_activations_count_for_the_whole_group():
    assert capacity(L8B, tp=2, activation_gib=3.0).taken.activation_bytes == 1.5 * GIB
    assert capacity(L8B, tp=2, activation_gib=0.0).taken.activation_bytes == 0.0


def test_gpu_memory_utilization_scales_what_is_usable():
    assert capacity(L8B, gpu_memory_utilization=0.5).usable_bytes == 0.5 * 79.2 * GIB
    assert capacity(L8B, gpu_memory_utilization=0.95).plan.num_blocks > capacity(L8B).plan.num_blocks


def test_cuda_graphs_are_counted_from_0_20_unless_there_are_none():
    graphs = {version: capacity(L8B, version=version).taken.graph_bytes for version in ("0.19.0", "0.20.0")}
    assert graphs == {"0.19.0": 0.0, "0.20.0": 0.48 * GIB}
    assert capacity(L8B, version="0.20.0", enforce_eager=True).taken.graph_bytes == 0.0


def test_experts_keep_what_they_work_in():
    name = "mixtral-8x7b-instruct-v0.1"
    assert capacity(name, tp=8, version="0.13.0").taken.workspace_bytes == 0.0
    assert capacity(name, tp=8, version="0.14.0").taken.workspace_bytes == 2 * 2048 * 2 * 4096 * 2
    assert capacity(name, tp=1, version="0.14.0").taken.workspace_bytes == 2 * 2048 * 2 * 2 * 14336 * 2


def test_latents_are_in_whole_on_every_gpu():
    blocks = [capacity("deepseek-v2-lite-chat", tp=tp).plan.block_bytes for tp in (1, 2, 4, 8)]
    assert blocks == [27 * (512 + 64) * 2 * 16] * 4


def test_blocks_shrink_with_their_size():
    assert capacity(L8B, block_size_tokens=32).plan.num_blocks == capacity(L8B).plan.num_blocks // 2


def test_deepseek_v3_needs_eight_large_gpus():
    budget = capacity("deepseek-v3", "H200", 8, tokens=8192)
    assert budget.taken.weight_bytes / GIB == pytest.approx(79.5, abs=0.1)
    assert budget.plan.block_bytes == 61 * 576 * 2 * 16
    assert not capacity("deepseek-v3", "H100", 8, tokens=8192).holds_anything


def test_heads_that_cannot_be_split():
    with pytest.raises(ConfigError, match="tp: 28 attention heads and 4 KV heads cannot be split over 8 GPUs"):
        capacity(QWEN, tp=8)
