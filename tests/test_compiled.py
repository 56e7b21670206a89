"""Machine code: compiled once, kept for the next process, and never run if it might be that of something else."""

import ctypes
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import pytest

import blis
from blis import ahead
from blis._core.codes import RAISED
from blis.cli.main import main
from blis.compiled import function, store
from blis.compiled.store import MachineCode
from blis.config.schema import ADMISSION_POLICIES, ROUTING_POLICIES
from blis.files import kept

CHECKOUT = Path(blis.__file__).parents[1]
CODE = MachineCode("door", ("memset",), bytes(range(256)))
#: The default, but said: what comes with the package was made without anything said.
NOTHING_SHIPPED = {"NUMBA_OPT": "3"}
RUN = ("run", "--model", "meta-llama/llama-3.1-8b-instruct", "--max-prompts", "20")

compiled_only = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.py"
    path.write_text("1")
    return path


def signature():
    return numba.types.int64(numba.types.int64, numba.types.CPointer(numba.types.float64))


def compiled(made, source, body="return int(numbers[0]) // x"):
    def make():
        made.append(body)
        names = {}
        exec(f"def law(x, numbers):\n    {body}", names)
        return names["law"]

    return function.compiled(function.Source(make, "law", (source,), signature))


def ask(law, x):
    number = ctypes.c_double(42.0)
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.POINTER(ctypes.c_double))
    return kind(law.address)(x, ctypes.byref(number))


@compiled_only
def test_what_was_compiled_is_found_by_the_next(place, source):
    made = []
    first, second = (compiled(made, source) for _ in range(2))
    assert (first.is_stored, second.is_stored) == (False, True)
    assert [ask(law, 5) for law in (first, second)] == [8, 8]
    assert len(made) == 1


@compiled_only
def test_an_edit_is_compiled_and_takes_the_place_of_what_was(place, source):
    made = []
    compiled(made, source)
    source.write_text("2")
    assert ask(compiled(made, source, "return x + int(numbers[0])"), 5) == 47
    assert ask(compiled(made, source), 5) == 47
    assert len(list(place.iterdir())) == 1


@compiled_only
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: bytes([data[0] ^ 1]) + data[1:],
        lambda data: data.replace(b"blis_door", b"blis_roof"),
        lambda data: b"not ours",
    ],
)
def test_a_damaged_file_is_the_same_as_none_and_is_replaced(place, source, damage):
    made = []
    compiled(made, source)
    (path,) = place.iterdir()
    good = path.read_bytes()
    path.write_bytes(damage(good))
    assert ask(compiled(made, source), 5) == 8
    assert len(made) == 2
    assert compiled(made, source).is_stored


@compiled_only
def test_code_that_needs_what_this_process_lacks_is_compiled_anew(place, source):
    """Loaded, it would end the process."""
    made = []
    compiled(made, source)
    key = store.key_of("law", [source], function.platform())
    store.write(key, MachineCode("blis_door", ("nobody_has_this",), store.read(key).code))
    assert ask(compiled(made, source), 5) == 8
    assert len(made) == 2


@compiled_only
def test_without_a_place_it_is_compiled_in_each_process(tmp_path, source, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "kept"))
    made = []
    assert [ask(compiled(made, source), 5) for _ in range(2)] == [8, 8]
    assert len(made) == 2


@compiled_only
def test_an_exception_is_told(place, source):
    law = compiled([], source, "if x == 0: raise ValueError('zero')\n    return x")
    assert [ask(law, x) for x in (0, 5)] == [RAISED, 5]


