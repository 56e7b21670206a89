"""GPT-2 and those built like it: dense transformers whose MLPs have no gate and are four times as wide."""

from __future__ import annotations

from dataclasses import replace

from blis.config.model.families.family import TIED, Family
from blis.config.model.families.parts import count_layers, dense_mlp, full_attention, hidden_size, stack
from blis.config.model.layers import Attention, Layer, Mlp
from blis.config.model.strict import ModelConfig, ratio
from blis.files.decode import Section

#: OPT's positions are counted from 2.
_OPT_OFFSET = 2


def _gpt(config: ModelConfig) -> tuple[Layer, ...]:
    """As many KV heads as heads."""
    if config.size("word_embed_proj_dim", default=hidden_size(config)) != hidden_size(config):
        config.fail("word_embed_proj_dim", f"only as wide as the layers ({hidden_size(config)}) is understood")
    config.ignore("n_ctx", "rotary_dim", "offset_alibi")
    return _alike(config, full_attention(config))


def _alike(config: ModelConfig, attention: Attention) -> tuple[Layer, ...]:
    mlp = dense_mlp(config, num_matrices=2, default=4 * hidden_size(config))
    return stack([attention] * (count := count_layers(config)), [mlp] * count)


def _big_code(config: ModelConfig) -> tuple[Layer, ...]:
    """StarCoder: one KV head for all, unless it says otherwise."""
    attention = full_attention(config)
    is_single = config.flag("multi_query", True)
    return _alike(config, replace(attention, num_kv_heads=1) if is_single else attention)


def _falcon(config: ModelConfig) -> tuple[Layer, ...]:
    """Falcon: one KV head, or several with the new architecture."""
    is_new = config.flag("new_decoder_architecture", False)
    is_single = config.flag("multi_query", True) and not is_new
    attention = full_attention(config)
    config.ignore("num_ln_in_parallel_attn")
    return _alike(config, replace(attention, num_kv_heads=1) if is_single else attention)


def _mpt(config: ModelConfig) -> tuple[Layer, ...]:
    """MPT: its attention has a part of its own."""
    attention = full_attention(config)
    if config.has("attn_config"):
        attention = _heads_of_mpt(config.part("attn_config"), attention)
    width = int(ratio(config, "expansion_ratio", 4) * hidden_size(config))
    config.ignore("learned_pos_emb", "embedding_fraction")
    return stack([attention] * (count := count_layers(config)), [Mlp(width, num_matrices=2)] * count)


def _heads_of_mpt(part: Section, attention: Attention) -> Attention:
    kind = part.text("attn_type", "multihead_attention", valid=_KINDS_OF_MPT)
    if not part.flag("alibi", False):
        part.fail("alibi", "only true is understood for models of this family")
    heads = part.integer("kv_n_heads", attention.num_kv_heads, least=1) if kind == _GROUPED else attention.num_kv_heads
    return replace(attention, num_kv_heads=1 if kind == "multiquery_attention" else heads)


_GROUPED = "grouped_query_attention"
_KINDS_OF_MPT = ("multihead_attention", "multiquery_attention", _GROUPED)


def _positions(config: ModelConfig) -> int:
    """The table of positions of GPT-2 and StarCoder."""
    return config.size("n_positions", "max_position_embeddings", default=1024) * hidden_size(config)


def _positions_of_opt(config: ModelConfig) -> int:
    return (config.size("max_position_embeddings", default=2048) + _OPT_OFFSET) * hidden_size(config)


GPT: dict[str, Family] = {
    "gpt2": Family(_gpt, TIED, _positions),
    "opt": Family(_gpt, TIED, _positions_of_opt),
    "gpt_bigcode": Family(_big_code, TIED, _positions),
    "bloom": Family(_gpt, TIED),
    **dict.fromkeys(("gptj", "codegen", "gpt_neox"), Family(_gpt)),
    "falcon": Family(_falcon, TIED),
    "mpt": Family(_mpt, TIED),
}
