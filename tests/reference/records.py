"""What the reference engine takes and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RefRequest:
    """One request with its literal content.

    Attributes:
        id: unique; breaks ties under the priority policy, compared as text.
        arrival_us: when it reaches the front end.
        prompt: token ids, at least one.
        output: token ids it will generate; empty: it is done when its prompt is.
        priority: smaller is more urgent; read under the priority policy only.
    """

    id: str
    arrival_us: int
    prompt: tuple[int, ...]
    output: tuple[int, ...]
    priority: int = 0


@dataclass(frozen=True)
class BatchAggregates:
    """What a law of step time may look at; same names and order as the engine's own laws.

    Prefill i has p_i tokens in the cache before the step and gets n_i new ones; decode j has c_j.
    """

    prefill_tokens: int  # sum of n_i
    num_decodes: int
    decode_context_tokens: int  # sum of c_j
    attention_pairs: int  # sum of n_i * p_i + n_i * (n_i + 1) / 2
    prefill_context_tokens: int  # sum of p_i + n_i
    num_prefills: int
    max_prefill_context_tokens: int  # max of p_i + n_i, 0 without prefills


@dataclass(frozen=True)
class RefConfig:
    """One instance. Fields up to ``kv_watermark`` mean what they mean in the engine's configuration.

    Attributes:
        step_time: whole µs of a step that runs tokens; the engine raises it to at least 1.
        alpha: a request is visible to the scheduler ``trunc(alpha[0] + alpha[1] * prompt)`` µs after its
            arrival. ``alpha[2]`` is a client-side cost and touches nothing here.
        horizon_us: nothing happens after this moment; None: run until all is done.
        last_prompt_token_is_decode: a lone last prompt token counts as a decode, not as a prefill.
    """

    total_kv_blocks: int
    step_time: Callable[[BatchAggregates], int]
    block_size_tokens: int = 16
    max_num_running_reqs: int = 256
    max_num_scheduled_tokens: int = 2048
    long_prefill_token_threshold: int = 0
    max_model_len: int | None = None
    enable_prefix_caching: bool = True
    scheduling_policy: str = "fcfs"
    scheduler: str = "fcfs"
    priority_policy: str = "constant"
    preallocated_tokens: int = 0
    free_keyless_blocks_first: bool = False
    threshold_spares_lone_request: bool = False
    refuse_prompt_of_max_model_len: bool = False
    reserve_full_prompt: bool = False
    kv_watermark: float = 0.0
    alpha: tuple[float, float, float] = (0.0, 0.0, 0.0)
    horizon_us: int | None = None
    last_prompt_token_is_decode: bool = False


@dataclass(frozen=True)
class RefStep:
    """One step that scheduled or preempted something.

    Attributes:
        t: its start, µs.
        dt: its duration, µs; 0 if it scheduled nothing.
        sched: (id, tokens) in scheduling order.
        new: requests admitted for the first time -> tokens found in the prefix cache.
        resumed: requests admitted again after a preemption -> tokens found in the prefix cache.
        preempted: ids in order.
        finished: ids in order; empty if the horizon comes before the end of the step.
        pre_tok: tokens that count as prefill.
        dec: requests that count as decoding.
        free: free blocks after scheduling (cached idle ones included).
        free_end: free blocks after the finished requests left.
        hashed: blocks that hold a content key at the end of the step.
        run: running requests at the end of the step.
        wait: waiting requests at the end of the step; those that became visible meanwhile not included.
    """

    t: int
    dt: int
    sched: list[tuple[str, int]]
    new: dict[str, int]
    resumed: dict[str, int]
    preempted: list[str]
    finished: list[str]
    pre_tok: int
    dec: int
    free: int
    free_end: int
    hashed: int
    run: int
    wait: int


@dataclass
class RefOutcome:
    """What became of one request. Times in µs, None where it never happened; none contains ``alpha[2]``.

    Attributes:
        status: completed, running, waiting, not_arrived, refused_too_long or refused_never_fits.
        cached_first: prompt tokens found in the prefix cache at the first admission.
        n_preemptions: how often it lost its blocks.
        n_out: output tokens it got.
        itls: gaps between consecutive output tokens.
    """

    status: str = "waiting"
    visible_us: int | None = None
    first_scheduled_us: int | None = None
    first_token_us: int | None = None
    finish_us: int | None = None
    cached_first: int = 0
    n_preemptions: int = 0
    n_out: int = 0
    itls: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class RefResult:
    """One whole run.

    Attributes:
        steps: every step that scheduled or preempted something, in order.
        requests: id -> outcome, in the order of the input.
        end_us: the horizon if it cut anything off, else the end of the last step (0 without steps).
        min_free_blocks: fewest free blocks seen after scheduling a step.
    """

    steps: list[RefStep]
    requests: dict[str, RefOutcome]
    end_us: int
    min_free_blocks: int
