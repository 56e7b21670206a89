"""`blis observe` as users run it: same requests as `blis run`, traces that replay, keys that stay secret."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time

import polars as pl
import pytest
from helpers_cli import ROUND
from helpers_server import answer, serving

from blis.cli.main import main
from blis.measurement.observe.options import ObserveOptions
from blis.measurement.observe.recorder import partial_paths

KEY = "sk-very-secret-0123456789"
FAST = ("--rate", 200, "--num-requests", 12, "--output-tokens-max", 9, "--output-tokens", 5, "--output-tokens-stdev", 2)


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch):
    monkeypatch.delenv("BLIS_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def arguments(url, folder, *args):
    return [*map(str, ("observe", "--server-url", url, "--model", "m", "--trace-output", folder / "t", *args))]


def observe(capsys, url, folder, *args, code=0):
    """Summary and stderr."""
    assert main(arguments(url, folder, *args)) == code
    out, err = capsys.readouterr()
    return json.loads(out), err


def start(url, folder, *args, **environment):
    command = [sys.executable, "-m", "blis", *arguments(url, folder, *args)]
    env = os.environ | environment
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def replay(capsys, trace):
    """Requests in the replay of a trace, by their numbers."""
    path = trace.data.with_name("outcomes.parquet")
    named = ("--trace-header", trace.header, "--trace-data", trace.data, "--outcomes-path", path)
    assert main([*map(str, ("replay", *ROUND, *named))]) == 0
    capsys.readouterr()
    return pl.read_parquet(path)


def final(folder):
    from blis.workload.traces.tracev2.tracev2 import trace_paths

    return trace_paths(folder / "t")[0]


SPEC = """
aggregate_rate: 100
num_requests: 12
clients:
  - id: chat
    tenant_id: a
    slo_class: interactive
    rate_fraction: 1
    prefix_group: system
    prefix_length: 20
    arrival: {process: poisson}
    input_distribution: {type: constant, params: {value: 10}}
    output_distribution: {type: constant, params: {value: 3}}
    reasoning: {multi_turn: {max_rounds: 3, think_time_us: 2000, context_growth: accumulate}}
