"""`WorkloadSpec`: many clients, each with its own arrivals, lengths, shared prefix and conversations.

`blis.workload.spec_file` reads one from YAML. Keys, rules and meaning are explained in docs/workload-spec.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from blis.errors import ConfigError
from blis.files.shown import counted, summed_up
from blis.workload.client_spec import ClientSpec, ClosedLoop, OpenLoop, ServeGenData
from blis.workload.clients import Client, with_rate
from blis.workload.generation import MOST_REQUESTS, Bounds, generate
from blis.workload.requests import MOST_US, RequestTable
from blis.workload.servegen import digest, load_servegen
from blis.workload.window import MOST_LATE

#: Arrivals per second of a client: one in 30 years, and a thousand per microsecond.
RATES = (1e-9, 1e9)


@dataclass(frozen=True, repr=False)
class WorkloadSpec:
    """What arrives, as a description. Rules between its parts are checked when it is made.

    Attributes:
        clients: kinds of traffic; empty if there is ServeGen data.
        aggregate_rate: arrivals per second of all open-loop clients; None: as the ServeGen data say.
        horizon_us: nothing arrives from here on, and the run ends here unless told otherwise; None: no limit.
        num_requests: requests in all; None: no limit.
        seed: of all draws, unless another is given.
        servegen_data: clients measured elsewhere; None: those of ``clients``.
        category: kind of traffic, for the reader.
        version: of the format, for the reader.
        source: where the spec comes from, for messages; "": from Python.
    """

    clients: tuple[ClientSpec, ...] = ()
    aggregate_rate: float | None = None
    horizon_us: int | None = None
    num_requests: int | None = None
    seed: int | None = None
    servegen_data: ServeGenData | None = None
    category: str = ""
    version: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if self.servegen_data is None and not self.clients:
            raise ConfigError("clients: at least one is needed, or servegen_data")
        if self.servegen_data is not None and self.clients:
            raise ConfigError("servegen_data: cannot be combined with clients; give either")
        if self.aggregate_rate is None and any(self.open_loop()):
            raise ConfigError("aggregate_rate: missing; clients with a rate_fraction need it")
        if self.clients and self.aggregate_rate is not None and not any(self.open_loop()):
            raise ConfigError("aggregate_rate: has no effect, all clients have a concurrency; leave it out")
        self._check_names()
        self._check_bounds_of_loops()
        if self.num_requests is not None and self.num_requests > MOST_REQUESTS:
            raise ConfigError(f"num_requests: must be at most {MOST_REQUESTS}, got {self.num_requests}")

    def __repr__(self) -> str:
        of = "ServeGen data" if self.servegen_data is not None else counted(len(self.clients), "client")
        rate = [] if self.aggregate_rate is None else [f"{self.aggregate_rate:g} arrivals/s"]
        end = [] if self.horizon_us is None else [f"until {self.horizon_us / 1e6:g} s"]
        most = [] if self.num_requests is None else [f"at most {counted(self.num_requests, 'request')}"]
        return summed_up(self, ", ".join([*([self.source] if self.source else []), of, *rate, *end, *most]))

    def open_loop(self) -> Iterator[OpenLoop]:
        """The loads that have a rate."""
        return (client.load for client in self.clients if isinstance(client.load, OpenLoop))

    def _check_names(self) -> None:
        places: dict[str, int] = {}
        groups: dict[str, tuple[int, int]] = {}
        for i, client in enumerate(self.clients):
            if client.id in places:
                raise ConfigError(f"clients[{i}].id: {client.id!r} is already that of clients[{places[client.id]}]")
            places[client.id] = i
            if not client.prefix_group:
                continue
            first, length = groups.setdefault(client.prefix_group, (i, client.prefix_length))
            if length != client.prefix_length:
                raise ConfigError(
                    f"clients[{i}].prefix_length: must be that of clients[{first}], {length}, "
                    f"whose prefix_group is the same, got {client.prefix_length}"
                )

    def _check_bounds_of_loops(self) -> None:
        """Of a total, nobody could say which part is left to users whose pace is not known."""
        for i, client in enumerate(self.clients):
            if _is_loose(client.load) and any(self.open_loop()):
                raise ConfigError(f"clients[{i}].num_requests: missing; needed beside clients with a rate_fraction")

    def is_bounded(self) -> bool:
        """Whether its requests are finite in number."""
        if self.num_requests is not None:
            return True
        if self.servegen_data is not None:
            return self.horizon_us is not None or self.servegen_data.span_end > 0
        return all(self._is_bounded(client.load) for client in self.clients)

    def _is_bounded(self, load: OpenLoop | ClosedLoop) -> bool:
        if isinstance(load, ClosedLoop):
            return load.num_requests is not None
        return self.horizon_us is not None or (
            len(load.windows) > 0 and all(window.end_us < MOST_US for window in load.windows)
        )

    def requests(self, seed: int, horizon_us: int | None = None) -> RequestTable:
        """Draw the requests.

        Args:
            seed: of all streams; each client has its own, so that a change of one shifts no other.
            horizon_us: of the requests arriving later those have rows that the spec's own bounds let in, but no more
                than need to (`blis.workload.window`). None: that of the spec.

        Returns:
            Requests in the order of their arrival, turns of a session one after the other. Those of closed loops
            come first, users taking turns.

        Raises:
            ConfigError: nothing bounds the number of requests, or they are too many; the bound is less than one
                session; a client's rate is out of all reason.
            WorkloadError: ServeGen data are wrong.
        """
        self._check_bounded(horizon_us)
        clients, count = self._with_rates(), self.num_requests
        self._check_rates(clients)
        bounds = Bounds(self.horizon_us or MOST_US, count, self._where)
        if horizon_us is not None and (count is None or count > MOST_LATE):
            in_time = replace(bounds, end_us=min(bounds.end_us, horizon_us + 1))
            if count is not None:
                most = len(generate(clients, seed, in_time)) + MOST_LATE
                bounds = replace(bounds, num_requests=min(count, most))
            elif not self.is_bounded():
                bounds = in_time
        table = generate(clients, seed, bounds)
        return replace(table, horizon_us=self.horizon_us, unlisted=self._unlisted(clients, len(table), bounds))

    def _check_rates(self, clients: list[Client]) -> None:
        for client in clients:
            for phase in client.phases:
                if not RATES[0] <= phase.rate <= RATES[1]:
                    raise ConfigError(
                        f"{self._where}rate of {client.spec.id}: must lie in [{RATES[0]:g}, {RATES[1]:g}] per second, "
                        f"got {phase.rate:g}; aggregate_rate and the fractions make it"
                    )

    def _unlisted(self, clients: list[Client], drawn: int, bounds: Bounds) -> int:
        """How many requests were asked for, but not drawn; none if there are no more."""
        if self.num_requests is None or bounds.num_requests is None:
            return 0
        longest = max(client.rounds for client in clients)  # sessions are not split, so a few may be missing anyway
        return self.num_requests - bounds.num_requests if drawn > bounds.num_requests - longest else 0

    def describe(self) -> dict[str, Any]:
        """All of it as plain values, with the digest of its ServeGen data."""
        values = asdict(self)
        if self.servegen_data is not None:
            values["servegen_data"]["sha256"] = digest(self.servegen_data)
        return {"kind": "spec", **values}

    @property
    def _where(self) -> str:
        return f"{self.source}: " if self.source else ""

    def _check_bounded(self, horizon_us: int | None) -> None:
        if self.num_requests is None and any(_is_loose(client.load) for client in self.clients):
            raise ConfigError(f"{self._where}nothing bounds the closed loops; set num_requests in it, or --max-prompts")
        if horizon_us is None and not self.is_bounded():
            keys = "num_requests or horizon" if self.servegen_data is None else "num_requests, horizon or span_end"
            raise ConfigError(f"{self._where}nothing bounds the workload; set {keys} in it, or --max-prompts")

    def _with_rates(self) -> list[Client]:
        """Give every client its rate: its fraction of the spec's, or what the ServeGen data say."""
        if self.servegen_data is not None:
            return load_servegen(self.servegen_data, self.aggregate_rate)
        fractions = sum(load.rate_fraction for load in self.open_loop())
        return [with_rate(client, (self.aggregate_rate or 0.0) / (fractions or 1.0)) for client in self.clients]


def _is_loose(load: OpenLoop | ClosedLoop) -> bool:
    return isinstance(load, ClosedLoop) and load.num_requests is None
