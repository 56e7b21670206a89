"""What checkpoints say of the precision of weights and caches, and models that are quantised on the way in."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blis.config.model.exemptions import matcher
from blis.config.model.precision import ON_THE_WAY_IN, quantized
from blis.config.model.reading import read_model
from blis.config.quantization import Quantization
from blis.config.schema import QUANTIZATIONS
from blis.errors import CombinationError, ConfigError
from blis.files.decode import Section

BASE = {
    "model_type": "qwen3_moe",
    "hidden_size": 64,
    "intermediate_size": 128,
    "moe_intermediate_size": 32,
    "num_attention_heads": 8,
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 1000,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "shared_expert_intermediate_size": 96,
}
MLA = {"model_type": "deepseek_v3", "kv_lora_rank": 16, "q_lora_rank": 24, "qk_nope_head_dim": 6, "qk_rope_head_dim": 2}
MLA |= {"v_head_dim": 5, "first_k_dense_replace": 0, "n_shared_experts": 1, "shared_expert_intermediate_size": None}


@pytest.fixture
def read(tmp_path):
    def read(quantization=None, beside=None, **changes):
        config = {key: value for key, value in {**BASE, **changes}.items() if value is not None}
        config |= {} if quantization is None else {"quantization_config": quantization}
        (tmp_path / "config.json").write_text(json.dumps(config))
        if beside is not None:
            (tmp_path / "hf_quant_config.json").write_text(json.dumps(beside))
        return read_model(tmp_path)

    return read


def tensors(weights, activations=None, ignore=("lm_head",), **more):
    group = {"targets": ["Linear"], "weights": weights, "input_activations": activations}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}, "ignore": list(ignore), **more}


def bits(number, kind, **more):
    return {"num_bits": number, "type": kind, **more}


INT4 = bits(4, "int", strategy="group", group_size=128)
FP8 = bits(8, "float", strategy="channel")
NVFP4 = bits(4, "float", strategy="tensor_group", group_size=16)
MODELOPT = {"quant_method": "modelopt"}
MX_FP4 = {"bits": 4, "group_size": 32, "data_type": "mx_fp", "act_bits": 4}


def quark(dtype, **more):
    setting = {"weight": {"dtype": dtype, **more}, "input_tensors": {"dtype": dtype}}
    return {"quant_method": "quark", "global_quant_config": setting}


def torchao(name, **data):
    return {"quant_method": "torchao", "quant_type": {"default": {"_type": name, "_data": data}}}


@pytest.mark.parametrize(
    ("config", "size", "activation"),
    [
        # compressed-tensors
        (tensors(FP8, bits(8, "float")), 1, "fp8"),
        (tensors(bits(8, "float", strategy="block", block_structure=[128, 128]), bits(8, "float")), 1, "fp8"),
        (tensors(FP8), 1, None),
        ({**tensors(FP8), "sparsity_config": {"format": "dense", "global_sparsity": 0.1}}, 1, None),
        (tensors(bits(8, "int", strategy="channel"), bits(8, "int")), 1, "int8"),
        (tensors(INT4), 0.516, None),
        (tensors({**INT4, "group_size": 32}), 0.562, None),
        (tensors({**INT4, "symmetric": False}), 0.52, None),
        (tensors(INT4, bits(8, "float")), 0.516, "fp8"),
        (tensors(NVFP4), 0.5625, None),
        (tensors(NVFP4, bits(4, "float", group_size=16)), 0.5625, "fp4"),
        (tensors({**NVFP4, "group_size": 32, "strategy": "group"}), 0.53125, None),
        (tensors(bits(8, "float", strategy="group", group_size=32), bits(8, "float")), 1.03125, "fp8"),
        # FP8 and microscaling
        ({"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}, 1, "fp8"),
        ({"quant_method": "fp8", "weight_block_size": [1, 32]}, 1.03125, "fp8"),
        ({"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0}, 1, "fp8"),
        # whole numbers
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True}, 0.516, None),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": False}, 0.52, None),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, 1, None),
        ({"quant_method": "gptq", "bits": 3, "group_size": 128, "act_group_aware": True}, 0.391, None),
        ({"quant_method": "gptq", "bits": 8, "group_size": 32}, 1.062, None),
        ({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}, 0.52, None),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": 64}, 0.531, None),
        ({"quant_method": "auto-round", "bits": 4, "group_size": 128, "sym": True}, 0.516, None),
        ({"quant_method": "inc", "bits": 2, "group_size": 64, "sym": True}, 0.281, None),
        ({"quant_method": "auto-round", **MX_FP4}, 0.53125, "fp4"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, 0.5625, None),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, 1, "int8"),
        # ModelOpt
        ({**MODELOPT, "quant_algo": "FP8"}, 1, "fp8"),
        ({**MODELOPT, "quant_algo": "NVFP4", "group_size": 16}, 0.5625, "fp4"),
        ({**MODELOPT, "config_groups": tensors(NVFP4, NVFP4)["config_groups"]}, 0.5625, "fp4"),
        ({**MODELOPT, "quantization": {"quant_algo": "W4A16_AWQ", "group_size": 128}}, 0.516, None),
        # Quark and torchao
        (quark("fp8_e4m3"), 1, "fp8"),
        (quark("fp4", group_size=32), 0.53125, "fp4"),
        (quark("fp6_e2m3", group_size=32), 0.78125, None),
        ({"quant_method": "torchao", "quant_type": "int8_weight_only"}, 1, None),
        (torchao("Int4WeightOnlyConfig", group_size=128), 0.531, None),
    ],
)
def test_bytes_and_arithmetic_of_each_method(read, config, size, activation):
    quantization = read(config).quantization
    assert replace(quantization, block=0) == Quantization(size, size, size, activation)


@pytest.mark.parametrize(
    ("config", "block"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, 128),
        ({"quant_method": "fp8", "weight_block_size": [1, 32]}, 0),
        ({"quant_method": "fp8"}, 0),
        (tensors(bits(8, "float", strategy="block", block_structure=[64, 64]), bits(8, "float")), 64),
        (tensors(bits(8, "float", strategy="group", group_size=128), bits(8, "float")), 0),
    ],
)
def test_blocks_with_a_scale_each(read, config, block):
    assert read(config).quantization.block == block


def test_what_would_be_cut_within_a_block(read):
    blocks = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    sizes = {"moe_intermediate_size": 768, "shared_expert_intermediate_size": 512, "mlp_only_layers": [0]}
    model = read(blocks, **sizes, intermediate_size=5120, num_attention_heads=32, num_key_value_heads=8)
    assert [model.experts_not_split_over(tp) for tp in (1, 2)] == [None, None]
    assert model.experts_not_split_over(4) == "experts 768 wide, with a scale for each 128 of it,"
    assert model.blocks_not_split_over(4) is None
    assert [tp for tp in (1, 2, 4, 8) if model.splits_over(tp)] == [1, 2]
    wider = read(blocks, **sizes | {"moe_intermediate_size": 1024}, intermediate_size=5120, num_attention_heads=32)
    assert wider.blocks_not_split_over(4) is None
    assert wider.blocks_not_split_over(8) == "shared experts 512 wide, with a scale for each 128 of it,"
    left_out = blocks | {"modules_to_not_convert": ["experts", "shared_expert"]}
    assert read(left_out, **sizes, intermediate_size=5120).experts_not_split_over(4) is None
    assert read({"quant_method": "fp8"}, **sizes).blocks_not_split_over(8) is None


def test_16_bit_unless_said(read):
    assert read().quantization == Quantization()
    assert read().kv_cache_type is None


@pytest.mark.parametrize("method", ["mxfp4", "experts_int8"])
def test_methods_for_experts_leave_the_rest_at_16_bit(read, method):
    size = {"mxfp4": 0.53125, "experts_int8": 1}[method]
    assert read({"quant_method": method}).quantization == Quantization(2, 2, size)


@pytest.mark.parametrize(
    ("ignore", "expected"),
    [
        (["re:.*self_attn.*", "re:.*router"], (2, 1, 1)),
        (["self_attn"], (2, 1, 1)),
        (["gate"], (1, 1, 1)),  # the router's name, not a part of gate_proj
        (["lm_head", "re:vision_tower.*"], (1, 1, 1)),
        ([f"language_model.model.layers.{i}.self_attn" for i in range(4)], (2, 1, 1)),
        ([f"vision_model.model.layers.{i}.self_attn" for i in range(4)], (1, 1, 1)),
        (["model.layers.*.mlp"], (1, 2, 2)),
        (["re:.*mlp.experts.*"], (1, 1, 2)),
        (["model.layers.*.mlp.shared_expert.*"], (1, 2, 1)),
        (["model.layers.0.self_attn*"], (1.25, 1, 1)),  # one layer of four
        (["model.layers.0.mlp.shared_expert.down_proj"], (1, 13 / 12, 1)),  # one matrix of three in one layer of four
    ],
)
def test_exempted_modules_stay_at_16_bit(read, ignore, expected):
    q = read(tensors(FP8, bits(8, "float"), ignore)).quantization
    assert (q.attention_bytes, q.mlp_bytes, q.expert_bytes) == pytest.approx(expected)


def test_matrices_of_latent_attention_are_exempted_one_by_one(read):
    names = ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj")
    ignore = [f"model.layers.{i}.self_attn.{name}" for i in range(4) for name in names]
    model = read({**MODELOPT, "quant_algo": "NVFP4", "exclude_modules": ignore}, **MLA)
    output = 8 * 5 * 64
    share = output / model.attention[0].parameters(64)
    assert model.quantization.attention_bytes == pytest.approx(share * 0.5625 + (1 - share) * 2)


def test_modules_with_schemes_of_their_own(read):
    groups = {
        "attention": {"targets": ["re:.*self_attn.*"], "weights": FP8, "input_activations": bits(8, "float")},
        "rest": {"targets": ["Linear"], "weights": NVFP4, "input_activations": NVFP4},
    }
    model = read({"quant_method": "compressed-tensors", "config_groups": groups})
    assert model.quantization == Quantization(1, 0.5625, 0.5625, "fp4")
    assert "multiplied in several types" in model.doubts[0]
    layers = {f"model.layers.{i}.mlp.experts": {"quant_algo": "NVFP4", "group_size": 16} for i in range(4)}
    model = read({**MODELOPT, "quant_algo": "MIXED_PRECISION", "quantized_layers": layers})
    assert model.quantization == Quantization(2, 2, 0.5625, "fp4")
    gptq = {
        "quant_method": "gptq",
        "bits": 4,
        "group_size": 128,
        "dynamic": {"-:.*self_attn.*": {}, "+:.*mlp.experts.*": {"bits": 8}},
    }
    assert read(gptq).quantization == Quantization(2, 0.516, 1.016)
    own = {".*self_attn.*": {"bits": 16}, "model.layers.0.mlp.shared_expert": {"bits": 8}}
    auto_round = {"quant_method": "auto-round", "bits": 4, "group_size": 128, "sym": True, "extra_config": own}
    assert read(auto_round).quantization == Quantization(2, (1.016 + 3 * 0.516) / 4, 0.516)


def test_the_file_beside_the_configuration(read):
    beside = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}}
    assert read(None, beside).quantization == Quantization(1, 1, 1, "fp8")
    assert read(None, beside).kv_cache_type == "fp8"
    assert read({"quant_method": "mxfp4"}, beside).quantization.activation_type is None


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (tensors(FP8, bits(8, "float"), kv_cache_scheme=bits(8, "float")), "fp8"),
        (tensors(FP8, bits(8, "float"), kv_cache_scheme=None), None),
        ({**MODELOPT, "quant_algo": "NVFP4", "kv_cache_scheme": bits(8, "float")}, "fp8"),
        ({**MODELOPT, "quant_algo": "NVFP4", "kv_cache_quant_algo": None}, None),
    ],
)
def test_the_type_of_the_cache_that_a_checkpoint_asks_for(read, config, expected):
    assert read(config).kv_cache_type == expected


def test_a_quantised_lm_head_stands_as_a_doubt(read):
    assert "LM head" in read({"quant_method": "gptq", "bits": 4, "lm_head": True}).doubts[0]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "quantization_config.quant_method: missing"),
        ({"quant_method": "aqlm"}, "quant_method: unknown value 'aqlm'"),
        ({"quant_method": "gptq", "bits": 5}, "bits: must be 2, 3, 4 or 8, got 5"),
        ({"quant_method": "awq", "bits": 3}, "bits: must be 4 or 8, got 3"),
        ({"quant_method": "bitsandbytes"}, "load_in_4bit: missing: neither 4 nor 8 bit"),
        ({**MODELOPT, "quant_algo": "FP6"}, "quant_algo: unknown algorithm 'FP6'; valid: FP8"),
        (
            tensors(bits(8, "int"), bits(8, "float")),
            "activations of 8-bit float are not understood for weights of 8-bit int",
        ),
        (tensors(bits(4, "float", group_size=64)), r"group_size: must be 16 \(NVFP4\) or 32"),
        (tensors(FP8, kv_cache_scheme=bits(4, "int")), "kv_cache_scheme.num_bits: must be 8 of type float"),
        (tensors(FP8, sparsity_config={"format": "sparse-24-bitmask"}), "sparsity_config: sparse weights"),
        (tensors(FP8, None, ["re:("]), r"ignore: no valid regular expression 're:\('"),
        ({"quant_method": "fp8", "store_dtype": "mxfp4"}, "store_dtype: bears on memory, and is not understood"),
        ({"quant_method": "torchao", "quant_type": "int3"}, "quant_type: unknown value 'int3'"),
    ],
)
def test_what_is_refused(read, config, message):
    with pytest.raises(ConfigError, match=message):
        read(config)


def test_quantising_on_the_way_in(read):
    model = read()
    assert quantized(model, "fp8").quantization == Quantization(1, 1, 1, "fp8")
    assert quantized(model, "experts_int8").quantization == Quantization(2, 2, 1)
    for name in ON_THE_WAY_IN:
        parts = quantized(model, name).weight_bytes_by_part
        assert parts["experts"] < model.weight_bytes_by_part["experts"]
        assert parts["vocabulary"] == model.weight_bytes_by_part["vocabulary"]
    with pytest.raises(ConfigError, match="quantization: unknown value 'fp7'"):
        quantized(model, "fp7")
    with pytest.raises(CombinationError, match="fp8 needs a checkpoint of 16 bit"):
        quantized(quantized(model, "fp8"), "fp8")


def test_the_flag_names_all_that_there_is():
    assert tuple(ON_THE_WAY_IN) == QUANTIZATIONS


ENTRIES = (
    *("lm_head", "mlp.gate", "self_attn", "model.layers.1", "model.layers.12.mlp", "model.layers.1.mlp.experts.0"),
    *("model.layers.1*", "model.layers.11.self_attn*", "*.mlp.gate*", "*layers.1?.mlp*", "model.layers.*.self_attn"),
    *(r"re:.*mlp\.gate$", r"re:.*layers\..\.mlp", r"re:.*layers\.(1|12)\..*", "vision.layers.1.mlp", "3", "layers.3"),
)


@given(st.lists(st.sampled_from(ENTRIES), max_size=4))
def test_layers_are_looked_at_once_only_where_a_list_says_the_same_of_them(entries):
    means = matcher(Section({}, ""), "ignore", entries)
    for module in ("mlp.gate", "mlp.experts.0.up_proj", "self_attn.q_proj"):
        said = {}
        for number in range(14):
            said.setdefault(means.of_layer(number), set()).add(means(f"layers.{number}.{module}"))
        assert all(len(answers) == 1 for answers in said.values())
