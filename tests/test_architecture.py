"""Who may know whom: data goes one way, and so do imports. Reading the command's help loads nothing heavy."""

import ast
import importlib
import subprocess
import sys
from collections import defaultdict
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import blis
from blis.report.answer import Answer

PACKAGE = Path(blis.__file__).parent

#: Open to all: plain names, and what translates functions for LLVM.
OPEN = ("blis._core.codes", "blis._core.jit")
#: Rooms, and the rooms each may import from.
ALLOWED = {
    "errors": "",
    "_core": "",
    "files": "errors",
    "compiled": "files",
    "workload": "errors files",
    "config": "errors files",
    "latency": "errors config compiled",
    "policies": "errors config compiled latency workload",
    "memory": "errors config",
    "config.resolve": "errors config latency memory policies",
    "config.catalogue": "errors files config latency workload",
    "simulation": "errors config compiled latency policies workload _core",
    "outcomes": "errors files config latency workload simulation",
    "report": "errors files outcomes",
    "ahead": "errors config compiled latency policies simulation",
    "api": "errors files config config.resolve workload simulation outcomes",
    "studies": "errors files config config.resolve memory policies workload simulation outcomes report api",
    "measurement": "errors files config config.resolve latency workload simulation outcomes report api",
    "cli": "errors files config config.catalogue workload outcomes report ahead api studies measurement",
    "__main__": "cli",
}
#: `Outcomes` offers its figures, pages, plots and results file as its own; imported when asked for.
SHORTCUTS = {
    ("blis.outcomes.outcomes", target)
    for target in (
        "blis.outcomes.expected_error",
        "blis.outcomes.metrics.activity",
        "blis.outcomes.metrics.network",
        "blis.outcomes.metrics.steady_state",
        "blis.outcomes.metrics.summary",
        "blis.outcomes.reading",
        "blis.report.plots",
        "blis.report.json_report",
        "blis.report.notebook",
        "blis.report.run_page",
        "blis.report.sections",
    )
}
#: What stands above its folder: it chooses among models of step time, or lists them, and they read configuration.
APART = ("config.resolve", "config.catalogue")

MODULES = {
    ".".join(("blis", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imported_modules(path):
    """All modules a file imports anywhere in it, those for type checkers included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in inner)


def room(module):
    inside = module.removeprefix("blis.")
    return next((name for name in APART if f"{inside}.".startswith(f"{name}.")), inside.split(".")[0])


@cache
def edges():
    return {
        (name, target)
        for name, path in MODULES.items()
        if name != "blis"
        for target in imported_modules(path)
        if target.startswith("blis.")
    }


def test_every_room_is_on_the_plan():
    assert {room(name) for name in MODULES if name != "blis"} == set(ALLOWED)


def test_imports_go_one_way():
    wrong = [
        f"{name} -> {target}"
        for name, target in sorted(edges() - SHORTCUTS)
        if room(target) not in {room(name), *ALLOWED[room(name)].split()} and target not in OPEN
    ]
    assert wrong == []


def test_metrics_need_no_engine_and_no_pages():
    """A Parquet file from last week gives the same figures as the run that wrote it."""
    rooms = {
        room(target)
        for name, target in edges()
        if name.startswith(("blis.outcomes.metrics", "blis.outcomes.statistics"))
    }
    assert rooms <= {"errors", "outcomes", "_core"}


def test_only_the_bridge_knows_the_engine():
    users = {name for name, target in edges() if room(target) == "_core" and target not in OPEN}
    assert {room(name) for name in users} == {"_core", "simulation"}


def test_the_engine_needs_numpy_and_numba_only():
    roots = {
        target.split(".")[0]
        for name, path in MODULES.items()
        if name.startswith("blis._core")
        for target in imported_modules(path)
    }
    assert roots - set(sys.stdlib_module_names) <= {"blis", "llvmlite", "numba", "numpy"}


HEAVY = ("numba", "polars", "pyarrow", "numpy", "yaml", "scipy", "rich", "aiohttp", "asyncio")


@pytest.mark.parametrize(
    "code",
    [
        "import blis",
        "import blis; blis.Deployment, blis.EngineOptions, blis.BlisError",
        "from blis.cli.main import main; main(['--help'])",
        "from blis.cli.main import main; main(['run', '--help'])",
        "from blis.cli.main import main; main(['run', '--no-such-flag'])",
        "from blis.cli.main import main; main(['replay', '--help'])",
        "from blis.cli.main import main; main(['report', '--help'])",
        "from blis.cli.main import main; main(['sweep', '--help'])",
        "from blis.cli.main import main; main(['observe', '--help'])",
        "from blis.cli.main import main; main(['calibrate', '--help'])",
        "from blis.cli.main import main; main(['convert', '--help'])",
        "from blis.cli.main import main; main(['inspect', '--help'])",
        "from blis.cli.main import main; main(['fit', '--help'])",
        "from blis.cli.main import main; main(['models', '--help'])",
        "from blis.cli.main import main; main(['hardware', '--help'])",
        "from blis.cli.main import main; main(['policies', '--help'])",
        "from blis.cli.main import main; main(['workloads', '--help'])",
        "from blis.cli.main import main; main(['completion', '--help'])",
        "from blis.cli.main import main; main(['capacity', '--help'])",
        "from blis.cli.main import main; main(['plan', '--help'])",
        "from blis.cli.main import main; main(['compare', '--help'])",
        "from blis.cli.main import main; main(['bench', '--help'])",
    ],
)
def test_light_paths_load_nothing_heavy(code):
    check = f"import sys; {code}; print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_every_answer_has_a_page_of_which_it_knows_nothing():
    answers = [cls for name in blis.__all__ if isinstance(cls := getattr(blis, name), type) and issubclass(cls, Answer)]
    beside = {f"{cls.__module__.rpartition('.')[0]}.page" for cls in answers}
    assert all(callable(importlib.import_module(page).page_of) for page in beside)
    assert {name for name, target in edges() if target in beside and "cli" not in name} == set()
    assert len(answers) == 7


def test_no_modules_import_each_other():
    """But for `Outcomes`, whose functions reach up to what shows them (`SHORTCUTS`)."""
    targets = defaultdict(set)
    for name, target in edges() - SHORTCUTS:
        targets[name].add(target)
    TopologicalSorter(targets).prepare()
