"""Draws the requests of many clients: merges its clients by arrival, cuts at the bounds, and makes the table.

What arrives at once is an *episode*: a single request, or a session with all of its turns. Episodes are merged and
cut, never split; all columns are then filled client by client.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from blis.errors import ConfigError
from blis.workload.client_spec import ClosedLoop
from blis.workload.clients import Client
from blis.workload.labels import SLO_CLASSES, labels
from blis.workload.requests import ClientDetails, Ints, Labels, RequestTable, Sessions, TokenStreams

#: Requests of a workload.
MOST_REQUESTS = 2**31 - 1


@dataclass(frozen=True)
class _Episodes:
    """In the order of their rows: (n,) position of the client, arrival, and user (-1: nobody's, open loop)."""

    client: Ints
    start_us: Ints
    user: Ints

    def first(self, count: int) -> _Episodes:
        return _Episodes(self.client[:count], self.start_us[:count], self.user[:count])


@dataclass(frozen=True)
class Bounds:
    """Where drawing ends.

    Attributes:
        end_us: nothing arrives from here on.
        num_requests: requests in all; None: no limit.
        where: begins messages about it.
    """

    end_us: int
    num_requests: int | None
    where: str = ""


def generate(clients: list[Client], seed: int, bounds: Bounds) -> RequestTable:
    """Draw the requests of clients; `blis.workload.spec.WorkloadSpec.requests` says in which order.

    Raises:
        ConfigError: the bound is less than one session, or leaves too many requests.
    """
    closed = _closed_loop_episodes(clients, bounds.num_requests)
    episodes = _join(closed, _open_loop_episodes(clients, bounds, seed))
    rounds = np.array([client.rounds for client in clients])
    if bounds.num_requests is not None:
        kept = int(np.searchsorted(np.cumsum(rounds[episodes.client]), bounds.num_requests, side="right"))
        if kept == 0 < len(episodes.client):
            turns = rounds[episodes.client[0]]
            raise ConfigError(
                f"{bounds.where}num_requests: must be at least one session, {turns}, got {bounds.num_requests}"
            )
        episodes = episodes.first(kept)
    return _table(clients, episodes, rounds, seed)


def _join(first: _Episodes, second: _Episodes) -> _Episodes:
    pairs = ((first.client, second.client), (first.start_us, second.start_us), (first.user, second.user))
    return _Episodes(*(np.concatenate(pair) for pair in pairs))


def _closed_loop_episodes(clients: list[Client], num_requests: int | None) -> _Episodes:
    """Deal episodes to users in turn: first one to each, then the next one to each."""
    loads = [(i, client, client.spec.load) for i, client in enumerate(clients)]
    closed = [(i, client.rounds, load) for i, client, load in loads if isinstance(load, ClosedLoop)]
    in_turn = sum(rounds * load.concurrency for _, rounds, load in closed)  # requests, if each user has an episode
    columns = []
    first_user = 0
    for i, rounds, load in closed:
        if load.num_requests is not None:
            count = load.num_requests // rounds
        else:
            count = load.concurrency * math.ceil((num_requests or 0) / in_turn)
        number = np.arange(count)
        user = number % load.concurrency + first_user
        columns.append(np.stack((np.full(count, i), user, number // load.concurrency)))
        first_user += load.concurrency
    client, user, turn = np.concatenate(columns, axis=1) if columns else np.empty((3, 0), dtype=np.int64)
    order = np.lexsort((user, turn))
    return _Episodes(client[order], np.zeros(len(order), dtype=np.int64), user[order])


def _open_loop_episodes(clients: list[Client], bounds: Bounds, seed: int) -> _Episodes:
    """Merge the arrivals of clients with a rate: all before ``end_us``, or the first ``num_requests`` and some more."""
    end_us = min(bounds.end_us, max((phase.end_us for client in clients for phase in client.phases), default=0))
    until_us = end_us
    if bounds.num_requests is not None:
        turns_per_s = sum(client.phases[0].rate * client.rounds for client in clients if client.phases)
        until_us = min(end_us, 1000 + int(1.02e6 * bounds.num_requests / turns_per_s)) if turns_per_s else 0
    _check_number(clients, until_us, bounds)
    while True:
        starts = [client.starts_us(seed, until_us) for client in clients]
        turns = sum(len(times) * client.rounds for times, client in zip(starts, clients, strict=True))
        if until_us >= end_us or turns >= (bounds.num_requests or 0):
            break
        until_us = min(end_us, until_us + until_us // 2)
    times = np.concatenate(starts)
    client = np.repeat(np.arange(len(clients)), [len(times) for times in starts])
    order = np.argsort(times, kind="stable")
    return _Episodes(client[order], times[order], np.full(len(order), -1))


def _check_number(clients: list[Client], until_us: int, bounds: Bounds) -> None:
    """Refuse what no memory holds before it is drawn."""
    expected = sum(
        phase.rate * client.rounds * max(0, min(phase.end_us, until_us) - phase.start_us) / 1e6
        for client in clients
        for phase in client.phases
    )
    if expected > MOST_REQUESTS:
        raise ConfigError(
            f"{bounds.where}horizon: about {expected:.1e} requests would arrive until {until_us} µs, "
            f"more than {MOST_REQUESTS}; a shorter horizon or num_requests makes them fewer"
        )


def _table(clients: list[Client], episodes: _Episodes, rounds: Ints, seed: int) -> RequestTable:
    sizes = rounds[episodes.client]
    first_row = np.cumsum(sizes) - sizes
    count = int(sizes.sum())
    client_of = np.repeat(episodes.client, sizes)
    columns = {name: np.zeros(count, dtype=np.int64) for name in ("input", "output", "turn", "think")}
    reason, modality = np.zeros(count), np.zeros((count, 4), dtype=np.int64)
    by_client = np.argsort(episodes.client, kind="stable")
    ends = np.cumsum(np.bincount(episodes.client, minlength=len(clients)))
    for client, mine in zip(clients, np.split(by_client, ends[:-1]), strict=True):
        turns = client.turns(seed, episodes.start_us[mine])
        rows = first_row[mine, np.newaxis] + np.arange(client.rounds)
        columns["input"][rows] = turns.input_tokens(_prefix_tokens(client), _accumulates(client))
        columns["output"][rows] = turns.output_tokens
        columns["turn"][rows] = np.arange(client.rounds)
        columns["think"][rows] = turns.think_us
        reason[rows] = turns.reason_ratio
        if turns.modality_tokens is not None:
            modality[rows] = turns.modality_tokens
    specs = [client.spec for client in clients]
    return RequestTable(
        np.repeat(episodes.start_us, sizes),
        columns["input"],
        columns["output"],
        content=_content(clients, client_of, columns["turn"]),
        slo_class=_spread(labels([spec.slo_class for spec in specs], SLO_CLASSES), client_of),
        tenant=_spread(labels([spec.tenant_id for spec in specs]), client_of),
        sessions=_sessions(clients, client_of, columns["turn"], columns["think"], episodes, first_row),
        details=ClientDetails(
            client=Labels(client_of, tuple(spec.id for spec in specs)),
            prefix_group=_spread(labels([spec.prefix_group for spec in specs]), client_of)
            or Labels(np.full(count, -1), ()),
            prefix_tokens=np.array([_prefix_tokens(client) for client in clients])[client_of],
            streaming=np.array([spec.streaming for spec in specs])[client_of],
            modality_tokens=modality,
            reason_ratio=reason,
            rtt_us=np.array([spec.rtt_us for spec in specs])[client_of],
            bandwidth_mbps=np.array([spec.bandwidth_mbps for spec in specs])[client_of],
        ),
    )


def _prefix_tokens(client: Client) -> int:
    return client.spec.prefix_length if client.spec.prefix_group else 0


def _accumulates(client: Client) -> bool:
    return client.spec.multi_turn is not None and client.spec.multi_turn.accumulate


def _spread(by_client: Labels | None, client_of: Ints) -> Labels | None:
    """Labels of requests from those of their clients."""
    return None if by_client is None else Labels(by_client.codes[client_of], by_client.names)


def _content(clients: list[Client], client_of: Ints, turn: Ints) -> TokenStreams | None:
    """Who shares tokens: prefix groups have streams, which requests and growing sessions fork from.

    The turns of a growing session are longer and longer beginnings of one stream; other requests have one each.
    """
    groups = labels([client.spec.prefix_group for client in clients])
    group_of_client = np.full(len(clients), -1) if groups is None else groups.codes
    num_groups = 0 if groups is None else len(groups.names)
    accumulates = np.array([_accumulates(client) for client in clients])[client_of]
    prefix = np.array([_prefix_tokens(client) for client in clients])[client_of]
    group = group_of_client[client_of]
    has_stream = accumulates | (group >= 0)
    if not has_stream.any():
        return None
    opens = has_stream & ~(accumulates & (turn > 0))
    stream = np.where(has_stream, num_groups + np.cumsum(opens) - 1, -1)
    parent = np.concatenate((np.full(num_groups, -1), group[opens]))
    return TokenStreams(stream, parent, np.concatenate((np.zeros(num_groups, dtype=np.int64), prefix[opens])))


def _sessions(
    clients: list[Client], client_of: Ints, turn: Ints, think: Ints, episodes: _Episodes, first_row: Ints
) -> Sessions | None:
    """Turns wait for the turn before; the first of a user's episode waits for the last of the episode before."""
    in_session = np.array([client.spec.multi_turn is not None for client in clients])[client_of]
    if not in_session.any() and not np.any(episodes.user >= 0):
        return None
    session = np.where(in_session, np.cumsum(in_session & (turn == 0)) - 1, -1)
    after = np.where(turn > 0, np.arange(len(turn)) - 1, -1)
    by_user = np.argsort(episodes.user, kind="stable")
    user = episodes.user[by_user]
    again = np.flatnonzero((user[1:] == user[:-1]) & (user[1:] >= 0))
    last_row = np.append(first_row[1:], len(turn)) - 1
    after[first_row[by_user[again + 1]]] = last_row[by_user[again]]
    return Sessions(session, turn, after, np.where(after >= 0, think, 0))
