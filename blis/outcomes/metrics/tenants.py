"""Figures per tenant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from blis._core.codes import NEVER, NONE, RequestStatus
from blis.outcomes.metrics.slo import attained

if TYPE_CHECKING:
    import polars as pl

    from blis.outcomes.outcomes import Outcomes

#: What requests without a tenant count as.
NO_TENANT = "none given"


def tenant_figures(outcomes: Outcomes, targets_us: Mapping[str, int] | None = None) -> pl.DataFrame | None:
    """Compute counts, tokens, latencies and attainment of each tenant, those with most requests first.

    Args:
        outcomes: of a run or read from a file.
        targets_us: per service class, the longest end-to-end time that is good enough.

    Returns:
        A row per tenant with requests that arrived: ``tenant``, ``requests``, ``completed``, ``input_tokens``,
        ``output_tokens``, ``ttft_p50_ms``, ``ttft_p99_ms``, ``e2e_p50_ms``, ``e2e_p99_ms``, ``attainment`` (null
        without requests that have a target). None if the outcomes name no tenants.
    """
    given, result = outcomes.table.tenant, outcomes.result
    if given is None:
        return None
    import polars as pl

    arrived = ~np.isin(result.status, (RequestStatus.NOT_ARRIVED, RequestStatus.NOT_SENT))
    has_target, met = attained(outcomes, targets_us or {})
    names = dict(enumerate(given.names)) | {NONE: NO_TENANT}
    frame = pl.DataFrame(
        {
            "code": given.codes,
            "completed": result.status == RequestStatus.COMPLETED,
            "input_tokens": outcomes.table.input_tokens,
            "output_tokens": result.produced_tokens,
            "ttft": outcomes.ttft_us(),
            "e2e": outcomes.e2e_us(),
            "has_target": has_target,
            "met": met,
        }
    ).filter(pl.Series(arrived))
    durations = (
        (pl.col(name).filter(pl.col(name) != NEVER).quantile(p / 100, "linear") / 1000).alias(f"{name}_p{p}_ms")
        for name in ("ttft", "e2e")
        for p in (50, 99)
    )
    return (
        frame.group_by("code")
        .agg(
            pl.len().alias("requests"),
            pl.col("completed", "input_tokens", "output_tokens").sum(),
            *durations,
            attainment=pl.col("met").filter("has_target").mean(),
        )
        .with_columns(tenant=pl.col("code").replace_strict(names, return_dtype=pl.String))
        .sort(["requests", "tenant"], descending=[True, False])
        .select("tenant", pl.exclude("tenant", "code"))
    )
