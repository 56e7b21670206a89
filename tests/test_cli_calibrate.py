"""`blis calibrate` as people use it: what it prints and writes, wrong input, a round trip from a run."""

import json
import sys

import pytest
from helpers_calibration import measured, simulated, steady, write_trace
from helpers_cli import ROUND

from blis.cli.main import main


@pytest.fixture
def files(tmp_path):
    """Flags for a measured trace, and for its simulation, which takes a tenth longer."""
    trace = write_trace(tmp_path, measured(*steady()), warm_up_requests=5, network={"measured_rtt_ms": 1})
    simulated(*steady(factor=1.1)).write_parquet(tmp_path / "o.parquet")
    paths = (trace.header, trace.data, tmp_path / "o.parquet")
    return dict(zip(("--trace-header", "--trace-data", "--sim-outcomes"), paths, strict=True))


@pytest.fixture
def calibrate(capsys):
    """Exit code, stdout, and lines on stderr."""

    def calibrate(files, *args):
        flags = [str(part) for pair in files.items() for part in pair]
        code = main(["calibrate", *flags, *map(str, args)])
        out, err = capsys.readouterr()
        return code, out, err.splitlines()

    return calibrate


def test_json_on_stdout_and_the_same_as_a_file(calibrate, files, tmp_path):
    code, out, err = calibrate(files, "--report", tmp_path / "r.json")
    assert (code, err) == (0, [])
    assert (tmp_path / "r.json").read_text() == out
    report = json.loads(out)
    assert list(report) == [
        "meaningful",
        "not_meaningful_because",
        "notes",
        "trace_info",
        "network",
        "metrics",
        "slo_classes",
        "load_regimes",
        "config_match",
        "known_limitations",
    ]
    assert report["meaningful"]
    assert report["trace_info"]["warm_up_excluded"] == 5
    assert report["network"]["rtt_us"] == 1000
    assert calibrate(files)[1] == out


def test_flags_win_over_the_header(calibrate, files):
    report = json.loads(
        calibrate(files, "--warmup-requests", 0, "--network-rtt-us", 20, "--network-bandwidth-mbps", 8)[1]
    )
    assert report["trace_info"]["warm_up_excluded"] == 0
    assert report["network"] == {"rtt_us": 20, "bandwidth_mbps": 8}


