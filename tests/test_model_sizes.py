"""Every shipped model has the parameters that its publisher states."""

import re
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


# Cards, sizes of checkpoints and papers were read in copies and quotations in public repositories, by the date that is
# given; that of a paper is its own.
def card(repository):
    return f"https://huggingface.co/{repository}, model card, 2026-11-30"


def checkpoint(repository, read="2026-09-25"):
    return f"https://huggingface.co/{repository}, parameters of the checkpoint, {read}"


def paper(number, where):
    return f"https://arxiv.org/abs/{number}, {where}, 20{number[:2]}-{number[2:4]}"


NEMOTRON_3_SUPER = (
    "https://research.nvidia.com/labs/nemotron/files/NVIDIA-Nemotron-3-Super-Technical-Report.pdf, 2026-04-03"
)
PUBLISHED = (
    published(
        "codellama-34b-instruct-hf", "33.7", None, checkpoint("codellama/CodeLlama-34b-Instruct-hf", "2026-11-30")
    ),
    published(
        "deepseek-moe-16b-chat", "16.4", None, "not confirmed: https://arxiv.org/abs/2401.06066, table 1, 2024-01"
    ),
    published("deepseek-v2-lite-chat", "15.7", "2.4", paper("2405.04434", "appendix B")),
    published("deepseek-v3 deepseek-r1 deepseek-v3.1 deepseek-r1-0528", "671", "37", paper("2412.19437", "abstract")),
    published(
        "deepseek-r1-0528-nvfp4", "671", "37", paper("2412.19437", "abstract, of DeepSeek-V3, which it is made of")
    ),
    published("deepseek-r1-distill-llama-70b", "70.6", None, checkpoint("meta-llama/Llama-3.3-70B-Instruct")),
    published("deepseek-r1-distill-qwen-32b", "32.5", None, card("Qwen/Qwen2.5-32B-Instruct")),
    published("gpt-oss-120b", "116.83", "5.13", paper("2508.10925", "table 1")),
    published("gpt-oss-20b", "20.91", "3.61", paper("2508.10925", "table 1")),
    published(
        "granite-3.1-8b-instruct granite-3.3-8b-instruct",
        "8.17",
        None,
        checkpoint("ibm-granite/granite-3.3-8b-instruct"),
    ),
    published("llama-2-7b-hf llama-2-7b-chat-hf", "6.74", None, checkpoint("meta-llama/Llama-2-7b-hf", "2026-10-01")),
    published("llama-2-70b-hf", "69.0", None, checkpoint("meta-llama/Llama-2-70b-hf", "2026-10-01")),
    published("llama-3.1-8b-instruct", "8.03", None, checkpoint("meta-llama/Llama-3.1-8B-Instruct")),
    published(
        "llama-3.1-70b-instruct llama-3.1-nemotron-70b-instruct-hf llama-3.1-nemotron-70b-instruct-hf-fp8-dynamic"
        " llama-3.3-70b-instruct llama-3.3-70b-instruct-quantized.w4a16 llama-3.3-70b-instruct-quantized.w8a8"
        " llama-3.3-70b-instruct-fp8-dynamic llama-3.3-70b-instruct-nvfp4",
        "70.6",
        None,
        checkpoint("meta-llama/Llama-3.3-70B-Instruct"),
    ),
    published(
        "llama-3.1-405b-instruct llama-3.1-405b-instruct-fp8",
        "405.9",
        None,
        checkpoint("meta-llama/Llama-3.1-405B", "2026-10-01"),
    ),
    published("llama-3.2-1b-instruct", "1.23", None, card("meta-llama/Llama-3.2-1B-Instruct")),
    published("llama-3.2-3b-instruct", "3.21", None, card("meta-llama/Llama-3.2-3B-Instruct")),
    published(
        "llama-4-scout-17b-16e-instruct llama-4-scout-17b-16e-instruct-fp8-dynamic"
        " llama-4-scout-17b-16e-instruct-quantized.w4a16",
        "109",
        "17",
        card("meta-llama/Llama-4-Scout-17B-16E-Instruct"),
    ),
    published(
        "llama-4-maverick-17b-128e-instruct llama-4-maverick-17b-128e-instruct-fp8"
        " llama-4-maverick-17b-128e-instruct-nvfp4",
        "400",
        "17",
        card("meta-llama/Llama-4-Maverick-17B-128E-Instruct"),
    ),
    published("mistral-7b-instruct-v0.3", "7.25", None, checkpoint("mistralai/Mistral-7B-Instruct-v0.3")),
    published(
        "mistral-nemo-instruct-2407", "12.2", None, checkpoint("mistralai/Mistral-Nemo-Instruct-2407", "2026-11-30")
    ),
    published(
        "mistral-small-24b-instruct-2501",
        "23.6",
        None,
        checkpoint("mistralai/Mistral-Small-24B-Instruct-2501", "2026-11-30"),
    ),
    published(
        "mistral-small-3.1-24b-instruct-2503 mistral-small-3.1-24b-instruct-2503-fp8-dynamic"
        " mistral-small-3.1-24b-instruct-2503-quantized.w4a16 mistral-small-3.1-24b-instruct-2503-quantized.w8a8"
        " mistral-small-3.2-24b-instruct-2506",
        "23.6",
        None,
        checkpoint("mistralai/Mistral-Small-24B-Instruct-2501", "2026-11-30, the same without images"),
    ),
    published(
        "mistral-large-instruct-2411",
        "123",
        None,
        "https://mistral.ai/news/mistral-large-2407, of the one before, 2026-11-30",
    ),
    published("ministral-3-8b-instruct-2512", "8.4", None, card("mistralai/Ministral-3-8B-Instruct-2512")),
    published("ministral-3-14b-instruct-2512", "13.5", None, card("mistralai/Ministral-3-14B-Instruct-2512")),
    published("mixtral-8x7b-instruct-v0.1", "46.7", "12.9", "https://mistral.ai/news/mixtral-of-experts, 2023-12-11"),
    published("mixtral-8x22b-instruct-v0.1", "141", "39", "https://mistral.ai/news/mixtral-8x22b, 2024-04-17"),
    published(
        "phi-4 phi-4-fp8-dynamic phi-4-quantized.w4a16 phi-4-quantized.w8a8",
        "14.7",
        None,
        checkpoint("microsoft/phi-4"),
    ),
    published("phi-4-mini-instruct", "3.84", None, checkpoint("microsoft/Phi-4-mini-instruct")),
    published("qwen2.5-1.5b-instruct", "1.54", None, card("Qwen/Qwen2.5-1.5B-Instruct")),
    published("qwen2.5-3b-instruct", "3.09", None, card("Qwen/Qwen2.5-3B-Instruct")),
    published(
        "qwen2.5-7b-instruct qwen2.5-7b-instruct-fp8-dynamic qwen2.5-7b-instruct-quantized.w4a16"
        " qwen2.5-7b-instruct-quantized.w8a8",
        "7.61",
        None,
        card("Qwen/Qwen2.5-7B-Instruct"),
    ),
    published("qwen2.5-14b-instruct", "14.7", None, card("Qwen/Qwen2.5-14B-Instruct")),
    published("qwen2.5-32b-instruct", "32.5", None, card("Qwen/Qwen2.5-32B-Instruct")),
    published("qwen2.5-72b-instruct", "72.7", None, card("Qwen/Qwen2.5-72B-Instruct")),
    published("qwen3-0.6b", "0.6", None, card("Qwen/Qwen3-0.6B")),
    published("qwen3-1.7b", "1.7", None, card("Qwen/Qwen3-1.7B")),
    published("qwen3-4b qwen3-4b-instruct-2507", "4.0", None, card("Qwen/Qwen3-4B")),
    published("qwen3-8b qwen3-8b-fp8 qwen3-vl-8b-instruct", "8.2", None, card("Qwen/Qwen3-8B")),
    published("qwen3-14b qwen3-14b-fp8 qwen3-14b-awq", "14.8", None, card("Qwen/Qwen3-14B")),
    published(
        "qwen3-32b qwen3-32b-fp8 qwen3-32b-awq qwen3-vl-32b-instruct qwen3-vl-32b-instruct-fp8",
        "32.8",
        None,
        card("Qwen/Qwen3-32B"),
    ),
    published(
        "qwen3-30b-a3b qwen3-30b-a3b-fp8 qwen3-30b-a3b-instruct-2507 qwen3-coder-30b-a3b-instruct"
        " qwen3-vl-30b-a3b-instruct qwen3-30b-a3b-nvfp4",
        "30.5",
        "3.3",
        card("Qwen/Qwen3-30B-A3B"),
    ),
    published(
        "qwen3-235b-a22b qwen3-235b-a22b-fp8 qwen3-235b-a22b-instruct-2507 qwen3-235b-a22b-instruct-2507-fp8"
        " qwen3-vl-235b-a22b-instruct qwen3-235b-a22b-nvfp4",
        "235",
        "22",
        card("Qwen/Qwen3-235B-A22B"),
    ),
    published("qwen3-coder-480b-a35b-instruct", "480", "35", card("Qwen/Qwen3-Coder-480B-A35B-Instruct")),
    published("smollm3-3b smollm3-3b-fp8-dynamic", "3.08", None, checkpoint("HuggingFaceTB/SmolLM3-3B")),
    published("yi-34b", "34.4", None, checkpoint("01-ai/Yi-34B", "2026-11-30")),
    published(
        "kimi-k2-instruct kimi-k2-instruct-0905 kimi-k2-thinking",
        "1026",
        "32",
        checkpoint("moonshotai/Kimi-K2-Instruct") + "; " + paper("2507.20534", "abstract"),
    ),
    published("glm-4.5 glm-4.5-fp8 glm-4.6 glm-4.6-fp8", "355", "32", paper("2508.06471", "table 1")),
    published("glm-4.5-air glm-4.5-air-fp8", "106", "12", paper("2508.06471", "table 1")),
    published("glm-5.2-fp8", "744", "40", "https://recipes.vllm.ai/zai-org/GLM-5.1, of the same layers, 2026-11-30"),
    published("minimax-m2 minimax-m2.5", "230", "10", card("MiniMaxAI/MiniMax-M2")),
    published("gemma-2-9b-it", "9.242", None, paper("2408.00118", "table 2")),
    published("gemma-2-27b-it", "27.227", None, paper("2408.00118", "table 2")),
    published("gemma-3-4b-it", "3.884", None, paper("2503.19786", "table 1")),
    published("gemma-3-12b-it", "11.771", None, paper("2503.19786", "table 1")),
    published("gemma-3-27b-it", "27.016", None, paper("2503.19786", "table 1")),
    published("olmo-3-7b-instruct", "7.30", None, checkpoint("allenai/Olmo-3-7B-Instruct", "2026-11-30")),
    published("olmo-3-32b-think", "32.2", None, checkpoint("allenai/Olmo-3-32B-Think", "2026-11-30")),
    published("seed-oss-36b-instruct", "36", None, card("ByteDance-Seed/Seed-OSS-36B-Base")),
    published("exaone-4.0-32b", "32.0", None, card("LGAI-EXAONE/EXAONE-4.0-32B") + ": 30.95 without embeddings"),
    published(
        "qwen3-next-80b-a3b-instruct qwen3-next-80b-a3b-instruct-fp8",
        "80",
        "3",
        card("Qwen/Qwen3-Next-80B-A3B-Instruct"),
    ),
    published("qwen3.5-35b-a3b", "35", "3", card("Qwen/Qwen3.5-35B-A3B")),
    published("qwen3.5-397b-a17b", "397", "17", card("Qwen/Qwen3.5-397B-A17B")),
    published("qwen3.5-9b", "9", None, "https://docs.vultr.com/models/alibaba-qwen-35/qwen3.5-9b/nvidia, 2026-11-30"),
    published("deepseek-v3.2", "671", "37", paper("2412.19437", "abstract, of DeepSeek-V3, which it is made of")),
    published(
        "nvidia-nemotron-3-nano-30b-a3b-bf16 nvidia-nemotron-3-nano-30b-a3b-fp8",
        "31.6",
        "3.6",
        paper("2512.20848", "table of models"),
    ),
    published(
        "nvidia-nemotron-3-super-120b-a12b-bf16 nvidia-nemotron-3-super-120b-a12b-fp8",
        "120.6",
        "12.7",
        NEMOTRON_3_SUPER,
    ),
    published("nvidia-nemotron-nano-9b-v2", "8.9", None, checkpoint("nvidia/NVIDIA-Nemotron-Nano-9B-v2", "2026-11-30")),
    published("granite-4.0-h-small", "32", "9", card("ibm-granite/granite-4.0-h-small")),
    published("granite-4.0-h-tiny", "7", "1", card("ibm-granite/granite-4.0-h-tiny")),
    published("granite-4.0-micro", "3.40", None, checkpoint("ibm-granite/granite-4.0-micro")),
    published("ai21-jamba-mini-1.7", "52", "12", card("ai21labs/AI21-Jamba-1.5-Mini") + ", of the same architecture"),
    published(
        "falcon-h1-7b-instruct", "7.59", None, "not confirmed: https://arxiv.org/abs/2507.22448, table 1, 2025-07"
    ),
    published(
        "falcon-h1-34b-instruct", "33.6", None, "not confirmed: https://arxiv.org/abs/2507.22448, table 1, 2025-07"
    ),
    published("ernie-4.5-21b-a3b-pt", "21", "3", card("baidu/ERNIE-4.5-21B-A3B-PT")),
    published("ernie-4.5-300b-a47b-pt", "300", "47", card("baidu/ERNIE-4.5-300B-A47B-PT")),
    published("hunyuan-a13b-instruct", "80", "13", card("tencent/Hunyuan-A13B-Instruct")),
    published("ling-mini-2.0", "16", "1.4", paper("2510.22115", "section 1")),
    published("ling-flash-2.0", "103", "6.1", paper("2510.22115", "section 1")),
    published("ling-1t", "1000", "51", paper("2510.22115", "section 1")),
    published("gemma-4-31b-it", "30.7", None, card("google/gemma-4-31B-it")),
    published("gemma-4-26b-a4b-it", "25.2", "3.8", card("google/gemma-4-26B-A4B-it")),
)
# What the files of the checkpoints hold, encoders included: HuggingFace's safetensors.total, as quoted from
# 2026-09-25 to 2026-11-30.
CHECKPOINTS = {
    "codellama-34b-instruct-hf": 33743970304,
    "gemma-2-27b-it": 27227128320,
    "gemma-2-9b-it": 9241705984,
    "gemma-3-12b-it": 12187325040,
    "gemma-3-27b-it": 27432406640,
    "gemma-3-4b-it": 4300079472,
    "gpt-oss-120b": 116829156672,
    "gpt-oss-20b": 20914757184,
    "granite-3.3-8b-instruct": 8170864640,
    "granite-4.0-h-small": 32207337984,
    "granite-4.0-micro": 3402836480,
    "kimi-k2-instruct": 1026408235864,
    "llama-2-70b-hf": 68976653312,
    "llama-2-7b-hf": 6738417664,
    "llama-3.1-405b-instruct": 405853388800,
    "llama-3.1-8b-instruct": 8030261248,
    "llama-3.2-1b-instruct": 1235814400,
    "llama-3.2-3b-instruct": 3212749824,
    "llama-3.3-70b-instruct": 70553706496,
    "llama-4-scout-17b-16e-instruct": 108641793536,
    "ministral-3-8b-instruct-2512": 8918026716,
    "mistral-7b-instruct-v0.3": 7248023552,
    "mistral-nemo-instruct-2407": 12247782400,
    "mistral-small-24b-instruct-2501": 23572403200,
    "mistral-small-3.2-24b-instruct-2506": 24011361280,
    "nvidia-nemotron-nano-9b-v2": 8888227328,
    "olmo-3-32b-think": 32233522176,
    "olmo-3-7b-instruct": 7298011136,
    "phi-4": 14659507200,
    "phi-4-mini-instruct": 3836021760,
    "qwen2.5-1.5b-instruct": 1543714304,
    "qwen2.5-3b-instruct": 3085938688,
    "qwen2.5-72b-instruct": 72706203648,
    "qwen2.5-7b-instruct": 7615616512,
    "qwen3-235b-a22b": 235093634560,
    "qwen3-30b-a3b": 30532122624,
    "qwen3-32b": 32762123264,
    "qwen3-4b-instruct-2507": 4022468096,
    "qwen3-8b": 8190735360,
    "smollm3-3b": 3075098624,
    "yi-34b": 34388917248,
}
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


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_shipped_models_have_what_their_checkpoints_hold(name):
    model = read_model(shipped_config_folder(name))
    within = 0.0013 if name == "gemma-3-4b-it" else 0.0005  # its encoder is an estimate
    assert model.num_parameters + model.encoder_parameters == pytest.approx(CHECKPOINTS[name], rel=within)


@pytest.mark.parametrize("figures", PUBLISHED, ids=lambda figures: figures.models[0])
def test_every_published_size_has_an_address_and_a_date(figures):
    assert re.fullmatch(r"(not confirmed: )?https://\S+, .*\b20\d\d-\d\d\b.*", figures.source)


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


def test_the_documentation_says_what_sizes_were_held_against():
    text = " ".join((data_path("model_configs").parent / "docs" / "models.md").read_text().split())
    assert f"{len(CHECKPOINTS)} are compared with the exact count of their checkpoint" in text
    unsure = [figures.models[0] for figures in PUBLISHED if figures.source.startswith("not confirmed")]
    assert unsure == ["deepseek-moe-16b-chat", "falcon-h1-7b-instruct", "falcon-h1-34b-instruct"]
    assert "those of `deepseek-moe-16b-chat` and of both `falcon-h1` were not found again" in text


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
