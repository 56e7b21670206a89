"""What can be said about a simulation, as frozen dataclasses.

`Deployment` and `EngineOptions` hold what a user *asked for* (None: not said). `EngineConfig` is what the
engine *gets*: every value decided. `blis.config.resolve` leads from one to the other and says what it chose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from blis.config.front_end import FrontEnd
from blis.errors import CombinationError, ConfigError, nearest
from blis.files.shown import Brief

SchedulingPolicy = Literal["fcfs", "priority"]
Scheduler = Literal["fcfs", "priority-fcfs", "sjf", "reverse-priority"]
#: vLLM's names of types of cached keys and values, and ``bf16`` for short.
KvCacheDtype = Literal["auto", "bf16", "bfloat16", "fp8", "fp8_e4m3", "fp8_e5m2"]

#: Built-in names where a function of the user's own may stand, too.
LATENCY_MODELS = ("blackbox", "roofline")
#: What a 16-bit checkpoint can be made into while it is loaded (`blis.config.model.precision`).
QUANTIZATIONS = ("fp8", "mxfp8", "bitsandbytes", "experts_int8")
PRIORITY_POLICIES = ("constant", "slo-based", "inverted-slo")
ADMISSION_POLICIES = ("always-admit", "token-bucket", "reject-all")
ROUTING_POLICIES = ("round-robin", "least-loaded", "weighted", "prefix-affinity", "always-busiest")
#: Workloads of the defaults file, and all kinds that there are.
PRESETS = ("chatbot", "summarization", "contentgen", "multidoc")
WORKLOADS = ("distribution", *PRESETS, "traces")
#: What ``weighted`` routing can add up.
SCORERS = (
    "active-requests",
    "kv-utilization",
    "load-balance",
    "precise-prefix-cache",
    "prefix-affinity",
    "queue-depth",
)

#: How messages and helps write the name of a user's own function.
FUNCTION_FORM = "file.py:function"
#: The upper bound of times: far from overflow, 35 years.
MAX_TIME_US = 2**50
#: That of times which the engine loop takes for a step.
MAX_LOOP_US = 2**40


def is_function_name(name: str) -> bool:
    """Whether a name is of the form ``module:function`` or ``path/file.py:function``."""
    return ":" in name


def check_policy_name(field: str, name: str, built_in: Iterable[str]) -> None:
    """Refuse a name that is neither built in nor that of a function; whether the function exists is not looked at.

    Raises:
        ConfigError: beginning with the field's name.
    """
    if not isinstance(name, str):
        raise ConfigError(f"{field}: expected a name ({', '.join((*built_in, FUNCTION_FORM))}), got {name!r:.80}")
    if not is_function_name(name) and name not in (valid := tuple(built_in)):
        raise ConfigError(f"{field}: unknown name {name!r}; {nearest(name, (*valid, FUNCTION_FORM))}")


@runtime_checkable
class StepTimeModel(Protocol):
    """A model of time that is complete (`blis.latency.law.LatencyModel`), as fits find them (`blis.Fit.model`)."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def alpha(self) -> tuple[float, float, float]:
        """Its queueing coefficients."""

    @property
    def parameters(self) -> Any:
        """Those of its law."""


def is_own_law(latency_model: object) -> bool:
    """Whether a step-time function of the user's own is asked for: the function, or its name."""
    return is_function_name(latency_model) if isinstance(latency_model, str) else callable(latency_model)