def test_a_table_where_it_is_asked_for(calibrate, files, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")  # of a terminal; this is none
    code, out, err = calibrate(files, "--output", "table")
    assert (code, err) == (0, [])
    lines = out.splitlines()
    assert lines[0].startswith("TTFT good (1")
    assert lines[1].startswith("55 of 60 requests compared over ")
    cells = [line.split() for line in lines]
    assert ["mean", "p50", "p90", "p99"] in cells
    for words in (["E2E", "(ms)", "measured"], ["TPOT", "(ms)", "measured"], ["Output", "tokens/s", "measured"]):
        assert any(row[: len(words)] == words for row in cells)
    assert any(row[:3] == ["E2E", "55", "10.1"] and row[-2:] == ["over-predict", "good"] for row in cells)
    assert any(row[0] == "high" and "TTFT" in row for row in cells if row)
    assert "\x1b" not in out
    assert max(map(len, lines)) <= 100


def test_a_table_on_a_terminal(calibrate, files, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    out = calibrate(files)[1]
    assert "TTFT good" in out
    assert "\x1b" in out
    assert json.loads(calibrate(files, "--output", "json")[1])["meaningful"]


def test_reasons_come_first(calibrate, files):
    lines = calibrate(files, "--output", "table", "--warmup-requests", 40)[1].splitlines()
    assert lines[0].startswith("Not meaningful: TTFT")
    assert lines[1].startswith("- Only 20 requests can be compared")


def other(files, **changes):
    return files | {f"--{name.replace('_', '-')}": value for name, value in changes.items()}


@pytest.mark.parametrize(
    ("flag", "problem"),
    [
        ("--trace-header", "absent: cannot be read"),
        ("--trace-data", "absent: cannot be read: No such file"),
        ("--sim-outcomes", "absent: cannot be read as Parquet"),
    ],
)
def test_missing_files(calibrate, files, tmp_path, flag, problem):
    code, out, (line,) = calibrate(files | {flag: tmp_path / "absent"})
    assert (code, out) == (2, "")
    assert line.startswith(f"blis: error: {tmp_path}/{problem}")


@pytest.mark.parametrize(
    ("flag", "given", "problem"),
    [
        ("--trace-header", "--trace-data", "real.csv"),
        ("--trace-data", "--trace-header", "real.yaml: header: "),
        ("--trace-data", "--sim-outcomes", "o.parquet: header: "),
        ("--sim-outcomes", "--trace-data", "real.csv: cannot be read as Parquet"),
    ],
)
def test_files_of_another_kind(calibrate, files, tmp_path, flag, given, problem):
    code, out, (line,) = calibrate(files | {flag: files[given]})
    assert (code, out) == (2, "")
    assert line.startswith(f"blis: error: {tmp_path}/{problem}")


def test_parquet_that_holds_no_outcomes(calibrate, files, tmp_path):
    import polars as pl

    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "other.parquet")
    code, out, (line,) = calibrate(files | {"--sim-outcomes": tmp_path / "other.parquet"})
    assert (code, out) == (2, "")
    assert f"{tmp_path}/other.parquet: " in line


def test_outcomes_of_other_requests(calibrate, files, tmp_path):
    simulated(*steady(2), numbers=(1000, 1001)).write_parquet(tmp_path / "o.parquet")
    code, out, (line,) = calibrate(files)
    assert (code, out) == (2, "")
    assert line.endswith("for any of its requests; expected those of blis replay of this trace")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--warmup-requests", -1), "--warmup-requests: must be a number >= 0, got -1"),
        (("--network-rtt-us", "nan"), "--network-rtt-us: must be a number >= 0, got nan"),
        (("--network-bandwidth-mbps", -2), "--network-bandwidth-mbps: must be a number >= 0, got -2.0"),
        (("--output", "tabel"), "'tabel' is unknown; did you mean 'table'?"),
        (("--plots", "p.pdf"), "p.pdf: unknown kind of plot '.pdf'"),
        (("--report", "nowhere/r.json"), "nowhere/r.json: there is no directory nowhere"),
        (("--report", "same.html", "--plots", "same.html"), "same.html: given for both --report and --plots"),
    ],
)
def test_wrong_flags(calibrate, files, tmp_path, monkeypatch, args, says):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    code, out, (line,) = calibrate(files, *args)
    assert (code, out) == (2, "")
    assert says in line
    assert sorted(tmp_path.iterdir()) == before


def test_inputs_are_never_overwritten(calibrate, files):
    for path in files.values():
        kept = path.read_bytes()
        code, out, (line,) = calibrate(files, "--report", path)
        assert (code, out) == (2, "")
        assert f"{path}: given for both --" in line
        assert path.read_bytes() == kept


def test_plots_without_what_they_need(calibrate, files, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, out, (line,) = calibrate(files, "--plots", tmp_path / "p.png")
    assert (code, out) == (2, "")
    assert line.endswith("p.png: plots need altair and vl_convert; install them with: pip install 'blis-sim[plots]'")


def test_a_report_that_cannot_be_written_does_not_cost_the_figures(calibrate, files, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    code, out, (line,) = calibrate(files, "--report", tmp_path / "r.json")
    assert (code, json.loads(out)["meaningful"]) == (1, True)
    assert line == f"blis: error: {tmp_path}/r.json: No space left on device"


@pytest.mark.usefixtures("compiled_engine")
def test_a_run_and_its_replay_are_the_same(calibrate, tmp_path, capsys):
    prefix, outcomes = tmp_path / "t", tmp_path / "o.parquet"
    run = ("--rate", "5", "--max-prompts", "60", "--trace-output", str(prefix))
    assert main(["run", *ROUND, *run]) == 0
    trace = {"--trace-header": f"{prefix}.yaml", "--trace-data": f"{prefix}.csv"}
    flags = [part for pair in trace.items() for part in pair]
    assert main(["replay", *ROUND, *flags, "--outcomes-path", str(outcomes)]) == 0
    capsys.readouterr()
    code, out, err = calibrate(trace | {"--sim-outcomes": outcomes})
    report = json.loads(out)
    assert (code, err, report["not_meaningful_because"]) == (0, [], [])
    assert report["trace_info"]["compared_pairs"] == 60
    for metric in ("ttft", "e2e", "tpot"):
        assert (report["metrics"][metric]["mape"], report["metrics"][metric]["quality"]) == (0, "excellent")
    assert report["metrics"]["throughput"]["ratio"] == 1
    assert report["config_match"]["different"] == {}
    assert "two simulations" in report["notes"][0]
