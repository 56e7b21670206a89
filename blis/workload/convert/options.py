"""What can be said about a conversion. Nothing heavy is imported here: the command line's help reads it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from blis.errors import ConfigError, nearest

#: Names of the formats that can be read, and what each is.
FORMATS = {
    "azure": "Azure LLM inference traces of 2023 and 2024, CSV",
    "burstgpt": "BurstGPT, CSV",
    "mooncake": "times, lengths and hash ids as in Mooncake, Dynamo and Qwen-Bailian traces, JSON lines",
    "sharegpt": "ShareGPT conversations or chat messages, JSON or JSON lines",
    "vllm": "result of vLLM's serving benchmark with --save-detailed, JSON",
    "vllm-stamps": "a vLLM server's stamps of each request, JSON lines",
    "guidellm": "report of guidellm, JSON",
    "aiperf": "profile_export.jsonl of aiperf",
    "inference-perf": "per_request_lifecycle_metrics.json of inference-perf",
    "genai-bench": "result of genai-bench for a scenario and a concurrency, JSON",
    "token-csv": "CSV with token ids, as blis reads it itself",
    "tracev2": "TraceV2 of blis or inference-sim, its data (CSV) or its header (YAML)",
    "columns": "any table: CSV, JSON lines, a JSON list or Parquet, with --columns or usual names",
    "parquet": "Parquet traces as blis reads them itself",
}

#: Those whose times are numbers without a unit.
WITHOUT_UNIT = ("burstgpt", "mooncake", "columns")

#: Those of which a file may hold several results.
WITH_SEVERAL = ("vllm", "guidellm")

#: What a column of any table may be.
COLUMN_ROLES = ("arrival", "input", "output", "session", "tenant", "class")

#: Names of the formats that can be written.
TARGETS = ("parquet", "tracev2")

TimeUnit = Literal["s", "ms", "us", "ns"]
#: Units of times, and how many µs each is.
TIME_UNITS: Mapping[TimeUnit, float] = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
#: Tokens that one of Mooncake's hash ids stands for.
MOONCAKE_BLOCK_TOKENS = 512
#: English text has about three words to four tokens.
TOKENS_PER_WORD = 4 / 3
#: As far as the clock goes.
_MOST_S = 2**60 // 10**6
#: No word of any script has more tokens.
_MOST_TOKENS_PER_WORD = 1000.0


@dataclass(frozen=True)
class ReadOptions:
    """What a file does not say itself.

    Attributes:
        time_unit: of times that are numbers without one; None: that of the format, or the plausible one.
        hash_block_tokens: tokens per hash id, >= 1; None: as the format has them, or as they fit the lengths.
        hash_ids: file with the hash ids of each request, for stamps; JSON lines with ``request_id`` and ``hash_ids``.
        tokens_per_word: how many tokens a word of a ShareGPT text counts as, > 0; None: by its script.
        columns: names of columns by what they are, one of `COLUMN_ROLES`; the others are known by usual names.
        pick: which one of several results in a file, from 1; None: there is but one.
        on_bad_row: whether a row that makes no sense ends the reading or is skipped and counted.
    """

    time_unit: TimeUnit | None = None
    hash_block_tokens: int | None = None
    hash_ids: Path | None = None
    tokens_per_word: float | None = None
    columns: Mapping[str, str] | None = None
    pick: int | None = None
    on_bad_row: Literal["fail", "skip"] = "fail"

    def __post_init__(self) -> None:
        if self.time_unit is not None and self.time_unit not in TIME_UNITS:
            raise ConfigError(f"time_unit: must be one of {', '.join(TIME_UNITS)}, got {self.time_unit!r}")
        if self.hash_block_tokens is not None and self.hash_block_tokens < 1:
            raise ConfigError(f"hash_block_tokens: must be >= 1, got {self.hash_block_tokens}")
        if self.tokens_per_word is not None and not 0 < self.tokens_per_word <= _MOST_TOKENS_PER_WORD:
            most = f"{_MOST_TOKENS_PER_WORD:g}"
            raise ConfigError(f"tokens_per_word: must be a number > 0 and <= {most}, got {self.tokens_per_word}")
        for role in self.columns or {}:
            if role not in COLUMN_ROLES:
                raise ConfigError(f"columns: unknown {role!r}; {nearest(role, COLUMN_ROLES)}")
        if self.pick is not None and self.pick < 1:
            raise ConfigError(f"pick: must be >= 1, got {self.pick}")
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
        if not 0 <= self.start_s <= _MOST_S:
            raise ConfigError(f"start_s: must be a number of seconds in [0, {_MOST_S}], got {self.start_s}")
        if self.end_s is not None and not self.start_s < self.end_s <= _MOST_S:
            raise ConfigError(f"end_s: must be a number > start ({self.start_s:g}), got {self.end_s}")
        if not 0 < self.scale_rate < math.inf:
            raise ConfigError(f"scale_rate: must be a number > 0, got {self.scale_rate}")
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise ConfigError(f"rate: must be a positive number of requests per second, got {self.rate}")
