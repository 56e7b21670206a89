"""Programs read one JSON document per command: the whole of stdout, of every command that prints results."""

import json
import math
import subprocess
import sys

import click
import pytest
import yaml
from helpers_cli import LLAMA, ROUND
from helpers_docs import ROOT
from helpers_fit import measure, noisy_model, poisson
from helpers_metrics import Server
from helpers_server import serving
from helpers_sweep import BASE
from hypothesis import given
from hypothesis import strategies as st

import blis
from blis.cli.console import print_json
from blis.cli.main import cli, main
from blis.files.document import json_document

RUN = (*ROUND, "--num-requests", "40", "--rate", "20")
CHATTY = 'print("at import")\n\ndef route(request, instances, state):\n    print("asked")\n    return 0\n'
WORKLOAD = """
aggregate_rate: 20
num_requests: 40
clients:
  - {id: a, tenant_id: x, slo_class: interactive, rate_fraction: 0.5, arrival: {process: poisson}, LENGTHS}
  - {id: b, tenant_id: y, slo_class: batch, rate_fraction: 0.5, arrival: {process: poisson}, LENGTHS,
     reasoning: {multi_turn: {max_rounds: 3, think_time_us: 2000, context_growth: accumulate}}}
"""
LENGTHS = "input_distribution: {type: constant, params: {value: 10}}, "
LENGTHS += "output_distribution: {type: exponential, params: {mean: 9}}"
EVERYTHING = (
    *(*ROUND, "--workload-spec", "w.yaml", "--num-instances", "2", "--trace-level", "decisions", "--summarize-trace"),
    *("--counterfactual-k", "2", "--regret-samples", "2", "--fitness-weights", "throughput:1,p99_ttft:1"),
    *("--slo-targets", "interactive:50,batch:500"),
)
TRACE = ("--trace-header", "t.yaml", "--trace-data", "t.csv")
MEASURED = ("--trace-header", "m.yaml", "--trace-data", "m.csv")
GUESS = ("--alpha-coeffs", "0,0,0", "--beta-coeffs", "15000,10,10", "--total-kv-blocks", "100000")
NAMED = ("--model", "m", "--hardware", "H100", "--tp", "1", "--vllm-version", "0.8.4")
QUICK = ("--slo", "p99_ttft=50ms", "--num-requests", "100", "--replications", "2", "--tolerance", "0.2")

