"""What `blis.config.catalogue` lists, as tables for a terminal."""

from __future__ import annotations

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


def models(entries: Sequence[Entry]) -> Iterator[Any]:
    """A row per model."""
    made = table("Model", "params", "layers", "GiB", "KV KiB", "default", "rows", words=("Model", "default"))
    for entry in entries:
        known, default = entry["num_parameters"] is not None, entry["default"]
        made.add_row(
            _short(entry["model"]),
            f"{entry['num_parameters'] / 1e9:,.1f}B" if known else "-",
            str(entry["num_layers"]) if known else "-",
            number(entry["weight_bytes"] / _GIB) if known else "-",
            number(entry["kv_bytes_per_token"] / 1024) if known else "-",
            "-" if default is None else f"{default['hardware']} x{default['tp']}",
            str(entry["coefficient_rows"]),
        )
    yield made
    yield (
        "\nGiB of weights; KV per token of the whole model; rows of published coefficients. blis models NAME shows one,"
        " by its full id or the part behind the slash."
    )


def model(entry: Entry) -> Iterator[Any]:
    """All that is known of one model."""
    known = entry["num_parameters"] is not None
    yield pairs(
        entry["model"],
        [
            ("default", _deployment(entry["default"])),
            *(
                [
                    ("parameters", f"{entry['num_parameters']:,}"),
                    ("weights", f"{number(entry['weight_bytes'] / _GIB)} GiB"),
                    ("KV cache", f"{entry['kv_bytes_per_token']:,.0f} bytes per token at TP 1"),
                    ("TP", ", ".join(map(str, entry["tp_degrees"]))),
                ]
                if known
                else []
            ),
        ],
    )
    if known:
        yield ""
        rows = [(name.replace("_", " "), _word(value)) for name, value in _flat(entry["architecture"]) if value]
        yield pairs("Architecture", rows)
        yield f"\nSource: {entry['sources']['architecture']}"
    if entry["coefficients"]:
        yield ""
        yield _coefficients(entry["coefficients"])
        yield f"\nSource: {entry['sources']['coefficients']}; docs/approach.md explains them"


def _coefficients(rows: Sequence[Entry]) -> Table:
    made = table("GPU", "TP", "vLLM", "alpha", "beta", "KV blocks", words=("alpha", "beta"))
    for row in rows:
        alpha, beta = (" ".join(f"{value:.4g}" for value in row[name]) for name in ("alpha", "beta"))
        made.add_row(row["hardware"], str(row["tp"]), row["vllm_version"], alpha, beta, f"{row['total_kv_blocks']:,}")
    return made


def gpus(entries: Sequence[Entry]) -> Iterator[Any]:
    """A row per GPU."""
    names = ("TFLOPS", "8 bit", "GB/s", "GiB", "link", "status", "aliases")
    made = table("GPU", *names, words=("status", "aliases"))
    for entry in entries:
        made.add_row(
            entry["name"],
            *(number(entry[f"peak_{bits}bit_tflops"], 0) for bits in (16, 8)),
            number(entry["memory_bandwidth_gb_per_s"], 0),
            number(entry["nominal_memory_gib"], 0),
            number(entry["link_gb_per_s"], 0),
            entry["status"],
            ", ".join(entry["aliases"]),
        )
    yield made
    yield (
        "\nDense peaks; GB/s of the memory, and of the link to other GPUs in one direction. Efficiencies are measured"
        " or a prior guess (status). blis hardware NAME shows all figures and their sources."
    )


def gpu(entry: Entry) -> Iterator[Any]:
    """All figures of one GPU, then the source of each."""
    figures = {key: value for key, value in entry.items() if key not in ("name", "sources")}
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
