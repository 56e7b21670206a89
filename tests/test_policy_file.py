"""Policy files: what they may say, who wins over them, and one clear line about everything wrong."""

from pathlib import Path

import pytest

import blis
from blis.config.policy_file import PolicyFile, load_policies
from blis.config.schema import ClusterOptions, EngineOptions

EXAMPLES = Path(blis.__file__).parent.parent / "examples"

EVERYTHING = """
admission: {policy: token-bucket, token_bucket_capacity: 0, token_bucket_refill_rate: 2.5, latency_us: 7}
routing:
  policy: weighted
  scorers: {queue-depth: 2, kv-utilization: 0.5}
  latency_us: 8
  prefix_table_entries: 99
priority: {policy: slo-based}
scheduler: priority-fcfs
snapshots:
  queue_depth: {mode: periodic, interval_us: 1}
  batch_size: {mode: immediate}
  kv_utilization: {mode: periodic, interval_us: 5000}
"""


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / "policy.yaml"
        path.write_text(text)
        return load_policies(path)

    return load


def test_everything_a_file_may_say(load):
    policies = load(EVERYTHING)
    assert policies.cluster(num_instances=3) == ClusterOptions(
        num_instances=3,
        admission_policy="token-bucket",
        admission_latency_us=7,
        token_bucket_capacity=0.0,
        token_bucket_refill_rate=2.5,
        routing_policy="weighted",
        routing_latency_us=8,
        routing_scorers=(("queue-depth", 2.0), ("kv-utilization", 0.5)),
        prefix_table_entries=99,
        queue_depth_refresh_us=1,
        batch_size_refresh_us=0,
        kv_refresh_us=5000,
    )
    assert policies.engine(max_num_running_reqs=8) == EngineOptions(
        max_num_running_reqs=8, scheduler="priority-fcfs", priority_policy="slo-based"
    )


@pytest.mark.parametrize("text", ["{}", "admission:\nrouting: {policy: null}\nsnapshots: {}\nscheduler: null\n"])
def test_what_is_not_said_keeps_its_default(load, text):
    policies = load(text)
    assert policies.cluster() == ClusterOptions()
    assert policies.engine() == EngineOptions()
    assert PolicyFile().cluster() == ClusterOptions()


def test_what_is_given_wins_value_by_value(load):
    policies = load("routing: {policy: weighted, cache_weight: 0.3}\nsnapshots: {batch_size: {mode: immediate}}")
    cluster = policies.cluster(routing_policy="least-loaded", batch_size_refresh_us=5)
    assert (cluster.routing_policy, cluster.routing_cache_weight) == ("least-loaded", 0.3)
    assert cluster.batch_size_refresh_us == 5
    assert cluster.routing_load_weight == ClusterOptions.routing_load_weight
    assert load("scheduler: sjf").engine(scheduler="fcfs").scheduler == "fcfs"


def test_scorers_and_weights_put_each_other_out_of_force(load):
    scorers = load("routing: {policy: weighted, scorers: {queue-depth: 1}}")
    cluster = scorers.cluster(routing_load_weight=0.5)
    assert (cluster.routing_scorers, cluster.routing_load_weight) == (None, 0.5)
    weights = load("routing: {policy: weighted, cache_weight: 0.2, load_weight: 0.8}")
    cluster = weights.cluster(routing_scorers=(("load-balance", 1.0),))
    assert cluster.routing_scorers == (("load-balance", 1.0),)
    assert cluster.routing_cache_weight == ClusterOptions.routing_cache_weight
    with pytest.raises(blis.ConfigError, match=r"^routing_scorers: replaces "):
        PolicyFile().cluster(routing_scorers=(("load-balance", 1.0),), routing_cache_weight=0.5)


def test_scorers_keep_their_order_and_may_be_a_list(load):
    by_name = load("routing: {scorers: {queue-depth: 1, active-requests: 2}}")
    as_list = load("routing: {scorers: [{name: queue-depth, weight: 1}, {name: active-requests, weight: 2}]}")
    assert as_list == by_name
    assert [name for name, _ in by_name.routing_scorers] == ["queue-depth", "active-requests"]


