"""The roofline law for layers that differ: costs of each kind worked out by hand, and what no kind may break."""

import dataclasses

import pytest
from helpers_models import (
    CONV,
    EXPERTS,
    FULL,
    GDN,
    KDA,
    LATENT,
    LIGHTNING,
    MAMBA1,
    MAMBA2,
    MLP,
    MODELS,
    SHARED_SPARSE,
    SPARSE,
    D,
    model,
    of,
    window,
)
from hypothesis import assume, given
from hypothesis import strategies as st
from test_roofline import HARDWARE, compiled

from blis.config.model.layers import Attention, Experts, Layer, Mlp
from blis.config.quantization import BYTES_MXFP4, Quantization
from blis.errors import ConfigError
from blis.latency.roofline import _step_time_us, roofline_model, step_terms
from blis.latency.roofline_parameters import MLP as MLP_WEIGHTS
from blis.latency.roofline_parameters import MLP_PER_TOKEN

# H100, in bytes and FLOPs per µs: reading weights and caches, linear layers and attention
READS, CACHE_READS = 3350e3 * 0.88, 3350e3 * 0.82
MATRICES, ATTENTION = 989.4e6 * 0.75, 989.4e6 * 0.65
LEAST_QUERIES, EXTRA = 64 * 132, 450


def law(made, gpu="H100", tp=1, **options):
    return roofline_model(made, HARDWARE.get(gpu), tp, "full", **options)


def terms(made, prefills=(), decodes=(), **options):
    return step_terms(law(made, **options), prefills=prefills, decodes=decodes)


# ---- Attention ----

TOKEN = 2 * 8 * 128 * 2  # bytes of keys and values per layer


def test_decodes_read_of_each_layer_what_its_window_reaches():
    got = terms(of(FULL, window(128), window(128), window(1024)), decodes=[4999] * 8).decode_attention
    assert got == pytest.approx(8 * (5000 + 2 * 128 + 1024) * TOKEN / CACHE_READS)


def test_windows_longer_than_the_context_are_full_attention():
    batch = {"prefills": [(0, 300)], "decodes": [200] * 3}
    windows = terms(of(FULL, window(2000), window(9000)), **batch)
    full = terms(of(FULL, FULL, FULL), **batch)
    assert sum(windows) == pytest.approx(sum(full))


def test_prefills_look_at_what_each_window_reaches():
    got = terms(of(FULL, window(128), window(1024)), prefills=[(0, 4000)]).prefill_attention
    pairs = [4000 * 4001 / 2, 128 * 4000, 1024 * 4000]  # more than the GPU's least: 264 queries x 4,000 tokens
    assert pairs[0] > LEAST_QUERIES / 32 * 4000
    assert got == pytest.approx(sum(each + EXTRA * 4000 for each in pairs) * 32 * 4 * 128 / ATTENTION)


def test_a_chunk_costs_what_a_window_of_its_size_does():
    batch = {"prefills": [(500, 9000)], "decodes": [20_000] * 4}
    assert terms(of(FULL, window(8192, "chunk")), **batch) == terms(of(FULL, window(8192)), **batch)


def test_kinds_of_other_heads_cost_what_they_cost_alone():
    wide, narrow = Attention(16, 2, 512, 512, values_are_keys=True), window(1024, heads=(16, 8, 256, 256))
    both = terms(of(wide, narrow, narrow), decodes=[2999] * 5, tp=2)
    # per GPU one KV head of 512 and four of 256; keys and values are cached even if they are the same
    assert both.decode_attention == pytest.approx(5 * (3000 * 2 * 512 + 2 * 1024 * 4 * 2 * 256) * 2 / CACHE_READS)
    alone = [terms(of(each, mlp=None), prefills=[(0, 3000)], tp=2).prefill_attention for each in (wide, narrow)]
    together = terms(of(wide, narrow, narrow), prefills=[(0, 3000)], tp=2).prefill_attention
    assert together == pytest.approx(alone[0] + 2 * alone[1])


