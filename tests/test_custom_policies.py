"""Users' own policies: compiled and as plain Python, what they see, what they may answer, how they fail."""

import builtins
import gc
import logging
import math
import os
import subprocess
import sys
import weakref
from pathlib import Path

import numba
import numpy as np
import pytest
from helpers_policies import PRIORITY, STEP_TIME, ask, pointer, view

import blis
from blis._core.codes import RAISED
from blis.config.schema import ClusterOptions
from blis.errors import ConfigError
from blis.latency.blackbox import blackbox_model
from blis.policies.custom import load_latency_model, load_policy
from blis.policies.policy import COLUMNS
from blis.policies.routing import routing_policy

CHECKOUT = Path(blis.__file__).parent.parent
EXAMPLES = CHECKOUT / "examples" / "policies.py"

#: numba knows no dicts of this kind as globals: a function that mentions it runs as plain Python.
WORDS = {"python": 0}


def policy_of(function):
    return function.__blis_policy__.policy


def is_compiled(policy):
    return hasattr(policy.compile(), "cache_hits")


def failure_of(policy, seen):
    return policy.failure(*seen.memory())


# --- the same answers either way -------------------------------------------------------------------------


@blis.routing_policy
def shortest(request, instances, state):
    return np.argmin(instances.queue_depth + instances.batch_size)


@blis.routing_policy
def shortest_python(request, instances, state):
    WORDS["python"]
    return np.argmin(instances.queue_depth + instances.batch_size)


@blis.routing_policy(state=[1.0, 0.5], reads=COLUMNS)
def everything(request, instances, state, scores):
    state[0] += request.arrival_us + request.priority
    for i in range(instances.num_instances):
        scores[i] = instances.kv_utilization[i] + instances.cache_hit_rate[i] * instances.free_kv_blocks[i]
        scores[i] += instances.prefix_blocks[i] - instances.cached_blocks[i] + instances.pending_requests[i] * state[1]
    return request.index + request.input_tokens + request.slo_class + request.tenant + request.prompt_blocks


@blis.routing_policy(state=[1.0, 0.5], reads=COLUMNS)
def everything_python(request, instances, state, scores):
    WORDS["python"]
    return everything(request, instances, state, scores)


@blis.admission_policy(state=1)
def every_other(request, instances, state):
    state[0] += 1
    return state[0] % 2 == 1 and instances.now_us < 100


@blis.admission_policy(state=1)
def every_other_python(request, instances, state):
    WORDS["python"]
    return every_other(request, instances, state)


@pytest.mark.parametrize(("function", "compiled"), [(shortest, True), (shortest_python, False)])
@pytest.mark.slow
def test_routing(function, compiled):
    policy = policy_of(function)
    assert is_compiled(policy) == compiled
    assert policy.reads == {"queue_depth", "batch_size"}
    assert not policy.scores
    seen = view(4, policy, queue_depth=[3, 1, 2, 1], batch_size=[0, 4, 0, 1])
    assert ask(policy, seen) == 2
    assert ask(policy, seen.put(queue_depth=[0, 9, 9, 9])) == 0


@pytest.mark.parametrize(("function", "compiled"), [(everything, True), (everything_python, False)])
@pytest.mark.slow
def test_every_field_and_column_has_its_place(function, compiled):
    policy = policy_of(function)
    assert is_compiled(policy) == compiled
    assert policy.scores
    assert policy.reads == set(COLUMNS)
    request = {"request": 1, "input_tokens": 20, "slo_class": 300, "tenant": 4_000, "prompt_blocks": 50_000}
    seen = view(2, policy, arrival_us=6, priority=-70, **request)
    seen.put(kv_utilization=[0.5, 1.0], cache_hit_rate=[0.25, 0.0], free_kv_blocks=[8, 9])
    seen.put(prefix_blocks=[100, 200], cached_blocks=[10, 20], pending_requests=[1000, 2000])
    assert ask(policy, seen) == 54_321
    assert seen.scores.tolist() == [0.5 + 2.0 + 90 + 500, 1.0 + 180 + 1000]
    assert seen.state.tolist() == [-63.0, 0.5]
    assert policy.initial_state(2).tolist() == [1.0, 0.5]


