"""What an engine does by itself where nobody says how many requests, tokens and bytes it may use.

Sources: vLLM's own defaults for its server, which go by the GPU's memory and name (its engine arguments, from 0.8.5
on); 0.92 of the memory since it counts CUDA graphs as well (pull request 38284; start-up logs of 0.20.0 show it).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from blis.config.hardware import Gpu
from blis.config.notes import Note
from blis.config.schema import Deployment, EngineOptions
from blis.config.versions import parse_version

#: From this release on vLLM takes more of the memory, and CUDA graphs out of it.
FIRST_WITH_GRAPHS_COUNTED = (0, 20)
#: vLLM's names for GPUs that it does not take to be fast enough for more, whatever their memory.
_NOT_LARGE = "a100"
_LARGE_GIB = 70


@dataclass(frozen=True)
class EngineDefaults:
    """What an engine takes for what is not given.

    Attributes:
        origin: who says so.
        max_num_running_reqs: most requests in the running batch.
        max_num_scheduled_tokens: most new tokens per step.
        gpu_memory_utilization: share of the GPU's memory.
    """

    origin: str
    max_num_running_reqs: int
    max_num_scheduled_tokens: int
    gpu_memory_utilization: float


#: With these the published coefficients were measured; others are taken to be no different.
OF_COEFFICIENTS = EngineDefaults("as coefficients are measured", 256, 2048, 0.9)


def vllm_defaults(version: str, gpu: Gpu | None) -> EngineDefaults:
    """What a vLLM server does on a GPU by itself; of one that is not known it is taken to be small."""
    share = 0.92 if parse_version(version) >= FIRST_WITH_GRAPHS_COUNTED else 0.9
    is_large = gpu is not None and gpu.visible_memory_gib >= _LARGE_GIB and _NOT_LARGE not in gpu.name.lower()
    origin = f"as vLLM {version} does by itself on {gpu.name if gpu is not None else 'a GPU that is not known'}"
    return EngineDefaults(origin, *((1024, 8192) if is_large else (256, 2048)), share)


def filled_in(
    deployment: Deployment, options: EngineOptions, by_itself: EngineDefaults
) -> tuple[Deployment, EngineOptions, list[Note]]:
    """Both with the engine's own figures where none are given, and what these are.

    With vLLM's own defaults not more requests run than a step has tokens, as vLLM itself sees to.
    """
    tokens = options.max_num_scheduled_tokens
    tokens = by_itself.max_num_scheduled_tokens if tokens is None else tokens
    requests = options.max_num_running_reqs
    if requests is None:
        requests = by_itself.max_num_running_reqs
        requests = requests if by_itself is OF_COEFFICIENTS else max(1, min(requests, tokens))
    share = deployment.gpu_memory_utilization
    share = by_itself.gpu_memory_utilization if share is None else share
    figures = {"max_num_running_reqs": requests, "max_num_scheduled_tokens": tokens}
    taken = [f"{name} {figure}" for name, figure in figures.items() if getattr(options, name) is None]
    if deployment.gpu_memory_utilization is None and deployment.total_kv_blocks is None:
        taken.append(f"gpu_memory_utilization {share}")
    text = f"engine: {', '.join(taken)}: {by_itself.origin}"
    notes = [Note("info" if by_itself is OF_COEFFICIENTS else "warning", text)] if taken else []
    given = replace(options, max_num_running_reqs=requests, max_num_scheduled_tokens=tokens)
    return replace(deployment, gpu_memory_utilization=share), given, notes