def linear_us(made, weights):
    return pytest.approx(weights * 2 / READS), terms(made, decodes=[1]).linear


def test_projections_weigh_what_they_are_made_of():
    width = 32 * 128
    for mixer, elements in (
        (FULL, 2 * width + 2 * 1024),
        (dataclasses.replace(FULL, values_are_keys=True), 2 * width + 1024),
        (dataclasses.replace(FULL, has_gate=True), 3 * width + 2 * 1024),
        (dataclasses.replace(FULL, keeps_cache=False), 2 * width),
    ):
        expected, got = linear_us(of(mixer, mlp=None), D * elements)
        assert got == expected


def test_a_layer_without_a_cache_of_its_own_reads_an_earlier_one():
    reader = dataclasses.replace(FULL, keeps_cache=False)
    batch = {"prefills": [(100, 300)], "decodes": [5000] * 9}
    got, full = (terms(of(FULL, mixer), **batch) for mixer in (reader, FULL))
    assert (got.decode_attention, got.prefill_attention) == (full.decode_attention, full.prefill_attention)


def test_an_fp8_cache_is_half_as_much_to_read():
    made = of(FULL, window(512), MAMBA2)
    at_16, at_8 = (terms(made, decodes=[9999] * 8, kv_element_bytes=size).decode_attention for size in (2, 1))
    states = 8 * 2 * MAMBA2.state_bytes(1) / CACHE_READS
    assert at_8 - states == pytest.approx((at_16 - states) / 2)
    assert at_16 - states == pytest.approx(8 * (10_000 + 512) * TOKEN / CACHE_READS)


# ---- Sparse latent attention ----


def test_sparse_attention_reads_so_many_tokens_and_keys_of_all():
    got = terms(of(SPARSE), decodes=[99_999] * 2, gpu="H200").decode_attention
    reads, flops = 4800e3 * 0.78, 989.4e6 * 0.66
    chosen = max(2 * 2048 * 576 * 2 / reads, 2 * 2048 * 128 * 2 * (576 + 512) / flops)
    keys = max(2 * 100_000 * 132 / reads, 2 * 100_000 * 64 * 2 * 128 / (flops * 2))
    assert got == pytest.approx(chosen + keys, rel=1e-4)  # the 8-bit peak is not exactly twice the other


def test_sparse_prefills_work_on_cached_vectors():
    got = terms(of(SHARED_SPARSE), prefills=[(50_000, 4096)]).prefill_attention
    assert got == pytest.approx((2048 * 4096 + EXTRA * 4096) * 128 * 2 * (576 + 512) / ATTENTION)


def test_an_indexer_scores_all_pairs_of_a_prompt_with_8_bit():
    own, shared = (terms(of(mixer), prefills=[(50_000, 4096)]).prefill_attention for mixer in (SPARSE, SHARED_SPARSE))
    pairs = 50_000 * 4096 + 4096 * 4097 / 2
    assert own - shared == pytest.approx((pairs + EXTRA * 4096) * 64 * 2 * 128 / (1978.9e6 * 0.65))
    on_a100 = [law(of(mixer), "A100-80") for mixer in (SPARSE, SHARED_SPARSE)]
    own, shared = (step_terms(each, prefills=[(50_000, 4096)]).prefill_attention for each in on_a100)
    assert own - shared == pytest.approx((pairs + 220 * 4096) * 64 * 2 * 128 / (312e6 * 0.58))  # it has no FP8


def test_a_shared_indexer_costs_nothing():
    batch = {"prefills": [(9000, 500)], "decodes": [50_000] * 4}
    once, shared, twice = (terms(of(SPARSE, *more), **batch) for more in ([], [SHARED_SPARSE], [SPARSE]))
    own = terms(of(SHARED_SPARSE), **batch)
    assert shared.decode_attention == pytest.approx(once.decode_attention + own.decode_attention)
    assert twice.decode_attention > shared.decode_attention
    assert twice.linear > shared.linear


