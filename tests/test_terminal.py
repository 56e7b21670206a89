"""What blis writes to stdout and stderr: nothing that a terminal obeys, and an error where there is no stdout."""

import json
import logging
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers_cli import LLAMA
from hypothesis import given
from hypothesis import strategies as st

from blis.cli.console import log, logs_on_stderr, print_json
from blis.cli.main import main
from blis.files.printable import printable, printable_json
from blis.report.tables import pairs, render, table

#: Sets the title of the window, and makes a link; the same with characters of one byte; what turns text around.
EVIL = "a\x1b]0;owned\x07\x1b]8;;http://evil\x1b\\b\x9b31m\x7f\u202ec\rd"

FULL = Path("/dev/full")


def is_obeyed(character):
    return character not in "\t\n" and unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


@given(st.text(st.characters(codec=None)))
def test_nothing_is_left_that_a_terminal_obeys(text):
    shown = printable(text)
    assert len(shown) == len(text)
    assert not any(map(is_obeyed, shown))
    changed = {was for was, now in zip(text, shown, strict=True) if was != now}
    assert all(is_obeyed(was) or unicodedata.category(was) == "Cf" for was in changed)
    shown.encode()


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5))
def test_json_has_the_same_values(value):
    text = printable_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(text) == value
    assert not any(map(is_obeyed, text))


def test_tables():
    made = table(EVIL, EVIL, title=EVIL)
    made.add_row(EVIL, "1")
    text = render([made, pairs(EVIL, [(EVIL, EVIL)]), EVIL])
    assert "owned" in text
    assert not any(map(is_obeyed, text))


@pytest.fixture
def evil_trace(tmp_path):
    columns = {"arrival_us": np.array([0, 1000]), "input_tokens": np.array([9, 9]), "output_tokens": np.array([3, 3])}
    arrays = {name: pa.array(values) for name, values in columns.items()}
    arrays |= {"slo_class": pa.array([EVIL, "batch"]), "tenant_id": pa.array([EVIL, "b"])}
    pq.write_table(pa.table(arrays), tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


@pytest.mark.parametrize("form", ["table", "json"])
def test_runs(capsys, evil_trace, form):
    traced = ("--workload", "traces", "--workload-traces-filepath", evil_trace)
    more = ("--output", form, "--log", "trace", "--slo-targets", f"{EVIL}:100,batch:100")
    assert main(["run", *LLAMA, *map(str, (*traced, *more))]) == 0
    for text in capsys.readouterr():
        assert text
        assert not any(map(is_obeyed, text))


def test_comparisons(capsys, tmp_path, evil_trace):
    path = tmp_path / "o.parquet"
    args = ("--workload", "traces", "--workload-traces-filepath", evil_trace, "--outcomes-path", path)
    assert main(["run", *LLAMA, *map(str, args)]) == 0
    for form in ("table", "json", "markdown"):
        capsys.readouterr()
        assert main(["compare", str(path), str(path), "--output", form]) == 0
        for text in capsys.readouterr():
            assert not any(map(is_obeyed, text))


@pytest.mark.parametrize(
    "args", [("run", "--model", EVIL), ("run", EVIL), (EVIL,), ("models", EVIL), ("inspect", EVIL), ("sweep", EVIL)]
)
def test_errors_quote_without_obeying(capsys, args):
    assert main([*args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert not any(map(is_obeyed, err))
    assert err.count("\n") == 1


def test_log_lines(capsys):
    with logs_on_stderr():
        log.setLevel(logging.WARNING)
        log.warning("class %s", EVIL)
    assert not any(map(is_obeyed, capsys.readouterr().err))


def test_what_json_prints_is_what_it_holds(capsys):
    print_json({"key": EVIL})
    assert json.loads(capsys.readouterr().out) == {"key": EVIL}


def command(*args, **streams):
    """Exit code and stderr of a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-m", "blis", *args], env=environment, stderr=subprocess.PIPE, **streams)
    return done.returncode, done.stderr.decode()


def closing(number):
    return {"preexec_fn": lambda: os.close(number)}


@pytest.mark.parametrize("args", [("models",), ("--help",), ("run", *LLAMA, "--num-requests", "3")])
def test_a_closed_stdout_is_an_error(args):
    assert command(*args, **closing(1)) == (1, "blis: error: stdout: Bad file descriptor\n")


def test_so_is_one_that_cannot_be_written(tmp_path):
    (tmp_path / "empty").touch()
    with (tmp_path / "empty").open("rb") as file:
        assert command("models", stdout=file) == (1, "blis: error: stdout: Bad file descriptor\n")


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a device that is full")
@pytest.mark.parametrize("args", [("models",), ("--help",)])
def test_a_full_disk_is_told(args):
    with FULL.open("wb") as full:
        code, err = command(*args, stdout=full)
    assert (code, "No space left on device" in err, err.count("\n")) == (1, True, 1)


def test_a_reader_that_has_seen_enough_is_no_error():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        assert command("models", stdout=pipe)[1] == ""


def test_without_stderr_results_come_all_the_same(tmp_path):
    with (tmp_path / "out").open("wb") as file:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        args = [sys.executable, "-m", "blis", "run", *LLAMA, "--num-requests", "3", "--output", "json"]
        assert subprocess.run(args, env=environment, stdout=file, **closing(2)).returncode == 0
    assert '"completed_requests": 3' in (tmp_path / "out").read_text()


def test_an_encoding_without_a_character(tmp_path):
    with (tmp_path / "out").open("wb") as file:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "ascii"}
        args = [sys.executable, "-m", "blis", "models", "--output", "table"]
        assert subprocess.run(args, env=environment, stdout=file).returncode == 0
    assert (tmp_path / "out").read_bytes().startswith(b"Model")
