"""What a client of a workload is, as a description: when it sends, how much, and to whom it belongs.

Keys, rules and meaning are explained in docs/workload-spec.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from blis.workload.lengths import Empirical, Lengths
from blis.workload.renewal import Process

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
