"""Models and GPUs that ship with blis, as data frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blis.config.catalogue.hardware import gpus
from blis.config.catalogue.models import models as entries

if TYPE_CHECKING:
    import polars as pl


def models() -> pl.DataFrame:
    """Models that ship with blis: what ``blis models`` lists.

    Returns:
        A row per model, by id: ``model``; of those whose architecture is known ``num_parameters``, ``num_layers``,
        ``num_experts``, ``weight_bytes``, ``kv_bytes_per_token`` (of the whole model) and ``tp_degrees``, null for the
        others; of those with a usual deployment ``default_hardware``, ``default_tp`` and ``default_vllm_version``; and
        ``coefficient_rows``, how many sets of coefficients are published.
    """
    import polars as pl

    rows = [
        {**entry, **{f"default_{name}": value for name, value in (entry["default"] or {}).items()}}
        for entry in entries()
    ]
    schema: dict[str, Any] = {
        "model": pl.String,
        **dict.fromkeys(("num_parameters", "num_layers", "num_experts"), pl.Int64),
        **dict.fromkeys(("weight_bytes", "kv_bytes_per_token"), pl.Float64),
        "tp_degrees": pl.List(pl.Int64),
        "default_hardware": pl.String,
        "default_tp": pl.Int64,
        "default_vllm_version": pl.String,
        "coefficient_rows": pl.Int64,
    }
    return pl.DataFrame(rows, schema=schema)


def hardware() -> pl.DataFrame:
    """GPUs that ship with blis: what ``blis hardware`` lists.

    Returns:
        A row per GPU: ``name`` and ``aliases``; ``status`` of its efficiencies, ``measured`` or ``prior``;
        ``peak_16bit_tflops`` and ``peak_8bit_tflops`` (dense), ``memory_bandwidth_gb_per_s``, ``nominal_memory_gib``,
        and ``link_gb_per_s`` (to other GPUs, in one direction).
    """
    import polars as pl

    figures = ("peak_16bit_tflops", "peak_8bit_tflops", "memory_bandwidth_gb_per_s", "nominal_memory_gib")
    schema: dict[str, Any] = {
        "name": pl.String,
        "aliases": pl.List(pl.String),
        "status": pl.String,
        **dict.fromkeys((*figures, "link_gb_per_s"), pl.Float64),
    }
    return pl.DataFrame(gpus(), schema=schema)
