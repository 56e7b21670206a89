"""How far the roofline was off on servers that others have measured and that are like the one in question.

``expected_error.json`` beside this file is written by ``benchmarks/check_accuracy.py``; docs/accuracy.md says what was
measured and where it comes from. Errors are 100 · (simulated / measured − 1).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from blis.config.model.layers import LatentAttention
from blis.config.model.model import Model

PATH = Path(__file__).with_name("expected_error.json")
#: GPUs that have kernels in common.
ARCHITECTURES = {
    "Ampere": ("A100-80-SXM", "A100-40-SXM", "A100-80-PCIe", "A100-40-PCIe", "A30", "A10G", "RTX-3090"),
    "Ada": ("L40S", "L4", "RTX-4090"),
    "Hopper": ("H100-SXM", "H200-SXM", "H100-PCIe", "H100-NVL", "H200-NVL", "H800-SXM", "H20", "GH200-96", "GH200-144"),
    "Blackwell": ("B200-SXM", "B300-SXM", "GB200", "GB300"),
    "Blackwell with GDDR": ("RTX-PRO-6000-Server", "RTX-PRO-6000-Workstation", "RTX-PRO-6000-Max-Q", "RTX-5090"),
    "CDNA": ("MI300X", "MI325X", "MI355X"),
}
#: What is measured, by what summaries call it.
FIGURES = ("tpot", "ttft", "e2e", "throughput")
#: Fewer points say nothing; a wider neighbourhood is asked.
LEAST_POINTS = 8
#: Whose rules are simulated.
ENGINE = "vllm"
#: Most requests in an instance at a time, on average, and what that is called.
CROWDS = {8: "up to 8 at a time", 64: "9 to 64 at a time", 256: "65 to 256 at a time"}
BIGGEST_CROWD = "more than 256 at a time"
#: Requests that wait for this share of their time say more of the queue than of steps, whose errors it multiplies.
FULL_FROM = 0.1
FULL, NOT_FULL = "full", "not full"


@dataclass(frozen=True)
class ExpectedError:
    """What errors came to in one neighbourhood, in per cent.

    Attributes:
        typical: half of the errors were larger, whatever their sign.
        p90: one of ten was larger.
        bias: half of the errors, with their signs, were larger: above 0 where the simulated figure is mostly too large.
        points: how many were measured.
        of: what they have in common.
    """

    typical: float
    p90: float
    bias: float
    points: int
    of: str

    def __str__(self) -> str:
        sizes = f"typically {self.typical:.0f} % off, in 1 of 10 cases more than {self.p90:.0f} %"
        return f"{sizes}, on {self.points} measured points ({self.of})"


def kind_of(model: Model) -> str:
    """What decides how a model is served: states, latent attention, experts, or none of these."""
    if model.states:
        return "hybrid"
    if any(isinstance(mixer, LatentAttention) for mixer in model.attention):
        return "latent attention"
    return "mixture of experts" if model.is_moe else "dense"


def load_of(waiting: float, in_system: float) -> str:
    """What a load is called.

    Args:
        waiting: share of their time in the instance for which requests wait for their first step.
        in_system: requests in an instance, on average.
    """
    crowd = next((name for most, name in CROWDS.items() if round(in_system) <= most), BIGGEST_CROWD)
    return f"{crowd}, {FULL if waiting >= FULL_FROM else NOT_FULL}"


def neighbourhoods(gpu: str, kind: str, engine: str, load: str) -> list[str]:
    """Names of all neighbourhoods that a run lies in, the nearest first; what is full is in none with what is not.

    Args:
        gpu: main name.
        kind: as `kind_of` says.
        engine: ``vllm``, ``sglang``, ….
        load: as `load_of` says, or only `FULL` or `NOT_FULL`.
    """
    architectures = [name for name, gpus in ARCHITECTURES.items() if gpu in gpus]
    places = [f"{kind} with {engine} on {gpu}", *(f"{kind} on {place}" for place in (gpu, *architectures)), kind]
    loads = dict.fromkeys((load, load.rpartition(", ")[2]))
    return [*(f"{place}, {each}" for each in loads for place in places), *loads]


def expected_errors(gpu: str, kind: str, load: str) -> dict[str, ExpectedError]:
    """For each figure the error in the nearest neighbourhood where enough was measured, if any; arguments as above."""
    names = neighbourhoods(gpu, kind, ENGINE, load)
    found = {}
    for figure, known in _errors().items():
        of = next((name for name in names if name in known), None)
        if of is not None:
            points, typical, p90, bias = known[of]
            found[figure] = ExpectedError(typical, p90, bias, int(points), of)
    return found


@cache
def _errors() -> Mapping[str, Mapping[str, list[float]]]:
    errors: Mapping[str, Mapping[str, list[float]]] = json.loads(PATH.read_text(encoding="utf-8"))["errors"]
    return errors
