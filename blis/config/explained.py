"""What each built-in policy does, in a line; docs/policies.md and ``blis policies`` say it in these words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["admission", "routing", "scorer", "scheduler", "priority"]


@dataclass(frozen=True)
class Explained:
    """A built-in policy.

    Attributes:
        kind: what it decides; a scorer is a part of ``weighted`` routing.
        name: as flags and policy files take it.
        text: what it does.
        parameters: fields of `blis.config.schema.ClusterOptions` that it goes by.
    """

    kind: Kind
    name: str
    text: str
    parameters: tuple[str, ...] = ()


EXPLAINED = (
    Explained("admission", "always-admit", "all requests"),
    Explained(
        "admission",
        "token-bucket",
        "a request if the bucket holds as many tokens as its prompt",
        ("token_bucket_capacity", "token_bucket_refill_rate"),
    ),
    Explained("admission", "reject-all", "none"),
    Explained("routing", "round-robin", "each instance in turn"),
    Explained(
        "routing",
        "least-loaded",
        "the instance with the lowest load: requests waiting, running, and routed but not yet queued",
    ),
    Explained(
        "routing",
        "weighted",
        "the instance with the highest score, see below",
        ("routing_cache_weight", "routing_load_weight", "routing_scorers"),
    ),
    Explained(
        "routing",
        "prefix-affinity",
        "the instance to which the longest leading part of the prompt, in KV blocks, was sent last;"
        " the least loaded one if none of it is known",
        ("prefix_table_entries",),
    ),
    Explained("routing", "always-busiest", "the instance with the highest load, to see anomalies detected"),
    Explained(
        "scorer",
        "queue-depth",
        "1 for the shortest queue: (longest − own) / (longest − shortest), of requests waiting or on their way",
    ),
    Explained("scorer", "kv-utilization", "1 for empty KV memory: 1 − share of KV blocks in use"),
    Explained("scorer", "load-balance", "1 for an idle instance: 1 / (1 + load)"),
    Explained("scorer", "active-requests", "1 for an idle instance: (highest load − own) / highest load"),
    Explained(
        "scorer",
        "prefix-affinity",
        "1 for a prompt sent there before: share of its full blocks that the router last sent there",
        ("prefix_table_entries",),
    ),
    Explained(
        "scorer",
        "precise-prefix-cache",
        "1 for a cached prompt: share of its full blocks in the instance's prefix cache",
    ),
    Explained("scheduler", "fcfs", "as they come"),
    Explained("scheduler", "priority-fcfs", "highest priority first, then by arrival"),
    Explained("scheduler", "sjf", "shortest prompt first"),
    Explained("scheduler", "reverse-priority", "lowest priority first, to see priority inversions"),
    Explained("priority", "constant", "the same for all"),
    Explained("priority", "slo-based", "the older the higher"),
    Explained("priority", "inverted-slo", "the younger the higher, to see starvation"),
)
