"""Every command of the documentation is run, every output shown compared, every flag listed."""

import importlib
import json
import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import click
import pytest
from helpers_docs import PAGES, ROOT, SITE, blocks, differs, tables

import blis
from blis.cli.main import cli
from blis.workload.convert.options import FORMATS

pytestmark = pytest.mark.usefixtures("compiled_engine")

#: What commands of pages find in their folder.
AT_HAND = ("examples", "model_configs", "hardware_config.json", "defaults.yaml")


@pytest.fixture
def shell(tmp_path):
    """Runs commands in a folder where a checkout's files are at hand; returns exit code and stdout."""
    for name in AT_HAND:
        (tmp_path / name).symlink_to(ROOT / name)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "COLUMNS": "100", "PYTHONPATH": str(ROOT)}

    def run(commands, *, code=0):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{commands}\n{done.stderr}"
        return done.stdout

    return run


#: Pages whose commands take more than a few seconds.
SLOW_PAGES = (
    *(
        "README",
        "deployments",
        "tracev2",
        "workload-spec",
        "bench",
        "calibrate",
        "capacity",
        "compare",
        "event-logs",
        "fit",
        "getting-started",
        "plan",
        "policies",
        "report",
    ),
    *("sweep", "workload-formats"),
)


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[pytest.mark.slow] * (page.stem in SLOW_PAGES), id=page.stem) for page in PAGES]
)
def test_what_a_page_shows_is_what_happens(page, shell, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": page.stem}
    for block in blocks(page):
        place = f"{page.name}:{block.line}"
        if "skip" in block.notes:
            continue
        if "file" in block.notes:
            Path(block.notes["file"]).write_text(block.body, encoding="utf-8")
        elif "output" in block.notes:
            wrong = differs(block.body, shell(block.notes["output"]))
            assert wrong is None, f"{place}: {wrong}"
        elif block.language == "bash":
            shell(block.body, code=int(block.notes.get("exit", 0)))
        elif block.language == "python":
            exec(compile(block.body, place, "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_is_run_compared_or_said_why_not(page):
    idle = [
        f"{page.name}:{block.line}"
        for block in blocks(page)
        if block.language not in {"bash", "python", "text"} and not {"skip", "file", "output"} & block.notes.keys()
    ]
    assert idle == []


def test_every_flag_and_its_default_is_listed():
    rows = [row for table in tables(ROOT / "docs" / "commands.md") for row in table if "Flag" in row]
    defaults = {}
    for row in rows:
        for flag in re.findall(r"--[\w-]+|-\w\b", row["Flag"]):
            defaults.setdefault(flag, []).append(row["Default"])
    for name, command in cli.commands.items():
        for param in command.params:
            if not isinstance(param, click.Option) or param.name == "help":
                continue
            for flag in (*param.opts, *param.secondary_opts):
                assert flag in defaults, f"blis {name} {flag}"
            if (
                isinstance(param.default, (int, float))
                and not isinstance(param.default, bool)
                and param.show_default is True
            ):
                shown = [
                    number
                    for text in defaults[param.opts[0]]
                    for number in re.findall(r"[\d.]+", text.replace(",", ""))
                ]
                assert any(float(number) == param.default for number in shown), f"blis {name} {param.opts[0]}"


def test_every_figure_of_a_run_is_explained():
    cells = " ".join(row["Key"] for table in tables(ROOT / "docs" / "output.md") for row in table if "Key" in row)
    explained = re.findall(r"[\w*]+", cells)
    summary = blis.simulate("meta-llama/llama-3.1-8b-instruct", blis.DistributionWorkload(num_requests=2)).summary
    assert [key for key in summary if not any(fnmatch(key, pattern) for pattern in explained)] == []


def test_every_format_of_traces_is_listed():
    rows = [row for table in tables(ROOT / "docs" / "workload-formats.md") for row in table if "--from" in row]
    assert {row["--from"] for row in rows} == set(FORMATS)


#: Files that the examples of CONTRIBUTING.md make.
MADE = {"latency/linear.py", "tests/test_linear.py", "convert/access_log.py", "history/0.2.0.json"}


def test_what_contributing_names_is_there():
    named = re.findall(r"`((?:blis|tests|docs|benchmarks|examples)/[\w./-]+)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert len(named) > 20
    missing = {path for path in named if not (ROOT / path).exists()}
    assert {"/".join(path.rsplit("/", 2)[-2:]) for path in missing} == MADE


def test_every_command_is_listed():
    text = (ROOT / "docs" / "commands.md").read_text()
    assert [name for name in cli.commands if f"`blis {name}`" not in text and f"`{name}`" not in text] == []


def test_every_name_of_the_package_has_its_place_in_the_api():
    listed = re.findall(r"^::: ([\w.]+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    for path in listed:
        module, _, name = path.rpartition(".")
        assert getattr(importlib.import_module(module), name).__doc__, path
    assert set(blis.__all__) - {path.rpartition(".")[2] for path in listed} == {"__version__"}


def test_every_page_is_in_the_navigation():
    import yaml

    text = re.sub(r"!!python\S+", "", (ROOT / "mkdocs.yml").read_text())
    nav = json.dumps(yaml.safe_load(text)["nav"])
    assert [page.name for page in SITE if page.name not in nav] == []
