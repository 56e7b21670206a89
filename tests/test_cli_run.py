"""`blis run` from flags to figures, through the engine."""

import json
import os
import signal
import subprocess
import sys
import time

import polars as pl
import pytest
from helpers_cli import LLAMA, ROUND

import blis
from blis.cli.console import progress_bar
from blis.cli.main import cli, main
from blis.config.schema import ClusterOptions, Deployment, EngineOptions
from blis.outcomes.outcomes import Outcomes
from blis.simulation import native
from blis.workload.distribution import DistributionWorkload

pytestmark = pytest.mark.usefixtures("compiled_engine")

WALL_CLOCK_KEYS = ("sim_start_timestamp", "sim_end_timestamp", "simulation_duration_s")


def run(capsys, *args):
    """Metrics and stderr of a successful run."""
    code = main(["run", *map(str, args)])
    out, err = capsys.readouterr()
    assert code == 0, err
    return json.loads(out), err


def write_trace(path, *rows):
    """A CSV trace of (arrival in s, prompt length, output length) with tokens of their own."""
    lines = ["arrival_time,request_id,model,prefill_tokens,decode_tokens"]
    for number, (arrival, prompt, output) in enumerate(rows):
        ids = [1_000 * number + i for i in range(prompt + output)]
        lines.append(f'{arrival},r,m,"{ids[:prompt]}","{ids[prompt:]}"')
    path.write_text("\n".join(lines) + "\n")
    return ("--workload", "traces", "--workload-traces-filepath", path)


def results(capsys, tmp_path, *args):
    run(capsys, *args, "--results-path", tmp_path / "results.json")
    return json.loads((tmp_path / "results.json").read_text())["requests"]


def test_one_request_by_hand(capsys, tmp_path):
    """Visible at 100 + 10; prefill 1000 + 10 * 10; two decodes of 1000 + 1; 10 µs per token at the client."""
    trace = write_trace(tmp_path / "t.csv", (0, 10, 3))
    (request,) = results(capsys, tmp_path, *ROUND, *trace)
    assert request["scheduling_delay_ms"] == 0.110
    assert request["ttft_ms"] == 1.220
    assert request["e2e_ms"] == 3.242
    assert request["itl_ms"] == 1.011
    assert request["status"] == "completed"


def test_no_figure_is_silently_missing(capsys):
    metrics, err = run(capsys, *LLAMA)
    assert err == ""
    assert metrics["completed_requests"] == metrics["injected_requests"] == 100
    assert [key for key, value in metrics.items() if value is None] == []


def test_same_seed_same_bytes(capsys):
    outputs = []
    for seed in (1, 1, 2):
        assert main(["run", *LLAMA, "--seed", str(seed)]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] != outputs[2]


def test_wall_clock_only_if_asked_for(capsys):
    plain, _ = run(capsys, *LLAMA)
    stamped, _ = run(capsys, *LLAMA, "--timestamps")
    assert {key: value for key, value in stamped.items() if key not in WALL_CLOCK_KEYS} == plain
    assert stamped["simulation_duration_s"] > 0
    assert stamped["sim_start_timestamp"] <= stamped["sim_end_timestamp"]


def test_stdout_results_and_outcomes_say_the_same(capsys, tmp_path):
    metrics, _ = run(capsys, *LLAMA, "--results-path", tmp_path / "r.json", "--outcomes-path", tmp_path / "o.parquet")
    written = json.loads((tmp_path / "r.json").read_text())
    requests = written.pop("requests")
    assert metrics == written
    outcomes = Outcomes.read_parquet(tmp_path / "o.parquet")
    assert not any(written.pop("anomalies").values())
    assert written == outcomes.summary | {"steady_state": outcomes.steady_state.figures()}
    assert sum(entry["produced_tokens"] for entry in requests) == metrics["total_output_tokens"]
    frame = pl.read_parquet(tmp_path / "o.parquet")
    assert [entry["ttft_ms"] for entry in requests] == [us / 1000 for us in frame["ttft_us"]]
    assert outcomes.metadata["seed"] == 42
    assert outcomes.metadata["engine"]["max_num_running_reqs"] == 256
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.parquet", "r.json"]


def test_seeds_names_and_later_aliases_are_alike(capsys):
    old, _ = run(capsys, *LLAMA, "--max-prompts", 30, "--max-num-running-reqs", 8, "--max-num-scheduled-tokens", 512)
    new, _ = run(capsys, *LLAMA, "--num-requests", 30, "--max-num-seqs", 8, "--max-num-batched-tokens", 512)
    assert old == new
    assert old["completed_requests"] == 30


