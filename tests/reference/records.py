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
        max_tokens: the client's own cap; if ``output`` is shorter, its last token is a stop token, which
            nobody foresees. None: it is the length of ``output``.
        after: position of the request it waits for; it arrives ``think_us`` after that one's last token has reached
            the client. -1: it arrives at ``arrival_us``. Clusters only.
        think_us: see above.
        begins: whether it is sent also if the one it waits for was turned away.
    """

    id: str
    arrival_us: int
    prompt: tuple[int, ...]
    output: tuple[int, ...]
    priority: int = 0
    after: int = -1
    think_us: int = 0
    begins: bool = False
    max_tokens: int | None = None


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
    """One instance. Fields up to ``yield_us`` mean what they mean in the engine's configuration.

    Attributes:
        step_time: whole µs of a step that runs tokens; the engine raises it to at least 1.
        alpha: a request is visible to the scheduler ``trunc(alpha[0] + alpha[1] * prompt)`` µs after its
            arrival. ``alpha[2]`` is a client-side cost and touches nothing here.
        intake_us: time of the API server that a request takes before it is visible, after ``alpha``; 0: none.
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
    async_scheduling: bool = False
    schedule_us: int = 0
    yield_us: int = 0
    alpha: tuple[float, float, float] = (0.0, 0.0, 0.0)
    intake_us: int = 0
    horizon_us: int | None = None
    last_prompt_token_is_decode: bool = False


@dataclass(frozen=True)
class RefStep:
    """One step that scheduled or preempted something.

    Attributes:
        t: its start on the GPU, µs.
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
        wait: waiting requests at the end of the step; those that became visible since the last plan not included.
        plan: when it was planned, µs.
        seen: when its result was seen, µs; None: the horizon came before.
        left_waiting: waiting requests right after it was planned.
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
    plan: int
    seen: int | None
    left_waiting: int


@dataclass
class RefOutcome:
    """What became of one request. Times in µs, None where it never happened; none contains ``alpha[2]``.

    Attributes:
        first_scheduled_us: when the first step that gave it tokens was planned.
        first_started_us: when the GPU began with that step.
        status: completed, running, waiting, not_arrived, rejected (by the admission policy of a cluster),
            refused_too_long or refused_never_fits.
        cached_first: prompt tokens found in the prefix cache at the first admission.
        n_preemptions: how often it lost its blocks.
        n_out: output tokens it got.
        itls: gaps between consecutive output tokens.
        arrival_us: when it really arrived; told by clusters only, and not compared.
        instance: where the router of a cluster sent it; None: nowhere, or there is no router.
    """

    status: str = "waiting"
    visible_us: int | None = None
    first_scheduled_us: int | None = None
    first_started_us: int | None = None
    first_token_us: int | None = None
    finish_us: int | None = None
    cached_first: int = 0
    n_preemptions: int = 0
    n_out: int = 0
    itls: list[int] = field(default_factory=list)
    instance: int | None = None
    arrival_us: int | None = field(default=None, compare=False)


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


@dataclass(frozen=True)
class RefClusterConfig:
    """Equal instances behind an admission policy and a router.

    Attributes:
        instance: every instance; its horizon is the cluster's.
        admission_policy: always-admit, token-bucket or reject-all.
        admission_latency_us: between a request's arrival and its admission.
        token_bucket_capacity: prompt tokens the bucket holds; it is full at first.
        token_bucket_refill_rate: prompt tokens per second.
        routing_policy: round-robin, least-loaded, always-busiest, prefix-affinity or weighted.
        routing_latency_us: between a request's admission and its routing.
        routing_scorers: (name, weight) of what the weighted policy adds up, in this order.
        prefix_table_entries: blocks the router remembers at most.
        queue_depth_refresh_us: how old the queue depths that policies see may become; 0: they are live.
        batch_size_refresh_us: the same for the batch sizes.
        kv_refresh_us: the same for what is told of the KV blocks and for the contents of the prefix caches.
        forced: request id -> the instance it is sent to, whatever the policy says. The policy still runs.
    """

    instance: RefConfig
    num_instances: int = 1
    admission_policy: str = "always-admit"
    admission_latency_us: int = 0
    token_bucket_capacity: float = 10_000.0
    token_bucket_refill_rate: float = 1_000.0
    routing_policy: str = "round-robin"
    routing_latency_us: int = 0
    routing_scorers: tuple[tuple[str, float], ...] = (("kv-utilization", 0.6), ("load-balance", 0.4))
    prefix_table_entries: int = 2**20
    queue_depth_refresh_us: int = 0
    batch_size_refresh_us: int = 0
    kv_refresh_us: int = 0
    forced: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RefSnapshot:
    """One instance the way a policy sees it.

    Attributes:
        queue_depth: waiting requests.
        batch_size: running requests.
        pending: requests routed there which its scheduler does not see yet.
        free_blocks: free KV blocks (cached idle ones included).
        kv_utilization: referenced blocks / usable blocks.
        cache_hit_rate: cached tokens / known tokens of all admissions into the batch so far, 0 before the first.
        prefix_blocks: leading full blocks of the prompt up to the deepest that the router last sent there;
            0 if the policy does not look at it.
        cached_blocks: leading full blocks of the prompt that are in its prefix cache; 0 likewise.
    """

    queue_depth: int
    batch_size: int
    pending: int
    free_blocks: int
    kv_utilization: float
    cache_hit_rate: float
    prefix_blocks: int = 0
    cached_blocks: int = 0


@dataclass(frozen=True)
class RefAdmission:
    """One decision of the admission policy; ``seen`` has one snapshot per instance."""

    id: str
    clock_us: int
    admitted: bool
    seen: list[RefSnapshot]


@dataclass(frozen=True)
class RefRouting:
    """One decision of the router.

    Attributes:
        id: the request.
        clock_us: when.
        target: the instance it went to, forced or not.
        scores: per instance, the higher the better; None if the policy does not score.
        seen: one snapshot per instance.
    """

    id: str
    clock_us: int
    target: int
    scores: list[float] | None
    seen: list[RefSnapshot]


@dataclass(frozen=True)
class RefInstanceResult:
    """One instance of a cluster.

    Attributes:
        steps: every step that scheduled or preempted something, in order.
        min_free_blocks: fewest free blocks seen after scheduling a step.
        queue_length_sum: waiting requests right after scheduling, over all steps that gave tokens.
    """

    steps: list[RefStep]
    min_free_blocks: int
    queue_length_sum: int


@dataclass(frozen=True)
class RefClusterResult:
    """One whole run of a cluster.

    Attributes:
        admissions: in the order in which they were decided.
        routings: likewise.
        requests: id -> outcome, in the order of the input.
        end_us: the horizon if it cut anything off, else the end of the last step anywhere (0 without steps).
        instances: by index.
    """

    admissions: list[RefAdmission]
    routings: list[RefRouting]
    requests: dict[str, RefOutcome]
    end_us: int
    instances: list[RefInstanceResult]
