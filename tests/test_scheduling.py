"""Orders of the waiting queue, by hand and through the engine; random cases are in test_engine_random."""

from __future__ import annotations

import json

import numpy as np
import pytest

from blis.cli.main import main
from blis.config.schema import EngineConfig
from blis.errors import ConfigError
from blis.latency.blackbox import blackbox_model
from blis.policies.scheduling import waiting_order
from blis.simulation import run_engine
from blis.workload.requests import RequestTable


def table(arrival_us, prompts, priority=None):
    return RequestTable(np.array(arrival_us), np.array(prompts), np.full(len(prompts), 2), priority=priority)


@pytest.mark.parametrize(
    ("scheduler", "priority_policy", "order"),
    [
        ("sjf", "constant", [1, 3, 2, 0]),
        ("priority-fcfs", "constant", [1, 2, 3, 0]),
        ("priority-fcfs", "slo-based", [1, 2, 3, 0]),
        ("priority-fcfs", "inverted-slo", [0, 2, 3, 1]),
        ("reverse-priority", "constant", [1, 2, 3, 0]),
        ("reverse-priority", "slo-based", [0, 2, 3, 1]),
        ("reverse-priority", "inverted-slo", [1, 2, 3, 0]),
    ],
)
def test_orders_by_hand(scheduler, priority_policy, order):
    """Rows 2 and 3 arrive together: the row decides where nothing else does."""
    engine = EngineConfig(100, scheduler=scheduler, priority_policy=priority_policy)
    requests = table([30, 10, 20, 20], [90, 5, 50, 40])
    assert waiting_order(requests, engine).tolist() == order


def test_fcfs_has_no_fixed_order():
    assert waiting_order(table([0], [1]), EngineConfig(100)) is None


@pytest.mark.parametrize(
    ("scheduler", "priority_policy", "order"),
    [
        ("fcfs", "inverted-slo", [0, 1, 2, 3]),
        ("sjf", "constant", [0, 3, 1, 2]),
        ("priority-fcfs", "inverted-slo", [0, 3, 2, 1]),
        ("reverse-priority", "slo-based", [0, 3, 2, 1]),
    ],
)
def test_one_seat_is_given_in_that_order(scheduler, priority_policy, order):
    """While request 0 runs the others queue up; then they are admitted one after the other."""
    engine = EngineConfig(100, max_num_running_reqs=1, scheduler=scheduler, priority_policy=priority_policy)
    requests = table([0, 10, 20, 30], [10, 50, 90, 20])
    result = run_engine(requests, engine, blackbox_model((0, 0, 0), (1_000, 1, 1)))
    assert np.argsort(result.first_scheduled_us).tolist() == order


def test_shortest_job_first_helps_the_mean_and_hurts_the_long(capsys):
    """The same overload under both: the classical trade."""
    means, tails = [], []
    for scheduler in ("fcfs", "sjf"):
        words = f"--rate 40 --max-prompts 600 --prompt-tokens 2000 --prompt-tokens-stdev 1500 --scheduler {scheduler}"
        assert main(["run", "--model", "meta-llama/llama-3.1-8b-instruct", *words.split()]) == 0
        summary = json.loads(capsys.readouterr().out)
        assert summary["completed_requests"] == 600
        means.append(summary["scheduling_delay_mean_ms"])
        tails.append(summary["scheduling_delay_p99_ms"])
    assert means[1] < 0.8 * means[0]
    assert tails[1] > tails[0]


def test_two_kinds_of_priority_exclude_each_other():
    with pytest.raises(ConfigError, match=r"^scheduler: sjf and vLLM's own scheduling_policy priority exclude"):
        EngineConfig(100, scheduling_policy="priority", scheduler="sjf")


def test_a_priority_that_nothing_goes_by_is_named(capsys):
    words = [
        "run",
        "--model",
        "meta-llama/llama-3.1-8b-instruct",
        "--max-prompts",
        "2",
        "--priority-policy",
        "slo-based",
    ]
    assert main(words) == 0
    assert "has no effect with the scheduler fcfs" in capsys.readouterr().err
    assert main([*words, "--scheduler", "priority-fcfs"]) == 0
    assert "no effect" not in capsys.readouterr().err


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"^scheduler: unknown name 'sfj'; did you mean 'sjf'\?$"):
        EngineConfig(100, scheduler="sfj")
