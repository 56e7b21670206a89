"""Options of a cluster are checked when they are made, in one line that begins with the field's name."""

import math

import pytest

from blis.config.schema import SCORERS, ClusterOptions, Deployment, EngineConfig, EngineOptions
from blis.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_instances": 0}, "num_instances: must be in [1, 65536], got 0"),
        ({"admission_latency_us": -1}, "admission_latency_us: must be in [0, 1125899906842624], got -1"),
        ({"routing_latency_us": -1}, "routing_latency_us: must be in [0, 1125899906842624], got -1"),
        ({"prefix_table_entries": 0}, "prefix_table_entries: must be in [1, 2147483647], got 0"),
        ({"token_bucket_capacity": -0.5}, "token_bucket_capacity: must be a finite number >= 0, got -0.5"),
        ({"token_bucket_capacity": math.nan}, "token_bucket_capacity: must be a finite number >= 0, got nan"),
        ({"token_bucket_refill_rate": math.inf}, "token_bucket_refill_rate: must be a finite number >= 0, got inf"),
        ({"routing_cache_weight": math.nan}, "routing_cache_weight: must be a finite number >= 0, got nan"),
        ({"routing_load_weight": -1}, "routing_load_weight: must be a finite number >= 0, got -1"),
        (
            {"routing_cache_weight": 0, "routing_load_weight": 0},
            "routing_cache_weight: must add up to a finite number > 0 together with routing_load_weight, got 0 and 0",
        ),
        (
            {"routing_cache_weight": 1e308, "routing_load_weight": 1e308},
            "routing_cache_weight: must add up to a finite number > 0 together with routing_load_weight, "
            "got 1e+308 and 1e+308",
        ),
        ({"routing_scorers": ()}, "routing_scorers: weights must add up to a finite number > 0, got 0"),
        (
            {"routing_scorers": (("queue-dept", 1.0),)},
            "routing_scorers: unknown scorer 'queue-dept'; did you mean 'queue-depth'?",
        ),
        (
            {"routing_scorers": (("queue-depth", 1.0), ("queue-depth", 1.0))},
            "routing_scorers: queue-depth is given twice; each scorer takes one weight",
        ),
        (
            {"routing_scorers": (("queue-depth", math.nan),)},
            "routing_scorers: weight of queue-depth must be a finite number >= 0, got nan",
        ),
        (
            {"routing_scorers": (("queue-depth", 0.0), ("load-balance", 0.0))},
            "routing_scorers: weights must add up to a finite number > 0, got 0",
        ),
        ({"admission_policy": "always"}, "admission_policy: unknown name 'always'; did you mean 'always-admit'?"),
        (
            {"admission_policy": ""},
            "admission_policy: unknown name ''; valid: always-admit, file.py:function, reject-all, token-bucket",
        ),
        ({"routing_policy": "robin"}, "routing_policy: unknown name 'robin'; did you mean 'round-robin'?"),
    ],
    ids=str,
)
def test_what_is_refused(options, message):
    with pytest.raises(ConfigError) as error:
        ClusterOptions(**options)
    assert str(error.value) == message


def test_what_is_allowed():
    ClusterOptions(token_bucket_capacity=0, token_bucket_refill_rate=0, routing_cache_weight=0)
    ClusterOptions(routing_scorers=tuple((name, float(i)) for i, name in enumerate(SCORERS)))
    ClusterOptions(admission_policy="mine.py:admit", routing_policy="package.module:route")


def test_functions_may_stand_for_priorities_and_step_times():
    assert EngineOptions(priority_policy="mine.py:urgency").priority_policy == "mine.py:urgency"
    assert EngineConfig(100, priority_policy="mine.py:urgency").priority_policy == "mine.py:urgency"
    assert Deployment("m", latency_model="mine.py:law").latency_model == "mine.py:law"
    with pytest.raises(ConfigError, match=r"^priority_policy: unknown name 'slo'; valid: constant, file\.py:function,"):
        EngineOptions(priority_policy="slo")
    with pytest.raises(ConfigError, match=r"^scheduler: unknown name 'sfj'; did you mean 'sjf'\?$"):
        EngineOptions(scheduler="sfj")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"routing_policy": len}, "routing_policy: expected a name (round-robin, "),
        ({"num_instances": "4"}, "num_instances: must be a whole number, got '4'"),
        ({"num_instances": None}, "num_instances: must be a whole number, got None"),
        ({"kv_refresh_us": 0.5}, "kv_refresh_us: must be a whole number, got 0.5"),
    ],
)
def test_values_of_another_type(options, said):
    with pytest.raises(ConfigError) as error:
        ClusterOptions(**options)
    assert str(error.value).startswith(said)
