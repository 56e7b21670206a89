"""The roofline law: reference steps, what no step can be faster than, and what may never shorten one.

The figures are those of a GPU file of the tests' own, whose efficiencies are those of kernels alone: they stay when the
shipped ones are fitted anew. `reference.roofline` computes the reference steps independently of the law.
"""

import ctypes
import dataclasses
import json
from itertools import starmap
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference.roofline import Precision, step_parts

from blis.config.hardware import load_hardware
from blis.config.huggingface import shipped_config_folder
from blis.config.model.reading import read_model
from blis.config.quantization import Quantization
from blis.errors import ConfigError
from blis.latency.roofline import _step_time_us, roofline_model, step_terms

L8B, L70B = "llama-3.1-8b-instruct", "llama-3.1-70b-instruct"
L70B_FP8, L70B_W4 = "llama-3.1-nemotron-70b-instruct-hf-fp8-dynamic", "llama-3.3-70b-instruct-quantized.w4a16"
MIXTRAL, SCOUT_FP8 = "mixtral-8x7b-instruct-v0.1", "llama-4-scout-17b-16e-instruct-fp8-dynamic"
V2_LITE, V3, QWEN_MOE = "deepseek-v2-lite-chat", "deepseek-v3", "qwen3-30b-a3b"


HARDWARE_FILE = Path(__file__).parent / "data" / "hardware.json"
HARDWARE = load_hardware(HARDWARE_FILE)


def architecture(name):
    return read_model(shipped_config_folder(name))


def model(name, gpu="H100", tp=1, profile="full", ranks=1):
    return roofline_model(architecture(name), HARDWARE.get(gpu), tp, profile, data_parallel_ranks=ranks)


# (model, GPU, TP, profile), prefills as (cached, new), decodes as cached tokens, µs, some of its terms
VECTORS = [
    (
        (L8B, "H100", 1, "full"),
        [],
        [1023],
        8_109,
        {"linear": 4735.0, "head": 356.4, "decode_attention": 48.9, "gaps": 960, "host": 2008},
    ),
    ((L8B, "H100", 1, "full"), [], [1023] * 128, 15_451, {"decode_attention": 6254.0, "elementwise": 122.4}),
    (
        (L8B, "H100", 1, "piecewise"),
        [(0, 2048)],
        [],
        47_868,
        {"linear": 38_524.8, "prefill_attention": 2461.8, "elementwise": 1957.7, "launch": 2880},
    ),
    (
        (L8B, "H100", 1, "full"),
        [(8192, 128)],
        [1023] * 32,
        12_472,
        {"prefill_attention": 1837.6, "decode_attention": 2166.6},
    ),
    (
        (L8B, "RTX-PRO-6000-Server", 1, "full"),
        [(0, 1500), (512, 420)],
        [800] * 127,
        99_389,
        {"linear": 74_409.7, "decode_attention": 12_999.4, "prefill_attention": 3243.5},
    ),
    ((L70B, "H100", 4, "full"), [], [2047] * 64, 22_487, {"linear": 11_609.7, "comm": 1719.0}),
    ((L70B_FP8, "H100", 4, "full"), [(0, 2048)], [2047] * 64, 116_408, {"linear": 66_413.7, "comm": 29_111.0}),
    ((L70B_W4, "A100-80", 2, "piecewise"), [], [511] * 20, 22_826, {"host": 5920}),
    (("qwen2.5-7b-instruct", "L40S", 2, "full"), [(1024, 1024)], [], 57_546, {"comm": 20_867.5}),
    ((MIXTRAL, "H100", 2, "full"), [], [511], 9_601, {"experts": 4712.2}),
    ((MIXTRAL, "H100", 2, "full"), [], [511] * 64, 27_486, {"experts": 21_127.9}),
    (
        (SCOUT_FP8, "H200", 2, "full"),
        [(0, 4096)],
        [1023] * 16,
        127_838,
        {"experts": 56_521.8, "comm": 15_094.8},
    ),
    (("gpt-oss-120b", "H100", 1, "full"), [], [4095] * 32, 24_379, {"experts": 16_883.6, "decode_attention": 1813.9}),
    (
        (QWEN_MOE, "RTX-PRO-6000-Server", 1, "full", 2),  # two data-parallel ranks
        [],
        [1023] * 32,
        34_958,
        {"experts": 22_931.0, "comm": 2591.2},
    ),
]


