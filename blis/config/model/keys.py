"""Keys of configurations: which bear on neither cost nor memory, which bear on them, and which nobody knows."""

from __future__ import annotations

import re
from typing import Any

#: Where configurations of several parts keep the language model.
TEXT_PARTS = ("text_config", "llm_config", "language_config")


def words(text: str) -> frozenset[str]:
    """All words of a text."""
    return frozenset(text.split())


#: Values that switch a feature off, whatever its name.
_OFF: tuple[Any, ...] = (None, False, 0, 0.0, "", [], {}, "none", "auto")
#: Features that change nothing when they count one: one layer of so many, one group, one rank.
_OFF_AT_ONE = re.compile(r"freq|step|interval|period|_size$|factor|num_experts|share|ratio|mod$")

#: Names that would match a pattern below and yet bear on neither cost nor memory.
_HARMLESS = words(
    """
    activation activation_function activation_sparsity_pattern add_classification_head alignment_intermediate_size
    altup_active_idx altup_coef_clip altup_correct_scale apply_query_key_layer_scaling architectures
    attention_projection_layout attention_softmax_in_fp32 attention_value_scale attn_implementation attn_pdrop
    attn_rotary_emb attn_scale auto_map bad_words_ids begin_suppress_tokens bias cache_implementation
    calc_logits_for_entire_prompt capacity_factor chunk_size chunk_size_feed_forward class_num clip_qkv dense_list
    dim_model_base diversity_penalty do_sample downsample_factor downsample_ratio dtype dynamic_image_size
    dynamic_seq_length early_stopping emb_pdrop embd_pdrop embedding_scale enable_moe_fp32_combine
    encoder_no_repeat_ngram_size ep_size exponential_decay_length_penalty ffn_act_fn finetuning_task floor_scale
    force_image_size fp32_residual_connection full_attn_alpha_factor full_attn_beta_factor
    group_limited_greedy hidden_act hidden_activation id2label ignore_index index_share_for_mtp_iteration
    interleaved_mrope is_causal is_decoder is_llama_config kda_lower_bound kda_safe_gate label2id length_penalty
    linear_allow_neg_eigval linear_attn_alpha_factor linear_attn_beta_factor linear_silu logit_scale logits_scaling
    mamba_chunk_size mamba_dt_softplus mamba_hidden_act mamba_use_mlp max_dynamic_patch max_length max_model_len
    max_new_tokens max_position_embeddings max_seq_len max_seq_length max_sequence_length max_window_layers
    min_dynamic_patch min_length mlp_alpha_factor mlp_beta_factor mlp_expansion_factor mlp_hidden_act mlp_type
    mm_tokens_per_image model_max_length model_type moe_apply_router_weight_on_input moe_capacity moe_drop_tokens
    moe_eval_capacity_factor moe_gate moe_gate_act moe_group_experts moe_loss_weight moe_min_capacity
    moe_multimodal_dispatch_use_allgather moe_random_routing_dropped_token moe_router_activation_func
    moe_router_dtype moe_router_load_balancing_type moe_router_use_sigmoid moe_shared_expert_overlap
    moe_token_drop_policy moe_token_dropping moe_train_capacity_factor multi_token_pred_lambda mup_enabled n_ctx
    n_group n_positions need_fp32_gate no_repeat_ngram_size num_beam_groups num_beams num_expert_group num_labels
    num_logits_to_keep num_return_sequences org_vocab_size original_max_position_embeddings original_rope
    original_vocab_size output_attentions output_hidden_states output_router_logits output_scores pad2square
    parallel_attn patch_size pixel_shuffle_ratio pool_type position_embedding_type position_id_per_seconds prefix
    pretraining_tp problem_type projection_dim pruned_heads ps_version query_pre_attn_scalar remove_invalid_values
    repetition_penalty resid_pdrop residual_in_fp32 return_dict return_dict_in_generate route_scale router_dtype
    scale_attn_weights scale_depth scale_emb score_func score_function scoring_func seconds_per_chunk select_layer
    seq_aux seq_len seq_length shared_moe_mode spatial_merge_size suppress_tokens swiglu_limit swiglu_limits
    swiglu_limits_shared task_specific_params template tie_encoder_decoder tokenizer_class
    tokenizer_model_max_length top_k top_p topk_group topk_method torch_dtype torchscript transformers_version
    typical_p use_absolute_position_embeddings use_associative_scan use_bfloat16 use_cache use_dynamic_ntk
    use_flash_attn use_gated_activation use_grouped_topk use_image_newline_parameter use_logn_attn use_mamba_kernels
    use_mambapy use_moe_shared_gate use_parallel_block use_parallel_embedding use_parallel_residual
    att_impl_type is_composition lm_head moe_dynamic_exp_p moe_jitter num_channels num_expert_groups num_limited_groups
    rm_head use_grouped_mm
    use_rotary_pos_emb use_sliding_window_cache use_thumbnail use_unified_vision_chunk z_loss_coefficient
    """
)
#: Parts of names that say the same: numbers of tokens, training, rotary embedding, scales, texts of templates.
_HARMLESS_PARTS = re.compile(
    r"(_token_(id|ids|index|indexes|indices)|_eps|_epsilon|_std|_theta|_bias|_loss|_coef|_coeff|_alpha)$"
    r"|^(bos|eos|eod|eot|pad|sep|cls|mask|unk|im|image|video|audio|boi|eoi|boa|eoa|vision|media)\w*_(id|ids|index|token)$|_(start|end|newline)_id$"
    r"|^(rope|mrope|rotary|partial_rotary|no_rope|yarn|alibi|init_|mtp|moe_router_(?!topk|enable_shared)|num_mtp|use_mtp|num_nextn|nextn|time_step|bskcn)"
    r"|_fp32$|_impl$|_class$|_fusion$|_dt_(min|max|init_floor|softplus)$|_a_log_(min|max)$|initializer|^max_attn_value$"
    r"|norm|dropout|jitter|softcap|rope_|multiplier|partial_rotary|_bias_|scaling_factor|_aux_|noise|placeholder|projector"
    r"|^(vit|anyres|num_media|media)_|(^|_)(vision|visual|image|video|audio)_"
    r"|^_|^summary_|^vocab_offset|^pad_|processor|chat_template|gradient|_lr$|learning_rate|temperature|unsloth"
)
#: Names and parts of names of what makes a model dearer or larger.
_COSTLY = re.compile(
    r"expert|moe|mla|mfa|dense|mamba|ssm|state|linear|window|sliding|chunk|sparse|index|latent|pattern|layer|head|hidden|inter(mediate)?_"
    r"|_size|_dim|_rank|lora|group|kv|cache|attention|attn|block|conv|expand|mlp|ffn|width|depth|share|cross|memory|compress"
    r"|loop|recur|hybrid|interval|period|offset|num_|n_|topk|top_k|rank|quant|tie|vocab|embed|gate|delta|cla_|cla$|encoder|altup|engram|hash|hc_"
)
#: Parts of a configuration that are read elsewhere, or belong to no language model's forward pass.
_READ_ELSEWHERE = frozenset((*TEXT_PARTS, "quantization_config", "compression_config", "generation_config"))
#: Parts that describe encoders: of images, and of sound.
_IMAGES = re.compile(r"(vision|visual|vit|image)\w*_config$")
_SOUND = re.compile(r"(audio|sound|speech)\w*_config$")


