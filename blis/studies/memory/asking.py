"""`gpu_memory`: what becomes of a GPU's memory, whether a model fits, and on how many GPUs it does."""

from __future__ import annotations

from dataclasses import dataclass, replace

from blis.config.engine_defaults import vllm_defaults
from blis.config.model.model import Model
from blis.config.notes import Note
from blis.config.resolve import look_up_model
from blis.config.schema import Deployment, EngineOptions
from blis.errors import CombinationError
from blis.memory.budget import Budget, Serving, memory_budget, smallest_tp
from blis.memory.kv_blocks import KnownModel
from blis.memory.releases import release_of
from blis.memory.work import GIB
from blis.report.answer import Answer


@dataclass(frozen=True, eq=False)
class GpuMemory(Answer):
    """The answer.

    Attributes:
        name: of the model, as asked for.
        known: model, GPU, how many of them, and version.
        serving: settings of vLLM.
        budget: of one GPU.
        smallest_tp: on how many GPUs a request of full length has room; None: on none of the usual numbers.
        notes: what was decided for the user.
    """

    name: str
    known: KnownModel
    serving: Serving
    budget: Budget
    smallest_tp: int | None
    notes: tuple[Note, ...]

    @property
    def fits(self) -> bool:
        """Whether vLLM starts."""
        return self.budget.fits

    @property
    def reason(self) -> str | None:
        """Why it doesn't; None if it does."""
        budget, plan = self.budget, self.budget.plan
        if self.fits:
            return None
        if budget.kv_bytes <= 0:
            return (
                f"{-budget.kv_bytes / GIB:.2f} GiB more are taken than the {budget.usable_bytes / GIB:.2f} GiB usable"
            )
        return (
            f"a request of {plan.max_model_len:,} tokens needs {plan.needed_bytes / GIB:.2f} GiB of KV cache, and there "
            f"are {budget.kv_bytes / GIB:.2f}; the longest that has room is {plan.longest_request_tokens:,} tokens"
        )


def gpu_memory(
    deployment: Deployment | str, *, engine: EngineOptions | None = None, enforce_eager: bool = False
) -> GpuMemory:
    """Say what becomes of the memory of each GPU when vLLM starts a model.

    Args:
        deployment: which model on what; without ``tp``, that of its defaults, else the smallest that fits; without
            ``vllm_version``, the newest that is modelled.
        engine: server parameters; what is not given is what vLLM takes by itself on that GPU.
        enforce_eager: no CUDA graphs.

    Raises:
        InputError: something asked for is wrong or not known; a model that does not fit is an answer.
    """
    if isinstance(deployment, str):
        deployment = Deployment(deployment)
    found = look_up_model(deployment)
    known = KnownModel(found.model, found.gpu, found.tp or 1, found.vllm_version)
    serving, notes = _serving(deployment, engine or EngineOptions(), known, enforce_eager=enforce_eager)
    smallest = smallest_tp(known.model, known.gpu, serving)
    if found.tp is None:
        known = replace(known, tp=smallest or _most(known))
        why = "the smallest that fits" if smallest is not None else "the most there are, and it does not fit"
        notes.append(Note("info", f"tp: {known.tp}, {why}"))
    budget = memory_budget(known.model, known.gpu, known.tp, serving)
    return GpuMemory(found.name, known, serving, budget, smallest, (*found.notes, *notes))


def _most(known: KnownModel) -> int:
    return max(tp for tp in known.gpu.tp_degrees if known.model.splits_over(tp))


def _serving(
    deployment: Deployment, engine: EngineOptions, known: KnownModel, *, enforce_eager: bool
) -> tuple[Serving, list[Note]]:
    version = known.vllm_version
    assert version is not None
    by_itself = vllm_defaults(version, known.gpu)
    tokens = engine.max_num_scheduled_tokens or by_itself.max_num_scheduled_tokens
    requests = engine.max_num_running_reqs or min(by_itself.max_num_running_reqs, tokens)
    share = deployment.gpu_memory_utilization or by_itself.gpu_memory_utilization
    figures = {"max_num_running_reqs": requests, "max_num_scheduled_tokens": tokens, "gpu_memory_utilization": share}
    given = (engine.max_num_running_reqs, engine.max_num_scheduled_tokens, deployment.gpu_memory_utilization)
    taken = [f"{name} {value}" for (name, value), was in zip(figures.items(), given, strict=True) if was is None]
    serving = Serving(
        release=release_of(version),
        max_num_seqs=requests,
        max_num_batched_tokens=tokens,
        max_model_len=_length(engine.max_model_len, known.model),
        gpu_memory_utilization=share,
        kv_element_bytes=known.model.kv_element_bytes(deployment.kv_cache_dtype),
        block_size_tokens=engine.block_size_tokens,
        prefix_caching=engine.enable_prefix_caching,
        enforce_eager=enforce_eager,
        activation_gib=deployment.activation_gib,
        num_blocks=deployment.total_kv_blocks,
    )
    return serving, [Note("info", f"engine: {', '.join(taken)}: {by_itself.origin}")] if taken else []


def _length(asked: int | None, model: Model) -> int | None:
    context = model.context_length
    if asked is not None and context is not None and asked > context:
        raise CombinationError(f"max_model_len: must be <= {context}, the model's own context, got {asked}")
    return context if asked is None else asked
