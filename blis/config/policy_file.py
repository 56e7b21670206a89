"""Policy files: everything about who is let in, who is routed where and who is served first, in one YAML file.

    admission: {policy, token_bucket_capacity, token_bucket_refill_rate, latency_us}
    routing: {policy, cache_weight, load_weight, scorers: {name: weight, …}, prefix_table_entries, latency_us}
    priority: {policy}
    scheduler: name
    snapshots: {queue_depth | batch_size | kv_utilization: {mode: immediate | periodic, interval_us}}

All keys are optional. What is given elsewhere (flags, arguments) wins over the file, the file over defaults, value
by value; but scorers given at one level put the two weights of a lower one out of force, and the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from blis.config.schema import ClusterOptions, EngineOptions, Scheduler, is_function_name
from blis.errors import ConfigError
from blis.files.decode import Section, read_yaml
from blis.files.shown import Brief

Config = TypeVar("Config", ClusterOptions, EngineOptions)

_WEIGHTS = frozenset({"routing_cache_weight", "routing_load_weight"})
#: How far from 1 the sum of two weights may be; the rest is rounding of sums such as 0.61 + 0.4.
WEIGHT_TOLERANCE = 0.01 + 1e-9

#: Where the file says what each field holds.
_KEYS = {
    "admission_policy": "admission.policy",
    "admission_latency_us": "admission.latency_us",
    "token_bucket_capacity": "admission.token_bucket_capacity",
    "token_bucket_refill_rate": "admission.token_bucket_refill_rate",
    "routing_policy": "routing.policy",
    "routing_latency_us": "routing.latency_us",
    "routing_cache_weight": "routing.cache_weight",
    "routing_load_weight": "routing.load_weight",
    "routing_scorers": "routing.scorers",
    "prefix_table_entries": "routing.prefix_table_entries",
    "queue_depth_refresh_us": "snapshots.queue_depth.interval_us",
    "batch_size_refresh_us": "snapshots.batch_size.interval_us",
    "kv_refresh_us": "snapshots.kv_utilization.interval_us",
    "priority_policy": "priority.policy",
    "scheduler": "scheduler",
}


@dataclass(frozen=True, repr=False)
class PolicyFile(Brief):
    """What a policy file says, under the field names of `ClusterOptions` and `EngineOptions`; None: nothing.

    Attributes:
        path: the file, for messages; None where there is none and nothing is said.
    """

    path: Path | None = None
    admission_policy: str | None = None
    admission_latency_us: int | None = None
    token_bucket_capacity: float | None = None
    token_bucket_refill_rate: float | None = None
    routing_policy: str | None = None
    routing_latency_us: int | None = None
    routing_cache_weight: float | None = None
    routing_load_weight: float | None = None
    routing_scorers: tuple[tuple[str, float], ...] | None = None
    prefix_table_entries: int | None = None
    queue_depth_refresh_us: int | None = None
    batch_size_refresh_us: int | None = None
    kv_refresh_us: int | None = None
    priority_policy: str | None = None
    scheduler: Scheduler | None = None

    def cluster(self, **given: Any) -> ClusterOptions:
        """Options of a cluster: what is given, else what the file says, else the defaults.

        Args:
            given: fields of `ClusterOptions`.

        Raises:
            ConfigError: a value is invalid, or scorers and weights are both given; names the field, or file and key.
        """
        hidden: frozenset[str] = frozenset()
        if "routing_scorers" in given:
            if _WEIGHTS & given.keys():
                raise ConfigError("routing_scorers: replaces routing_cache_weight and routing_load_weight; give either")
            hidden = _WEIGHTS
        elif _WEIGHTS & given.keys():
            hidden = frozenset({"routing_scorers"})
        return self._under(given, ClusterOptions, hidden)

    def engine(self, **given: Any) -> EngineOptions:
        """Options of the engine: what is given, else the file's scheduler and priority policy, else the defaults.

        Args:
            given: fields of `EngineOptions`.

        Raises:
            ConfigError: a value is invalid; names the field, or file and key.
        """
        return self._under(given, EngineOptions)

    def _under(self, given: Mapping[str, Any], config: type[Config], hidden: frozenset[str] = frozenset()) -> Config:
        names = {field.name for field in fields(config)} - given.keys() - hidden
        said = {name: value for name, value in vars(self).items() if name in names and value is not None}
        try:
            return config(**said, **given)
        except ConfigError as error:
            field, _, problem = str(error).partition(": ")
            if field in said:
                raise ConfigError(f"{self.path}: {_KEYS[field]}: {problem}") from None
            raise


def load_policies(path: str | Path) -> PolicyFile:
    """Read a policy file and check it.

    Functions of the form ``file.py:function`` are looked for beside the policy file.

    Raises:
        ConfigError: one line that names the file, the key and what would be valid.
    """
    path = Path(path)
    top = read_yaml(path)
    policies = PolicyFile(
        path,
        **_admission(_part(top, "admission"), path.parent),
        **_routing(_part(top, "routing"), path.parent),
        **_snapshots(_part(top, "snapshots")),
        **_priority(_part(top, "priority"), path.parent),
        scheduler=top.optional(top.text, "scheduler"),  # type: ignore[arg-type]  # checked below
    )
    top.finish()
    policies.cluster()
    policies.engine()
    return policies


def _part(top: Section, key: str) -> Section:
    return top.optional(top.section, key) or Section({}, top.source, key)


def _admission(part: Section, folder: Path) -> dict[str, Any]:
    values = {
        "admission_policy": _policy(part, folder),
        "admission_latency_us": part.optional(part.integer, "latency_us"),
        "token_bucket_capacity": part.optional(part.number, "token_bucket_capacity"),
        "token_bucket_refill_rate": part.optional(part.number, "token_bucket_refill_rate"),
    }
    part.finish()
    return values


def _routing(part: Section, folder: Path) -> dict[str, Any]:
    policy = _policy(part, folder)
    cache_weight = part.optional(part.number, "cache_weight")
    load_weight = part.optional(part.number, "load_weight")
    scorers = _scorers(part)
    values = {
        "routing_policy": policy,
        "routing_latency_us": part.optional(part.integer, "latency_us"),
        "routing_cache_weight": cache_weight,
        "routing_load_weight": load_weight,
        "routing_scorers": scorers,
        "prefix_table_entries": part.optional(part.integer, "prefix_table_entries", least=1),
    }
    part.finish()
    if scorers is not None and (cache_weight is not None or load_weight is not None):
        part.fail("scorers", "replaces cache_weight and load_weight; give either")
    if policy == "weighted" and cache_weight is not None and load_weight is not None:
        total = cache_weight + load_weight
        if abs(total - 1.0) > WEIGHT_TOLERANCE:
            part.fail("cache_weight", f"must add up to 1 together with load_weight, got a sum of {total:g}")
    return values


def _scorers(routing: Section) -> tuple[tuple[str, float], ...] | None:
    """Read scorers, a mapping of weights by name or a list of {name, weight}; names are checked afterwards."""
    if not routing.holds_list("scorers"):
        weights = routing.optional(routing.section, "scorers")
        return tuple((name, weights.number(name)) for name in weights.names()) if weights is not None else None
    pairs = []
    for entry in routing.sections("scorers"):
        pairs.append((entry.text("name"), entry.number("weight")))
        entry.finish()
    return tuple(pairs)


def _priority(part: Section, folder: Path) -> dict[str, Any]:
    values = {"priority_policy": _policy(part, folder)}
    part.finish()
    return values


def _policy(part: Section, folder: Path) -> str | None:
    """Read a policy's name; a function's file is found from the folder of the policy file."""
    name = part.optional(part.text, "policy")
    if name is None or not is_function_name(name):
        return name
    module, _, function = name.rpartition(":")
    return f"{folder / module}:{function}" if module.endswith(".py") else name


def _snapshots(part: Section) -> dict[str, Any]:
    values = {
        "queue_depth_refresh_us": _interval_us(part, "queue_depth"),
        "batch_size_refresh_us": _interval_us(part, "batch_size"),
        "kv_refresh_us": _interval_us(part, "kv_utilization"),
    }
    part.finish()
    return values


def _interval_us(snapshots: Section, key: str) -> int | None:
    """How old a signal may be, µs: 0 where it is read anew for each decision, None where the file is silent."""
    signal = snapshots.optional(snapshots.section, key)
    if signal is None:
        return None
    mode = signal.text("mode", valid=("immediate", "periodic"))
    interval_us = signal.optional(signal.integer, "interval_us", least=1)
    signal.finish()
    if mode == "periodic" and interval_us is None:
        signal.fail("interval_us", "missing; mode periodic needs it")
    if mode == "immediate" and interval_us is not None:
        signal.fail("interval_us", "goes with mode periodic only; immediate reads anew for each decision")
    return interval_us or 0