def is_of_sound(key: str) -> bool:
    """Whether a part of that name describes an encoder of sound."""
    return bool(_SOUND.search(key))


def is_encoder(key: str) -> bool:
    """Whether a part of that name describes an encoder, of images or of sound."""
    return is_of_sound(key) or bool(_IMAGES.search(key))


def is_read_elsewhere(key: str) -> bool:
    """Whether a key's value is a part that has a reader of its own."""
    return key in _READ_ELSEWHERE or is_encoder(key)


def is_costly(key: str) -> bool:
    """Whether a key is to be refused where it is not understood, unless its value switches it off."""
    return not is_read_elsewhere(key) and not is_harmless(key) and bool(_COSTLY.search(key.lower()))


#: What joins encoders to a language model, and what speaks for it; their weights are not counted.
_JOINS = re.compile(
    r"quer|qformer|perceiver|project|insert|patch|merge|sampl|pool|adapt|align|stride|talker|code2wav|token2wav|vq_"
)


def joins_parts(key: str) -> bool:
    """Whether a key that stands beside a language model's part says how other parts are joined to it."""
    return bool(_JOINS.search(key.lower()))


#: Sizes whose names may have a harmless part all the same.
_COSTLY_ALWAYS = re.compile(r"head_dim|_rank$|experts_per_tok|no_rope_layers$|layer_ids?$|cross")


def is_harmless(key: str) -> bool:
    """Whether a key is known to bear on neither cost nor memory."""
    return not _COSTLY_ALWAYS.search(key) and (key in _HARMLESS or bool(_HARMLESS_PARTS.search(key)))


def is_off(key: str, value: Any) -> bool:
    """Whether a value switches its feature off."""
    if any(value is off or (type(value) is type(off) and value == off) for off in _OFF):
        return True
    return value == 1 and not isinstance(value, bool) and bool(_OFF_AT_ONE.search(key))
