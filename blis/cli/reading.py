"""What the commands that read foreign traces have in common: flags, and a progress bar over the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from blis.cli.console import log, new_bar, wants_bar
from blis.cli.flags import LOG, QUIET, from_flags
from blis.cli.values import one_of
from blis.files.existing import is_file
from blis.workload.convert.options import COLUMN_ROLES, FORMATS, TIME_UNITS, ReadOptions


def _columns(ctx: click.Context, param: click.Parameter, text: str | None) -> dict[str, str] | None:
    """``arrival=ts,input=n`` as a mapping."""
    if text is None:
        return None
    pairs = [part.partition("=") for part in text.split(",")]
    for role, _, name in pairs:
        if not role or not name:
            raise click.BadParameter(f"expected {'=NAME,'.join(COLUMN_ROLES)}=NAME, some of these, got {text!r}")
    return {role.strip(): name.strip() for role, _, name in pairs}


FILE = click.Path(path_type=Path, dir_okay=False)

Command = Callable[..., Any]


def reading_options(command: Command) -> Command:
    """Add the flags that say how a file is to be read, and how much is told about it."""
    for option in reversed(
        (
            click.option("--from", "format_name", **one_of(*FORMATS), help="Format read  [default: by its looks]"),
            click.option(
                "--on-bad-row",
                **one_of("fail", "skip"),
                default="fail",
                show_default=True,
                help="What to do with rows that make no sense; skipped ones are counted",
            ),
            click.option(
                "--time-unit",
                **one_of(*TIME_UNITS),
                help="Unit of times (mooncake, burstgpt, columns)  [default: the format's, if it is plausible]",
            ),
            click.option(
                "--hash-block-tokens",
                type=click.IntRange(1),
                help="Tokens per hash id (mooncake, vllm-stamps)  [default: the format's, if it fits the lengths]",
            ),
            click.option(
                "--columns",
                callback=_columns,
                metavar="arrival=NAME,input=NAME,output=NAME,…",
                help="Columns of a table of any format, by what they are; also session, tenant, class"
                "  [default: by usual names]",
            ),
            click.option(
                "--pick", type=click.IntRange(1), help="Which of several results in FILE, from 1 (vllm, guidellm)"
            ),
            click.option("--hash-ids", type=FILE, help="Hash ids by request_id, JSON lines (vllm-stamps)"),
            click.option(
                "--tokens-per-word",
                type=float,
                help="Tokens a word of text counts as (sharegpt)  [default: 4/3 in Latin letters, others by script]",
            ),
            click.option("--quiet", **QUIET),
            click.option("--log", **LOG),
        )
    ):
        command = option(command)
    return command


def read_options(flags: Mapping[str, Any]) -> ReadOptions:
    """What these flags say."""
    return from_flags(ReadOptions, flags)


def tell_doubts(path: Path, doubts: Sequence[str]) -> None:
    """Say what speaks against what was taken for granted."""
    for doubt in doubts:
        log.warning("%s: %s", path, doubt)


@contextmanager
def bytes_bar(path: Path, flags: Mapping[str, Any]) -> Iterator[Callable[[int], None] | None]:
    """Yield what is called with the number of bytes read; None: there is nobody to show it to."""
    if not wants_bar(flags) or not is_file(path):
        yield None
        return
    size = path.stat().st_size
    with new_bar("B", total=size, unit_scale=True) as bar:

        def show(num_bytes: int) -> None:
            bar.update(num_bytes - bar.n)

        yield show