def test_functions_are_found_beside_the_file(load, tmp_path):
    policies = load("routing: {policy: 'own/routing.py:route'}\nadmission: {policy: 'package.module:admit'}")
    assert policies.routing_policy == f"{tmp_path / 'own' / 'routing.py'}:route"
    assert policies.admission_policy == "package.module:admit"
    assert load("priority: {policy: '/absolute/p.py:f'}").priority_policy == "/absolute/p.py:f"


@pytest.mark.parametrize("weights", ["0.61, load_weight: 0.4", "0.59, load_weight: 0.4", "0.3"])
def test_weights_may_be_off_a_little_or_alone(load, weights):
    assert load(f"routing: {{policy: weighted, cache_weight: {weights}}}").routing_policy == "weighted"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ": must hold one mapping, got nothing"),
        ("# only a comment\n", ": must hold one mapping, got nothing"),
        ("[routing]", ": must hold one mapping, got list"),
        ("{}\n---\n{}", ":2: no valid YAML: expected a single document in the stream but found another document"),
        ("routng: {}", ": routng: unknown key; did you mean 'routing'?"),
        ("routing: weighted", ": routing: must be a mapping, got 'weighted'"),
        ("routing: {polcy: weighted}", ": routing.polcy: unknown key; did you mean 'policy'?"),
        ("routing: {policy: weightd}", ": routing.policy: unknown name 'weightd'; did you mean 'weighted'?"),
        ("routing: {policy: 3}", ": routing.policy: must be text (in quotes, if it looks like a number), got 3"),
        ("routing: {cache_weight: -1}", ": routing.cache_weight: must be a number >= 0, got -1"),
        ("routing: {load_weight: .nan}", ": routing.load_weight: must be a number >= 0, got nan"),
        (
            "routing: {cache_weight: 0, load_weight: 0}",
            ": routing.cache_weight: must add up to a finite number > 0 together with routing_load_weight, got 0 and 0",
        ),
        (
            "routing: {policy: weighted, cache_weight: 0.5, load_weight: 0.6}",
            ": routing.cache_weight: must add up to 1 together with load_weight, got a sum of 1.1",
        ),
        (
            "routing: {cache_weight: 1, scorers: {queue-depth: 1}}",
            ": routing.scorers: replaces cache_weight and load_weight; give either",
        ),
        ("routing: {latency_us: 0.5}", ": routing.latency_us: must be a whole number >= 0, got 0.5"),
        ("routing: {prefix_table_entries: 0}", ": routing.prefix_table_entries: must be a whole number >= 1, got 0"),
        (
            "routing: {prefix_table_entries: 4294967296}",
            ": routing.prefix_table_entries: must be in [1, 2147483647], got 4294967296",
        ),
        ("routing: {scorers: queue-depth}", ": routing.scorers: must be a mapping, got 'queue-depth'"),
        ("routing: {scorers: {queue: 1}}", ": routing.scorers: unknown scorer 'queue'; did you mean 'queue-depth'?"),
        ("routing: {scorers: {queue-depth: x}}", ": routing.scorers.queue-depth: must be a number >= 0, got 'x'"),
        (
            "routing: {scorers: {queue-depth: 0}}",
            ": routing.scorers: weights must add up to a finite number > 0, got 0",
        ),
        ("routing: {scorers: {}}", ": routing.scorers: weights must add up to a finite number > 0, got 0"),
        (
            "routing: {scorers: {queue-depth: 1, queue-depth: 2}}",
            ":1: no valid YAML: key given twice: queue-depth",
        ),
        (
            "routing: {scorers: [{name: queue-depth, weight: 1}, {name: queue-depth, weight: 2}]}",
            ": routing.scorers: queue-depth is given twice; each scorer takes one weight",
        ),
        ("routing: {scorers: [{name: queue-depth}]}", ": routing.scorers[0].weight: missing"),
        (
            "routing: {scorers: [{name: queue-depth, weight: 1, of: 2}]}",
            ": routing.scorers[0].of: unknown key; valid: name, weight",
        ),
        ("admission: {policy: token-buckt}", ": admission.policy: unknown name 'token-buckt'; did you mean 'token-"),
        ("admission: {token_bucket_capacity: .inf}", ": admission.token_bucket_capacity: must be a number >= 0, got"),
        ("admission: {refill: 1}", ": admission.refill: unknown key; "),
        ("admission: {latency_us: -1}", ": admission.latency_us: must be a whole number >= 0, got -1"),
        ("priority: {policy: slo}", ": priority.policy: unknown name 'slo'; "),
        ("priority: slo-based", ": priority: must be a mapping, got 'slo-based'"),
        ("scheduler: sfj", ": scheduler: unknown name 'sfj'; did you mean 'sjf'?"),
        ("scheduler: {policy: sjf}", ": scheduler: must be text"),
        ("snapshots: {kv: {mode: immediate}}", ": snapshots.kv: unknown key; "),
        ("snapshots: {queue_depth: 5}", ": snapshots.queue_depth: must be a mapping, got 5"),
        ("snapshots: {queue_depth: {interval_us: 5}}", ": snapshots.queue_depth.mode: missing"),
        ("snapshots: {queue_depth: {mode: on-demand}}", ": snapshots.queue_depth.mode: unknown value 'on-demand'; "),
        ("snapshots: {batch_size: {mode: periodic}}", ": snapshots.batch_size.interval_us: missing; mode periodic"),
        (
            "snapshots: {batch_size: {mode: periodic, interval_us: 0}}",
            ": snapshots.batch_size.interval_us: must be a whole number >= 1, got 0",
        ),
        (
            "snapshots: {kv_utilization: {mode: periodic, interval_us: 9999999999999999}}",
            ": snapshots.kv_utilization.interval_us: must be in [0, 1125899906842624], got 9999999999999999",
        ),
        (
            "snapshots: {batch_size: {mode: immediate, interval_us: 5}}",
            ": snapshots.batch_size.interval_us: goes with mode periodic only",
        ),
    ],
)
def test_errors_name_file_key_and_what_would_be_valid(load, tmp_path, text, says):
    with pytest.raises(blis.ConfigError) as error:
        load(text)
    message = str(error.value)
    assert message.startswith(f"{tmp_path / 'policy.yaml'}{says}")
    assert "\n" not in message


