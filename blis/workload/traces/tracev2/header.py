"""The header file of a TraceV2: where a trace comes from, in YAML; under ``blis`` what the columns cannot say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from blis.files.decode import Section, read_yaml, shown

VERSION = 2
#: Of inference-sim's later traces, whose header may also say targets.
_LATER_VERSION = 3
_TIME_UNIT = "microseconds"

#: How prompts share tokens: not at all, by the prefixes of groups, or as the content file says.
Sharing = Literal["none", "prefix_groups", "file"]


@dataclass(frozen=True)
class Server:
    """What served the requests; None where it is not said.

    Attributes:
        type: such as ``vllm``.
        model: its id.
        tensor_parallel: degree.
        max_num_seqs: most requests in a batch.
        block_size: tokens per KV block.
        gpu_memory_utilization: share of the memory it could use.
        max_model_len: most input + output tokens of a request.
    """

    type: str | None = None
    model: str | None = None
    tensor_parallel: int | None = None
    max_num_seqs: int | None = None
    block_size: int | None = None
    gpu_memory_utilization: float | None = None
    max_model_len: int | None = None


@dataclass(frozen=True)
class Extension:
    """What the simulator says about its own traces, under the key ``blis``.

    Attributes:
        num_requests: rows of the data file.
        horizon_us: end of the simulated time; None: there was none.
        sharing: how prompts share tokens.
        prefix_groups: tokens that the prompts of a group begin with, by its name; part of ``input_tokens``.
        content_file: Parquet file beside the header with what neither header nor columns can say; None: nothing.
        unsent_file: CSV beside the header with the requests that were never sent; None: there are none.
        unlisted: how many more would have arrived after the end of the run, in no file.
    """

    num_requests: int
    horizon_us: int | None
    sharing: Sharing
    prefix_groups: Mapping[str, int]
    content_file: str | None
    unsent_file: str | None = None
    unlisted: int = 0


@dataclass(frozen=True)
class TraceHeader:
    """What a header file says.

    Attributes:
        mode: ``real``: measured on a server, or ``generated``: simulated.
        created_at: when, as text; None: not said.
        warm_up_requests: requests numbered below it are not to be judged.
        workload_spec: file that described the workload; None: not said.
        server: what served the requests; None: not said.
        measured_rtt_ms: round-trip time to the server; None: not said.
        extension: None: the trace is none of ours.
    """

    mode: Literal["real", "generated"]
    created_at: str | None = None
    warm_up_requests: int = 0
    workload_spec: str | None = None
    server: Server | None = None
    measured_rtt_ms: float | None = None
    extension: Extension | None = None


def write_header(header: TraceHeader, path: Path) -> None:
    """Write a header file; an existing one is overwritten."""
    import yaml

    values = {
        "trace_version": VERSION,
        "time_unit": _TIME_UNIT,
        "created_at": header.created_at,
        "mode": header.mode,
        "warm_up_requests": header.warm_up_requests,
        "workload_spec": header.workload_spec,
        "server": header.server and _said(asdict(header.server)),
        "network": None if header.measured_rtt_ms is None else {"measured_rtt_ms": header.measured_rtt_ms},
        "blis": header.extension and _extension_of(header.extension),
    }
    path.write_text(yaml.safe_dump(_said(values), sort_keys=False, allow_unicode=True), encoding="utf-8")


def read_header(path: Path) -> TraceHeader:
    """Read a header file and check every key.

    Raises:
        ConfigError: names the file, the key and what would be valid.
    """
    top = read_yaml(path)
    version = top.integer("trace_version")
    if version not in (VERSION, _LATER_VERSION):
        top.fail("trace_version", f"must be {VERSION} or {_LATER_VERSION}, got {version}")
    top.text("time_unit", valid=(_TIME_UNIT,))
    mode: Any = top.text("mode", valid=("real", "generated", "replayed"))
    top.optional(top.integer, "workload_seed")
    top.optional(top.section, "goodput_slo_targets")
    header = TraceHeader(
        mode="generated" if mode == "replayed" else mode,
        created_at=top.optional(top.moment, "created_at"),
        warm_up_requests=top.integer("warm_up_requests", 0),
        workload_spec=top.optional(top.text, "workload_spec"),
        server=_server(top),
        measured_rtt_ms=_network(top),
        extension=_extension(top),
    )
    top.finish()
    return header


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _extension_of(extension: Extension) -> dict[str, Any]:
    groups, unlisted = dict(extension.prefix_groups) or None, extension.unlisted or None
    return _said({**vars(extension), "prefix_groups": groups, "unlisted": unlisted})


def _server(top: Section) -> Server | None:
    part = top.optional(top.section, "server")
    if part is None:
        return None
    server = Server(
        type=part.optional(part.text, "type"),
        model=part.optional(part.text, "model"),
        tensor_parallel=part.optional(part.integer, "tensor_parallel"),
        max_num_seqs=part.optional(part.integer, "max_num_seqs"),
        block_size=part.optional(part.integer, "block_size"),
        gpu_memory_utilization=part.optional(part.number, "gpu_memory_utilization", most=1.0),
        max_model_len=part.optional(part.integer, "max_model_len"),
    )
    part.finish()
    return server


def _network(top: Section) -> float | None:
    part = top.optional(top.section, "network")
    if part is None:
        return None
    rtt_ms = part.optional(part.number, "measured_rtt_ms")
    part.finish()
    return rtt_ms


def _extension(top: Section) -> Extension | None:
    part = top.optional(top.section, "blis")
    if part is None:
        return None
    sharing: Any = part.text("sharing", valid=("none", "prefix_groups", "file"))
    groups = part.optional(part.section, "prefix_groups")
    lengths = {} if groups is None else {name: groups.integer(name, least=1) for name in groups.names()}
    content_file, unsent_file = (_file_beside(part, key) for key in ("content_file", "unsent_file"))
    if sharing == "prefix_groups" and not lengths:
        part.fail("prefix_groups", "missing; sharing by prefix_groups needs it")
    if sharing == "file" and content_file is None:
        part.fail("content_file", "missing; sharing as a file says needs it")
    if unsent_file is not None and content_file is None:
        part.fail("content_file", "missing; unsent_file needs it")
    extension = Extension(
        num_requests=part.integer("num_requests"),
        horizon_us=part.optional(part.integer, "horizon_us"),
        sharing=sharing,
        prefix_groups=lengths,
        content_file=content_file,
        unsent_file=unsent_file,
        unlisted=part.integer("unlisted", 0),
    )
    part.finish()
    return extension


def _file_beside(part: Section, key: str) -> str | None:
    """The name of a file in the header's own folder: whoever passes on a header must not choose what others read."""
    name = part.optional(part.text, key)
    if name is None:
        return None
    if name in ("", ".", "..") or "/" in name or "\\" in name:
        part.fail(key, f"must be the name of a file beside the header, got {shown(name)}")
    folder = os.path.realpath(Path(part.source).parent)
    if Path(os.path.realpath(Path(folder, name))).parent != Path(folder):
        part.fail(key, f"must be a file beside the header, got a link out of its folder: {shown(name)}")
    return name
