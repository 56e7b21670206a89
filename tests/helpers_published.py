"""Sizes of models of all families as their publishers state them, each with the configuration that makes it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Published(NamedTuple):
    """A model.

    Attributes:
        config: its configuration.
        total: parameters in billions; what a checkpoint holds beside the language model (encoders, drafts) is left out.
        active: how many of them a token meets, embeddings included, which some publishers leave out; None: all, or
            not stated to the digit.
    """

    config: dict[str, Any]
    total: float
    active: float | None


_COLUMNS = (
    *("model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "vocab_size"),
)
# Name, total, active, then the columns above and, indented, what else the configuration says. Sources: model cards on
# Hugging Face and the models' reports.
_TABLE = """
Llama-3.1-8B 8.03 - llama 4096 14336 32 32 8 128256
Qwen2.5-3B 3.09 - qwen2 2048 11008 36 16 2 151936
    tie_word_embeddings=true
Qwen3-32B 32.8 - qwen3 5120 25600 64 64 8 151936
Phi-2 2.78 - phi 2560 10240 32 32 32 51200
Phi-4-mini 3.84 - phi3 3072 8192 32 24 8 200064
    tie_word_embeddings=true
Command_R 35.0 - cohere 8192 22528 40 64 64 256000
Command_R+ 104 - cohere 12288 33792 64 96 8 256000
Command_R7B 8.03 - cohere2 4096 14336 32 32 8 256000
Command_A 111 - cohere2 12288 36864 64 96 8 256000
Granite_3.1_8B 8.17 - granite 4096 12800 40 32 8 49155
    tie_word_embeddings=true
Minitron-8B 8.27 - nemotron 4096 16384 32 48 8 256000
    head_dim=128
StarCoder2-7B 7.17 - starcoder2 4608 18432 32 36 4 49152
StableLM-2-12B 12.1 - stablelm 5120 13824 40 32 8 100352
InternLM2.5-7B 7.74 - internlm2 4096 14336 32 32 8 92544
InternLM3-8B 8.8 - internlm3 4096 10240 48 32 2 128512
    head_dim=128
GLM-4-32B 32.6 - glm4 6144 23040 61 48 2 151552
    head_dim=128
Seed-OSS-36B 36.2 - seed_oss 5120 27648 64 80 8 155136
    head_dim=128
EXAONE-4.0-32B 32.0 - exaone4 5120 27392 64 40 8 102400
    sliding_window=4096 sliding_window_pattern="LLLG"
OLMo-2-13B 13.7 - olmo2 5120 13824 40 40 40 100352
Olmo-3-32B 32.2 - olmo3 5120 27648 64 40 8 100278
    sliding_window=4096
SmolLM3-3B 3.08 - smollm3 2048 11008 36 16 4 128256
Apertus-8B 8.05 - apertus 4096 21504 32 32 8 131072
Hunyuan-7B 7.5 - hunyuan_v1_dense 4096 14336 32 32 8 128167
    head_dim=128 tie_word_embeddings=true
Gemma-7B 8.54 - gemma 3072 24576 28 16 16 256000
    head_dim=256
Gemma-2-9B 9.24 - gemma2 3584 14336 42 16 8 256000
    head_dim=256 sliding_window=4096
Gemma-3-1B 1.0 - gemma3_text 1152 6912 26 4 1 262144
    head_dim=256 sliding_window=512
Gemma-4-31B 30.7 - gemma4_text 5376 21504 60 32 16 262144
    head_dim=256 global_head_dim=512 num_global_key_value_heads=4 attention_k_eq_v=true
    hidden_size_per_layer_input=0 sliding_window=1024
Mixtral-8x22B 140.6 39.1 mixtral 6144 16384 56 48 8 32768
    num_local_experts=8 num_experts_per_tok=2
Phi-3.5-MoE 41.9 6.6 phimoe 4096 6400 32 32 8 32064
    num_local_experts=16 num_experts_per_tok=2
Qwen1.5-MoE-A2.7B 14.3 2.69 qwen2_moe 2048 5632 24 16 16 151936
    moe_intermediate_size=1408 shared_expert_intermediate_size=5632 num_experts=60 num_experts_per_tok=4
