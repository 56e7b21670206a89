"""What of a model's layers is read from its configuration, and what is refused by name."""

import json

import pytest
from helpers_published import PUBLISHED
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from blis.config.model.layers import Attention, Experts, Indexer, Layer, Mlp
from blis.config.model.reading import read_model
from blis.errors import ConfigError
from blis.files.resources import data_path

BASE = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 8,
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
}
MOE = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
KDA = {"full_attn_layers": [4], "kda_layers": [1, 2, 3], "num_heads": 2, "head_dim": 8}
MLA = {"kv_lora_rank": 16, "q_lora_rank": 24, "qk_nope_head_dim": 6, "qk_rope_head_dim": 2, "v_head_dim": 5}


@pytest.fixture
def read(tmp_path):
    return lambda **changes: read_config(tmp_path, {**BASE, **changes})


def read_config(folder, config, **options):
    (folder / "config.json").write_text(json.dumps(config))
    return read_model(folder, **options)


def published(folder, name, **changes):
    return read_config(folder, {k: v for k, v in {**PUBLISHED[name].config, **changes}.items() if v is not None})


@pytest.mark.parametrize("name", sorted(folder.name for folder in data_path("model_configs").iterdir()))
def test_shipped_models_leave_no_doubt(name):
    assert read_model(data_path("model_configs") / name).doubts == ()


# Growing KV per token in bytes at 16 bit, and how many layers are of which kind, by the models' reports.
@pytest.mark.parametrize(
    ("name", "kv_bytes", "kinds"),
    [
        ("Qwen3-Next-80B-A3B", 24576, {"gdn": 36, "full attention": 12, "experts": 48}),
        ("Jamba-1.5-Mini", 16384, {"mamba1": 28, "full attention": 4, "mlp": 16, "experts": 16}),
        ("Bamba-9B", 12288, {"mamba2": 29, "full attention": 3, "mlp": 32}),
        ("Falcon-H1-7B", 45056, {"mamba2": 44, "full attention": 44, "mlp": 44}),
        ("Nemotron-H-8B", 16384, {"mamba2": 24, "full attention": 4, "mlp": 24}),
        ("MiniMax-Text-01", 40960, {"lightning": 70, "full attention": 10, "experts": 80}),
        ("Kimi-Linear-48B-A3B", 8064, {"kda": 20, "latent attention": 7, "mlp": 1, "experts": 26}),
        ("LFM2-1.2B", 12288, {"conv": 10, "full attention": 6, "mlp": 16}),
        ("Gemma-2-9B", 172032, {"window 4096": 21, "full attention": 21, "mlp": 42}),
        ("Gemma-3-12B", 65536, {"window 1024": 40, "full attention": 8, "mlp": 48}),
        ("Gemma-4-31B", 81920, {"window 1024": 50, "full attention": 10, "mlp": 60}),
        ("Command R7B", 32768, {"window 4096": 24, "full attention": 8, "mlp": 32}),
        ("EXAONE-4.0-32B", 65536, {"window 4096": 48, "full attention": 16, "mlp": 64}),
        ("Llama 4 Scout", 49152, {"chunk 8192": 36, "full attention": 12, "experts": 48}),
        ("gpt-oss-120b", 36864, {"window 128": 18, "full attention": 18, "experts": 36}),
        ("MiMo-V2-Flash", 23040, {"window 128": 39, "full attention": 9, "mlp": 1, "experts": 47}),
        ("DeepSeek-V3", 70272, {"latent attention": 61, "mlp": 3, "experts": 58}),
        ("ERNIE-4.5-21B-A3B", 57344, {"full attention": 28, "mlp": 1, "experts": 27}),
    ],
)
def test_layers_are_of_the_kinds_that_the_class_makes(tmp_path, name, kv_bytes, kinds):
    model = published(tmp_path, name)
    assert model.kv_bytes_per_token(1, 2) == kv_bytes
    assert model.layers_by_kind == kinds


