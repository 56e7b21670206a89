"""What `blis.config.catalogue` lists, as tables for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from blis.report.tables import number, pairs, percent, table

if TYPE_CHECKING:
    from rich.table import Table

Entry = Mapping[str, Any]

_GIB = 2**30
_KINDS = {
    "admission": "--admission-policy lets in",
    "routing": "--routing-policy sends a request to",
    "scorer": "Scorers of weighted routing (--routing-scorers) are",
    "scheduler": "--scheduler orders waiting requests",
    "priority": "--priority-policy: priority of a request",
}

#: Sizes of parts that their name says, or that go without saying.
_UNTOLD = ("reach", "reach_tokens", "keeps_cache")


def models(entries: Sequence[Entry]) -> Iterator[Any]:
    """A row per model."""
    made = table("Model", "params", "GiB", "KV KiB", "default", "rows", words=("Model", "default"))
    for entry in sorted(entries, key=lambda entry: _short(entry["model"])):
        known, default = entry["num_parameters"] is not None, entry["default"]
        made.add_row(
            _short(entry["model"]),
            _parameters(entry) if known else "-",
            number(entry["weight_bytes"] / _GIB) if known else "-",
            number(entry["kv_bytes_per_token"] / 1024) if known else "-",
            "-" if default is None else f"{default['hardware']} x{default['tp']}",
            str(entry["coefficient_rows"]),
        )
    yield made
    yield (
        "\nParameters, and how many of them a token meets; GiB of weights; KV per token of the whole model, but for"
        " layers with windows; rows of published coefficients. blis models NAME shows one, by its full id or the part"
        " behind the slash, blis models --model-config-folder DIR one of your own."
    )


def _parameters(entry: Entry) -> str:
    """Total, and how many are active if that is another number."""
    total, active = (entry[name] / 1e9 for name in ("num_parameters", "num_active_parameters"))
    return f"{total:,.1f}B" + (f" ({active:,.1f})" if entry["num_experts"] else "")


def model(entry: Entry) -> Iterator[Any]:
    """All that is known of one model."""
    known = entry["num_parameters"] is not None
    yield pairs(
        entry["model"],
        [
            *([("default", _deployment(entry["default"]))] if entry["default"] else []),
            *(_sizes(entry) if known else []),
        ],
    )
    if known:
        yield ""
        yield pairs("Architecture", list(_architecture(entry["architecture"])))
        yield f"\nSource: {entry['sources']['architecture']}"
    if entry["coefficients"]:
        yield ""
        yield _coefficients(entry["coefficients"])
        yield f"\nSource: {entry['sources']['coefficients']}; docs/approach.md explains them"


def _sizes(entry: Entry) -> Iterator[tuple[str, str]]:
    """What a model weighs and caches."""
    yield "parameters", f"{entry['num_parameters']:,}"
    if entry["num_experts"]:
        yield "active", f"{entry['num_active_parameters']:,}"
    yield "layers", ", ".join(f"{count} x {kind}" for kind, count in entry["layers"].items())
    yield "weights", f"{number(entry['weight_bytes'] / _GIB)} GiB"
    for part, size in entry["weight_bytes_by_part"].items():
        yield f"  {part}", f"{size / 2**20:,.1f} MiB" if size < _GIB else f"{size / _GIB:,.2f} GiB"
    yield "KV cache", f"{entry['kv_bytes_per_token']:,} bytes per token at TP 1"
    if windowed := entry["windowed_kv_bytes_per_token"]:
        yield "  in windows", f"{windowed:,} bytes per token at TP 1, until they are full"
    if state := entry["state_bytes_per_request"]:
        yield "states", f"{state:,} bytes per request at TP 1"
    yield "TP", ", ".join(map(str, entry["tp_degrees"]))


def _architecture(figures: Entry) -> Iterator[tuple[str, str]]:
    """Names and values of what there is; parts of layers that are alike once, with their number."""
    counts: Counter[tuple[tuple[str, Any], ...]] = Counter()
    for layers in figures["layers"]:
        for part in filter(None, (*layers["mixers"], layers["mlp"])):
            counts[tuple(_flat(part))] += layers["count"]
    for (name, *sizes), count in counts.items():
        shown = (f"{key.replace('_', ' ')} {_word(value)}" for key, value in sizes if value and key not in _UNTOLD)
        yield f"{count} x {name[1]}", ", ".join(shown)
    for key, value in _flat({key: value for key, value in figures.items() if key != "layers"}):
        if value:
            yield key.replace("_", " "), _word(value)


def _coefficients(rows: Sequence[Entry]) -> Table:
    made = table("GPU", "TP", "vLLM", "alpha", "beta", "KV blocks", words=("alpha", "beta"))
    for row in rows:
        alpha, beta = (" ".join(f"{value:.4g}" for value in row[name]) for name in ("alpha", "beta"))
        made.add_row(row["hardware"], str(row["tp"]), row["vllm_version"], alpha, beta, f"{row['total_kv_blocks']:,}")
    return made


def gpus(entries: Sequence[Entry]) -> Iterator[Any]:
    """A row per GPU."""
    made = table("GPU", "16bit", "FP8", "INT8", "FP4", "GB/s", "GiB", "link", "status", words=("status",))
    for entry in entries:
        peaks = ("peak_16bit_tflops", "peak_fp8_tflops", "peak_int8_tops", "peak_fp4_tflops")
        others = ("memory_bandwidth_gb_per_s", "nominal_memory_gib", "link_gb_per_s")
        made.add_row(entry["name"], *(_whole(entry[name]) for name in (*peaks, *others)), entry["status"])
    yield made
    yield (
        "\nDense peaks in TFLOPS, - where a GPU has no such arithmetic; GB/s of the memory, of the link to other GPUs"
        " in one direction. Efficiencies are measured or a prior guess (status). blis hardware NAME shows all figures,"
        " their sources, and the other names that a GPU is found by."
    )


def gpu(entry: Entry) -> Iterator[Any]:
    """All figures of one GPU, then the source of each."""
    figures = {key: value for key, value in entry.items() if key not in ("name", "sources") and value not in (None, ())}
    yield pairs(entry["name"], [(name.replace("_", " "), _word(value)) for name, value in _flat(figures)])
    yield ""
    made = table("Figure", "source", words=("source",))
    for name, source in entry["sources"].items():
        made.add_row(name.replace("_", " "), source)
    yield made


def policies(entries: Sequence[Entry]) -> Iterator[Any]:
    """A table per kind."""
    for number_of_kind, (kind, members) in enumerate(groupby(entries, key=lambda entry: str(entry["kind"]))):
        if number_of_kind:
            yield ""
        made = table("", "what", title=_KINDS[kind], words=("what",))
        made.show_header = False
        for entry in members:
            made.add_row(entry["name"], entry["text"])
        yield made


def policies_in_detail(entries: Sequence[Entry]) -> Iterator[Any]:
    """The same with the flags that each goes by."""
    yield from policies(entries)
    parameters = {each["flag"]: each for entry in entries for each in entry["parameters"]}
    if parameters:
        yield ""
        made = table("Parameter", "default", "meaning", words=("meaning",))
        for flag, each in parameters.items():
            made.add_row(flag, "none" if each["default"] is None else f"{each['default']:,}", each["meaning"])
        yield made


def workloads(entries: Sequence[Entry]) -> Iterator[Any]:
    """A row per preset, and per client of each scenario."""
    made = table("Workload", "client", "share", "arrivals", "input", "output", words=("client", "arrivals"))
    for entry in entries:
        for place, client in enumerate(entry["clients"]):
            made.add_row(
                entry["name"] if place == 0 else "",
                client["client"] or "",
                percent(client["share"]),
                client["arrivals"] if entry["kind"] == "scenario" else "",
                *(number(client[f"{part}_tokens"]["mean"], 0) for part in ("input", "output")),
                end_section=place == len(entry["clients"]) - 1 and entry["kind"] == "scenario",
            )
    yield made
    yield "\nMean tokens. Rows without clients are presets (--workload), the others scenarios (--scenario)."


def workload(entry: Entry) -> Iterator[Any]:
    """All figures of one workload."""
    for place, client in enumerate(entry["clients"]):
        if place:
            yield ""
        rows = [
            ("share of the rate", percent(client["share"])),
            ("arrivals", client["arrivals"]),
            ("shared prefix", f"{client['prefix_tokens']:,} tokens"),
            *((f"{part} tokens", _lengths(client[f"{part}_tokens"])) for part in ("input", "output")),
            ("SLO class", client["slo_class"] or "none"),
            ("tenant", client["tenant_id"] or "none"),
        ]
        yield pairs(client["client"] or entry["name"], rows)
    yield f"\n{entry['flag']}. Source: {entry['source']}"


def _lengths(figures: Entry) -> str:
    parts = [f"{name} {value:,.0f}" for name, value in figures.items() if name != "distribution" and value is not None]
    return f"{figures['distribution']}: {', '.join(parts)}"


def _deployment(default: Entry | None) -> str:
    return "-" if default is None else f"{default['hardware']} TP {default['tp']}, {default['vllm_version']}"


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _short(model: str) -> str:
    """The part of an id by which people know a model."""
    return model.rpartition("/")[2]


def _flat(values: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of what may hold further such mappings."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", value


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int | float) else str(value)
