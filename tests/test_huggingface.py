"""Where shipped configurations lie, and what their checkpoints weigh."""

import pytest

from blis.config.huggingface import shipped_config_folder
from blis.config.model.reading import read_model
from blis.config.quantization import Quantization


def shipped(name):
    return read_model(shipped_config_folder(name))


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [
        ("llama-3.1-8b-instruct", 16.06),
        ("llama-3.3-70b-instruct-quantized.w8a8", 72.7),
        ("llama-4-scout-17b-16e-instruct-fp8-dynamic", 112.9),  # attention, router and LM head stay at 16 bit
        ("gpt-oss-120b", 65.2),  # the checkpoint is 65 GB
        ("gpt-oss-20b", 13.7),
        ("deepseek-v3", 673.0),  # FP8 but for 1 billion each of embeddings and LM head
    ],
)
def test_weight_bytes(name, gigabytes):
    model = shipped(name)
    assert (model.weight_bytes - 2 * model.encoder_parameters) / 1e9 == pytest.approx(gigabytes, rel=0.005)


def test_shipped_folder_of_a_model_id():
    assert shipped_config_folder("Meta-Llama/Llama-3.1-8B-Instruct").name == "llama-3.1-8b-instruct"
    assert shipped_config_folder("nobody/nothing") is None
    assert shipped_config_folder("") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llama-4-scout-17b-16e-instruct-fp8-dynamic", Quantization(2, 1, 1, "fp8")),
        ("llama-4-scout-17b-16e-instruct-quantized.w4a16", Quantization(2, 0.516, 0.516)),
        ("llama-4-maverick-17b-128e-instruct-fp8", Quantization(2, 2, 1, "fp8")),
        ("mistral-small-3.1-24b-instruct-2503-fp8-dynamic", Quantization(1, 1, 1, "fp8")),
        ("gpt-oss-20b", Quantization(2, 0.53125, 0.53125)),
        ("phi-4-quantized.w8a8", Quantization(1, 1, 1, "int8")),
        ("deepseek-v3", Quantization(1, 1, 1, "fp8", block=128)),
    ],
)
def test_quantisation_of_shipped_models(name, expected):
    assert shipped(name).quantization == expected
