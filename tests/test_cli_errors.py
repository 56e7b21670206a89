"""Wrong usage and wrong input: one clear line on stderr, nothing on stdout, exit code 2, nothing run."""

import logging

import pytest
from helpers_cli import LLAMA

from blis.cli.main import main
from blis.errors import InvariantError, SignalExit


def complaint(capsys, *args):
    """Exit code and the one line of an unsuccessful run."""
    code = main(["run", *map(str, args)])
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("blis: error: ")
    return code, lines[0]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--hardwre", "H100"), ["--hardwre", "'--hardware'", "blis run --help"]),
        (("--workload", "chatbo"), ["--workload", "'chatbo'", "did you mean 'chatbot'?"]),
        (("--scheduling-policy", "lifo"), ["--scheduling-policy", "'lifo'", "fcfs, priority"]),
        (("--log", "inf"), ["--log", "'inf'", "'info'"]),
        (("--rate", "fast"), ["--rate", "'fast'"]),
        (("--rate", 0), ["--rate", "0"]),
        (("--rate", "nan"), ["--rate", "nan"]),
        (("--max-prompts", 0), ["--max-prompts", "0"]),
        (("--num-requests", -5), ["--max-prompts", "-5"]),
        (("--prompt-tokens", 1), ["--prompt-tokens", "[2, 7000]"]),
        (("--output-tokens-stdev", -1), ["--output-tokens-stdev", "-1"]),
        (("--arrival-cv", 2), ["--arrival-cv", "gamma"]),
        (("--alpha-coeffs", "1,x,3"), ["--alpha-coeffs", "'1,x,3'"]),
        (("--alpha-coeffs", "1,inf,3"), ["--alpha-coeffs", "'1,inf,3'"]),
        (("--alpha-coeffs", "1,2"), ["--alpha-coeffs", "2"]),
        (("--workload", "traces"), ["--workload-traces-filepath"]),
        (("--hardware", "H10"), ["--hardware", "'H10'", "'H100'"]),
        (("--tp", 0), ["--tp", "0"]),
        (("--vllm-version", "new"), ["--vllm-version", "'new'", "0.8.4"]),
        (("--max-num-seqs", 0), ["--max-num-running-reqs", "[1, ", "got 0"]),
        (("--block-size-in-tokens", 0), ["--block-size-in-tokens", "[1, ", "got 0"]),
        (("--total-kv-blocks", 1), ["--total-kv-blocks", "[2, ", "got 1"]),
        (("--max-model-len", 0), ["--max-model-len", "[1, ", "got 0"]),
        (("--kv-watermark", 1.5), ["--kv-watermark", "1.5"]),
        (("--horizon", -1), ["--horizon", "-1"]),
        (("--activation-gib", 1e308), ["--activation-gib", "[0, 1e+06]", "1e+308"]),
        (("--slo-targets", "default:1e308"), ["--slo-targets", "default", "1e+308"]),
        (("--trace-output", ""), ["--trace-output", "a name"]),
        (("--horizon", 2**63), ["--horizon", str(2**63)]),
        (("--seed", -1), ["--seed", "-1"]),
        (("--gpu-memory-utilization", 0.05), ["does not fit", "tp"]),
        (("surplus",), ["surplus"]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_wrong_flags(capsys, args, says):
    code, line = complaint(capsys, *LLAMA, *args)
    assert code == 2
    for part in says:
        assert part in line


def test_the_model_is_required(capsys):
    code, line = complaint(capsys)
    assert code == 2
    assert "--model" in line


def test_unknown_model(capsys):
    code, line = complaint(capsys, "--model", "meta-llama/llama-3.1-8b-instuct", "--hardware", "H100")
    assert code == 2
    assert "llama-3.1-8b-instuct" in line


def test_unknown_command(capsys):
    assert main(["rnu"]) == 2
    assert "'rnu'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["absent.csv", "absent.parquet", "trace.txt", "folder.csv"])
def test_unreadable_traces(capsys, tmp_path, name):
    (tmp_path / "folder.csv").mkdir()
    path = tmp_path / name
    code, line = complaint(capsys, *LLAMA, "--workload", "traces", "--workload-traces-filepath", path)
    assert code == 2
    assert str(path) in line


def test_a_wrong_row_is_named(capsys, tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text(
        'arrival_time,request_id,model,prefill_tokens,decode_tokens\n0.0,a,m,"[1,2]","[3]"\n1.0,b,m,[],[3]\n'
    )
    code, line = complaint(capsys, *LLAMA, "--workload", "traces", "--workload-traces-filepath", path)
    assert code == 2
    assert f"{path}: line 3: " in line


@pytest.mark.parametrize("flag", ["--results-path", "--outcomes-path"])
def test_outputs_are_checked_before_the_run(capsys, tmp_path, monkeypatch, flag):
    monkeypatch.setattr("blis.api.prepare", None)  # would be called next
    code, line = complaint(capsys, *LLAMA, flag, tmp_path / "nowhere" / "file")
    assert (code, str(tmp_path / "nowhere") in line) == (2, True)
    code, line = complaint(capsys, *LLAMA, flag, tmp_path)
    assert (code, "is a directory" in line) == (2, True)


def test_outputs_must_not_overwrite_each_other_or_the_trace(capsys, tmp_path):
    trace = tmp_path / "t.csv"
    trace.write_text("kept")
    same = ("--results-path", tmp_path / "x", "--outcomes-path", tmp_path / "." / "x")
    assert complaint(capsys, *LLAMA, *same)[0] == 2
    args = ("--workload", "traces", "--workload-traces-filepath", trace, "--outcomes-path", trace)
    assert complaint(capsys, *LLAMA, *args)[0] == 2
    assert trace.read_text() == "kept"


def failing_prepare(error):
    def prepare(*_, **__):
        raise error

    return prepare


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InvariantError("stalled at 5 µs"), "blis: error: stalled at 5 µs"),
        (OSError(28, "No space left on device", "out.json"), "blis: error: out.json: No space left on device"),
        (
            MemoryError("5 GiB"),
            "blis: error: not enough memory: 5 GiB; fewer instances, requests or KV blocks need less",
        ),
        (ZeroDivisionError("oops"), "blis: error: unexpected ZeroDivisionError: oops (--log debug shows where)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_failed_runs_exit_with_1(capsys, monkeypatch, error, line):
    monkeypatch.setattr("blis.api.prepare", failing_prepare(error))
    assert complaint(capsys, *LLAMA) == (1, line)


def test_ctrl_c_while_loading(capsys, monkeypatch):
    monkeypatch.setattr("blis.api.prepare", failing_prepare(KeyboardInterrupt()))
    assert main(["run", *LLAMA]) == 130
    assert capsys.readouterr().err.split() == ["blis:", "error:", "interrupted"]


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (KeyboardInterrupt(), (130, "blis: error: interrupted")),
        (SignalExit(143), (143, "blis: error: terminated")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_modules_that_an_interruption_left_half_loaded_do_not_hide_it(capsys, monkeypatch, cause, expected):
    def prepare(*_, **__):
        try:
            raise cause
        finally:
            raise AttributeError("module 'polars' has no attribute 'Series'")

    monkeypatch.setattr("blis.api.prepare", prepare)
    assert complaint(capsys, *LLAMA) == expected


def test_traceback_only_when_debugging(capsys, monkeypatch):
    monkeypatch.setattr("blis.api.prepare", failing_prepare(ZeroDivisionError("oops")))
    assert main(["run", *LLAMA, "--log", "debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_logging_is_left_as_it_was(capsys):
    log = logging.getLogger("blis")
    before = (log.level, log.propagate, list(log.handlers))
    main(["run", *LLAMA, "--tp", "0", "--log", "trace"])
    capsys.readouterr()
    assert (log.level, log.propagate, list(log.handlers)) == before
