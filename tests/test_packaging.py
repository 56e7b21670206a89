"""What people install: the wheel has the shipped data and works where there is no checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
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
    assert {name.split("/")[0] for name in names} == {"blis", "blis_sim.py", f"blis_sim-{blis.__version__}.dist-info"}


@pytest.fixture
def site(tmp_path):
    """A folder with the modules of a wheel, which takes long to make."""
    shutil.copytree(ROOT / "blis", tmp_path / "site" / "blis", ignore=shutil.ignore_patterns("__pycache__", "shipped"))
    shutil.copy(ROOT / "blis_sim.py", tmp_path / "site")
    return tmp_path / "site"


def command(*path, flags=(), args=("--version",)):
    """The command as installers make it of its entry point, with a path for Python; the process that has ended."""
    module, name = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["blis"].split(":")
    code = f"import sys; from {module} import {name}; sys.exit({name}())"
    return interpreted(*path, flags=flags, code=code, args=args)


def interpreted(*path, flags=(), code, args=()):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONSAFEPATH": "1"}
    started = [sys.executable, *flags, "-c", code, *args]
    return subprocess.run(started, env=environment, capture_output=True, text=True, check=False)


def install_namesake(folder):
    """What spaCy's package has and ours has not, and what both have."""
    (folder / "blis").mkdir(parents=True, exist_ok=True)
    (folder / "blis" / "cy.pyx").touch()
    (folder / "blis" / "__init__.py").write_text("from .cy import init\n")


def is_one_line(done, line):
    return (done.returncode, done.stdout) == (1, "") and re.fullmatch(f"blis: error: {line}.*\n", done.stderr)


def test_the_command(site):
    done = command(site)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"blis {blis.__version__}\n", "")
    assert command(site, args=["run", "--no-such-flag"]).returncode == 2


def test_a_namesake_in_the_same_folder_is_one_line(site):
    ours = (site / "blis" / "__init__.py").read_text()
    install_namesake(site)
    assert is_one_line(command(site), "spaCy's package 'blis' is installed beside blis-sim")
    (site / "blis" / "__init__.py").write_text(ours)  # the other order
    assert is_one_line(command(site), "spaCy's package 'blis' is installed beside blis-sim")
    done = interpreted(site, code="import blis")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ImportError: spaCy's package 'blis' is installed beside blis-sim")


def test_a_namesake_found_before_ours_is_one_line(site, tmp_path):
    """So it is with an editable install, which is behind all others on the path."""
    install_namesake(tmp_path / "other")
    assert is_one_line(command(tmp_path / "other", site), "spaCy's package 'blis' is installed beside blis-sim")


def test_what_a_namesake_took_away_is_one_line(site):
    (site / "blis" / "__init__.py").unlink()
    done = command(site, flags=["-S"])  # not this environment's own packages, ours among them
    assert is_one_line(done, "files of blis-sim are missing")


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


@pytest.mark.slow
def test_tests_are_called_the_same_by_all_workers():
    """Else pytest-xdist runs none of them: names may hold neither the time nor an order of hashes."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "--quiet"]
    names = []
    for seed in ("1", "2"):
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        names.append([line for line in done.stdout.splitlines() if "::" in line])
    assert len(names[0]) > 1000
    assert names[0] == names[1]
