"""Which format a file has: by name, or by what its beginning looks like."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from blis.errors import InputError, WorkloadError, nearest
from blis.files.parquet import damage_as
from blis.files.plain import open_plain
from blis.workload.convert import (
    any_columns,
    azure,
    burstgpt,
    load_tools,
    mooncake,
    own_tracev2,
    sharegpt,
    vllm,
    vllm_stamps,
)
from blis.workload.convert.any_columns import looks_like_requests
from blis.workload.convert.any_tables import split_header
from blis.workload.convert.options import FORMATS
from blis.workload.convert.parquet import read_parquet
from blis.workload.convert.source import Rows, Source
from blis.workload.convert.token_csv import read_token_csv
from blis.workload.traces.csv import COLUMNS as TOKEN_COLUMNS

Reader = Callable[[Source], Iterator[Rows]]

_HEAD_BYTES = 1 << 16


@dataclass(frozen=True)
class _Head:
    """The beginning of a file: Parquet, the header of a TraceV2, the fields of a CSV header or the keys of JSON."""

    is_parquet: bool = False
    is_header: bool = False
    fields: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    is_list: bool = False


_READERS: dict[str, Reader] = {
    "azure": azure.read_azure,
    "burstgpt": burstgpt.read_burstgpt,
    "mooncake": mooncake.read_mooncake,
    "sharegpt": sharegpt.read_sharegpt,
    "vllm": vllm.read_vllm,
    "vllm-stamps": vllm_stamps.read_vllm_stamps,
    "guidellm": load_tools.read_guidellm,
    "aiperf": load_tools.read_aiperf,
    "inference-perf": load_tools.read_inference_perf,
    "genai-bench": load_tools.read_genai_bench,
    "token-csv": read_token_csv,
    "tracev2": own_tracev2.read_tracev2_rows,
    "columns": any_columns.read_any_columns,
    "parquet": read_parquet,
}
_LOOKS_LIKE: dict[str, Callable[[_Head], bool]] = {
    "azure": lambda head: set(azure.COLUMNS) <= set(head.fields),
    "burstgpt": lambda head: set(burstgpt.COLUMNS) <= set(head.fields),
    "mooncake": lambda head: (
        not head.is_list and all(not set(names).isdisjoint(head.keys) for names in (mooncake.INPUT, mooncake.OUTPUT))
    ),
    "sharegpt": lambda head: not set(sharegpt.MESSAGES).isdisjoint(head.keys),
    "vllm": lambda head: {"num_prompts", "model_id"} <= set(head.keys) or set(vllm.LENGTHS) <= set(head.keys),
    "vllm-stamps": lambda head: set(vllm_stamps.STAMPS) <= set(head.keys),
    "guidellm": lambda head: "guidellm_version" in head.keys,
    "aiperf": lambda head: {"metadata", "request_start_ns"} <= set(head.keys),
    "inference-perf": lambda head: (
        head.is_list and {"start_time", "end_time"} <= set(head.keys) and not {"request", "info"}.isdisjoint(head.keys)
    ),
    "genai-bench": lambda head: {"aggregated_metrics", "num_concurrency"} <= set(head.keys),
    "token-csv": lambda head: head.fields[: len(TOKEN_COLUMNS)] == TOKEN_COLUMNS,
    "tracev2": lambda head: set(own_tracev2.KNOWN_BY) <= set(head.fields) or head.is_header,
    "parquet": lambda head: head.is_parquet,
}


def recognise(path: Path) -> str:
    """Tell the format of a file from its beginning.

    Raises:
        WorkloadError: it cannot be read, or looks like no known format, or like several.
    """
    try:
        with open_plain(path) as file:
            beginning = file.read(_HEAD_BYTES)
    except OSError as error:
        raise WorkloadError(f"{path}: cannot be read: {error.strerror}") from None
    if not beginning.strip():
        raise WorkloadError(f"{path}: is empty")
    if beginning.lstrip().startswith((b"# HELP ", b"# TYPE ")):
        raise WorkloadError(f"{path}: is a dump of /metrics, which holds no requests; blis inspect shows what it says")
    head = _head(beginning)
    found = [name for name, looks_like in _LOOKS_LIKE.items() if looks_like(head)]
    names = _parquet_names(path) if head.is_parquet else head.keys or head.fields
    if {"enqueued_us", "ttft_us"} <= set(names):
        columns = "--columns arrival=arrival_us,input=input_tokens,output=output_tokens"
        raise WorkloadError(f"{path}: holds the outcomes of a run, no trace; {columns} reads its requests")
    if (not found or head.is_parquet) and "arrival_us" not in names and looks_like_requests(names):
        return "columns"
    if len(found) == 1:
        return found[0]
    formats = ", ".join(FORMATS)
    if found:
        raise WorkloadError(f"{path}: looks like {' and '.join(found)}; say with --from which of {formats} it is")
    shown = f"keys {', '.join(head.keys[:8])}" if head.keys else f"a first line of {','.join(head.fields)[:80]!r}"
    raise WorkloadError(
        f"{path}: is of no known format, it has {shown}; --from takes {formats}; --columns reads any table"
    )


def _parquet_names(path: Path) -> Sequence[str]:
    """Names of the columns; none if it is no Parquet after all, which is said when it is read."""
    import pyarrow.parquet as pq

    try:
        with damage_as(WorkloadError), Source(path).open_seekable() as file:
            return list(pq.read_schema(file).names)
    except WorkloadError:
        return ()


def reader(name: str) -> Reader:
    """The function that reads a format.

    Raises:
        InputError: there is no such format.
    """
    if name not in _READERS:
        raise InputError(f"format {name!r} is unknown; {nearest(name, FORMATS)}")
    return _READERS[name]


def _head(beginning: bytes) -> _Head:
    if beginning.startswith(b"PAR1"):
        return _Head(is_parquet=True)
    text = beginning.decode("utf-8-sig", errors="replace").lstrip()
    if text.startswith(("{", "[")):
        return _Head(is_list=text.startswith("["), keys=tuple(dict.fromkeys(re.findall(r'"([^"\\]{1,40})"\s*:', text))))
    lines = text.splitlines()
    is_header = any(line.startswith(own_tracev2.HEADER_KEY) for line in lines)
    return _Head(is_header=is_header, fields=tuple(split_header(lines[0])[1]))
