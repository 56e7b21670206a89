"""Built-in policies against figures worked out by hand, through the pointers that the engine gets."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers_policies import ask, view
from test_compiled import NOTHING_SHIPPED

import blis
from blis.compiled.function import compiled
from blis.config.schema import ADMISSION_POLICIES, ROUTING_POLICIES, ClusterOptions
from blis.config.schema import SCORERS as SCORER_NAMES
from blis.policies import _scorer_kernels, policy
from blis.policies.admission import admission_policy
from blis.policies.routing import POLICIES, routing_policy
from blis.policies.scorers import SCORERS

CHECKOUT = Path(blis.__file__).parent.parent


def weighted(*scorers):
    return routing_policy(ClusterOptions(routing_policy="weighted", routing_scorers=scorers))


def routing(name, **options):
    return routing_policy(ClusterOptions(routing_policy=name, **options))


# --- scorers ---------------------------------------------------------------------------------------------

#: Four instances. Waiting + pending: 4, 2, 0, 4. Load, which adds the running ones: 7, 2, 1, 10.
INSTANCES = {
    "queue_depth": [3, 2, 0, 0],
    "pending_requests": [1, 0, 0, 4],
    "batch_size": [3, 0, 1, 6],
    "kv_utilization": [0.25, 0.0, 1.0, 0.5],
    "prefix_blocks": [0, 4, 0, 0],
    "cached_blocks": [1, 3, 4, 0],
}


@pytest.mark.parametrize(
    ("scorer", "scores"),
    [
        ("queue-depth", [0, 2 / 4, 1, 0]),
        ("kv-utilization", [0.75, 1, 0, 0.5]),
        ("load-balance", [1 / 8, 1 / 3, 1 / 2, 1 / 11]),
        ("active-requests", [3 / 10, 8 / 10, 9 / 10, 0]),
        ("prefix-affinity", [0, 4 / 5, 0, 0]),
        ("precise-prefix-cache", [1 / 5, 3 / 5, 4 / 5, 0]),
    ],
)
def test_scores(scorer, scores):
    chosen = weighted((scorer, 2.5))
    seen = view(4, chosen, prompt_blocks=5, **INSTANCES)
    assert ask(chosen, seen) == int(np.argmax(scores))
    assert seen.scores.tolist() == scores
    assert chosen.scores


@pytest.mark.parametrize(
    ("scorer", "score"),
    [
        ("queue-depth", 1.0),  # alike, whether none waits or all do
        ("kv-utilization", 1.0),
        ("load-balance", 1.0),
        ("active-requests", 1.0),
        ("prefix-affinity", 0.0),  # a prompt below one block
        ("precise-prefix-cache", 0.0),
    ],
)
def test_scores_of_idle_instances(scorer, score):
    chosen = weighted((scorer, 1.0))
    seen = view(3, chosen)
    assert ask(chosen, seen) == 0
    assert seen.scores.tolist() == [score] * 3


def test_queues_of_one_length_are_alike():
    chosen = weighted(("queue-depth", 1.0))
    seen = view(2, chosen, queue_depth=[5, 2], pending_requests=[0, 3])
    assert ask(chosen, seen) == 0
    assert seen.scores.tolist() == [1.0, 1.0]


def test_weights_are_normalised_and_added_in_the_order_given():
    scorers = (("load-balance", 0.1), ("precise-prefix-cache", 0.2), ("kv-utilization", 0.4))
    chosen = weighted(*scorers)
    seen = view(4, chosen, prompt_blocks=7, **INSTANCES)
    ask(chosen, seen)
    total = (0.1 + 0.2) + 0.4
    load = [7, 2, 1, 10]
    for i in range(4):
        score = 0.1 / total * (1 / (1 + load[i]))
        score += 0.2 / total * (INSTANCES["cached_blocks"][i] / 7)
        score += 0.4 / total * (1 - INSTANCES["kv_utilization"][i])
        assert seen.scores[i] == score


def test_two_weights_stand_for_two_scorers():
    seed = routing("weighted", routing_cache_weight=3.0, routing_load_weight=1.0)
    assert (
        seed.initial_state(1).tolist()
        == weighted(("kv-utilization", 0.75), ("load-balance", 0.25)).initial_state(1).tolist()
    )
    assert seed.reads == {"kv_utilization", "queue_depth", "batch_size", "pending_requests"}


def test_scorers_without_weight_are_not_asked():
    chosen = weighted(("kv-utilization", 1.0), ("precise-prefix-cache", 0.0))
    assert chosen.reads == {"kv_utilization"}
    seen = view(2, chosen, prompt_blocks=1, cached_blocks=[0, 1], kv_utilization=[0.5, 0.5])
    assert ask(chosen, seen) == 0
    assert routing("weighted", routing_cache_weight=0.0).reads == {"queue_depth", "batch_size", "pending_requests"}


def test_scorers_are_numbered_alike_in_both_files():
    for number, name in enumerate(SCORERS):
        assert getattr(_scorer_kernels, name.replace("-", "_").upper()) == number


# --- routing ---------------------------------------------------------------------------------------------


def test_round_robin_takes_turns():
    chosen = routing("round-robin")
    seen = view(3, chosen)
    assert [ask(chosen, seen) for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]
    assert chosen.reads == frozenset()


def test_least_and_most_load_count_waiting_running_and_pending():
    load = {"queue_depth": [1, 0, 2, 0], "batch_size": [2, 1, 0, 1], "pending_requests": [0, 1, 1, 1]}  # 3, 2, 3, 2
    assert ask(routing("least-loaded"), view(4, **load)) == 1
    assert ask(routing("always-busiest"), view(4, **load)) == 0


def test_ties_go_to_the_lowest_index():
    for name in ("least-loaded", "always-busiest", "prefix-affinity", "weighted"):
        chosen = routing(name)
        assert ask(chosen, view(5, chosen, queue_depth=3)) == 0


def test_prefix_affinity_follows_the_prefix_and_else_the_load():
    chosen = routing("prefix-affinity")
    seen = view(3, chosen, queue_depth=[5, 9, 2], prefix_blocks=[0, 4, 0])
    assert ask(chosen, seen) == 1
    assert ask(chosen, seen.put(prefix_blocks=0)) == 2
    assert chosen.reads == {"prefix_blocks", "queue_depth", "batch_size", "pending_requests"}


def test_one_instance_gets_everything():
    for name in POLICIES:
        chosen = routing(name)
        seen = view(1, chosen, queue_depth=8, kv_utilization=1.0)
        assert [ask(chosen, seen) for _ in range(3)] == [0, 0, 0]


def test_policies_that_do_not_score_leave_the_scores_alone():
    for name in POLICIES:
        chosen = routing(name)
        seen = view(2, chosen)
        ask(chosen, seen)
        assert np.isnan(seen.scores).all() == (not chosen.scores)


# --- admission -------------------------------------------------------------------------------------------


def test_everybody_and_nobody():
    assert ask(admission_policy(ClusterOptions()), view(2)) == 1
    assert ask(admission_policy(ClusterOptions(admission_policy="reject-all")), view(2)) == 0


def test_token_bucket():
    """Ten tokens, four a second: a refusal takes nothing, refilling stops at the brim."""
    options = ClusterOptions(admission_policy="token-bucket", token_bucket_capacity=10.0, token_bucket_refill_rate=4.0)
    bucket = admission_policy(options)
    seen = view(2, bucket)
    decisions = [
        # now_us, prompt, admitted, level afterwards
        (0, 7, 1, 3.0),
        (0, 4, 0, 3.0),
        (250_000, 4, 1, 0.0),
        (250_000, 1, 0, 0.0),
        (499_999, 1, 0, 249_999 * 4.0 / 1e6),
        (10_000_000, 11, 0, 10.0),
        (10_000_000, 10, 1, 0.0),
        (12_000_000, 8, 1, 0.0),
    ]
    for now_us, prompt, admitted, level in decisions:
        assert ask(bucket, seen.put(now_us=now_us, input_tokens=prompt)) == admitted
        assert seen.state[0] == level
    assert bucket.reads == frozenset()


def test_each_run_begins_with_a_full_bucket():
    bucket = admission_policy(ClusterOptions(admission_policy="token-bucket"))
    first = bucket.initial_state(1)
    first[0] = 0
    assert bucket.initial_state(1).tolist() == [10_000.0, 0.0, 10_000.0, 1_000.0]


def test_every_name_that_options_accept_has_its_policy():
    assert [admission_policy(ClusterOptions(admission_policy=name)).name for name in ADMISSION_POLICIES] == [
        *ADMISSION_POLICIES
    ]
    assert sorted(POLICIES) == sorted(ROUTING_POLICIES)
    assert sorted(SCORERS) == sorted(SCORER_NAMES)


# --- how they are compiled -------------------------------------------------------------------------------

#: Makes every built-in policy, prints what each decides and whether it came from the cache.
SCRIPT = """
import numpy as np
from blis.config.schema import ADMISSION_POLICIES, ClusterOptions
from blis.policies.admission import admission_policy
from blis.policies.routing import POLICIES, routing_policy
from helpers_policies import pointer, view
policies = [admission_policy(ClusterOptions(admission_policy=name)) for name in ADMISSION_POLICIES]
policies += [routing_policy(ClusterOptions(routing_policy=name)) for name in POLICIES]
for policy in policies:
    columns = {name: [7, 2, 9] for name in ("queue_depth", "batch_size")}
    seen = view(3, policy, input_tokens=9, now_us=5, prefix_blocks=[0, 0, 3], kv_utilization=[0.5, 0.7, 0.1], **columns)
    blocks = seen.memory()
    compiled = policy.compile()
    if hasattr(compiled, "address"):
        answer = pointer(compiled)(*(block.ctypes.data for block in blocks))
    else:
        answer = compiled(*(block.ctypes for block in blocks))
    print(policy.name, int(answer), getattr(compiled, "is_stored", ""))
