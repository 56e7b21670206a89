"""Flags of cluster, policies, tracing and evaluation: what they lead to, what is warned of, what is refused."""

import pytest
from helpers_cli import LLAMA

import blis
from blis.cli.main import main
from blis.cli.values import slo_targets_us
from blis.config.schema import ClusterOptions, EngineOptions


@pytest.fixture
def choose(capsys, monkeypatch):
    """Stop where the run would be prepared; yields what it would get, and stderr's lines before."""

    def choose(*args):
        got = {}

        def prepare(*_, **options):
            got.update(options)
            raise blis.BlisError("far enough")

        monkeypatch.setattr("blis.api.prepare", prepare)
        assert main(["run", *LLAMA, *map(str, args)]) == 1
        out, err = capsys.readouterr()
        *lines, last = err.splitlines()
        assert (out, last) == ("", "blis: error: far enough")
        return got["engine"], got["cluster"], lines

    return choose


@pytest.fixture
def policy_file(tmp_path):
    def write(text):
        path = tmp_path / "policy.yaml"
        path.write_text(text)
        return "--policy-config", path

    return write


def test_nothing_said_is_the_default(choose):
    assert choose() == (EngineOptions(), ClusterOptions(), [])


def test_every_flag_arrives(choose):
    engine, cluster, lines = choose(
        *("--num-instances", 4, "--admission-policy", "Token-Bucket", "--admission-latency", 5),
        *("--token-bucket-capacity", 100, "--token-bucket-refill-rate", 0.5),
        *("--routing-policy", "weighted", "--routing-latency", 6, "--routing-cache-weight", 0.1),
        *("--routing-load-weight", 0.9, "--snapshot-refresh-us", 7),
        *("--scheduler", "priority-fcfs", "--priority-policy", "slo-based"),
    )
    assert cluster == ClusterOptions(
        num_instances=4,
        admission_policy="token-bucket",
        admission_latency_us=5,
        token_bucket_capacity=100.0,
        token_bucket_refill_rate=0.5,
        routing_policy="weighted",
        routing_latency_us=6,
        routing_cache_weight=0.1,
        routing_load_weight=0.9,
        queue_depth_refresh_us=7,
        batch_size_refresh_us=7,
        kv_refresh_us=7,
    )
    assert engine == EngineOptions(scheduler="priority-fcfs", priority_policy="slo-based")
    assert lines == []


def test_scorers_in_the_order_given(choose):
    scorers = "prefix-affinity:3, queue-depth:2,kv-utilization:0"
    _, cluster, lines = choose(
        "--routing-policy", "weighted", "--routing-scorers", scorers, "--prefix-table-entries", 9
    )
    assert cluster.routing_scorers == (("prefix-affinity", 3.0), ("queue-depth", 2.0), ("kv-utilization", 0.0))
    assert cluster.prefix_table_entries == 9
    assert lines == []


def test_functions_of_ones_own_keep_their_case(choose):
    engine, cluster, lines = choose(
        *("--routing-policy", "My.py:Route", "--admission-policy", "pkg.mod:Admit", "--prefix-table-entries", 9),
        *("--priority-policy", "My.py:Urgency", "--scheduler", "priority-fcfs", "--latency-model", "My.py:Law"),
    )
    assert (cluster.routing_policy, cluster.admission_policy) == ("My.py:Route", "pkg.mod:Admit")
    assert engine.priority_policy == "My.py:Urgency"
    assert lines == []


def test_flags_win_over_the_file_and_the_file_over_defaults(choose, policy_file):
    config = policy_file(
        "routing: {policy: weighted, scorers: {queue-depth: 1}, latency_us: 5}\n"
        "scheduler: sjf\npriority: {policy: slo-based}\nsnapshots: {kv_utilization: {mode: periodic, interval_us: 9}}\n"
    )
    engine, cluster, _ = choose(*config)
    assert cluster.routing_scorers == (("queue-depth", 1.0),)
    assert (cluster.queue_depth_refresh_us, cluster.kv_refresh_us) == (0, 9)
    assert engine.scheduler == "sjf"
    engine, cluster, _ = choose(
        *config, "--scheduler", "fcfs", "--routing-load-weight", 0.4, "--snapshot-refresh-us", 0, "--num-instances", 2
    )
    assert (engine.scheduler, engine.priority_policy) == ("fcfs", "slo-based")
    assert (cluster.routing_policy, cluster.routing_scorers, cluster.routing_load_weight) == ("weighted", None, 0.4)
    assert (cluster.routing_latency_us, cluster.kv_refresh_us, cluster.num_instances) == (5, 0, 2)