@pytest.mark.parametrize(("function", "compiled"), [(every_other, True), (every_other_python, False)])
def test_admission(function, compiled):
    policy = policy_of(function)
    assert is_compiled(policy) == compiled
    seen = view(1, policy)
    assert [ask(policy, seen.put(now_us=now)) for now in (0, 1, 2, 3, 200)] == [1, 0, 1, 0, 0]


def test_memory_that_moves_or_grows_is_seen():
    """One policy serves runs of all sizes, one after another."""
    policy = policy_of(shortest_python)
    for n in (2, 5, 3):
        seen = view(n, policy, queue_depth=np.arange(n, 0, -1))
        assert ask(policy, seen) == n - 1


@pytest.mark.parametrize("touch", ["", "    WORDS\n"])
def test_priority(tmp_path, touch):
    source = f"WORDS = {{}}\ndef urgency(request, now_us, state):\n{touch}    state[0] += 1\n"
    (tmp_path / "p.py").write_text(source + "    return (now_us - request.arrival_us) / request.input_tokens\n")
    policy = load_policy(f"{tmp_path}/p.py:urgency", "priority")
    assert is_compiled(policy) == (not touch)
    assert policy.reads == frozenset()
    seen = view(1, policy, now_us=10, arrival_us=4, input_tokens=4)
    assert ask(policy, seen, PRIORITY) == 1.5
    assert seen.state[0] == 1
    assert len(policy.initial_state(1)) == 256
    assert len(policy.initial_state(100)) == 1600


@blis.step_time(parameters=(2, 0.25))
def half_a_step(batch, parameters):
    return sum(batch) * parameters[0] + parameters[1] + len(parameters)


@blis.step_time(parameters=(2, 0.25))
def half_a_step_python(batch, parameters):
    WORDS["python"]
    return sum(batch) * parameters[0] + parameters[1] + len(parameters)


@pytest.mark.parametrize("function", [half_a_step, half_a_step_python])
def test_step_time(function):
    model = function.__blis_policy__.latency_model((1, 2, 3), None)
    assert model.alpha == (1.0, 2.0, 3.0)
    law = pointer(model.compile(), STEP_TIME)
    assert law(1, 2, 3, 4, 5, 6, 7, model.parameters.ctypes.data) == 58  # 28 * 2 + 0.25 + 2, cut
    other = function.__blis_policy__.latency_model((0, 0, 0), (1.0, 0.0, 0.0))
    assert pointer(other.compile(), STEP_TIME)(1, 2, 3, 4, 5, 6, 7, other.parameters.ctypes.data) == 31


def test_decorated_functions_stay_what_they_were():
    assert shortest.__name__ == "shortest"
    assert half_a_step([1, 2], [3.0, 0.5]) == 11.5


# --- one type for the engine -----------------------------------------------------------------------------


@pytest.mark.slow
def test_the_engine_takes_all_of_them_by_address():
    for policy in (routing_policy(ClusterOptions()), policy_of(shortest), policy_of(shortest_python)):
        assert ask(policy, view(2, policy, queue_depth=[1, 1])) == 0
    for model in (
        blackbox_model((0, 0, 0), (4, 0.25, 0)),
        half_a_step.__blis_policy__.latency_model((0, 0, 0), None),
        half_a_step_python.__blis_policy__.latency_model((0, 0, 0), None),
    ):
        assert pointer(model.compile(), STEP_TIME)(1, 0, 0, 0, 0, 0, 0, model.parameters.ctypes.data) == 4


def test_compiled_once():
    policy = policy_of(shortest)
    assert policy.compile() is policy.compile()
    spec = f"{EXAMPLES}:cache_or_queue"
    assert load_policy(spec, "routing") is load_policy(spec, "routing")


