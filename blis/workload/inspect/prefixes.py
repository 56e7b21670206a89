"""How much of the prompts earlier requests have had: what an infinite prefix cache could save."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blis.errors import WorkloadError
from blis.workload._trie import common_prefixes
from blis.workload.convert.source import Rows
from blis.workload.requests import Ints
from blis.workload.traces.parquet import HASH_IDS, TOKEN_IDS

#: Token ids are compared in blocks of this size, vLLM's default.
BLOCK_TOKENS = 16


class Prefixes:
    """Collects what requests say of their prompts; memory holds all these ids."""

    def __init__(self) -> None:
        self._words: list[NDArray[np.int32]] = []
        self._units: list[Ints] = []
        self._block_tokens = 0
        self._is_hashed = False

    def add(self, rows: Rows) -> None:
        """Take the ids of some requests, if they have any.

        Raises:
            WorkloadError: hash ids stand for another number of tokens than before.
        """
        if HASH_IDS[0] in rows.columns:
            self._add_hash_ids(rows)
        elif TOKEN_IDS[0] in rows.columns:
            self._block_tokens = BLOCK_TOKENS
            self._words.append(_flat(rows.columns[TOKEN_IDS[0]]).astype(np.int32))
            self._units.append(rows.input_tokens)

    def describe(self, order: Ints, input_tokens: Ints) -> dict[str, Any] | None:
        """Figures of sharing, None if nothing is known of content.

        Args:
            order: (n,) requests in the order in which they arrive.
            input_tokens: (n,) prompt lengths.

        Returns:
            ``hit_share``: share of all prompt tokens that stand in leading blocks which an earlier request began with;
            ``requests_with_hit``: share of requests with such tokens; ``block_tokens``: tokens per block.
        """
        units = np.concatenate(self._units) if self._units else np.empty(0, np.int64)
        if not units.any():
            return None
        width = 2 if self._is_hashed else BLOCK_TOKENS
        words_each = 2 * units if self._is_hashed else units
        starts = np.cumsum(words_each) - words_each
        lengths = units if self._is_hashed else units // BLOCK_TOKENS
        _, matched = common_prefixes(np.concatenate(self._words), starts[order], lengths[order], width)
        hits = np.minimum(matched * self._block_tokens, input_tokens[order])
        return {
            "hit_share": float(hits.sum() / input_tokens.sum()),
            "requests_with_hit": float((hits > 0).mean()),
            "block_tokens": self._block_tokens,
        }

    def _add_hash_ids(self, rows: Rows) -> None:
        import pyarrow.compute as pc

        sizes = rows.columns[HASH_IDS[1]].to_numpy(zero_copy_only=False)
        size = self._block_tokens or int(sizes[0])
        if (sizes != size).any():
            other = sizes[sizes != size][0]
            raise WorkloadError(f"{HASH_IDS[1]}: must be the same in all rows, got {other} after {size}")
        self._block_tokens, self._is_hashed = size, True
        ids = _flat(rows.columns[HASH_IDS[0]]).astype(np.int64)
        self._words.append(np.ascontiguousarray(ids).view(np.int32))
        self._units.append(pc.list_value_length(rows.columns[HASH_IDS[0]]).to_numpy(False).astype(np.int64))


def _flat(column: Any) -> NDArray[Any]:
    import pyarrow.compute as pc

    values: NDArray[Any] = pc.list_flatten(column).to_numpy(zero_copy_only=False)
    return values
