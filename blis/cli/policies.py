"""Policies of a run: flags over a policy file over defaults, and flags that then do nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import click
from click.core import ParameterSource

from blis.cli.console import log
from blis.config.policy_file import WEIGHT_TOLERANCE, PolicyFile, load_policies
from blis.config.schema import ClusterOptions, EngineOptions, is_function_name

_GIVEN = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)


def choose_policies(ctx: click.Context, flags: Mapping[str, Any]) -> tuple[EngineOptions, ClusterOptions]:
    """Engine and cluster as flags, policy file and defaults say; warns of flags that have no effect.

    Raises:
        ConfigError: a value is invalid; begins with the flag's field, or with file and key.
    """
    policies = load_policies(flags["policy_config"]) if flags["policy_config"] else PolicyFile()
    given = {name: value for name, value in flags.items() if ctx.get_parameter_source(name) in _GIVEN}
    if "queue_depth_refresh_us" in given:  # --snapshot-refresh-us, which is for all signals
        given |= dict.fromkeys(("batch_size_refresh_us", "kv_refresh_us"), given["queue_depth_refresh_us"])
    engine = policies.engine(**_only(EngineOptions, given))
    cluster = policies.cluster(**_only(ClusterOptions, given))
    _warn_of_idle_flags(ctx, given, cluster)
    _tell(engine, cluster)
    return engine, cluster


def _only(config: type, values: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(config)}
    return {name: value for name, value in values.items() if name in names}


def _warn_of_idle_flags(ctx: click.Context, given: Mapping[str, Any], cluster: ClusterOptions) -> None:
    params = {param.name: param for param in ctx.command.params}
    for names, cause in _idle(given, cluster):
        for name in names:
            if name in given and given[name] != params[name].default:
                log.warning("%s has no effect with %s", params[name].opts[0], cause)


def _idle(given: Mapping[str, Any], cluster: ClusterOptions) -> Iterator[tuple[tuple[str, ...], str]]:
    """What does nothing, and with what: names of flags, and another flag."""
    admission, routing = cluster.admission_policy, cluster.routing_policy
    if admission != "token-bucket":
        yield ("token_bucket_capacity", "token_bucket_refill_rate"), f"--admission-policy {admission}"
    if routing != "weighted":
        names = ("routing_cache_weight", "routing_load_weight", "routing_scorers")
        yield names, f"--routing-policy {routing}"
    if not _remembers_prefixes(cluster):
        yield ("prefix_table_entries",), f"--routing-policy {routing}"
    if given.get("trace_level", "none") == "none":
        yield ("trace_path", "counterfactual_k", "summarize_trace", "regret_samples"), "--trace-level none"


def _remembers_prefixes(cluster: ClusterOptions) -> bool:
    """Whether the router may look at its table of prefixes; a function of the user's own may."""
    if cluster.routing_policy == "weighted":
        return any(name == "prefix-affinity" and weight > 0.0 for name, weight in cluster.routing_scorers or ())
    return cluster.routing_policy == "prefix-affinity" or is_function_name(cluster.routing_policy)


def _tell(engine: EngineOptions, cluster: ClusterOptions) -> None:
    """Log which policies are in force, and warn of the two weights if they look like a mistake."""
    log.info(
        "policies: admission %s, routing %s, scheduler %s, priority %s",
        cluster.admission_policy,
        cluster.routing_policy,
        engine.scheduler,
        engine.priority_policy,
    )
    if cluster.routing_policy != "weighted":
        return
    cache, load = cluster.routing_cache_weight, cluster.routing_load_weight
    if cluster.routing_scorers is not None:
        log.info("routing scorers: %s", ", ".join(f"{name} {weight:g}" for name, weight in cluster.routing_scorers))
        return
    log.info("routing weights: cache %g, load %g", cache, load)
    if abs(cache + load - 1.0) > WEIGHT_TOLERANCE:
        text = "routing weights: %g of the cache and %g of the load add up to %g; each is divided by that"
        log.warning(text, cache, load, cache + load)