@pytest.mark.parametrize(
    ("name", "state_bytes"),
    [
        # Heads × values × keys, and the convolution's 3 tokens of all channels, of 2 bytes (vLLM 0.33).
        ("Qwen3-Next-80B-A3B", 36 * 2 * (32 * 128 * 128 + 3 * (2 * 2048 + 4096))),
        ("Granite-4.0-H-Small", 36 * 2 * (128 * 64 * 128 + 3 * (8192 + 2 * 128))),
        ("Jamba-1.5-Mini", 28 * 2 * (8192 * 16 + 3 * 8192)),
        # States of 4 bytes.
        ("Nemotron-H-8B", 24 * (4 * 128 * 64 * 128 + 2 * 3 * (8192 + 2 * 8 * 128))),
        ("Kimi-Linear-48B-A3B", 20 * (4 * 32 * 128 * 128 + 2 * 3 * 3 * 4096)),
    ],
)
def test_states(tmp_path, name, state_bytes):
    assert published(tmp_path, name).state_bytes_per_request(1) == state_bytes


def test_the_type_of_a_state_can_be_said(tmp_path):
    small = published(tmp_path, "Nemotron-H-8B", mamba_ssm_cache_dtype="bfloat16").state_bytes_per_request(1)
    assert small == 24 * 2 * (128 * 64 * 128 + 3 * (8192 + 2 * 8 * 128))


def test_where_layer_types_are_listed_they_hold(read):
    types = ["sliding_attention", "full_attention", "full_attention", "sliding_attention"]
    model = read(model_type="gemma2", layer_types=types, sliding_window=16)
    assert [mixer.reach for mixer in model.attention] == ["window", "full", "full", "window"]
    assert {mixer.reach_tokens for mixer in model.attention} == {16, 0}


@pytest.mark.parametrize(
    ("changes", "windowed"),
    [
        ({"model_type": "mistral", "sliding_window": 32}, [0, 1, 2, 3]),
        ({"model_type": "mistral", "sliding_window": None}, []),
        ({"model_type": "qwen2", "sliding_window": 32, "use_sliding_window": False, "max_window_layers": 1}, []),
        ({"model_type": "qwen2", "sliding_window": 32, "use_sliding_window": True, "max_window_layers": 1}, [1, 2, 3]),
        ({"model_type": "gemma3_text", "sliding_window": 32, "sliding_window_pattern": 2}, [0, 2]),
        ({"model_type": "olmo3", "sliding_window": 32}, [0, 1, 2]),
        ({"model_type": "llama", "sliding_window": None}, []),
        ({"model_type": "laguna", "sliding_window": 512}, []),
        ({"model_type": "phi3", "sliding_window": 4096, "max_position_embeddings": 4096}, []),  # it holds any request
    ],
)
def test_windows_follow_the_rule_of_the_class(read, changes, windowed):
    assert [i for i, mixer in enumerate(read(**changes).attention) if mixer.reach == "window"] == windowed


def test_null_is_not_the_default_of_the_class(read):
    assert read(model_type="gpt_oss", num_local_experts=8, num_experts_per_tok=2).attention[0].reach == "window"
    model = read(model_type="gpt_oss", num_local_experts=8, num_experts_per_tok=2, sliding_window=None)
    assert {mixer.reach for mixer in model.attention} == {"full"}


@pytest.mark.parametrize(
    ("changes", "sparse"),
    [
        ({"model_type": "qwen3_moe", **MOE}, [0, 1, 2, 3]),
        ({"model_type": "qwen3_moe", **MOE, "mlp_only_layers": [1]}, [0, 2, 3]),
        ({"model_type": "qwen3_moe", **MOE, "decoder_sparse_step": 2}, [1, 3]),
        ({"model_type": "deepseek", **MOE, "first_k_dense_replace": 2}, [2, 3]),
        ({"model_type": "deepseek", **MOE, "moe_layer_freq": 2}, [0, 2]),
        (
            {"model_type": "mimo_v2_flash", **MOE, "hybrid_layer_pattern": [0] * 4, "moe_layer_freq": [0, 1, 1, 0]},
            [1, 2],
        ),
        ({"model_type": "glm4_moe_lite", **MLA, **MOE, "mlp_layer_types": ["dense", "sparse"] * 2}, [1, 3]),
        ({"model_type": "qwen3_moe", "num_experts": 1}, []),
        ({"model_type": "ernie4_5_moe", "moe_layer_end_index": -1}, [1, 2, 3]),
        ({"model_type": "ernie4_5_moe", "moe_layer_end_index": 2}, [1, 2]),
        ({"model_type": "ernie4_5_moe", "moe_layer_end_index": 27}, [1, 2, 3]),
        ({"model_type": "exaone_moe", **MOE, "is_moe_layer": [False, True, False, True]}, [1, 3]),
    ],
)
def test_which_layers_have_experts(read, changes, sparse):
    model = read(**changes)
    assert [i for i, layer in enumerate(model.layers) if isinstance(layer.mlp, Experts)] == sparse
    assert all(layer.mlp == Mlp(128) for i, layer in enumerate(model.layers) if i not in sparse)


