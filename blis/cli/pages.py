"""What commands that write a page (``--report``) have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from blis.files import check_outputs

#: Flags that name files to read.
INPUTS = ("workload_traces_filepath", "workload_spec", "policy_config", "trace_header", "trace_data")


def check_page(flags: Mapping[str, Any], inputs: Iterable[tuple[str, Path]] = ()) -> None:
    """Make sure, before anything runs, that the page can be drawn, and overwrites no input.

    Args:
        flags: of the command.
        inputs: name and path of files that are read besides those of `INPUTS`.

    Raises:
        InputError: it cannot.
    """
    if flags["report"] is None:
        return
    named = [(f"--{name.replace('_', '-')}", flags.get(name)) for name in INPUTS]
    check_outputs(
        [("--report", flags["report"])], [*inputs, *((name, path) for name, path in named if path is not None)]
    )
    from blis.report.charting import check_charts

    check_charts(flags["report"])


def write_page(
    ctx: click.Context, flags: Mapping[str, Any], write: Callable[[Path, Sequence[str]], None], show: Callable[[], None]
) -> None:
    """Write the page that is asked for, if any, and show figures on stdout even if that fails.

    Args:
        ctx: of the command.
        flags: of the command.
        write: gets the path and the arguments of ``blis``.
        show: prints the figures.
    """
    try:
        if flags["report"] is not None:
            write(flags["report"], ctx.find_object(tuple) or ())
    finally:
        show()
