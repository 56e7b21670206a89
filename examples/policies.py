"""One policy for each seam, to start your own from; docs/policies.md is the manual.

    blis run ... --num-instances 4 --routing-policy examples/policies.py:cache_or_queue
    blis run ... --admission-policy examples/policies.py:shed_long_prompts
    blis run ... --scheduler priority-fcfs --priority-policy examples/policies.py:short_first_but_nobody_starves
    blis run ... --latency-model examples/policies.py:memory_or_compute_bound

All of them compile. Plain loops over instances are the fastest way to write one.
"""

from __future__ import annotations

import blis


@blis.admission_policy
def shed_long_prompts(request, instances, state):
    """Let everybody in until all queues are long; from then on short prompts only."""
    shortest = instances.queue_depth[0]
    for depth in instances.queue_depth:
        shortest = min(shortest, depth)
    return shortest < 32 or request.input_tokens <= 512


@blis.routing_policy
def cache_or_queue(request, instances, state, scores):
    """Go where the prompt's prefix went before, unless the queue there is much longer than elsewhere."""
    best = 0
    for i in range(instances.num_instances):
        waiting = instances.queue_depth[i] + instances.pending_requests[i]
        known = instances.prefix_blocks[i] / max(1, request.prompt_blocks)
        scores[i] = known - 0.1 * waiting - 0.01 * instances.batch_size[i]
        if scores[i] > scores[best]:
            best = i
    return best


@blis.priority_policy
def short_first_but_nobody_starves(request, now_us, state):
    """The shortest prompt goes first, but a second of waiting makes up for 1000 tokens."""
    return (now_us - request.arrival_us) / 1e6 - request.input_tokens / 1000


@blis.step_time(parameters=(6000.0, 20.0, 0.08))  # µs per step, per new token, per token of context
def memory_or_compute_bound(batch, parameters):
    """Reading weights and KV cache overlaps with computing: the longer of the two counts."""
    memory_us = parameters[0] + parameters[2] * (batch.decode_context_tokens + batch.prefill_context_tokens)
    compute_us = parameters[1] * (batch.prefill_tokens + batch.num_decodes)
    return max(1.0, memory_us, compute_us)