@dataclass(frozen=True, repr=False)
class Deployment(Brief):
    """Which model runs on what, as asked for.

    Attributes:
        model: HuggingFace id; upper and lower case are alike.
        hardware: GPU name (``H100``, ``A100-80``, …).
        tp: tensor parallelism degree.
        vllm_version: ``vllm/vllm-openai:v0.8.4``, ``v0.8.4`` or ``0.8.4``.
        latency_model: forces ``blackbox`` or ``roofline``; or a step-time function of the user's own
            (`blis.step_time`), itself or its name; or what a fit has found (`blis.Fit.model`).
        alpha_coeffs: three queueing coefficients (µs, µs per prompt token, µs per output token).
        beta_coeffs: three to five step-time coefficients (see docs/approach.md).
        front_end: what stands before the engine where coefficients don't say so: ``none``, ``vllm``, a YAML file, or a
            `blis.FrontEnd`; None: with the roofline the hardware file's, else ``vllm``, and ``none`` with laws of the
            user's own.
        model_config_folder: folder holding the model's HuggingFace ``config.json``.
        assume_dense_transformer: take a model of a family that is not known for a plain dense one, and say so.
        hardware_config: a hardware file of the user's own.
        defaults_filepath: a defaults file of the user's own.
        total_kv_blocks: vLLM's ``num_gpu_blocks``, the reserved block included.
        gpu_memory_utilization: share of the GPU's memory that vLLM may use; None: what the engine takes by itself.
        kv_cache_dtype: type of cached keys and values; ``auto``: what the checkpoint asks for, else 16 bit.
        quantization: how vLLM quantises a checkpoint of 16 bit while it loads it (`blis.config.model.precision`).
        activation_gib: memory for activations of the whole TP group instead of the derived figure.
    """

    model: str
    hardware: str | None = None
    tp: int | None = None
    vllm_version: str | None = None
    latency_model: str | Callable[..., Any] | StepTimeModel | None = None
    alpha_coeffs: tuple[float, ...] | None = None
    beta_coeffs: tuple[float, ...] | None = None
    front_end: str | Path | FrontEnd | None = None
    model_config_folder: Path | None = None
    assume_dense_transformer: bool = False
    hardware_config: Path | None = None
    defaults_filepath: Path | None = None
    total_kv_blocks: int | None = None
    gpu_memory_utilization: float | None = None
    kv_cache_dtype: KvCacheDtype = "auto"
    quantization: str | None = None
    activation_gib: float | None = None

    def __post_init__(self) -> None:
        for name in ("alpha_coeffs", "beta_coeffs"):
            if getattr(self, name) is not None:  # lists and arrays, too, by which nothing could be kept
                object.__setattr__(self, name, tuple(getattr(self, name)))


@dataclass(frozen=True, repr=False)
class EngineOptions(Brief):
    """vLLM server parameters, as asked for. None: what the engine does by itself
    (`blis.config.engine_defaults`) or the vLLM version's scheduler profile says.

    The fields mean what they mean in `EngineConfig`; ``yield_us`` that is not given is vLLM's 1,000 with asynchronous
    scheduling, else 0. With ``allow_unservable`` settings are simulated which vLLM itself refuses when it starts
    (docs/commands.md).
    """

    max_num_running_reqs: int | None = None
    max_num_scheduled_tokens: int | None = None
    block_size_tokens: int = 16
    long_prefill_token_threshold: int = 0
    max_model_len: int | None = None
    enable_prefix_caching: bool = True
    scheduling_policy: SchedulingPolicy = "fcfs"
    scheduler: Scheduler = "fcfs"
    priority_policy: str = "constant"
    preallocated_tokens: int | None = None
    free_keyless_blocks_first: bool | None = None
    threshold_spares_lone_request: bool | None = None
    refuse_prompt_of_max_model_len: bool | None = None
    reserve_full_prompt: bool | None = None
    kv_watermark: float | None = None
    async_scheduling: bool | None = None
    schedule_us: int = 0
    yield_us: int | None = None
    allow_unservable: bool = False

    def __post_init__(self) -> None:
        _check_order(self)


