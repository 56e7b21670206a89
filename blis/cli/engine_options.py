"""The flags of a vLLM server; `blis.cli.options` has those of everything around it."""

from __future__ import annotations

from typing import get_args

from blis.cli.flags import all_of, under
from blis.cli.values import one_of
from blis.config.schema import QUANTIZATIONS, Deployment, EngineOptions, KvCacheDtype

_engine = under("Engine (vLLM server parameters)")

_PROFILE = "  [default: as the vLLM version does]"
_BY_ITSELF = "  [default: as vLLM does on the GPU]"

#: What `blis memory` takes, too.
GPU_MEMORY_UTILIZATION = _engine(
    "--gpu-memory-utilization", type=float, help="Share of the GPU memory vLLM may use." + _BY_ITSELF
)
KV_CACHE_DTYPE = _engine(
    "--kv-cache-dtype",
    **one_of(*get_args(KvCacheDtype)),
    default=Deployment.kv_cache_dtype,
    help="Type of cached keys and values; auto: as the checkpoint says.",
)
QUANTIZATION = _engine(
    "--quantization", **one_of(*QUANTIZATIONS), help="Quantise a 16-bit checkpoint so while loading it."
)
ACTIVATION_GIB = _engine(
    "--activation-gib", type=float, help="Memory for activations, all GPUs together.  [default: derived]"
)
MAX_NUM_RUNNING_REQS = _engine(
    "--max-num-running-reqs",
    "--max-num-seqs",
    "max_num_running_reqs",
    type=int,
    help="Most requests in the running batch." + _BY_ITSELF,
)
MAX_NUM_SCHEDULED_TOKENS = _engine(
    "--max-num-scheduled-tokens",
    "--max-num-batched-tokens",
    "max_num_scheduled_tokens",
    type=int,
    help="Most new tokens per step." + _BY_ITSELF,
)
BLOCK_SIZE = _engine(
    "--block-size-in-tokens",
    "block_size_tokens",
    type=int,
    default=EngineOptions.block_size_tokens,
    help="Tokens per KV cache block.",
)
PREFIX_CACHING = _engine(
    "--enable-prefix-caching/--no-enable-prefix-caching",
    default=EngineOptions.enable_prefix_caching,
    help="Reuse KV blocks of equal prefixes.",
)

engine_options = all_of(
    _engine("--total-kv-blocks", type=int, help="KV cache blocks (num_gpu_blocks).  [default: derived]"),
    GPU_MEMORY_UTILIZATION,
    KV_CACHE_DTYPE,
    QUANTIZATION,
    ACTIVATION_GIB,
    MAX_NUM_RUNNING_REQS,
    MAX_NUM_SCHEDULED_TOKENS,
    BLOCK_SIZE,
    _engine(
        "--long-prefill-token-threshold",
        type=int,
        default=EngineOptions.long_prefill_token_threshold,
        help="Longest chunk of one prompt per step; 0: no limit.",
    ),
    _engine("--max-model-len", type=int, help="Most input + output tokens of a request.  [default: not enforced]"),
    PREFIX_CACHING,
    _engine(
        "--scheduling-policy",
        **one_of("fcfs", "priority"),
        default=EngineOptions.scheduling_policy,
        help="vLLM's own scheduling policy.",
    ),
    _engine("--preallocated-tokens", type=int, help="Tokens' worth of blocks taken beyond need." + _PROFILE),
    _engine(
        "--reserve-full-prompt/--no-reserve-full-prompt",
        default=None,
        help="Admit a request only if all its known tokens fit now." + _PROFILE,
    ),
    _engine("--kv-watermark", type=float, help="Share of the blocks admissions leave free." + _PROFILE),
    _engine(
        "--free-keyless-blocks-first/--no-free-keyless-blocks-first",
        default=None,
        help="Reuse released blocks without content key first." + _PROFILE,
    ),
    _engine(
        "--threshold-spares-lone-request/--no-threshold-spares-lone-request",
        default=None,
        help="Ignore the long-prefill threshold while only one request exists." + _PROFILE,
    ),
    _engine(
        "--refuse-prompt-of-max-model-len/--no-refuse-prompt-of-max-model-len",
        default=None,
        help="Refuse a prompt of exactly --max-model-len." + _PROFILE,
    ),
    _engine(
        "--async-scheduling/--no-async-scheduling",
        default=None,
        help="Plan each step while the one before runs." + _PROFILE,
    ),
    _engine(
        "--schedule-us",
        type=int,
        default=EngineOptions.schedule_us,
        help="CPU time of a plan, µs; hidden by asynchronous scheduling.",
    ),
    _engine(
        "--yield-us",
        type=int,
        help="Pause after a round that planned no tokens, µs.  [default: 1000 with asynchronous scheduling, else 0]",
    ),
    _engine(
        "--allow-unservable",
        is_flag=True,
        default=EngineOptions.allow_unservable,
        show_default=False,
        help="Simulate settings that vLLM refuses when it starts.",
    ),
)