@pytest.mark.parametrize(
    ("changes", "shared_width"),
    [
        ({"model_type": "qwen2_moe", "shared_expert_intermediate_size": 96}, 96),
        ({"model_type": "deepseek", "n_shared_experts": 2}, 64),
        ({"model_type": "bailing_moe", "num_shared_experts": 2, "moe_shared_expert_intermediate_size": 40}, 80),
        ({"model_type": "deepseek"}, 0),
        ({"model_type": "bailing_moe", "num_shared_experts": 2, "moe_router_enable_shared_expert": False}, 0),
        ({"model_type": "sarvam_moe", "first_k_dense_replace": 0, "moe_router_enable_shared_expert": True}, 32),
    ],
)
def test_shared_experts(read, changes, shared_width):
    assert {layer.mlp.shared_width for layer in read(**MOE, **changes).layers} == {shared_width}


def test_experts_for_images_take_memory_and_no_time(read):
    sizes = {"moe_num_experts": [8, 4], "moe_intermediate_size": [32, 16], "moe_k": 2, "moe_num_shared_experts": 1}
    model = read(model_type="ernie4_5_moe_vl", **sizes, moe_layer_start_index=[1, 1], moe_layer_end_index=[3, 2])
    assert [layer.mlp for layer in model.layers] == [Mlp(128), *[Experts(8, 2, 32, 32)] * 3]
    assert model.lookup_parameters == 3 * 4 * 3 * 64 * 16
    assert "experts for images take memory" in model.doubts[0]


def test_layers_that_share_caches_or_choices(read):
    hunyuan = {"num_experts": 4, "moe_topk": 2, "moe_intermediate_size": 32, "use_cla": True, "cla_share_factor": 2}
    model = read(model_type="hunyuan", **hunyuan)
    assert [mixer.keeps_cache for mixer in model.attention] == [True, False, True, False]
    sparse = {"index_n_heads": 4, "index_head_dim": 8, "index_topk": 64}
    types = ["full", "shared", "shared", "full"]
    model = read(model_type="glm_moe_dsa", **MLA, **MOE, **sparse, indexer_types=types, first_k_dense_replace=0)
    assert [mixer.indexer for mixer in model.attention] == [Indexer(4, 8, 64, name == "shared") for name in types]
    assert model.kv_bytes_per_token(1, 2) == 4 * (16 + 2) * 2 + 2 * (8 + 4)
    by_rule = read(model_type="deepseek_v32", **MLA, **MOE, **sparse, index_topk_freq=2, first_k_dense_replace=0)
    assert [mixer.indexer.is_shared for mixer in by_rule.attention] == [False, False, True, False]


def test_gemma_3n_shares_caches_and_looks_up_embeddings(tmp_path):
    text = {"model_type": "gemma3n_text", "intermediate_size": [16384] * 35}
    model = read_config(
        tmp_path, {"model_type": "gemma3n", "text_config": text, "vision_config": {}, "audio_config": {}}
    )
    assert model.layers_by_kind["attention to an earlier cache"] == 15
    assert model.lookup_parameters == 262144 * 35 * 256
    assert model.num_parameters / 1e9 == pytest.approx(6.87, rel=0.01)  # 7.85 with encoders (model card of E4B)
    assert model.num_active_parameters < model.num_parameters - model.lookup_parameters + 1