@pytest.mark.parametrize(("deployment", "prefills", "decodes", "step_us", "parts"), VECTORS)
def test_reference_steps(deployment, prefills, decodes, step_us, parts):
    terms = step_terms(model(*deployment), prefills=prefills, decodes=decodes)
    assert abs(int(terms.step_us) - step_us) <= 1
    for name, expected in parts.items():
        assert getattr(terms, name) == pytest.approx(expected, abs=0.06), name


PRECISIONS = {
    L70B_FP8: Precision(1, 1, 1, narrow=True),
    L70B_W4: Precision(0.516, 0.516),
    "gpt-oss-120b": Precision(experts=0.53125),
}


@pytest.mark.parametrize(
    ("deployment", "prefills", "decodes"),
    [vector[:3] for vector in VECTORS if vector[0][0] != SCOUT_FP8],  # its layers are not alike
)
def test_reference_steps_are_those_of_the_formulas(deployment, prefills, decodes):
    name, gpu, tp, profile, *ranks = deployment
    config = json.loads((shipped_config_folder(name) / "config.json").read_text())
    figures = json.loads(HARDWARE_FILE.read_text())[HARDWARE.get(gpu).name]
    precision = PRECISIONS.get(name, Precision())
    expected = step_parts(config, figures, tp, profile, precision, prefills, decodes, *ranks)
    terms = step_terms(model(*deployment), prefills=prefills, decodes=decodes)
    assert terms.step_us == pytest.approx(expected.pop("step"))
    assert terms._asdict() == pytest.approx(expected)


def test_gpu_terms_add_up_and_launching_hides_behind_them():
    terms = step_terms(model(L70B_W4, "A100-80", 2, "piecewise"), decodes=[511] * 20)
    gpu_us = sum(terms[:8])
    assert gpu_us == pytest.approx(16_906.1, abs=0.06)
    assert terms.launch == 1.6 * 90 * 80 < gpu_us
    assert terms.step_us == pytest.approx(terms.host + gpu_us)
    alone = step_terms(model("qwen2.5-1.5b-instruct", "B200", 1, "piecewise"), decodes=[10])
    assert alone.launch > sum(alone[:8])
    assert alone.step_us == pytest.approx(alone.host + alone.launch)


# ---- Multi-head latent attention, worked out by hand: the sizes are those of the model cards' config.json ----

H100_READS, H200_READS = 3350e3 * 0.88, 4800e3 * 0.86  # bytes of weights per µs


def test_decoding_with_latent_attention():
    terms = step_terms(model(V2_LITE), decodes=[1023] * 64)
    layer = 2048 * 16 * (128 + 64) + 2048 * (512 + 64) + 512 * 16 * (128 + 128) + 16 * 128 * 2048
    mlps = 3 * 2048 * (10944 + 26 * 2 * 1408)
    assert terms.linear == pytest.approx((27 * layer + mlps + 26 * 2048 * 64) * 2 / H100_READS)
    moved = 27 * (4 * 2048 + 16 * 192 + 576) + 1.5 * (10944 + 26 * (2 * 1408 + 6 * 1408)) + 26 * 6 * 2048
    assert terms.elementwise == pytest.approx(2 * 64 * moved / H100_READS)
    wanted = 64 * (1 - (1 - 6 / 64) ** 64)
    expert = 26 * 3 * 2048 * 1408 * 2
    assert terms.experts == pytest.approx(wanted * expert / (3350e3 * 0.72) + 64 * 6 * expert / (989.4e6 * 0.3))
    assert terms.decode_attention == pytest.approx(27 * 64 * 1024 * (512 + 64) * 2 / (3350e3 * 0.82))


def test_prefilling_with_latent_attention():
    terms = step_terms(model(V2_LITE), prefills=[(0, 2000)])
    pairs = 2000 * 2001 / 2 + 450 * 2000
    flops = 27 * pairs * 16 * 2 * (128 + 64 + 128)
    assert terms.prefill_attention == pytest.approx(flops / (989.4e6 * 0.65))


