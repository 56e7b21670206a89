"""vLLM versions: how they are written, and what changed with them.

Sources: the scheduler rules are those of vLLM's own code in releases 0.8.4, 0.8.5 and 0.33.0; full CUDA graphs
became the default with 0.11.0, asynchronous scheduling with 0.14.0 (pull request 27614).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from blis.errors import ConfigError

HostProfileName = Literal["piecewise", "full", "asynchronous"]

#: vLLM's own priority scheduling came with this release.
FIRST_WITH_PRIORITY_SCHEDULING = (0, 9)
#: Asynchronous scheduling came with this release, off by default until 0.14 (its release notes). The rules that are
#: simulated are those of `NEWEST`.
FIRST_WITH_ASYNC_SCHEDULING = (0, 10)
#: Pause of its engine loop after a round that planned no tokens.
YIELD_US = 1000
#: What is meant where nothing says which release, and no coefficients stand for one.
NEWEST = "0.33.0"
#: The V1 engine, the only one modelled, is the default from this release on.
FIRST_WITH_V1_ENGINE = (0, 8)

_VERSION = re.compile(
    r"(?:vllm/vllm-openai:)?v?(\d+(?:\.\d+)+)(?:[.-]?(?:rc|post|dev|alpha|beta|a|b)\d*)*(?:\+[\w.]+)?"
)


@dataclass(frozen=True)
class SchedulerProfile:
    """The scheduler's rules of a range of vLLM releases; each is also an option of its own.

    The fields mean what they mean in `blis.config.schema.EngineConfig`.
    """

    name: str
    preallocated_tokens: int = 0
    free_keyless_blocks_first: bool = False
    threshold_spares_lone_request: bool = False
    refuse_prompt_of_max_model_len: bool = False
    reserve_full_prompt: bool = False
    kv_watermark: float = 0.0
    async_scheduling: bool = False


_UP_TO_0_8_4 = SchedulerProfile("vLLM up to 0.8.4", preallocated_tokens=64)
_BASE = SchedulerProfile("vLLM 0.8.5 to 0.13")
_FROM_0_14 = SchedulerProfile("vLLM 0.14 to 0.18", async_scheduling=True)
_FROM_0_19 = SchedulerProfile(
    "vLLM from 0.19",
    free_keyless_blocks_first=True,
    threshold_spares_lone_request=True,
    refuse_prompt_of_max_model_len=True,
    reserve_full_prompt=True,
    async_scheduling=True,
)


def normalize_version(text: str) -> str:
    """Reduce a vLLM version to its release number.

    ``vllm/vllm-openai:v0.8.4``, ``v0.8.4``, ``0.8.4`` and ``0.8.4.post1`` all give ``0.8.4``.

    Raises:
        ConfigError: if it is none of these forms.
    """
    match = _VERSION.fullmatch(text.strip().lower())
    if match is None:
        raise ConfigError(f"vllm_version: must look like 0.8.4, v0.8.4 or vllm/vllm-openai:v0.8.4, got {text!r}")
    return match.group(1)


def parse_version(text: str) -> tuple[int, ...]:
    """A vLLM version as numbers that compare as releases do; trailing zeros are dropped (0.19.0 is 0.19).

    Raises:
        ConfigError: if the text is no version.
    """
    numbers = [int(part) for part in normalize_version(text).split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def scheduler_profile(version: str | None) -> SchedulerProfile:
    """The scheduler's rules of a vLLM version; the base rules (0.8.5 to 0.13) if none is known."""
    if version is None:
        return _BASE
    release = parse_version(version)
    if release < (0, 8, 5):
        return _UP_TO_0_8_4
    if release < (0, 14):
        return _BASE
    return _FROM_0_14 if release < (0, 19) else _FROM_0_19


def host_profile_name(version: str | None) -> HostProfileName:
    """How a vLLM version plans steps and launches kernels; as the newest does if no version is known.

    ``full`` CUDA graphs are usual from 0.11 on; from 0.14 on steps are planned while another one runs.
    """
    release = parse_version(version or NEWEST)
    return "piecewise" if release < (0, 11) else "full" if release < (0, 14) else "asynchronous"


def version_text(version: str | None) -> str:
    """A version in a sentence; None: none was given."""
    return f"vLLM {version}" if version is not None else "no vLLM version given"