@dataclass(frozen=True, repr=False)
class EngineConfig(Brief):
    """Everything the scheduler and the KV cache of one instance need to know. Checked when made.

    Attributes:
        total_kv_blocks: vLLM's ``num_gpu_blocks``; one of them is reserved, the rest is usable.
        block_size_tokens: tokens per KV block.
        max_num_running_reqs: vLLM's ``max_num_seqs``.
        max_num_scheduled_tokens: vLLM's ``max_num_batched_tokens``, new tokens per step.
        long_prefill_token_threshold: longest chunk of one prompt in one step; 0: no limit.
        max_model_len: input + output tokens a request may reach; None: not enforced.
        enable_prefix_caching: whether full blocks can be found by their content.
        scheduling_policy: vLLM's own: ``fcfs`` or ``priority``.
        scheduler: orders the waiting queue only: ``fcfs``, ``priority-fcfs``, ``sjf`` or ``reverse-priority``.
        priority_policy: what the two by priority go by: ``constant``, ``slo-based``, ``inverted-slo`` or a function
            of the user's own.
        preallocated_tokens: tokens' worth of blocks taken beyond need (64 up to vLLM 0.8.4).
        free_keyless_blocks_first: released blocks without content key go to the front of the free list (0.19 on).
        threshold_spares_lone_request: the long-prefill threshold is ignored while only one request exists (0.19 on).
        refuse_prompt_of_max_model_len: a prompt of exactly ``max_model_len`` is refused (0.19 on) instead of
            being given one output token.
        reserve_full_prompt: admit a request only if all its known tokens would fit now (0.19 on).
        kv_watermark: share of ``total_kv_blocks`` that admissions leave free while something runs.
        async_scheduling: plan the next step while the last one runs, without knowing its result.
        schedule_us: CPU time of planning a step; hidden behind the running step by ``async_scheduling``.
        yield_us: pause of vLLM's engine loop after a round that planned no tokens though there is work.
    """

    total_kv_blocks: int
    block_size_tokens: int = 16
    max_num_running_reqs: int = 256
    max_num_scheduled_tokens: int = 2048
    long_prefill_token_threshold: int = 0
    max_model_len: int | None = None
    enable_prefix_caching: bool = True
    scheduling_policy: SchedulingPolicy = "fcfs"
    scheduler: Scheduler = "fcfs"
    priority_policy: str = "constant"
    preallocated_tokens: int = 0
    free_keyless_blocks_first: bool = False
    threshold_spares_lone_request: bool = False
    refuse_prompt_of_max_model_len: bool = False
    reserve_full_prompt: bool = False
    kv_watermark: float = 0.0
    async_scheduling: bool = False
    schedule_us: int = 0
    yield_us: int = 0

    @property
    def runs_loop(self) -> bool:
        """Whether the engine loop makes a difference: else every step begins when the one before is over."""
        return self.async_scheduling or self.schedule_us > 0 or self.yield_us > 0

    def __post_init__(self) -> None:
        # the upper bounds keep the engine's arrays and sums in range; no server comes near them
        bounds = {
            "total_kv_blocks": (2, 2**27),
            "block_size_tokens": (1, 2**20),
            "max_num_running_reqs": (1, 2**31),
            "max_num_scheduled_tokens": (1, 2**40),
            "long_prefill_token_threshold": (0, 2**40),
            "max_model_len": (1, 2**40),
            "preallocated_tokens": (0, 2**20),
            "schedule_us": (0, MAX_LOOP_US),
            "yield_us": (0, MAX_LOOP_US),
        }
        _check_bounds(self, bounds, optional=("max_model_len",))
        if not 0.0 <= self.kv_watermark < 1.0:
            raise ConfigError(f"kv_watermark: must be in [0, 1), got {self.kv_watermark}")
        _check_order(self)


def _check_bounds(options: Any, bounds: Mapping[str, tuple[int, int]], optional: tuple[str, ...] = ()) -> None:
    """Refuse what is no whole number, or beyond its bounds; None only where it is optional."""
    for name, (least, most) in bounds.items():
        value: Any = getattr(options, name)
        if value is None and name in optional:
            continue
        if not hasattr(value, "__index__"):  # numpy's are whole, too
            raise ConfigError(f"{name}: must be a whole number, got {value!r:.80}")
        if not least <= value <= most:
            raise ConfigError(f"{name}: must be in [{least}, {most}], got {value}")


def _check_order(options: EngineOptions | EngineConfig) -> None:
    """Refuse unknown names of what orders the requests, and orders that exclude each other."""
    names = {"scheduling_policy": get_args(SchedulingPolicy), "scheduler": get_args(Scheduler)}
    for name, valid in names.items():
        value = getattr(options, name)
        if value not in valid:
            raise ConfigError(f"{name}: unknown name {value!r}; {nearest(str(value), valid)}")
    check_policy_name("priority_policy", options.priority_policy, PRIORITY_POLICIES)
    if options.scheduling_policy == "priority" and options.scheduler != "fcfs":
        raise CombinationError(
            f"scheduler: {options.scheduler} and vLLM's own scheduling_policy priority exclude each other"
        )


