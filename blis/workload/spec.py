"""`WorkloadSpec`: many clients, each with its own arrivals, lengths, shared prefix and conversations.

These are descriptions only. `blis.workload.spec_file` reads them from YAML, `blis.workload.generation` draws the
requests. Keys, rules and meaning are explained in docs/workload-spec.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from blis.errors import ConfigError
from blis.workload.lengths import Empirical, Lengths
from blis.workload.renewal import Process
from blis.workload.requests import MOST_US

#: Tokens of a shared prefix, unless said otherwise, as in the inference-sim project.
PREFIX_TOKENS = 50


@dataclass(frozen=True)
class Window:
    """A stretch of time, µs: from ``start_us`` until just before ``end_us``."""

    start_us: int
    end_us: int


@dataclass(frozen=True)
class OpenLoop:
    """Requests (or sessions) that arrive whatever happens to earlier ones.

    Attributes:
        rate_fraction: share of the spec's rate, relative to that of the other clients.
        process: law of the gaps between arrivals.
        cv: coefficient of variation of ``gamma`` and ``weibull`` gaps.
        windows: when the client is there; empty: always.
    """

    rate_fraction: float
    process: Process
    cv: float = 1.0
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True)
class ClosedLoop:
    """Users who send a request (or session), wait until it is done, think, and send the next.

    Attributes:
        concurrency: number of users; each begins at 0.
        think_time_us: how long they think.
        num_requests: how many they send together at most; None: as the spec allows.
    """

    concurrency: int
    think_time_us: Lengths
    num_requests: int | None = None


@dataclass(frozen=True)
class Media:
    """Images, audio or video of a prompt: how many, and tokens of each."""

    count: Lengths
    tokens: Lengths


@dataclass(frozen=True)
class MultiTurn:
    """Sessions of several turns instead of single requests.

    Attributes:
        max_rounds: turns of every session.
        think_time_us: between the end of a turn and the next turn.
        accumulate: whether a prompt begins with all earlier prompts and outputs of its session.
    """

    max_rounds: int
    think_time_us: Lengths
    accumulate: bool


@dataclass(frozen=True)
class ClientSpec:
    """One kind of traffic.

    Attributes:
        id: its name, unlike the others'. Its random numbers depend on the seed and this name.
        load: when it sends.
        text: text tokens of a prompt, without a shared prefix and earlier turns.
        output: output tokens.
        tenant_id: who pays; "": not said.
        slo_class: ``realtime``, ``interactive``, ``batch``, or "": none.
        prefix_group: clients of the same group begin their prompts alike; "": none.
        prefix_length: tokens with which they do.
        streaming: whether tokens are read as they come.
        rtt_us: network round trip.
        bandwidth_mbps: of its connection, megabits per second; 0: unlimited.
        media: images, audio and video of a prompt, each None if there are none; None: prompts are not multimodal.
        reason_percent: share of the output that is reasoning, in percent; None: not said.
        multi_turn: sessions; None: single requests.
    """

    id: str
    load: OpenLoop | ClosedLoop
    text: Lengths
    output: Lengths
    tenant_id: str = ""
    slo_class: str = ""
    prefix_group: str = ""
    prefix_length: int = PREFIX_TOKENS
    streaming: bool = False
    rtt_us: int = 0
    bandwidth_mbps: float = 0.0
    media: tuple[Media | None, Media | None, Media | None] | None = None
    reason_percent: Lengths | Empirical | None = None
    multi_turn: MultiTurn | None = None


@dataclass(frozen=True)
class ServeGenData:
    """A folder of native ServeGen data, and the part of it to play.

    Attributes:
        path: the folder.
        span_start: where to begin, s on the data's clock; this moment is 0 of the run.
        span_end: where to end, s; 0: where the data do.
    """

    path: str
    span_start: float = 0.0
    span_end: float = 0.0


@dataclass(frozen=True)
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
            is_loose = isinstance(client.load, ClosedLoop) and client.load.num_requests is None
            if is_loose and any(self.open_loop()):
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


def describe(spec: WorkloadSpec) -> dict[str, Any]:
    """All of a spec as plain values, with the digest of its ServeGen data."""
    values = asdict(spec)
    if spec.servegen_data is not None:
        from blis.workload.servegen import digest

        values["servegen_data"]["sha256"] = digest(spec.servegen_data)
    return values
