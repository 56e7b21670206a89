"""`RequestTable`: the only shape in which work reaches the engine.

A loader or generator fills one; `blis.workload.content` turns what it says about token content into
dense block identities for one KV block size.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blis.errors import WorkloadError
from blis.files.shown import counted, summed_up

Ints = NDArray[np.int64]

#: Bounds that keep every sum of the engine within int64: some 36,000 years, a trillion tokens.
MOST_US = 2**60
MOST_TOKENS = 2**40


@dataclass(frozen=True, repr=False)
class TokenStreams:
    """Content as names instead of tokens.

    A request with ``I`` input and ``O`` output tokens consists of the first ``I + O`` tokens of its
    stream. A stream is a sequence of tokens of unlimited length which follows its parent for
    ``fork_tokens`` tokens and is unlike every other stream behind that point.

    Attributes:
        stream: per request (n,) its stream, or -1: nobody else ever has any of its tokens.
        parent: per stream (s,) the stream it forks from, or -1. A parent comes before its children.
        fork_tokens: per stream (s,) how many leading tokens it has in common with its parent.
    """

    stream: Ints
    parent: Ints
    fork_tokens: Ints

    def __repr__(self) -> str:
        return summed_up(self, f"{counted(len(self.stream), 'request')} on {counted(len(self.parent), 'stream')}")


@dataclass(frozen=True, repr=False)
class LiteralTokens:
    """Content as token ids: prompt and output of request ``r`` are ``token_ids[offsets[r]:offsets[r + 1]]``.

    Attributes:
        token_ids: all tokens of all requests, request after request (int32).
        offsets: (n + 1,) where each request starts.
    """

    token_ids: NDArray[np.int32]
    offsets: Ints

    def __repr__(self) -> str:
        tokens = counted(len(self.token_ids), "token")
        return summed_up(self, f"{tokens} of {counted(len(self.offsets) - 1, 'request')}")


@dataclass(frozen=True, repr=False)
class Labels:
    """One name per request out of few.

    Attributes:
        codes: (n,) position in ``names``, or -1: none is given.
        names: the names, each once.
    """

    codes: Ints
    names: tuple[str, ...]

    def __repr__(self) -> str:
        return summed_up(self, f"{counted(len(self.codes), 'request')}, {counted(len(self.names), 'name')}")


@dataclass(frozen=True, repr=False)
class Sessions:
    """Which requests belong together, and which are sent only when another one is done (closed loop).

    A request with ``after[r] >= 0`` arrives ``think_us[r]``, but at least 1 µs, after the last token of that request
    has reached the client; its own ``arrival_us`` in the table says nothing. At most one request waits for another,
    which stands in an earlier row. If a turn is rejected or refused, the later turns of its session are never sent; a
    turn 0 that waits for it is (the same user begins anew).

    Attributes:
        session: (n,) number of the session, -1: none.
        turn: (n,) place in the session, from 0.
        after: (n,) row of the request it waits for, -1: it is sent at ``arrival_us``.
        think_us: (n,) time between that request's end and this one's arrival, >= 0; 0 where it waits for none.
    """

    session: Ints
    turn: Ints
    after: Ints
    think_us: Ints

    def __repr__(self) -> str:
        waits = f"{int((self.after >= 0).sum()):,} of them wait for another one"
        return summed_up(self, f"{counted(len(self.session), 'request')}, {waits}")


@dataclass(frozen=True, repr=False)
class ClientDetails:
    """What else is known of who sent a request and what it is made of. The engine looks at none of it.

    Attributes:
        client: which client of a workload it comes from.
        prefix_group: whose shared prefix its prompt begins with.
        prefix_tokens: (n,) length of that prefix, part of ``input_tokens``; 0: none.
        streaming: (n,) bool, whether the client reads tokens as they come.
        modality_tokens: (n, 4) input tokens from text, images, audio and video; all 0: not said.
        reason_ratio: (n,) share of the output that is reasoning, in [0, 1].
        rtt_us: (n,) round-trip time between client and server.
        bandwidth_mbps: (n,) of the client's connection, megabits per second; 0: unlimited.
    """

    client: Labels
    prefix_group: Labels
    prefix_tokens: Ints
    streaming: NDArray[np.bool_]
    modality_tokens: Ints
    reason_ratio: NDArray[np.float64]
    rtt_us: Ints
    bandwidth_mbps: NDArray[np.float64]

    def __repr__(self) -> str:
        return summed_up(self, f"{counted(len(self.rtt_us), 'request')} of {counted(len(self.client.names), 'client')}")


@dataclass(frozen=True, eq=False, repr=False)
class RequestTable:
    """What arrives: one row per request, in the order in which results come back. It is equal to itself only.

    Rows need not be sorted by arrival. Requests with the same arrival keep the order of their rows.

    Attributes:
        arrival_us: (n,) when the request reaches the system, >= 0.
        input_tokens: (n,) prompt length, >= 1.
        output_tokens: (n,) tokens it will generate, >= 0 (0: done when the prompt is processed).
        content: who shares tokens with whom; None: every request is unlike all others.
        priority: (n,) vLLM's request priority, smaller is more urgent; None: all alike.
        slo_class: service class of each request; None: none is given.
        tenant: who sent each request; None: none is given.
        sessions: conversations and closed loops; None: every request is sent at its ``arrival_us``.
        details: what else is known of each request; None: nothing.
        request_number: (n,) the ``N`` of its name ``request_N`` in the outcomes; None: its row.
        horizon_us: when a run of them ends, unless it is told otherwise; None: when all are finished.
        unlisted: how many more would arrive after the end of the run (`blis.workload.window`).
        origin_us: what time 0 is on the clock of those who recorded the arrivals, in µs since 1970; 0: not known.
        max_tokens: (n,) most output tokens that the client allows, >= ``output_tokens``; where there are more, a stop
            token ends the output, which no scheduler foresees. None: all get what they allow.
    """

    arrival_us: Ints
    input_tokens: Ints
    output_tokens: Ints
    content: TokenStreams | LiteralTokens | None = None
    priority: Ints | None = None
    slo_class: Labels | None = None
    tenant: Labels | None = None
    sessions: Sessions | None = None
    details: ClientDetails | None = None
    request_number: Ints | None = None
    horizon_us: int | None = None
    unlisted: int = 0
    origin_us: int = 0
    max_tokens: Ints | None = None

    def __post_init__(self) -> None:
        bounds = {"arrival_us": (0, MOST_US), "input_tokens": (1, MOST_TOKENS), "output_tokens": (0, MOST_TOKENS)}
        for name, (least, most) in bounds.items():
            self._set_column(name)
            column = getattr(self, name)
            if len(column) and not least <= column.min() <= column.max() <= most:
                row = int(np.flatnonzero((column < least) | (column > most))[0])
                raise WorkloadError(f"request {row}: {name} must be in [{least}, {most}], got {int(column[row])}")
        for name in ("priority", "request_number", "max_tokens"):
            if getattr(self, name) is not None:
                self._set_column(name)
        if self.max_tokens is not None and (self.max_tokens < self.output_tokens).any():
            row = int(np.flatnonzero(self.max_tokens < self.output_tokens)[0])
            needed = f"at least its {self.output_tokens[row]} output tokens"
            raise WorkloadError(f"request {row}: max_tokens must be {needed}, got {self.max_tokens[row]}")
        for name in ("slo_class", "tenant"):
            labels = getattr(self, name)
            if labels is not None:
                object.__setattr__(self, name, self._checked_labels(name, labels))

        if self.sessions is not None:
            self._check_sessions(self.sessions)

    def _check_sessions(self, sessions: Sessions) -> None:
        rows = np.arange(len(self))
        for name in ("session", "turn", "after", "think_us"):
            column = np.asarray(getattr(sessions, name))
            if not np.issubdtype(column.dtype, np.integer) or column.shape != rows.shape:
                raise WorkloadError(f"sessions: {name} must be {len(self)} integers, got {column.shape} {column.dtype}")
        bad = (sessions.after < -1) | (sessions.after >= rows) | (sessions.think_us < 0) | (sessions.think_us > MOST_US)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise WorkloadError(
                f"request {row}: must wait for an earlier row and a time in [0, {MOST_US}], "
                f"got row {sessions.after[row]} and {sessions.think_us[row]} µs"
            )
        waits = sessions.after[sessions.after >= 0]
        if len(np.unique(waits)) < len(waits):
            row = int(np.flatnonzero(np.bincount(waits) > 1)[0])
            raise WorkloadError(f"request {row}: more than one request waits for it")

    def _checked_labels(self, name: str, labels: Labels) -> Labels:
        codes = np.asarray(labels.codes)
        if not np.issubdtype(codes.dtype, np.integer) or codes.shape != (len(self),):
            raise WorkloadError(f"{name}: must be {len(self)} codes, got {codes.shape} of {codes.dtype}")
        if len(set(labels.names)) < len(labels.names):
            raise WorkloadError(f"{name}: names must differ, got {', '.join(labels.names)}")
        bad = np.flatnonzero((codes < -1) | (codes >= len(labels.names)))
        if len(bad):
            row = int(bad[0])
            raise WorkloadError(f"request {row}: {name} must be in [-1, {len(labels.names) - 1}], got {codes[row]}")
        return Labels(np.ascontiguousarray(codes, dtype=np.int64), tuple(labels.names))

    def _set_column(self, name: str) -> None:
        """Bring a column into the one form that the engine takes: contiguous, writable int64, as long as the others."""
        column = np.asarray(getattr(self, name))
        if not np.issubdtype(column.dtype, np.integer):
            raise WorkloadError(f"{name}: must be integers, got {column.dtype}")
        if column.shape != (len(self.arrival_us),):
            raise WorkloadError(f"{name}: {len(column)} values for {len(self.arrival_us)} requests")
        object.__setattr__(self, name, np.require(column, np.int64, ["C", "W"]))

    def __len__(self) -> int:
        return len(self.arrival_us)

    def __repr__(self) -> str:
        return summed_up(self, self.headline)

    @property
    def headline(self) -> str:
        """How many requests and tokens, from when to when, in words."""
        sums = f"{int(self.input_tokens.sum()):,} input and {int(self.output_tokens.sum()):,} output tokens"
        if not len(self):
            return "no requests"
        first_s, last_s = (int(end) / 1e6 for end in (self.arrival_us.min(), self.arrival_us.max()))
        parts = [f"{counted(len(self), 'request')} from {first_s:.6g} to {last_s:.6g} s", sums]
        if self.content is not None:
            parts.append("with token ids" if isinstance(self.content, LiteralTokens) else "with shared tokens")
        return ", ".join([*parts, "some wait for others"] if self.is_closed_loop else parts)

    @property
    def is_closed_loop(self) -> bool:
        """Whether requests wait for the end of others."""
        return self.sessions is not None and bool((self.sessions.after >= 0).any())

    @property
    def numbers(self) -> Ints:
        """(n,) by which the requests are called in the outcomes."""
        return np.arange(len(self)) if self.request_number is None else self.request_number

    @property
    def seed(self) -> None:
        """Nothing is drawn (`blis.workload.workload.Workload`)."""

    def requests(self, seed: int, horizon_us: int | None = None) -> RequestTable:
        """The table itself."""
        return self

    def describe(self) -> dict[str, Any]:
        """How many they are."""
        return {"kind": "requests", "num_requests": len(self)}

    def without_content(self) -> RequestTable:
        """The same requests; nothing is known of their tokens and priorities any more."""
        bare = copy.copy(self)  # the columns have been checked
        for name in ("content", "priority"):
            object.__setattr__(bare, name, None)
        return bare

    def take(self, rows: Ints) -> RequestTable:
        """Some of the requests, under the same names.

        Args:
            rows: positions, ascending. A request whose predecessor is not taken is sent at its ``arrival_us``.
        """
        optional = {name: getattr(self, name) for name in ("priority", "slo_class", "tenant", "max_tokens")}
        return RequestTable(
            self.arrival_us[rows],
            self.input_tokens[rows],
            self.output_tokens[rows],
            self._content_of(rows),
            **{name: _rows_of(values, rows) for name, values in optional.items()},
            sessions=None if self.sessions is None else self._sessions_of(self.sessions, rows),
            details=None
            if self.details is None
            else ClientDetails(*(_rows_of(v, rows) for v in _values(self.details))),
            request_number=self.numbers[rows],
            horizon_us=self.horizon_us,
            unlisted=self.unlisted,
            origin_us=self.origin_us,
        )

    def _content_of(self, rows: Ints) -> TokenStreams | LiteralTokens | None:
        content = self.content
        if isinstance(content, TokenStreams):
            return TokenStreams(content.stream[rows], content.parent, content.fork_tokens)
        if isinstance(content, LiteralTokens):
            lengths = self.input_tokens + self.output_tokens
            keep = np.repeat(np.isin(np.arange(len(self)), rows), lengths)
            return LiteralTokens(content.token_ids[keep], np.concatenate(([0], np.cumsum(lengths[rows]))))
        return None

    def _sessions_of(self, sessions: Sessions, rows: Ints) -> Sessions:
        new_row = np.full(len(self) + 1, -1)
        new_row[rows] = np.arange(len(rows))
        after = new_row[sessions.after[rows]]
        think_us = np.where(after >= 0, sessions.think_us[rows], 0)
        return Sessions(sessions.session[rows], sessions.turn[rows], after, think_us)


def _values(details: ClientDetails) -> Iterator[Any]:
    return (getattr(details, field.name) for field in fields(details))


def _rows_of(values: Any, rows: Ints) -> Any:
    """The same of some rows: of an array, of labels, or of nothing."""
    if isinstance(values, Labels):
        return Labels(values.codes[rows], values.names)
    return None if values is None else values[rows]