def test_layers_chosen_by_a_search(read):
    whole = {"attention": {"n_heads_in_group": 4, "no_op": False}, "ffn": {"ffn_mult": 2.0, "no_op": False}}
    halves = {"attention": {"no_op": True}, "ffn": {"replace_with_linear": True}}
    model = read(model_type="nemotron-nas", block_configs=[whole, halves] * 2, num_key_value_heads=None)
    assert model.layers[:2] == (Layer((Attention(8, 2, 8, 8),), Mlp(256)), Layer((), Mlp(64, num_matrices=1)))
    linear = {**whole, "attention": {"replace_with_linear": True}}
    with pytest.raises(ConfigError, match="replace_with_linear: is not understood"):
        read(model_type="nemotron-nas", block_configs=[linear] * 4)


@pytest.mark.parametrize(
    ("model_type", "vision", "billions"),
    [
        ("gemma3", {"model_type": "siglip_vision_model", "hidden_size": 1152, "num_hidden_layers": 27}, 0.42),
        ("qwen3_vl", {"model_type": "qwen3_vl", "deepstack_visual_indexes": [8, 16, 24]}, 0.56),
        ("mistral3", {"model_type": "pixtral"}, 0.44),
        ("llama4", {"model_type": "llama4_vision_model"}, 0.88),
    ],
)
def test_encoders_weigh_about_what_is_published(tmp_path, model_type, vision, billions):
    model = read_config(tmp_path, {"model_type": model_type, "text_config": {}, "vision_config": vision})
    assert model.encoder_parameters / 1e9 == pytest.approx(billions, rel=0.1)
    assert model.doubts == ()


def test_an_unknown_encoder_stands_as_a_doubt(tmp_path):
    config = {"model_type": "gemma3", "text_config": {}, "vision_config": {"model_type": "eye"}}
    assert (
        "encoders of type 'eye' are not known; their weights are not counted" in read_config(tmp_path, config).doubts[0]
    )
    config["vision_config"] = {"model_type": "eye", "hidden_size": 64, "num_hidden_layers": 2}
    model = read_config(tmp_path, config)
    assert "are an estimate" in model.doubts[0]
    assert model.encoder_parameters > 0


def test_sound_and_what_leads_images_into_the_model_weigh_something(tmp_path):
    text = {"model_type": "qwen2", "hidden_size": 3584, "num_attention_heads": 28}
    sound = {"model_type": "qwen2_audio_encoder", "d_model": 1280, "encoder_layers": 32, "encoder_ffn_dim": 5120}
    model = read_config(tmp_path, {"model_type": "qwen2_audio", "text_config": text, "audio_config": sound})
    assert model.encoder_parameters / 1e9 == pytest.approx(0.64, rel=0.02)  # Whisper-large-v3's encoder
    config = {"model_type": "aya_vision", "alignment_intermediate_size": 28672, "downsample_factor": 2}
    text |= {"hidden_size": 4096, "num_attention_heads": 32}
    config |= {"text_config": text, "vision_config": {"model_type": "siglip_vision_model"}}
    assert read_config(tmp_path, config).encoder_parameters / 1e9 == pytest.approx(0.6, rel=0.02)  # 8.63 of 8.03


def test_single_layers_have_settings_of_their_own(tmp_path, read):
    own = {"0": {"num_key_value_heads": 4, "intermediate_size": 96}, "03": {"num_key_value_heads": 4}}
    model = read(per_layer_config=own)
    assert [mixer.num_kv_heads for mixer in model.attention] == [4, 2, 2, 4]
    assert [layer.mlp.width for layer in model.layers] == [96, 128, 128, 128]
    assert model.doubts == ()
    each = {str(i): {"num_key_value_heads": 8 >> i} for i in range(4)}
    assert [m.num_kv_heads for m in read(num_key_value_heads=None, per_layer_config=each).attention] == [8, 4, 2, 1]
    types = ["sliding_attention"] * 3 + ["full_attention"]
    gemma = {"model_type": "gemma4_text", "head_dim": 8, "sliding_window": 16, "layer_types": types}
    wide = read(**gemma, attention_k_eq_v=True, per_layer_config={"3": {"head_dim": 32, "num_key_value_heads": 1}})
    assert wide.attention[2:] == (
        Attention(8, 2, 8, 8, "window", 16),
        Attention(8, 1, 32, 32, values_are_keys=True),
    )


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"4": {"head_dim": 16}}, "per_layer_config.4: must be the number of a layer, from 0 to 3"),
        ({"a": {}}, "per_layer_config.a: must be the number of a layer"),
        ({"1": 3}, "per_layer_config.1: must be a mapping, got 3"),
        ({"1": {"skip": ["mlp"]}}, "per_layer_config.1.skip: is not understood as a setting of single layers"),
        ({"1": {"num_experts": 8}}, "per_layer_config.1.num_experts: is not understood as a setting"),
    ],
)
def test_settings_of_single_layers_are_understood_or_refused(read, own, message):
    with pytest.raises(ConfigError, match=message):
        read(per_layer_config=own)


