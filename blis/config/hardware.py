"""The hardware file: what a GPU can do at most, how much of it kernels reach, and what its host costs.

Every figure stands in ``hardware_config.json`` with its unit in the name and its source beside it.
docs/roofline.md explains each one and where the law of step time uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache, cached_property
from pathlib import Path
from typing import Literal, cast, get_args

from blis.config.front_end import FrontEnd, read_front_end
from blis.config.gpu_names import name_parts, plain_name
from blis.config.versions import HostProfileName
from blis.errors import ConfigError, nearest
from blis.files.decode import Section, read_json
from blis.files.resources import data_path

Type8Bit = Literal["fp8", "int8"]
NarrowType = Literal["fp8", "int8", "fp4"]
Status = Literal["measured", "prior"]


@dataclass(frozen=True)
class Efficiency:
    """Share of a peak that kernels reach, above 0 and at most 1.

    Attributes:
        linear_16bit: of the 16-bit peak, in matrix products.
        linear_8bit: of the 8-bit peak, in matrix products.
        weight_streaming: of the memory bandwidth, reading weights.
        decode_attention: of the memory bandwidth, reading keys and values.
        prefill_attention: of the 16-bit peak, in attention.
        experts_16bit: of the 16-bit peak, in the experts' grouped matrix products.
        experts_8bit: of the 8-bit peak, in the experts' grouped matrix products.
        expert_streaming: of the memory bandwidth, reading experts' weights.
    """

    linear_16bit: float
    linear_8bit: float
    weight_streaming: float
    decode_attention: float
    prefill_attention: float
    experts_16bit: float
    experts_8bit: float
    expert_streaming: float


@dataclass(frozen=True)
class AllReduce:
    """Cost of one all-reduce over a number of GPUs: a latency (µs) and a rate (GB/s) for its volume."""

    latency_us: float
    rate_gb_per_s: float


@dataclass(frozen=True)
class HostProfile:
    """What the host adds to a step, in µs: per step, per request, and launching kernels per layer."""

    step_us: float
    per_request_us: float
    prefill_launch_us_per_layer: float
    decode_launch_us_per_layer: float


@dataclass(frozen=True)
class Gpu:
    """One GPU model. Peaks are dense (without 2:4 sparsity).

    Attributes:
        name: the file's key.
        aliases: other names for it.
        assumed_for: names that other GPUs have, too, for which this one is taken, as ``A100``.
        status: whether the efficiencies were ``measured`` or are ``prior`` guesses.
        peak_16bit_tflops: BF16 and FP16.
        peak_8bit_tflops: of the types in ``types_8bit``.
        types_8bit: 8-bit types the tensor cores multiply at that rate.
        peak_int8_tops: of INT8 where it has a peak of its own; None: as ``types_8bit`` says.
        peak_fp4_tflops: of 4-bit floats; None: the GPU has no such arithmetic.
        memory_bandwidth_gb_per_s: peak of the memory.
        nominal_memory_gib: as sold.
        visible_memory_gib: as vLLM sees it.
        num_sms: streaming multiprocessors (compute units).
        link_gb_per_s: to other GPUs, one direction.
        link_domain_gpus: how many GPUs that link joins; 1: there is only PCIe; None: not said.
        pcie_generation: of the link to the host; None: not said.
        network_gb_per_s: to other hosts, per GPU and direction, in the usual system; None: not said.
        front_end: what stands before engines on hosts of this kind; None: not said.
        mixed_step_penalty: how much longer decode attention takes in a step that also prefills, as a share, where
            eight or more query heads share a key; less where fewer do.
        efficiency: shares of the peaks that kernels reach.
        prefill_extra_context_tokens: context added to each new prefill token, for wasted tiles and Q/K/V/O traffic.
        all_reduce: cost by number of GPUs.
        host_factor: slowness of the usual host CPU against that of an H100.
        host_profiles: cost of the host by way of launching kernels.
        sources: where each figure comes from.
    """

    name: str
    aliases: tuple[str, ...]
    status: Status
    peak_16bit_tflops: float
    peak_8bit_tflops: float
    types_8bit: tuple[Type8Bit, ...]
    memory_bandwidth_gb_per_s: float
    nominal_memory_gib: float
    visible_memory_gib: float
    num_sms: int
    link_gb_per_s: float
    efficiency: Efficiency
    prefill_extra_context_tokens: float
    all_reduce: Mapping[int, AllReduce]
    host_factor: float
    host_profiles: Mapping[HostProfileName, HostProfile]
    sources: Mapping[str, str]
    assumed_for: tuple[str, ...] = ()
    peak_int8_tops: float | None = None
    peak_fp4_tflops: float | None = None
    link_domain_gpus: int | None = None
    pcie_generation: int | None = None
    network_gb_per_s: float | None = None
    mixed_step_penalty: float = 0.9
    front_end: FrontEnd | None = None

    def peak_of(self, narrow_type: NarrowType) -> float | None:
        """Peak of a type below 16 bit, in TFLOPS (TOPS); None if the GPU cannot multiply it."""
        if narrow_type == "fp4":
            return self.peak_fp4_tflops
        if narrow_type == "int8" and self.peak_int8_tops is not None:
            return self.peak_int8_tops
        return self.peak_8bit_tflops if narrow_type in self.types_8bit else None

    @property
    def names(self) -> tuple[str, ...]:
        """All names it is found by."""
        return (self.name, *self.aliases, *self.assumed_for)

    @property
    def tp_degrees(self) -> tuple[int, ...]:
        """Numbers of GPUs for which the cost of an all-reduce is known, and 1."""
        return (1, *sorted(self.all_reduce))


_OPTIONAL = [f.name for f in fields(Gpu) if f.default is not MISSING]


@dataclass(frozen=True)
class Hardware:
    """All GPUs of one hardware file."""

    source: str
    gpus: tuple[Gpu, ...]

    def find(self, name: str) -> Gpu | None:
        """The GPU of that name, if there is one and no other.

        Case, ``_`` and blanks for ``-``, the order of parts and words like ``NVIDIA`` or ``HBM3`` don't matter.
        """
        if exact := self._by_name.get(plain_name(name)):
            return exact
        parts = name_parts(name)
        found = [gpu for gpu in self.gpus if parts and parts in _all_parts(gpu)]
        return found[0] if len(found) == 1 else None

    @cached_property
    def _by_name(self) -> dict[str, Gpu]:
        return {plain_name(name): gpu for gpu in self.gpus for name in gpu.names}

    def get(self, name: str) -> Gpu:
        """The GPU of that name or alias.

        Raises:
            ConfigError: if there is none, with the names that come nearest.
        """
        gpu = self.find(name)
        if gpu is None:
            raise ConfigError(f"hardware: unknown GPU {name!r} in {self.source}; {self.hint(name)}")
        return gpu

    def hint(self, name: str) -> str:
        """What may be meant by a name that names no GPU."""
        if candidates := self.candidates(name):
            return f"it may be {' or '.join(gpu.name for gpu in candidates)}"
        close = nearest(name.upper(), [n for gpu in self.gpus for n in gpu.names])
        return close if close.startswith("did") else "valid: " + ", ".join(gpu.name for gpu in self.gpus)

    def candidates(self, name: str) -> list[Gpu]:
        """All GPUs whose names have all parts of that name."""
        parts = name_parts(name)
        return [gpu for gpu in self.gpus if parts and any(parts <= names for names in _all_parts(gpu))]

    def assumption(self, name: str) -> str | None:
        """What was assumed to find a GPU by that name, in words; None if nothing was."""
        gpu = self.find(name)
        if gpu is None or name_parts(name) not in map(name_parts, gpu.assumed_for):
            return None
        others = ", ".join(other.name for other in self.candidates(name) if other is not gpu)
        return f"{name} is taken for {gpu.name}" + (f", not {others}" if others else "")


def _all_parts(gpu: Gpu) -> list[frozenset[str]]:
    """The parts of all its names, with and without the size of its memory."""
    parts = [name_parts(name) for name in gpu.names]
    return parts + [each | {f"{gpu.nominal_memory_gib:g}"} for each in parts]


def canonical_gpu_name(name: str) -> str:
    """One spelling for all aliases of a shipped GPU; other names lose only their case and blanks."""
    gpu = load_hardware().find(name)
    return gpu.name if gpu else plain_name(name)


def load_hardware(path: Path | None = None) -> Hardware:
    """Read a hardware file; the shipped one if no path is given.

    Raises:
        ConfigError: if the file, or a figure in it, is missing, malformed or impossible.
    """
    return _read_hardware(path) if path is not None else _shipped_hardware()


@cache
def _shipped_hardware() -> Hardware:
    return _read_hardware(data_path("hardware_config.json"))


def _read_hardware(path: Path) -> Hardware:
    root = read_json(path)
    gpus = tuple(_read_gpu(name, root.section(name)) for name in root.names())
    if not gpus:
        raise ConfigError(f"{root.source}: must describe at least one GPU")
    names: dict[str, str] = {}
    for gpu in gpus:
        for name in gpu.names:
            other = names.setdefault(plain_name(name), gpu.name)
            if other != gpu.name:
                raise ConfigError(f"{root.source}: {gpu.name}.aliases: {name!r} already names {other}")
    return Hardware(root.source, gpus)


def _read_gpu(name: str, entry: Section) -> Gpu:
    entry.require(f.name for f in fields(Gpu) if f.name not in ("name", "aliases", "sources", *_OPTIONAL))
    gpu = Gpu(
        name=name,
        aliases=entry.texts("aliases"),
        status=cast(Status, entry.text("status", valid=("measured", "prior"))),
        peak_16bit_tflops=_positive(entry, "peak_16bit_tflops"),
        peak_8bit_tflops=_positive(entry, "peak_8bit_tflops"),
        types_8bit=_read_types(entry),
        memory_bandwidth_gb_per_s=_positive(entry, "memory_bandwidth_gb_per_s"),
        nominal_memory_gib=_positive(entry, "nominal_memory_gib"),
        visible_memory_gib=_positive(entry, "visible_memory_gib"),
        num_sms=entry.integer("num_sms", least=1),
        link_gb_per_s=_positive(entry, "link_gb_per_s"),
        efficiency=_read_efficiency(entry.section("efficiency")),
        prefill_extra_context_tokens=entry.number("prefill_extra_context_tokens"),
        all_reduce=_read_all_reduce(entry.section("all_reduce")),
        host_factor=_positive(entry, "host_factor"),
        host_profiles=_read_host_profiles(entry.section("host_profiles")),
        sources=_read_sources(entry),
        assumed_for=entry.texts("assumed_for"),
        peak_int8_tops=_positive_if_any(entry, "peak_int8_tops"),
        peak_fp4_tflops=_positive_if_any(entry, "peak_fp4_tflops"),
        link_domain_gpus=entry.integer("link_domain_gpus", least=1) if entry.has("link_domain_gpus") else None,
        pcie_generation=entry.integer("pcie_generation", least=1) if entry.has("pcie_generation") else None,
        network_gb_per_s=_positive_if_any(entry, "network_gb_per_s"),
        mixed_step_penalty=entry.number("mixed_step_penalty", Gpu.mixed_step_penalty),
        front_end=read_front_end(entry.section("front_end"), name) if entry.has("front_end") else None,
    )
    entry.finish()
    _check_physics(gpu, entry)
    return gpu


def _positive(section: Section, key: str, *, most: float = float("inf")) -> float:
    value = section.number(key, most=most)
    if value == 0:
        section.fail(key, "must be above 0, got 0")
    return value


def _positive_if_any(section: Section, key: str) -> float | None:
    return _positive(section, key) if section.has(key) else None


def _read_types(entry: Section) -> tuple[Type8Bit, ...]:
    types = entry.texts("types_8bit")
    for i, name in enumerate(types):
        if name not in ("fp8", "int8"):
            entry.fail(f"types_8bit[{i}]", f"unknown value {name!r}; valid: fp8, int8")
    return cast(tuple[Type8Bit, ...], types)


def _read_efficiency(section: Section) -> Efficiency:
    efficiency = Efficiency(**{f.name: _positive(section, f.name, most=1.0) for f in fields(Efficiency)})
    section.finish()
    return efficiency


def _read_all_reduce(section: Section) -> dict[int, AllReduce]:
    result = {}
    for key in section.names():
        if not key.isdecimal() or int(key) < 2:
            section.fail(key, "must be a number of GPUs >= 2")
        cost = section.section(key)
        result[int(key)] = AllReduce(cost.number("latency_us"), _positive(cost, "rate_gb_per_s"))
        cost.finish()
    return result


def _read_host_profiles(section: Section) -> dict[HostProfileName, HostProfile]:
    """A file of a user's own may say nothing of ``asynchronous`` hosts; these are as ``full`` ones then."""
    result: dict[HostProfileName, HostProfile] = {}
    for name in get_args(HostProfileName):
        profile = section.section(name if section.has(name) or name != "asynchronous" else "full")
        result[name] = HostProfile(**{f.name: profile.number(f.name) for f in fields(HostProfile)})
        profile.finish()
    section.finish()
    return result


def _read_sources(entry: Section) -> dict[str, str]:
    if not entry.has("sources"):
        return {}
    section = entry.section("sources")
    return {key: section.text(key) for key in section.names()}


def _check_physics(gpu: Gpu, entry: Section) -> None:
    """Refuse figures that no hardware can have."""
    if gpu.visible_memory_gib > gpu.nominal_memory_gib:
        entry.fail("visible_memory_gib", f"must be <= nominal_memory_gib, got {gpu.visible_memory_gib:g}")
    for num_gpus, cost in gpu.all_reduce.items():
        if cost.rate_gb_per_s > gpu.link_gb_per_s:
            entry.fail(f"all_reduce.{num_gpus}.rate_gb_per_s", f"must be <= link_gb_per_s, got {cost.rate_gb_per_s:g}")
