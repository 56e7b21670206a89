"""What the flags of all commands have in common: shared ones, headings in helps, and the way into configurations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from blis.cli.console import LOG_LEVELS
from blis.cli.values import one_of

Command = Callable[..., Any]
#: What ``--output`` of all commands that print figures may be, and the option; `blis.cli.console.wants_table` reads it.
FORMS = ("json", "table")
OUTPUT_FORM: dict[str, Any] = {
    **one_of(*FORMS),
    "help": "Form on stdout.  [default: table on a terminal, else json]",
}
#: ``--report`` of all commands that write a page; `blis.cli.pages.check_page` checks it.
REPORT: dict[str, Any] = {
    "type": click.Path(path_type=Path),
    "metavar": "FILE",
    "help": "Write a page of figures and charts (HTML).",
}
#: ``--quiet`` and ``--log`` of all commands; `blis.cli.console.set_verbosity` reads them.
QUIET: dict[str, Any] = {"is_flag": True, "help": "Nothing but errors on stderr."}
LOG: dict[str, Any] = {
    **one_of(*LOG_LEVELS),
    "default": "warn",
    "show_default": True,
    "help": "Verbosity on stderr.",
}
Config = TypeVar("Config")


class GroupedOption(click.Option):
    """An option that knows under which heading of the help it belongs."""

    def __init__(self, *args: Any, heading: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.heading = heading


class GroupedCommand(click.Command):
    """A command whose help lists its options under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section per heading, in the order in which the headings first occur."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                sections.setdefault(getattr(param, "heading", "Other"), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def from_flags(config: type[Config], flags: Mapping[str, Any]) -> Config:
    """Make a configuration dataclass of the flags that bear its fields' names; unset ones keep their default."""
    names = {field.name for field in fields(config)}  # type: ignore[arg-type]  # no bound says "dataclass"
    return config(**{name: value for name, value in flags.items() if name in names and value is not None})


def under(heading: str) -> Callable[..., Callable[[Command], Command]]:
    """What adds an option under a heading of the help, as `click.option` adds one."""

    def option(*names: str, **kwargs: Any) -> Callable[[Command], Command]:
        return click.option(*names, cls=GroupedOption, heading=heading, **{"show_default": True, **kwargs})

    return option


def all_of(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Apply options so that the help shows them in the order given here."""

    def apply(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return apply