@pytest.mark.parametrize("value", ["1", "WORDS.get(0, 1)"])
def test_policies_can_be_collected(value):
    names = {"blis": blis, "WORDS": {}}
    exec(f"@blis.routing_policy\ndef one(request, instances, state): return {value}\n", names)
    assert ask(policy_of(names["one"]), view(1)) == 1
    gone = weakref.ref(names.pop("one"))
    del names
    gc.collect()
    assert gone() is None


def test_as_plain_python_for_an_engine_that_is():
    script = f"""
import numpy as np
from blis.policies.custom import load_latency_model, load_policy
from helpers_policies import view
policy = load_policy({f"{EXAMPLES}:cache_or_queue"!r}, "routing")
seen = view(2, policy, queue_depth=[3, 1])
print(policy.compile()(*(block.ctypes for block in seen.memory())))
model = load_latency_model({f"{EXAMPLES}:memory_or_compute_bound"!r})
print(model.compile()(*[np.int64(1000)] * 7, model.parameters.ctypes))
"""
    environment = os.environ | {"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'tests'}", "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["1", "40000"], done.stderr


# --- what goes wrong in a run ----------------------------------------------------------------------------


@blis.routing_policy
def beyond_the_end(request, instances, state):
    return instances.queue_depth[request.index]


@blis.routing_policy
def divides(request, instances, state):
    WORDS["python"]
    return 1 // request.index


@blis.routing_policy
def objects(request, instances, state):
    if request.index == 0:
        return 0
    raise ValueError("first only")


@blis.routing_policy(reads=("batch_size",))
def reads_more(request, instances, state):
    return instances.queue_depth[0]


@blis.routing_policy
def misspells(request, instances, state):
    return instances.que_depth[0]


@blis.routing_policy
def knows_the_future(request, instances, state):
    return request.output_tokens


@blis.routing_policy
def writes(request, instances, state):
    instances.queue_depth[0] = 7
    return 0


@blis.routing_policy
def forgets(request, instances, state):
    state[0] = 1


@blis.routing_policy
def may_forget(request, instances, state):
    if request.index == 0:
        return 0
    return None


@blis.routing_policy
def not_whole(request, instances, state):
    return 1.0


@blis.admission_policy
def undecided(request, instances, state):
    return math.nan


@blis.admission_policy
def talks(request, instances, state):
    return "yes"


@pytest.mark.parametrize(
    ("function", "compiled", "message"),
    [
        (beyond_the_end, True, "raised IndexError: index 3 is out of bounds for axis 0 with size 2 (line {line})"),
        (objects, True, "raised ValueError: first only (line {later})"),
        (reads_more, False, "raised AttributeError: instances.queue_depth is not among the columns read (batch_size); "
         "name it in reads=(...) of the decorator (line {line})"),
        (misspells, False, "raised AttributeError: instances has no 'que_depth'; did you mean 'queue_depth'? "
         "(line {line})"),
        (knows_the_future, False, "raised AttributeError: 'Request' object has no attribute 'output_tokens' "
         "(line {line})"),
        (writes, False, "raised ValueError: assignment destination is read-only (line {line})"),
        (forgets, False, "returned None, expected the index of an instance, an integer"),
        (may_forget, False, "returned None, expected the index of an instance, an integer"),
        (not_whole, False, "returned 1.0, expected the index of an instance, an integer"),
        (undecided, True, "returned nan, expected true (admit) or false"),
        (talks, False, "returned 'yes', expected true (admit) or false"),
    ],
)  # fmt: skip
def test_failures(function, compiled, message):
    policy = policy_of(function)
    seen = view(2, policy, request=3, queue_depth=[5, 6])
    assert is_compiled(policy) == compiled
    assert ask(policy, seen) == RAISED
    first = function.__code__.co_firstlineno
    name = f"{function.__name__} (test_custom_policies.py:{first})"
    assert failure_of(policy, seen) == f"{name}: {message.format(line=first + 2, later=first + 4)}"
    assert seen.put(queue_depth=[5, 6]).words.tolist() == seen.words.tolist()


def test_after_a_failure_it_goes_on():
    policy = policy_of(divides)
    seen = view(2, policy)
    assert ask(policy, seen) == RAISED
    assert "ZeroDivisionError: integer division or modulo by zero (line " in failure_of(policy, seen)
    assert ask(policy, seen.put(request=1)) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_priorities_that_are_none_fail(value):
    @blis.priority_policy
    def lost(request, now_us, state):
        return value

    policy = policy_of(lost)
    seen = view(1, policy)
    assert not math.isfinite(ask(policy, seen, PRIORITY))  # the engine takes that for a failure
    assert failure_of(policy, seen).endswith(
        f": returned {value}, expected a finite number, the higher the more urgent"
    )


@pytest.mark.parametrize("python", [False, True])
def test_steps_that_are_none_fail(tmp_path, python):
    source = f"def backwards(batch, parameters):\n    return {'{}.get(0, ' if python else '('}-1.0)\n"
    (tmp_path / "law.py").write_text(source)
    model = load_latency_model(f"{tmp_path / 'law.py'}:backwards")
    assert is_compiled(model) == (not python)
    assert pointer(model.compile(), STEP_TIME)(*[1] * 7, model.parameters.ctypes.data) == RAISED
    expected = "backwards (law.py:1): returned -1.0, expected µs in [0, 1.1259e+15]"
    assert model.failure(np.ones(7, np.int64), model.parameters) == expected


def test_what_can_not_be_reproduced_says_so():
    @blis.admission_policy
    def moody(request, instances, state):
        state[0] += 1
        if state[0] == 1:
            raise ValueError
        return True

    policy = policy_of(moody)
    seen = view(1, policy)
    assert ask(policy, seen) == RAISED
    assert failure_of(policy, seen).endswith("failed as compiled code, but not when called again as Python")


def test_interrupting_is_not_a_failure():
    @blis.routing_policy
    def stops(request, instances, state):
        raise KeyboardInterrupt

    policy = policy_of(stops)
    seen = view(1, policy)
    assert ask(policy, seen) == RAISED
    with pytest.raises(KeyboardInterrupt):
        failure_of(policy, seen)


def test_a_second_call_does_not_hide_ctrl_c(tmp_path):
    """The engine asks a law twice about a step that fails in a run of decodes."""
    text = "import builtins\ndef law(batch, parameters):\n    builtins.pressed.pop()()\n    return 5\n"
    (tmp_path / "law.py").write_text(text)
    model = load_latency_model(f"{tmp_path / 'law.py'}:law")

    def press():
        raise KeyboardInterrupt

    builtins.pressed = [dict, dict, press]
    call = pointer(model.compile(), STEP_TIME)
    step = [1] * 7, model.parameters
    assert call(*step[0], step[1].ctypes.data) == RAISED
    assert call(*step[0], step[1].ctypes.data) == RAISED
    assert pointer(model.compile(), STEP_TIME)(*step[0], step[1].ctypes.data) == 5  # another run begins anew
    builtins.pressed = [press]
    assert call(*step[0], step[1].ctypes.data) == RAISED
    with pytest.raises(KeyboardInterrupt):
        model.failure(np.ones(7, np.int64), model.parameters)
    del builtins.pressed


def test_python_is_announced_with_the_reason(caplog):
    @blis.routing_policy
    def slow(request, instances, state):
        return WORDS["python"]

    with caplog.at_level(logging.WARNING, logger="blis"):
        policy_of(slow).compile()
        policy_of(slow).compile()
    first = slow.__code__.co_firstlineno
    assert caplog.messages == [
        f"slow (test_custom_policies.py:{first}): runs as plain Python, which is slow: "
        "Untyped global name 'WORDS': Cannot determine Numba type of <class 'dict'>"
    ]


def test_numba_dispatchers_are_taken_as_their_functions():
    marked = blis.routing_policy(numba.njit(lambda request, instances, state: 1))
    assert ask(policy_of(marked), view(2)) == 1


# --- what is refused before a run ------------------------------------------------------------------------


def two(request, instances): ...


def keyword(request, instances, state, *, gain): ...


def five(request, instances, state, scores, more): ...


def three(request, instances, state): ...


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        (lambda: blis.routing_policy(two), r"two .*: takes \(request, instances\), expected \(request, instances, stat"
         r"e\[, scores\]\)$"),
        (lambda: blis.routing_policy(keyword), r"takes \(request, instances, state, \*, gain\), expected"),
        (lambda: blis.routing_policy(five), r"takes .*more\), expected \(request, instances, state\[, scores\]\)$"),
        (lambda: blis.step_time(three), r"takes .*state\), expected \(batch, parameters\)$"),
        (lambda: blis.admission_policy(3), r"^@blis.admission_policy: expected a function, got 3$"),
        (lambda: blis.routing_policy(reads=("queue",))(three), r"reads: unknown column 'queue'; did you mean 'queue_d"),
        (lambda: blis.routing_policy(reads="queue_depth")(three), r"reads: expected a sequence of names, got 'queue_d"),
        (lambda: blis.routing_policy(state=-1)(three), r"state: must be a count in \[0, 134217728\] or numbers, got"),
        (lambda: blis.routing_policy(state=1.5)(three), r"state: must be a count in .* got 1.5$"),
        (lambda: blis.routing_policy(state=[math.nan])(three), r"state: must be finite numbers, got nan$"),
        (lambda: blis.step_time(parameters=["x"])(lambda batch, parameters: 1), r"parameters: .*finite .*got 'x'$"),
    ],
)  # fmt: skip
def test_bad_decorations(mark, message):
    with pytest.raises(ConfigError, match=message):
        mark()