def test_the_second_place_is_used_where_the_package_is_read_only(tmp_path, source, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(kept, "_PACKAGE", source)  # a file: there can be no folder in it
    key = store.key_of("f", [source], "here")
    store.write(key, CODE)
    assert [path.name for path in (tmp_path / "user" / "blis").iterdir()] == [key.file_name]
    assert store.read(key) == CODE


def test_everything_that_matters_is_in_the_key(tmp_path, source, monkeypatch):
    before = store.key_of("f", [source], "here")
    assert store.key_of("f", [source], "here") == before
    others = [store.key_of("g", [source], "here"), store.key_of("f", [source], "there")]
    monkeypatch.setenv("NUMBA_BOUNDSCHECK", "1")
    others.append(store.key_of("f", [source], "here"))
    monkeypatch.delenv("NUMBA_BOUNDSCHECK")
    monkeypatch.setattr(store.sys, "version", "3.99")
    others.append(store.key_of("f", [source], "here"))
    monkeypatch.undo()
    (tmp_path / "_version.py").touch()
    monkeypatch.setattr(store, "_files_of_numba", lambda: [tmp_path / "_version.py"])
    others.append(store.key_of("f", [source], "here"))
    monkeypatch.undo()
    assert len({each.digest for each in (before, *others)}) == 6
    source.write_text("2")
    edited = store.key_of("f", [source], "here")
    assert edited.file_name == before.file_name
    assert edited.digest != before.digest


def test_numbas_version_is_in_one_of_its_files():
    (path,) = store._files_of_numba()
    assert numba.__version__ in path.read_text()


@pytest.mark.slow
def test_many_processes_may_write_and_read_at_once(place, source):
    code = f"""
from pathlib import Path
from blis.compiled import store
key = store.key_of("f", [Path({str(source)!r})], "here")
code = store.MachineCode("door", ("memset",), bytes(2**18))
for _ in range(100):
    store.write(key, code)
    assert store.read(key) == code
"""
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(run_process, [code] * 4)) == {""}
    assert len(list(place.iterdir())) == 1


def test_plain_python_where_nothing_is_to_be_compiled(source, monkeypatch):
    monkeypatch.setattr(function, "is_interpreted", lambda: True)
    assert compiled([], source, "return x + 1")(4, None) == 5


def run_process(code, **environment):
    variables = os.environ | {"PYTHONPATH": str(CHECKOUT)} | environment
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@compiled_only
@pytest.mark.parametrize(
    "more",
    [
        (),
        ("--latency-model", "roofline", "--hardware", "H100", "--tp", "1"),
        ("--num-instances", "4", "--routing-policy", "weighted", "--admission-policy", "token-bucket"),
    ],
)
@pytest.mark.slow
def test_a_warm_run_imports_no_compiler_and_no_scipy(more):
    """And its results are those of the run that compiled."""
    code = f"import sys; from blis.cli.main import main; main({[*RUN, *more]!r})"
    heavy = ("numba", "scipy", "polars", "pyarrow")
    first = run_process(code)
    again = run_process(f"{code}; print([name for name in {heavy} if name in sys.modules])")
    assert again == first + "[]\n"


@pytest.mark.slow
def test_compiled_loaded_and_interpreted_give_the_same_bytes(tmp_path):
    code = f"from blis.cli.main import main; main({list(RUN)!r})"
    kept = {"NUMBA_CACHE_DIR": str(tmp_path)} | NOTHING_SHIPPED
    compiled_, loaded = (run_process(code, **kept, NUMBA_DISABLE_JIT="0") for _ in range(2))
    assert json.loads(compiled_)["completed_requests"] == 20
    assert compiled_ == loaded == run_process(code, NUMBA_DISABLE_JIT="1")


def test_a_law_can_be_asked_in_a_process_that_compiled_nothing():
    """numba learns of functions as arguments from a module that only compiling an engine would import."""
    script = """
import numpy as np
from blis.latency.blackbox import blackbox_model
from blis.latency.law import step_durations_us
model = blackbox_model((0, 0, 0), (1000, 10, 1))
print(step_durations_us(model, np.array([[5, 2, 0, 0, 0, 0, 0]])).tolist())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[1052]\n"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """A package with code for this machine, in a process's path of its own."""
    root = tmp_path_factory.mktemp("package")
    shutil.copytree(CHECKOUT / "blis", root / "blis", ignore=shutil.ignore_patterns("__pycache__", "shipped"))
    for name in ("defaults.yaml", "hardware_config.json", "model_configs"):
        (root / name).symlink_to(CHECKOUT / name)
    code = "from blis.ahead import ship; ship()"
    subprocess.run([sys.executable, "-c", code], cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, check=True)
    assert len(list((root / "blis" / "compiled" / "shipped").iterdir())) == len(list(ahead.sources()))
    return root


