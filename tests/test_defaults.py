"""The shipped defaults file against figures of the public inference-sim repository (Apache-2.0, February 2026)."""

import time
from pathlib import Path

import pytest

from blis.config.defaults import ModelDefault, TokenCounts, load_defaults
from blis.config.hardware import load_hardware
from blis.config.huggingface import shipped_config_folder
from blis.errors import ConfigError
from blis.files.resources import data_path

LLAMA = "meta-llama/llama-3.1-8b-instruct"
PUBLISHED = Path(__file__).parents[2] / "shared" / "data" / "reference" / "coefficients-2026-02.yaml"


@pytest.fixture(scope="module")
def defaults():
    return load_defaults()


@pytest.fixture(scope="module")
def rows(defaults):
    return [row for model in defaults.models for row in defaults.rows(model)]


def test_counts(defaults, rows):
    assert len(defaults.models) == 29
    assert len(rows) == 85
    assert sum(row.hardware == "H100" for row in rows) + sum(row.hardware == "A100-80" for row in rows) == 85
    assert sum(row.hardware == "A100-80" for row in rows) == 12
    assert {row.vllm_version for row in rows} == {"0.8.4", "0.10.1.1"}
    assert {row.vllm_version for model in defaults.models if "gpt-oss" in model for row in defaults.rows(model)} == {
        "0.10.1.1"
    }
    assert all(len(row.beta) == 3 for row in rows)


def test_no_key_comes_twice(defaults):
    for model in defaults.models:
        keys = [str(row) for row in defaults.rows(model)]
        assert len(keys) == len(set(keys)), model


@pytest.mark.parametrize(
    ("column", "least", "most"),
    [
        (lambda row: row.alpha[0], 34.39, 3.144e4),
        (lambda row: row.alpha[1], 0.03458, 41.36),
        (lambda row: row.alpha[2], 0.0, 6.633e4),
        (lambda row: row.beta[0], 41.81, 3.486e4),
        (lambda row: row.beta[1], 0.05983, 185.9),
        (lambda row: row.beta[2], 0.3827, 1219),
        (lambda row: row.total_kv_blocks, 2537, 23146322),
    ],
)
def test_range_of_each_column(rows, column, least, most):
    values = [column(row) for row in rows]
    assert min(values) == pytest.approx(least, rel=1e-3)
    assert max(values) == pytest.approx(most, rel=1e-3)


@pytest.mark.parametrize(
    ("model", "hardware", "tp", "alpha", "beta", "blocks"),
    [
        (
            LLAMA,
            "H100",
            2,
            (1601.350510688092, 3.512476196805965, 1805.5430360826988),
            (6910.420479880494, 17.67057489844186, 2.8377471109943855),
            132139,
        ),
        (
            LLAMA,
            "H100",
            1,
            (232.46191091038054, 1.752360364195244, 3357.4400353290152),
            (5752.705191348184, 17.25086436834028, 5.999143920128404),
            29205,
        ),
        (
            LLAMA,
            "A100-80",
            1,
            (7739.7334212001515, 2.308926798943791, 6276.246189076296),
            (16441.531547147923, 47.837412108198656, 18.20560632171683),
            29205,
        ),
        (
            "codellama/codellama-34b-instruct-hf",
            "H100",
            1,
            (13450.510995636703, 0.041813767451373045, 0.0),
            (26595.2781995357, 96.28441960829817, 56.58626882402723),
            2537,
        ),
        (
            "mistralai/mixtral-8x7b-instruct-v0.1",
            "H100",
            2,
            (14183.211469689128, 0.05035849522569347, 29675.091979055112),
            (12616.330563372463, 29.98066344907465, 29.72539500682795),
            58377,
        ),
    ],
)
def test_rows_carry_the_published_digits(defaults, model, hardware, tp, alpha, beta, blocks):
    row = defaults.find(model, hardware, tp, "0.8.4")
    assert (row.alpha, row.beta, row.total_kv_blocks) == (alpha, beta, blocks)


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published table is not part of the project")
def test_every_row_equals_the_first_published_one_of_its_key(defaults, rows):
    import yaml

    published = {}
    for entry in yaml.safe_load(PUBLISHED.read_text())["models"]:
        key = (entry["id"], entry["GPU"], entry["tensor_parallelism"], entry["vllm_version"])
        published.setdefault(key, entry)
    assert len(published) == len(rows)
    for (model, *key), entry in published.items():
        row = defaults.find(model, *key)
        assert list(row.alpha) == entry["alpha_coeffs"], (model, key)
        assert list(row.beta) == entry["beta_coeffs"], (model, key)
        assert row.total_kv_blocks == entry["total_kv_blocks"], (model, key)


def test_every_model_has_a_default_with_coefficients(defaults):
    tps = []
    for model in defaults.models:
        default = defaults.default(model)
        assert default.hardware == "H100"
        assert defaults.find(model, default.hardware, default.tp, default.vllm_version) is not None
        tps.append(default.tp)
    assert [tps.count(tp) for tp in (1, 2, 4, 8)] == [4, 8, 11, 6]
    assert defaults.default("mistralai/mixtral-8x7b-instruct-v0.1") == ModelDefault("H100", 2, "0.8.4")


