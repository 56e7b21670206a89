"""How the engine is compiled: once per kernel, once per machine, and without a cache if there is no place."""

from __future__ import annotations

import ast
import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from numba import float64, int8, int32, int64
from test_compiled import NOTHING_SHIPPED

import blis
from blis._core import codes, handles, layout
from blis.compiled.compiler import machine_code
from blis.compiled.function import loaded
from blis.config.schema import EngineConfig
from blis.latency.blackbox import blackbox_model
from blis.simulation import Run
from blis.workload.requests import RequestTable

CORE = Path(blis.__file__).parent / "_core"
CHECKOUT = CORE.parent.parent
NO_KERNELS = ("jit.py", "entry.py", "functions.py", "layout.py", "columns.py", "handles.py")
#: Kernels that an engine that plans ahead does not need.
ONLY_WHERE_RESULTS_ARE_WAITED_FOR = ("instance.advance", "instance.begin_step", "instance.end_step", "instance.fly")
ONLY_WHERE_RESULTS_ARE_WAITED_FOR += (
    "instance.sprint",
    "results.collect_results",
    "results.finish",
    "results.give_token",
)

#: Runs a tiny simulation, prints how the engine came to be and what each kernel was compiled for.
SCRIPT = """
import importlib, json, sys
import numpy as np
from blis.config.schema import EngineConfig
from blis.latency.blackbox import blackbox_model
from blis.simulation import native, run_engine
from blis.workload.requests import RequestTable
NAMES = "admission ahead allocation batch block_pool closed_loop cluster event_queue flights instance prefix_table"
NAMES += " recorder results router running view waiting_queue"
ahead = sys.argv[1] == "ahead"
table = RequestTable(np.array([0]), np.array([100]), np.array([20]))
model = blackbox_model((0, 0, 0), (1000, 1, 1))
result = run_engine(table, EngineConfig(total_kv_blocks=100, async_scheduling=ahead), model)
imported = "numba" in sys.modules
signatures = {}
for name in NAMES.split() if imported else ():
    module = importlib.import_module("blis._core." + name)
    for kernel in vars(module).values():
        if hasattr(kernel, "signatures"):
            signatures[kernel.py_func.__module__ + "." + kernel.py_func.__name__] = len(kernel.signatures)
print(json.dumps({
    "finished_us": result.finished_us.tolist(),
    "is_stored": native.load(ahead).is_stored,
    "imported": imported,
    "signatures": signatures,
}))
"""


def run_script(cache_dir: Path, which: str) -> dict:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache_dir), "PYTHONPATH": str(CHECKOUT)} | NOTHING_SHIPPED
    environment.pop("NUMBA_DISABLE_JIT", None)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, which], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["waiting", "ahead"])
def test_compiled_once_and_kept(tmp_path, which):
    first = run_script(tmp_path, which)
    assert not first["is_stored"]
    assert len(first["signatures"]) > 40
    unused = {name for name, count in first["signatures"].items() if count == 0}
    assert {name for name, count in first["signatures"].items() if count > 1} == set()
    if which == "waiting":  # of what is only for the others nothing is compiled
        assert unused >= {
            name for name in first["signatures"] if name.startswith(("blis._core.ahead", "blis._core.flights"))
        }
    else:
        assert unused == {f"blis._core.{name}" for name in ONLY_WHERE_RESULTS_ARE_WAITED_FOR}
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(files) == 4  # the engine, a law, two policies
    second = run_script(tmp_path, which)
    assert second["is_stored"]
    assert not second["imported"]
    assert second["finished_us"] == first["finished_us"]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files


@pytest.mark.parametrize(("others", "most"), [(("ahead.py", "flights.py"), 1_360), (("results.py",), 1_660)])
def test_each_engine_stays_small(others, most):
    """Compile time is proportional to kernel lines."""
    lines = 0
    for path in CORE.glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and path.name not in (*NO_KERNELS, *others):
                text = ast.unparse(node.body[1:] if ast.get_docstring(node) else node.body)  # type: ignore[arg-type]
                lines += len(text.splitlines())
    assert lines < most


def test_arrays_are_in_the_order_of_the_structs():
    """Python hands over tuples; the jitclasses name their elements by position."""
    table = RequestTable(np.array([0]), np.array([1]), np.array([1]))
    run = Run(table, EngineConfig(total_kv_blocks=10, async_scheduling=True), blackbox_model((0, 0, 0), (1, 1, 1)))
    nodes = [node for name in ("state.py", "flight_state.py") for node in ast.parse((CORE / name).read_text()).body]
    structs = {node.name: node for node in nodes if hasattr(node, "name")}
    columns = {
        "Limits": run._limits,
        "Requests": run._requests,
        "View": run._view,
        "Instance": run._instances,
        "WaitingQueue": run._queues,
        "BlockPool": run._pools,
        "Batch": run._batches,
        "Recorder": run._recorders,
        "Flights": run._flights,
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
    assert codes.NONE == -1


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_compiled_code_reads_what_python_has_laid_out():
    """Every kind of field, each behind others of another length; and writes."""

    class Inner:
        number: int64
        bytes: int8[::1]

    class Outer:
        small: int32[::1]
        number: int64
        table: float64[:, ::1]
        inner: Inner
        cube: int64[:, :, ::1]
        last: int64

    outer_at = handles.struct_at(Outer, {"Inner": Inner})

    def read(address, out):
        outer = outer_at(address)
        table, cube, inner = outer.table, outer.cube, outer.inner
        out[0], out[1], out[2] = outer.number, outer.last, outer.small[1]
        out[3], out[4] = table[1, 2], len(outer.small)
        out[5], out[6] = table.shape[0], table.shape[1]
        out[7], out[8], out[9] = inner.number, inner.bytes[len(inner.bytes) - 1], cube[1, 2, 3]
        row = cube[1]
        out[10], out[11] = row[2, 1], row.shape[1]
        cube[0, 1], cube[0][2] = -1, -2
        cube[0, 0, 3] = outer.small[0]
        table[0, 1] += 1
        return int64(0)

    table, cube = np.arange(6.0).reshape(2, 3), np.arange(24).reshape(2, 3, 4)
    inner = layout.struct_of(Inner, {"number": 7, "bytes": np.array([1, 2, 3], np.int8)})
    small = np.array([4, 5, 6, 7], np.int32)
    outer = layout.struct_of(
        Outer, {"small": small, "number": 8, "table": table, "inner": inner, "cube": cube, "last": 9}
    )
    out = np.zeros(12, np.int64)
    code = machine_code(read, numba.types.int64(numba.types.int64, numba.types.CPointer(numba.types.int64)))
    function = loaded(code, is_stored=False)
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
    assert kind(function.address)(layout.address_of(outer.words), layout.address_of(out)) == 0
    assert cube[0].tolist() == [[0, 1, 2, 4], [-1] * 4, [-2] * 4]
    assert table.tolist() == [[0, 2, 2], [3, 4, 5]]
    assert out.tolist() == [8, 9, 5, 5, 4, 2, 3, 7, 3, 23, 21, 4]
