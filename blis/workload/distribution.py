"""Workloads drawn from distributions: the one described by flags, and the presets of ``defaults.yaml``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from blis.errors import ConfigError
from blis.files.shown import Brief
from blis.workload.arrivals import ArrivalProcess, arrival_times_us, check_arrivals
from blis.workload.lengths import MAX_TOKENS, clamped_normal
from blis.workload.requests import MOST_US, Ints, RequestTable, TokenStreams
from blis.workload.rng import stream
from blis.workload.window import MOST_LATE

_PARTS = ("prompt", "output")


@dataclass(frozen=True, repr=False)
class DistributionWorkload(Brief):
    """Requests with drawn lengths and arrivals. Checked when made; the defaults are those of the flags.

    The defaults and the presets come from the inference-sim project.

    Attributes:
        rate: requests per second.
        num_requests: how many.
        arrival: arrival process (`blis.workload.arrivals`).
        arrival_cv: coefficient of variation of the gaps, ``gamma`` only; None: 1.
        prefix_tokens: tokens with which every prompt begins, the same for all, before the drawn prompt.
        prompt_tokens: mean of the drawn prompt length.
        prompt_tokens_stdev: its standard deviation, before clamping.
        prompt_tokens_min: least drawn prompt length.
        prompt_tokens_max: largest drawn prompt length.
        output_tokens: mean of the output length.
        output_tokens_stdev: its standard deviation, before clamping.
        output_tokens_min: least output length.
        output_tokens_max: largest output length.
        preset: name of the preset whose figures these are; None: flags, whose means must lie between their bounds.
    """

    rate: float = 1.0
    num_requests: int = 100
    arrival: ArrivalProcess = "poisson"
    arrival_cv: float | None = None
    prefix_tokens: int = 0
    prompt_tokens: float = 512
    prompt_tokens_stdev: float = 256
    prompt_tokens_min: int = 2
    prompt_tokens_max: int = 7000
    output_tokens: float = 512
    output_tokens_stdev: float = 256
    output_tokens_min: int = 2
    output_tokens_max: int = 7000
    preset: str | None = None

    def __post_init__(self) -> None:
        check_arrivals(self.arrival, self.rate, self.arrival_cv)
        _check_count("num_requests", self.num_requests, least=1)
        where = "" if self.preset is None else f"workloads.{self.preset}."
        _check_count(f"{where}prefix_tokens", self.prefix_tokens, least=0)
        for part, least in (("prompt", 0 if self.prefix_tokens else 1), ("output", 0)):
            self._check_length(f"{where}{part}_tokens", part, least)

    @property
    def seed(self) -> None:
        """That of the run."""

    def requests(self, seed: int, horizon_us: int | None = None) -> RequestTable:
        """Draw the requests.

        Arrivals, prompt lengths and output lengths come from streams of their own (``arrivals``,
        ``prompt lengths``, ``output lengths``; `blis.workload.rng`): changing one thing never shifts another.

        Args:
            seed: of all streams.
            horizon_us: of the requests arriving later no more have rows than need to (`blis.workload.window`).

        Returns:
            Requests in the order of their arrival. With a prefix their content says that they share it and
            nothing else; without one they share nothing.
        """
        count, last_us = self.num_requests, None if horizon_us is None else MOST_US
        if horizon_us is not None and count > MOST_LATE:
            count = min(count, len(self._arrivals_us(seed, count, horizon_us)) + MOST_LATE)
        arrivals = self._arrivals_us(seed, count, last_us)
        prompt, output = (self._lengths(part, stream(seed, f"{part} lengths"), len(arrivals)) for part in _PARTS)
        content = _common_prefix(len(arrivals), self.prefix_tokens) if self.prefix_tokens else None
        unlisted = self.num_requests - len(arrivals)
        return RequestTable(arrivals, self.prefix_tokens + prompt, output, content, unlisted=unlisted)

    def describe(self) -> dict[str, Any]:
        """All figures."""
        return {"kind": "distribution", **asdict(self)}

    def _arrivals_us(self, seed: int, count: int, last_us: int | None) -> Ints:
        rng = stream(seed, "arrivals")
        return arrival_times_us(self.arrival, self.rate, count, rng, cv=self.arrival_cv, horizon_us=last_us)

    def _lengths(self, part: str, rng: np.random.Generator, count: int) -> Ints:
        mean, stdev, low, high = self._figures(part)
        return clamped_normal(rng, count, mean=mean, stdev=stdev, minimum=low, maximum=high)

    def _figures(self, part: str) -> tuple[float, float, int, int]:
        mean, stdev, low, high = (getattr(self, f"{part}_tokens{suffix}") for suffix in ("", "_stdev", "_min", "_max"))
        return mean, stdev, low, high

    def _check_length(self, key: str, part: str, least: int) -> None:
        mean, stdev, low, high = self._figures(part)
        _check_count(f"{key}_min", low, least)
        _check_count(f"{key}_max", high, least)
        _check_number(key, mean)
        _check_number(f"{key}_stdev", stdev)
        if low > high:
            raise ConfigError(f"{key}_min: must be <= {key}_max ({high}), got {low}")
        if self.preset is None and not low <= mean <= high:
            raise ConfigError(f"{key}: must lie in [{key}_min, {key}_max] = [{low}, {high}], got {mean}")


def _common_prefix(count: int, prefix_tokens: int) -> TokenStreams:
    """Stream 0 is the prefix; request r has stream r + 1, which forks from it where the prefix ends."""
    parent = np.zeros(count + 1, dtype=np.int64)
    parent[0] = -1
    fork_tokens = np.full(count + 1, prefix_tokens, dtype=np.int64)
    fork_tokens[0] = 0
    return TokenStreams(np.arange(1, count + 1), parent, fork_tokens)


def _check_count(key: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_TOKENS:
        raise ConfigError(f"{key}: must be an integer in [{least}, {MAX_TOKENS}], got {value!r}")


def _check_number(key: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_TOKENS:
        raise ConfigError(f"{key}: must be a number in [0, {MAX_TOKENS}], got {value!r}")
