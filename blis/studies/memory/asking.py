"""`gpu_memory`: what becomes of a GPU's memory, whether a model fits, and on how many GPUs it does."""

from __future__ import annotations

from dataclasses import dataclass, replace

from blis.config.engine_defaults import filled_in, vllm_defaults
from blis.config.notes import Note
from blis.config.resolve import look_up_model
from blis.config.schema import Deployment, EngineConfig, EngineOptions
from blis.config.servability import experts_in_whole, unservable
from blis.config.versions import NEWEST
from blis.errors import CombinationError
from blis.memory.budget import Budget, Serving, memory_budget, possible_tps, smallest_tp
from blis.memory.kv_blocks import UNKNOWN_TOTAL_KV_BLOCKS, KnownModel, serving_of
from blis.memory.work import GIB
from blis.report.answer import Answer


@dataclass(frozen=True, eq=False, repr=False)
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
            usable = budget.usable_bytes / GIB
            return f"{-budget.kv_bytes / GIB:.2f} GiB more are taken than the {usable:.2f} GiB that are usable"
        needed = f"a request of {plan.max_model_len:,} tokens needs {plan.needed_bytes / GIB:.2f} GiB of KV cache"
        longest = f"the longest that has room is {plan.longest_request_tokens:,} tokens"
        return f"{needed}, and there are {budget.kv_bytes / GIB:.2f}; {longest}"


def gpu_memory(
    deployment: Deployment | str,
    *,
    engine: EngineOptions | None = None,
    enforce_eager: bool = False,
    fit_max_model_len: bool = False,
) -> GpuMemory:
    """Say what becomes of the memory of each GPU when vLLM starts a model.

    Args:
        deployment: which model on what; without ``tp``, that of its defaults, else the smallest that fits; without
            ``vllm_version``, the newest that is modelled.
        engine: server parameters; what is not given is what vLLM takes by itself on that GPU.
        enforce_eager: no CUDA graphs.
        fit_max_model_len: L is as much as there is room for, up to the model's context, as vLLM's ``auto`` has it.

    Raises:
        InputError: something asked for is wrong or not known; a model that does not fit is an answer.
    """
    if isinstance(deployment, str):
        deployment = Deployment(deployment)
    found = look_up_model(deployment)
    known = KnownModel(found.model, found.gpu, found.tp or 1, found.vllm_version)
    serving, notes = _serving(deployment, engine or EngineOptions(), known, enforce_eager=enforce_eager)
    smallest = smallest_tp(known.model, known.gpu, serving, for_full_length=not fit_max_model_len)
    if found.tp is None:
        known = replace(known, tp=smallest or possible_tps(known.model, known.gpu)[-1])
        why = "the smallest that fits" if smallest is not None else "the most there are, and it does not fit"
        notes.append(Note("info", f"tp: {known.tp}, {why}"))
    _check_blocks(known)
    notes += [Note("warning", text) for text in experts_in_whole(known.model, known.tp)]
    budget = memory_budget(known.model, known.gpu, known.tp, serving)
    longest = budget.plan.longest_request_tokens
    if fit_max_model_len and 0 < longest < budget.plan.max_model_len:
        notes.append(Note("info", f"max_model_len: {longest}, as much as there is room for"))
        serving = replace(serving, max_model_len=longest)
        budget = memory_budget(known.model, known.gpu, known.tp, serving)
    return GpuMemory(found.name, known, serving, budget, smallest, (*found.notes, *notes))


def _check_blocks(known: KnownModel) -> None:
    cut = known.model.blocks_not_split_over(known.tp)
    if cut is not None:
        valid = ", ".join(map(str, possible_tps(known.model, known.gpu)))
        raise CombinationError(
            f"tp: {cut} cannot be split over {known.tp} GPUs; valid: {valid}; vLLM refuses to start so"
        )


def _serving(
    deployment: Deployment, options: EngineOptions, known: KnownModel, *, enforce_eager: bool
) -> tuple[Serving, list[Note]]:
    by_itself = vllm_defaults(known.vllm_version or NEWEST, known.gpu)
    deployment, options, notes = filled_in(deployment, options, by_itself)
    given = {name: value for name, value in vars(options).items() if value is not None and name != "allow_unservable"}
    engine = EngineConfig(**{"total_kv_blocks": UNKNOWN_TOTAL_KV_BLOCKS, **given})
    for reason in unservable(engine, known.model, None, known.vllm_version, longest=engine.max_model_len):
        raise CombinationError(f"{reason}; vLLM refuses to start so")
    serving = serving_of(deployment, engine, known)
    return replace(serving, enforce_eager=enforce_eager), [replace(note, level="info") for note in notes]
