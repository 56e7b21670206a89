"""Event logs: every stamp of every request is one line, nothing else is, and runs are the same with and without."""

import dataclasses

import pytest
from helpers_cli import LLAMA, ROUND
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cluster_random import closed_loops, clusters, compiled, reference

import blis
from blis._core.codes import StepLog
from blis.cli.console import wants_bar
from blis.cli.main import main
from blis.outcomes.event_log import recording
from blis.outcomes.event_log.lines import Event
from blis.outcomes.outcomes import Outcomes
from blis.simulation import run as simulation_run

pytestmark = pytest.mark.usefixtures("compiled_engine")

#: Two instances that preempt, a bucket that runs empty, prompts that are too long.
SERVERS = (
    *ROUND[:6],
    *("--total-kv-blocks", 60, "--max-model-len", 700, "--num-instances", 2),
    *("--admission-policy", "token-bucket", "--token-bucket-capacity", 6000, "--token-bucket-refill-rate", 2000),
    *("--admission-latency", 500, "--routing-latency", 300, "--routing-policy", "least-loaded"),
)
LOAD = (
    *("--num-requests", 60, "--rate", 60),
    *("--prompt-tokens", 200, "--prompt-tokens-stdev", 250, "--output-tokens", 150),
)
CROWDED = (*SERVERS, *LOAD)
STAMPS = {"visible": "enqueued_us", "first_scheduled": "first_scheduled_us", "first_token": "first_token_us"}
STAMPS["finished"] = "finished_us"


def parsed(line):
    return dict(word.split("=", 1) for word in line.split())


def key(fields):
    """By what lines are sorted."""
    subject = fields["request"] if "request" in fields else fields["instance"].removeprefix("instance_")
    return int(fields["clock_us"]), Event[fields["event"].upper()], int(subject)


def short(fields):
    """Clock, event, request, instance: what tells lines about requests apart."""
    instance = fields.get("instance", "instance_-1").removeprefix("instance_")
    return int(fields["clock_us"]), fields["event"], int(fields["request"]), int(instance)


def events_of(outcomes):
    """What a log must hold, but for preemptions, of the rows of the outcomes."""
    expected, cluster = [], outcomes.metadata["cluster"]
    for row in outcomes.requests.iter_rows(named=True):
        number = int(row["request_id"].removeprefix("request_"))
        instance = -1 if row["instance_id"] is None else int(row["instance_id"].removeprefix("instance_"))
        admission_us = row["arrival_us"] + cluster["admission_latency_us"]
        expected.append((row["arrival_us"], "arrival", number, -1))
        if row["status"].startswith("refused"):
            expected.append((row["arrival_us"], "refused", number, -1))
        elif row["status"] == "rejected":
            expected.append((admission_us, "rejected", number, -1))
        else:
            routing_us = admission_us + cluster["routing_latency_us"]
            expected += [(admission_us, "admitted", number, -1), (routing_us, "routed", number, instance)]
        for event, column in STAMPS.items():
            if row[column] is not None:
                expected.append((row[column], event, number, instance))
    return expected


def referee(cluster, result):
    """What a log must hold of a run of the reference cluster: lines of requests, and of steps."""
    number = {request.id: i for i, request in enumerate(cluster.case.requests)}
    requests, steps = [], []
    for name, outcome in result.requests.items():
        where = -1 if outcome.instance is None else outcome.instance
        arrival_us = (
            cluster.case.requests[number[name]].arrival_us if outcome.arrival_us is None else outcome.arrival_us
        )
        if outcome.status not in ("not_arrived", "not_sent"):
            requests.append((arrival_us, "arrival", number[name], -1))
        if outcome.status.startswith("refused"):
            requests.append((arrival_us, "refused", number[name], -1))
        for event, stamp_us in (
            ("visible", outcome.visible_us),
            ("first_scheduled", outcome.first_scheduled_us),
            ("first_token", outcome.first_token_us),
            ("finished", outcome.finish_us),
        ):
            if stamp_us is not None:
                requests.append((stamp_us, event, number[name], where))
    for decision in result.admissions:
        event = "admitted" if decision.admitted else "rejected"
        requests.append((decision.clock_us, event, number[decision.id], -1))
    requests += [(decision.clock_us, "routed", number[decision.id], decision.target) for decision in result.routings]
    for index, instance in enumerate(result.instances):
        for step in instance.steps:
            requests += [(step.plan, "preempted", number[name], index) for name in step.preempted]
            if step.dt:
                tokens = sum(count for _, count in step.sched)
                steps.append((step.t, index, step.dt, len(step.sched), tokens, step.free))
    return sorted(requests), sorted(steps)