@pytest.mark.parametrize("name", ["chatbot", "summarization", "contentgen", "multidoc"])
def test_presets(capsys, name):
    metrics, err = run(capsys, *LLAMA, "--workload", name, "--max-prompts", 5, "--rate", 2)
    assert metrics["completed_requests"] == 5
    assert "blis: error" not in err


def test_csv_and_parquet_traces_give_the_same(capsys, tmp_path):
    rows = [(0, 40, 5), (0.001, 64, 9), (0.0015, 7, 1)]
    csv, _ = run(capsys, *ROUND, *write_trace(tmp_path / "t.csv", *rows))
    pl.DataFrame(
        {
            "arrival_us": [0, 1000, 1500],
            "input_tokens": [40, 64, 7],
            "output_tokens": [5, 9, 1],
        }
    ).write_parquet(tmp_path / "t.parquet")
    trace = ("--workload", "traces", "--workload-traces-filepath", tmp_path / "t.parquet")
    assert run(capsys, *ROUND, *trace)[0] == csv


def test_trace_digest_is_kept(capsys, tmp_path):
    trace = write_trace(tmp_path / "t.csv", (0, 10, 3))
    run(capsys, *ROUND, *trace, "--outcomes-path", tmp_path / "o.parquet")
    workload = Outcomes.read_parquet(tmp_path / "o.parquet").metadata["workload"]
    assert workload["path"] == str(tmp_path / "t.csv")
    assert len(workload["sha256"]) == 64


def test_refused_requests_are_counted_and_explained(capsys, tmp_path):
    trace = write_trace(tmp_path / "t.csv", (0, 10, 3), (0.1, 30, 3), (0.2, 50, 3))
    requests = results(capsys, tmp_path, *ROUND, *trace, "--total-kv-blocks", 3, "--max-model-len", 40)
    assert [request["status"] for request in requests] == ["completed", "completed", "refused_too_long"]
    assert requests[2]["ttft_ms"] is None
    assert "max_model_len" in requests[2]["reason"]
    _, err = run(capsys, *ROUND, *trace, "--total-kv-blocks", 3, "--results-path", tmp_path / "results.json")
    assert err == "blis: warning: 1 of 3 requests were refused; status and reason are in the results\n"
    requests = json.loads((tmp_path / "results.json").read_text())["requests"]
    assert requests[2]["status"] == "refused_never_fits"


def test_nothing_completed_still_prints_every_figure(capsys):
    metrics, _ = run(capsys, *LLAMA, "--horizon", 0)
    assert metrics["completed_requests"] == 0
    assert metrics["responses_per_sec"] is None
    assert metrics["e2e_mean_ms"] is None


def test_a_horizon_cuts_the_run(capsys):
    metrics, _ = run(capsys, *LLAMA, "--rate", 10, "--horizon", 2_000_000)
    assert metrics["vllm_estimated_duration_s"] == 2.0
    assert metrics["running_requests"] > 0
    counts = ("completed", "running", "waiting")
    assert metrics["injected_requests"] == sum(metrics[f"{name}_requests"] for name in counts)


def test_prefix_caching_can_be_switched_off(capsys):
    flags = (*LLAMA, "--prefix-tokens", 512, "--max-prompts", 20)
    assert run(capsys, *flags)[0]["cache_hit_rate"] > 0.4
    assert run(capsys, *flags, "--no-enable-prefix-caching")[0]["cache_hit_rate"] == 0.0


def test_info_tells_what_was_chosen_and_how_long_it_took(capsys):
    quiet, _ = run(capsys, *LLAMA)
    metrics, err = run(capsys, *LLAMA, "--log", "info")
    assert metrics == quiet
    assert "blis: info: tp: 2, the default" in err
    last = err.splitlines()[-1]
    assert last.startswith("blis: info: took: load ")
    assert "simulate" in last
    assert "write" in last


def test_flags_without_effect_are_named(capsys, tmp_path):
    trace = write_trace(tmp_path / "t.csv", (0, 10, 3))
    _, err = run(capsys, *ROUND, *trace, "--rate", 5, "--num-requests", 7)
    assert err.splitlines() == [
        "blis: warning: --rate has no effect with --workload traces",
        "blis: warning: --max-prompts has no effect with --workload traces",
    ]
    _, err = run(capsys, *LLAMA, "--workload", "chatbot", "--prompt-tokens", 5)
    assert "blis: warning: --prompt-tokens has no effect with --workload chatbot" in err
    _, err = run(capsys, *LLAMA, "--workload-traces-filepath", tmp_path / "t.csv")
    assert "--workload-traces-filepath has no effect" in err


