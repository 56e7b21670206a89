"""Every shipped model has the parameters that its publisher states."""

from typing import NamedTuple

import pytest

from blis.config.catalogue.models import model as entry_of
from blis.config.huggingface import shipped_config_folder
from blis.config.model.reading import read_model
from blis.files.resources import data_path


class Published(NamedTuple):
    """Parameters in billions, of encoders as well or not, with the digits that are printed, and where."""

    models: tuple[str, ...]
    total: str
    active: str | None
    source: str


def published(models, total, active, source):
    return Published(tuple(models.split()), total, active, source)


CARD = "model card on HuggingFace"
CHECKPOINT = "size of the checkpoint on HuggingFace"
PUBLISHED = (
    published("codellama-34b-instruct-hf", "33.7", None, CHECKPOINT),
    published("deepseek-moe-16b-chat", "16.4", None, "arXiv:2401.06066, table 1"),
    published("deepseek-v2-lite-chat", "15.7", "2.4", "arXiv:2405.04434, appendix B"),
    published("deepseek-v3 deepseek-r1 deepseek-v3.1 deepseek-r1-0528", "671", "37", "arXiv:2412.19437, abstract"),
    published("deepseek-r1-distill-llama-70b", "70.6", None, "card of Llama-3.1-70B, which it is made of"),
    published("deepseek-r1-distill-qwen-32b", "32.8", None, "card of Qwen2.5-32B, which it is made of"),
    published("gpt-oss-120b", "116.83", "5.13", "arXiv:2508.10925, table 1"),
    published("gpt-oss-20b", "20.91", "3.61", "arXiv:2508.10925, table 1"),
    published("granite-3.1-8b-instruct granite-3.3-8b-instruct", "8.17", None, CHECKPOINT),
    published("llama-2-7b-hf llama-2-7b-chat-hf", "6.74", None, CHECKPOINT),
    published("llama-2-70b-hf", "69.0", None, CHECKPOINT),
    published("llama-3.1-8b-instruct", "8.03", None, CHECKPOINT),
    published(
        "llama-3.1-70b-instruct llama-3.1-nemotron-70b-instruct-hf llama-3.1-nemotron-70b-instruct-hf-fp8-dynamic"
        " llama-3.3-70b-instruct llama-3.3-70b-instruct-quantized.w4a16 llama-3.3-70b-instruct-quantized.w8a8"
        " llama-3.3-70b-instruct-fp8-dynamic llama-3.3-70b-instruct-nvfp4",
        "70.6",
        None,
        CHECKPOINT,
    ),
    published("llama-3.1-405b-instruct llama-3.1-405b-instruct-fp8", "405.9", None, CHECKPOINT),
    published("llama-3.2-1b-instruct", "1.23", None, CARD),
    published("llama-3.2-3b-instruct", "3.21", None, CARD),
    published(
        "llama-4-scout-17b-16e-instruct llama-4-scout-17b-16e-instruct-fp8-dynamic"
        " llama-4-scout-17b-16e-instruct-quantized.w4a16",
        "109",
        "17",
        CARD,
    ),
    published(
        "llama-4-maverick-17b-128e-instruct llama-4-maverick-17b-128e-instruct-fp8"
        " llama-4-maverick-17b-128e-instruct-nvfp4",
        "400",
        "17",
        CARD,
    ),
    published("mistral-7b-instruct-v0.3", "7.25", None, CHECKPOINT),
    published("mistral-nemo-instruct-2407", "12.2", None, CHECKPOINT),
    published("mistral-small-24b-instruct-2501", "23.6", None, CHECKPOINT),
    published(
        "mistral-small-3.1-24b-instruct-2503 mistral-small-3.1-24b-instruct-2503-fp8-dynamic"
        " mistral-small-3.1-24b-instruct-2503-quantized.w4a16 mistral-small-3.1-24b-instruct-2503-quantized.w8a8"
        " mistral-small-3.2-24b-instruct-2506",
        "23.6",
        None,
        "checkpoint of Mistral-Small-24B-Instruct-2501, the same without an encoder of images",
    ),
    published("mistral-large-instruct-2411", "123", None, CARD),
    published("ministral-3-8b-instruct-2512", "8.4", None, CARD),
    published("ministral-3-14b-instruct-2512", "13.5", None, CARD),
    published("mixtral-8x7b-instruct-v0.1", "46.7", "12.9", "mistral.ai/news/mixtral-of-experts"),
    published("mixtral-8x22b-instruct-v0.1", "141", "39", "mistral.ai/news/mixtral-8x22b"),
    published("phi-4 phi-4-fp8-dynamic phi-4-quantized.w4a16 phi-4-quantized.w8a8", "14.7", None, CHECKPOINT),
    published("phi-4-mini-instruct", "3.8", None, CARD),
    published("qwen2.5-1.5b-instruct", "1.54", None, CARD),
    published("qwen2.5-3b-instruct", "3.09", None, CARD),
    published(
        "qwen2.5-7b-instruct qwen2.5-7b-instruct-fp8-dynamic qwen2.5-7b-instruct-quantized.w4a16"
        " qwen2.5-7b-instruct-quantized.w8a8",
        "7.61",
        None,
        CARD,
    ),
    published("qwen2.5-14b-instruct", "14.7", None, CARD),
    published("qwen2.5-32b-instruct", "32.5", None, CARD),
    published("qwen2.5-72b-instruct", "72.7", None, CARD),
    published("qwen3-0.6b", "0.6", None, CARD),
    published("qwen3-1.7b", "1.7", None, CARD),
    published("qwen3-4b qwen3-4b-instruct-2507", "4.0", None, CARD),
    published("qwen3-8b qwen3-8b-fp8 qwen3-vl-8b-instruct", "8.2", None, "card of Qwen3-8B on HuggingFace"),
    published("qwen3-14b qwen3-14b-fp8 qwen3-14b-awq", "14.8", None, CARD),
    published(
        "qwen3-32b qwen3-32b-fp8 qwen3-32b-awq qwen3-vl-32b-instruct qwen3-vl-32b-instruct-fp8",
        "32.8",
        None,
        "card of Qwen3-32B on HuggingFace",
    ),
    published(
        "qwen3-30b-a3b qwen3-30b-a3b-fp8 qwen3-30b-a3b-instruct-2507 qwen3-coder-30b-a3b-instruct"
        " qwen3-vl-30b-a3b-instruct qwen3-30b-a3b-nvfp4",
        "30.5",
        "3.3",
        "card of Qwen3-30B-A3B on HuggingFace",
    ),
    published(
        "qwen3-235b-a22b qwen3-235b-a22b-fp8 qwen3-235b-a22b-instruct-2507 qwen3-235b-a22b-instruct-2507-fp8"
        " qwen3-vl-235b-a22b-instruct qwen3-235b-a22b-nvfp4",
        "235",
        "22",
        "card of Qwen3-235B-A22B on HuggingFace",
    ),
    published("qwen3-coder-480b-a35b-instruct", "480", "35", CARD),
    published("smollm3-3b smollm3-3b-fp8-dynamic", "3.08", None, CHECKPOINT),
    published("yi-34b", "34.4", None, CHECKPOINT),
    published("kimi-k2-instruct kimi-k2-instruct-0905 kimi-k2-thinking", "1026", "32", CHECKPOINT + "; model card"),
    published("glm-4.5 glm-4.5-fp8 glm-4.6 glm-4.6-fp8", "355", "32", "arXiv:2508.06471, table 1"),
    published("glm-4.5-air glm-4.5-air-fp8", "106", "12", "arXiv:2508.06471, table 1"),
    published("minimax-m2 minimax-m2.5", "230", "10", CARD),
    published("gemma-2-9b-it", "9.242", None, "arXiv:2408.00118, table 2"),
    published("gemma-2-27b-it", "27.227", None, "arXiv:2408.00118, table 2"),
    published("gemma-3-4b-it", "3.884", None, "arXiv:2503.19786, table 1"),
    published("gemma-3-12b-it", "11.771", None, "arXiv:2503.19786, table 1"),
    published("gemma-3-27b-it", "27.016", None, "arXiv:2503.19786, table 1"),
    published("olmo-3-7b-instruct", "7.30", None, CHECKPOINT),
    published("olmo-3-32b-think", "32.2", None, CHECKPOINT),
    published("seed-oss-36b-instruct", "36", None, CARD),
    published("exaone-4.0-32b", "32.0", None, CARD),
    published("qwen3-next-80b-a3b-instruct qwen3-next-80b-a3b-instruct-fp8", "80", "3", CARD),
    published("qwen3.5-35b-a3b", "35", "3", CARD),
    published("qwen3.5-397b-a17b", "397", "17", CARD),
    published("deepseek-v3.2", "671", "37", "card of DeepSeek-V3 on HuggingFace, which it is made of"),
    published(
        "nvidia-nemotron-3-nano-30b-a3b-bf16 nvidia-nemotron-3-nano-30b-a3b-fp8", "31.6", "3.6", "arXiv:2512.20848"
    ),
    published("nvidia-nemotron-3-super-120b-a12b-bf16 nvidia-nemotron-3-super-120b-a12b-fp8", "120.6", "12.7", CARD),
    published("nvidia-nemotron-nano-9b-v2", "8.9", None, CHECKPOINT),
    published("granite-4.0-h-small", "32", "9", CARD),
    published("granite-4.0-h-tiny", "7", "1", CARD),
    published("granite-4.0-micro", "3", None, CARD),
    published("ai21-jamba-mini-1.7", "52", "12", CARD),
    published("falcon-h1-7b-instruct", "7.59", None, "arXiv:2507.22448, table 1"),
    published("falcon-h1-34b-instruct", "33.6", None, "arXiv:2507.22448, table 1"),
    published("ernie-4.5-21b-a3b-pt", "21", "3", CARD),
    published("ernie-4.5-300b-a47b-pt", "300", "47", CARD),
    published("hunyuan-a13b-instruct", "80", "13", CARD),
    published("ling-mini-2.0", "16", "1.4", CARD),
    published("ling-flash-2.0", "103", "6.1", CARD),
    published("ling-1t", "1000", "50", CARD),
    published("gemma-4-31b-it", "30.7", None, CARD),
    published("gemma-4-26b-a4b-it", "25.2", "3.8", CARD),
)
OF_MODEL = {model: figures for figures in PUBLISHED for model in figures.models}


