"""What a fit has to say, as plain JSON values and as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from blis.measurement.fit.degeneracy import correlation
from blis.measurement.fit.fit import Fit
from blis.measurement.fit.judging import Judgement
from blis.outcomes.metrics.calibration import correlation_counts

_SPREAD = ("mean", "p50", "p90", "p99")


def report(fit: Fit) -> dict[str, Any]:
    """Everything about a fit, as plain JSON values; errors are fractions."""
    resolved, found = fit.resolved, fit.found
    held = [i for i in range(len(fit.problem.all)) if i not in fit.problem.free]
    return {
        "law": fit.options.law,
        "model": resolved.model,
        "hardware": resolved.hardware,
        "tp": resolved.tp,
        "vllm_version": resolved.vllm_version,
        "measured": dict(fit.num_measured),
        "coefficients": [
            {"name": one.name, "value": one.value, "low_95": one.low, "high_95": one.high, "share_of_time": one.share}
            for one in fit.intervals
        ],
        "held": {fit.problem.all[i].name: float(found.values[i]) for i in held},
        "covariance": {"names": fit.problem.names, "matrix": found.precision.covariance.tolist()},
        "correlation": correlation(found.precision.covariance).tolist(),
        "noise": vars(found.noise),
        "doubts": fit.doubts,
        "amplification": dict(fit.amplification),
        "margin_mean_us": {name: {"low": low, "high": high} for name, (low, high) in fit.margin.items()},
        **{when: {part: _judgement(each) for part, each in parts.items()} for when, parts in fit.judgements.items()},
    }


def _judgement(judgement: Judgement) -> dict[str, Any]:
    values: dict[str, Any] = {
        name: {
            "count": each.count,
            **{f"{figure}_error": each.relative_error(figure) for figure in _SPREAD},
            "mape": each.mape,
            "pearson_r": each.pearson_r,
            "variation": each.variation,
            "bias": each.bias,
            "quality": each.quality,
        }
        for name, each in judgement.metrics.items()
    }
    if judgement.throughput_error is not None:
        values["throughput_error"] = judgement.throughput_error
    return values


def headlines(fit: Fit) -> Iterator[str]:
    """What was found, of what and from what, in a line; and the coefficients."""
    resolved = fit.resolved
    where = ", ".join(str(part) for part in (resolved.hardware, resolved.tp and f"TP {resolved.tp}") if part)
    counts = " + ".join(f"{count} {part.replace('_', ' ')}" for part, count in fit.num_measured.items())
    yield f"{fit.options.law} law of {resolved.model} on {where or 'an unnamed GPU'}, from {counts}"
    yield ", ".join(f"{one.name} {one.value:.4g}" for one in fit.intervals)


def text(fit: Fit) -> Iterator[Any]:
    """The same for people: things that `rich` prints."""
    yield next(headlines(fit))
    yield _coefficients(fit)
    for when, parts in fit.judgements.items():
        for part, judgement in parts.items():
            yield _errors(f"{'Without' if when == 'before' else 'With'} this fit, {part.replace('_', ' ')}", judgement)
    if fit.amplification:
        grown = ", ".join(f"{name.upper()} {factor:+.1f} %" for name, factor in fit.amplification.items())
        yield f"If every step took 1 % longer, mean latencies would change by: {grown}."
    if fit.margin:
        percent = fit.resolved.details["latency_model"]["accuracy_percent"]
        ranges = ", ".join(
            f"{name.upper()} {low / 1e3:.0f} to {high / 1e3:.0f} ms" for name, (low, high) in fit.margin.items()
        )
        yield f"Without this fit step times are good to ± {percent} %, and mean latencies only to: {ranges}."
    for doubt in fit.doubts:
        yield f"Not determined: {doubt}."
    if fit.doubts:
        yield "These coefficients describe this measurement; they must not be used for another load."


def _coefficients(fit: Fit) -> Any:
    from rich.table import Table

    table = Table("coefficient", title="Coefficients", title_justify="left")
    for heading in ("value", "95 % interval", "share of time"):
        table.add_column(heading, justify="right")
    for one in fit.intervals:
        table.add_row(one.name, f"{one.value:.4g}", f"{one.low:.4g} – {one.high:.4g}", f"{one.share:.1%}")
    free = set(fit.problem.free)
    for i, (coefficient, value) in enumerate(zip(fit.problem.all, fit.found.values, strict=True)):
        if i not in free:
            table.add_row(coefficient.name, f"{value:.4g}", "held", "")
    return table


def _errors(title: str, judgement: Judgement) -> Any:
    from rich.table import Table

    table = Table("error of", title=title, title_justify="left")
    for heading in (*_SPREAD, "MAPE", "r", "quality"):
        table.add_column(heading, justify="right")
    for name, each in judgement.metrics.items():
        errors = (_percent(each.relative_error(figure), sign=True) for figure in _SPREAD)
        r = f"{each.pearson_r:.3f}" if correlation_counts(each.variation) else "–"
        table.add_row(name.upper(), *errors, _percent(each.mape), r, each.quality)
    if judgement.throughput_error is not None:
        table.add_row("throughput", _percent(judgement.throughput_error, sign=True))
    return table


def _percent(value: float | None, *, sign: bool = False) -> str:
    return "–" if value is None else f"{value:{'+' if sign else ''}.1%}"
