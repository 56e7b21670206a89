"""The page of a run: what it was, how it went, over time, by class, tenant and instance (docs/report.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from blis._core.codes import RequestStatus
from blis.outcomes.metrics.latency import known
from blis.outcomes.metrics.quantiles import histogram_quantiles_ms, quantiles_ms
from blis.outcomes.metrics.slo import DEFAULT_CLASS, check_targets
from blis.outcomes.metrics.tenants import tenant_figures
from blis.outcomes.metrics.timeline import Floats, Timeline, breakdown, load_over_time, timeline
from blis.outcomes.outcomes import Outcomes
from blis.report import latency_charts, run_charts
from blis.report.charting import MOST_LINES, MOST_POINTS, quantile_shares
from blis.report.configuration import configuration
from blis.report.page import (
    Chart,
    Finding,
    Findings,
    Page,
    Part,
    Section,
    Table,
    Tile,
    Tiles,
    write_page,
)
from blis.report.run_findings import counts_over_time, findings, incidents
from blis.report.run_headlines import LATENCIES, about, tiles, title
from blis.report.run_table import expected_errors, verdict
from blis.report.sections import Report
from blis.report.tables import number, percent

#: Rows that a table of tenants or instances has at most.
_MOST_ROWS = 50
#: Instances that have a bar each.
_MOST_BARS = 128


def write_run_page(report: Report, path: Path, command: Sequence[str] = ()) -> None:
    """Write the page of a run.

    Args:
        report: its figures, and the targets to judge it by.
        path: of the HTML file.
        command: arguments of ``blis`` that make the same run; empty: not known.

    Raises:
        InputError: the extra ``plots`` is not installed, or no request has the class of a target.
        OSError: it could not be written.
    """
    check_targets(report.slo_targets_us or {}, report.outcomes.table.slo_class)
    write_page(run_page(report, command), path)


def run_page(report: Report, command: Sequence[str] = ()) -> Page:
    """Put the page of a run together; the arguments are those of `write_run_page`."""
    outcomes, values = report.outcomes, report.values()
    over_time = timeline(outcomes)
    found = incidents(outcomes, values["anomalies"])
    line = verdict(outcomes, values, report.load_share)
    sections = [
        Section("", [tiles(report, values)]),
        Section("What stands out", list(_stands_out(outcomes, found, over_time))),
        Section("Over time", list(_over_time(outcomes, over_time))),
        Section("Latency", list(_latency(report))),
        Section("Error to expect", list(_expected_error(values.get("expected_error")))),
        Section("Classes and tenants", list(_groups(report, values))),
        Section("Instances", list(_instances(outcomes, values.get("instances", ()), over_time))),
        Section("Decisions", list(_decisions(outcomes))),
        configuration(outcomes.metadata, command, "The same run, and this page, from the folder where it was started:"),
    ]
    return Page(
        title(outcomes.metadata, len(outcomes.result.instances)),
        line[:1].upper() + line[1:],
        [section for section in sections if section.parts],
        about(outcomes, values),
    )


def _stands_out(outcomes: Outcomes, found: list[Any], over_time: Timeline) -> Iterator[Part]:
    told = findings(outcomes, found, over_time)
    if not told:
        told = [Finding("Nothing", "No request was turned away, preempted, overtaken or left unfinished.")]
    yield Findings(told)
    if found:
        yield Chart(
            "incidents",
            "When the requests concerned arrived",
            run_charts.events(counts_over_time(outcomes, found), over_time.edges_us),
            "The larger a circle, the more requests.",
        )


def _over_time(outcomes: Outcomes, found: Timeline) -> Iterator[Part]:
    if len(outcomes):
        yield Chart(
            "load",
            "Arrival rate, and what those who arrived met",
            run_charts.load(load_over_time(outcomes)),
            "By when requests arrived. TTFT of those that got a first token; ITL is the mean gap between the tokens of "
            "a request, of those that finished with two or more. A part with fewer than 20 of them shows little more "
            "than its slowest.",
        )
    many = len(found.waiting) > MOST_LINES
    yield Chart(
        "timeline",
        "Queue, batch, KV cache and output of each instance",
        run_charts.strip(found),
        f"Means over {len(found.middle_s)} equal parts of the run. "
        + ("The line is the mean of all instances, the band reaches from the least to the most. " if many else "")
        + "Queue and batch follow from the requests' stamps; a preempted request counts as running. Tokens are spread "
        "evenly between a request's first and last one. "
        + (
            "KV cache is an estimate: the tokens of running requests as a share of all there is room for; prefixes "
            "that requests share count for each of them, blocks that are kept for reuse do not count."
            if found.kv_share is not None
            else ""
        ),
    )
    if (outcomes.result.status == RequestStatus.COMPLETED).any():
        yield Chart(
            "breakdown",
            "Where the end-to-end time goes",
            run_charts.parts_over_time(breakdown(outcomes)),
            "Means over completed requests by when they arrived: until the first step (queueing), from there to the "
            "first token (prefill), and from there to the last (decode).",
        )


def _latency(report: Report) -> Iterator[Part]:
    outcomes = report.outcomes
    targets_ms = {name: target / 1000 for name, target in (report.slo_targets_us or {}).items()}
    for key, name in LATENCIES.items():
        groups = dict(_curves(outcomes, key))
        if groups:
            targets = targets_ms if key == "e2e" else {}
            note = "Dashed: targets." if targets else ""
            yield Chart(f"cdf-{key}", name, latency_charts.curves(groups, targets), note, "third")
    if (outcomes.result.status == RequestStatus.COMPLETED).any():
        for key in ("ttft", "e2e"):
            yield Chart(
                f"scatter-{key}",
                f"{LATENCIES[key]} against input length",
                latency_charts.scatter(outcomes, key, f"{key.upper()}, ms"),
                f"A point per completed request; of many, {MOST_POINTS:,} evenly spread ones.",
                "half",
            )


def _curves(outcomes: Outcomes, metric: str) -> Iterator[tuple[str, Floats]]:
    """Quantiles of all requests and of each class, by name."""
    for name, rows, codes in _class_rows(outcomes):
        if metric == "itl":
            gaps = outcomes.itl_of(slo_class=codes)
            if len(gaps.counts):
                yield name, histogram_quantiles_ms(gaps, quantile_shares(int(gaps.counts.sum())))
            continue
        values_us = known(getattr(outcomes, f"{metric}_us")(rows))
        if len(values_us):
            yield name, quantiles_ms(values_us, quantile_shares(len(values_us)))


def _class_rows(outcomes: Outcomes) -> Iterator[tuple[str, Any, list[int] | None]]:
    """Name, rows and codes: of all requests, then of each class if there are several but not too many."""
    yield "all", slice(None), None
    given = outcomes.table.slo_class
    if given is None:
        return
    codes = np.unique(given.codes).tolist()
    if 1 < len(codes) < MOST_LINES:
        names = (*given.names, DEFAULT_CLASS)
        for name, code in sorted((names[code], code) for code in codes):
            yield name, np.flatnonzero(given.codes == code), [code]


def _expected_error(expected: Mapping[str, Any] | None) -> Iterator[Part]:
    if expected is None:
        return
    yield Table(
        ("Figure", "typical, %", "1 in 10 above, %", "bias, %", "points", "measured on"),
        list(expected_errors(expected)),
        f"Load: {expected['load']}",
        "How far off the roofline was on servers that others have measured and that are like this one.",
    )


def _groups(report: Report, values: Mapping[str, Any]) -> Iterator[Part]:
    classes = values.get("slo_classes", {})
    if len(classes) > 1 or report.slo_targets_us:
        names = ("SLO class", "requests", "completed", "turned away", "TTFT p50, ms", "TTFT p99, ms", "ITL p99, ms")
        yield Table(
            (*names, "E2E p50, ms", "E2E p99, ms", "target, ms", "attainment"),
            [
                (
                    name,
                    found["requests"],
                    found["completed"],
                    found["rejected"] + found["refused"],
                    *(found[f"{key}_ms"] for key in ("ttft_p50", "ttft_p99", "itl_p99", "e2e_p50", "e2e_p99")),
                    found["target_e2e_ms"],
                    percent(found["attainment"]),
                )
                for name, found in classes.items()
            ],
            "Service classes",
            "Attainment: share of the requests that arrived which finished within their target." if classes else "",
        )
    tenants = tenant_figures(report.outcomes, report.slo_targets_us)
    if tenants is None or tenants.is_empty():
        return
    index = values.get("jain_fairness_index")
    cut = f"The {_MOST_ROWS} of {len(tenants):,} with most requests. " if len(tenants) > _MOST_ROWS else ""
    yield Table(
        (
            *("tenant", "requests", "completed", "input tokens", "output tokens", "TTFT p50, ms", "TTFT p99, ms"),
            *("E2E p50, ms", "E2E p99, ms", "attainment"),
        ),
        [(*row[:-1], percent(row[-1])) for row in tenants.head(_MOST_ROWS).iter_rows()],
        "Tenants",
        cut + f"Jain's fairness index over their tokens per second: {number(index, 3)} (1: all got the same).",
    )


def _instances(outcomes: Outcomes, blocks: Sequence[Mapping[str, Any]], over_time: Timeline) -> Iterator[Part]:
    """Several instances side by side; ``blocks`` are their figures."""
    if not blocks:
        return
    count = len(blocks)
    sent = np.bincount(outcomes.result.instance[outcomes.result.instance >= 0], minlength=count).tolist()
    tokens = [block["total_input_tokens"] + block["total_output_tokens"] for block in blocks]
    if count <= _MOST_BARS:
        note = "Dashed: mean."
        yield Chart("requests", "Requests sent", run_charts.balance(sent, "requests", ","), note, "half")
        yield Chart("tokens", "Input and output tokens", run_charts.balance(tokens, "tokens", ","), note, "half")
    end_us = max(outcomes.result.end_us, 1)
    busy, queue = outcomes.busy_us / end_us, over_time.waiting.mean(1).tolist()
    rows = [
        (
            block["instance_id"],
            sent[index],
            percent(sent[index] / max(sum(sent), 1)),
            tokens[index],
            percent(float(busy[index])),
            queue[index],
            *(block[key] for key in ("ttft_p99_ms", "itl_p99_ms", "e2e_p99_ms")),
            percent(block["kv_blocks_peak"] / block["kv_blocks_total"]),
            percent(block["cache_hit_rate"]),
            block["preemption_count"],
        )
        for index, block in enumerate(blocks[:_MOST_ROWS])
    ]
    spread = f"Requests per instance: {min(sent):,} to {max(sent):,}, mean {sum(sent) / count:,.1f}."
    cut = f"The first {_MOST_ROWS} of {count:,} instances. " if count > _MOST_ROWS else ""
    yield Table(
        (
            *("instance", "requests", "share", "tokens", "busy", "mean queue", "TTFT p99, ms", "ITL p99, ms"),
            *("E2E p99, ms", "KV peak", "cache hits", "preemptions"),
        ),
        rows,
        "Routing balance",
        cut + spread,
    )


def _decisions(outcomes: Outcomes) -> Iterator[Part]:
    if outcomes.trace is None:
        return
    found = outcomes.trace.summary
    shown = [
        Tile("Admitted", [("", f"{found['admitted']:,}")], f"of {found['total_decisions']:,}"),
        *(
            Tile(f"{name} regret", [("", f"{found[key]:,.4f}")], "score of the best instance less that of the chosen")
            for key, name in (("mean_regret", "Mean"), ("max_regret", "Largest"))
            if found[key] is not None
        ),
    ]
    for key, name in (("own", "Own E2E regret"), ("everyones", "Everyone's E2E regret")):
        mean = found.get(f"realised_{key}_e2e_regret_mean_ms")
        if mean is not None:
            note = f"mean of {found['realised_samples']:,} decisions simulated again with the best other instance"
            shown.append(Tile(name, [("ms", number(mean, 2))], note))
    yield Tiles(shown)
