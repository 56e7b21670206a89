"""Workload specs by name: four kinds of traffic that policies are compared under. Figures: inference-sim project."""

from __future__ import annotations

import math
from collections.abc import Callable

from blis.errors import ConfigError, nearest
from blis.workload.client_spec import ClientSpec, OpenLoop
from blis.workload.lengths import MAX_TOKENS, Exponential, Gaussian, Lengths
from blis.workload.spec import WorkloadSpec


def scenario(name: str, rate: float = 1.0, seed: int | None = None, num_requests: int | None = 100) -> WorkloadSpec:
    """Look up a scenario: ``bursty-traffic``, ``unfair-tenants``, ``prefix-heavy`` or ``mixed-slo``.

    Args:
        name: of the scenario.
        rate: requests per second of all its clients.
        seed: of all draws; None: that of the run.
        num_requests: how many; None: no limit, the run needs a horizon.

    Raises:
        ConfigError: another name, or a useless rate or number.
    """
    if name not in _CLIENTS:
        raise ConfigError(f"scenario: unknown name {name!r}; {nearest(name, _CLIENTS)}")
    if not 0 < rate < math.inf:
        raise ConfigError(f"rate: must be a positive number of requests per second, got {rate}")
    if num_requests is not None and num_requests < 1:
        raise ConfigError(f"num_requests: must be at least 1, got {num_requests}")
    return WorkloadSpec(
        clients=_CLIENTS[name](),
        aggregate_rate=rate,
        num_requests=num_requests,
        seed=seed,
        category="language",
        version="1",
        source=name,
    )


def _exponential(mean: float) -> Lengths:
    return Lengths(Exponential(mean), 1, MAX_TOKENS)


def _gaussian(mean: float, std_dev: float, minimum: int, maximum: int) -> Lengths:
    return Lengths(Gaussian(mean, std_dev), minimum, maximum)


def _bursty_traffic() -> tuple[ClientSpec, ...]:
    return (
        ClientSpec(
            "bursty-client",
            OpenLoop(1.0, "gamma", 3.5),
            _exponential(512),
            _exponential(256),
            tenant_id="tenant-A",
            slo_class="batch",
        ),
    )


def _unfair_tenants() -> tuple[ClientSpec, ...]:
    return (
        ClientSpec(
            "low-priority-bulk",
            OpenLoop(0.9, "poisson"),
            _exponential(1024),
            _exponential(512),
            tenant_id="tenant-bulk",
            slo_class="batch",
        ),
        ClientSpec(
            "high-priority-realtime",
            OpenLoop(0.1, "poisson"),
            _gaussian(128, 50, 10, 2048),
            _exponential(64),
            tenant_id="tenant-realtime",
            slo_class="realtime",
            streaming=True,
        ),
    )


def _prefix_heavy() -> tuple[ClientSpec, ...]:
    return (
        ClientSpec(
            "shared-prefix",
            OpenLoop(0.8, "poisson"),
            _exponential(256),
            _exponential(128),
            tenant_id="tenant-A",
            slo_class="batch",
            prefix_group="system-prompt",
        ),
        ClientSpec(
            "unique-prefix",
            OpenLoop(0.2, "poisson"),
            _exponential(512),
            _exponential(256),
            tenant_id="tenant-B",
            slo_class="interactive",
        ),
    )


def _mixed_slo() -> tuple[ClientSpec, ...]:
    return (
        ClientSpec(
            "realtime",
            OpenLoop(0.33, "poisson"),
            _gaussian(64, 20, 10, 256),
            _exponential(32),
            tenant_id="tenant-rt",
            slo_class="realtime",
            streaming=True,
        ),
        ClientSpec(
            "interactive",
            OpenLoop(0.34, "poisson"),
            _gaussian(256, 100, 32, 2048),
            _exponential(128),
            tenant_id="tenant-int",
            slo_class="interactive",
        ),
        ClientSpec(
            "batch",
            OpenLoop(0.33, "poisson"),
            _exponential(1024),
            _exponential(512),
            tenant_id="tenant-batch",
            slo_class="batch",
        ),
    )


_CLIENTS: dict[str, Callable[[], tuple[ClientSpec, ...]]] = {
    "bursty-traffic": _bursty_traffic,
    "unfair-tenants": _unfair_tenants,
    "prefix-heavy": _prefix_heavy,
    "mixed-slo": _mixed_slo,
}

SCENARIOS = tuple(_CLIENTS)