def assert_log(cluster, steps):
    expected = reference(cluster)
    if expected is None:
        return
    log = blis.EventLog(steps=steps)
    run = compiled(cluster, steps=log.record, log_steps=log.level)
    plain = compiled(cluster).result()
    result = run.result()
    for field in dataclasses.fields(plain):
        assert str(getattr(result, field.name)) == str(getattr(plain, field.name))
    outcomes = Outcomes(run._table, result, 0, {"cluster": dataclasses.asdict(cluster.options)})
    lines = [parsed(line) for line in log.lines(outcomes)]
    keys = [key(fields) for fields in lines]
    assert keys == sorted(set(keys))
    of_requests, of_steps = referee(cluster, expected)
    assert sorted(short(fields) for fields in lines if fields["level"] == "debug") == of_requests
    found = [fields for fields in lines if fields["level"] == "trace"]
    assert [fields["event"] for fields in found] == ["step"] * len(found)
    numbers = ("step_us", "batch_size", "new_tokens", "free_blocks")
    assert sorted(
        (int(f["clock_us"]), int(f["instance"].removeprefix("instance_")), *(int(f[n]) for n in numbers)) for f in found
    ) == (of_steps if steps else [])
    for fields in found:
        assert int(fields["used_blocks"]) + int(fields["free_blocks"]) == result.usable_blocks


@settings(max_examples=200)
@given(clusters, st.booleans())
@pytest.mark.slow
def test_lines_are_what_the_reference_cluster_did(cluster, steps):
    assert_log(cluster, steps)


@settings(max_examples=200)
@given(closed_loops, st.booleans())
@pytest.mark.slow
def test_lines_of_requests_that_wait_for_others(cluster, steps):
    assert_log(cluster, steps)


def run(capsys, *words):
    code = main([str(word) for word in ("run", *words)])
    out, err = capsys.readouterr()
    assert code == 0, err
    return out, err


def test_each_stamp_of_the_outcomes_is_one_line(capsys, tmp_path):
    log, logged, plain = tmp_path / "events.log", tmp_path / "logged.parquet", tmp_path / "plain.parquet"
    with_log = run(capsys, *CROWDED, "--log", "debug", "--log-file", log, "--outcomes-path", logged)
    without = run(capsys, *CROWDED, "--outcomes-path", plain)
    assert with_log[0] == without[0]
    assert logged.read_bytes() == plain.read_bytes()
    assert "event=" not in with_log[1]

    lines = [parsed(line) for line in log.read_text().splitlines()]
    assert {fields["event"] for fields in lines} == {event.name.lower() for event in Event} - {"step"}
    assert all(list(fields)[:3] == ["level", "clock_us", "event"] for fields in lines)
    outcomes = Outcomes.read_parquet(logged)
    found = sorted(short(fields) for fields in lines if fields["event"] != "preempted")
    assert found == sorted(events_of(outcomes))
    for row in outcomes.requests.iter_rows(named=True):
        number = row["request_id"].removeprefix("request_")
        own = [f for f in lines if f["request"] == number]
        assert sum(f["event"] == "preempted" for f in own) == row["num_preemptions"]
        assert own[0]["input_tokens"] == str(row["input_tokens"])
        if row["status"] == "completed":
            assert own[-1]["output_tokens"] == str(row["produced_tokens"])
            assert own[-1]["preemptions"] == str(row["num_preemptions"])


def test_stderr_and_file_get_the_same_lines(capsys, tmp_path):
    for level in ("debug", "trace"):
        log = tmp_path / level
        run(capsys, *CROWDED, "--log", level, "--log-file", log)
        _, err = run(capsys, *CROWDED, "--log", level)
        on_stderr = [line for line in err.splitlines() if line.startswith("level=")]
        assert on_stderr == log.read_text().splitlines()
        assert ("level=trace" in err) == (level == "trace")
        assert all(line.startswith(("level=", "blis: ")) for line in err.splitlines())


def test_less_than_debug_tells_no_events(capsys, tmp_path):
    _, err = run(capsys, *ROUND, "--num-requests", 3, "--log", "info")
    assert "event=" not in err
    _, err = run(capsys, *ROUND, "--num-requests", 3, "--log-file", tmp_path / "log")
    assert "--log-file has no effect without --log debug or trace" in err
    assert list(tmp_path.iterdir()) == []
    _, err = run(capsys, *ROUND, "--num-requests", 3, "--log", "debug", "--quiet")
    assert err == ""


