"""What a policy sees of a decision: the request, and each instance as its last snapshot showed it."""

from __future__ import annotations

from blis._core.codes import ViewColumn, ViewNumber, ViewWord
from blis._core.handles import borrow
from blis._core.jit import kernel
from blis._core.state import (
    BATCH_GROUP,
    CACHED_SUM,
    EPOCH,
    FREE,
    KNOWN_SUM,
    KV_GROUP,
    LENGTH,
    NUM_GROUPS,
    QUEUE_GROUP,
    RUNNING,
)

NOW_US = int(ViewWord.NOW_US)
REQUEST = int(ViewWord.REQUEST)
ARRIVAL_US = int(ViewWord.ARRIVAL_US)
INPUT_TOKENS = int(ViewWord.INPUT_TOKENS)
PRIORITY = int(ViewWord.PRIORITY)
PROMPT_BLOCKS = int(ViewWord.PROMPT_BLOCKS)
BLOCK_SIZE = int(ViewWord.BLOCK_SIZE)
QUEUE_DEPTH = int(ViewColumn.QUEUE_DEPTH)
BATCH_SIZE = int(ViewColumn.BATCH_SIZE)
FREE_KV_BLOCKS = int(ViewColumn.FREE_KV_BLOCKS)
KV_UTILIZATION = int(ViewNumber.KV_UTILIZATION)
CACHE_HIT_RATE = int(ViewNumber.CACHE_HIT_RATE)


@kernel
def show_request(view, requests, request, now_us):
    """Fill in the words about a request; output lengths are nobody's to see."""
    words = view.words
    words[NOW_US] = now_us
    words[REQUEST] = request
    words[ARRIVAL_US] = requests.arrival_us[request]
    words[INPUT_TOKENS] = requests.prompt_tokens[request]
    if view.shows_blocks:
        words[PROMPT_BLOCKS] = requests.prompt_tokens[request] // words[BLOCK_SIZE]
    if len(view.request_words) > 0:
        for i in range(view.request_words.shape[1]):
            words[PRIORITY + i] = view.request_words[request, i]


@kernel
def show_instance(cluster, i, instance):
    """Take down the signals of an instance that has changed: for the view, or for the next snapshot."""
    view, snapshots = cluster.shown, cluster.snapshots
    interval_us = snapshots.interval_us
    columns = view.columns if interval_us[QUEUE_GROUP] == 0 else snapshots.columns
    columns[QUEUE_DEPTH, i] = instance.queue.at[LENGTH]
    columns = view.columns if interval_us[BATCH_GROUP] == 0 else snapshots.columns
    columns[BATCH_SIZE, i] = instance.batch.at[RUNNING]
    if not view.shows_kv:
        return
    live = interval_us[KV_GROUP] == 0
    columns = view.columns if live else snapshots.columns
    numbers = view.numbers if live else snapshots.numbers
    free, usable = instance.pool.at[FREE], instance.limits.usable_blocks
    columns[FREE_KV_BLOCKS, i] = free
    numbers[KV_UTILIZATION, i] = (usable - free) / usable
    if instance.at[KNOWN_SUM] > 0:
        numbers[CACHE_HIT_RATE, i] = instance.at[CACHED_SUM] / instance.at[KNOWN_SUM]


@kernel
def refresh(cluster, now_us):
    """Look anew at those signals whose snapshot is too old."""
    view, snapshots = cluster.shown, cluster.snapshots
    for group in range(NUM_GROUPS):
        interval_us = snapshots.interval_us[group]
        if interval_us == 0 or now_us - snapshots.last_us[group] < interval_us:
            continue
        snapshots.last_us[group] = now_us
        for i in range(len(cluster.wake_us)):  # one by one: assigning a whole row would want to allocate
            if group == QUEUE_GROUP:
                view.columns[QUEUE_DEPTH, i] = snapshots.columns[QUEUE_DEPTH, i]
            elif group == BATCH_GROUP:
                view.columns[BATCH_SIZE, i] = snapshots.columns[BATCH_SIZE, i]
            else:
                view.columns[FREE_KV_BLOCKS, i] = snapshots.columns[FREE_KV_BLOCKS, i]
                view.numbers[KV_UTILIZATION, i] = snapshots.numbers[KV_UTILIZATION, i]
                view.numbers[CACHE_HIT_RATE, i] = snapshots.numbers[CACHE_HIT_RATE, i]
                borrow(cluster.instances[i]).pool.at[EPOCH] += 1