def test_queries_of_low_rank_and_latents_in_whole_on_every_gpu():
    terms = step_terms(model(V3, "H200", 8), decodes=[1023] * 32)
    layer = 7168 * 1536 + 1536 * 128 * 192 + 7168 * 576 + 512 * 128 * 256 + 128 * 128 * 7168
    mlps = 3 * 7168 * (3 * 18432 + 58 * 2048)
    assert terms.linear == pytest.approx(
        (61 * layer + mlps + 2 * 58 * 7168 * 256) / 8 / H200_READS
    )  # FP8; router 16 bit
    moved = 61 * (4 * 7168 + 128 * 192 / 8 + 576) + 1.5 * (3 * 18432 + 58 * (2048 + 8 * 2048)) / 8 + 58 * 8 * 7168
    assert terms.elementwise == pytest.approx(2 * 32 * moved / H200_READS)
    kv_us = 61 * 32 * 1024 * 576 * 2 / (4800e3 * 0.78)
    assert terms.decode_attention == pytest.approx(kv_us)
    assert step_terms(model(V3, "H200", 4), decodes=[1023] * 32).decode_attention == pytest.approx(kv_us)


def test_arithmetic_binds_where_one_gpu_decodes_all_heads():
    terms = step_terms(model(V3, "H200", 1, ranks=8), decodes=[4095] * 16)
    flops = 61 * 16 * 4096 * 128 * 2 * (2 * 512 + 64)
    assert terms.decode_attention == pytest.approx(flops / (989.4e6 * 0.66))


# ---- Data-parallel ranks ----


def test_what_ranks_share_and_what_each_has():
    """Figures of one of two ranks with half the batch against one instance with all of it."""
    one = step_terms(model(QWEN_MOE, "H100", 2), decodes=[1023] * 64)
    rank = step_terms(model(QWEN_MOE, "H100", 1, ranks=2), decodes=[1023] * 32)
    assert rank.experts == pytest.approx(one.experts)  # the same 64 tokens and the same two GPUs
    assert rank.linear == pytest.approx(2 * one.linear)  # the other weights are on every rank
    assert rank.host == one.host - 8 * 32
    assert rank.gaps == one.gaps
    alone = step_terms(model(QWEN_MOE, "H100", 1), decodes=[1023] * 32)
    assert rank.elementwise == alone.elementwise  # twice the tokens for half the experts
    assert (rank.linear, rank.head, rank.decode_attention) == (alone.linear, alone.head, alone.decode_attention)


def test_communication_of_ranks_that_are_split_themselves():
    terms = step_terms(model(V3, "H200", 2, ranks=4), decodes=[1023] * 16)
    all_reduces = (61 + 3) * (4.5 + 2 * 1 / 2 * 16 * 7168 * 2 / 276e3)
    logits = 4.5 + 1 / 2 * 16 * 129280 * 2 / 276e3
    exchange = 58 * (2 * 6.2 + 2 * 3 * 16 * 7168 * 2 / 320e3)  # cost of all eight GPUs
    assert terms.comm == pytest.approx(all_reduces + logits + exchange)


@pytest.mark.parametrize(
    ("name", "gpu", "tp", "ranks", "message"),
    [
        (L8B, "H100", 1, 2, "ranks of a dense model are independent instances; got 2, valid: 1"),
        (MIXTRAL, "H100", 1, 0, "must be a whole number >= 1, got 0"),
        (MIXTRAL, "H100", 2, 8, "the cost of communication is not known for 8 ranks of 2 H100-SXM; valid: 1, 2, 4"),
    ],
)
def test_ranks_that_cannot_be(name, gpu, tp, ranks, message):
    with pytest.raises(ConfigError, match=f"^data_parallel_ranks: {message}$"):
        model(name, gpu, tp, ranks=ranks)


# ---- All models ----


# Inter-token time in ms at 1, 32 and 128 decodes of 600 tokens context under vLLM before 0.11.
@pytest.mark.parametrize(
    ("name", "gpu", "tp", "expected_ms"),
    [
        ("codellama-34b-instruct-hf", "H100", 1, (27.8, 29.5, 34.6)),
        ("granite-3.1-8b-instruct", "H100", 2, (8.0, 8.9, 11.7)),
        ("granite-3.1-8b-instruct", "A100-80", 2, (12.7, 14.2, 18.8)),
        (L8B, "H100", 4, (6.5, 6.8, 8.6)),
        (L8B, "A100-80", 1, (16.5, 18.5, 24.7)),
        ("llama-3.3-70b-instruct", "H100", 4, (18.7, 20.0, 24.0)),
        ("phi-4-fp8-dynamic", "H100", 1, (9.8, 11.5, 16.7)),
        ("phi-4-quantized.w4a16", "H100", 2, (7.2, 7.6, 12.1)),
        ("mistral-small-24b-instruct-2501", "A100-80", 4, (14.9, 16.0, 19.3)),
        ("mistral-small-3.1-24b-instruct-2503", "H100", 8, (7.2, 7.8, 9.6)),
        ("qwen2.5-7b-instruct-quantized.w8a8", "H100", 4, (6.1, 6.4, 7.2)),
        ("gpt-oss-120b", "H100", 4, (6.8, 11.3, 15.4)),
        (SCOUT_FP8, "H100", 8, (8.2, 13.0, 16.0)),
    ],
)
def test_inter_token_times(name, gpu, tp, expected_ms):
    law = model(name, gpu, tp, "piecewise")
    got = [step_terms(law, decodes=[600] * n).step_us / 1000 for n in (1, 32, 128)]
    assert got == pytest.approx(expected_ms, abs=0.0501)


