"""Workloads whose rate is a matter of choice."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from blis.api import seed_of
from blis.errors import ConfigError
from blis.workload.client_spec import ClosedLoop, OpenLoop
from blis.workload.distribution import DistributionWorkload
from blis.workload.requests import RequestTable
from blis.workload.spec import WorkloadSpec
from blis.workload.workload import Workload

#: What a rate counts: each request, each session of several, or both where some clients send one and some the other.
Unit = Literal["requests", "sessions", "arrivals"]


@dataclass(frozen=True, eq=False)
class Load:
    """A workload at any rate.

    With the same seed, requests are the same at all rates, and only their arrivals move closer together. Requests
    of a trace or table are stretched in time. Specs with windows or ServeGen data keep their clock, and get more
    requests in the same time.

    Args:
        workload: what arrives, at a rate of its own.
        seed: of the first replication; None: that of a workload spec, or 42.
    """

    workload: Workload
    seed: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.workload, WorkloadSpec) and self.workload.clients and not any(self.workload.open_loop()):
            raise ConfigError(
                "workload: has no rate; all clients have a concurrency, and send when they have their answer"
            )
        if not self.is_drawn and self._span_us <= 0:
            raise ConfigError(f"workload: has no rate; all of its {len(self._table)} requests arrive at once")

    @property
    def is_drawn(self) -> bool:
        """Whether other seeds give other requests; else there is one sequence of requests."""
        return isinstance(self.workload, DistributionWorkload | WorkloadSpec)

    @property
    def can_grow(self) -> bool:
        """Whether it may have any number of requests."""
        if isinstance(self.workload, WorkloadSpec):
            return self.workload.servegen_data is None and not any(load.windows for load in self.workload.open_loop())
        return self.is_drawn

    @property
    def waits(self) -> bool:
        """Whether some requests are sent only when others are done, as turns of a session are.

        A system that is given all of them at once then says little: turns come back when the cache has long forgotten
        the ones before.
        """
        if isinstance(self.workload, WorkloadSpec):
            return any(
                client.multi_turn is not None or isinstance(client.load, ClosedLoop) for client in self.workload.clients
            )
        return not self.is_drawn and self._table.sessions is not None and bool((self._table.sessions.after >= 0).any())

    @property
    def unit(self) -> Unit:
        """What its rate counts."""
        if not isinstance(self.workload, WorkloadSpec) or self.workload.servegen_data is not None:
            return "requests"
        open_loop = (client for client in self.workload.clients if isinstance(client.load, OpenLoop))
        kinds = {client.multi_turn is not None for client in open_loop}
        return "arrivals" if len(kinds) > 1 else "sessions" if True in kinds else "requests"

    @property
    def own_rate(self) -> float | None:
        """Arrivals (`unit`) per second as the workload has it; None: ServeGen data that say it themselves."""
        if isinstance(self.workload, DistributionWorkload):
            return self.workload.rate
        if isinstance(self.workload, WorkloadSpec):
            return self.workload.aggregate_rate
        return 1e6 * (len(self._table) - 1) / self._span_us

    def seed_of(self, replication: int) -> int:
        """Seed of a replication, counted from 0."""
        return seed_of(self.workload, self.seed) + replication

    def at(self, rate: float, num_requests: int, replication: int = 0) -> Workload:
        """The workload at a rate.

        Args:
            rate: arrivals (`unit`) per second.
            num_requests: how many, if it can grow.
            replication: counted from 0.
        """
        if isinstance(self.workload, DistributionWorkload):
            return replace(self.workload, rate=rate, num_requests=num_requests)
        if isinstance(self.workload, WorkloadSpec):
            spec = replace(self.workload, aggregate_rate=rate)
            if self.can_grow:
                return replace(spec, num_requests=num_requests, horizon_us=None)
            return _unending(spec, self.seed_of(replication))
        own_rate = self.own_rate
        assert own_rate is not None
        return self._with_arrivals(own_rate / rate)

    def all_at_once(self, num_requests: int, replication: int = 0) -> RequestTable:
        """The requests of a replication, all arriving at 0; without waiting for each other, in their order."""
        if self.is_drawn:
            workload = self.at(self.own_rate or 1.0, num_requests) if self.can_grow else self.workload
            table = _unending(workload, self.seed_of(replication))
        else:
            table = self._table
        return replace(table, arrival_us=np.zeros(len(table), np.int64))

    def _with_arrivals(self, stretch: float) -> RequestTable:
        table = self._table
        since_us = table.arrival_us - table.arrival_us.min()
        most_us = float(since_us.max()) * stretch
        if not most_us < 2.0**60 or not math.isfinite(stretch):
            raise ConfigError(f"rate: too low for the clock; the trace would last {most_us / 1e6:.3g} s")
        return replace(table, arrival_us=np.rint(since_us * stretch).astype(np.int64))

    @property
    def _span_us(self) -> int:
        return int(np.ptp(self._table.arrival_us)) if len(self._table) else 0

    @cached_property
    def _table(self) -> RequestTable:
        return _unending(self.workload, self.seed_of(0))


def _unending(workload: Workload, seed: int) -> RequestTable:
    """Its requests without a horizon, so that all of them are answered."""
    return replace(workload.requests(seed), horizon_us=None)


def requests_per_arrival(table: RequestTable) -> float:
    """Requests for each one that waits for no other: 1, or the mean number of turns of sessions."""
    if table.sessions is None or len(table) == 0:
        return 1.0
    return len(table) / max(int((table.sessions.after < 0).sum()), 1)
