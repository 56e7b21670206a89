"""``blis compile``: the wait of a first run, ahead of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from blis.cli.console import new_bar, print_result, set_verbosity, wants_bar
from blis.cli.flags import LOG, OUTPUT_FORM, QUIET


@click.command("compile")
@click.option("--output", **OUTPUT_FORM)
@click.option("--quiet", **QUIET)
@click.option("--log", **LOG)
def compile_(output: str | None, **flags: Any) -> None:
    """Compile the engine, laws of step time and policies now, for later processes to find.

    For images and CI: the first run then starts as fast as any other. What came with the package, or was compiled
    before, is left as it is. NUMBA_CACHE_DIR says where machine code is kept.
    """
    set_verbosity(flags)
    from blis.ahead import compile_ahead

    found = list(_with_bar(compile_ahead(), flags))
    print_result(output, lambda: {name: _word(was_there) for name, was_there in found}, lambda: _tables(found))


def _with_bar(functions: Iterator[tuple[str, bool]], flags: Any) -> Iterator[tuple[str, bool]]:
    if not wants_bar(flags):
        return functions
    return iter(new_bar(" functions", iterable=functions))


def _word(was_there: bool) -> str:
    return "was there" if was_there else "compiled"


def _tables(found: list[tuple[str, bool]]) -> Iterator[Any]:
    from blis.report.tables import table

    made = table("Function", "", words=("",))
    for name, was_there in found:
        made.add_row(name, _word(was_there))
    yield made