Qwen2-57B-A14B 57.4 14.2 qwen2_moe 3584 18944 28 28 4 151936
    moe_intermediate_size=2560 shared_expert_intermediate_size=20480 num_experts=64 num_experts_per_tok=8
Qwen3-30B-A3B 30.5 3.35 qwen3_moe 2048 6144 48 32 4 151936
    head_dim=128 moe_intermediate_size=768 num_experts=128 num_experts_per_tok=8
DeepSeek-MoE-16B 16.4 2.83 deepseek 2048 10944 28 16 16 102400
    moe_intermediate_size=1408 n_routed_experts=64 n_shared_experts=2 num_experts_per_tok=6
    first_k_dense_replace=1 moe_layer_freq=1
GLM-4.5-Air 106.8 13.4 glm4_moe 4096 10944 46 96 8 151552
    head_dim=128 moe_intermediate_size=1408 n_routed_experts=128 n_shared_experts=1 num_experts_per_tok=8
    first_k_dense_replace=1
dots.llm1 142.8 14.0 dots1 4096 10944 62 32 32 152064
    moe_intermediate_size=1408 n_routed_experts=128 n_shared_experts=2 num_experts_per_tok=6
    first_k_dense_replace=1 head_dim=128
gpt-oss-120b 116.8 5.7 gpt_oss 2880 2880 36 64 8 201088
    head_dim=64 num_local_experts=128 num_experts_per_tok=4 sliding_window=128
Llama_4_Scout 107.8 17.2 llama4_text 5120 8192 48 40 8 202048
    head_dim=128 intermediate_size_mlp=16384 num_local_experts=16 num_experts_per_tok=1
    interleave_moe_layer_step=1
OLMoE-1B-7B 6.92 1.28 olmoe 2048 1024 16 16 16 50304
    num_experts=64 num_experts_per_tok=8
Granite-3.1-3B-A800M 3.3 0.88 granitemoe 1536 512 32 24 8 49155
    num_local_experts=40 num_experts_per_tok=8 tie_word_embeddings=true
MiniMax-M2 228.7 11.0 minimax_m2 3072 1536 62 48 8 200064
    head_dim=128 num_local_experts=256 num_experts_per_tok=8
ERNIE-4.5-21B-A3B 21.8 3.35 ernie4_5_moe 2560 12288 28 20 4 103424
    head_dim=128 moe_num_experts=64 moe_k=6 moe_num_shared_experts=2 moe_intermediate_size=1536
    moe_layer_start_index=1 moe_layer_end_index=27
ERNIE-4.5-300B-A47B 300.5 47.3 ernie4_5_moe 8192 28672 54 64 8 103424
    head_dim=128 moe_num_experts=64 moe_k=8 moe_num_shared_experts=0 moe_intermediate_size=3584
    moe_layer_start_index=3 moe_layer_end_index=53 tie_word_embeddings=false
Ling-lite 16.8 2.75 bailing_moe 2048 5632 28 16 4 126464
    head_dim=128 moe_intermediate_size=1408 num_experts=64 num_experts_per_tok=6 num_shared_experts=2
Ling-mini-2.0 16.26 1.43 bailing_moe 2048 5120 20 16 4 157184
    head_dim=128 moe_intermediate_size=512 num_experts=256 num_experts_per_tok=8 num_shared_experts=1
    first_k_dense_replace=1
Arctic 480 17.2 arctic 7168 4864 35 56 8 32000
    num_local_experts=128 num_experts_per_tok=2 use_residual=true
Step-3 316 38.2 step3_text 7168 18432 61 64 - 128815
    head_dim=256 num_attention_groups=1 share_q_dim=2048 moe_intermediate_size=5120 moe_num_experts=48
    moe_top_k=3 share_expert_dim=5120
    moe_layers_enum="4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57,58,59"
DeepSeek-V2 235.7 21.4 deepseek_v2 5120 12288 60 128 128 102400
    moe_intermediate_size=1536 n_routed_experts=160 n_shared_experts=2 num_experts_per_tok=6
    first_k_dense_replace=1
DeepSeek-V2-Lite 15.7 2.66 deepseek_v2 2048 10944 27 16 16 102400
    q_lora_rank=null moe_intermediate_size=1408 n_routed_experts=64 n_shared_experts=2 num_experts_per_tok=6
    first_k_dense_replace=1