def test_defaults_are_no_parameters():
    @blis.routing_policy
    def tuned(request, instances, state, gain=2):
        return gain

    assert ask(policy_of(tuned), view(3)) == 2
    assert not policy_of(tuned).scores


# --- examples --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("shed_long_prompts", "admission"),
        ("cache_or_queue", "routing"),
        ("short_first_but_nobody_starves", "priority"),
    ],
)
@pytest.mark.slow
def test_examples_compile(name, kind):
    assert is_compiled(load_policy(f"{EXAMPLES}:{name}", kind))


@pytest.mark.slow
def test_examples_do_what_they_say():
    admit = load_policy(f"{EXAMPLES}:shed_long_prompts", "admission")
    assert ask(admit, view(2, admit, queue_depth=[40, 3], input_tokens=9000)) == 1
    assert ask(admit, view(2, admit, queue_depth=40, input_tokens=9000)) == 0
    assert ask(admit, view(2, admit, queue_depth=40, input_tokens=512)) == 1
    route = load_policy(f"{EXAMPLES}:cache_or_queue", "routing")
    known = {"prompt_blocks": 10, "prefix_blocks": [0, 8]}
    assert ask(route, view(2, route, queue_depth=[0, 3], **known)) == 1
    assert ask(route, view(2, route, queue_depth=[0, 20], **known)) == 0
    urgency = load_policy(f"{EXAMPLES}:short_first_but_nobody_starves", "priority")
    assert ask(urgency, view(1, urgency, now_us=3_000_000, input_tokens=500), PRIORITY) == 2.5
    model = load_latency_model(f"{EXAMPLES}:memory_or_compute_bound")
    law = pointer(model.compile(), STEP_TIME)
    assert law(512, 1, 1000, 0, 512, 1, 512, model.parameters.ctypes.data) == 10_260  # computing: 20 * 513
    assert law(0, 10, 10_000, 0, 0, 0, 0, model.parameters.ctypes.data) == 6_800  # memory: 6000 + 0.08 * 10,000
