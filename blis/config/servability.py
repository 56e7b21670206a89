"""Settings with which vLLM does not start: they are refused, or simulated all the same if that is asked for.

Sources: the checks that vLLM makes of its own settings, in releases 0.8.4 to 0.33.0. A check is left out where not all
that it depends on is known.
"""

from __future__ import annotations

from collections.abc import Iterator

from blis.config.model.model import Model
from blis.config.notes import Note
from blis.config.schema import EngineConfig
from blis.config.versions import parse_version
from blis.errors import CombinationError

#: Block sizes that releases below 0.19 let one choose among, taken together.
_BLOCK_SIZES = (1, 8, 16, 32, 64, 128, 256)
#: From this release on any size will do with which an attention kernel can work: a multiple of 16; on ROCm also 1.
_FIRST_WITHOUT_CHOICES = (0, 19)
_KERNEL_BLOCK_TOKENS = 16
#: From this release on the reserved block is left out of what the KV cache can hold.
_FIRST_WITHOUT_RESERVED_BLOCK = (0, 33)
#: From this release on layers with a sliding window keep fewer blocks, in groups of their own.
_FIRST_WITH_KV_GROUPS = (0, 11)


def check_servable(
    engine: EngineConfig,
    model: Model | None,
    tp: int | None,
    version: str | None,
    longest_request_tokens: int | None = None,
    *,
    allow: bool,
) -> list[Note]:
    """Refuse settings that vLLM itself refuses when it starts.

    Args:
        engine: what is going to be simulated.
        model: what runs, if known.
        tp: tensor parallelism degree, if known.
        version: of vLLM, if known.
        longest_request_tokens: for which the KV cache has room, if that was derived.
        allow: simulate them all the same.

    Returns:
        If they are allowed: a warning for each.

    Raises:
        CombinationError: if they are not; begins with the field.
    """
    reasons = list(unservable(engine, model, tp, version, longest=longest_request_tokens))
    if reasons and not allow:
        raise CombinationError(
            f"{reasons[0]}; vLLM refuses to start so, allow_unservable (--allow-unservable) simulates it all the same"
        )
    notes = [f"{reason}; vLLM refuses to start so, simulated all the same" for reason in reasons]
    return [Note("warning", text) for text in (*notes, *experts_in_whole(model, tp))]


def experts_in_whole(model: Model | None, tp: int | None) -> list[str]:
    """A warning where experts can only be on GPUs as a whole."""
    cut = None if model is None or tp is None else model.experts_not_split_over(tp)
    if cut is None:
        return []
    return [
        f"tp: {cut} cannot be split over {tp} GPUs; vLLM starts with --enable-expert-parallel only, which is assumed"
    ]


def unservable(
    engine: EngineConfig, model: Model | None, tp: int | None, version: str | None, *, longest: int | None
) -> Iterator[str]:
    """Why vLLM would not start, each reason beginning with a field; ``longest`` is what the KV cache has room for."""
    release = parse_version(version) if version is not None else None
    yield from _reasons(engine, model, tp, release)
    yield from _too_long(engine, model, release, longest)


def _reasons(
    engine: EngineConfig, model: Model | None, tp: int | None, release: tuple[int, ...] | None
) -> Iterator[str]:
    """Those that have nothing to do with memory."""
    size, length = engine.block_size_tokens, engine.max_model_len
    if not _is_block_size(size, release):
        choices = ", ".join(map(str, _BLOCK_SIZES))
        from_choices = release is None or release < _FIRST_WITHOUT_CHOICES
        valid = f"one of {choices}" if from_choices else f"a multiple of {_KERNEL_BLOCK_TOKENS}"
        yield f"block_size_tokens: must be {valid}, got {size}"
    tokens, requests = engine.max_num_scheduled_tokens, engine.max_num_running_reqs
    if tokens < requests:
        yield f"max_num_scheduled_tokens: must be >= max_num_running_reqs ({requests}), got {tokens}"
    if model is not None and tp is not None and (heads := model.heads_not_split_over(tp)) is not None:
        yield f"tp: {heads} cannot be split over {tp} GPUs"
    if model is not None and tp is not None and (cut := model.blocks_not_split_over(tp)) is not None:
        yield f"tp: {cut} cannot be split over {tp} GPUs"
    if length is None:
        return
    context = model.context_length if model is not None else None
    if context is not None and length > context:
        yield f"max_model_len: must be <= {context}, the model's own context, got {length}"


def _too_long(
    engine: EngineConfig, model: Model | None, release: tuple[int, ...] | None, longest: int | None
) -> Iterator[str]:
    """Why the KV cache has no room for a request of full length."""
    length, size, blocks = engine.max_model_len, engine.block_size_tokens, engine.total_kv_blocks
    if length is None:
        return
    if longest is not None:
        if longest < length:
            yield f"max_model_len: must be <= {longest}, the longest request that the KV cache holds, got {length}"
        return
    if release is not None and release >= _FIRST_WITHOUT_RESERVED_BLOCK:
        blocks -= 1
    if length > blocks * size and not _may_have_kv_groups(model, release):
        yield f"max_model_len: must be <= {blocks * size}, the tokens that {blocks} KV blocks hold, got {length}"


def _is_block_size(tokens: int, release: tuple[int, ...] | None) -> bool:
    is_choice = tokens in _BLOCK_SIZES
    suits_kernels = tokens == 1 or tokens % _KERNEL_BLOCK_TOKENS == 0
    if release is None:
        return is_choice or suits_kernels
    return is_choice if release < _FIRST_WITHOUT_CHOICES else suits_kernels


def _may_have_kv_groups(model: Model | None, release: tuple[int, ...] | None) -> bool:
    has_window = model is not None and any(mixer.reach_tokens > 0 for mixer in model.attention)
    return has_window and (release is None or release >= _FIRST_WITH_KV_GROUPS)
