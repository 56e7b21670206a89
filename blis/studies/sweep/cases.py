"""From the plain settings of a point to a `Case`, in this process or in a worker somewhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blis.api import seed_of
from blis.config.policy_file import PolicyFile, load_policies
from blis.config.schema import ClusterOptions, Deployment, EngineOptions
from blis.errors import ConfigError
from blis.studies.sweep.keys import KEYS
from blis.studies.sweep.runner import Case
from blis.studies.workload_flags import workload_of
from blis.workload.spec_file import load_workload_spec
from blis.workload.traces.tracev2.tracev2 import TraceV2

if TYPE_CHECKING:
    from blis.workload.workload import Workload

_REFRESHES = ("queue_depth_refresh_us", "batch_size_refresh_us", "kv_refresh_us")
#: Files that are kept.
_MOST_KEPT = 2**10


class Cases:
    """Makes cases; files that settings name are read once.

    Args:
        folder: where these files are looked for.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._load_spec = lru_cache(_MOST_KEPT)(load_workload_spec)
        self._load_policies = lru_cache(_MOST_KEPT)(load_policies)

    def case(self, settings: Mapping[str, Any], replication: int = 0) -> Case:
        """The run that settings ask for; precedences are those of ``blis run``.

        Args:
            settings: plain values by key; None: left to the default.
            replication: is added to the seed.

        Raises:
            ConfigError: begins with the field that is wrong, unless it names a file.
        """
        values = {
            KEYS[name].field: KEYS[name].value(plain, self._folder)
            for name, plain in settings.items()
            if plain is not None
        }
        if "model" not in values:
            raise ConfigError("model: missing; every run needs one")
        policies = self._load_policies(values["policy_config"]) if "policy_config" in values else PolicyFile()
        refresh_us = values.get(_REFRESHES[0])
        if refresh_us is not None:
            values |= dict.fromkeys(_REFRESHES, refresh_us)
        workload = self._workload(values)
        return Case(
            Deployment(**_fields_of(Deployment, values)),
            workload,
            policies.engine(**_fields_of(EngineOptions, values)),
            policies.cluster(**_fields_of(ClusterOptions, values)),
            values.get("horizon_us"),
            seed_of(workload, values.get("seed")) + replication,
        )

    def _workload(self, values: Mapping[str, Any]) -> Workload:
        traces = [name for name in ("trace_header", "trace_data") if name in values]
        if not traces:
            return workload_of(values, self._load_spec)
        if len(traces) == 1:
            raise ConfigError(f"{traces[0]}: trace_header and trace_data go together; the other one is missing")
        return TraceV2(values["trace_header"], values["trace_data"])


def _fields_of(config: type, values: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(config)}
    return {name: value for name, value in values.items() if name in names}