@pytest.mark.parametrize(
    ("args", "warnings"),
    [
        (
            ("--token-bucket-capacity", 5, "--token-bucket-refill-rate", 0),
            [
                "--token-bucket-capacity has no effect with --admission-policy always-admit",
                "--token-bucket-refill-rate has no effect with --admission-policy always-admit",
            ],
        ),
        (
            ("--routing-policy", "least-loaded", "--routing-cache-weight", 0),
            ["--routing-cache-weight has no effect with --routing-policy least-loaded"],
        ),
        (
            ("--routing-scorers", "queue-depth:1"),
            ["--routing-scorers has no effect with --routing-policy round-robin"],
        ),
        (
            ("--routing-policy", "weighted", "--prefix-table-entries", 5),
            ["--prefix-table-entries has no effect with --routing-policy weighted"],
        ),
        (
            ("--trace-path", "t.parquet", "--summarize-trace", "--counterfactual-k", 2, "--regret-samples", 3),
            [
                f"--{name} has no effect with --trace-level none"
                for name in ("trace-path", "counterfactual-k", "summarize-trace", "regret-samples")
            ],
        ),
        (("--counterfactual-k", 0, "--regret-samples", 0), []),
        (("--trace-level", "decisions", "--summarize-trace", "--counterfactual-k", 2), []),
        (("--routing-policy", "prefix-affinity", "--prefix-table-entries", 5), []),
        (("--admission-latency", 5, "--routing-latency", 5, "--snapshot-refresh-us", 5), []),
        (
            ("--routing-policy", "weighted", "--routing-cache-weight", 0.9),
            ["routing weights: 0.9 of the cache and 0.4 of the load add up to 1.3; each is divided by that"],
        ),
        (("--routing-policy", "weighted", "--routing-cache-weight", 0.61), []),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_warnings(choose, args, warnings):
    assert choose(*args)[2] == [f"blis: warning: {text}" for text in warnings]


def test_what_counts_is_the_policy_in_force(choose, policy_file):
    config = policy_file("admission: {policy: token-bucket}\nrouting: {policy: weighted}")
    assert choose(*config, "--token-bucket-capacity", 5, "--routing-scorers", "queue-depth:1")[2] == []
    _, _, lines = choose(*config, "--admission-policy", "reject-all", "--token-bucket-capacity", 5)
    assert lines == ["blis: warning: --token-bucket-capacity has no effect with --admission-policy reject-all"]


def test_info_names_the_policies_in_force(choose, policy_file):
    config = policy_file("routing: {policy: weighted}\nscheduler: sjf")
    _, _, lines = choose(*config, "--log", "info")
    assert lines == [
        "blis: info: policies: admission always-admit, routing weighted, scheduler sjf, priority constant",
        "blis: info: routing weights: cache 0.6, load 0.4",
    ]
    _, _, lines = choose(*config, "--log", "info", "--routing-scorers", "queue-depth:2,load-balance:1")
    assert lines[1] == "blis: info: routing scorers: queue-depth 2, load-balance 1"


def complaint(capsys, *args):
    """The one line about wrong usage."""
    code = main(["run", *LLAMA, *map(str, args)])
    out, err = capsys.readouterr()
    assert (code, out, len(err.splitlines())) == (2, "", 1), err
    assert err.startswith("blis: error: ")
    return err.rstrip("\n")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--num-instances", 0), ["--num-instances: must be in [1, 65536], got 0"]),
        (("--num-instances", "two"), ["--num-instances", "'two'"]),
        (
            ("--admission-policy", "token-buckt"),
            ["--admission-policy", "'token-buckt'", "'token-bucket'?"],
        ),
        (("--admission-policy", "x"), ["--admission-policy", "always-admit, file.py:function, reject-all"]),
        (("--admission-latency", -1), ["--admission-latency: ", "[0, ", "got -1"]),
        (("--routing-latency", -1), ["--routing-latency: ", "[0, ", "got -1"]),
        (("--token-bucket-capacity", -1), ["--token-bucket-capacity: must be a finite number >= 0, got -1"]),
        (("--token-bucket-refill-rate", "nan"), ["--token-bucket-refill-rate: ", "got nan"]),
        (("--routing-policy", "weigthed"), ["--routing-policy", "'weigthed'", "did you mean 'weighted'?"]),
        (("--routing-cache-weight", "inf"), ["--routing-cache-weight: must be a finite number >= 0, got inf"]),
        (("--routing-load-weight", -0.5), ["--routing-load-weight: must be a finite number >= 0, got -0.5"]),
        (("--routing-cache-weight", 0, "--routing-load-weight", 0), ["--routing-cache-weight: ", "got 0 and 0"]),
        (("--routing-scorers", "queue-depth"), ["--routing-scorers", "'queue-depth' is no name:number", "valid would"]),
        (("--routing-scorers", ""), ["--routing-scorers", "'' is no name:number"]),
        (("--routing-scorers", "queue-depth:1,"), ["--routing-scorers", "'' is no name:number"]),
        (("--routing-scorers", ":1"), ["--routing-scorers", "':1' is no name:number"]),
        (("--routing-scorers", "queue-depth:high"), ["--routing-scorers", "'queue-depth:high'"]),
        (("--routing-scorers", "queue-deep:1"), ["--routing-scorers: ", "'queue-deep'", "'queue-depth'?"]),
        (("--routing-scorers", "queue-depth:1,queue-depth:1"), ["--routing-scorers: queue-depth is given twice"]),
        (("--routing-scorers", "queue-depth:-1"), ["--routing-scorers: weight of queue-depth must be ", "got -1"]),
        (("--routing-scorers", "queue-depth:0"), ["--routing-scorers: weights must add up to ", "got 0"]),
        (
            ("--routing-scorers", "queue-depth:1", "--routing-load-weight", 0.4),
            ["--routing-scorers: replaces routing_cache_weight and routing_load_weight"],
        ),
        (("--prefix-table-entries", 0), ["--prefix-table-entries: must be in [1, 2147483647], got 0"]),
        (("--snapshot-refresh-us", -1), ["--snapshot-refresh-us: must be in [0, ", "got -1"]),
        (("--snapshot-refresh-us", 2**51), ["--snapshot-refresh-us: must be in [0, ", str(2**51)]),
        (("--scheduler", "lifo"), ["--scheduler", "'lifo'", "fcfs"]),
        (("--scheduler", "sjf", "--scheduling-policy", "priority"), ["--scheduler: sjf and", "exclude each other"]),
        (("--priority-policy", "slo-base"), ["--priority-policy", "'slo-base'", "did you mean 'slo-based'?"]),
        (("--latency-model", "rofline"), ["--latency-model", "'rofline'", "did you mean 'roofline'?"]),
        (("--policy-config", "gone.yaml"), ["gone.yaml: cannot be read: "]),
        (("--trace-level", "decision"), ["--trace-level", "'decision'", "did you mean 'decisions'?"]),
        (("--trace-path", "nowhere/t.parquet"), ["nowhere/t.parquet: there is no directory nowhere"]),
        (
            ("--trace-path", "same", "--outcomes-path", "same"),
            ["same: given for both --outcomes-path and"],
        ),
        (("--counterfactual-k", -1), ["--counterfactual-k", "-1"]),
        (("--regret-samples", -1), ["--regret-samples", "-1"]),
        (("--slo-targets", "batch"), ["--slo-targets", "'batch' is no name:number", "interactive:2000"]),
        (("--slo-targets", "batch:0"), ["--slo-targets", "target of batch", "from 0.001 to 1e+15, got 0"]),
        (("--slo-targets", "batch:nan"), ["--slo-targets", "target of batch", "got nan"]),
        (("--slo-targets", "batch:1,batch:2"), ["--slo-targets", "batch is given twice"]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_wrong_flags(capsys, monkeypatch, tmp_path, args, says):
    monkeypatch.chdir(tmp_path)
    line = complaint(capsys, *args)
    for part in says:
        assert part in line


def test_wrong_keys_of_a_file(capsys, policy_file):
    flag, path = policy_file("routing: {polcy: weighted}")
    assert complaint(capsys, flag, path) == (f"blis: error: {path}: routing.polcy: unknown key; did you mean 'policy'?")


def test_outputs_must_not_overwrite_the_policy_file(capsys, policy_file):
    flag, path = policy_file("{}")
    assert "given for both --policy-config and --trace-path" in complaint(capsys, flag, path, "--trace-path", path)
    assert path.read_text() == "{}"


def test_targets_are_whole_microseconds():
    assert slo_targets_us("interactive:1.001, batch:60000") == {"interactive": 1001, "batch": 60_000_000}