@pytest.mark.parametrize(
    ("version", "outer", "inner", "is_tied"),
    [
        ("4.57.1", False, True, True),
        ("5.2.0", False, True, False),
        ("5.24.0.dev0", True, False, True),
        ("5.2.0", None, True, True),
        ("5.2.0", False, None, False),
        (None, True, None, True),
        (None, True, False, False),
    ],
)
def test_transformers_5_says_outside_whether_embeddings_are_tied(tmp_path, version, outer, inner, is_tied):
    text = {"model_type": "qwen2", "tie_word_embeddings": inner}
    config = {"model_type": "internvl", "tie_word_embeddings": outer, "text_config": text}
    if inner is None:
        del text["tie_word_embeddings"]
    config |= {} if version is None else {"transformers_version": version}
    assert read_config(tmp_path, config).tie_word_embeddings == is_tied


def test_some_classes_tie_embeddings_if_either_part_says_so(tmp_path):
    config = {"model_type": "llava_onevision", "transformers_version": "5.2.0", "tie_word_embeddings": False}
    config["text_config"] = {"model_type": "qwen2", "tie_word_embeddings": True}
    assert read_config(tmp_path, config).tie_word_embeddings


def test_what_joins_other_parts_to_the_model_is_doubted_only(tmp_path):
    config = {"model_type": "gemma3", "text_config": {}, "num_query_tokens": 32, "qformer_config": {"hidden_size": 8}}
    doubt = "keys of config.json that are not known: num_query_tokens, qformer_config"
    assert read_config(tmp_path, config).doubts == (doubt,)
    with pytest.raises(ConfigError, match=r"config\.json: kv_lora_rank: bears on cost"):
        read_config(tmp_path, config | {"kv_lora_rank": 512})


def test_the_whole_models_type_can_be_what_is_not_modelled(tmp_path):
    config = {"model_type": "mllama", "text_config": {"model_type": "llama"}}
    with pytest.raises(ConfigError, match="'mllama' are not modelled: what is missing is layers of cross attention"):
        read_config(tmp_path, config)


@pytest.mark.parametrize("model_type", ["deepseek_v2", "dots1", "bailing_moe"])
def test_a_mixture_that_says_no_number_of_experts_is_no_dense_model(read, model_type):
    with pytest.raises(ConfigError, match="num_experts: missing"):
        read(model_type=model_type)


@pytest.mark.parametrize(
    ("model_type", "experts"),
    [
        ("gpt_oss", Experts(128, 4, 128)),
        ("minimax_m2", Experts(256, 8, 128)),
        ("afmoe", Experts(64, 6, 1408, 2 * 1408)),
        ("glm4_moe", Experts(128, 8, 1408, 1408)),
        ("sarvam_mla", Experts(128, 8, 2048, 2048)),
        ("mimo_v2_flash", Experts(256, 8, 2048)),
        ("kimi_linear", Experts(256, 8, 1024, 1024)),
        ("step3p5", Experts(288, 8, 1280, 1280)),
    ],
)
def test_experts_are_those_of_the_class_where_the_file_leaves_them_out(read, model_type, experts):
    assert read(model_type=model_type).layers[3].mlp == experts


