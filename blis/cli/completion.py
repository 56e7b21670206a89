"""``blis completion``: completion of commands, flags and names in shells."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click

#: Asks the command for completions instead of running it; click reads it.
VARIABLE = "_BLIS_COMPLETE"

Completions = Callable[[click.Context, click.Parameter, str], list[str]]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    r"""Print what SHELL has to read to complete blis' commands, flags and names.

    \b
    bash:  blis completion bash > ~/.local/share/bash-completion/completions/blis
    zsh:   blis completion zsh > ~/.zfunc/_blis      (a folder of your fpath)
    fish:  blis completion fish > ~/.config/fish/completions/blis.fish
    """
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None  # click knows all of these shells
    click.echo(made(ctx.find_root().command, {}, "blis", VARIABLE).source())


def names_completed(names: Callable[[], Iterable[str]]) -> Completions:
    """Complete with those of some names that begin as what is typed, in upper or lower case."""

    def complete(ctx: click.Context, param: click.Parameter, typed: str) -> list[str]:
        return [name for name in names() if name.lower().startswith(typed.lower())]

    return complete


def _model_ids() -> list[str]:
    from blis.config.catalogue.models import model_ids

    return model_ids()


def _gpu_names() -> list[str]:
    from blis.config.catalogue.hardware import gpu_names

    return gpu_names()


def _policy_names() -> list[str]:
    from blis.config.explained import EXPLAINED

    return sorted({name for each in EXPLAINED for name in (each.name, each.kind)})


def _workload_names() -> list[str]:
    from blis.config.catalogue.workloads import workloads

    return [entry["name"] for entry in workloads()]


model_completions = names_completed(_model_ids)
gpu_completions = names_completed(_gpu_names)
policy_completions = names_completed(_policy_names)
workload_completions = names_completed(_workload_names)
