"""The division of KV memory: all that vLLM's own planner answered, laws that hold for any model, and older releases."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace

import pytest
from helpers_capacity import capacity_cases, plan_of
from hypothesis import given
from hypothesis import strategies as st

from blis.config.model.layers import Attention, Indexer, LatentAttention, Layer, StateMixer
from blis.config.model.model import Model
from blis.errors import CapacityError
from blis.memory.caches import StateCache, TokenCache
from blis.memory.layer_caches import kernel_block_tokens, layer_caches
from blis.memory.planning import Settings, plan_kv_cache
from blis.memory.releases import release_of

GIB = 2**30
#: Keys of a record, and what of a plan they are.
FIGURES = {
    "block_size": "block_size_tokens",
    "mamba_page_padded": "state_page_bytes",
    "bytes_per_block": "block_bytes",
    "num_blocks": "num_blocks",
    "blocks_per_request": "blocks_per_request",
    "max_model_len": "max_model_len",
    "tokens": "cache_tokens",
    "max_concurrency": "max_concurrency",
    "scheduler_block_size": "scheduler_block_tokens",
}
KINDS = {"Full": "full", "MLA": "full", "Sliding": "window", "Chunked": "chunk"}


def group_of(group):
    """A group as records have it."""
    cache = group.cache
    reach = {"kind": "state"} if isinstance(cache, StateCache) else {"reach": cache.reach, "tokens": cache.reach_tokens}
    return (group.num_layers, group.block_size_tokens, group.block_bytes, group.blocks_per_request, reach)


def recorded_group(group):
    """The same of a record, in which full attention may still name the window that it had."""
    size = group["group_page_bytes"] if "group_page_bytes" in group else group["layers"] * group["layer_page_bytes"]
    figures = (group["layers"], group["block_size"], size, group["blocks_per_request"])
    if group["kind"].startswith("Mamba"):
        return (*figures, {"kind": "state"})
    reach = next(reach for kind, reach in KINDS.items() if group["kind"].startswith(kind))
    return (*figures, {"reach": reach, "tokens": 0 if reach == "full" else group.get("window") or group["chunk"]})


@pytest.mark.parametrize("case", capacity_cases(), ids=lambda case: case["name"])
def test_what_the_planner_of_vllm_answered(case):
    plan, expected = plan_of(case), case["expect"]
    if "error" in expected:
        assert not plan.fits
        assert plan.block_size_tokens == expected["block_size"]
        assert plan.longest_request_tokens == expected["estimated_max_model_len"]
        return
    assert plan.fits
    found = {key: getattr(plan, name) for key, name in FIGURES.items() if key in expected}
    assert found == {key: expected[key] for key in found}
    assert [group_of(group) for group in plan.groups] == [recorded_group(group) for group in expected["groups"]]
    assert plan.log_line == expected["log"][-1]  # lines before it say what was raised and padded


def test_there_are_records_of_all_kinds():
    errors = [case["expect"]["error"] for case in capacity_cases() if "error" in case["expect"]]
    assert len(capacity_cases()) == 38
    assert errors
    assert any(case.get("auto_fit") for case in capacity_cases())
    assert any(case.get("blocks_override") for case in capacity_cases())
    assert any(case.get("disable_hybrid") for case in capacity_cases())


tokens = st.builds(TokenCache, st.sampled_from([256, 512, 1024, 3072, 4096]))
windows = st.builds(TokenCache, st.sampled_from([512, 1024, 4096]), st.just("window"), st.sampled_from([128, 1024]))
chunks = st.builds(TokenCache, st.sampled_from([512, 1024]), st.just("chunk"), st.just(8192))
states = st.builds(StateCache, st.integers(10_000, 3_000_000), st.sampled_from([1, 2]), st.booleans())
models = st.lists(st.sampled_from([0, 1, 2, 3]), min_size=1, max_size=40).flatmap(
    lambda places: st.tuples(st.just(places), st.tuples(tokens, windows, chunks, states))
)


@st.composite
def layers(draw):
    places, kinds = draw(models)
    return [kinds[place] for place in places]


settings = st.builds(
    Settings,
    available_bytes=st.integers(0, 200 * GIB),
    max_model_len=st.integers(1, 200_000),
    max_num_batched_tokens=st.integers(1, 16_384),
    batches_in_flight=st.sampled_from([1, 2]),
    prefix_caching=st.booleans(),
    rules=st.sampled_from(["0.33.0", "0.18.0", "0.19.0"]).map(lambda version: release_of(version).rules),
)


def plan_or_skip(caches, asked):
    """None: the release has no place for such layers, as those below 0.33 may not have."""
    if asked.rules.pads_pages:
        return plan_kv_cache(caches, asked)
    with suppress(CapacityError):
        return plan_kv_cache(caches, asked)
    return None


@given(layers(), settings)
def test_groups_cover_all_layers_and_blocks_fit(caches, asked):
    plan = plan_or_skip(caches, asked)
    if plan is None:
        return
    assert sum(group.num_layers for group in plan.groups) == len(caches)
    assert plan.num_blocks * plan.block_bytes <= asked.available_bytes
    assert asked.available_bytes - plan.num_blocks * plan.block_bytes < plan.block_bytes
    assert all(group.block_bytes <= plan.block_bytes for group in plan.groups)
    assert plan.needed_bytes == plan.block_bytes * plan.blocks_per_request
    assert plan.fits == (plan.longest_request_tokens == asked.max_model_len and plan.num_blocks > 0)
    assert plan.usable_tokens >= 0


@given(layers(), settings, st.integers(0, 50_000))
def test_longer_requests_need_no_less(caches, asked, more):
    shorter = plan_or_skip(caches, asked)
    longer = plan_or_skip(caches, replace(asked, max_model_len=asked.max_model_len + more))
    if shorter is None or longer is None:
        return
    assert longer.needed_bytes >= shorter.needed_bytes
    assert longer.block_bytes == shorter.block_bytes
    assert longer.num_blocks == shorter.num_blocks


@given(layers(), settings, st.integers(0, 20 * GIB))
def test_more_memory_is_no_worse(caches, asked, more):
    less = plan_or_skip(caches, asked)
    plan = plan_or_skip(caches, replace(asked, available_bytes=asked.available_bytes + more))
    if less is None or plan is None:
        return
    assert plan.num_blocks >= less.num_blocks
    assert plan.longest_request_tokens >= less.longest_request_tokens
    assert plan.usable_tokens >= less.usable_tokens


@given(layers(), settings)
def test_the_longest_request_fits_and_one_longer_does_not(caches, asked):
    plan = plan_or_skip(caches, asked)
    if plan is None or not 0 < plan.longest_request_tokens < asked.max_model_len:
        return
    longest = plan.longest_request_tokens
    assert plan_kv_cache(caches, replace(asked, max_model_len=longest)).fits
    assert not plan_kv_cache(caches, replace(asked, max_model_len=longest + 1)).fits


@given(st.integers(1, 60), settings)
def test_one_kind_of_layers_wastes_nothing(count, asked):
    plan = plan_kv_cache([TokenCache(4096)] * count, asked)
    assert plan.usable_tokens == plan.num_blocks * 16
    assert len(plan.groups) == 1


#: 48 layers with a window and 12 without, as Gemma 3 has them.
GEMMA = [TokenCache(8192, "window", 1024)] * 5 + [TokenCache(8192)]
ASKED = Settings(available_bytes=40 * GIB, max_model_len=32_768, max_num_batched_tokens=8192)


def plan_by(version, caches, **more):
    return plan_kv_cache(caches, replace(ASKED, rules=release_of(version).rules, **more))


def test_windows_count_as_full_before_there_were_groups():
    plan = plan_by("0.8.4", GEMMA * 8)
    assert [group.num_layers for group in plan.groups] == [48]
    assert plan.cache_tokens == plan.num_blocks * 16
    assert plan.log_line.count("\n") == 1


def test_windows_keep_what_one_batch_or_two_add():
    blocks = {version: plan_by(version, GEMMA * 8).blocks_per_request for version in ("0.11.0", "0.19.0", "0.33.0")}
    one, two = -(-(1023 + 8192) // 16) + 1, -(-(1023 + 2 * 8192) // 16) + 1
    assert blocks == {"0.11.0": 2048 + 5 * one, "0.19.0": 2048 + 5 * one, "0.33.0": 2048 + 5 * two}


def test_the_logged_size_is_shared_out_among_groups_or_goes_by_requests():
    old, new = plan_by("0.19.0", GEMMA * 8), plan_by("0.33.0", GEMMA * 8)
    assert old.cache_tokens == old.num_blocks // 6 * 16
    assert new.cache_tokens == int(new.max_concurrency * 32_768)
    assert re.fullmatch(
        r"GPU KV cache size: [\d,]+ tokens\nMaximum .* 32,768 tokens per request: [\d.]+x", old.log_line
    )


def test_groups_as_large_as_the_larger_bucket():
    caches = [TokenCache(8192)] * 13 + [TokenCache(8192, "window", 128)] * 12
    assert [group.num_layers for group in plan_by("0.19.0", caches).groups] == [13, 12]
    assert [group.num_layers for group in plan_by("0.11.0", caches).groups] == [7, 6, 12]


def test_chunks_have_groups_from_0_19():
    caches = [TokenCache(4096, "chunk", 8192)] * 3 + [TokenCache(4096)]
    assert len(plan_by("0.11.0", caches).groups) == 1
    assert len(plan_by("0.19.0", caches).groups) == 4


def test_pages_that_do_not_divide_are_padded_or_refused():
    caches = [TokenCache(3072), TokenCache(4096, "window", 128)]
    assert [group.block_size_tokens for group in plan_by("0.33.0", caches).groups] == [16, 16]
    with pytest.raises(CapacityError, match=r"^vllm_version: this release has no place for layers of 49152 and 65536"):
        plan_by("0.19.0", caches)


def test_the_null_block_counts_from_0_33():
    caches = [TokenCache(4096)] * 4
    room = 2048 * 4 * 4096 * 16
    assert plan_by("0.19.0", caches, available_bytes=room).fits
    assert not plan_by("0.33.0", caches, available_bytes=room).fits
    assert plan_by("0.33.0", caches, available_bytes=room).longest_request_tokens == 2047 * 16


MAMBA = [StateCache(2_100_000, 2, can_keep_all=True)] * 4 + [TokenCache(2048)]


@pytest.mark.parametrize(("version", "states"), [("0.11.0", 2), ("0.19.0", 26), ("0.33.0", 3)])
def test_states_that_prefix_caching_keeps(version, states):
    plan = plan_by(version, MAMBA)
    assert plan.groups[0].blocks_per_request == states
    assert plan.block_size_tokens == (1280 if version == "0.19.0" else 1040)
    assert plan_by(version, MAMBA, prefix_caching=False).groups[0].blocks_per_request == 1


def test_states_of_other_kinds_are_not_kept_per_block():
    plan = plan_by("0.19.0", [StateCache(1_000_000)] * 3 + [TokenCache(2048)])
    assert plan.groups[0].blocks_per_request == 2
    assert plan.block_size_tokens == 496


def test_latent_attention_beside_states_is_aligned():
    caches = [StateCache(1_000_000)] * 3 + [TokenCache(1152, is_latent=True)]
    assert {version: plan_by(version, caches).block_size_tokens for version in ("0.19.0", "0.33.0")} == {
        "0.19.0": 896,
        "0.33.0": 896,
    }


def model(*mixers):
    return Model("", 4096, 32_000, tuple(Layer((mixer,), None) for mixer in mixers))


def test_caches_of_each_kind_of_layer():
    sparse = LatentAttention(128, 512, 1536, 128, 64, 128, Indexer(64, 128, 2048))
    shared = replace(sparse, indexer=Indexer(64, 128, 2048, is_shared=True))
    plain = replace(sparse, indexer=None)
    cache = TokenCache(576, is_latent=True)
    assert list(layer_caches(model(plain), 8, 2)) == [replace(cache, token_bytes=1152)]
    assert list(layer_caches(model(plain), 8, 1)) == [cache]
    assert list(layer_caches(model(sparse, shared), 8, 1)) == [
        replace(cache, token_bytes=656),
        replace(cache, token_bytes=132),
        replace(cache, token_bytes=656),
    ]
    assert (kernel_block_tokens(model(sparse)), kernel_block_tokens(model(plain))) == (64, 16)
    window = Attention(32, 8, 128, 64, "window", 512)
    assert list(layer_caches(model(window, replace(window, keeps_cache=False)), 2, 2)) == [
        TokenCache(4 * 192 * 2, "window", 512)
    ]
    assert list(layer_caches(model(window), 16, 1)) == [TokenCache(192, "window", 512)]
    states = (
        StateMixer("mamba2", 0, 3, 8192, 2**20, 4, 8, 256),
        StateMixer("gdn", 0, 3, 12_288, 2**20, 4),
    )
    assert list(layer_caches(model(*states), 2, 1)) == [
        StateCache(2 * 3 * 10_240 // 2 + 2**21, 2, can_keep_all=True),
        StateCache(2 * 3 * 12_288 // 2 + 2**21),
    ]