def test_errors_after_merging_name_where_the_value_comes_from(load, tmp_path):
    policies = load("routing: {cache_weight: 0}\nscheduler: sjf")
    with pytest.raises(blis.ConfigError, match=r"^routing_load_weight: must be a finite number >= 0, got -1$"):
        policies.cluster(routing_load_weight=-1)
    with pytest.raises(blis.ConfigError, match=r"policy\.yaml: routing\.cache_weight: must add up to"):
        policies.cluster(routing_load_weight=0)
    with pytest.raises(blis.ConfigError, match=r"policy\.yaml: scheduler: sjf and vLLM's own scheduling_policy"):
        policies.engine(scheduling_policy="priority")


def test_a_missing_file():
    with pytest.raises(blis.ConfigError, match=r"^gone\.yaml: cannot be read: "):
        load_policies("gone.yaml")


def test_the_example_of_all_policies():
    policies = load_policies(EXAMPLES / "policy-config.yaml")
    cluster, engine = policies.cluster(), policies.engine()
    assert (cluster.admission_policy, cluster.token_bucket_capacity) == ("token-bucket", 50_000.0)
    assert (cluster.routing_policy, cluster.kv_refresh_us) == ("prefix-affinity", 10_000)
    assert (engine.scheduler, engine.priority_policy) == ("priority-fcfs", "slo-based")


def test_the_example_of_weighted_routing_and_its_alternative(load):
    path = EXAMPLES / "weighted-routing.yaml"
    cluster = load_policies(path).cluster()
    assert (cluster.routing_cache_weight, cluster.routing_load_weight) == (0.6, 0.4)
    lines = path.read_text().splitlines()
    start = lines.index("  # scorers:")
    scorers = "\n".join(line.replace("# ", "", 1) for line in lines[start:])
    cluster = load(f"routing:\n  policy: weighted\n{scorers}\n").cluster()
    assert cluster.routing_scorers == (("prefix-affinity", 3.0), ("queue-depth", 2.0), ("kv-utilization", 2.0))
