"""``blis capacity``: the highest rate that meets SLOs, or the fewest instances for a rate."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

import click

from blis.cli.console import new_bar, print_result, set_verbosity, wants_bar
from blis.cli.engine_options import engine_options
from blis.cli.flags import GroupedCommand, from_flags
from blis.cli.options import capacity_options, cluster_options, load_options, model_options
from blis.cli.pages import check_page, write_page
from blis.cli.policies import choose_policies
from blis.cli.workloads import given_flags, warn_of_idle_flags, workload_from_flags
from blis.config.schema import Deployment

if TYPE_CHECKING:
    from blis.studies.capacity.capacity import Capacity, InstancesNeeded
    from blis.studies.capacity.points import Point

_RATE_ONLY = {"min_rate": "--min-rate", "max_rate": "--max-rate", "tolerance": "--tolerance"}


@click.command(cls=GroupedCommand)
@capacity_options
@model_options
@load_options
@engine_options
@cluster_options
@click.pass_context
def capacity(ctx: click.Context, /, **flags: Any) -> None:
    """Find the highest request rate that meets SLOs, or the fewest instances for a rate.

    Rates are bracketed and bisected, with several runs each, until the answer is as exact as asked for.
    """
    set_verbosity(flags)
    given = given_flags(ctx)
    if not flags["slos"]:
        raise click.UsageError("Missing option '--slo', such as --slo p99_ttft=200ms")
    _check_goal(flags, given)
    warn_of_idle_flags(ctx, flags)
    check_page(flags)
    engine, cluster = choose_policies(ctx, flags)
    from blis.studies.capacity.capacity import capacity as find_capacity
    from blis.studies.capacity.capacity import instances_for

    with redirect_stdout(sys.stderr), progress_of_points(flags) as progress:  # user policies may print
        deployment = from_flags(Deployment, flags)
        workload = workload_from_flags(flags, given - {"num_requests"})
        shared = {name: flags[name] for name in ("goodput", "num_requests", "replications", "jobs")}
        shared |= {
            "engine": engine,
            "cluster": cluster,
            "seed": flags["seed"] if "seed" in given else None,
            "progress": progress,
        }
        result: Capacity | InstancesNeeded
        if flags["for_rate"] is not None:
            shared["max_instances"] = flags["max_instances"]
            result = instances_for(flags["for_rate"], deployment, workload, flags["slos"], **shared)
        else:
            shared |= {name: flags[name] for name in _RATE_ONLY}
            result = find_capacity(deployment, workload, flags["slos"], **shared)
    from blis.studies.capacity.report import report, text

    def show() -> None:
        print_result(flags["output"], lambda: report(result), lambda: text(result))

    write_page(ctx, flags, result.write_report, show)


def _check_goal(flags: Mapping[str, Any], given: set[str]) -> None:
    """Refuse flags of the other goal."""
    if flags["for_rate"] is None:
        if "max_instances" in given:
            raise click.UsageError("--max-instances needs --for-rate")
        return
    for name in (*_RATE_ONLY, "num_instances"):
        if name in given:
            raise click.UsageError(f"--for-rate and --{name.replace('_', '-')} cannot be combined")


@contextmanager
def progress_of_points(flags: Mapping[str, Any]) -> Iterator[Callable[[Point], None] | None]:
    """Yield what gets every point that was tried; None: there is nobody to show it to."""
    if not wants_bar(flags):
        yield None
        return
    with new_bar(" points") as bar:

        def show(point: Point) -> None:
            met = "meets" if point.meets else "misses"
            bar.set_postfix_str(f"{point.rate:.4g}/s on {point.num_instances}: {met}", refresh=False)
            bar.update()

        yield show
