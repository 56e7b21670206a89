"""What blis lists: all there is, with the figures that are used, and the words of the documentation."""

import json
import re
from pathlib import Path

import pytest

import blis
from blis.cli.main import main
from blis.cli.options import SCENARIOS, WORKLOADS
from blis.config.catalogue.hardware import gpu, gpus
from blis.config.catalogue.models import model, model_ids, models
from blis.config.catalogue.policies import policies, policies_named
from blis.config.catalogue.workloads import workload, workloads
from blis.config.explained import EXPLAINED
from blis.config.schema import ADMISSION_POLICIES, PRIORITY_POLICIES, ROUTING_POLICIES, SCORERS, Scheduler

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


def test_a_model_is_found_by_the_last_part_of_its_id():
    assert model("Llama-3.1-8B-Instruct") == model("meta-llama/llama-3.1-8b-instruct")
    assert len(model("llama-3.1-8b-instruct")["coefficients"]) == 6


def test_every_figure_of_a_gpu_has_a_source():
    for listed in gpus():
        entry = gpu(listed["name"])
        figures = entry.keys() - {"name", "aliases", "status", "sources"}
        assert figures <= entry["sources"].keys()
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
        (["hardware"], ["H100-SXM", "3,350", "measured"]),
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
        assert row == {**entry, **usual}
    assert [dict(row) for row in blis.hardware().iter_rows(named=True)] == listed["hardware"]
    assert blis.hardware().columns == list(listed["hardware"][0])