def test_the_fp8_cache_of_sparse_attention_has_scales():
    """656 bytes per token, as vLLM says: 512 elements, 4 scales of 4 bytes, 64 elements of 16 bit."""
    assert (SPARSE.bytes_read(8, 2), SPARSE.bytes_read(8, 1), LATENT.bytes_read(8, 1)) == (1152, 656, 576)


# ---- States ----


@pytest.mark.parametrize(
    ("mixer", "state_bytes", "scan_flops"),
    [
        (MAMBA1, 8192 * 16 * 2 + 3 * 8192 * 2, 16 * 9 * 8192 * 16),
        # 128 heads of 64 x 128, 8 groups of 128; chunks of 256
        (MAMBA2, 128 * 64 * 128 * 4 + 3 * (8192 + 2048) * 2, 4 * 128 * 64 * 128 + 2 * 256 * (8 * 128 + 8192)),
        # 32 heads of 128 x 128; chunks of 64: between them 6 products with the state, within 6 + 4 of 64 x 128
        (GDN, 32 * 128 * 128 * 2 + 3 * 8192 * 2, 32 * (6 * 128 * 128 + 64 * (6 + 4) * 128)),
        (KDA, 32 * 128 * 128 * 4 + 3 * 12_288 * 2, 32 * (6 * 128 * 128 + 64 * (6 + 4) * 128)),
        (LIGHTNING, 32 * 128 * 128 * 2, 32 * (4 * 128 * 128 + 256 * (2 + 2) * 128)),
        (CONV, 2 * 4096 * 2, 0),
    ],
)
def test_states_are_read_and_written_and_prompts_scanned(mixer, state_bytes, scan_flops):
    made = of(mixer, mixer)
    decode = terms(made, decodes=[10, 90_000, 5])
    assert decode.decode_attention == pytest.approx(2 * 3 * 2 * state_bytes / CACHE_READS)
    assert decode.prefill_attention == 0
    expected = max(2 * 8000 * scan_flops / ATTENTION, 2 * 2 * state_bytes / CACHE_READS)
    assert terms(made, prefills=[(70_000, 8000)]).prefill_attention == pytest.approx(expected)
    assert terms(made, prefills=[(0, 1)] * 9).prefill_attention >= 9 * 2 * 2 * state_bytes / CACHE_READS * (1 - 1e-12)
    expected_linear, linear = linear_us(of(mixer, mlp=None), mixer.weights)
    assert linear == expected_linear


def test_scans_and_projections_are_split():
    alone, pair = (terms(of(GDN, mlp=None), prefills=[(0, 4000)], tp=tp) for tp in (1, 2))
    assert pair.prefill_attention == pytest.approx(alone.prefill_attention / 2)
    moved = [each.elementwise / 4000 / 2 * READS for each in (alone, pair)]
    assert moved == pytest.approx([2 * D + GDN.weights / D, 2 * D + GDN.weights / D / 2])


def test_states_are_split_but_for_groups_that_cannot_be():
    alone = dataclasses.replace(MAMBA2, num_groups=1)
    for mixer in (MAMBA2, alone):
        got = terms(of(mixer), decodes=[1] * 4, tp=8).decode_attention
        assert got == pytest.approx(4 * 2 * mixer.state_bytes(8) / CACHE_READS)
    assert alone.state_bytes(8) == 128 * 64 * 128 * 4 // 8 + 2 * 3 * (8192 + 8 * 256) // 8


# ---- Layers and experts ----


def test_a_layer_is_a_mixer_and_an_mlp():
    """Gaps, launches and all-reduces: half a layer each."""
    apart = model(*[Layer((FULL,), None), Layer((), MLP)] * 3)
    batch = {"prefills": [(0, 100)], "decodes": [50] * 4}
    assert terms(apart, tp=4, **batch) == terms(of(FULL, FULL, FULL), tp=4, **batch)
    assert terms(apart, tp=4, **batch).gaps == 3 * 30