def agrees(billions, printed):
    """Within 1 %, or the same with as many digits, rounded or cut off."""
    unit = 10.0 ** -len(printed.partition(".")[2])
    return abs(billions / float(printed) - 1) <= 0.01 or -unit / 2 <= billions - float(printed) < unit


def test_every_shipped_model_has_a_published_size():
    assert {folder.name for folder in data_path("model_configs").iterdir()} == set(OF_MODEL)


@pytest.mark.parametrize("name", OF_MODEL)
def test_shipped_models_have_their_published_size(name):
    model = read_model(shipped_config_folder(name))
    totals = (model.num_parameters, model.num_parameters + model.encoder_parameters)
    assert any(agrees(total / 1e9, OF_MODEL[name].total) for total in totals)
    if active := OF_MODEL[name].active:
        # publishers leave out the embeddings, which are looked up, or the LM head as well
        counts = [model.num_active_parameters - matrices * model.vocabulary_parameters for matrices in range(3)]
        assert any(agrees(count / 1e9, active) for count in counts[: 1 + model.num_vocabulary_matrices])


@pytest.mark.parametrize("name", OF_MODEL)
def test_all_that_is_published_of_a_mixture_of_experts_is_both_sizes(name):
    model = read_model(shipped_config_folder(name))
    assert model.is_moe == (OF_MODEL[name].active is not None) or name == "deepseek-moe-16b-chat"
    assert model.num_active_parameters <= model.num_parameters