def test_words_of_transformers_and_of_a_models_own_code_say_the_same(read):
    ours = {"num_experts": 8, "num_experts_per_token": 2, "moe_intermediate_size": 32, **MLA, "q_lora_rank": None}
    own = read(model_type="kimi_linear", **ours, linear_attn_config={**KDA, "short_conv_kernel_size": 3})
    sizes = {"linear_num_heads": 2, "linear_head_dim": 8, "linear_conv_kernel_dim": 3}
    types = ["linear_attention"] * 3 + ["full_attention"]
    assert read(model_type="kimi_linear", **ours, **sizes, layer_types=types).layers == own.layers
    types = ["sliding_attention", "full_attention"] * 2
    step = {"model_type": "step3p5", "head_dim": 8, "sliding_window": 16, "layer_types": types}
    step |= {"moe_num_experts": 8, "moe_top_k": 2, "moe_intermediate_size": 32, "share_expert_dim": 16}
    other = {"attention_type": "sliding_attention", "num_attention_heads": 16, "num_attention_groups": 2, "head_dim": 8}
    own = read(**step, moe_layers_enum="3", attention_other_setting=other)
    assert read(**step, mlp_layer_types=["dense"] * 3 + ["sparse"], num_sliding_attention_heads=16).layers == own.layers


def test_what_the_class_says_is_told_unless_a_part_leaves_it_out(tmp_path, read):
    model = read(model_type="bamba", mamba_n_heads=2)
    assert model.doubts[0].startswith("not said by config.json and taken from the model's class: mamba_d_conv 4, ")
    nested = {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "num_hidden_layers": 6}}
    assert read_config(tmp_path, nested).hidden_size == 2304
    assert read_config(tmp_path, nested).doubts == ()
    assert "full attention in all layers" in read(model_type="mistral").doubts[0]


def test_unknown_keys_are_told_once(read):
    assert read(frobnicate=1, wibble="a", off=False).doubts == (
        "keys of config.json that are not known: frobnicate, wibble",
    )


def test_a_plain_dense_transformer_can_be_assumed(tmp_path, read):
    with pytest.raises(
        ConfigError, match="model_type: models of type 'novel' are not known; --assume-dense-transformer"
    ):
        read(model_type="novel")
    model = read_config(tmp_path, {**BASE, "model_type": "novel", "num_experts": 9}, assume_dense=True)
    assert model.layers == read().layers
    assert model.doubts[0] == "assumed to be a plain dense transformer: model_type 'novel' is not known"
    assert model.doubts[1] == "keys of config.json that are not known: num_experts"


SPARSE = {"model_type": "qwen3_moe", **MOE}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": None}, "hidden_size: missing"),
        ({"num_hidden_layers": 2**40}, "num_hidden_layers: must be <= 10000, got 1099511627776"),
        ({"model_type": ""}, "model_type: missing; --assume-dense"),
        ({"model_type": "mllama"}, "'mllama' are not modelled: what is missing is layers of cross attention"),
        ({"model_type": "zamba2"}, "what is missing is blocks whose weights several layers share"),
        ({"torch_dtype": "float8"}, "torch_dtype: unknown value 'float8'"),
        ({"is_encoder_decoder": True}, "is_encoder_decoder: bears on cost or memory, and is not understood"),
        ({"num_experts": 8}, r"num_experts: bears on cost .* \(value 8\)"),
        ({"sliding_window": 32}, "sliding_window: bears on cost"),
        ({"layer_types": ["mamba"] * 4}, r"layer_types\[0\]: 'mamba' is not understood for models of this family"),
        ({"layer_types": ["sliding_attention"] * 4}, "sliding_window: missing, though layer_types names"),
        ({"layer_types": ["full_attention"]}, "layer_types: must name 4 layers, got 1"),
        ({"hidden_size": 60, "head_dim": None}, "head_dim: missing, and hidden_size is no multiple of"),
        ({**SPARSE, "num_experts_per_tok": 9}, r"num_experts_per_tok: must be <= num_experts \(8\), got 9"),
        (
            {**SPARSE, "num_local_experts": 4},
            "must say the same as num_experts, got num_experts 8, num_local_experts 4",
        ),
        (
            {"model_type": "mpt", "d_model": 64, "n_heads": 8, "n_layers": 4, "expansion_ratio": 1e300},
            "expansion_ratio: must be",
        ),
        ({"model_type": "hunyuan", **MOE, "moe_topk": [2, 2, 9, 2]}, r"moe_topk: must be <= num_experts \(8\), got 9"),
        ({**SPARSE, "first_k_dense_replace": 4}, r"first_k_dense_replace: must be < num_hidden_layers \(4\), got 4"),
        ({**SPARSE, "mlp_only_layers": [4]}, "mlp_only_layers: must be numbers of layers from 0 to 3, got 4"),
        ({**SPARSE, "use_sliding_window": True}, "use_sliding_window: windows are not understood"),
        ({"model_type": "nemotron_h", "hybrid_override_pattern": "M*X-"}, "letter 3, 'X', is not understood"),
        (
            {"model_type": "nemotron_h", "hybrid_override_pattern": "M*"},
            "num_hidden_layers: must be the number of layers",
        ),
        (
            {"model_type": "gemma3_text", "use_bidirectional_attention": True},
            "use_bidirectional_attention: models that look both ways",
        ),
        ({"model_type": "bamba", "mamba_n_heads": 3}, "mamba_n_heads: must split 128 channels, got 3 heads of 42"),
        (
            {"model_type": "kimi_linear", **MLA, **MOE, "linear_attn_config": {**KDA, "use_full_rank_gate": True}},
            "linear_attn_config.use_full_rank_gate: bears on cost",
        ),
    ],
)
def test_what_is_refused_by_name(read, changes, message):
    with pytest.raises(ConfigError, match=message):
        read(**changes)


