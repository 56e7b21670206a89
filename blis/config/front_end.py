"""What stands before and behind an engine: HTTP, tokenizer, streaming; in one thread of an API server."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from blis.errors import ConfigError, nearest
from blis.files.decode import Section, read_yaml
from blis.files.shown import Brief

#: As in `blis.latency.law`: beyond any server, and far from the end of the clock.
_MOST_US = 1e9


@dataclass(frozen=True, repr=False)
class FrontEnd(Brief):
    """What a front end adds to an engine's times, off its clock.

    Attributes:
        name: what it is called.
        source: where the figures come from.
        request_us: from a request's arrival until it may be taken in, whatever else is there.
        prompt_token_us: the same per prompt token.
        output_token_us: added to each token on its way to the client.
        intake_us: time of the API server that each request takes after that, before the scheduler sees it. Requests
            in hand share it evenly, so that n which come at once are all seen after n times as long, and no more than
            one per so many µs get in. 0: no limit.
    """

    name: str
    source: str
    request_us: float = 0.0
    prompt_token_us: float = 0.0
    output_token_us: float = 0.0
    intake_us: int = 0

    @property
    def alpha(self) -> tuple[float, float, float]:
        """As queueing coefficients (`blis.latency.law.LatencyModel`)."""
        return self.request_us, self.prompt_token_us, self.output_token_us

    def __str__(self) -> str:
        parts = [f"{self.request_us / 1000:g} ms before a request is taken in"]
        parts += [f"{self.prompt_token_us:g} µs per prompt token"] if self.prompt_token_us else []
        parts += [f"{self.output_token_us:g} µs per output token"] if self.output_token_us else []
        parts += [f"{self.intake_us / 1000:g} ms of the API server's time for each"] if self.intake_us else []
        return f"{self.name}: {', '.join(parts)}"


NO_FRONT_END = FrontEnd("none", "asked for")
#: What a deployment without coefficients gets.
VLLM_FRONT_END = FrontEnd(
    "vllm",
    "fitted to the published load tests of benchmarks/measured (docs/roofline.md, 2026-11)",
    request_us=5_000,
    intake_us=5_000,
)
FRONT_ENDS = {each.name: each for each in (NO_FRONT_END, VLLM_FRONT_END)}


def front_end_of(asked: str | Path | FrontEnd) -> FrontEnd:
    """A front end by name, or from a YAML file with the fields of `FrontEnd` but its name.

    Raises:
        ConfigError: there is no such name or file, or the file makes no sense.
    """
    if isinstance(asked, FrontEnd):
        return asked
    if (known := FRONT_ENDS.get(str(asked).lower())) is not None:
        return known
    path = Path(asked)
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise ConfigError(f"front_end: unknown name {str(asked)!r}; {nearest(str(asked), (*FRONT_ENDS, 'FILE.yaml'))}")
    return read_front_end(read_yaml(path), path.stem)


def read_front_end(section: Section, name: str) -> FrontEnd:
    """The figures of a file or a part of one.

    Raises:
        ConfigError: a figure makes no sense, or a key is unknown.
    """
    figures: dict[str, Any] = {
        field.name: section.number(field.name, 0.0, most=_MOST_US)
        for field in fields(FrontEnd)
        if field.name.endswith("_us") and field.name != "intake_us"
    }
    intake_us = section.integer("intake_us", 0)
    if intake_us > _MOST_US:
        section.fail("intake_us", f"must be <= {_MOST_US:g}, got {intake_us}")
    front_end = FrontEnd(name, section.text("source", section.source), intake_us=intake_us, **figures)
    section.finish()
    return front_end
