"""What one layer keeps of a request on one GPU: as much for every token, or one state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: How far back a layer looks. Latent attention and its indexer look at everything.
Reach = Literal["full", "window", "chunk"]


@dataclass(frozen=True)
class TokenCache:
    """As much for every token.

    Attributes:
        token_bytes: per token, on one GPU.
        reach: what a layer looks back at.
        reach_tokens: size of the window or chunk; 0: everything.
        is_latent: of latent attention, or of the indexer of sparse attention, whose pages can't be padded.
    """

    token_bytes: int
    reach: Reach = "full"
    reach_tokens: int = 0
    is_latent: bool = False


@dataclass(frozen=True)
class StateCache:
    """One state per request, of fixed size: Mamba, gated delta nets, Kimi's linear attention.

    Attributes:
        state_bytes: per request, on one GPU.
        num_snapshots: states that one request may hold beside the current one when prefixes are cached.
        can_keep_all: whether releases that keep a state per block do so of this kind (`Rules.keeps_all_states`).
    """

    state_bytes: int
    num_snapshots: int = 1
    can_keep_all: bool = False


LayerCache = TokenCache | StateCache