"""


@pytest.mark.parametrize("kind", ["distribution", "preset", "spec", "scenario", "csv"])
def test_the_requests_are_those_that_a_run_simulates(capsys, tmp_path, kind):
    (tmp_path / "spec.yaml").write_text(SPEC)
    trace = ["time,id,model,prompt,output", '0.0,a,m,"[1,2,3]","[4,5]"', '0.01,b,m,"[1,2,9,9]","[6]"']
    (tmp_path / "trace.csv").write_text("\n".join(trace) + "\n")
    args = {
        "distribution": (*FAST, "--seed", 7, "--prefix-tokens", 10),
        "preset": ("--workload", "chatbot", "--rate", 100, "--num-requests", 5),
        "spec": ("--workload-spec", tmp_path / "spec.yaml"),
        "scenario": ("--scenario", "prefix-heavy", "--rate", 100, "--num-requests", 10),
        "csv": ("--workload", "traces", "--workload-traces-filepath", tmp_path / "trace.csv"),
    }[kind]
    with serving() as server:
        summary, _ = observe(capsys, server.url, tmp_path, *args)
    assert main([*map(str, ("run", *ROUND, *args, "--trace-output", tmp_path / "simulated"))]) == 0
    measured, simulated = (pl.read_csv(tmp_path / f"{name}.csv") for name in ("t", "simulated"))
    said = ["request_id", "client_id", "tenant_id", "slo_class", "session_id", "round_index", "prefix_group"]
    assert measured[[*said, "input_tokens", "output_tokens"]].equals(
        simulated[[*said, "input_tokens", "output_tokens"]]
    )
    if kind != "spec":  # turns wait for answers, which take another time here
        assert (measured["arrival_time_us"] - simulated["arrival_time_us"]).n_unique() == 1
    assert len(server.calls) == summary["ok"] == len(simulated)


def test_a_recorded_trace_can_be_sent_again(capsys, tmp_path):
    (tmp_path / "spec.yaml").write_text(SPEC)
    with serving() as server:
        observe(capsys, server.url, tmp_path, "--workload-spec", tmp_path / "spec.yaml")
        again = tmp_path / "again"
        again.mkdir()
        named = ("--trace-header", final(tmp_path).header, "--trace-data", final(tmp_path).data)
        observe(capsys, server.url, again, *named)
    first, second = (pl.read_csv(final(folder).data) for folder in (tmp_path, again))
    unchanged = [name for name in first.columns if "time_us" not in name]
    assert first[unchanged].equals(second[unchanged])
    assert (first["arrival_time_us"] - second["arrival_time_us"]).n_unique() == 1


def test_a_measured_trace_replays(capsys, tmp_path):
    async def behave(call):
        await (call.respond(500, "no") if call.number == 3 else answer(call))

    with serving(behave) as server:
        summary, _ = observe(capsys, server.url, tmp_path, *FAST, "--warmup", 2, "--rtt-ms", 1.5)
    assert (summary["ok"], summary["error"], summary["judged"]) == (11, 1, 9)
    header = final(tmp_path).header.read_text()
    assert "mode: real" in header
    assert "warm_up_requests: 2" in header
    assert "measured_rtt_ms: 1.5" in header
    assert len(replay(capsys, final(tmp_path))) == 11
    assert not partial_paths(tmp_path / "t").data.exists()
    assert not partial_paths(tmp_path / "t").header.exists()


def test_tables_have_the_figures_and_what_went_wrong(capsys, tmp_path):
    async def behave(call):
        await (call.respond(503, "busy") if call.number == 5 else answer(call))

    with serving(behave) as server:
        assert main(arguments(server.url, tmp_path, *FAST, "--output", "table")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("11 of 12 requests answered; p99 TTFT ")
    assert [line.split()[0] for line in lines if line.startswith(("TTFT", "ITL", "TPOT", "E2E"))] == [
        *("TTFT", "ITL", "TPOT", "E2E")
    ]
    assert lines[-1].split(maxsplit=1) == ["1", "HTTP 503: busy"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.slow
def test_ctrl_c_leaves_a_whole_trace(capsys, tmp_path, number):
    async def behave(call):
        if call.number == 5:
            child.send_signal(number)
        await (asyncio.sleep(30) if call.number > 3 else answer(call))

    with serving(behave) as server:
        child = start(server.url, tmp_path, *FAST[2:], "--rate", 50)
        out, err = child.communicate(timeout=60)
    summary = json.loads(out)
    assert child.returncode == 128 + number, err
    assert summary["interrupted"]
    assert (summary["ok"], summary["errors"]) == (4, {"interrupted": summary["sent"] - 4})
    assert f"{12 - summary['sent']} of 12 requests were not sent before the end" in err
    assert len(replay(capsys, final(tmp_path))) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outcomes.parquet", "t.csv", "t.yaml"]


@pytest.mark.slow
def test_ctrl_c_before_anything_was_sent_leaves_nothing(tmp_path):
    with serving() as server:
        (tmp_path / "trace.csv").write_text('time,id,model,prompt,output\n60.0,a,m,"[1,2,3]","[4,5]"\n')
        trace = ("--workload", "traces", "--workload-traces-filepath", tmp_path / "trace.csv")
        child = start(server.url, tmp_path, *trace)
        while not partial_paths(tmp_path / "t").data.exists():
            time.sleep(0.02)
        time.sleep(0.3)  # signals are taken once the loop runs
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "no request was sent; there is no trace" in err
    assert [path.name for path in tmp_path.iterdir()] == ["trace.csv"]


def test_a_killed_measurement_leaves_what_was_over(capsys, tmp_path):
    async def behave(call):
        if call.number == 9:
            await asyncio.sleep(0.2)  # let the others be written
            child.kill()
        await answer(call)

    with serving(behave) as server:
        child = start(server.url, tmp_path, *FAST[2:], "--rate", 50)
        child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    assert not final(tmp_path).data.exists()
    partial = partial_paths(tmp_path / "t")
    assert set(range(9)) <= set(pl.read_csv(partial.data)["request_id"])
    assert len(replay(capsys, partial)) >= 9

    kept = partial.data.read_bytes()
    assert main(arguments("http://localhost:1", tmp_path)) == 2
    assert f"{partial.header}: is left of a measurement that was killed" in capsys.readouterr().err
    assert partial.data.read_bytes() == kept


def test_a_full_disk_costs_no_figures(capsys, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", str(tmp_path / "t.csv"))

    monkeypatch.setattr("blis.measurement.observe.recorder.write_tracev2", full)
    with serving() as server:
        summary, err = observe(capsys, server.url, tmp_path, *FAST, code=1)
    assert summary["ok"] == 12
    assert err == f"blis: error: {tmp_path / 't.csv'}: No space left on device\n"
    assert len(replay(capsys, partial_paths(tmp_path / "t"))) == 12


def test_a_full_disk_does_not_end_a_measurement(capsys, tmp_path, monkeypatch):
    def full(file, fields):
        if fields[0] == 5:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("blis.measurement.observe.recorder._append", full)
    with serving() as server:
        summary, err = observe(capsys, server.url, tmp_path, *FAST)
    assert summary["ok"] == len(pl.read_csv(final(tmp_path).data)) == 12
    assert f"{partial_paths(tmp_path / 't').data}: No space left on device; no more rows are added" in err


def test_a_terminal_gets_a_progress_bar(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr("blis.cli.console.BAR_AFTER_S", 0)
    with serving() as server:
        summary, err = observe(capsys, server.url, tmp_path, *FAST, "--rate", 12)
    assert summary["ok"] == 12
    assert "/12 [" in err
    assert " sent, 0 failed, TTFT p50 " in err


def test_without_any_answer_the_run_has_failed(capsys, tmp_path):
    async def behave(call):
        await call.respond(404, "no model m")

    with serving(behave) as server:
        summary, err = observe(capsys, server.url, tmp_path, *FAST, code=1)
    assert summary["errors"] == {"HTTP 404: no model m": 12}
    assert "blis: error: no request was answered: HTTP 404: no model m" in err
    assert len(pl.read_csv(final(tmp_path).data)) == 12


@pytest.mark.parametrize("way", ["flag", "BLIS_API_KEY", "OPENAI_API_KEY"])
@pytest.mark.slow
def test_the_key_is_sent_and_never_shown(tmp_path, way):
    async def behave(call):
        call.sent = call.headers["authorization"]
        await call.respond(401, f"Incorrect API key: {KEY}.")

    args, environment = (("--api-key", KEY), {}) if way == "flag" else ((), {way: KEY})
    with serving(behave) as server:
        child = start(server.url, tmp_path, *FAST, *args, "--log", "debug", **environment)
        out, err = child.communicate(timeout=60)
    assert child.returncode == 1
    assert {call.sent for call in server.calls} == {f"Bearer {KEY}"}
    assert "HTTP 401: Incorrect API key: [API key]." in out
    assert KEY not in out + err
    for path in tmp_path.iterdir():
        assert KEY.encode() not in path.read_bytes()


def test_the_key_is_not_shown_by_help_and_errors(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("BLIS_API_KEY", KEY)
    main(["observe", "--help"])
    assert main(arguments("localhost:8000", tmp_path, "--log", "debug")) == 2
    monkeypatch.setenv("BLIS_API_KEY", KEY + "\n")
    assert main(arguments("http://localhost:8000", tmp_path, "--log", "debug")) == 2
    out, err = capsys.readouterr()
    assert "--api-key: must consist of printable ASCII characters" in err
    assert KEY not in out + err
    assert KEY not in repr(ObserveOptions("http://localhost", "m", api_key=KEY))


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--server-url", "localhost:8000"), ["--server-url", "http://localhost:8000", "'localhost:8000'"]),
        (("--server-url", "ftp://host"), ["--server-url", "'ftp://host'"]),
        (("--server-url", "http://host:x"), ["--server-url", "'http://host:x'"]),
        (("--server-url", "http://"), ["--server-url"]),
        (("--server-url", "http://me:hunter2@host"), ["--server-url", "no user name or password"]),
        (("--api-format", "chta"), ["--api-format", "'chta'", "did you mean 'chat'?"]),
        (("--model", " "), ["--model", "must not be empty"]),
        (("--max-concurrency", 0), ["--max-concurrency", "at least 1", "got 0"]),
        (("--timeout", 0), ["--timeout", "> 0", "got 0"]),
        (("--timeout", "nan"), ["--timeout", "nan"]),
        (("--warmup", -1), ["--warmup", "got -1"]),
        (("--rtt-ms", -1), ["--rtt-ms", "got -1"]),
        (("--horizon", -1), ["--horizon", "-1"]),
        (("--rate", 0), ["--rate", "0"]),
        (("--trace-header", "t.yaml"), ["--trace-header and --trace-data go together"]),
        (("--trace-header", "absent.yaml", "--trace-data", "absent.csv"), ["absent.yaml"]),
        (
            ("--workload-spec", "a", "--scenario", "mixed-slo"),
            ["--workload-spec: cannot be combined with scenario; give either"],
        ),
        (("--trace-output", "/nowhere/t"), ["/nowhere"]),
        (("--tokenizer", "/nowhere/tokenizer.json"), ["--tokenizer", "/nowhere/tokenizer.json"]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_wrong_input(capsys, tmp_path, monkeypatch, args, says):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(arguments("http://localhost:1", tmp_path, *args)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert "hunter2" not in err
    for part in says:
        assert part in err
    assert list(tmp_path.iterdir()) == []


def test_outputs_must_not_overwrite_inputs(capsys, tmp_path):
    (tmp_path / "t.csv").write_text("kept")
    args = ("--workload", "traces", "--workload-traces-filepath", tmp_path / "t.csv")
    assert main(arguments("http://localhost:1", tmp_path, *args)) == 2
    assert (tmp_path / "t.csv").read_text() == "kept"
    assert main(arguments("http://localhost:1", tmp_path, "--chunk-times", tmp_path / "t.partial.csv")) == 2


def test_flags_without_effect_are_named(capsys, tmp_path):
    (tmp_path / "spec.yaml").write_text(SPEC)
    with serving() as server:
        _, err = observe(capsys, server.url, tmp_path, "--workload-spec", tmp_path / "spec.yaml", "--rate", 3)
    assert "--rate has no effect with --workload-spec" in err
