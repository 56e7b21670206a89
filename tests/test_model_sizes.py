"""Models of all families against the sizes that their publishers state."""

import json

import pytest

from blis.config.model.reading import read_model

KIMI_FULL = [4, 8, 12, 16, 20, 24, 27]
NANO_9B = "M-M-M-MM-M-M-M*-M-M-M*-M-M-M-M*-M-M-M-M*-M-MM-M-M-M-M-M-"
NEMOTRON_8B = "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-"


def llama_like(model_type, hidden, inter, layers, heads, kv, vocab, **more):
    return {
        "model_type": model_type,
        "hidden_size": hidden,
        "intermediate_size": inter,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "vocab_size": vocab,
        **more,
    }


def latent(model_type, hidden, inter, layers, heads, vocab, **more):
    return llama_like(model_type, hidden, inter, layers, heads, heads, vocab, **more)


# Name: configuration, parameters in billions, and how many of them a token meets (None: all, or not said to the
# digit), embeddings included, which some publishers leave out. Model cards on Hugging Face and the models' reports
# state the figures; what their checkpoints hold beside the language model (encoders, drafts) is left out.
PUBLISHED = {
    # dense
    "Llama-3.1-8B": (llama_like("llama", 4096, 14336, 32, 32, 8, 128256), 8.03, None),
    "Qwen2.5-3B": (llama_like("qwen2", 2048, 11008, 36, 16, 2, 151936, tie_word_embeddings=True), 3.09, None),
    "Qwen3-32B": (llama_like("qwen3", 5120, 25600, 64, 64, 8, 151936), 32.8, None),
    "Phi-2": (llama_like("phi", 2560, 10240, 32, 32, 32, 51200), 2.78, None),
    "Phi-4-mini": (llama_like("phi3", 3072, 8192, 32, 24, 8, 200064, tie_word_embeddings=True), 3.84, None),
    "Command R": (llama_like("cohere", 8192, 22528, 40, 64, 64, 256000), 35.0, None),
    "Command R+": (llama_like("cohere", 12288, 33792, 64, 96, 8, 256000), 104, None),
    "Command R7B": (llama_like("cohere2", 4096, 14336, 32, 32, 8, 256000), 8.03, None),
    "Command A": (llama_like("cohere2", 12288, 36864, 64, 96, 8, 256000), 111, None),
    "Granite 3.1 8B": (llama_like("granite", 4096, 12800, 40, 32, 8, 49155, tie_word_embeddings=True), 8.17, None),
    "Falcon-7B": ({"model_type": "falcon", "hidden_size": 4544, "num_hidden_layers": 32, "num_attention_heads": 71, "multi_query": True, "vocab_size": 65024}, 6.92, None),
    "Falcon-40B": ({"model_type": "falcon", "hidden_size": 8192, "num_hidden_layers": 60, "num_attention_heads": 128, "num_kv_heads": 8, "new_decoder_architecture": True, "vocab_size": 65024}, 41.3, None),
    "Minitron-8B": (llama_like("nemotron", 4096, 16384, 32, 48, 8, 256000, head_dim=128), 8.27, None),
    "StarCoder2-7B": (llama_like("starcoder2", 4608, 18432, 32, 36, 4, 49152), 7.17, None),
    "StableLM-2-12B": (llama_like("stablelm", 5120, 13824, 40, 32, 8, 100352), 12.1, None),
    "InternLM2.5-7B": (llama_like("internlm2", 4096, 14336, 32, 32, 8, 92544), 7.74, None),
    "InternLM3-8B": (llama_like("internlm3", 4096, 10240, 48, 32, 2, 128512, head_dim=128), 8.80, None),
    "Baichuan2-7B": ({"model_type": "baichuan", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 125696}, 7.51, None),
    "GLM-4-9B": ({"model_type": "chatglm", "hidden_size": 4096, "ffn_hidden_size": 13696, "num_layers": 40, "num_attention_heads": 32, "multi_query_attention": True, "multi_query_group_num": 2, "kv_channels": 128, "padded_vocab_size": 151552, "vocab_size": 151552}, 9.40, None),
    "GLM-4-32B": (llama_like("glm4", 6144, 23040, 61, 48, 2, 151552, head_dim=128), 32.6, None),
    "Seed-OSS-36B": (llama_like("seed_oss", 5120, 27648, 64, 80, 8, 155136, head_dim=128), 36.2, None),
    "EXAONE-3.5-7.8B": ({"model_type": "exaone", "hidden_size": 4096, "intermediate_size": 14336, "num_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 102400}, 7.82, None),
    "EXAONE-4.0-32B": (llama_like("exaone4", 5120, 27392, 64, 40, 8, 102400, sliding_window=4096, sliding_window_pattern="LLLG"), 32.0, None),
    "OLMo-2-13B": (llama_like("olmo2", 5120, 13824, 40, 40, 40, 100352), 13.7, None),
    "Olmo-3-32B": (llama_like("olmo3", 5120, 27648, 64, 40, 8, 100278, sliding_window=4096), 32.2, None),
    "SmolLM3-3B": (llama_like("smollm3", 2048, 11008, 36, 16, 4, 128256), 3.08, None),
    "Apertus-8B": (llama_like("apertus", 4096, 21504, 32, 32, 8, 131072), 8.05, None),
    "Hunyuan-7B": (llama_like("hunyuan_v1_dense", 4096, 14336, 32, 32, 8, 128167, head_dim=128, tie_word_embeddings=True), 7.50, None),
    "Gemma-7B": (llama_like("gemma", 3072, 24576, 28, 16, 16, 256000, head_dim=256), 8.54, None),
    "Gemma-2-9B": (llama_like("gemma2", 3584, 14336, 42, 16, 8, 256000, head_dim=256, sliding_window=4096), 9.24, None),
    "Gemma-3-1B": (llama_like("gemma3_text", 1152, 6912, 26, 4, 1, 262144, head_dim=256, sliding_window=512), 1.00, None),
    "Gemma-3-12B": ({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "hidden_size": 3840, "intermediate_size": 15360, "num_hidden_layers": 48, "num_attention_heads": 16, "num_key_value_heads": 8, "sliding_window": 1024}}, 11.77, None),
    "Gemma-4-31B": (llama_like("gemma4_text", 5376, 21504, 60, 32, 16, 262144, head_dim=256, global_head_dim=512, num_global_key_value_heads=4, attention_k_eq_v=True, hidden_size_per_layer_input=0, sliding_window=1024), 30.7, None),
    # mixtures of experts
    "Mixtral-8x22B": (llama_like("mixtral", 6144, 16384, 56, 48, 8, 32768, num_local_experts=8, num_experts_per_tok=2), 140.6, 39.1),
    "Phi-3.5-MoE": (llama_like("phimoe", 4096, 6400, 32, 32, 8, 32064, num_local_experts=16, num_experts_per_tok=2), 41.9, 6.6),
    "Qwen1.5-MoE-A2.7B": (llama_like("qwen2_moe", 2048, 5632, 24, 16, 16, 151936, moe_intermediate_size=1408, shared_expert_intermediate_size=5632, num_experts=60, num_experts_per_tok=4), 14.3, 2.69),
    "Qwen2-57B-A14B": (llama_like("qwen2_moe", 3584, 18944, 28, 28, 4, 151936, moe_intermediate_size=2560, shared_expert_intermediate_size=20480, num_experts=64, num_experts_per_tok=8), 57.4, 14.2),
    "Qwen3-30B-A3B": (llama_like("qwen3_moe", 2048, 6144, 48, 32, 4, 151936, head_dim=128, moe_intermediate_size=768, num_experts=128, num_experts_per_tok=8), 30.5, 3.35),
    "DeepSeek-MoE-16B": (llama_like("deepseek", 2048, 10944, 28, 16, 16, 102400, moe_intermediate_size=1408, n_routed_experts=64, n_shared_experts=2, num_experts_per_tok=6, first_k_dense_replace=1, moe_layer_freq=1), 16.4, 2.83),
    "GLM-4.5-Air": (llama_like("glm4_moe", 4096, 10944, 46, 96, 8, 151552, head_dim=128, moe_intermediate_size=1408, n_routed_experts=128, n_shared_experts=1, num_experts_per_tok=8, first_k_dense_replace=1), 106.8, 13.4),
    "dots.llm1": (llama_like("dots1", 4096, 10944, 62, 32, 32, 152064, moe_intermediate_size=1408, n_routed_experts=128, n_shared_experts=2, num_experts_per_tok=6, first_k_dense_replace=1, head_dim=128), 142.8, 14.0),
    "gpt-oss-120b": (llama_like("gpt_oss", 2880, 2880, 36, 64, 8, 201088, head_dim=64, num_local_experts=128, num_experts_per_tok=4, sliding_window=128), 116.8, 5.7),
    "Llama 4 Scout": (llama_like("llama4_text", 5120, 8192, 48, 40, 8, 202048, head_dim=128, intermediate_size_mlp=16384, num_local_experts=16, num_experts_per_tok=1, interleave_moe_layer_step=1), 107.8, 17.2),
    "OLMoE-1B-7B": (llama_like("olmoe", 2048, 1024, 16, 16, 16, 50304, num_experts=64, num_experts_per_tok=8), 6.92, 1.28),
    "Granite-3.1-3B-A800M": (llama_like("granitemoe", 1536, 512, 32, 24, 8, 49155, num_local_experts=40, num_experts_per_tok=8, tie_word_embeddings=True), 3.30, 0.88),
    "MiniMax-M2": (llama_like("minimax_m2", 3072, 1536, 62, 48, 8, 200064, head_dim=128, num_local_experts=256, num_experts_per_tok=8), 228.7, 11.0),
    "ERNIE-4.5-21B-A3B": (llama_like("ernie4_5_moe", 2560, 12288, 28, 20, 4, 103424, head_dim=128, moe_num_experts=64, moe_k=6, moe_num_shared_experts=2, moe_intermediate_size=1536, moe_layer_start_index=1, moe_layer_end_index=27), 21.8, 3.35),
    "ERNIE-4.5-300B-A47B": (llama_like("ernie4_5_moe", 8192, 28672, 54, 64, 8, 103424, head_dim=128, moe_num_experts=64, moe_k=8, moe_num_shared_experts=0, moe_intermediate_size=3584, moe_layer_start_index=3, moe_layer_end_index=53, tie_word_embeddings=False), 300.5, 47.3),
    "Ling-lite": (llama_like("bailing_moe", 2048, 5632, 28, 16, 4, 126464, head_dim=128, moe_intermediate_size=1408, num_experts=64, num_experts_per_tok=6, num_shared_experts=2), 16.8, 2.75),
    "Ling-mini-2.0": (llama_like("bailing_moe", 2048, 5120, 20, 16, 4, 157184, head_dim=128, moe_intermediate_size=512, num_experts=256, num_experts_per_tok=8, num_shared_experts=1, first_k_dense_replace=1), 16.26, 1.43),
    "Hunyuan-A13B": (llama_like("hunyuan_v1_moe", 4096, 3072, 32, 32, 8, 128167, head_dim=128, num_experts=64, moe_topk=[8] * 32, num_shared_expert=[1] * 32, moe_intermediate_size=[3072] * 32, use_mixed_mlp_moe=True, tie_word_embeddings=True), 80.4, 12.8),
    "MiMo-V2-Flash": (llama_like("mimo_v2_flash", 4096, 16384, 48, 64, 4, 152576, head_dim=192, v_head_dim=128, swa_num_key_value_heads=8, swa_num_attention_heads=64, swa_head_dim=192, swa_v_head_dim=128, sliding_window=128, hybrid_layer_pattern=[0] + [1, 1, 1, 1, 0] + [1, 1, 1, 1, 1, 0] * 7, moe_layer_freq=[0] + [1] * 47, n_routed_experts=256, num_experts_per_tok=8, moe_intermediate_size=2048), 309, 15.4),
    "DBRX": ({"model_type": "dbrx", "d_model": 6144, "n_heads": 48, "n_layers": 40, "vocab_size": 100352, "attn_config": {"kv_n_heads": 8}, "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4}}, 131.6, 36.5),
    "Arctic": (llama_like("arctic", 7168, 4864, 35, 56, 8, 32000, num_local_experts=128, num_experts_per_tok=2, use_residual=True), 480, 17.2),
    "Step-3": (llama_like("step3_text", 7168, 18432, 61, 64, None, 128815, head_dim=256, num_attention_groups=1, share_q_dim=2048, moe_intermediate_size=5120, moe_num_experts=48, moe_top_k=3, share_expert_dim=5120, moe_layers_enum=",".join(map(str, range(4, 60)))), 316, 38.2),
    # latent attention
    "DeepSeek-V2": (latent("deepseek_v2", 5120, 12288, 60, 128, 102400, moe_intermediate_size=1536, n_routed_experts=160, n_shared_experts=2, num_experts_per_tok=6, first_k_dense_replace=1), 235.7, 21.4),
    "DeepSeek-V2-Lite": (latent("deepseek_v2", 2048, 10944, 27, 16, 102400, q_lora_rank=None, moe_intermediate_size=1408, n_routed_experts=64, n_shared_experts=2, num_experts_per_tok=6, first_k_dense_replace=1), 15.7, 2.66),
    "DeepSeek-V3": (latent("deepseek_v3", 7168, 18432, 61, 128, 129280), 671, 37.6),
    "Kimi-K2": (latent("kimi_k2", 7168, 18432, 61, 64, 163840, n_routed_experts=384, first_k_dense_replace=1), 1026, 32.9),
    "GLM-4.7-Flash": (latent("glm4_moe_lite", 2048, 10240, 47, 20, 154880, moe_intermediate_size=1536, n_routed_experts=64, num_experts_per_tok=4), 29.9, None),
    "GLM-5": (latent("glm_moe_dsa", 6144, 12288, 78, 64, 154880), 744, 41),
    "MiniCPM3-4B": (latent("minicpm3", 2560, 6400, 62, 40, 73448), 4.07, None),
    # states
    "Qwen3-Next-80B-A3B": (llama_like("qwen3_next", 2048, 5120, 48, 16, 2, 151936, num_experts=512, num_experts_per_tok=10), 79.7, 3.87),
    "Qwen3.5-397B-A17B": (llama_like("qwen3_5_moe_text", 4096, None, 60, 32, 2, 248320, linear_num_value_heads=64, moe_intermediate_size=1024, shared_expert_intermediate_size=1024, num_experts=512, num_experts_per_tok=10), 397, 17.3),
    "Jamba-1.5-Mini": (llama_like("jamba", 4096, 14336, 32, 32, 8, 65536), 51.6, 12.1),
    "Jamba-1.5-Large": (llama_like("jamba", 8192, 24576, 72, 64, 8, 65536), 398, 94),
    "Bamba-9B": (llama_like("bamba", 4096, 14336, 32, 32, 8, 128256, attn_layer_indices=[9, 18, 27], mamba_d_state=128), 9.78, None),
    "Granite-4.0-H-Small": (llama_like("granitemoehybrid", 4096, 768, 40, 32, 8, 100352, num_local_experts=72, num_experts_per_tok=10, shared_intermediate_size=1536, mamba_d_state=128, tie_word_embeddings=True, layer_types=(["mamba"] * 9 + ["attention"]) * 4), 32.2, 8.9),
    "Falcon-H1-0.5B": (llama_like("falcon_h1", 1024, 2048, 36, 8, 2, 32784, head_dim=64, mamba_d_ssm=1536, mamba_n_heads=24, mamba_d_head=64, mamba_d_state=128), 0.521, None),
    "Falcon-H1-7B": (llama_like("falcon_h1", 3072, 12288, 44, 12, 2, 130049, head_dim=128, mamba_d_ssm=3072, mamba_n_heads=24, mamba_d_head=128), 7.59, None),
    "Nemotron-H-8B": (llama_like("nemotron_h", 4096, 21504, 52, 32, 8, 131072, hybrid_override_pattern=NEMOTRON_8B), 8.1, None),
    "Nemotron-Nano-9B-v2": (llama_like("nemotron_h", 4480, 15680, 56, 40, 8, 131072, hybrid_override_pattern=NANO_9B, mamba_head_dim=80), 8.89, None),
    "MiniMax-Text-01": (llama_like("minimax_text_01", 6144, 9216, 80, 64, 8, 200064, head_dim=128, attn_type_list=[0, 0, 0, 0, 0, 0, 0, 1] * 10, num_local_experts=32, num_experts_per_tok=2, shared_intermediate_size=0), 456, 48.4),
    "Ring-mini-linear-2.0": (llama_like("bailing_moe_linear", 2048, 5120, 20, 16, 4, 157184, head_dim=128, layer_group_size=5, moe_intermediate_size=512, num_experts=256, num_experts_per_tok=8, num_shared_experts=1, first_k_dense_replace=1), 16.4, 1.6),
    "Kimi-Linear-48B-A3B": (latent("kimi_linear", 2304, 9216, 27, 32, 163840, moe_intermediate_size=1024, num_experts=256, num_experts_per_token=8, num_shared_experts=1, first_k_dense_replace=1, linear_attn_config={"full_attn_layers": KIMI_FULL, "kda_layers": [i for i in range(1, 28) if i not in KIMI_FULL], "num_heads": 32, "head_dim": 128, "short_conv_kernel_size": 4}), 49.1, 3.5),
    "LFM2-1.2B": (llama_like("lfm2", 2048, None, 16, 32, 8, 65536, block_ff_dim=12288, full_attn_idxs=[2, 5, 8, 10, 12, 14]), 1.17, None),
    "LFM2-8B-A1B": (llama_like("lfm2_moe", 2048, 7168, 24, 32, 8, 65536, moe_intermediate_size=1792, num_experts=32, num_experts_per_tok=4, num_dense_layers=2, layer_types=["full_attention" if i in (2, 6, 10, 14, 18, 21) else "conv" for i in range(24)]), 8.34, 1.56),
    "Mamba-2.8B": ({"model_type": "mamba", "hidden_size": 2560, "num_hidden_layers": 64, "vocab_size": 50280}, 2.77, None),
    "Falcon-Mamba-7B": ({"model_type": "falcon_mamba", "hidden_size": 4096, "intermediate_size": 8192, "num_hidden_layers": 64, "vocab_size": 65024, "tie_word_embeddings": False}, 7.27, None),
    "Mamba-Codestral-7B": ({"model_type": "mamba2", "hidden_size": 4096, "num_hidden_layers": 64, "vocab_size": 32768}, 7.29, None),
}  # fmt: skip


def read(folder, config):
    (folder / "config.json").write_text(
        json.dumps({k: v for k, v in config.items() if v is not None or k.startswith("q_")})
    )
    return read_model(folder)


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_those_published(tmp_path, name):
    config, total, active = PUBLISHED[name]
    model = read(tmp_path, config)
    assert model.num_parameters / 1e9 == pytest.approx(total, rel=0.01)
    if active is not None:
        assert model.num_active_parameters / 1e9 == pytest.approx(active, rel=0.02)