def test_requests_beyond_the_models_context_are_counted_unless_a_limit_is_set(capsys, tmp_path):
    trace = write_trace(tmp_path / "t.csv", (0, 131_000, 72), (0, 131_000, 73))
    _, err = run(capsys, *LLAMA, *trace)
    assert "1 of 2 requests have more input + output tokens than the model's context of 131,072" in err
    assert "--max-model-len) 131072 enforces it" in err
    assert run(capsys, *LLAMA, *trace, "--max-model-len", 131_072)[1] == ""
    assert run(capsys, *ROUND, *trace, "--total-kv-blocks", 10_000)[1] == ""  # nobody knows the model


def test_ctrl_c_prints_what_had_happened(capsys, tmp_path, monkeypatch):
    """Like a signal while the engine is at work: it comes when the compiled entry returns."""
    original = native.door
    calls = []

    def door(*arguments, **which):
        go_on = original(*arguments, **which)

        def interrupted(most):
            if calls:
                signal.raise_signal(signal.SIGINT)
            calls.append(most)
            return go_on(50)

        return interrupted

    monkeypatch.setattr(native, "door", door)
    code = main(["run", *LLAMA, "--results-path", str(tmp_path / "r.json")])
    metrics = json.loads(capsys.readouterr().out)
    assert code == 130
    assert metrics["interrupted"] is True
    assert metrics["completed_requests"] < 100
    assert json.loads((tmp_path / "r.json").read_text())["interrupted"] is True


def test_a_terminal_gets_a_progress_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr("blis.cli.console.BAR_AFTER_S", 0)
    with progress_bar({}) as show:
        time.sleep(0.15)  # bars are drawn at most every tenth of a second
        show(10, 100, 5_000_000)
    err = capsys.readouterr().err
    assert "10/100 " in err
    assert "simulated 5 s" in err


def test_a_failed_write_still_prints_the_figures(capsys, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device", "r.json")

    monkeypatch.setattr("blis.report.json_report.write_results", fail)
    code = main(["run", *LLAMA, "--results-path", str(tmp_path / "r.json")])
    out, err = capsys.readouterr()
    assert code == 1
    assert json.loads(out)["completed_requests"] == 100
    assert err == "blis: error: r.json: No space left on device\n"


def test_defaults_shown_are_those_of_the_configuration():
    shown = {param.name: param.default for param in cli.commands["run"].params}
    elsewhere = ("model", "preset", "batch_size_refresh_us", "kv_refresh_us")  # the two go with queue_depth_refresh_us
    for config in (Deployment("m"), EngineOptions(), ClusterOptions(), DistributionWorkload()):
        for name, value in vars(config).items():
            if name not in elsewhere and value is not None:
                assert shown[name] == value, name


def test_no_arguments_show_the_help(capsys):
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("Usage: blis")


def test_help_is_grouped(capsys):
    assert main(["run", "--help"]) == 0
    out = capsys.readouterr().out
    headings = [line for line in out.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == [
        "Model and hardware:",
        "Workload:",
        "Engine (vLLM server parameters):",
        "Cluster and policies:",
        "Decision tracing and evaluation:",
        "Run and output:",
        "Other:",
    ]


def python(*args, **kwargs):
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, check=False, **kwargs)


def test_as_a_module():
    done = python("-m", "blis", "--version")
    assert (done.returncode, done.stdout) == (0, f"blis {blis.__version__}\n")


def test_a_plain_run_loads_neither_polars_nor_pyarrow():
    code = (
        "import sys; from blis.cli.main import main\n"
        f"assert main(['run', *{LLAMA!r}]) == 0\n"
        "assert not {'polars', 'pyarrow', 'tqdm'} & set(sys.modules)"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_a_reader_that_went_away_is_no_traceback():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "blis", "run", *LLAMA], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert done.stderr == ""
    assert done.returncode == 1


def test_all_kinds_of_latency_model(capsys):
    figures = [run(capsys, *LLAMA, "--latency-model", name)[0] for name in ("blackbox", "roofline")]
    assert figures[0]["e2e_mean_ms"] != figures[1]["e2e_mean_ms"]
    assert 0.5 < figures[1]["e2e_mean_ms"] / figures[0]["e2e_mean_ms"] < 2
