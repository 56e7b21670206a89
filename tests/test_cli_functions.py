"""Functions of the user's own through `blis run`: step-time laws and policies, what they print, how they fail."""

import json

import pyarrow.parquet as pq
import pytest

import blis
from blis.cli.main import main

pytestmark = pytest.mark.usefixtures("compiled_engine")

FLAGS = ("--model", "m", "--total-kv-blocks", "1000", "--rate", "50", "--max-prompts", "40")
ALPHA = ("--alpha-coeffs", "100,1,10")
BETA = ("--beta-coeffs", "1000,10,1")

SOURCE = """
import math
import sys

import blis

TABLE = {}  # a global that numba can't compile


@blis.step_time(parameters=(1000.0, 10.0, 1.0))
def like_blackbox(batch, parameters):
    return parameters[0] + parameters[1] * batch.prefill_tokens + parameters[2] * batch.num_decodes


def like_blackbox_in_python(batch, parameters):
    TABLE[0] = 0
    return parameters[0] + parameters[1] * batch.prefill_tokens + parameters[2] * batch.num_decodes


def constant(batch, parameters):
    return 2000


def raises(batch, parameters):
    if batch.num_decodes > 1:
        raise ValueError("two lines:\\nmany")
    return 5000


def raises_in_python(batch, parameters):
    TABLE[0] = 0
    return raises(batch, parameters)


def negative(batch, parameters):
    return -1.0


def not_a_number(batch, parameters):
    return math.nan


def nothing(batch, parameters):
    TABLE[0] = 0


def beyond(batch, parameters):
    return parameters[7]


def leaves(batch, parameters):
    TABLE[0] = 0
    sys.exit(0)


def prints(request, instances, state):
    print("routing", request.index)
    return 0


def same_but_silent(request, instances, state):
    return 0


def one(request):
    return 0
"""


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run with FLAGS in a folder where there is a file ``mine.py``: exit code, stdout, and lines on stderr."""
    (tmp_path / "mine.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)

    def run(*args):
        code = main(["run", *FLAGS, *map(str, args)])
        out, err = capsys.readouterr()
        return code, out, err.splitlines()

    return run


def law(name):
    return "--latency-model", f"mine.py:{name}"


@pytest.mark.parametrize("name", ["like_blackbox", "like_blackbox_in_python"])
def test_coefficients_are_parameters_of_the_law(run, name):
    _, expected, _ = run(*ALPHA, *BETA)
    code, out, err = run(*law(name), *ALPHA, *BETA)
    assert (code, out) == (0, expected)
    warnings = [line for line in err if "runs as plain Python" in line]
    assert len(warnings) == (1 if name.endswith("python") else 0)
    assert run(*law(name), *ALPHA, "--beta-coeffs", "2000,10,1")[1] != expected


def test_without_coefficients_the_decorator_and_zeros_count(run):
    _, expected, _ = run("--alpha-coeffs", "0,0,0", *BETA)
    assert run(*law("like_blackbox"))[:2] == (0, expected)


def test_outcomes_say_which_law_it_was(run, tmp_path):
    run(*law("like_blackbox"), *ALPHA, "--outcomes-path", tmp_path / "o.parquet")
    metadata = json.loads(pq.read_schema(tmp_path / "o.parquet").metadata[b"blis"])
    assert metadata["latency_model"] == {
        "name": "like_blackbox (mine.py:10)",
        "origin": "mine.py:like_blackbox",
        "alpha": [100.0, 1.0, 10.0],
        "parameters": [1000.0, 10.0, 1.0],
    }
    assert blis.Outcomes.read_parquet(tmp_path / "o.parquet").summary["completed_requests"] == 40


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("raises", "raises (mine.py:24): raised ValueError: two lines: many (line 26)"),
        ("raises_in_python", "raises_in_python (mine.py:30): raised ValueError: two lines: many (line 26)"),
        ("negative", "negative (mine.py:35): returned -1.0, expected µs in [0, 1.1259e+15]"),
        ("not_a_number", "not_a_number (mine.py:39): returned nan, expected µs in [0, 1.1259e+15]"),
        ("nothing", "nothing (mine.py:43): returned None, expected µs in [0, 1.1259e+15]"),
        ("beyond", "beyond (mine.py:47): raised IndexError: index 7 is out of bounds for axis 0 with size 0 (line 48)"),
        ("leaves", "leaves (mine.py:51): raised SystemExit: 0 (line 53)"),
    ],
)
def test_laws_that_fail(run, tmp_path, name, says):
    code, out, err = run(*law(name), "--outcomes-path", tmp_path / "o.parquet", "--results-path", tmp_path / "r.json")
    assert (code, out) == (1, "")
    *warnings, error = err
    assert error.startswith("blis: error: step time ")
    assert f"{says}, on instance_0 at " in error
    assert all("runs as plain Python" in line for line in warnings)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (
            law("one"),
            "--latency-model mine.py:one: one (mine.py:65): takes (request), expected (batch, parameters)",
        ),
        (law("like_blackbx"), "--latency-model mine.py:like_blackbx: no function 'like_blackbx' in mine.py; did you "),
        ((*law("constant"), "--alpha-coeffs", "-1,0,0"), "--alpha-coeffs[0]: must be a number in [0, 1e+09], got -1.0"),
        (
            (*BETA, "--routing-policy", "mine.py:like_blackbox"),
            "--routing-policy mine.py:like_blackbox: is decorated with @blis.step_time, expected @blis.routing_policy",
        ),
        ((*BETA, "--admission-policy", "his.py:f"), "--admission-policy his.py:f: can't read his.py: No such file"),
    ],
)
def test_what_can_not_be_used_names_its_flag(run, args, says):
    code, out, (line,) = run(*args)
    assert (code, out) == (2, "")
    assert line.startswith(f"blis: error: {says}")


def test_what_policies_print_is_no_result(run, tmp_path):
    (tmp_path / "loud.py").write_text(SOURCE + "\nprint('loaded')\n")
    _, expected, _ = run(*BETA, "--routing-policy", "mine.py:same_but_silent")
    code, out, err = run(*BETA, "--routing-policy", "loud.py:prints")
    assert (code, out) == (0, expected)
    assert [line for line in err if not line.startswith("blis: ")] == ["loaded", *(f"routing {i}" for i in range(40))]


PRESSES = """
import os, signal, threading

calls = []


def route(request, instances, state):
    if not calls:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        calls.append(str(request))
    return request.index % 2
"""


def test_ctrl_c_while_a_policy_runs_as_python(capsys, tmp_path):
    """It mostly comes as the policy is entered, where Python would only print it: the run ends with what it has."""
    path = tmp_path / "presses.py"
    path.write_text(PRESSES)
    words = ["--num-instances", "2", "--max-prompts", "1000000", "--rate", "100", "--routing-policy", f"{path}:route"]
    assert main(["run", *FLAGS, *ALPHA, *BETA, *words]) == 130
    out, err = capsys.readouterr()
    assert '"interrupted": true' in out
    assert "Traceback" not in err
    assert "ignored" not in err
