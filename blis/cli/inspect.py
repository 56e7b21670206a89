"""``blis inspect``: what a trace holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from blis.cli.console import print_text, set_verbosity, wants_table
from blis.cli.flags import OUTPUT_FORM
from blis.cli.reading import FILE, bytes_bar, read_options, reading_options, tell_doubts
from blis.files.printable import printable


@click.command()
@click.argument("file", type=FILE)
@reading_options
@click.option("--output", **OUTPUT_FORM)
def inspect(file: Path, **flags: Any) -> None:
    """Print what the trace FILE holds: counts, rate over time, burstiness, lengths, prefix sharing.

    FILE may have any format that blis convert reads.
    """
    from blis.workload.inspect.survey import inspect_trace
    from blis.workload.inspect.text import as_text

    set_verbosity(flags)
    with bytes_bar(file, flags) as progress:
        figures = inspect_trace(file, format_name=flags["format_name"], options=read_options(flags), progress=progress)
    if figures["format"] == "columns" and not flags["quiet"]:
        for assumed in figures["assumed"]:
            click.echo(f"blis: {assumed}", err=True)
    tell_doubts(file, figures["doubts"])
    print_text(printable(as_text(figures)) if wants_table(flags["output"]) else json.dumps(figures, indent=2))
