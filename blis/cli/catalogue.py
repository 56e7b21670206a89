"""``blis models``, ``blis hardware``, ``blis policies``, ``blis workloads``: what there is, and its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from blis.cli.completion import gpu_completions, model_completions, policy_completions, workload_completions
from blis.cli.console import print_result, tell
from blis.cli.flags import OUTPUT_FORM
from blis.config.schema import ClusterOptions

Tables = Callable[[Any], Iterable[Any]]


@click.command()
@click.argument("name", required=False, shell_complete=model_completions)
@click.option(
    "--model-config-folder",
    type=click.Path(path_type=Path),
    help="Show the model of this folder's config.json instead.",
)
@click.option(
    "--assume-dense-transformer",
    is_flag=True,
    help="Take that model for a plain dense transformer if its family is not known, and say so.",
)
@click.option("--output", **OUTPUT_FORM)
def models(
    name: str | None, model_config_folder: Path | None, assume_dense_transformer: bool, output: str | None
) -> None:
    """List the models that ship with blis, or show all that is known of NAME or of a folder of your own."""
    from blis.config.catalogue import models as known
    from blis.report import catalogue_tables as tables

    if name is not None and model_config_folder is not None:
        raise click.UsageError("give NAME or --model-config-folder, not both")
    if model_config_folder is not None:
        found = known.model_in(model_config_folder, assume_dense=assume_dense_transformer)
        for doubt in found["architecture"]["doubts"]:
            tell(f"warning: model: {doubt}")
        _print(found, tables.model, output)
    elif name is None:
        _print(known.models(), tables.models, output)
    else:
        _print(known.model(name), tables.model, output)


@click.command()
@click.argument("name", required=False, shell_complete=gpu_completions)
@click.option("--output", **OUTPUT_FORM)
def hardware(name: str | None, output: str | None) -> None:
    """List the GPUs that ship with blis, or show all figures of NAME and their sources."""
    from blis.config.catalogue import hardware as known
    from blis.report import catalogue_tables as tables

    if name is None:
        _print(known.gpus(), tables.gpus, output)
    else:
        _print(known.gpu(name), tables.gpu, output)


@click.command()
@click.argument("name", required=False, shell_complete=policy_completions)
@click.option("--output", **OUTPUT_FORM)
def policies(name: str | None, output: str | None) -> None:
    """List the built-in policies and scorers, or show NAME, or all of one kind, with their parameters."""
    from blis.config.catalogue import policies as known
    from blis.report import catalogue_tables as tables

    entries = known.policies() if name is None else known.policies_named(name)
    for entry in entries:
        entry["parameters"] = [_parameter(field) for field in entry["parameters"]]
    _print(entries, tables.policies if name is None else tables.policies_in_detail, output)


@click.command()
@click.argument("name", required=False, shell_complete=workload_completions)
@click.option("--output", **OUTPUT_FORM)
def workloads(name: str | None, output: str | None) -> None:
    """List the preset workloads and scenarios, or show NAME."""
    from blis.config.catalogue import workloads as known
    from blis.report import catalogue_tables as tables

    if name is None:
        _print(known.workloads(), tables.workloads, output)
    else:
        _print(known.workload(name), tables.workload, output)


def _print(found: Any, tables: Tables, output: str | None) -> None:
    print_result(output, lambda: found, lambda: tables(found))


def _parameter(field: str) -> dict[str, Any]:
    """Flag, default and meaning of a field of `ClusterOptions`, as the help of blis run has them."""
    from blis.cli.run import run

    option = next(param for param in run.params if param.name == field and isinstance(param, click.Option))
    return {"flag": option.opts[0], "default": getattr(ClusterOptions, field), "meaning": option.help}
