"""``blis inspect``: what a trace holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from blis.cli.console import print_result, set_verbosity
from blis.cli.flags import OUTPUT_FORM
from blis.cli.reading import FILE, bytes_bar, read_options, reading_options, tell_doubts
from blis.files.printable import printable


@click.command()
@click.argument("file", type=FILE)
@reading_options
@click.option("--since", type=FILE, help="Earlier dump of the same server: show what happened since (/metrics only)")
@click.option("--output", **OUTPUT_FORM)
def inspect(file: Path, **flags: Any) -> None:
    """Print what the trace FILE holds: counts, rate over time, burstiness, lengths, prefix sharing.

    FILE may have any format that blis convert reads, or be a dump of a vLLM server's /metrics.
    """
    from blis.measurement.server_metrics.dump import looks_like_dump
    from blis.workload.inspect.survey import inspect_trace
    from blis.workload.inspect.text import as_text

    set_verbosity(flags)
    if looks_like_dump(file):
        _inspect_dump(file, flags)
        return
    if flags["since"] is not None:
        raise click.BadParameter(f"{file} is no dump of /metrics; only those can be compared", param_hint="--since")
    with bytes_bar(file, flags) as progress:
        figures = inspect_trace(file, format_name=flags["format_name"], options=read_options(flags), progress=progress)
    if figures["format"] == "columns" and not flags["quiet"]:
        for assumed in figures["assumed"]:
            click.echo(f"blis: {assumed}", err=True)
    tell_doubts(file, figures["doubts"])
    print_result(flags["output"], lambda: figures, lambda: printable(as_text(figures)))


def _inspect_dump(file: Path, flags: Mapping[str, Any]) -> None:
    from blis.measurement.server_metrics.dump import difference, read_dump
    from blis.measurement.server_metrics.figures import describe_dump, dump_as_text

    dump = read_dump(file)
    if flags["since"] is not None:
        dump = difference(dump, read_dump(flags["since"]))
    figures = describe_dump(dump)
    print_result(flags["output"], lambda: figures, lambda: printable(dump_as_text(figures)))
