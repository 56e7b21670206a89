"""`RequestTable`: the only shape in which work reaches the engine.

A loader or generator fills one; `blis.workload.content` turns what it says about token content into
dense block identities for one KV block size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blis.errors import WorkloadError

Ints = NDArray[np.int64]

#: Bounds that keep every sum of the engine within int64: some 36,000 years, a trillion tokens.
MOST_US = 2**60
MOST_TOKENS = 2**40


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class LiteralTokens:
    """Content as token ids: prompt and output of request ``r`` are ``token_ids[offsets[r]:offsets[r + 1]]``.

    Attributes:
        token_ids: all tokens of all requests, request after request (int32).
        offsets: (n + 1,) where each request starts.
    """

    token_ids: NDArray[np.int32]
    offsets: Ints


@dataclass(frozen=True)
class Labels:
    """One name per request out of few.

    Attributes:
        codes: (n,) position in ``names``, or -1: none is given.
        names: the names, each once.
    """

    codes: Ints
    names: tuple[str, ...]


@dataclass(frozen=True)
class RequestTable:
    """What arrives: one row per request, in the order in which results come back.

    Rows need not be sorted by arrival. Requests with the same arrival keep the order of their rows.

    Attributes:
        arrival_us: (n,) when the request reaches the system, >= 0.
        input_tokens: (n,) prompt length, >= 1.
        output_tokens: (n,) tokens it will generate, >= 0 (0: done when the prompt is processed).
        content: who shares tokens with whom; None: every request is unlike all others.
        priority: (n,) vLLM's request priority, smaller is more urgent; None: all alike.
        slo_class: service class of each request; None: none is given.
        tenant: who sent each request; None: none is given.
    """

    arrival_us: Ints
    input_tokens: Ints
    output_tokens: Ints
    content: TokenStreams | LiteralTokens | None = None
    priority: Ints | None = None
    slo_class: Labels | None = None
    tenant: Labels | None = None

    def __post_init__(self) -> None:
        bounds = {"arrival_us": (0, MOST_US), "input_tokens": (1, MOST_TOKENS), "output_tokens": (0, MOST_TOKENS)}
        for name, (least, most) in bounds.items():
            self._set_column(name)
            column = getattr(self, name)
            bad = np.flatnonzero((column < least) | (column > most))
            if len(bad):
                row = int(bad[0])
                raise WorkloadError(f"request {row}: {name} must be in [{least}, {most}], got {int(column[row])}")
        if self.priority is not None:
            self._set_column("priority")
        for name in ("slo_class", "tenant"):
            labels = getattr(self, name)
            if labels is not None:
                object.__setattr__(self, name, self._checked_labels(name, labels))

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
        """Bring a column into the one form that the engine takes: contiguous int64, as long as the others."""
        column = np.asarray(getattr(self, name))
        if not np.issubdtype(column.dtype, np.integer):
            raise WorkloadError(f"{name}: must be integers, got {column.dtype}")
        if column.shape != (len(self.arrival_us),):
            raise WorkloadError(f"{name}: {len(column)} values for {len(self.arrival_us)} requests")
        object.__setattr__(self, name, np.ascontiguousarray(column, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.arrival_us)
