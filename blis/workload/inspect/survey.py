"""One pass over a trace, and all figures of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from blis.errors import WorkloadError
from blis.workload.convert.formats import recognise
from blis.workload.convert.options import ReadOptions, Selection
from blis.workload.convert.selecting import Requests
from blis.workload.convert.source import Rows, Source
from blis.workload.inspect.arrivals import describe_arrivals
from blis.workload.inspect.lengths import Lengths
from blis.workload.inspect.prefixes import Prefixes


def inspect_trace(
    path: str | os.PathLike[str],
    *,
    format_name: str | None = None,
    options: ReadOptions | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Look at a trace in any known format.

    Memory holds two integers per request, and the ids that tell what prompts share.

    Args:
        path: the file.
        format_name: its format, one of `blis.workload.convert.options.FORMATS`; None: by its looks.
        options: what the file does not say itself.
        progress: called with the number of bytes read so far.

    Returns:
        ``file``, ``format``, ``requests``, ``left_out`` (rows by the reason they are no requests of a trace),
        ``without_output``; ``assumed`` and ``doubts``, what was taken for granted about the file and what speaks
        against it; ``input_tokens`` and ``output_tokens`` (`Lengths.describe`); ``arrivals``
        (`describe_arrivals`), None if the file has none; ``prefix_sharing`` (`Prefixes.describe`), None if nothing
        is known of it.

    Raises:
        InputError: the format is unknown, a row is wrong, or there are no requests.
    """
    path = Path(path)
    # our own traces have a clock that begins at 0; of others only differences of times mean anything
    name = format_name or recognise(path)
    selection = Selection(keep_clock=name == "parquet")
    requests = Requests(Source(path, options or ReadOptions(), progress), name, selection, need_arrivals=False)
    figures = requests.feed(lambda pieces: _describe(path, pieces))
    return {
        "file": str(path),
        "format": requests.format_name,
        **requests.counts.values(),
        **figures,
    }


def _describe(path: Path, pieces: Iterator[Rows]) -> dict[str, Any]:
    inputs, outputs, prefixes = Lengths(), Lengths(), Prefixes()
    arrivals, prompts = [], []
    for rows in pieces:
        inputs.add(rows.input_tokens)
        outputs.add(rows.output_tokens)
        prefixes.add(rows)
        prompts.append(rows.input_tokens)
        if rows.arrival_us is not None:
            arrivals.append(rows.arrival_us)
    if not prompts:
        raise WorkloadError(f"{path}: holds no requests")
    arrival_us = np.concatenate(arrivals) if arrivals else None
    input_tokens = np.concatenate(prompts)
    order = np.arange(len(input_tokens)) if arrival_us is None else np.argsort(arrival_us, kind="stable")
    return {
        "input_tokens": inputs.describe(),
        "output_tokens": outputs.describe(),
        "arrivals": None if arrival_us is None else describe_arrivals(arrival_us[order]),
        "prefix_sharing": prefixes.describe(order, input_tokens),
    }
