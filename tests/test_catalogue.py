"""What blis lists: all there is, with the figures that are used, and the words of the documentation."""

import io
import json
import re
import shutil
from pathlib import Path

import pytest
from rich.console import Console

import blis
from blis.cli.main import main
from blis.cli.options import SCENARIOS, WORKLOADS
from blis.config.catalogue.hardware import gpu, gpus
from blis.config.catalogue.models import model, model_ids, models
from blis.config.catalogue.policies import policies, policies_named
from blis.config.catalogue.workloads import workload, workloads
from blis.config.explained import EXPLAINED
from blis.config.schema import ADMISSION_POLICIES, PRIORITY_POLICIES, ROUTING_POLICIES, SCORERS, Scheduler
from blis.files.resources import data_path
from blis.report import catalogue_tables

PAGE = (Path(blis.__file__).parent.parent / "docs" / "policies.md").read_text()


def names(kind):
    return tuple(each.name for each in EXPLAINED if each.kind == kind)


def test_every_policy_is_explained():
    assert names("admission") == ADMISSION_POLICIES
    assert names("routing") == ROUTING_POLICIES
    assert names("priority") == PRIORITY_POLICIES
    assert names("scheduler") == Scheduler.__args__
    assert sorted(names("scorer")) == sorted(SCORERS)