@pytest.mark.parametrize("name", OF_MODEL)
def test_nothing_of_a_shipped_model_is_doubtful(name):
    assert read_model(shipped_config_folder(name)).doubts == ()


def documented():
    """Cells of the rows of docs/models.md that begin with names of models."""
    text = (data_path("model_configs").parent / "docs" / "models.md").read_text()
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return {tuple(name.strip("`") for name in cells[0].split(", ")): cells[1:] for cells in lines}


def test_the_documentation_lists_every_shipped_model():
    assert set(documented()) == {figures.models for figures in PUBLISHED}


@pytest.mark.parametrize("figures", PUBLISHED, ids=lambda figures: figures.models[0])
def test_the_documentation_states_what_models_have(figures):
    entry = entry_of(figures.models[0])
    active = f" ({entry['num_active_parameters'] / 1e9:,.1f})" if entry["num_experts"] else ""
    assert documented()[figures.models] == [
        f"{entry['num_parameters'] / 1e9:,.1f}{active}",
        ", ".join(f"{count} {kind}" for kind, count in entry["layers"].items()),
        f"{entry['kv_bytes_per_token']:,}",
        f"{entry['state_bytes_per_request']:,}",
    ]


def test_a_size_is_taken_as_printed():
    assert agrees(8.49, "8.4")
    assert agrees(1.66, "1.7")
    assert not agrees(1.81, "1.7")
    assert not agrees(1.64, "1.7")
    assert agrees(237.3, "235")
    assert not agrees(238, "235")
