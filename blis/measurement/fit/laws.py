"""Models of step time with coefficients that are to be found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blis.config.hardware import Efficiency, Gpu
from blis.config.model.model import Model
from blis.config.versions import HostProfileName
from blis.errors import ConfigError, nearest
from blis.latency.blackbox import blackbox_model
from blis.latency.law import LatencyModel, step_durations_us
from blis.latency.roofline import roofline_model

Floats = NDArray[np.float64]

_NS_PER_US = 1000


@dataclass(frozen=True)
class Coefficient:
    """One number to be found.

    Attributes:
        name: with its unit.
        start: what the search begins with, or what it stays at if it is held.
        scale: a change that matters, the unit in which the search moves.
        least: its lower bound.
        most: its upper bound.
    """

    name: str
    start: float
    scale: float
    least: float = 0.0
    most: float = np.inf


@dataclass(frozen=True)
class FreeLaw:
    """A law of step time as a function of its coefficients.

    Attributes:
        name: of the law.
        coefficients: what it depends on.
        model: the law with given coefficients, one number for each; its alpha is zero.
        changed_gpu: the GPU's entry with these coefficients; None: the law has coefficients of its own.
    """

    name: str
    coefficients: tuple[Coefficient, ...]
    model: Callable[[Sequence[float]], LatencyModel]
    changed_gpu: Callable[[Sequence[float]], Gpu] | None = None

    def with_alpha(self, alpha: Sequence[float], values: Sequence[float]) -> LatencyModel:
        """The model with queueing delays: µs, and µs per input token."""
        return dataclasses.replace(self.model(values), alpha=(float(alpha[0]), float(alpha[1]), 0.0))

    def step_us(self, values: Sequence[float], loads: NDArray[np.int64]) -> Floats:
        """(s,) lengths of steps, to a ns: the law itself answers in whole µs, too coarse for derivatives."""
        durations: Floats = step_durations_us(self.model(values).scaled(_NS_PER_US), loads) / _NS_PER_US
        return durations


#: Queueing delay of a request: what passes before the scheduler sees it, and for each input token.
ALPHA = (Coefficient("alpha0_us", 0.0, 1e4), Coefficient("alpha1_us_per_input_token", 0.0, 3.0))

_BETA = (
    *("beta0_us", "beta1_us_per_prefill_token", "beta2_us_per_decode"),
    *("beta3_us_per_context_token", "beta4_share"),
)
#: Sizes of coefficients of 8 B to 70 B models on the GPUs of the published rows, and of one measured run.
_BETA_SCALES = (1e4, 30.0, 30.0, 0.05, 1.0)
#: Attention of decodes is at most a few times slower in steps that also prefill.
_MOST_BETA_4 = 5.0
_BETA_4_START = 1.0


def blackbox_law(num_coefficients: int, step_us: float) -> FreeLaw:
    """The blackbox law with three coefficients, or with five (`blis.latency.blackbox`).

    Args:
        num_coefficients: 3 or 5.
        step_us: a usual length of a step that only decodes, to begin with.
    """
    # a step that long with some 300 prefill tokens or decodes in it takes twice the time: true within a factor
    # of ten for the published rows, which is near enough for the search
    starts = (step_us, step_us / 300, step_us / 300, step_us / 3e5, _BETA_4_START)
    most = (np.inf, np.inf, np.inf, np.inf, _MOST_BETA_4)
    coefficients = tuple(map(Coefficient, _BETA, starts, _BETA_SCALES, np.zeros(5), most))[:num_coefficients]

    def model(values: Sequence[float]) -> LatencyModel:
        return blackbox_model((0.0, 0.0, 0.0), list(map(float, values)))

    return FreeLaw("blackbox", coefficients, model)


#: The fields of a GPU's entry that can be found.
_HOST_FIELDS = {"host_step_us": "step_us", "host_per_request_us": "per_request_us"}
_EFFICIENCIES = tuple(field.name for field in dataclasses.fields(Efficiency))
ROOFLINE_FIELDS = (*_HOST_FIELDS, *_EFFICIENCIES)
#: The others are held at what the hardware file says unless asked for: requests do not tell them from the host's time.
ROOFLINE_FREE = ("host_step_us",)
_LEAST_EFFICIENCY = 0.01


def roofline_law(
    model: Model, gpu: Gpu, tp: int, profile: HostProfileName, free: Sequence[str], *, kv_element_bytes: int = 2
) -> FreeLaw:
    """The roofline law with some fields of the GPU's entry open.

    Args:
        model: the model.
        gpu: the entry to begin with.
        tp: tensor parallelism degree.
        profile: the host profile in use.
        free: of `ROOFLINE_FIELDS`, each once.
        kv_element_bytes: of cached keys and values.

    Raises:
        ConfigError: there is no such field, or the model cannot run on so many GPUs.
    """
    for name in free:
        if name not in ROOFLINE_FIELDS:
            raise ConfigError(f"free: unknown field {name!r}; {nearest(name, ROOFLINE_FIELDS)}")
    if len(set(free)) < len(free):
        raise ConfigError(f"free: names must differ, got {', '.join(free)}")

    def changed_gpu(values: Sequence[float]) -> Gpu:
        return with_fields(gpu, profile, dict(zip(free, map(float, values), strict=True)))

    def law(values: Sequence[float]) -> LatencyModel:
        return roofline_model(model, changed_gpu(values), tp, profile, kv_element_bytes=kv_element_bytes)

    coefficients = tuple(_field(gpu, profile, name) for name in free)
    law([one.start for one in coefficients])  # what cannot run is said before anything is measured
    return FreeLaw("roofline", coefficients, law, changed_gpu)


def with_fields(gpu: Gpu, profile: HostProfileName, values: Mapping[str, float]) -> Gpu:
    """The GPU with other values of some of `ROOFLINE_FIELDS`."""
    host = {_HOST_FIELDS[name]: value for name, value in values.items() if name in _HOST_FIELDS}
    shares = {name: value for name, value in values.items() if name in _EFFICIENCIES}
    profiles = {**gpu.host_profiles, profile: dataclasses.replace(gpu.host_profiles[profile], **host)}
    return dataclasses.replace(gpu, efficiency=dataclasses.replace(gpu.efficiency, **shares), host_profiles=profiles)


def _field(gpu: Gpu, profile: HostProfileName, name: str) -> Coefficient:
    if name in _HOST_FIELDS:
        value = getattr(gpu.host_profiles[profile], _HOST_FIELDS[name])
        return Coefficient(name, value, max(value, 1.0))
    return Coefficient(name, getattr(gpu.efficiency, name), 0.1, _LEAST_EFFICIENCY, 1.0)
