"""Naming a function of one's own: ``module:function`` and ``file.py:function``."""

import sys

import pytest
from helpers_policies import ask, view

from blis.config.schema import ClusterOptions
from blis.errors import ConfigError
from blis.policies.admission import admission_policy
from blis.policies.custom import load_latency_model, load_policy
from blis.policies.routing import routing_policy

SOURCE = """
import blis
from dataclasses import dataclass

LIMITS = {"a": 1}

@dataclass
class Setting:
    value: int = 2

@blis.routing_policy
def second(request, instances, state):
    return 1

def plain(request, instances, state):
    return 0

def two(a, b):
    return 1
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_are_relative_to_the_working_directory(folder):
    policy = routing_policy(ClusterOptions(routing_policy="mine.py:second"))
    assert policy.name == "second (mine.py:11)"
    assert ask(policy, view(2)) == 1


def test_modules_are_imported(folder, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    policy = admission_policy(ClusterOptions(admission_policy="mine:plain"))
    assert ask(policy, view(2)) == 0
    sys.modules.pop("mine")


def test_undecorated_functions_serve_any_seam_they_fit(folder):
    for kind in ("routing", "admission", "priority"):
        assert load_policy("mine.py:plain", kind).name == "plain (mine.py:15)"
    assert load_latency_model("mine.py:two").name == "two (mine.py:18)"


def test_a_file_that_has_changed_is_read_again(folder):
    before = load_policy("mine.py:second", "routing")
    (folder / "mine.py").write_text(SOURCE.replace("return 1", "return 0"))
    after = load_policy("mine.py:second", "routing")
    assert (ask(before, view(2)), ask(after, view(2))) == (1, 0)


@pytest.mark.parametrize(
    ("spec", "kind", "message"),
    [
        ("second", "routing", r"^routing_policy: expected module:function or file.py:function, got 'second'$"),
        ("mine.py:", "routing", r"^routing_policy: expected module:function or file.py:function, got 'mine.py:'$"),
        ("his.py:f", "admission", r"^admission_policy his.py:f: can't read his.py: No such file or directory$"),
        ("his_:f", "priority", r"^priority_policy his_:f: no module 'his_'; a file is named as file.py:function$"),
        ("mine.py:secnd", "routing", r"^routing_policy mine.py:secnd: no function 'secnd' in mine.py; did you mean 's"),
        (
            "mine.py:LIMITS",
            "routing",
            r"^routing_policy mine.py:LIMITS: expected a function, got an object of type dict",
        ),
        ("mine.py:Setting", "routing", r"expected a function, got an object of type type$"),
        (
            "mine.py:two",
            "routing",
            r"^routing_policy mine.py:two: two \(mine.py:18\): takes \(a, b\), expected \(request, instances",
        ),
        (
            "mine.py:second",
            "admission",
            r"^admission_policy mine.py:second: is decorated with @blis.routing_policy, expected @blis.admission_",
        ),
    ],
)
def test_what_can_not_be_found(folder, spec, kind, message):
    with pytest.raises(ConfigError, match=message):
        load_policy(spec, kind)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "import blis\n\nx = 1 / 0\n",
            r"^routing_policy bad.py:f: line 3 of bad.py: ZeroDivisionError: division by zero$",
        ),
        ("def f(:\n", r"^routing_policy bad.py:f: line 1 of bad.py: SyntaxError: invalid syntax$"),
        ("import not_there_\n", r"bad.py:f: line 1 of bad.py: ModuleNotFoundError: No module named 'not_there_'$"),
        ("import sys\nsys.exit()\n", r"^routing_policy bad.py:f: line 2 of bad.py: SystemExit: $"),
        ("\0", r"^routing_policy bad.py:f: SyntaxError: source code string cannot contain null bytes$"),
        ("def f(a, b, c):\n    yield 0\n", r"^routing_policy bad.py:f: f \(bad.py:1\): is a generator or coroutine, "),
        ("async def f(a, b, c):\n    return 0\n", r"f \(bad.py:1\): is a generator or coroutine, expected a functi"),
        ("x = 1\n", r"^routing_policy bad.py:f: no function 'f' in bad.py; it has no functions$"),
    ],
)
def test_what_can_not_be_loaded(folder, source, message):
    (folder / "bad.py").write_text(source)
    with pytest.raises(ConfigError, match=message):
        load_policy("bad.py:f", "routing")


def test_a_module_that_fails_names_its_line(folder, monkeypatch):
    (folder / "broken_.py").write_text("\nimport not_there_\n")
    monkeypatch.syspath_prepend(folder)
    with pytest.raises(ConfigError, match=r"broken_:f: line 2 of broken_.py: ModuleNotFoundError: No module named"):
        load_policy("broken_:f", "routing")
    (folder / "broken_.py").write_text("\n\nx = [][1]\n")
    with pytest.raises(ConfigError, match=r"broken_:f: line 3 of broken_.py: IndexError: list index out of range$"):
        load_policy("broken_:f", "routing")


def test_coefficients_that_are_none_are_refused(folder):
    with pytest.raises(ConfigError, match=r"^alpha_coeffs\[1\]: must be a number in \[0, 1e\+09\], got nan$"):
        load_latency_model("mine.py:two", (0.0, float("nan"), 0.0))
    with pytest.raises(ConfigError, match=r"^alpha_coeffs: must be 3 numbers, got 2$"):
        load_latency_model("mine.py:two", (0.0, 1.0))
    with pytest.raises(ConfigError, match=r"^two \(mine.py:18\): parameters: must be finite numbers, got inf$"):
        load_latency_model("mine.py:two", parameters=(1.0, float("inf")))