def first_run(root, folder, **environment):
    code = f"""
import sys
from blis.cli.main import main
main({list(RUN)!r})
print("numba" in sys.modules, file=sys.stderr)
"""
    variables = os.environ | {"PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(folder)} | environment
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True, check=True)
    return done.stdout, done.stderr.splitlines()


@compiled_only
@pytest.mark.slow
def test_a_package_with_its_code_needs_no_compiler(shipped, tmp_path):
    out, told = first_run(shipped, tmp_path / "kept")
    assert told == ["False"]
    assert not (tmp_path / "kept").exists()
    assert out == first_run(CHECKOUT, tmp_path / "own", **NOTHING_SHIPPED)[0]


@compiled_only
@pytest.mark.slow
@pytest.mark.parametrize("why", ["edited", "another kind of machine", "damaged"])
def test_code_of_something_else_is_not_run(shipped, tmp_path, why):
    root = tmp_path / "package"
    shutil.copytree(shipped, root, symlinks=True)
    (engine,) = (root / "blis" / "compiled" / "shipped").glob("engine.*")
    if why == "edited":
        with (root / "blis" / "_core" / "entry.py").open("a") as file:
            file.write("# an edit\n")
    elif why == "damaged":
        engine.write_bytes(engine.read_bytes()[:-1] + b"?")
    else:
        engine.rename(engine.with_name("engine.m68k-unknown-linux-gnu.code"))
    out, told = first_run(root, tmp_path / "kept")
    assert "compiling the engine" in told[0]
    assert json.loads(out)["completed_requests"] == 20


@compiled_only
@pytest.mark.slow
def test_compile_leaves_nothing_for_the_first_run(tmp_path):
    kept = {"NUMBA_CACHE_DIR": str(tmp_path)} | NOTHING_SHIPPED
    code = "from blis.cli.main import main; main(['compile', '--output', 'json'])"
    names = [source.name for source in ahead.sources()]
    assert json.loads(run_process(code, **kept)) == dict.fromkeys(names, "compiled")
    assert json.loads(run_process(code, **kept)) == dict.fromkeys(names, "was there")
    assert first_run(CHECKOUT, tmp_path, **NOTHING_SHIPPED)[1] == ["False"]


def test_every_built_in_function_is_compiled_ahead():
    names = {source.name for source in ahead.sources()}
    assert {f"routing.{name}" for name in ROUTING_POLICIES} | {
        f"admission.{name}" for name in ADMISSION_POLICIES
    } < names
    assert {"engine"} | {f"blis.latency.{law}._step_time_us" for law in ("blackbox", "roofline")} < names


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"NUMBA_DISABLE_JIT": "1"}, "nothing is to be compiled"),
        ({"NUMBA_CACHE_DIR": "/dev/null/kept"}, "cannot be kept"),
    ],
)
def test_compile_says_when_it_is_for_nothing(environment, said, monkeypatch, capsys):
    monkeypatch.setattr(
        ahead, "sources", lambda: iter([function.Source(lambda: abs, "a", (Path(__file__),), signature)])
    )
    monkeypatch.setattr(function, "machine_code", lambda source: CODE)
    monkeypatch.setattr(function, "loaded", lambda code, is_stored: function.CompiledFunction(0, is_stored, None))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(ahead, "is_interpreted", lambda: "NUMBA_DISABLE_JIT" in environment)
    assert main(["compile"]) in (1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err


def test_one_key_for_all_versions_of_numba_and_python(source, monkeypatch):
    before = store.shipped_key_of("f", [source], "here")
    monkeypatch.setattr(store.sys, "version", "3.99")
    monkeypatch.setattr(store, "_files_of_numba", list)
    assert store.shipped_key_of("f", [source], "here") == before
    monkeypatch.setenv("NUMBA_BOUNDSCHECK", "1")
    assert store.shipped_key_of("f", [source], "here").digest != before.digest