def test_the_documentation_explains_policies_in_the_same_words():
    rows = set(re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", PAGE, re.MULTILINE))
    assert {(each.name, each.text) for each in EXPLAINED} <= rows


def test_parameters_of_policies_are_flags(capsys):
    assert main(["policies", "token-bucket", "--output", "json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["parameters"][0] == {
        "flag": "--token-bucket-capacity",
        "default": 10000.0,
        "meaning": "Prompt tokens in the full bucket (token-bucket).",
    }


def test_models_have_the_figures_of_their_architecture():
    by_name = {entry["model"]: entry for entry in models()}
    llama = by_name["meta-llama/llama-3.1-8b-instruct"]
    # Llama 3.1 8B: 32 layers, 8 KV heads of 128, 16 bit: 2 x 8 x 128 x 2 B x 32 = 131,072 B; 8.03 B parameters
    assert (llama["num_layers"], llama["kv_bytes_per_token"], llama["num_parameters"]) == (32, 131_072, 8_030_261_248)
    assert llama["default"] == {"hardware": "H100", "tp": 2, "vllm_version": "0.8.4"}
    assert llama["coefficient_rows"] == 6
    assert "deepseek-v3" in by_name
    assert len(by_name) == len(model_ids())


def test_a_model_has_layers_by_kind_caches_states_and_weights_by_part():
    entry = model("qwen3-next-80b-a3b-instruct")
    assert entry["layers"] == {"gdn": 36, "experts": 48, "full attention": 12}
    assert entry["num_active_parameters"] < entry["num_parameters"] / 20
    # 12 layers of 2 KV heads of 256, keys and values of 2 bytes
    assert (entry["kv_bytes_per_token"], entry["windowed_kv_bytes_per_token"]) == (12 * 2 * 2 * 256 * 2, 0)
    # 32 heads of 128 x 128, and 3 tokens of the convolution over 2 x 16 x 128 + 32 x 128 channels, of 2 bytes
    assert entry["state_bytes_per_request"] == 36 * 2 * (32 * 128 * 128 + 3 * (2 * 16 * 128 + 32 * 128))
    assert sum(entry["weight_bytes_by_part"].values()) == entry["weight_bytes"]


def test_layers_with_windows_are_counted_apart():
    entry = model("gpt-oss-20b")  # every second of 24 layers has a window; 8 KV heads of 64
    assert entry["kv_bytes_per_token"] == entry["windowed_kv_bytes_per_token"] == 12 * 2 * 8 * 64 * 2


def test_a_folder_of_the_users_own_has_the_same_figures(capsys, tmp_path):
    (tmp_path / "own").mkdir()
    shutil.copy(data_path("model_configs") / "gpt-oss-20b" / "config.json", tmp_path / "own")
    assert main(["models", "--model-config-folder", str(tmp_path / "own"), "--output", "json"]) == 0
    entry, shipped = json.loads(capsys.readouterr().out), model("gpt-oss-20b")
    assert entry.keys() == shipped.keys()
    same = entry.keys() - {"model", "default", "coefficient_rows", "coefficients", "sources"}
    assert {name: entry[name] for name in same} == json.loads(json.dumps({name: shipped[name] for name in same}))
    assert (entry["model"], entry["default"], entry["coefficients"]) == ("own", None, [])
    assert main(["models", "--model-config-folder", str(tmp_path / "own"), "--output", "table"]) == 0
    assert "12 x window 128" in capsys.readouterr().out


def test_what_is_doubtful_of_a_folder_is_told(capsys, tmp_path):
    sizes = {"hidden_size": 512, "intermediate_size": 1024, "num_attention_heads": 8, "num_hidden_layers": 2}
    config = {"model_type": "novel", "vocab_size": 1000, **sizes, "frobnicate": 3}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert main(["models", "--model-config-folder", str(tmp_path)]) == 2
    assert "--assume-dense-transformer takes it" in capsys.readouterr().err
    words = ("--model-config-folder", str(tmp_path), "--assume-dense-transformer", "--output", "json")
    assert main(["models", *words]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["num_parameters"] > 0
    assert err.splitlines() == [
        "blis: warning: model: assumed to be a plain dense transformer: model_type 'novel' is not known",
        "blis: warning: model: keys of config.json that are not known: frobnicate",
    ]


def test_a_folder_without_a_model_is_one_line(capsys, tmp_path):
    assert main(["models", "--model-config-folder", str(tmp_path)]) == 2
    assert "config.json: cannot be read" in capsys.readouterr().err
    assert main(["models", "gpt-oss-20b", "--model-config-folder", str(tmp_path)]) == 2
    assert "not both" in capsys.readouterr().err


@pytest.mark.parametrize("columns", ["80", "100"])
@pytest.mark.parametrize("command", ["models", "hardware"])
def test_lists_fit_into_the_terminal(command, columns):
    tables = {"models": catalogue_tables.models, "hardware": catalogue_tables.gpus}
    entries = {"models": models, "hardware": gpus}
    console = Console(width=int(columns), record=True, file=io.StringIO())
    console.print(next(tables[command](entries[command]())))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= int(columns)
    assert sum(line.startswith(("gpt-oss-20b", "RTX-PRO-6000-Workstation")) for line in lines) == 1
    assert "…" not in console.export_text()


def test_a_model_is_found_by_the_last_part_of_its_id():
    assert model("Llama-3.1-8B-Instruct") == model("meta-llama/llama-3.1-8b-instruct")
    assert len(model("llama-3.1-8b-instruct")["coefficients"]) == 6


def test_a_model_shows_parts_that_are_alike_once(capsys):
    architecture = model("gpt-oss-120b")["architecture"]
    assert [layers["count"] for layers in architecture["layers"]] == [18, 18]
    assert main(["models", "gpt-oss-120b", "--output", "table"]) == 0
    shown = re.sub(r" +", " ", capsys.readouterr().out)
    assert "\n18 x window 128 num heads 64, num kv heads 8, head dim 64" in shown
    assert "\n36 x experts num experts 128, experts per token 4, " in shown


def test_every_figure_of_a_gpu_has_a_source():
    for listed in gpus():
        entry = gpu(listed["name"])
        known = {name for name, value in entry.items() if value is not None}
        assert known - {"name", "aliases", "assumed_for", "status", "sources"} <= entry["sources"].keys()
        assert all(gpu(alias) == entry for alias in entry["aliases"])


def test_workloads_are_those_that_flags_take():
    found = [entry["name"] for entry in workloads()]
    assert found == [*(name for name in WORKLOADS if name not in ("distribution", "traces")), *SCENARIOS]
    rates = {entry["name"]: sum(client["share"] for client in entry["clients"]) for entry in workloads()}
    assert set(rates.values()) == {1.0}
    assert workload("bursty-traffic")["clients"][0]["arrivals"] == "gamma, CV 3.5"


def test_a_name_may_be_a_policy_and_a_scorer():
    assert [entry["kind"] for entry in policies_named("prefix-affinity")] == ["routing", "scorer"]
    assert policies_named("scheduler") == [entry for entry in policies() if entry["kind"] == "scheduler"]


@pytest.mark.parametrize(
    ("command", "wrong", "hint"),
    [
        ("models", "llama-3.1-8b-instrukt", "did you mean 'llama-3.1-8b-instruct'"),
        ("models", "zzz", "blis models lists all"),
        ("models", "Qwen/Qwen2.5-32B-Instruct-FP8", "as --model qwen2.5-32b-instruct --quantization fp8"),
        ("models", "llama-3.1-70b-instruct-fp8-dynamic", "as --model llama-3.1-70b-instruct --quantization fp8"),
        ("models", "zzz-fp8", "blis models lists all"),
        ("hardware", "rtx pro", "it may be RTX-PRO-6000-Server or RTX-PRO-6000-Workstation or RTX-PRO-6000-Max-Q"),
        ("hardware", "h1000", "did you mean 'H100'"),
        ("policies", "weightd", "did you mean 'weighted'"),
        ("workloads", "chatbt", "did you mean 'chatbot'"),
    ],
)
def test_wrong_names_get_the_nearest(capsys, command, wrong, hint):
    assert main([command, wrong]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("blis: error: unknown ")
    assert hint in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["models"], ["llama-3.1-8b-instruct", "128.0"]),
        (["models", "mixtral-8x7b-instruct-v0.1"], ["num experts", "alpha"]),
        (["hardware"], ["H100-SXM", "3350", "measured"]),
        (["hardware", "MI300X"], ["memory bandwidth gb per s", "5,300.0", "source"]),
        (["policies"], ["--scheduler orders", "shortest prompt first"]),
        (["policies", "weighted"], ["--routing-cache-weight", "0.6"]),
        (["workloads"], ["summarization", "high-priority-realtime"]),
        (["workloads", "mixed-slo"], ["normal: mean 64, stdev 20, min 10, max 256", "tenant-rt"]),
    ],
)
def test_tables(capsys, args, words):
    assert main([*args, "--output", "table"]) == 0
    text = capsys.readouterr().out
    assert [word for word in words if word not in text] == []
    assert main(args) == 0  # not a terminal
    assert json.loads(capsys.readouterr().out)


def test_frames_hold_what_is_listed(capsys):
    listed = {}
    for command in ("models", "hardware"):
        assert main([command, "--output", "json"]) == 0
        listed[command] = json.loads(capsys.readouterr().out)
    frame = blis.models()
    assert frame.height == len(listed["models"]) > 0
    for row, entry in zip(frame.iter_rows(named=True), listed["models"], strict=True):
        default = entry.pop("default") or {}
        usual = {f"default_{name}": default.get(name) for name in ("hardware", "tp", "vllm_version")}
        del entry["weight_bytes_by_part"]
        layers = row.pop("layers").split(", ")
        assert {kind: int(count) for count, _, kind in (each.partition(" x ") for each in layers)} == entry.pop(
            "layers"
        )
        assert row == {**entry, **usual}
    assert [dict(row) for row in blis.hardware().iter_rows(named=True)] == listed["hardware"]
    assert blis.hardware().columns == list(listed["hardware"][0])