def test_mixers_side_by_side_are_added():
    both, attention, state = (
        terms(model(Layer(mixers, MLP)), [(9, 700)], [3000] * 4, tp=2)
        for mixers in ((FULL, MAMBA2), (FULL,), (MAMBA2,))
    )
    nothing = terms(model(Layer((), MLP)), [(9, 700)], [3000] * 4, tp=2)
    for name in ("elementwise", "decode_attention", "prefill_attention", "comm", "gaps", "launch"):
        got, parts = getattr(both, name), getattr(attention, name) + getattr(state, name) - getattr(nothing, name)
        assert got == pytest.approx(parts), name


def test_mlps_of_two_matrices():
    made = model(Layer((), Mlp(20_000, num_matrices=2)))
    got = terms(made, decodes=[1] * 2)
    assert got.linear == pytest.approx(2 * D * 20_000 * 2 / READS)
    assert got.elementwise == pytest.approx(2 * 2 * (2 * D + 20_000) / READS)


def test_experts_of_two_matrices_on_a_latent():
    experts = Experts(512, 22, 2688, 5376, num_matrices=2, latent_size=1024)
    got = terms(model(Layer((), experts)), decodes=[1] * 16)
    wanted = 512 * (1 - (1 - 22 / 512) ** 16)
    expert = 2 * 1024 * 2688
    assert got.experts == pytest.approx(wanted * expert * 2 / (3350e3 * 0.72) + 16 * 22 * expert * 2 / (989.4e6 * 0.3))
    assert got.linear == pytest.approx((2 * D * 5376 + 2 * D * 1024 + D * 512) * 2 / READS)


def test_what_layers_hold_besides_is_multiplied_at_16_bit():
    made = model(dataclasses.replace(Layer((), MLP), other_parameters=3_000_000))
    quantised = dataclasses.replace(made, quantization=Quantization(1.0, 1.0, 1.0, "fp8"))
    assert terms(quantised, decodes=[1]).linear == pytest.approx((3 * D * 14_336 + 2 * 3_000_000) / READS)


def test_experts_that_differ_in_number_are_refused():
    with pytest.raises(ConfigError, match=r"^model: layers must route .* equally many experts, got 6 of 64, 8 of 128$"):
        law(model(Layer((FULL,), EXPERTS), Layer((FULL,), Experts(128, 8, 1408))))


def test_experts_that_differ_in_width_are_added():
    wide = dataclasses.replace(EXPERTS, expert_width=2816)
    one, other, both = (
        terms(model(*[Layer((FULL,), each) for each in kinds]), decodes=[1] * 4).experts
        for kinds in ([EXPERTS], [wide], [EXPERTS, wide])
    )
    assert both == pytest.approx(one + other)


# ---- 4 bits ----


@pytest.mark.parametrize(("gpu", "rate"), [("B200", 9000e6 * 0.45), ("H100", MATRICES)])
def test_fp4_is_multiplied_where_there_is_such_arithmetic(gpu, rate):
    quantised = dataclasses.replace(of(FULL), quantization=Quantization(1.0, BYTES_MXFP4, BYTES_MXFP4, "fp4"))
    got = terms(quantised, prefills=[(0, 8192)], gpu=gpu).linear
    eighths = {"B200": 4500e6 * 0.45, "H100": 1978.9e6 * 0.55}[gpu]  # attention's weights are FP8
    attention = 2 * 8192 * D * (2 * 4096 + 2 * 1024) / eighths
    assert got == pytest.approx(attention + 2 * 8192 * 3 * D * 14_336 / rate)


# ---- Laws that hold for every batch and kind ----

LAWS = {name: law(made) for name, made in MODELS.items()}
ROUNDING = 1 - 1e-12

names = st.sampled_from(list(LAWS))
cached = st.integers(0, 20_000)
new = st.integers(1, 4096)
prefills = st.lists(st.tuples(cached, new), max_size=4)
decodes = st.lists(st.integers(1, 20_000), max_size=64)


def step_us(which, prefills=(), decodes=()):
    return step_terms(which, prefills=prefills, decodes=decodes).step_us


