"""What differs between releases of vLLM in the memory they take and in how they divide the rest.

The rules of division are those of vLLM's planner: of 0.33.0 as it ran, of 0.8, 0.11 and 0.19 as they read. Where
between those a rule changed nobody looked; each holds from the release on in which it was seen. Figures in bytes are
fitted to start-up logs (docs/memory.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from blis.config.engine_defaults import FIRST_WITH_GRAPHS_COUNTED
from blis.config.quantization import BYTES_16BIT
from blis.config.versions import NEWEST, parse_version
from blis.memory.planning import Rules

_NO_GROUPS = Rules(
    has_groups=False,
    groups_chunks=False,
    mixes_pages=False,
    evens_out=False,
    pads_pages=False,
    counts_in_flight=False,
    reserves_null_block=False,
    most_snapshots=1,
    logs="groups",
)
_FROM_0_11 = Rules(
    groups_chunks=False,
    evens_out=False,
    pads_pages=False,
    counts_in_flight=False,
    reserves_null_block=False,
    most_snapshots=1,
    logs="groups",
)
_FROM_0_19 = Rules(
    pads_pages=False,
    counts_in_flight=False,
    reserves_null_block=False,
    keeps_all_states=True,
    most_snapshots=1,
    latent_alignment_tokens=64,
    logs="groups",
)

#: Copies of one request's logits while sampling, in bytes per entry of the vocabulary, by the release from which on
#: they are made: sorted with indices (two ways), by FlashInfer's kernels in between, and by kernels of vLLM's own.
_LOGIT_BYTES = (((0, 17), 15.0), ((0, 11, 1), 37.7), ((0, 11), 15.0), ((0,), 53.0))
#: Experts' buffers stay reserved from these releases on: those of unquantised experts, and others.
_FIRST_TO_KEEP_16BIT_BUFFERS, _FIRST_TO_KEEP_BUFFERS = (0, 14), (0, 17)
#: From this release on prefixes are cached by default whatever the layers are.
_FIRST_TO_CACHE_STATES = (0, 33)


@dataclass(frozen=True)
class Release:
    """A release of vLLM.

    Attributes:
        rules: of the division of KV memory.
        sampler_bytes_per_logit: copies of the logits at the peak of sampling.
        keeps_workspace_16bit: what unquantised experts work in stays reserved; else it is free again when others work.
        keeps_workspace_quantised: the same of quantised experts.
        counts_graphs: memory for CUDA graphs is left free of KV caches; else graphs go into what utilisation leaves.
        caches_prefixes_of_states: prefix caching is on by default also for models with state layers; before, it is off.
    """

    rules: Rules
    sampler_bytes_per_logit: float
    keeps_workspace_16bit: bool
    keeps_workspace_quantised: bool
    counts_graphs: bool
    caches_prefixes_of_states: bool

    def keeps_workspace(self, expert_bytes: float) -> bool:
        """Whether experts of so many bytes per weight keep what they work in."""
        return self.keeps_workspace_16bit if expert_bytes == BYTES_16BIT else self.keeps_workspace_quantised


def release_of(version: str | None) -> Release:
    """What a version does; the newest one that is modelled where none is given."""
    number = parse_version(version or NEWEST)
    return Release(
        rules=_rules(number),
        sampler_bytes_per_logit=next(size for first, size in _LOGIT_BYTES if number >= first),
        keeps_workspace_16bit=number >= _FIRST_TO_KEEP_16BIT_BUFFERS,
        keeps_workspace_quantised=number >= _FIRST_TO_KEEP_BUFFERS,
        counts_graphs=number >= FIRST_WITH_GRAPHS_COUNTED,
        caches_prefixes_of_states=number >= _FIRST_TO_CACHE_STATES,
    )


def _rules(number: tuple[int, ...]) -> Rules:
    if number < (0, 11):
        return _NO_GROUPS
    if number < (0, 19):
        return _FROM_0_11
    return _FROM_0_19 if number < (0, 33) else Rules()
