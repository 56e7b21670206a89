"""The keys of a sweep file: the flags of ``blis run`` that say what is simulated, and how each is written."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from blis.config.schema import ClusterOptions, Deployment, EngineOptions
from blis.files.decode import Section
from blis.studies.sweep.named import Named
from blis.workload.distribution import DistributionWorkload

Kind = Literal["integer", "number", "text", "flag", "numbers", "weights", "path", "function"]

#: Flags that bear another name than the field they fill.
_OTHER_NAMES = {
    "horizon": "horizon_us",
    "max_prompts": "num_requests",
    "max_num_seqs": "max_num_running_reqs",
    "max_num_batched_tokens": "max_num_scheduled_tokens",
    "block_size_in_tokens": "block_size_tokens",
    "admission_latency": "admission_latency_us",
    "routing_latency": "routing_latency_us",
    "snapshot_refresh_us": "queue_depth_refresh_us",  # the first of the three fields it sets
}
#: Fields that have a flag of another name, or none.
_HIDDEN = {
    "block_size_tokens",
    "admission_latency_us",
    "routing_latency_us",
    "queue_depth_refresh_us",
    "batch_size_refresh_us",
    "kv_refresh_us",
    "preset",
}
#: Where a function of the user's own may stand.
_FUNCTIONS = ("latency_model", "admission_policy", "routing_policy", "priority_policy")
_FURTHER: dict[str, Kind] = {
    "horizon_us": "integer",
    "seed": "integer",
    "workload": "text",
    "scenario": "text",
    "workload_traces_filepath": "path",
    "workload_spec": "path",
    "policy_config": "path",
    "trace_header": "path",
    "trace_data": "path",
}
_KINDS: Mapping[Any, Kind] = {int: "integer", float: "number", str: "text", bool: "flag", Path: "path"}


@dataclass(frozen=True)
class Key:
    """A key.

    Attributes:
        name: as a sweep file has it.
        field: what it fills; keys of one field are the same thing.
        kind: how its value is written.
    """

    name: str
    field: str
    kind: Kind

    def read(self, section: Section, name: str) -> Any:
        """Read a value, as plain JSON; None, where it is left to the default.

        Args:
            section: where it is.
            name: under which name.

        Raises:
            ConfigError: it is of another kind.
        """
        return section.optional(lambda key: self._read(section, key), name)

    def _read(self, section: Section, name: str) -> Any:
        match self.kind:
            case "integer":
                return section.integer(name)
            case "number":
                return section.number(name)
            case "flag":
                return section.flag(name)
            case "numbers":
                return list(section.numbers(name, least_count=1, most_count=2**10))
            case "weights":
                inner = section.section(name)
                return {scorer: inner.number(scorer) for scorer in inner.names()}
            case _:
                return section.text(name)

    def value(self, plain: Any, folder: Path) -> Any:
        """What the field gets, of a plain value; files are looked for in a folder."""
        if isinstance(plain, Named):
            return plain.thing
        match self.kind:
            case "numbers":
                return tuple(plain)
            case "weights":
                return tuple(plain.items())
            case "path":
                return (folder / plain).resolve()
            case "function":
                module, _, function = plain.rpartition(":")
                return f"{(folder / module).resolve()}:{function}" if module.endswith(".py") else plain
            case _:
                return plain

    def cell(self, plain: Any) -> Any:
        """What a table shows of a plain value: a number, a text or true and false; lists as flags are written."""
        match plain:
            case list():
                return ",".join(map(str, plain))
            case dict():
                return ",".join(f"{name}:{weight}" for name, weight in plain.items())
            case _:
                return plain


def _field_kinds() -> dict[str, Kind]:
    """All fields that keys fill, and how their values are written."""
    kinds: dict[str, Kind] = {}
    for config in (Deployment, DistributionWorkload, EngineOptions, ClusterOptions):
        hints = get_type_hints(config)
        kinds |= {field.name: _kind(field.name, hints[field.name]) for field in fields(config)}
    return kinds | _FURTHER


def _kind(name: str, hint: Any) -> Kind:
    if name in _FUNCTIONS:
        return "function"
    if name == "routing_scorers":
        return "weights"
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(part for part in get_args(hint) if part is not type(None))
    origin = get_origin(hint)
    return "text" if origin is Literal else "numbers" if origin is tuple else _KINDS[hint]


def _keys() -> dict[str, Key]:
    kinds = _field_kinds()
    same = {name: name for name in kinds if name not in _HIDDEN | {"horizon_us"}}
    return {name: Key(name, field, kinds[field]) for name, field in {**same, **_OTHER_NAMES}.items()}


#: Keys of what arrives: of deployments that differ in them nobody can say which one serves it better.
OF_THE_LOAD = {
    *("rate", "seed", "max_prompts", "num_requests", "horizon", "workload", "scenario", "workload_spec"),
    *("workload_traces_filepath", "trace_header", "trace_data", "arrival", "arrival_cv", "prefix_tokens"),
    *(f"{part}_tokens{suffix}" for part in ("prompt", "output") for suffix in ("", "_stdev", "_min", "_max")),
}
#: All keys, by name.
KEYS: Mapping[str, Key] = _keys()