@given(names, prefills, decodes, st.data())
def test_more_work_never_shortens_a_step(name, prefills, decodes, data):
    assume(prefills or decodes)
    more = st.integers(0, 2000)
    more_prefills = [(p + data.draw(more), n + data.draw(more)) for p, n in prefills]
    more_decodes = [c + (data.draw(more) if i < 5 else 0) for i, c in enumerate(decodes)]
    more_prefills += data.draw(st.lists(st.tuples(cached, new), max_size=1))
    more_decodes += data.draw(st.lists(st.integers(1, 5000), max_size=1))
    longer = step_us(LAWS[name], more_prefills, more_decodes)
    assert longer >= step_us(LAWS[name], prefills, decodes) * ROUNDING


# what reaches so far only is limited as a sum, which is too much for a prompt that outgrows it within a chunk
@given(names.filter(lambda name: not any(m.reach_tokens for m in MODELS[name].attention)), cached, new, new)
def test_two_chunks_are_never_cheaper_than_one(name, p, first, second):
    apart = step_us(LAWS[name], [(p, first)]) + step_us(LAWS[name], [(p + first, second)])
    assert apart >= step_us(LAWS[name], [(p, first + second)]) * ROUNDING


shapes = st.sampled_from([(32, 8, 128, 128), (16, 2, 512, 512), (16, 8, 256, 256)])
reaches = st.tuples(st.sampled_from(["window", "chunk"]), st.integers(1, 20_000))


@given(st.lists(st.tuples(shapes, st.none() | reaches), min_size=1, max_size=6), prefills, decodes, st.booleans())
def test_a_window_never_costs_more_than_full_attention(layers, prefills, decodes, has_states):
    assume(prefills or decodes)
    states = [MAMBA2] if has_states else []
    windowed = of(*states, *[Attention(*shape, *(reach or ())) for shape, reach in layers])
    full = of(*states, *[Attention(*shape) for shape, _ in layers])
    assert step_us(law(windowed), prefills, decodes) <= step_us(law(full), prefills, decodes) / ROUNDING


@pytest.mark.parametrize("name", MODELS)
def test_compiled_law_is_the_python_one(name):
    function = compiled(LAWS[name])
    for aggregates in [
        (0, 1, 1023, 0, 0, 0, 0),
        (0, 128, 128 * 10_230, 0, 0, 0, 0),
        (2048, 0, 0, 2048 * 2049 // 2, 2048, 1, 2048),
        (128, 32, 32 * 1023, 128 * 8192 + 128 * 129 // 2, 8320, 1, 8320),
    ]:
        assert function(*aggregates) == _step_time_us(*aggregates, LAWS[name].parameters)


@pytest.mark.parametrize("name", MODELS)
def test_a_step_is_proportional_to_the_times_among_the_parameters(name):
    batch = {"prefills": [(0, 300), (5000, 20)], "decodes": [10, 2_000, 30_000]}
    longer = step_terms(LAWS[name].scaled(1000), **batch).step_us
    assert longer == pytest.approx(1000 * step_terms(LAWS[name], **batch).step_us)


@pytest.mark.parametrize("name", MODELS)
def test_one_more_gpu_reads_less_of_everything_that_is_split(name):
    alone, pair = (law(MODELS[name], tp=tp) for tp in (1, 2))
    batch = {"decodes": [3000] * 16}
    assert step_terms(pair, **batch).linear < step_terms(alone, **batch).linear
    assert step_terms(pair, **batch).decode_attention <= step_terms(alone, **batch).decode_attention


def test_a_part_that_is_exempted_in_a_few_layers_keeps_its_arithmetic():
    whole, mostly, hardly = (
        law(dataclasses.replace(of(FULL), quantization=Quantization(size, size, size, "fp8"))).parameters
        for size in (1.0, 1.03125, 1.9)
    )
    assert mostly[MLP_PER_TOKEN] == whole[MLP_PER_TOKEN] < hardly[MLP_PER_TOKEN]
    assert mostly[MLP_WEIGHTS] == pytest.approx(1.03125 * whole[MLP_WEIGHTS])
