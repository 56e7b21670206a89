"""A model's configuration, read so that no key goes unnoticed.

A reader takes what it understands. Of the rest, a key is harmless (it bears on neither cost nor memory), or it bears on
them and is refused by name unless its value switches it off, or nobody knows it and it is told once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from blis.files.decode import Section, shown

#: Where configurations of several parts keep the language model.
TEXT_PARTS = ("text_config", "llm_config", "language_config")

#: Values that switch a feature off, whatever its name.
_OFF = (None, False, 0, 0.0, "", [], {}, "none", "auto")
#: Features that change nothing when they count one: one layer of so many, one group, one rank.
_OFF_AT_ONE = re.compile(r"freq|step|interval|period|_size$|factor|num_experts|share")

#: Names that would match a pattern below and yet bear on neither cost nor memory.
_HARMLESS = frozenset(
    """
    _attn_implementation _experts_implementation _flash_attn_2_enabled _name_or_path _commit_hash architectures auto_map
    transformers_version model_type torch_dtype dtype use_bfloat16 use_cache tokenizer_class task_specific_params
    problem_type finetuning_task id2label label2id return_dict return_dict_in_generate torchscript tie_encoder_decoder
    is_decoder is_causal is_llama_config pruned_heads prefix output_attentions output_hidden_states output_scores bad_words_ids
    begin_suppress_tokens suppress_tokens chunk_size_feed_forward decoder_start_token_id diversity_penalty do_sample
    early_stopping encoder_no_repeat_ngram_size no_repeat_ngram_size exponential_decay_length_penalty length_penalty
    max_length min_length max_new_tokens num_beam_groups num_beams num_return_sequences remove_invalid_values
    repetition_penalty temperature tf_legacy_loss top_k top_p typical_p
    attention_bias mlp_bias bias use_bias qkv_bias use_qkv_bias attention_out_bias mamba_proj_bias mamba_conv_bias
    use_conv_bias conv_bias lm_head_bias add_bias_linear add_qkv_bias projectors_bias moe_bias o_bias add_bias
    hidden_act hidden_activation activation_function activation mamba_hidden_act mlp_hidden_act ffn_act_fn
    initializer_range rescale_prenorm_residual residual_in_fp32 fp32_residual_connection apply_residual_connection_post_layernorm
    pretraining_tp ep_size num_logits_to_keep cache_implementation use_mamba_kernels use_mambapy use_associative_scan
    mamba_chunk_size chunk_size mamba_rms_norm mamba_norm_before_gate mamba_dt_softplus embedding_multiplier
    norm_topk_prob moe_norm_topk_prob moe_renormalize norm_expert_weight topk_group topk_method n_group num_expert_group scoring_func score_function
    moe_router_activation_func router_bias use_routing_bias moe_use_aux_free use_grouped_topk seq_aux routed_scaling_factor
    route_scale router_scaling_factor moe_router_scaling_factor moe_routed_scaling_factor moe_router_topk_scaling_factor moe_layer_use_bias moe_gate moe_capacity moe_router_dtype
    moe_router_enable_expert_bias use_expert_bias moe_router_use_sigmoid moe_router_use_expert_bias use_moe_router_bias need_fp32_gate router_dtype enable_moe_fp32_combine moe_shared_expert_overlap
    moe_norm_min moe_multimodal_dispatch_use_allgather moe_group_experts moe_apply_router_weight_on_input moe_router_logit_softcapping
    output_router_logits moe_drop_tokens moe_token_drop_policy moe_aux_loss_coeff moe_router_load_balancing_type
    qk_norm qk_norm_type use_qk_norm qk_layernorm use_qk_rmsnorm add_qk_norm norm_type rms_norm use_rmsnorm rmsnorm post_layer_norm
    rope_interleave indexer_rope_interleave index_share_for_mtp_iteration
    logit_scale logits_scaling embedding_scale scale_emb scale_depth dim_model_base query_pre_attn_scalar mup_enabled
    residual_multiplier attention_multiplier key_multiplier lm_head_multiplier mlp_multipliers ssm_multipliers
    attention_in_multiplier attention_out_multiplier ssm_in_multiplier ssm_out_multiplier attention_value_scale
    attn_temperature_tuning attn_scale floor_scale clip_qkv attn_pdrop embd_pdrop resid_pdrop emb_pdrop
    use_parallel_residual parallel_attn use_parallel_embedding use_flash_attn use_dynamic_ntk use_logn_attn use_unified_vision_chunk
    use_sliding_window_cache layernorm_compute_dtype dynamic_seq_length
    image_seq_length video_seq_length audio_seq_length mm_tokens_per_image vision_soft_tokens_per_image
    audio_soft_tokens_per_image image_grid_pinpoints ignore_index max_window_layers position_embedding_type
    altup_active_idx altup_coef_clip altup_correct_scale activation_sparsity_pattern
    max_position_embeddings original_max_position_embeddings model_max_length n_positions max_seq_len
    seq_length max_sequence_length max_seq_length seq_len vision_use_head interleaved_mrope
    full_attn_alpha_factor full_attn_beta_factor linear_attn_alpha_factor linear_attn_beta_factor mlp_alpha_factor mlp_beta_factor
    layernorm_full_attention_alpha layernorm_full_attention_beta layernorm_linear_attention_alpha layernorm_linear_attention_beta
    layernorm_mlp_alpha layernorm_mlp_beta postnorm use_moe_shared_gate linear_allow_neg_eigval fused_mlp
    vision_feature_select_strategy vision_feature_layer dynamic_image_size use_thumbnail ps_version select_layer template
    force_image_size downsample_ratio min_dynamic_patch max_dynamic_patch pad2square hidden_dropout
    swiglu_limit swiglu_limits swiglu_limits_shared swiglu_alpha linear_silu group_norm_size z_loss_coefficient kda_safe_gate
    kda_lower_bound no_rope_layer_interval image_size patch_size projection_dim
    """.split()
)
#: Parts of names that say the same: numbers of tokens, training, rotary embedding, scales, texts of templates.
_HARMLESS_PARTS = re.compile(
    r"(_token_(id|ids|index|indexes|indices)|_eps|_epsilon|_std|_theta|_bias|_loss|_coef|_coeff|_alpha)$"
    r"|^(bos|eos|eod|eot|pad|sep|cls|mask|unk|im|image|video|audio|boi|eoi|boa|eoa|vision|media)\w*_(id|ids|index|token)$"
    r"|^(rope|mrope|rotary|partial_rotary|no_rope|yarn|alibi|initializer|init_|mtp|num_mtp|use_mtp|num_nextn|nextn|time_step|bskcn)"
    r"|dropout|jitter|softcap|rope_|multiplier|partial_rotary|_bias_|scaling_factor|_aux_|noise|placeholder|projector"
    r"|^vocab_offset|^pad_|^emb_norm|processor|chat_template|gradient|_lr$|learning_rate|temperature|unsloth"
)
#: Names and parts of names of what makes a model dearer or larger.
_COSTLY = re.compile(
    r"expert|moe|mamba|ssm|state|linear|window|sliding|chunk|sparse|index|latent|pattern|layer|head|hidden|inter(mediate)?_"
    r"|_size|_dim|_rank|lora|group|kv|cache|attention|attn|block|conv|expand|mlp|ffn|width|depth|share|cross|memory|compress"
    r"|loop|recur|hybrid|interval|period|offset|types?$|num_|n_|topk|top_k|rank|quant|tie|vocab|embed|gate|delta|cla_|cla$|encoder|altup|engram|hash|hc_"
)
#: Parts of a configuration that are read elsewhere, or belong to no language model's forward pass.
_READ_ELSEWHERE = frozenset(
    (*TEXT_PARTS, "quantization_config", "vision_config", "audio_config", "compression_config", "generation_config")
)


class ModelConfig(Section):
    """A configuration with its language model's part laid over it, and the defaults of its class beneath.

    Args:
        file: the whole file.
        defaults: what the class takes for a key that is not there.
    """

    def __init__(self, file: Section, defaults: Mapping[str, Any]) -> None:
        outer = file.plain()
        self._part = next((key for key in TEXT_PARTS if file.holds_mapping(key)), "")
        self._inner: dict[str, Any] = outer[self._part] if self._part else {}
        given = {**outer, **self._inner}
        self._given = frozenset(given)
        super().__init__({**defaults, **given}, file.source)
        self._doubts: list[str] = []

    @property
    def is_nested(self) -> bool:
        """Whether the language model is a part of it; such parts leave out what their class has by default."""
        return bool(self._part)

    def is_given(self, key: str) -> bool:
        """Whether the file itself says the key, null or not."""
        return key in self._given

    def doubt(self, text: str) -> None:
        """Note what is not known for sure."""
        if text not in self._doubts:
            self._doubts.append(text)

    def ignore(self, *keys: str) -> None:
        """Take note of keys that say what others say as well."""
        self._read.update(keys)

    def size(self, *keys: str, default: int | None = None, least: int = 1) -> int:
        """Read a whole number by any of its spellings, which must agree; the first is named if all are missing."""
        found = [key for key in keys if self.has(key) and self.is_given(key)] or [k for k in keys if self.has(k)][:1]
        values = {key: self.integer(key, least=least) for key in found}
        if len(set(values.values())) > 1:
            said = ", ".join(f"{key} {value}" for key, value in values.items())
            self.fail(found[1], f"must say the same as {found[0]}, got {said}")
        self.ignore(*keys)
        return self.integer(keys[0], default, least=least) if not found else values[found[0]]

    def per_layer(self, *keys: str, count: int, default: int | None = None, least: int = 1) -> list[int]:
        """Read a size that is one number, or a list with one per layer."""
        key = next((key for key in keys if self.has(key)), keys[0])
        if not self.holds_list(key):
            return [self.size(*keys, default=default, least=least)] * count
        self.ignore(*keys)
        entries = self.entries(key)
        if len(entries) < count:
            self.fail(key, f"must have one value for each of {count} layers, got {len(entries)}")
        return [section.integer(name, least=least) for section, name in entries[:count]]

    def numbers_of_layers(self, key: str, count: int, *, first: int = 0) -> frozenset[int]:
        """Read a list of numbers of layers, counted from ``first``; the result counts from 0."""
        self.ignore(key)
        if not self.has(key) or not self._list(key):
            return frozenset()
        numbers = [section.integer(name) for section, name in self.entries(key)]
        for number in numbers:
            if not first <= number < count + first:
                self.fail(key, f"must be numbers of layers from {first} to {count + first - 1}, got {number}")
        return frozenset(number - first for number in numbers)

    def layer_texts(self, key: str, count: int) -> tuple[str, ...]:
        """Read a list with one text per layer; layers beyond the model's own, of which drafts are made, are left out."""
        types = self.texts(key)
        if types and len(types) < count:
            self.fail(key, f"must name {count} layers, got {len(types)}")
        return types[:count]

    def finish_strictly(self, *, refuse: bool = True) -> tuple[str, ...]:
        """Refuse what bears on cost and was not read; return the doubts, unknown keys among them.

        Args:
            refuse: False to doubt such keys instead.

        Raises:
            ConfigError: naming such a key.
        """
        left = [key for key in self.names() if key in self._given and key not in self._read]
        left = [key for key in left if key not in _READ_ELSEWHERE and not is_harmless(key)]
        costly = [key for key in left if _COSTLY.search(key.lower()) and not _is_off(key, self._values[key])]
        if costly and refuse:
            value = shown(self._values[costly[0]])
            self.fail(
                costly[0], f"bears on cost or memory, and is not understood for models of this family (value {value})"
            )
        unknown = [key for key in left if key in costly or not _COSTLY.search(key.lower())]
        if unknown:
            self.doubt(f"keys of config.json that are not known: {', '.join(unknown)}")
        return tuple(self._doubts)

    def _path_to(self, key: str) -> str:
        name = re.split(r"[\[.]", key)[0]
        return f"{self._part}.{key}" if name in self._inner else key


def is_costly(key: str) -> bool:
    """Whether a key would be refused where it is not understood, unless its value switches it off."""
    return key not in _READ_ELSEWHERE and not is_harmless(key) and bool(_COSTLY.search(key.lower()))


#: Sizes whose names may have a harmless part all the same.
_COSTLY_ALWAYS = re.compile(r"head_dim|_rank$|experts_per_tok|no_rope_layers$|layer_ids?$")


def is_harmless(key: str) -> bool:
    """Whether a key is known to bear on neither cost nor memory."""
    return not _COSTLY_ALWAYS.search(key) and (key in _HARMLESS or bool(_HARMLESS_PARTS.search(key)))


def _is_off(key: str, value: Any) -> bool:
    if any(value is off or (type(value) is type(off) and value == off) for off in _OFF):
        return True
    return value == 1 and not isinstance(value, bool) and bool(_OFF_AT_ONE.search(key))
