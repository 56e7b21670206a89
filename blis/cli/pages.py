"""What commands that write a page (``--report``) have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from blis.files.output import check_outputs

#: Flags that name files to read.
_INPUTS = ("workload_traces_filepath", "workload_spec", "policy_config", "trace_header", "trace_data")


def given_inputs(flags: Mapping[str, Any]) -> list[tuple[str, Path]]:
    """Flag and path of every file that is going to be read."""
    return [(f"--{name.replace('_', '-')}", flags[name]) for name in _INPUTS if flags.get(name) is not None]


def check_page(flags: Mapping[str, Any], inputs: Iterable[tuple[str, Path]] = ()) -> None:
    """Make sure, before anything runs, that the page can be drawn, and overwrites no input.

    Args:
        flags: of the command.
        inputs: name and path of files that are read besides those that flags name.

    Raises:
        InputError: it cannot.
    """
    if flags["report"] is None:
        return
    check_outputs([("--report", flags["report"])], [*inputs, *given_inputs(flags)])
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