DeepSeek-V3 671 37.6 deepseek_v3 7168 18432 61 128 128 129280
Kimi-K2 1026 32.9 kimi_k2 7168 18432 61 64 64 163840
    n_routed_experts=384 first_k_dense_replace=1
GLM-4.7-Flash 29.9 - glm4_moe_lite 2048 10240 47 20 20 154880
    moe_intermediate_size=1536 n_routed_experts=64 num_experts_per_tok=4
GLM-5 744 41 glm_moe_dsa 6144 12288 78 64 64 154880
MiniCPM3-4B 4.07 - minicpm3 2560 6400 62 40 40 73448
Qwen3-Next-80B-A3B 79.7 3.87 qwen3_next 2048 5120 48 16 2 151936
    num_experts=512 num_experts_per_tok=10
Qwen3.5-397B-A17B 397 17.3 qwen3_5_moe_text 4096 - 60 32 2 248320
    linear_num_value_heads=64 moe_intermediate_size=1024 shared_expert_intermediate_size=1024 num_experts=512
    num_experts_per_tok=10
Jamba-1.5-Mini 51.6 12.1 jamba 4096 14336 32 32 8 65536
Jamba-1.5-Large 398 94 jamba 8192 24576 72 64 8 65536
Falcon-H1-0.5B 0.521 - falcon_h1 1024 2048 36 8 2 32784
    head_dim=64 mamba_d_ssm=1536 mamba_n_heads=24 mamba_d_head=64 mamba_d_state=128
Falcon-H1-7B 7.59 - falcon_h1 3072 12288 44 12 2 130049
    head_dim=128 mamba_d_ssm=3072 mamba_n_heads=24 mamba_d_head=128
Nemotron-H-8B 8.1 - nemotron_h 4096 21504 52 32 8 131072
    hybrid_override_pattern="M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-"
Nemotron-Nano-9B-v2 8.89 - nemotron_h 4480 15680 56 40 8 131072
    hybrid_override_pattern="M-M-M-MM-M-M-M*-M-M-M*-M-M-M-M*-M-M-M-M*-M-MM-M-M-M-M-M-" mamba_head_dim=80
Ring-mini-linear-2.0 16.4 1.6 bailing_moe_linear 2048 5120 20 16 4 157184
    head_dim=128 layer_group_size=5 moe_intermediate_size=512 num_experts=256 num_experts_per_tok=8
    num_shared_experts=1 first_k_dense_replace=1
ERNIE-4.5-VL-424B 423 47.9 ernie4_5_moe_vl 8192 28672 54 64 8 103424
    moe_num_experts=[64,64] moe_intermediate_size=[3584,1536] moe_k=8 moe_num_shared_experts=0
    moe_layer_start_index=[3,3] moe_layer_end_index=[53,53] tie_word_embeddings=false
BLOOM-7B1 7.07 - bloom 4096 - 30 32 - 250880
GPT-J-6B 6.05 - gptj 4096 - 28 16 - 50400
OPT-30B 29.97 - opt 7168 28672 48 56 - 50272
StarCoder 15.5 - gpt_bigcode 6144 24576 40 48 - 49152
    n_positions=8192
MPT-30B 29.96 - mpt 7168 - 48 64 - 50432
    attn_config={"alibi":true,"attn_type":"multihead_attention"}
CWM-32B 32.6 - cwm 6144 21504 64 48 8 128256
MiniCPM-2B 2.72 - minicpm 2304 5760 40 36 36 122753
Orion-14B 14.5 - orion 5120 15360 40 40 40 84608
Grok-1 314 84 grok-1 6144 32768 64 48 8 131072
    head_dim=128 num_experts=8 tie_word_embeddings=true
Grok-2 270 115 git 8192 32768 64 64 8 131072
    head_dim=128 moe_intermediate_size=16384 num_local_experts=8 residual_moe=true
Laguna-XS.2 33.4 3.01 laguna 2048 8192 40 48 8 100352
    num_attention_heads_per_layer=[48,64,64,64,48,64,64,64,48,64,64,64,48,64,64,64,48,64,64,64,48,64,64,64,48,64,64,64,48,64,64,64,48,64,64,64,48,64,64,64]
    gating=true
