"""``blis fit`` on the command line: wrong usage is one line, the table shows what the JSON says."""

import json

import pytest
from helpers_fit import measure, noisy_model, poisson

from blis.cli.main import main
from blis.report.tables import percent
from blis.workload.traces.tracev2.header import Server, TraceHeader

GUESS = ("--alpha-coeffs", "0,0,0", "--beta-coeffs", "15000,10,10", "--total-kv-blocks", "100000")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("measured") / "m"
    header = TraceHeader("real", server=Server(model="some/model"))
    measure(prefix, poisson(1, 120, 5), noisy_model((5_000, 2), (9_000, 30, 60), 0.05), header=header)
    return ("--trace-header", f"{prefix}.yaml", "--trace-data", f"{prefix}.csv")


def complaint(capsys, code, *args):
    assert main(["fit", *map(str, args)]) == code
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()[-1]


def test_the_table_shows_what_was_found(files, capsys):
    assert main(["fit", *files, *GUESS, "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == "some/model"  # as the trace says
    assert main(["fit", *files, *GUESS, "--output", "table"]) == 0
    out = capsys.readouterr().out
    for one in found["coefficients"]:
        assert one["name"] in out
        assert f"{one['value']:.4g}" in out
    assert percent(found["after"]["held_out"]["e2e"]["mape"]) in out
    assert "If every step took 1 % longer" in out


def test_without_a_measurement_there_is_nothing_to_fit(capsys):
    assert "give --trace-header and --trace-data" in complaint(capsys, 2, "--model", "m", *GUESS)


def test_headers_and_data_go_in_pairs(files, capsys):
    assert "got 1 --trace-header and 0 --trace-data" in complaint(capsys, 2, *files[:2], "--model", "m", *GUESS)


def test_a_log_and_traces_are_not_combined(files, capsys):
    assert "cannot be combined" in complaint(capsys, 2, *files, "--step-log", "x.log", "--model", "m", *GUESS)


def test_the_model_must_be_known(tmp_path, capsys):
    measure(tmp_path / "m", poisson(1, 30, 5), noisy_model((0, 0), (9_000, 30, 60), 0.0))
    files = ("--trace-header", tmp_path / "m.yaml", "--trace-data", tmp_path / "m.csv")
    assert "Missing option '--model'" in complaint(capsys, 2, *files, *GUESS)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--law", "blackbo"), "did you mean 'blackbox'?"),
        (("--holdout", "1"), "--holdout: must be a share in [0, 0.9], got 1.0"),
        (("--hold", "beta0_us=x"), "'beta0_us=x' is no name=number"),
        (("--hold", "beta9"), "--hold: unknown coefficient 'beta9'"),
        (("--num-instances", "2"), "No such option '--num-instances'"),
        (
            ("--export", "row.json"),
            "row.json: the law blackbox is written to a defaults file; give it the suffix .yaml",
        ),
        (("--export", "no/row.yaml"), "no/row.yaml: there is no directory no"),
        (("--law", "roofline", "--free", "x", "--hardware", "H100", "--tp", "1"), "--law: roofline needs"),
    ],
)
def test_wrong_usage_is_one_line(files, capsys, args, says):
    line = complaint(capsys, 2, *files, *GUESS, *args)
    assert line.startswith("blis: error: ")
    assert says in line


def test_a_row_needs_to_know_what_it_belongs_to(files, tmp_path, capsys):
    assert main(["fit", *files, *GUESS, "--export", str(tmp_path / "row.yaml"), "--log", "error"]) == 2
    assert "hardware: coefficients belong to a model, GPU, TP and vLLM version; say which" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
