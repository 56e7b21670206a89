"""Figures per service class, and how many requests met their target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import NONE, RequestStatus
from blis.errors import ConfigError, nearest
from blis.outcomes.metrics.latency import duration_figures, histogram_figures, known
from blis.outcomes.metrics.throughput import count_by_status

if TYPE_CHECKING:
    from blis.outcomes.outcomes import Outcomes

Ints = NDArray[np.int64]

#: What requests without a class count as.
DEFAULT_CLASS = "default"


class _Labels(Protocol):
    """One name per request out of few (`blis.workload.requests.Labels`)."""

    @property
    def codes(self) -> Ints: ...

    @property
    def names(self) -> tuple[str, ...]: ...


def check_targets(targets_us: Mapping[str, int], given: _Labels | None) -> None:
    """Refuse targets of classes that no request has: they would be met by nobody, and missed by nobody.

    Args:
        targets_us: by class.
        given: classes of the requests; None: none has one.

    Raises:
        ConfigError: names the nearest class, or all that there are.
    """
    names = {DEFAULT_CLASS}
    if given is not None:
        names = {(*given.names, DEFAULT_CLASS)[code] for code in np.unique(given.codes)} or names
    for name in targets_us:
        if name not in names:
            raise ConfigError(f"slo_targets_us: no request has the SLO class {name!r}; {nearest(name, names)}")


def slo_class_figures(
    outcomes: Outcomes, targets_us: Mapping[str, int] | None = None
) -> dict[str, dict[str, Any]] | None:
    """Compute counts, latencies and attainment of each service class.

    Args:
        outcomes: of a run or read from a file.
        targets_us: per class, the longest end-to-end time that is good enough.

    Returns:
        Figures per class that has requests or a target, sorted by name; those without a class are ``default``. None
        if no request has a class and no target is given.
    """
    targets_us = targets_us or {}
    given = outcomes.table.slo_class
    if not targets_us and (given is None or (given.codes == NONE).all()):
        return None
    codes = {name: [code] for code, name in enumerate(given.names)} if given is not None else {}
    codes.setdefault(DEFAULT_CLASS, []).append(NONE)
    class_of = given.codes if given is not None else np.full(len(outcomes), NONE)
    figures = {}
    for name in sorted({*codes, *targets_us}):
        rows = np.flatnonzero(np.isin(class_of, codes.get(name, [])))
        if len(rows) or name in targets_us:
            figures[name] = _figures(outcomes, rows, codes.get(name, []), targets_us.get(name))
    return figures


def attained(outcomes: Outcomes, targets_us: Mapping[str, int]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which requests have a target, of those that arrived, and which of them met it.

    Args:
        outcomes: of a run or read from a file.
        targets_us: per service class, the longest end-to-end time that is good enough.

    Returns:
        Two arrays (n,).
    """
    given = outcomes.table.slo_class
    names = (*(given.names if given is not None else ()), DEFAULT_CLASS)
    codes = given.codes if given is not None else np.full(len(outcomes), NONE)
    target_us = np.array([targets_us.get(name, NONE) for name in names])[codes]
    arrived = ~np.isin(outcomes.result.status, (RequestStatus.NOT_ARRIVED, RequestStatus.NOT_SENT))
    has_target = arrived & (target_us != NONE)
    e2e_us = outcomes.e2e_us()
    return has_target, has_target & (e2e_us >= 0) & (e2e_us <= target_us)


def _figures(outcomes: Outcomes, rows: Ints, codes: list[int], target_us: int | None) -> dict[str, Any]:
    counts = count_by_status(outcomes.result.status[rows])
    arrived = len(rows) - counts[RequestStatus.NOT_ARRIVED] - counts[RequestStatus.NOT_SENT]
    e2e_us = known(outcomes.e2e_us(rows))
    return {
        "requests": arrived,
        "completed": counts[RequestStatus.COMPLETED],
        "rejected": counts[RequestStatus.REJECTED],
        "refused": counts[RequestStatus.REFUSED_TOO_LONG] + counts[RequestStatus.REFUSED_NEVER_FITS],
        "target_e2e_ms": None if target_us is None else target_us / 1000,
        "attainment": _attainment(e2e_us, arrived, target_us),
        **duration_figures("e2e", e2e_us),
        **duration_figures("ttft", known(outcomes.ttft_us(rows))),
        **histogram_figures("itl", *outcomes.itl_of(slo_class=codes)),
        **duration_figures("tpot", known(outcomes.itl_mean_us(rows))),
    }


def _attainment(e2e_us: Ints, arrived: int, target_us: int | None) -> float | None:
    """Share of the requests that arrived which were served within the target; all others are misses."""
    if target_us is None or arrived == 0:
        return None
    return int(np.count_nonzero(e2e_us <= target_us)) / arrived