Sarvam-30B 32.15 - sarvam_moe 4096 8192 19 64 4 262144
Sarvam-105B 106 - sarvam_mla 4096 16384 32 64 64 262144
LongCat-Flash 560 27.8 longcat_flash 6144 12288 28 64 64 131072
"""


def _parse(table: str) -> dict[str, Published]:
    lines = table.replace("\n    ", " ").strip().splitlines()
    return dict(_parse_line(line.split()) for line in lines)


def _parse_line(words: list[str]) -> tuple[str, Published]:
    name, total, active, model_type, *rest = words
    sizes = [None if word == "-" else int(word) for word in rest[: len(_COLUMNS) - 1]]
    others = {key: json.loads(value) for key, value in (word.split("=") for word in rest[len(sizes) :])}
    config = {"model_type": model_type, **dict(zip(_COLUMNS[1:], sizes, strict=True)), **others}
    config = {key: value for key, value in config.items() if value is not None or key in others}
    return name.replace("_", " "), Published(config, float(total), None if active == "-" else float(active))


_KIMI_FULL = [4, 8, 12, 16, 20, 24, 27]
PUBLISHED = _parse(_TABLE)
PUBLISHED |= {
    "Falcon-7B": Published(
        {
            "model_type": "falcon",
            "hidden_size": 4544,
            "num_hidden_layers": 32,
            "num_attention_heads": 71,
            "multi_query": True,
            "vocab_size": 65024,
        },
        6.92,
        None,
    ),
    "Falcon-40B": Published(
        {
            "model_type": "falcon",
            "hidden_size": 8192,
            "num_hidden_layers": 60,
            "num_attention_heads": 128,
            "num_kv_heads": 8,
            "new_decoder_architecture": True,
            "vocab_size": 65024,
        },
        41.3,
        None,
    ),
    "Baichuan2-7B": Published(
        {
            "model_type": "baichuan",
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "vocab_size": 125696,
        },
        7.51,
        None,
    ),
    "GLM-4-9B": Published(
        {
            "model_type": "chatglm",
            "hidden_size": 4096,
            "ffn_hidden_size": 13696,
            "num_layers": 40,
            "num_attention_heads": 32,
            "multi_query_attention": True,
            "multi_query_group_num": 2,
            "kv_channels": 128,
            "padded_vocab_size": 151552,
            "vocab_size": 151552,
        },
        9.4,
        None,
    ),
    "EXAONE-3.5-7.8B": Published(
        {
            "model_type": "exaone",
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "vocab_size": 102400,
        },
        7.82,
        None,
    ),
    "Gemma-3-12B": Published(
        {
            "model_type": "gemma3",
            "text_config": {
                "model_type": "gemma3_text",
                "hidden_size": 3840,
                "intermediate_size": 15360,
                "num_hidden_layers": 48,
                "num_attention_heads": 16,
                "num_key_value_heads": 8,
                "sliding_window": 1024,
            },
        },
        11.77,
        None,
    ),
    "Hunyuan-A13B": Published(
        {
            "model_type": "hunyuan_v1_moe",
            "hidden_size": 4096,
            "intermediate_size": 3072,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "vocab_size": 128167,
            "head_dim": 128,
            "num_experts": 64,
            "moe_topk": [8] * 32,
            "num_shared_expert": [1] * 32,
            "moe_intermediate_size": [3072] * 32,
            "use_mixed_mlp_moe": True,
            "tie_word_embeddings": True,
        },
        80.4,
        12.8,
    ),
    "MiMo-V2-Flash": Published(
        {
            "model_type": "mimo_v2_flash",
            "hidden_size": 4096,
            "intermediate_size": 16384,
            "num_hidden_layers": 48,
            "num_attention_heads": 64,
            "num_key_value_heads": 4,
            "vocab_size": 152576,
            "head_dim": 192,
            "v_head_dim": 128,
            "swa_num_key_value_heads": 8,
            "swa_num_attention_heads": 64,
            "swa_head_dim": 192,
            "swa_v_head_dim": 128,
            "sliding_window": 128,
            "hybrid_layer_pattern": [0] + [1, 1, 1, 1, 0] + [1, 1, 1, 1, 1, 0] * 7,
            "moe_layer_freq": [0] + [1] * 47,
            "n_routed_experts": 256,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 2048,
        },
        309,
        15.4,
    ),
    "DBRX": Published(
        {
            "model_type": "dbrx",
            "d_model": 6144,
            "n_heads": 48,
            "n_layers": 40,
            "vocab_size": 100352,
            "attn_config": {"kv_n_heads": 8},
            "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4},
        },
        131.6,
        36.5,
    ),
    "Bamba-9B": Published(
        {
            "model_type": "bamba",
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "vocab_size": 128256,
            "attn_layer_indices": [9, 18, 27],
            "mamba_d_state": 128,
        },
        9.78,
        None,
    ),
    "Granite-4.0-H-Small": Published(
        {
            "model_type": "granitemoehybrid",
            "hidden_size": 4096,
            "intermediate_size": 768,
            "num_hidden_layers": 40,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "vocab_size": 100352,
            "num_local_experts": 72,
            "num_experts_per_tok": 10,
            "shared_intermediate_size": 1536,
            "mamba_d_state": 128,
            "tie_word_embeddings": True,
            "layer_types": (["mamba"] * 9 + ["attention"]) * 4,
        },
        32.2,
        8.9,
    ),
    "MiniMax-Text-01": Published(
        {
            "model_type": "minimax_text_01",
            "hidden_size": 6144,
            "intermediate_size": 9216,
            "num_hidden_layers": 80,
            "num_attention_heads": 64,
            "num_key_value_heads": 8,
            "vocab_size": 200064,
            "head_dim": 128,
            "attn_type_list": [0, 0, 0, 0, 0, 0, 0, 1] * 10,
            "num_local_experts": 32,
            "num_experts_per_tok": 2,
            "shared_intermediate_size": 0,
        },
        456,
        48.4,
    ),
    "Kimi-Linear-48B-A3B": Published(
        {
            "model_type": "kimi_linear",
            "hidden_size": 2304,
            "intermediate_size": 9216,
            "num_hidden_layers": 27,
            "num_attention_heads": 32,
            "num_key_value_heads": 32,
            "vocab_size": 163840,
            "moe_intermediate_size": 1024,
            "num_experts": 256,
            "num_experts_per_token": 8,
            "num_shared_experts": 1,
            "first_k_dense_replace": 1,
            "linear_attn_config": {
                "full_attn_layers": _KIMI_FULL,
                "kda_layers": [i for i in range(1, 28) if i not in _KIMI_FULL],
                "num_heads": 32,
                "head_dim": 128,
                "short_conv_kernel_size": 4,
            },
        },
        49.1,
        3.5,
    ),
    "LFM2-1.2B": Published(
        {
            "model_type": "lfm2",
            "hidden_size": 2048,
            "num_hidden_layers": 16,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "vocab_size": 65536,
            "block_ff_dim": 12288,
            "full_attn_idxs": [2, 5, 8, 10, 12, 14],
        },
        1.17,
        None,
    ),
    "LFM2-8B-A1B": Published(
        {
            "model_type": "lfm2_moe",
            "hidden_size": 2048,
            "intermediate_size": 7168,
            "num_hidden_layers": 24,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "vocab_size": 65536,
            "moe_intermediate_size": 1792,
            "num_experts": 32,
            "num_experts_per_tok": 4,
            "num_dense_layers": 2,
            "layer_types": ["full_attention" if i in (2, 6, 10, 14, 18, 21) else "conv" for i in range(24)],
        },
        8.34,
        1.56,
    ),
    "Mamba-2.8B": Published(
        {"model_type": "mamba", "hidden_size": 2560, "num_hidden_layers": 64, "vocab_size": 50280}, 2.77, None
    ),
    "Falcon-Mamba-7B": Published(
        {
            "model_type": "falcon_mamba",
            "hidden_size": 4096,
            "intermediate_size": 8192,
            "num_hidden_layers": 64,
            "vocab_size": 65024,
            "tie_word_embeddings": False,
        },
        7.27,
        None,
    ),
    "Mamba-Codestral-7B": Published(
        {"model_type": "mamba2", "hidden_size": 4096, "num_hidden_layers": 64, "vocab_size": 32768}, 7.29, None
    ),
}