def test_a_replay_tells_the_same_events(capsys, tmp_path):
    prefix = tmp_path / "t"
    run(capsys, *CROWDED, "--log", "debug", "--log-file", tmp_path / "run.log", "--trace-output", prefix)
    words = ["replay", "--trace-header", f"{prefix}.yaml", "--trace-data", f"{prefix}.csv", *SERVERS]
    assert main([str(word) for word in (*words, "--log", "debug", "--log-file", tmp_path / "replay.log")]) == 0
    assert (tmp_path / "replay.log").read_text() == (tmp_path / "run.log").read_text()


def test_a_log_that_cannot_be_written_costs_no_figures(capsys):
    assert main([str(w) for w in ("run", *ROUND, "--log", "debug", "--log-file", "/dev/full")]) == 1
    out, err = capsys.readouterr()
    assert '"completed_requests": 100' in out
    assert "/dev/full: No space left on device" in err


def test_a_full_disk_while_the_run_goes_on_costs_the_log_only(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    log = blis.EventLog(steps=True)
    monkeypatch.setattr(log._file, "write", full)
    outcomes = blis.simulate(LLAMA[1], blis.DistributionWorkload(rate=5, num_requests=20), events=log)
    assert outcomes.summary["completed_requests"] == 20
    with pytest.raises(OSError, match="No space left"):
        list(log.lines(outcomes))


def test_large_logs_go_through_the_disk(tmp_path, monkeypatch):
    def lines():
        log = blis.EventLog(steps=True, scratch_folder=tmp_path)
        outcomes = blis.simulate(LLAMA[1], blis.DistributionWorkload(rate=50, num_requests=50), events=log)
        return list(log.lines(outcomes))

    small = lines()
    monkeypatch.setattr(recording, "_MOST_BYTES", 1)
    monkeypatch.setattr(recording, "_ROWS", 7)
    monkeypatch.setattr(simulation_run, "WORK_PER_CALL", 10)
    assert lines() == small
    assert list(tmp_path.iterdir()) == []


def test_timeline_and_events_go_together(tmp_path):
    workload = blis.DistributionWorkload(rate=20, num_requests=50)
    alone, log, timeline = blis.EventLog(), blis.EventLog(), blis.Timeline()
    assert alone.level == StepLog.REQUESTS
    outcomes = blis.simulate(LLAMA[1], workload, events=alone)
    both = blis.simulate(LLAMA[1], workload, events=log, timeline=timeline)
    assert list(log.lines(both)) == list(alone.lines(outcomes))
    assert len(timeline.steps()) == both.result.num_steps
    log.write(both, tmp_path / "log")
    assert (tmp_path / "log").read_text().splitlines() == list(alone.lines(outcomes))


def test_what_ctrl_c_leaves_is_told(monkeypatch):
    def stop(finished, total, clock_us):
        if finished > 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(simulation_run, "WORK_PER_CALL", 50)
    log = blis.EventLog()
    workload = blis.DistributionWorkload(rate=20, num_requests=50)
    outcomes = blis.simulate(LLAMA[1], workload, events=log, progress=stop)
    assert outcomes.result.interrupted
    lines = [parsed(line) for line in log.lines(outcomes)]
    assert max(int(fields["clock_us"]) for fields in lines) <= outcomes.result.end_us
    completed = int((outcomes.result.finished_us >= 0).sum())
    assert sum(fields["event"] == "finished" for fields in lines) == completed > 5


def test_bars_and_events_do_not_share_the_terminal(monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    flags = {"quiet": False, "log": "debug", "log_file": None}
    assert not wants_bar(flags)
    assert wants_bar(flags | {"log_file": "x"})
    assert wants_bar(flags | {"log": "info"})
    assert wants_bar({"quiet": False, "log": "debug"})  # a command without events


def test_commands_of_many_runs_tell_no_events(capsys, tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(
        "base: {model: m, alpha_coeffs: [0, 0, 0], beta_coeffs: [1000, 1, 1], total_kv_blocks: 500, num_requests: 5}\n"
        "grid: {rate: [1, 2]}\n"
    )
    assert main(["sweep", str(path), "--log", "debug", "--output", str(tmp_path / "out.parquet")]) == 0
    err = capsys.readouterr().err
    assert "event=" not in err
    assert "this command tells no events; blis run and blis replay do" in err
