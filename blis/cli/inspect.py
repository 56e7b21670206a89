"""``blis inspect``: what a trace holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from blis.cli.reading import FILE, bytes_bar, read_options, reading_options


@click.command()
@click.argument("file", type=FILE)
@reading_options
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON")
def inspect(file: Path, **flags: Any) -> None:
    """Print what the trace FILE holds: counts, rate over time, burstiness, lengths, prefix sharing.

    FILE may have any format that blis convert reads.
    """
    from blis.inspect.survey import inspect_trace
    from blis.inspect.text import as_text

    with bytes_bar(file) as progress:
        figures = inspect_trace(file, format_name=flags["format_name"], options=read_options(flags), progress=progress)
    click.echo(json.dumps(figures, indent=2) if flags["as_json"] else as_text(figures))