@dataclass(frozen=True, repr=False)
class ClusterOptions(Brief):
    """How many instances, and who decides what about them. Checked when made.

    A policy is a name of a built-in one, or ``module:function`` or ``file.py:function``.

    Attributes:
        num_instances: identical instances.
        admission_policy: ``always-admit``, ``token-bucket``, ``reject-all`` or the user's own.
        admission_latency_us: from arrival to the admission decision.
        token_bucket_capacity: prompt tokens the bucket holds when full; it begins full.
        token_bucket_refill_rate: prompt tokens per second.
        routing_policy: ``round-robin``, ``least-loaded``, ``weighted``, ``prefix-affinity``, ``always-busiest`` or
            the user's own.
        routing_latency_us: from admission to the routing decision.
        routing_cache_weight: of free KV memory, ``weighted`` only; weights are divided by their sum.
        routing_load_weight: of a short queue and a small batch, ``weighted`` only.
        routing_scorers: (scorer, weight) pairs in place of these two weights, each of `SCORERS` at most once.
        prefix_table_entries: blocks that the router's own table of prefixes remembers.
        queue_depth_refresh_us: the router sees queue depths this old at most; 0: as they are.
        batch_size_refresh_us: likewise batch sizes.
        kv_refresh_us: likewise what concerns KV blocks.
    """

    num_instances: int = 1
    admission_policy: str = "always-admit"
    admission_latency_us: int = 0
    token_bucket_capacity: float = 10_000.0
    token_bucket_refill_rate: float = 1_000.0
    routing_policy: str = "round-robin"
    routing_latency_us: int = 0
    routing_cache_weight: float = 0.6
    routing_load_weight: float = 0.4
    routing_scorers: tuple[tuple[str, float], ...] | None = None
    prefix_table_entries: int = 2**20
    queue_depth_refresh_us: int = 0
    batch_size_refresh_us: int = 0
    kv_refresh_us: int = 0

    def __post_init__(self) -> None:
        bounds = {
            "num_instances": (1, 2**16),
            "admission_latency_us": (0, MAX_TIME_US),
            "routing_latency_us": (0, MAX_TIME_US),
            "prefix_table_entries": (1, 2**31 - 1),
            "queue_depth_refresh_us": (0, MAX_TIME_US),
            "batch_size_refresh_us": (0, MAX_TIME_US),
            "kv_refresh_us": (0, MAX_TIME_US),
        }
        _check_bounds(self, bounds)
        _check_finite(self, "token_bucket_capacity", "token_bucket_refill_rate")
        _check_finite(self, "routing_cache_weight", "routing_load_weight")
        if not 0.0 < self.routing_cache_weight + self.routing_load_weight < math.inf:
            raise ConfigError(
                "routing_cache_weight: must add up to a finite number > 0 together with routing_load_weight, "
                f"got {self.routing_cache_weight:g} and {self.routing_load_weight:g}"
            )
        if self.routing_scorers is not None:
            _check_scorers(self.routing_scorers)
        check_policy_name("admission_policy", self.admission_policy, ADMISSION_POLICIES)
        check_policy_name("routing_policy", self.routing_policy, ROUTING_POLICIES)


@dataclass(frozen=True, repr=False)
class TraceOptions(Brief):
    """What to record of the decisions about requests. Checked when made.

    Attributes:
        counterfactual_k: instances to record per decision, the best ones; 0: all, and no regret.
        regret_samples: routing decisions to simulate again with the best other instance.
        path: Parquet file that gets one row per decision.
    """

    counterfactual_k: int = 0
    regret_samples: int = 0
    path: Path | None = None

    def __post_init__(self) -> None:
        for name in ("counterfactual_k", "regret_samples"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}: must be >= 0, got {getattr(self, name)}")


def _check_finite(options: ClusterOptions, *names: str) -> None:
    for name in names:
        value = getattr(options, name)
        if not 0.0 <= value < math.inf:
            raise ConfigError(f"{name}: must be a finite number >= 0, got {value}")


def _check_scorers(scorers: tuple[tuple[str, float], ...]) -> None:
    names = [name for name, _ in scorers]
    for name, weight in scorers:
        if name not in SCORERS:
            raise ConfigError(f"routing_scorers: unknown scorer {name!r}; {nearest(name, SCORERS)}")
        if names.count(name) > 1:
            raise ConfigError(f"routing_scorers: {name} is given twice; each scorer takes one weight")
        if not 0.0 <= weight < math.inf:
            raise ConfigError(f"routing_scorers: weight of {name} must be a finite number >= 0, got {weight}")
    total = sum(weight for _, weight in scorers)
    if not 0.0 < total < math.inf:
        raise ConfigError(f"routing_scorers: weights must add up to a finite number > 0, got {total:g}")