#: Ways to call each command, and the exit code if it is not 0.
CALLS = {
    "run": [
        (*RUN,),
        (*RUN, "--results-path", "r.json", "--outcomes-path", "x.parquet", "--log", "info", "--timestamps"),
        (*RUN, "--num-instances", "2", "--routing-policy", "chatty.py:route"),
        (*RUN, "--horizon", "0"),
        (*RUN, "--total-kv-blocks", "2", "--log", "trace"),
        EVERYTHING,
    ],
    "replay": [(*ROUND, *TRACE)],
    "observe": [
        ("--server-url", "URL", "--model", "m", "--num-requests", "3", "--rate", "99", "--trace-output", "OUT")
    ],
    "capacity": [
        (*ROUND, *QUICK),
        (*ROUND, *QUICK[:-2], "--for-rate", "30"),
        (*ROUND, *QUICK, "--slo", "mean_itl=1us"),
    ],
    "plan": [("plan.yaml", "--jobs", "1")],
    "memory": [
        ("--model", "llama-3.1-8b-instruct", "--hardware", "H100", "--tp", "1"),
        ("--model", "llama-3.1-70b-instruct", "--hardware", "H100", "--tp", "1", "--log", "info"),
        ("--model", "gpt-oss-120b", "--hardware", "H100", "--report", "memory.html"),
    ],
    "sweep": [
        ("sweep.yaml", "--dry-run"),
        ("sweep.yaml", "--outcomes-path", "s.parquet", "--jobs", "1"),
        ("sweep.yaml", "--outcomes-path", "s.parquet", "--jobs", "1", "--report", "s.html"),
    ],
    "compare": [
        ("a.parquet", "b.parquet"),
        ("a.json", "a.parquet"),
        (1, "a.parquet", "b.parquet", "--fail-on", "p99_e2e>-99%"),
    ],
    "bench": [("bench.yaml", "--update"), ("bench.yaml",), (1, "bench.yaml", "--golden", "old.json")],
    "calibrate": [
        (*TRACE, "--sim-outcomes", "a.parquet", "--report", "c.json"),
        ("--server-metrics", "metrics", "--sim-outcomes", "a.parquet"),
    ],
    "fit": [(*MEASURED, *GUESS, *NAMED, "--export", "f.yaml")],
    "convert": [
        ("azure.csv", "c.parquet", "--on-bad-row", "skip"),
        ("azure.csv", "c.yaml", "--on-bad-row", "skip", "--quiet"),
    ],
    "inspect": [("azure.csv", "--on-bad-row", "skip"), ("t.yaml",), ("one.csv",), ("metrics",)],
    "models": [(), ("llama-3.1-8b-instruct",)],
    "hardware": [(), ("H100",)],
    "policies": [(), ("weighted",)],
    "workloads": [(), ("mixed-slo",)],
    "compile": [()],
}
#: Commands that print no results.
WITHOUT = {
    "report": "writes a page, and prints nothing",
    "completion": "prints a script that a shell reads",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with all that these calls read."""
    folder = tmp_path_factory.mktemp("documents")
    azure = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,374,44\n2023-11-16 18:15:50.95,396,109\n"
    (folder / "azure.csv").write_text(azure + "2023-11-16 18:15:51.95,39,x\n")
    (folder / "one.csv").write_text(azure[: azure.index("2023-11-16 18:15:50")])
    (folder / "chatty.py").write_text(CHATTY)
    (folder / "w.yaml").write_text(WORKLOAD.replace("LENGTHS", LENGTHS))
    base = {name: value for name, value in BASE.items() if name != "num_requests"}
    plan = {"base": {**base, "tp": 1}, "slos": ["p99_ttft=300ms"], "prices": {"fast": 5}, "num_requests": 100}
    plan |= {"deployments": [{"hardware": "fast"}], "replications": 2}
    sweep = {"base": {"num_requests": 5, "model": LLAMA[1]}, "grid": {"tp": [1, 64]}}
    chatty = {"base": {**BASE, "routing_policy": "chatty.py:route"}, "grid": {"rate": [5, 10]}}
    bench = {"base": BASE, "runs": {"a": {"rate": 5}}}
    for name, content in (("plan", plan), ("sweep", sweep), ("bench", bench), ("chatty", chatty)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    (folder / "old.yaml").write_text(yaml.safe_dump({"base": BASE, "runs": {"a": {"rate": 6}}}))
    assert main(["bench", str(folder / "old.yaml"), "--golden", str(folder / "old.json"), "--update"]) == 0
    for name, *more in (("a", "--trace-output", folder / "t", "--results-path", folder / "a.json"), ("b", "--seed", 7)):
        assert main(["run", *RUN, "--outcomes-path", str(folder / f"{name}.parquet"), *map(str, more)]) == 0
    measure(folder / "m", poisson(1, 60, 5), noisy_model((5_000, 2), (9_000, 30, 60), 0.05))
    server = Server()
    for row in blis.Outcomes.read_parquet(folder / "a.parquet").requests.iter_rows(named=True):
        seconds = (row["ttft_us"] / 1e6, row["e2e_us"] / 1e6)
        server.serve(*seconds, prompt=row["input_tokens"], output=row["produced_tokens"])
    server.write(folder / "metrics")
    return folder


def document(text):
    """What a text holds that is one JSON document, as RFC 8259 has them: without NaN and infinities."""

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def leaves(group=cli, path=()):
    """Names of all commands, also of those within groups."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield " ".join((*path, name))


def test_every_command_is_among_them():
    assert sorted(leaves()) == sorted([*CALLS, *WITHOUT])


CALLED = [
    pytest.param(name, words, id=f"{name}-{place}") for name, each in CALLS.items() for place, words in enumerate(each)
]


@pytest.fixture(scope="module")
def url():
    with serving() as server:
        yield server.url


@pytest.fixture
def call(capsys, tmp_path, folder, url, monkeypatch):
    """Makes a call, whose exit code has to be the one that is expected; gives its stdout."""
    monkeypatch.chdir(folder)
    filled = {"URL": url, "OUT": str(tmp_path / "observed")}

    def call(name, words, *more):
        code, words = (words[0], words[1:]) if words and isinstance(words[0], int) else (0, words)
        capsys.readouterr()
        found = main([*name.split(), *(filled.get(word, word) for word in words), *more])
        out, err = capsys.readouterr()
        assert found == code, err
        return out

    return call


@pytest.mark.parametrize(("name", "words"), CALLED)
def test_stdout_is_one_document(call, monkeypatch, name, words):
    assert document(call(name, words))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert document(call(name, words, "--output", "json"))


@pytest.mark.parametrize("name", CALLS)
def test_a_terminal_gets_no_json(call, monkeypatch, name):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    out = call(name, CALLS[name][0])
    assert out.strip()
    with pytest.raises(json.JSONDecodeError):
        json.loads(out)


def test_copies_of_the_process_print_nothing(folder, tmp_path):
    words = (
        "sweep",
        "chatty.yaml",
        "--jobs",
        "2",
        "--executor",
        "processes",
        "--outcomes-path",
        tmp_path / "s.parquet",
    )
    done = subprocess.run(
        [sys.executable, "-m", "blis", *words], cwd=folder, capture_output=True, text=True, check=True
    )
    assert document(done.stdout)["ok"] == 2
    assert "asked" in done.stderr


@pytest.mark.parametrize("name", WITHOUT)
def test_commands_without_results_have_no_form(name):
    assert "output" not in {param.name for param in cli.commands[name].params}


def test_a_page_alone_prints_nothing(call):
    assert call("report", ("a.parquet", "-o", "a.html")) == ""


def test_a_results_file_is_the_document_and_all_requests(call, tmp_path):
    printed = document(call("run", EVERYTHING, "--results-path", str(tmp_path / "r.json")))
    written = document((tmp_path / "r.json").read_text())
    assert len(written.pop("requests")) == printed["injected_requests"]
    assert list(written) == list(printed)
    assert written == printed


#: Keys under which stand names of the user's own, or names that say themselves what they are.
NAMES = ("slo_classes", "components", "target_distribution")


def keys(values):
    """All keys of the document of a run that have a meaning of their own."""
    for key, value in values.items():
        yield key
        for inner in value.values() if key in NAMES else [value]:
            yield from keys(inner) if isinstance(inner, dict) else ()


def test_the_pages_on_output_name_every_key(call):
    pages = "".join((ROOT / "docs" / f"{page}.md").read_text() for page in ("output", "decision-traces"))
    printed = document(call("run", EVERYTHING))
    missing = [
        name for name in keys(printed) if f"`{name}`" not in pages and f"`{name.rsplit('_', 2)[0]}_*_ms`" not in pages
    ]
    assert missing == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1", "ascii"])
def test_names_survive_whatever_stdout_can_write(tmp_path, monkeypatch, encoding):
    names = {"é": "€", "è": "\U0001f600"}
    with (tmp_path / "out").open("w", encoding=encoding) as file, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", file)
        print_json(names)
    assert document((tmp_path / "out").read_text(encoding)) == names


numbers = st.floats() | st.integers()
plain = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def known(values):
    """The same by hand."""
    match values:
        case float() if math.isnan(values) or math.isinf(values):
            return None
        case list() | tuple():
            return [*map(known, values)]
        case dict():
            return dict(zip(values, map(known, values.values()), strict=True))
        case _:
            return values


@given(plain, st.booleans())
def test_what_is_no_number_is_null_and_all_else_as_it_was(values, ascii_only):
    text = json_document(values, ascii_only=ascii_only)
    assert document(text) == known(values)
    assert text.isascii() or not ascii_only
