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
    yield ""
    yield _coefficients(fit)
    for when, parts in fit.judgements.items():
        for part, judgement in parts.items():
            yield ""
            yield _errors(f"{'Without' if when == 'before' else 'With'} this fit, {part.replace('_', ' ')}", judgement)
    yield ""
    if fit.amplification:
        grown = ", ".join(f"{name.upper()} {factor:+.1f} %" for name, factor in fit.amplification.items())
        yield f"If every step took 1 % longer, mean latencies would change by: {grown}."
    if fit.margin:
        percent = fit.resolved.details["latency_model"]["accuracy_percent"]
        ranges = ", ".join(
            f"{name.upper()} {low / 1e3:.0f} to {high / 1e3:.0f} ms" for name, (low, high) in fit.margin.items()
        )
        yield f"Without this fit steps are typically {percent} % off, and mean latencies then: {ranges}."
    for doubt in fit.doubts:
        yield f"Not determined: {doubt}."
    if fit.doubts:
        yield "These coefficients describe this measurement; they must not be used for another load."


def _coefficients(fit: Fit) -> Any:
    from blis.report.tables import percent, table

    made = table("Coefficient", "value", "95 % interval", "share of time")
    for one in fit.intervals:
        made.add_row(one.name, f"{one.value:.4g}", f"{one.low:.4g} to {one.high:.4g}", percent(one.share))
    free = set(fit.problem.free)
    for i, (coefficient, value) in enumerate(zip(fit.problem.all, fit.found.values, strict=True)):
        if i not in free:
            made.add_row(coefficient.name, f"{value:.4g}", "held", "")
    return made


def _errors(title: str, judgement: Judgement) -> Any:
    from blis.report.tables import percent, table

    made = table("Error of", *_SPREAD, "MAPE", "r", "quality", words=("quality",), title=title)
    for name, each in judgement.metrics.items():
        errors = (percent(each.relative_error(figure), signed=True) for figure in _SPREAD)
        r = f"{each.pearson_r:.3f}" if correlation_counts(each.variation) else "-"
        made.add_row(name.upper(), *errors, percent(each.mape), r, each.quality)
    if judgement.throughput_error is not None:
        made.add_row("throughput", percent(judgement.throughput_error, signed=True))
    return made