def test_what_the_engine_gets():
    law = model(L8B)
    assert law.name == "roofline"
    assert law.alpha == (0.0, 0.0, 0.0)
    assert law.last_prompt_token_is_decode


def compiled(law):
    signature = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 7, ctypes.POINTER(ctypes.c_double))
    function = signature(law.compile().address)
    pointer = law.parameters.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
    return lambda *aggregates: function(*aggregates, pointer)


@pytest.mark.parametrize("name", [L8B, MIXTRAL, "gpt-oss-120b", V2_LITE])
def test_compiled_law_is_the_python_one(name):
    law = model(name)
    function = compiled(law)
    for aggregates in [
        (0, 1, 1023, 0, 0, 0, 0),
        (0, 128, 128 * 1023, 0, 0, 0, 0),
        (2048, 0, 0, 2048 * 2049 // 2, 2048, 1, 2048),
        (128, 32, 32 * 1023, 128 * 8192 + 128 * 129 // 2, 8320, 1, 8320),
    ]:
        assert function(*aggregates) == _step_time_us(*aggregates, law.parameters)


def test_compiling_again_costs_nothing():
    assert model(L8B).compile() is model(MIXTRAL).compile()


def test_tp_that_cannot_be():
    with pytest.raises(
        ConfigError, match="tp: 28 attention heads and 4 KV heads cannot be split over 8 GPUs; valid: 1, 2, 4"
    ):
        model("qwen2.5-7b-instruct", tp=8)
    with pytest.raises(
        ConfigError, match="tp: the cost of an all-reduce over 16 GPUs is not known for H100-SXM; valid: 1, 2, 4, 8"
    ):
        model(L8B, tp=16)


def test_more_gpus_can_be_slower_over_pcie():
    batch = {"prefills": [(0, 2048)]}
    assert step_terms(model(L8B, "L40S", 4), **batch).step_us > step_terms(model(L8B, "L40S", 2), **batch).step_us


# ---- Laws that hold for every batch ----

MODELS = [
    (L8B, "H100", 2, 1),
    (L8B, "L40S", 1, 1),
    (L70B_FP8, "H100", 4, 1),
    (L70B_W4, "A100-80", 2, 1),
    ("qwen2.5-7b-instruct-quantized.w8a8", "A100-80", 1, 1),
    (MIXTRAL, "MI300X", 2, 1),
    (SCOUT_FP8, "B200", 4, 1),
    ("gpt-oss-120b", "H100", 1, 1),
    (QWEN_MOE, "RTX-PRO-6000-Server", 1, 1),
    (QWEN_MOE, "L40S", 2, 4),
    ("deepseek-moe-16b-chat", "H200", 2, 1),
    (V2_LITE, "H100", 1, 1),
    (V3, "H200", 8, 1),
    (V3, "B200", 1, 8),
]
LAWS = [
    (*deployment, model(*deployment[:3], profile, deployment[3]))
    for deployment in MODELS
    for profile in ("full", "piecewise")
]
ROUNDING = 1 - 1e-12

laws = st.sampled_from([law for *_, law in LAWS])
cached = st.integers(0, 20_000)
new = st.integers(1, 4096)
prefills = st.lists(st.tuples(cached, new), max_size=4)
decodes = st.lists(st.integers(1, 20_000), max_size=64)


def step_us(law, prefills=(), decodes=()):
    return step_terms(law, prefills=prefills, decodes=decodes).step_us


@given(st.sampled_from(LAWS), prefills, decodes)
def test_no_step_beats_the_silicon(deployment, prefills, decodes):
    assume(prefills or decodes)
    name, gpu_name, tp, ranks, law = deployment
    arch, gpu = architecture(name), HARDWARE.get(gpu_name)
    q = arch.quantization
    tokens, requests = sum(n for _, n in prefills) + len(decodes), len(prefills) + len(decodes)
    num_experts, chosen = next(((e.num_experts, e.experts_per_token) for e in arch.moe_layers), (1, 0))
    active = arch.mixer_parameters + arch.mlp_parameters + arch.expert_parameters * chosen / num_experts
    peak = gpu.peak_8bit_tflops if q.activation_type in gpu.types_8bit else gpu.peak_16bit_tflops
    flops = 2 * active * tokens + 2 * arch.vocabulary_parameters * requests
    assert step_us(law, prefills, decodes) >= flops / tp / peak / 1e6 * ROUNDING

    missed = (1 - chosen / num_experts) ** (tokens * ranks)
    weights = arch.mixer_parameters * q.attention_bytes + arch.mlp_parameters * q.mlp_bytes
    weights += (arch.router_parameters + arch.vocabulary_parameters) * 2
    weights += arch.expert_parameters * (1 - missed) * q.expert_bytes / ranks
    growing = arch.kv_bytes_per_token(tp, 2)
    kv = sum(growing * (c + 1) for c in decodes)
    assert step_us(law, prefills, decodes) >= (weights / tp + kv) / gpu.memory_bandwidth_gb_per_s / 1e3 * ROUNDING


@given(laws, prefills, decodes, st.data())
def test_more_work_never_shortens_a_step(law, prefills, decodes, data):
    assume(prefills or decodes)
    more_prefills, more_decodes = list(prefills), list(decodes)
    for i, (p, n) in enumerate(prefills):
        more_prefills[i] = (p + data.draw(st.integers(0, 2000)), n + data.draw(st.integers(0, 2000)))
    for j, c in enumerate(decodes[:5]):
        more_decodes[j] = c + data.draw(st.integers(0, 2000))
    more_prefills += data.draw(st.lists(st.tuples(cached, new), max_size=1))
    more_decodes += data.draw(st.lists(st.integers(1, 5000), max_size=1))
    assert step_us(law, more_prefills, more_decodes) >= step_us(law, prefills, decodes) * ROUNDING


@given(laws, cached, new, new)
def test_two_chunks_are_never_cheaper_than_one(law, p, first, second):
    apart = step_us(law, [(p, first)]) + step_us(law, [(p + first, second)])
    assert apart >= step_us(law, [(p, first + second)]) * ROUNDING


@given(laws, cached, new, decodes)
def test_a_cached_prefix_is_never_dearer_than_recomputing_it(law, p, n, decodes):
    assert step_us(law, [(p, n)], decodes) <= step_us(law, [(0, p + n)], decodes) / ROUNDING


@settings(max_examples=50)
@given(
    st.sampled_from(load_hardware().gpus),
    st.sampled_from([L8B, MIXTRAL, V2_LITE]),
    st.sampled_from(["fp8", "int8"]),
    prefills,
    decodes,
)
def test_8_bit_is_never_slower_than_16_bit(gpu, name, kind, prefills, decodes):
    peak = gpu.peak_of(kind)
    assume((prefills or decodes) and (peak is None or peak >= gpu.peak_16bit_tflops))  # B300 gave up INT8
    arch = architecture(name)
    smaller = dataclasses.replace(arch, quantization=Quantization(1.0, 1.0, 1.0, kind))
    fast, slow = starmap(roofline_model, [(smaller, gpu, 2, "full"), (arch, gpu, 2, "full")])
    assert step_us(fast, prefills, decodes) <= step_us(slow, prefills, decodes) / ROUNDING


@pytest.mark.parametrize(("name", "gpu"), [(L8B, "H100"), (MIXTRAL, "A100-80"), (V2_LITE, "H100")])
def test_a_step_is_proportional_to_the_times_among_the_parameters(name, gpu):
    law = model(name, gpu, 2)
    thousandfold = law.parameters.copy()
    thousandfold[list(law.times)] *= 1000
    batch = {"prefills": [(0, 300), (500, 20)], "decodes": [10, 2_000, 30_000]}
    longer = step_terms(dataclasses.replace(law, parameters=thousandfold), **batch).step_us
    assert longer == pytest.approx(1000 * step_terms(law, **batch).step_us)