"""


def run_script(**environment):
    environment = os.environ | {"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'tests'}"} | environment
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_as_plain_python_they_decide_the_same(tmp_path):
    compiled = run_script(NUMBA_DISABLE_JIT="0", NUMBA_CACHE_DIR=str(tmp_path), **NOTHING_SHIPPED)
    assert len(compiled) == len(ADMISSION_POLICIES) + len(POLICIES)
    assert {is_stored for _, _, is_stored in compiled} == {"False"}
    again = run_script(NUMBA_DISABLE_JIT="0", NUMBA_CACHE_DIR=str(tmp_path), **NOTHING_SHIPPED)
    assert again == [[name, answer, "True"] for name, answer, _ in compiled]
    assert run_script(NUMBA_DISABLE_JIT="1") == [[name, answer] for name, answer, _ in compiled]


def test_they_compile_where_nothing_can_be_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "folder"))
    (tmp_path / "file").touch()
    names = {}
    exec(compile("def second(words, numbers, state):\n    return words[1]\n", "<nowhere>", "exec"), names)
    nowhere = policy.Policy("second", lambda: compiled(policy.decision(lambda: names["second"], "second")))
    assert ask(nowhere, view(1, now_us=42)) == 42


def test_choosing_a_policy_does_not_load_numba():
    program = (
        "import sys; from blis.config.schema import ClusterOptions; from blis.policies.routing import routing_policy;"
        "from blis.policies.admission import admission_policy; import blis.policies.custom;"
        "admission_policy(ClusterOptions()); routing_policy(ClusterOptions(routing_policy='weighted'));"
        "sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
