"""Who decides what about a cluster, ready to be passed into the engine."""

from __future__ import annotations

from dataclasses import dataclass

from blis.config.schema import ADMISSION_POLICIES, ROUTING_POLICIES, ClusterOptions, EngineConfig
from blis.policies.admission import admission_policy
from blis.policies.policy import Policy
from blis.policies.routing import routing_policy


@dataclass(frozen=True)
class Control:
    """A cluster and its policies.

    Attributes:
        options: how many instances, latencies, snapshots.
        admission: lets requests in or not.
        routing: chooses their instance.
        priority: a user's own priority, asked for in each step; None: the order of the waiting queue is fixed.
    """

    options: ClusterOptions
    admission: Policy
    routing: Policy
    priority: Policy | None = None

    @property
    def is_custom(self) -> bool:
        """Whether a policy is the user's own, of which nobody knows what it looks at of a request."""
        built_in = self.admission.name in ADMISSION_POLICIES and self.routing.name in ROUTING_POLICIES
        return self.priority is not None or not built_in

    @property
    def reads(self) -> frozenset[str]:
        """What the admission and the routing policy look at."""
        return self.admission.reads | self.routing.reads


def control_of(
    options: ClusterOptions,
    engine: EngineConfig,
    *,
    admission: Policy | None = None,
    routing: Policy | None = None,
    priority: Policy | None = None,
) -> Control:
    """Put together the policies that are given, and make or load those that are not as options ask for.

    Raises:
        ConfigError: an unknown name, wrong figures, or a function that cannot be loaded.
    """
    return Control(
        options,
        admission or admission_policy(options),
        routing or routing_policy(options),
        priority or _priority_policy(engine),
    )


def _priority_policy(engine: EngineConfig) -> Policy | None:
    if ":" not in engine.priority_policy or engine.scheduler not in ("priority-fcfs", "reverse-priority"):
        return None
    from blis.policies.custom import load_policy

    return load_policy(engine.priority_policy, "priority")
