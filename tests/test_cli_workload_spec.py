"""`--workload-spec` and `--scenario`, the scenarios themselves, and the shipped examples."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers_cli import LLAMA
from helpers_spec import write

import blis
from blis.cli.main import main
from blis.cli.options import SCENARIOS
from blis.outcomes.outcomes import Outcomes

pytestmark = pytest.mark.usefixtures("compiled_engine")

EXAMPLES = Path(blis.__file__).parents[1] / "examples"


def run(capsys, *args):
    """Metrics and stderr of a successful run."""
    code = main(["run", *LLAMA, *map(str, args)])
    out, err = capsys.readouterr()
    assert code == 0, err
    return json.loads(out), err


@pytest.mark.parametrize(
    "name",
    [
        "servegen-language.yaml",
        "workload-sessions.yaml",
        "workload-closed-loop.yaml",
        "workload-multimodal.yaml",
        "workload-servegen.yaml",
    ],
)
def test_examples_run(capsys, name):
    metrics, _ = run(capsys, "--workload-spec", EXAMPLES / name)
    assert metrics["completed_requests"] > 100
    assert metrics["refused_never_fits_requests"] == metrics["not_arrived_requests"] == 0


def test_every_example_of_a_spec_is_run():
    files = {path.name for path in EXAMPLES.glob("*.yaml") if "input_distribution" in path.read_text()}
    assert files <= {"servegen-language.yaml", "workload-sessions.yaml", "workload-closed-loop.yaml"}


def run_sessions(capsys, tmp_path, *args):
    """Metrics block, session figures and rows by session of the example with conversations of five turns."""
    files = ("--results-path", tmp_path / "r.json", "--outcomes-path", tmp_path / "o.parquet")
    spec = ("--workload-spec", EXAMPLES / "workload-sessions.yaml")
    assert main(["run", *LLAMA, *map(str, (*spec, *files, *args))]) == 0
    figures = json.loads(capsys.readouterr().out)["sessions"]
    results = json.loads((tmp_path / "r.json").read_text())
    assert results["sessions"] == figures
    frame = Outcomes.read_parquet(tmp_path / "o.parquet").requests
    by_name = {row["requestID"]: (row["session_id"], row["turn"], row["status"]) for row in results["requests"]}
    columns = frame.select("request_id", "session_id", "turn", "status")
    assert by_name == {name: tuple(rest) for name, *rest in columns.iter_rows()}
    rows = frame.sort("turn").group_by("session_id", maintain_order=True).all()
    return results, figures, rows.sort("session_id")


def states_by_hand(rows):
    """How many sessions are in each state, told from the statuses of their turns."""
    counts = dict.fromkeys(("failed_sessions", "not_started_sessions", "completed_sessions", "unfinished_sessions"), 0)
    for status in rows["status"].to_list():
        if {"rejected", "refused_too_long", "refused_never_fits"} & set(status):
            counts["failed_sessions"] += 1
        elif status[0] == "not_arrived":
            counts["not_started_sessions"] += 1
        else:
            counts["completed_sessions" if set(status) == {"completed"} else "unfinished_sessions"] += 1
    return counts


@pytest.mark.parametrize(
    ("flags", "present"),
    [
        ((), {"completed"}),
        (("--max-model-len", "1200"), {"completed", "failed"}),
        (("--num-instances", "3", "--routing-policy", "prefix-affinity", "--horizon", "30000000"), {"unfinished"}),
    ],
)
def test_every_session_is_in_one_state(capsys, tmp_path, flags, present):
    metrics, figures, rows = run_sessions(capsys, tmp_path, *flags)
    states = {name: figures[name] for name in states_by_hand(rows)}
    assert states == states_by_hand(rows)
    assert sum(states.values()) == figures["sessions"] == len(rows)
    assert all(states[f"{state}_sessions"] > 0 for state in present)
    assert ("not_sent_requests" in metrics) == ("failed" in present)
    assert [turn["turn"] for turn in figures["turns"]] == [0, 1, 2, 3, 4]
    assert sum(turn["completed"] for turn in figures["turns"]) == metrics["completed_requests"]
    assert sum(turn["requests"] for turn in figures["turns"]) == metrics["injected_requests"]
    assert figures["turns"][4]["cache_hit_rate"] > 0.7


def test_a_horizon_cuts_sessions_between_turns_or_within_one(capsys, tmp_path):
    """What happened before it is what happens without it; behind the last turn that was sent none arrives."""
    horizon_us = 30_000_000
    _, _, whole = run_sessions(capsys, tmp_path)
    metrics, figures, cut = run_sessions(capsys, tmp_path, "--horizon", horizon_us)
    assert metrics["vllm_estimated_duration_s"] == 30
    assert figures["completed_sessions"] > 0
    assert len(cut) == len(whole)
    assert 0 < figures["not_started_sessions"] < len(cut)
    order = ["completed", "running", "waiting", "not_arrived"]
    for before, after in zip(whole.iter_rows(named=True), cut.iter_rows(named=True), strict=True):
        places = [order.index(status) for status in after["status"]]
        assert places == sorted(places)
        assert sum(status in ("running", "waiting") for status in after["status"]) <= 1
        arrivals = [stamp for stamp in after["arrival_us"] if stamp is not None]
        assert after["arrival_us"] == before["arrival_us"][: len(arrivals)] + [None] * (len(places) - len(arrivals))
        assert sum(stamp > horizon_us for stamp in arrivals) == (after["status"][0] == "not_arrived")
        for column in ("first_token_us", "finished_us"):
            seen = [None if stamp is None or stamp > horizon_us else stamp for stamp in before[column]]
            assert after[column] == seen


def test_without_sessions_there_is_no_section(capsys):
    assert main(["run", *LLAMA, "--workload-spec", str(EXAMPLES / "workload-closed-loop.yaml")]) == 0
    assert "sessions" not in json.loads(capsys.readouterr().out)


def test_seed_cap_and_horizon(capsys, tmp_path):
    spec = write(tmp_path, "aggregate_rate: 50\nhorizon: 3000000\nseed: 9", "arrival: {process: constant}")
    flags = ("--workload-spec", spec, "--outcomes-path", tmp_path / "o.parquet")

    def outcomes(*more):
        run(capsys, *flags, *more)
        return Outcomes.read_parquet(tmp_path / "o.parquet")

    plain = outcomes()
    assert (plain.metadata["seed"], plain.metadata["horizon_us"]) == (9, 3_000_000)
    assert len(plain.requests) == 150  # the usual --max-prompts of 100 is no limit
    assert plain.metadata["workload"]["source"] == str(spec)
    assert outcomes("--seed", 42).metadata["seed"] == 42
    assert outcomes("--horizon", 9_000_000).metadata["horizon_us"] == 9_000_000
    assert len(outcomes("--max-prompts", 20).requests) == 20
    assert len(outcomes("--max-prompts", 5000).requests) == 150


def test_flags_without_effect_are_named(capsys, tmp_path):
    spec = write(tmp_path, "aggregate_rate: 50\nnum_requests: 3", "id: a")
    _, err = run(capsys, "--workload-spec", spec, "--rate", 5, "--workload", "chatbot", "--seed", 1)
    assert err.splitlines() == [
        f"blis: warning: --workload has no effect with --workload-spec {spec}",
        f"blis: warning: --rate has no effect with --workload-spec {spec}",
    ]
    _, err = run(capsys, "--scenario", "prefix-heavy", "--prompt-tokens", 5, "--rate", 5, "--max-prompts", 5)
    assert "--prompt-tokens has no effect with --scenario prefix-heavy" in err
    assert "--rate" not in err


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (("--workload-spec", "nowhere.yaml"), "nowhere.yaml: cannot be read"),
        (("--scenario", "mixed-slos"), "did you mean 'mixed-slo'?"),
        (("--scenario", "mixed-slo", "--workload-spec", "x"), "--workload-spec: cannot be combined with scenario"),
        (("--scenario", "mixed-slo", "--rate", "0"), "rate: must be a positive number of requests per second"),
        (("--scenario", "mixed-slo", "--max-prompts", "0"), "--max-prompts: must be at least 1, got 0"),
    ],
)
def test_wrong_usage(capsys, flags, problem):
    assert main(["run", *LLAMA, *flags]) == 2
    assert problem in capsys.readouterr().err


def test_an_unbounded_spec_names_the_remedy(capsys, tmp_path):
    spec = write(tmp_path, "aggregate_rate: 50", "id: a")
    assert main(["run", *LLAMA, "--workload-spec", str(spec)]) == 2
    err = capsys.readouterr().err
    assert "nothing bounds the workload; set num_requests or horizon in it, or --max-prompts" in err
    assert run(capsys, "--workload-spec", spec, "--max-prompts", 7)[0]["completed_requests"] == 7
    assert main(["run", *LLAMA, "--workload-spec", str(spec), "--max-prompts", "0"]) == 2
    assert "--max-prompts: must be at least 1, got 0" in capsys.readouterr().err


# Clients, classes and means of inference-sim's scenarios.
@pytest.mark.parametrize(
    ("name", "clients"),
    [
        ("bursty-traffic", {"bursty-client": (1.0, "batch", 512, 256)}),
        (
            "unfair-tenants",
            {"low-priority-bulk": (0.9, "batch", 1024, 512), "high-priority-realtime": (0.1, "realtime", 128, 64)},
        ),
        (
            "prefix-heavy",
            {"shared-prefix": (0.8, "batch", 256 + 50, 128), "unique-prefix": (0.2, "interactive", 512, 256)},
        ),
        (
            "mixed-slo",
            {
                "realtime": (0.33, "realtime", 64, 32),
                "interactive": (0.34, "interactive", 256, 128),
                "batch": (0.33, "batch", 1024, 512),
            },
        ),
    ],
)
def test_scenarios(name, clients):
    table = blis.scenario(name, rate=20, num_requests=20_000).requests(5)
    assert table.arrival_us[-1] / 1e6 == pytest.approx(1000, rel=0.1)
    assert table.details.client.names == tuple(clients)
    for code, (fraction, slo_class, inputs, outputs) in enumerate(clients.values()):
        mine = table.details.client.codes == code
        assert mine.mean() == pytest.approx(fraction, abs=0.02)
        assert {table.slo_class.names[c] for c in np.unique(table.slo_class.codes[mine])} == {slo_class}
        assert table.input_tokens[mine].mean() == pytest.approx(inputs, rel=0.07)
        assert table.output_tokens[mine].mean() == pytest.approx(outputs, rel=0.07)
    if name == "bursty-traffic":
        gaps = np.diff(table.arrival_us)
        assert gaps.std() / gaps.mean() == pytest.approx(3.5, rel=0.1)


def test_scenarios_by_name():
    for name in SCENARIOS:
        assert blis.scenario(name, seed=3).seed == 3
    with pytest.raises(blis.ConfigError, match=r"scenario: unknown name 'mixed'; "):
        blis.scenario("mixed")
