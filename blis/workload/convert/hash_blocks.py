"""How many tokens a hash id stands for, where the file does not say: as its format has it, if the lengths agree."""

from __future__ import annotations

import numpy as np

from blis.workload.convert.source import Source
from blis.workload.requests import Ints
from blis.workload.traces.hash_ids import better_block_tokens, share_that_fits
from blis.workload.traces.parquet import HASH_IDS

#: A size that fits fewer of the requests is no good guess.
_HALF = 0.5


def decide_block_tokens(
    source: Source, input_tokens: Ints, output_tokens: Ints, num_ids: Ints, usual: int, whose: str
) -> int:
    """Say how many tokens an id stands for, and note what speaks for and against it.

    Args:
        source: where that is noted; its options come first.
        input_tokens: (n,) prompt lengths of the first requests.
        output_tokens: (n,) output lengths.
        num_ids: (n,) how many ids each has.
        usual: of the format.
        whose: the format.

    Raises:
        WorkloadError: the usual size does not fit, and another one would have to be guessed.
    """
    if not num_ids.any():
        return source.options.hash_block_tokens or usual
    lengths = input_tokens, output_tokens, num_ids
    asked = source.options.hash_block_tokens or usual
    share, better = share_that_fits(asked, *lengths), better_block_tokens(asked, *lengths)
    fits = f"{asked} fit{'s' if share else ''} {round(share * np.count_nonzero(num_ids))} of the first"
    fits += f" {np.count_nonzero(num_ids)} prompts with ids"
    if source.options.hash_block_tokens is not None:
        if better is not None:
            source.doubt(f"{HASH_IDS[0]}: {fits}, {better} nearly all; --hash-block-tokens {better} takes that")
        return asked
    if better is not None:
        source.assume(f"{HASH_IDS[0]}: taken as blocks of {better} tokens, which fit nearly all prompts")
        source.doubt(f"{HASH_IDS[0]}: taken as blocks of {better} tokens; {fits}; --hash-block-tokens decides")
        return better
    source.assume(f"{HASH_IDS[0]}: taken as blocks of {usual} tokens, as in {whose}")
    if share < _HALF:
        least, most = _sizes(input_tokens, num_ids)
        if least <= most:
            raise source.error(f"{HASH_IDS[0]}: {fits}, {least} to {most} fit all; give --hash-block-tokens")
        source.doubt(f"{HASH_IDS[0]}: {fits}, and no other size fits most; --hash-block-tokens decides")
    return asked


def _sizes(input_tokens: Ints, num_ids: Ints) -> tuple[int, int]:
    """The sizes of which all prompts have just as many blocks as ids: the least, and the most."""
    some = num_ids > 0
    prompt, ids = input_tokens[some], num_ids[some]
    several = ids > 1
    most = np.ceil(prompt[several] / (ids[several] - 1)).min() - 1 if several.any() else prompt.max()
    return int(np.ceil(prompt / ids).max()), int(most)
