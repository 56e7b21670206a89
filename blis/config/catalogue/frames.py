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
        A row per model, by id: ``model``; of those whose architecture is known ``num_parameters``,
        ``num_active_parameters``, ``num_layers``, ``layers`` (by kind, in words), ``num_experts``, ``weight_bytes``,
        ``kv_bytes_per_token`` of layers without windows, ``windowed_kv_bytes_per_token``,
        ``state_bytes_per_request`` (all of the whole model) and ``tp_degrees``, null for the others; of those with a
        usual deployment ``default_hardware``, ``default_tp`` and ``default_vllm_version``; and ``coefficient_rows``,
        how many sets of coefficients are published.
    """
    import polars as pl

    memory = ("weight_bytes", "kv_bytes_per_token", "windowed_kv_bytes_per_token", "state_bytes_per_request")
    schema: dict[str, Any] = {
        "model": pl.String,
        **dict.fromkeys(("num_parameters", "num_active_parameters", "num_layers"), pl.Int64),
        "layers": pl.String,
        **dict.fromkeys(("num_experts", *memory), pl.Int64),
        "tp_degrees": pl.List(pl.Int64),
        "default_hardware": pl.String,
        "default_tp": pl.Int64,
        "default_vllm_version": pl.String,
        "coefficient_rows": pl.Int64,
    }
    return pl.DataFrame([_row(entry) for entry in entries()], schema=schema)


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    """What is listed of a model, without what is nested."""
    layers = ", ".join(f"{count} x {kind}" for kind, count in (entry["layers"] or {}).items())
    default = {f"default_{name}": value for name, value in (entry["default"] or {}).items()}
    return {**entry, "layers": layers or None, **default}


def hardware() -> pl.DataFrame:
    """GPUs that ship with blis: what ``blis hardware`` lists.

    Returns:
        A row per GPU: ``name`` and ``aliases``; ``status`` of its efficiencies, ``measured`` or ``prior``;
        ``peak_16bit_tflops``, ``peak_8bit_tflops``, and of each type ``peak_fp8_tflops``, ``peak_int8_tops`` and
        ``peak_fp4_tflops`` (dense; null: no such arithmetic); ``memory_bandwidth_gb_per_s``; ``nominal_memory_gib``
        and ``visible_memory_gib``; ``link_gb_per_s`` (to other GPUs, in one direction) and ``link_domain_gpus``, how
        many it joins.
    """
    import polars as pl

    peaks = ("peak_16bit_tflops", "peak_8bit_tflops", "peak_fp8_tflops", "peak_int8_tops", "peak_fp4_tflops")
    memory = ("memory_bandwidth_gb_per_s", "nominal_memory_gib", "visible_memory_gib")
    schema: dict[str, Any] = {
        "name": pl.String,
        "aliases": pl.List(pl.String),
        "status": pl.String,
        **dict.fromkeys((*peaks, *memory, "link_gb_per_s"), pl.Float64),
        "link_domain_gpus": pl.Int64,
    }
    return pl.DataFrame(gpus(), schema=schema)
