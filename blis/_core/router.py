"""Decisions about requests: whether to let them in, and where they go."""

from __future__ import annotations

import math

from numba import int64

from blis._core.block_pool import was_cached
from blis._core.codes import GO_ON, DecisionKind, RequestStatus, StopReason, ViewColumn, ViewNumber, ViewWord
from blis._core.functions import decide
from blis._core.handles import borrow
from blis._core.jit import kernel
from blis._core.prefix_table import look_up, remember
from blis._core.state import (
    ADMISSION,
    ADMISSION_STATE,
    ANSWER,
    CULPRIT,
    LOOKS_INTO_CACHES,
    LOOKS_UP_PREFIXES,
    NUM_DECISIONS,
    NUMBERS,
    ROUTING,
    ROUTING_STATE,
    WORDS,
)
from blis._core.view import refresh, show_request

LOG_FULL = int(StopReason.LOG_FULL)
ADMISSION_FAILED = int(StopReason.ADMISSION_FAILED)
ROUTING_FAILED = int(StopReason.ROUTING_FAILED)
REJECTED = int(RequestStatus.REJECTED)
IS_ADMISSION = int(DecisionKind.ADMISSION)
IS_ROUTING = int(DecisionKind.ROUTING)
STATE_LENGTH = int(ViewWord.STATE_LENGTH)
PENDING_REQUESTS = int(ViewColumn.PENDING_REQUESTS)
PREFIX_BLOCKS = int(ViewColumn.PREFIX_BLOCKS)
CACHED_BLOCKS = int(ViewColumn.CACHED_BLOCKS)
SCORE = int(ViewNumber.SCORE)
PROMPT_BLOCKS = int(ViewWord.PROMPT_BLOCKS)


@kernel
def decide_admission(cluster, laws, request, now_us):
    """Ask whether a request is let in."""
    words, numbers, policy, state = laws[WORDS], laws[NUMBERS], laws[ADMISSION], laws[ADMISSION_STATE]
    if is_full(cluster.decision_log):
        return LOG_FULL
    show(cluster, request, now_us, cluster.admission_looks)
    cluster.shown.words[STATE_LENGTH] = cluster.shown.state_lengths[IS_ADMISSION]
    answer = int64(decide(policy, words, numbers, state))
    if answer != 0 and answer != 1:
        return fail(cluster, request, answer, int64(ADMISSION_FAILED))
    if cluster.tracing:
        log_decision(cluster, int64(IS_ADMISSION), request, now_us, answer)
    if answer == 0:
        cluster.requests.status[request] = REJECTED
    return GO_ON


@kernel
def decide_routing(cluster, laws, request, now_us):
    """Ask where a request goes."""
    words, numbers, policy, state = laws[WORDS], laws[NUMBERS], laws[ROUTING], laws[ROUTING_STATE]
    if is_full(cluster.decision_log):
        return LOG_FULL
    show(cluster, request, now_us, cluster.routing_looks)
    view = cluster.shown
    view.words[STATE_LENGTH] = view.state_lengths[IS_ROUTING]
    answer = int64(decide(policy, words, numbers, state))
    if answer < 0 or answer >= len(cluster.wake_us):
        return fail(cluster, request, answer, int64(ROUTING_FAILED))
    if request == cluster.forced[0]:
        answer = cluster.forced[1]
    if cluster.tracing:
        log_decision(cluster, int64(IS_ROUTING), request, now_us, answer)
    if cluster.uses_prefix_table:
        depth = int64(cluster.prompt_shared[request])
        private = view.words[PROMPT_BLOCKS] - depth
        leaf, chain = int64(cluster.prompt_leaf[request]), int64(cluster.prompt_chain[request])
        remember(cluster.table, cluster.parent, chain, leaf, depth, private, answer)
    cluster.target[request] = answer
    view.columns[PENDING_REQUESTS, answer] += 1
    return GO_ON


@kernel
def fail(cluster, request, answer, reason):
    """A policy gave an answer that is none."""
    cluster.at[CULPRIT] = request
    cluster.at[ANSWER] = answer
    return reason


@kernel
def show(cluster, request, now_us, looks):
    """Let a policy see the request and, if it looks, the instances."""
    show_request(cluster.shown, cluster.requests, request, now_us)
    if not looks:
        return
    refresh(cluster, now_us)
    leaf, depth = int64(cluster.prompt_leaf[request]), int64(cluster.prompt_shared[request])
    if cluster.tracing:  # what the last decision saw and this one will not
        cluster.shown.columns[PREFIX_BLOCKS] = 0
        cluster.shown.columns[CACHED_BLOCKS] = 0
        cluster.shown.numbers[SCORE] = math.nan
    if looks & LOOKS_UP_PREFIXES:
        chain = int64(cluster.prompt_chain[request])
        look_up(cluster.table, cluster.parent, chain, leaf, depth, cluster.shown.columns)
    if looks & LOOKS_INTO_CACHES:
        look_into_caches(cluster, leaf, depth)


@kernel
def look_into_caches(cluster, leaf, depth):
    """Write down for each instance how many of a prompt's leading blocks its cache holds.

    Whenever a block is cached so is the one before it, so the last cached one is found by bisection.
    """
    chain, parent, found = cluster.chain, cluster.parent, cluster.shown.columns[CACHED_BLOCKS]
    content = leaf
    for i in range(depth, 0, -1):
        chain[i] = content
        content = int64(parent[content])
    for instance in range(len(found)):
        pool = borrow(cluster.instances[instance]).pool
        low, high = int64(0), depth  # the first `low` are cached, those behind `high` are not
        while low < high:
            middle = (low + high + 1) >> 1
            if was_cached(pool, chain[middle]):
                low = middle
            else:
                high = middle - 1
        found[instance] = low


@kernel
def is_full(decision_log):
    """Whether there is no room for another decision."""
    return len(decision_log.decisions) > 0 and decision_log.at[NUM_DECISIONS] == len(decision_log.decisions)


@kernel
def log_decision(cluster, kind, request, now_us, answer):
    """Write down a decision and what was seen of the instances."""
    log, view = cluster.decision_log, cluster.shown
    row = log.at[NUM_DECISIONS]
    log.decisions[row, 0] = kind
    log.decisions[row, 1] = request
    log.decisions[row, 2] = now_us
    log.decisions[row, 3] = answer
    for i in range(view.columns.shape[1]):
        for c in range(len(view.columns)):
            log.columns[row, c, i] = view.columns[c, i]
        for c in range(len(view.numbers)):
            log.numbers[row, c, i] = view.numbers[c, i]
    log.at[NUM_DECISIONS] = row + 1
