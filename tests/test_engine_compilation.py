"""How the engine is compiled: once per kernel, once per machine, and without a cache if there is no place."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

import blis
from blis._core import codes, functions, jit
from blis.config.schema import EngineConfig
from blis.latency.blackbox import blackbox_model
from blis.latency.law import step_time_signature
from blis.policies.policy import decision_signature, priority_signature
from blis.simulation import Run
from blis.workload.requests import RequestTable

CORE = Path(blis.__file__).parent / "_core"
CHECKOUT = CORE.parent.parent

#: Runs a tiny simulation, prints how the engine came to be and what each kernel was compiled for.
SCRIPT = """
import importlib, json
import numpy as np
from blis._core import entry
NAMES = "admission allocation batch block_pool closed_loop cluster event_queue instance prefix_table recorder"
NAMES += " results router running view waiting_queue"
from blis.config.schema import EngineConfig
from blis.latency.blackbox import blackbox_model
from blis.simulation import run_engine
from blis.workload.requests import RequestTable
table = RequestTable(np.array([0]), np.array([100]), np.array([20]))
result = run_engine(table, EngineConfig(total_kv_blocks=100), blackbox_model((0, 0, 0), (1000, 1, 1)))
doors = (entry.open_instance, entry.run)
signatures = {}
for name in NAMES.split():
    module = importlib.import_module("blis._core." + name)
    for kernel in vars(module).values():
        if hasattr(kernel, "signatures"):
            signatures[kernel.py_func.__module__ + "." + kernel.py_func.__name__] = len(kernel.signatures)
print(json.dumps({
    "finished_us": result.finished_us.tolist(),
    "hits": sum(sum(door.dispatcher.stats.cache_hits.values()) for door in doors),
    "misses": sum(sum(door.dispatcher.stats.cache_misses.values()) for door in doors),
    "signatures": signatures,
}))
"""


def run_script(cache_dir: Path) -> dict:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache_dir), "PYTHONPATH": str(CHECKOUT)}
    environment.pop("NUMBA_DISABLE_JIT", None)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_compiled_once_and_cached(tmp_path):
    first = run_script(tmp_path)
    assert (first["hits"], first["misses"]) == (0, 2)
    assert len(first["signatures"]) > 40
    assert {name: count for name, count in first["signatures"].items() if count != 1} == {}
    files = sorted(path.name for path in tmp_path.rglob("*.nb*"))
    second = run_script(tmp_path)
    assert (second["hits"], second["misses"]) == (2, 0)
    assert second["finished_us"] == first["finished_us"]
    assert sorted(path.name for path in tmp_path.rglob("*.nb*")) == files


def test_no_place_for_a_cache_is_not_fatal(monkeypatch):
    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return numba.njit(**options)

    def bind(digest):
        def double(x):
            digest  # noqa: B018
            return 2 * x

        return double

    monkeypatch.setattr(jit, "njit", njit)
    assert jit.compiled_entry(bind)(21) == 42


def test_the_core_stays_small():
    """Compile time is proportional to kernel lines."""
    lines = 0
    for path in CORE.glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and path.name not in ("jit.py", "entry.py", "functions.py"):
                text = ast.unparse(node.body[1:] if ast.get_docstring(node) else node.body)  # type: ignore[arg-type]
                lines += len(text.splitlines())
    assert lines < 1_200


def test_arrays_are_in_the_order_of_the_structs():
    """Python hands over tuples; the jitclasses name their elements by position."""
    table = RequestTable(np.array([0]), np.array([1]), np.array([1]))
    run = Run(table, EngineConfig(total_kv_blocks=10), blackbox_model((0, 0, 0), (1, 1, 1)))
    structs = {node.name: node for node in ast.parse((CORE / "state.py").read_text()).body if hasattr(node, "name")}
    columns = {
        "Requests": run._requests,
        "View": run._view,
        "Instance": run._instances,
        "WaitingQueue": run._queues,
        "BlockPool": run._pools,
        "Batch": run._batches,
        "Recorder": run._recorders,
        "Snapshots": run._snapshots,
        "PrefixTable": run._prefixes,
        "DecisionLog": run._decision_log,
        "Cluster": run._cluster,
    }
    for name, arrays in columns.items():
        fields = [(f.target.id, ast.unparse(f.annotation)) for f in structs[name].body if isinstance(f, ast.AnnAssign)]
        fields = [(field, kind) for field, kind in fields if kind not in structs]  # structs are made in the entry
        assert [field for field, _ in fields] == list(arrays)
        assert [kind.split("[")[0] for _, kind in fields] == [
            str(getattr(value, "dtype", "int64")) for value in arrays.values()
        ]
    assert len(run._limits) == sum(isinstance(node, ast.AnnAssign) for node in structs["Limits"].body)
    assert codes.NONE == -1


def test_the_cache_key_covers_every_file_of_the_core(tmp_path, monkeypatch):
    for path in CORE.glob("*.py"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(jit, "__file__", str(tmp_path / "jit.py"))
    before = jit.source_digest()
    (tmp_path / "batch.py").write_text("changed")
    assert jit.source_digest() != before


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
@pytest.mark.parametrize(
    ("function_at", "signature"),
    [
        (functions.step_time_at, step_time_signature()),
        (functions.decision_at, decision_signature()),
        (functions.priority_at, priority_signature()),
    ],
)
def test_functions_are_called_as_they_are_compiled(function_at, signature):
    """An address has no type: the engine takes it for granted that laws and policies are compiled for the same one."""

    def called(address):
        return function_at(address)

    compiled = numba.njit(called)
    compiled.compile((numba.types.int64,))
    assert compiled.overloads[(numba.types.int64,)].signature.return_type == numba.types.FunctionType(signature)
