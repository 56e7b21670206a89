"""Who shares tokens with whom in a TraceV2: by prefix groups, and by conversations in traces of others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blis.workload.client_spec import PREFIX_TOKENS
from blis.workload.requests import Ints, Labels, TokenStreams
from blis.workload.traces.tracev2.records import TraceRecords


def as_prefix_groups(streams: TokenStreams, named: Labels) -> tuple[Labels, dict[str, int]] | None:
    """Say token streams as prefix groups, if they are nothing more.

    They are if every request has a stream of its own, which shares at most its first tokens with a stream that
    is nobody's own, as many as all others that share with that one.

    Args:
        streams: of the requests.
        named: the groups the requests are said to belong to.

    Returns:
        Group of each request (the named ones if they are the same, else ``prefix_0``, …) and tokens by group;
        None: there is more to say.
    """
    own = streams.stream[streams.stream >= 0]
    root = np.where(streams.stream >= 0, streams.parent[streams.stream], -1) if len(own) else streams.stream
    grouped = root >= 0
    if not grouped.any():
        return (named, {}) if len(np.unique(own)) == len(own) else None
    roots, first, group = np.unique(root[grouped], return_index=True, return_inverse=True)
    lengths = streams.fork_tokens[streams.stream[grouped]]
    is_more = (
        len(np.unique(own)) < len(own)
        or (streams.parent[roots] >= 0).any()
        or np.isin(roots, own).any()
        or (lengths != lengths[first][group]).any()
        or lengths.min() < 1
    )
    if is_more:
        return None
    names = _names(named, grouped, group, first)
    if names is None:
        return None
    codes = np.full(len(root), -1)
    codes[grouped] = group
    return Labels(codes, names), dict(zip(names, lengths[first].tolist(), strict=True))


def _names(named: Labels, grouped: NDArray[np.bool_], group: Ints, first: Ints) -> tuple[str, ...] | None:
    """Names of the groups found, which must be those that are named, if any are."""
    if not (named.codes >= 0).any():
        return tuple(f"prefix_{number}" for number in range(len(first)))
    codes = named.codes[grouped]
    is_same = np.array_equal(named.codes >= 0, grouped) and np.array_equal(codes, codes[first][group])
    if not is_same or len(np.unique(codes)) < len(first):
        return None
    return tuple(named.names[code] for code in codes[first])


def of_prefix_groups(group: Labels, lengths: Ints) -> TokenStreams | None:
    """Token streams of requests that share the first tokens with their group and nothing else.

    Args:
        group: of each request.
        lengths: (n,) tokens shared with the group; 0 where there is no group.
    """
    count, grouped = len(lengths), group.codes >= 0
    if not grouped.any():
        return None
    first_own = len(group.names)
    stream = np.where(grouped, first_own + np.arange(count), -1)
    parent = np.concatenate((np.full(first_own, -1), group.codes))
    return TokenStreams(stream, parent, np.concatenate((np.zeros(first_own, dtype=np.int64), lengths)))


def unsaid(records: TraceRecords) -> tuple[TokenStreams | None, Ints]:
    """What to assume where a trace does not say who shares what.

    Prompts of one prefix group begin with the same tokens, which are part of ``input_tokens``: as many as the records
    say or else `PREFIX_TOKENS`, with less if they are shorter. A round of a session begins with prompt and output of
    the round before if, in the whole session, every prompt is long enough for that, round numbers differ and the
    group stays the same; else its rounds have nothing more in common.

    Returns:
        The streams, None if nothing is shared; and (n,) length of each prompt's shared prefix.
    """
    group = records.prefix_group
    shared = PREFIX_TOKENS if records.prefix_length is None else records.prefix_length
    prefix = np.where(group.codes >= 0, np.minimum(records.input_tokens, shared), 0)
    session, first = _accumulating(records)
    grows = session >= 0
    if not grows.any():
        return of_prefix_groups(group, prefix), prefix
    count, num_groups, num_sessions = len(records), len(group.names), len(first)
    stream = np.where(grows, num_groups + session, num_groups + num_sessions + np.arange(count))
    stream[~grows & (group.codes < 0)] = -1
    prefix = np.where(grows, prefix[first][session], prefix)
    parent = np.concatenate((np.full(num_groups, -1), group.codes[first], group.codes))
    fork = np.concatenate((np.zeros(num_groups, dtype=np.int64), prefix[first], prefix))
    return TokenStreams(stream, parent, fork), prefix


def _accumulating(records: TraceRecords) -> tuple[Ints, Ints]:
    """(n,) number of the accumulating session of each request or -1, and (s,) the first request of each of those."""
    order = np.lexsort((records.round_index, records.session.codes))
    order = order[records.session.codes[order] >= 0]
    before, after = order[:-1], order[1:]
    session = records.session.codes
    total = records.input_tokens + records.output_tokens
    goes_on = session[after] == session[before]
    breaks = goes_on & (
        (records.input_tokens[after] < total[before])
        | (records.round_index[after] == records.round_index[before])
        | (records.prefix_group.codes[after] != records.prefix_group.codes[before])
    )
    good = order[~np.isin(session[order], session[after[breaks]])]
    _, first, number = np.unique(session[good], return_index=True, return_inverse=True)
    numbers = np.full(len(records), -1)
    numbers[good] = number
    return numbers, good[first]
