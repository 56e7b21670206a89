"""What people install: the wheel has the shipped data and works where there is no checkout."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import blis
from blis import ahead
from blis.compiled.function import platform

ROOT = Path(blis.__file__).parent.parent


def call(*args, **kwargs):
    done = subprocess.run([sys.executable, *map(str, args)], capture_output=True, text=True, check=False, **kwargs)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    call("-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_carries_the_shipped_data(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    data = {"defaults.yaml", "hardware_config.json"}
    data |= {str(path.relative_to(ROOT)) for path in (ROOT / "model_configs").rglob("config.json")}
    assert {f"blis/_data/{name}" for name in data} <= names
    assert {"blis/py.typed", "blis/_core/entry.py"} <= names
    shipped = {name.split("/")[-1].partition(f".{platform()}.")[0] for name in names if "/shipped/" in name}
    assert shipped == {source.name for source in ahead.sources()}
    assert {name.split("/")[0] for name in names} == {"blis", f"blis-{blis.__version__}.dist-info"}


@pytest.mark.slow
def test_installed_wheel_runs_anywhere(wheel, tmp_path):
    """In a folder whose files have the names of shipped data: they must not be looked at."""
    target, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("defaults.yaml", "hardware_config.json"):
        (elsewhere / name).write_text("not: ours")
    call("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target, wheel)
    environment = os.environ | {"PYTHONPATH": str(target), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    model = "meta-llama/llama-3.1-8b-instruct"
    where = call("-c", "import blis; print(blis.__file__)", cwd=elsewhere, env=environment)
    assert Path(where.strip()).is_relative_to(target)
    out = call("-m", "blis", "run", "--model", model, cwd=elsewhere, env=environment)
    assert json.loads(out)["completed_requests"] == 100


def test_readme_names_the_command_ci_runs():
    readme = (ROOT / "README.md").read_text()
    assert readme.count("<!-- tests -->") == readme.count("<!-- /tests -->") == 1
    command = readme.split("<!-- tests -->")[1].split("<!-- /tests -->")[0]
    assert "pytest" in command.strip().splitlines()[1]
    assert "<!-- tests -->" in (ROOT / ".ci" / "run").read_text()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