def test_an_error_names_the_part(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.json: text_config\.num_experts: bears on cost"):
        read_config(tmp_path, {"model_type": "gemma3", "text_config": {"num_experts": 4}})


# What the field knows, and what it may think of tomorrow.
COSTLY = st.sampled_from(
    [
        *("num_experts", "num_local_experts", "moe_num_experts", "kv_lora_rank", "index_topk", "attn_layer_period"),
        *("full_attention_interval", "mamba_d_state", "linear_attn_config", "attn_type_list", "hybrid_layer_pattern"),
        *("layer_group_size", "num_global_key_value_heads", "share_q_dim", "linear_num_value_heads", "block_configs"),
        *("cross_attention_layers", "sparse_block_size", "attention_compress_rate", "expert_choice_factor"),
        *("num_memory_heads", "latent_width", "kv_groups", "recurrent_depth", "looped_layers", "n_hash_layers"),
    ]
)
HARMLESS = st.sampled_from(
    [
        *("bos_token_id", "attention_dropout", "initializer_range", "rope_theta", "rms_norm_eps", "use_cache"),
        *("router_aux_loss_coef", "pretraining_tp", "transformers_version", "pad_token_id", "attention_bias"),
        *("num_nextn_predict_layers", "mtp_num_hidden_layers", "image_token_index", "final_logit_softcapping"),
    ]
)
NAMES = st.sampled_from([name for name in PUBLISHED if "text_config" not in PUBLISHED[name].config])
EACH = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
#: Switched off by another key.
UNUSED = {("Gemma-4-31B", "num_experts")}


def read_or_refuse(folder, name, changes):
    """The model with changes, or why it is refused."""
    try:
        return published(folder, name, **changes)
    except ConfigError as error:
        return str(error)


@EACH
@given(NAMES, COSTLY, st.sampled_from([7, [7], {"of": 7}, "7", True]))
def test_no_key_that_bears_on_cost_passes_unseen(tmp_path, name, key, value):
    assume(key not in PUBLISHED[name].config and (name, key) not in UNUSED)
    after = read_or_refuse(tmp_path, name, {key: value})
    if isinstance(after, str):
        assert key in after
    else:
        assert after.layers != published(tmp_path, name).layers


@EACH
@given(NAMES, HARMLESS, st.sampled_from([7, 0.5, [7], "7", True]))
def test_a_harmless_key_changes_nothing(tmp_path, name, key, value):
    assume(key not in PUBLISHED[name].config)
    assert published(tmp_path, name, **{key: value}) == published(tmp_path, name)


@EACH
@given(NAMES, COSTLY, st.sampled_from([False, 0, []]))
def test_what_is_switched_off_is_no_other_model(tmp_path, name, key, value):
    assume(key not in PUBLISHED[name].config and not key.endswith("experts"))
    after = read_or_refuse(tmp_path, name, {key: value})
    if isinstance(after, str):
        assert key in after
    else:
        assert after.num_parameters == published(tmp_path, name).num_parameters
