"""``blis convert``: a public trace becomes one that ``blis run`` replays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blis.cli.console import log, print_result, set_verbosity, tell, wants_table
from blis.cli.flags import OUTPUT_FORM, from_flags
from blis.cli.reading import FILE, bytes_bar, read_options, reading_options, tell_doubts
from blis.cli.values import one_of
from blis.files.printable import printable
from blis.workload.convert.options import TARGETS, Selection

if TYPE_CHECKING:
    from blis.workload.convert.selecting import Counts


@click.command()
@click.argument("source", type=FILE)
@click.argument("target", type=FILE)
@reading_options
@click.option("--to", "target_format", **one_of(*TARGETS), help="Format to write  [default: by TARGET's suffix]")
@click.option("--limit", type=click.IntRange(1), help="Take at most so many requests")
@click.option("--start", "start_s", type=float, help="Leave out what arrives earlier, seconds after the first arrival")
@click.option("--end", "end_s", type=float, help="Leave out what arrives then or later, likewise")
@click.option("--scale-rate", type=float, help="Multiply the rate of arrivals by stretching or squeezing time")
@click.option("--keep-clock", is_flag=True, help="Do not count arrivals from the first one or from --start")
@click.option("--rate", type=float, help="Poisson arrivals for files without any, requests per second")
@click.option("--seed", type=click.IntRange(0), default=Selection.seed, show_default=True, help="Seed of these")
@click.option("--output", **OUTPUT_FORM)
def convert(source: Path, target: Path, **flags: Any) -> None:
    """Turn the trace SOURCE into TARGET, a Parquet trace for blis run (.parquet) or a TraceV2 for blis replay (.yaml).

    Reads Azure LLM inference, BurstGPT, Mooncake, ShareGPT, results of benchmarks, TraceV2, blis's own traces, and any
    table whose columns are known.
    """
    set_verbosity(flags)
    from blis.workload.convert.converting import convert as convert_trace

    with bytes_bar(source, flags) as progress:
        format_name, counts = convert_trace(
            source,
            target,
            format_name=flags["format_name"],
            target_format=flags["target_format"],
            selection=from_flags(Selection, flags),
            options=read_options(flags),
            progress=progress,
        )
    written = f"wrote {counts.taken} requests ({format_name}) to {target}"
    if not flags["quiet"]:
        if not wants_table(flags["output"]):
            tell(written)
        for assumed in counts.assumed:
            tell(assumed)
    _warn(source, counts)
    told = {"file": str(source), "format": format_name, "target": str(target), **counts.values()}
    print_result(flags["output"], lambda: told, lambda: printable(written))


def _warn(source: Path, counts: Counts) -> None:
    """Say what was left out without having been asked for, and what is doubtful."""
    tell_doubts(source, counts.doubts)
    if counts.unanswered:
        log.warning("%s: left out %d conversations that nobody answers", source, counts.unanswered)
    if counts.without_prompt:
        log.warning("%s: left out %d requests without a prompt", source, counts.without_prompt)
    if counts.bad:
        log.warning("%s: skipped %d rows that make no sense", source, counts.bad)
    if counts.failed:
        log.warning("%s: left out %d requests that failed", source, counts.failed)
    if counts.without_output:
        log.warning("%s: %d requests have no output; they end with their prompt", source, counts.without_output)
