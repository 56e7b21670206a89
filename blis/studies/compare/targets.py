"""How many requests of a run met the target of their SLO class, as figures that can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from blis.errors import InputError
from blis.outcomes.metrics.slo import DEFAULT_CLASS, check_targets, slo_class_figures
from blis.outcomes.outcomes import Outcomes

#: Good answers per second, and the share of requests that got one; of a class it is ``attainment.CLASS``.
GOODPUT, ATTAINMENT = "goodput_per_sec", "attainment"
#: Requests that never came.
_NEVER_CAME = ("not_arrived", "not_sent")


class Attained(NamedTuple):
    """What came of the requests of a class.

    Attributes:
        target_ms: longest end-to-end time that is good enough.
        requests: that arrived.
        good: of these, answered within the target.
    """

    target_ms: float
    requests: int
    good: int


def figures_of(classes: Mapping[str, Attained], duration_s: float | None) -> dict[str, float | None]:
    """Goodput per second, attainment, and that of each class; nothing if no class has a target."""
    if not classes:
        return {}
    good, requests = (sum(getattr(each, name) for each in classes.values()) for name in ("good", "requests"))
    return {
        GOODPUT: good / duration_s if duration_s else None,
        ATTAINMENT: _share(good, requests),
        **{f"{ATTAINMENT}.{name}": _share(each.good, each.requests) for name, each in classes.items()},
    }


def attained_in(outcomes: Outcomes, targets_us: Mapping[str, int]) -> dict[str, Attained]:
    """Of each class with a target, in a run.

    Raises:
        ConfigError: no request has such a class.
    """
    check_targets(targets_us, outcomes.table.slo_class)
    return _of_figures(slo_class_figures(outcomes, targets_us) or {})


def attained_in_results(
    results: Mapping[str, Any], targets_us: Mapping[str, int] | None, name: str
) -> dict[str, Attained]:
    """Of each class with a target, in the contents of a results file.

    Args:
        results: the same.
        targets_us: by class; None: those with which it was written, if any.
        name: of the file, for messages.

    Raises:
        InputError: its requests are not given, or none has such a class.
    """
    if targets_us is None:
        return _of_figures(results.get("slo_classes") or {})
    entries = results.get("requests")
    if entries is None:
        raise InputError(f"{name}: has no requests, so nobody knows which of them meet a target")
    came = [each for each in entries if each.get("arrived_at") is not None and each.get("status") not in _NEVER_CAME]
    found = {}
    for label, target_us in targets_us.items():
        e2e_ms = [each.get("e2e_ms") for each in came if each.get("slo_class", DEFAULT_CLASS) == label]
        if not e2e_ms:
            raise InputError(f"slo_targets_us: no request of {name} has the SLO class {label!r}")
        good = sum(value is not None and value <= target_us / 1000 for value in e2e_ms)
        found[label] = Attained(target_us / 1000, len(e2e_ms), good)
    return found


def _of_figures(classes: Mapping[str, Mapping[str, Any]]) -> dict[str, Attained]:
    return {
        name: Attained(each["target_e2e_ms"], each["requests"], round(each["attainment"] * each["requests"]))
        for name, each in classes.items()
        if each["target_e2e_ms"] is not None and each["attainment"] is not None
    }


def _share(good: int, requests: int) -> float | None:
    return good / requests if requests else None