def test_every_model_has_its_architecture_and_gpu_shipped(defaults, rows):
    assert [model for model in defaults.models if shipped_config_folder(model) is None] == []
    assert {load_hardware().get(row.hardware).name for row in rows} == {"H100-SXM", "A100-80-SXM"}


@pytest.mark.parametrize("hardware", ["A100-80", "a100-80", "A100-SXM", "A100-80-SXM", "a100_80_sxm"])
@pytest.mark.parametrize("version", ["vllm/vllm-openai:v0.8.4", "v0.8.4", "0.8.4"])
def test_lookup_normalises_names(defaults, hardware, version):
    row = defaults.find(LLAMA.upper(), hardware, 1, version)
    assert row.beta[0] == 16441.531547147923


def test_lookup_of_what_is_not_there(defaults):
    assert defaults.find(LLAMA, "H100", 8, "0.8.4") is None
    assert defaults.find(LLAMA, "H100", 2, "0.8.5") is None
    assert defaults.find(LLAMA, "H200", 2, "0.8.4") is None
    assert defaults.rows("nobody/nothing") == ()
    assert defaults.default("nobody/nothing") is None


def test_presets(defaults):
    assert set(defaults.presets) == {"chatbot", "summarization", "contentgen", "multidoc"}
    multidoc = defaults.preset("multidoc")
    assert multidoc.prefix_tokens == 0
    assert multidoc.prompt_tokens == TokenCounts(mean=10240, stdev=1200, min=500, max=20480)
    assert multidoc.output_tokens == TokenCounts(mean=1536, stdev=300, min=50, max=4096)
    assert defaults.preset("chatbot").prompt_tokens == TokenCounts(mean=256, stdev=100, min=2, max=800)
    assert defaults.preset("summarization").prompt_tokens == TokenCounts(mean=4096, stdev=500, min=100, max=8192)
    assert defaults.preset("contentgen").output_tokens == TokenCounts(mean=1024, stdev=200, min=10, max=2048)
    with pytest.raises(ConfigError, match=r"unknown preset 'chatbots'; did you mean 'chatbot'\?"):
        defaults.preset("chatbots")


def test_loading_is_fast():
    def seconds():
        start = time.process_time()  # other processes may be at work
        load_defaults(data_path("defaults.yaml"))
        return time.process_time() - start

    assert min(seconds() for _ in range(5)) < 0.06  # 0.01 s on an idle machine; every run of blis pays it


ROW = "{hardware: H100, tp: 1, vllm_version: '0.8.4', total_kv_blocks: 9, alpha: [1, 2, 3], beta: [1, 2, 3]}"


def load(tmp_path, model="{}", workloads="{}"):
    path = tmp_path / "own.yaml"
    path.write_text(f"models:\n  me/model: {model}\nworkloads: {workloads}\n")
    return load_defaults(path)


def test_a_file_of_the_users_own(tmp_path):
    defaults = load(tmp_path, f"{{coefficients: [{ROW}]}}")
    assert defaults.models == ("me/model",)
    assert defaults.find("Me/Model", "H100-SXM", 1, "v0.8.4").alpha == (1.0, 2.0, 3.0)
    assert defaults.default("me/model") is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ROW.replace("alpha: [1, 2, 3]", "alpha: [1, 2]"), r"coefficients\[0\]\.alpha: must be 3 numbers, got 2"),
        (ROW.replace("beta: [1, 2, 3]", "beta: [1]"), r"coefficients\[0\]\.beta: must be 3 to 5 numbers, got 1"),
        (ROW.replace("beta: [1, 2, 3]", "beta: [1, -2, 3]"), r"\.beta\[1\]: must be a number >= 0, got -2"),
        (ROW.replace("beta: [1, 2, 3]", "beta: [1, .nan, 3]"), r"\.beta\[1\]: must be a number >= 0, got nan"),
        (ROW.replace("tp: 1", "tp: 0"), r"\.tp: must be a whole number >= 1, got 0"),
        (ROW.replace("'0.8.4'", "0.19"), r"\.vllm_version: must be text \(in quotes"),
        (ROW.replace("'0.8.4'", "newest"), r"\.vllm_version: must look like 0\.8\.4 or .*, got 'newest'"),
        (ROW.replace("tp: 1", "tp: 1, best_loss: 3"), r"\.best_loss: unknown key"),
        (ROW.replace("total_kv_blocks: 9, ", ""), r"\.total_kv_blocks: missing"),
    ],
)
def test_malformed_rows(tmp_path, row, message):
    with pytest.raises(ConfigError, match=r"own\.yaml: models\.me/model\." + ".*" + message):
        load(tmp_path, f"{{coefficients: [{row}]}}").rows("me/model")


def test_malformed_files(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("models: {}\n")
    with pytest.raises(ConfigError, match=r"own\.yaml: missing workloads; found models$"):
        load_defaults(path)
    path.write_text("models: {}\nworkloads: {}\ndefaults: {}\n")
    with pytest.raises(ConfigError, match=r"own\.yaml: defaults: unknown key; valid: models, workloads$"):
        load_defaults(path)
    counts = "{mean: 5, stdev: 1, min: 6, max: 9}"
    with pytest.raises(ConfigError, match=r"workloads\.x\.prompt_tokens: must have min <= mean <= max, got 6, 5, 9"):
        load(tmp_path, workloads=f"{{x: {{prompt_tokens: {counts}, output_tokens: {counts}}}}}").preset("x")
