"""What can be said about a conversion. Nothing heavy is imported here: the command line's help reads it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from blis.errors import ConfigError

#: Names of the formats that can be read, and what each is.
FORMATS = {
    "azure": "Azure LLM inference traces of 2023 and 2024, CSV",
    "burstgpt": "BurstGPT, CSV",
    "mooncake": "Mooncake and Dynamo traces with hash ids, JSON lines",
    "sharegpt": "ShareGPT conversations, JSON or JSON lines",
    "vllm": "result of vLLM's serving benchmark with --save-detailed, JSON",
    "vllm-stamps": "a vLLM server's stamps of each request, JSON lines",
    "token-csv": "CSV with token ids, as blis reads it itself",
    "parquet": "Parquet traces as blis reads them itself",
}

#: Names of the formats that can be written.
TARGETS = ("parquet", "tracev2")

#: Tokens that one of Mooncake's hash ids stands for.
MOONCAKE_BLOCK_TOKENS = 512
#: English text has about three words to four tokens.
TOKENS_PER_WORD = 4 / 3


@dataclass(frozen=True)
class ReadOptions:
    """What a file does not say itself.

    Attributes:
        hash_block_tokens: tokens per hash id, >= 1.
        hash_ids: file with the hash ids of each request, for stamps; JSON lines with ``request_id`` and ``hash_ids``.
        tokens_per_word: how many tokens a word of a ShareGPT text counts as, > 0.
        on_bad_row: whether a row that makes no sense ends the reading or is skipped and counted.
    """

    hash_block_tokens: int = MOONCAKE_BLOCK_TOKENS
    hash_ids: Path | None = None
    tokens_per_word: float = TOKENS_PER_WORD
    on_bad_row: Literal["fail", "skip"] = "fail"

    def __post_init__(self) -> None:
        if self.hash_block_tokens < 1:
            raise ConfigError(f"hash_block_tokens: must be >= 1, got {self.hash_block_tokens}")
        if not 0 < self.tokens_per_word < math.inf:
            raise ConfigError(f"tokens_per_word: must be a number > 0, got {self.tokens_per_word}")
        if self.on_bad_row not in ("fail", "skip"):
            raise ConfigError(f"on_bad_row: must be fail or skip, got {self.on_bad_row!r}")


@dataclass(frozen=True)
class Selection:
    """Which requests are taken, and when they arrive in the end.

    Attributes:
        limit: take at most so many; None: all.
        start_s: leave out what arrives earlier, s on the clock that ``keep_clock`` selects.
        end_s: leave out what arrives then or later; None: nothing.
        scale_rate: divide all arrivals by this number, which multiplies the rate by it; > 0.
        keep_clock: arrivals are those of the file; otherwise they count from the earliest one, or from ``start_s``.
        rate: requests per second of Poisson arrivals for a file that has none.
        seed: of these arrivals.
    """

    limit: int | None = None
    start_s: float = 0.0
    end_s: float | None = None
    scale_rate: float = 1.0
    keep_clock: bool = False
    rate: float | None = None
    seed: int = 42

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit: must be >= 1, got {self.limit}")
        if not 0 <= self.start_s < math.inf:
            raise ConfigError(f"start_s: must be a number >= 0, got {self.start_s}")
        if self.end_s is not None and not self.start_s < self.end_s < math.inf:
            raise ConfigError(f"end_s: must be a number > start ({self.start_s:g}), got {self.end_s}")
        if not 0 < self.scale_rate < math.inf:
            raise ConfigError(f"scale_rate: must be a number > 0, got {self.scale_rate}")
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise ConfigError(f"rate: must be a positive number of requests per second, got {self.rate}")
