"""From token content to identities of KV blocks, against dictionaries of all prefixes."""

from collections import defaultdict
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blis.errors import WorkloadError
from blis.workload import _jit
from blis.workload.content import shared_blocks
from blis.workload.requests import LiteralTokens, RequestTable, TokenStreams
from blis.workload.traces.hash_ids import HashIds, token_streams

TOKEN_RANGE = 2**31 - 1


def make_table(lengths, content):
    """A table of (input, output) lengths."""
    inputs, outputs = (np.array(column, dtype=np.int64) for column in zip(*lengths, strict=True))
    return RequestTable(np.zeros(len(lengths), dtype=np.int64), inputs, outputs, content)


def literal_table(requests):
    """A table of (prompt, output) token lists."""
    tokens = [[*prompt, *output] for prompt, output in requests]
    offsets = np.cumsum([0, *map(len, tokens)])
    content = LiteralTokens(np.array(list(chain.from_iterable(tokens)), dtype=np.int32), offsets)
    return make_table([(len(prompt), len(output)) for prompt, output in requests], content)


def streams(stream, parent, fork_tokens):
    return TokenStreams(*(np.array(column, dtype=np.int64) for column in (stream, parent, fork_tokens)))


def stream_tokens(content, s, length):
    """The first tokens of a stream written out: behind its fork nobody else has a stream's tokens."""
    own = [(s, i) for i in range(length)]
    if content.parent[s] < 0:
        return own
    fork = min(int(content.fork_tokens[s]), length)
    return stream_tokens(content, int(content.parent[s]), fork) + own[fork:]


def expand(table):
    """Each request's tokens, and the same as a literal table."""
    content = table.content
    tokens = []
    numbers = defaultdict(lambda: len(numbers))
    for r in range(len(table)):
        length = int(table.input_tokens[r] + table.output_tokens[r])
        s = int(content.stream[r])
        names = [("private", r, i) for i in range(length)] if s < 0 else stream_tokens(content, s, length)
        tokens.append([numbers[name] for name in names])
    cut = [int(i) for i in table.input_tokens]
    return literal_table([(t[:i], t[i:]) for t, i in zip(tokens, cut, strict=True)])


def paths_of(table, block_size):
    """Each request's full blocks, each as the tuple of all tokens up to its end."""
    content = table.content
    for r in range(len(table)):
        tokens = content.token_ids[content.offsets[r] : content.offsets[r + 1]].tolist()
        inputs, outputs = int(table.input_tokens[r]), int(table.output_tokens[r])
        depth = (inputs + max(outputs, 1) - 1) // block_size
        yield [tuple(tokens[: (i + 1) * block_size]) for i in range(depth)]


def ids_of(shared, r):
    """The identities of a request's shared blocks, first block first."""
    ids = []
    block = int(shared.leaf[r])
    while block >= 0:
        ids.append(block)
        block = int(shared.parent[block])
    return ids[::-1]


def check(shared, literal, block_size):
    """Compare with a dictionary of the prefixes of all requests."""
    paths = list(paths_of(literal, block_size))
    users = defaultdict(set)
    for r, blocks in enumerate(paths):
        for path in blocks:
            users[path].add(r)
    identity = {}
    for r, blocks in enumerate(paths):
        expected = [path for path in blocks if len(users[path]) >= 2]
        ids = ids_of(shared, r)
        assert shared.num_shared[r] == len(expected) == len(ids)
        for path, block in zip(expected, ids, strict=True):
            assert identity.setdefault(path, block) == block
    assert sorted(identity.values()) == list(range(len(shared.parent)))
    assert (shared.parent < np.arange(len(shared.parent))).all()
    assert [column.dtype for column in (shared.num_shared, shared.leaf, shared.parent)] == [np.int32] * 3


lengths_strategy = st.tuples(st.integers(1, 12), st.integers(0, 6))


@st.composite
def stream_tables(draw):
    num_streams = draw(st.integers(1, 8))
    parent = [draw(st.integers(-1, s - 1)) for s in range(num_streams)]
    forks = draw(st.lists(st.integers(0, 15), min_size=num_streams, max_size=num_streams))
    requests = draw(st.lists(st.tuples(st.integers(-1, num_streams - 1), lengths_strategy), min_size=1, max_size=12))
    content = streams([s for s, _ in requests], parent, forks)
    return make_table([lengths for _, lengths in requests], content)


@settings(max_examples=300)
@given(stream_tables(), st.integers(1, 5))
@pytest.mark.slow
def test_streams_give_the_identities_of_their_tokens(table, block_size):
    check(shared_blocks(table, block_size), expand(table), block_size)


@st.composite
def literal_tables(draw):
    alphabet = draw(st.sampled_from([[0], [0, 1], [5, 9, TOKEN_RANGE]]))
    token = st.sampled_from(alphabet)
    request = st.tuples(st.lists(token, min_size=1, max_size=12), st.lists(token, max_size=6))
    return literal_table(draw(st.lists(request, min_size=1, max_size=12)))


@settings(max_examples=300)
@given(literal_tables(), st.integers(1, 5))
@pytest.mark.slow
def test_literal_tokens_give_the_identities_of_their_prefixes(table, block_size):
    check(shared_blocks(table, block_size), table, block_size)


def test_a_larger_table_is_right_too():
    rng = np.random.default_rng(0)
    bases = rng.integers(0, 2, (30, 400))
    requests = []
    for base in rng.integers(0, 30, 500):
        tokens = [*bases[base, : rng.integers(1, 400)].tolist(), *rng.integers(0, 2, 20).tolist()]
        requests.append((tokens, [1] * int(rng.integers(0, 5))))
    table = literal_table(requests)
    for block_size in (1, 16):
        check(shared_blocks(table, block_size), table, block_size)


def test_equal_hashes_do_not_make_blocks_equal(monkeypatch):
    from blis.workload import _trie_kernels

    # Interpreted, with a hash that tells nothing apart.
    for name in ("insert_sequences", "find_slot", "rehash"):
        function = getattr(_trie_kernels, name)
        monkeypatch.setattr(_trie_kernels, name, getattr(function, "py_func", function))
    monkeypatch.setattr(_trie_kernels, "unit_hash", lambda *_: 5)
    table = literal_table([([1, 2, 3, 4], [9]), ([1, 2, 4, 3], [9]), ([2, 1, 3, 4], [9]), ([1, 2, 3, 4], [8])])
    check(shared_blocks(table, 2), table, 2)


def test_the_last_output_token_is_never_cached():
    # Blocks of 4: 7 + 1 tokens, of which 7 get into the cache, make one full block; 7 + 2 make two.
    one = make_table([(7, 1), (7, 1)], streams([0, 0], [-1], [0]))
    assert shared_blocks(one, 4).num_shared.tolist() == [1, 1]
    two = make_table([(7, 2), (7, 2)], streams([0, 0], [-1], [0]))
    assert shared_blocks(two, 4).num_shared.tolist() == [2, 2]
    nothing = make_table([(8, 0), (8, 0)], streams([0, 0], [-1], [0]))
    assert shared_blocks(nothing, 4).num_shared.tolist() == [2, 2]


def test_turns_of_a_conversation_share_what_the_earlier_one_left():
    table = make_table([(20, 12), (50, 14), (90, 10)], streams([0, 0, 0], [-1], [0]))
    shared = shared_blocks(table, 16)
    assert shared.num_shared.tolist() == [1, 3, 3]  # 31 // 16, 63 // 16, and no more than the others have
    assert shared.leaf.tolist() == [0, 2, 2]
    assert shared.parent.tolist() == [-1, 0, 1]


def test_a_fork_below_the_parents_own_fork_leads_to_the_grandparent():
    # 0 - - - - - ; 1 forks from 0 at 8; 2 forks from 1 at 4, thus from 0
    table = make_table([(12, 1), (12, 1), (12, 1)], streams([0, 1, 2], [-1, 0, 1], [0, 8, 4]))
    shared = shared_blocks(table, 4)
    assert [ids_of(shared, r) for r in range(3)] == [[0, 1], [0, 1], [0]]


def test_nothing_is_shared_without_content_or_when_disabled():
    lone = make_table([(30, 5), (30, 5)], None)
    alike = make_table([(30, 5), (30, 5)], streams([0, 0], [-1], [0]))
    for shared in (shared_blocks(lone, 4), shared_blocks(alike, 4, enable=False)):
        assert shared.num_shared.tolist() == [0, 0]
        assert shared.leaf.tolist() == [-1, -1]
        assert len(shared.parent) == 0
    assert shared_blocks(alike, 4).num_shared.tolist() == [8, 8]


def test_an_empty_table_shares_nothing():
    none = np.empty(0, dtype=np.int64)
    table = RequestTable(none, none, none, streams([], [], []))
    assert len(shared_blocks(table, 16).num_shared) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (([0, 0], [-1, 1], [0, 0]), "content: stream 1 forks from 1 at 0 tokens; a parent must come before"),
        (([0, 0], [-1, 0], [0, -3]), "content: stream 1 forks from 0 at -3 tokens"),
        (([0, 0], [-1, 0], [0]), "content: 2 parents but 1 forks of streams"),
        (([0, 2], [-1, 0], [0, 0]), "content: request of stream 2, but there are 2 streams"),
        (([0], [-1], [0]), "content: 1 streams for 2 requests"),
    ],
)
def test_senseless_streams_are_refused(content, message):
    with pytest.raises(WorkloadError, match=message):
        shared_blocks(make_table([(4, 1), (4, 1)], streams(*content)), 2)


@pytest.mark.parametrize("offsets", [[0, 5, 11], [0, 6, 10], [1, 6, 11]])
def test_token_ids_that_do_not_fit_are_refused(offsets):
    table = make_table([(4, 1), (4, 1)], LiteralTokens(np.zeros(10, dtype=np.int32), np.array(offsets)))
    with pytest.raises(WorkloadError, match="content: token ids and their offsets must fit"):
        shared_blocks(table, 2)


def test_too_many_shared_blocks_are_refused():
    table = make_table([(2**40, 1)] * 2, streams([0, 0], [-1], [0]))
    with pytest.raises(WorkloadError, match="requests share 1099511627776 different KV blocks"):
        shared_blocks(table, 1)


def hash_streams(lists, lengths, block_tokens):
    offsets = np.cumsum([0, *map(len, lists)])
    inputs, outputs = (np.array(column) for column in zip(*lengths, strict=True))
    return token_streams(HashIds(offsets, np.array(list(chain.from_iterable(lists))), block_tokens), inputs, outputs)


@st.composite
def hash_id_requests(draw):
    """Lists of full blocks only, so that each request's tokens are known from its ids."""
    size = draw(st.integers(1, 4))
    ids = draw(st.lists(st.lists(st.integers(-3, 3), min_size=1, max_size=5), min_size=1, max_size=10))
    extra = draw(st.lists(lengths_strategy, min_size=len(ids), max_size=len(ids)))
    return size, ids, [(len(i) * size + more, output) for i, (more, output) in zip(ids, extra, strict=True)]


@settings(max_examples=200)
@given(hash_id_requests(), st.integers(1, 5))
def test_hash_ids_mean_tokens_by_path(case, block_size):
    size, ids, lengths = case
    numbers = defaultdict(lambda: len(numbers))
    requests = []
    for r, (path, (inputs, outputs)) in enumerate(zip(ids, lengths, strict=True)):
        known = [numbers[tuple(path[: i // size + 1]), i] for i in range(len(path) * size)]
        rest = [numbers[r, i] for i in range(len(known), inputs + outputs)]
        requests.append(((known + rest)[:inputs], (known + rest)[inputs:]))
    shared = shared_blocks(make_table(lengths, hash_streams(ids, lengths, size)), block_size)
    check(shared, literal_table(requests), block_size)


def test_a_partial_last_id_stands_for_the_rest_of_the_prompt_only():
    # Ids of 10 tokens, prompts of 25: the third id is half a block; outputs are nobody else's.
    content = hash_streams([[7, 8, 9], [7, 8, 9]], [(25, 30), (25, 30)], 10)
    assert content.fork_tokens.tolist() == [0, 25]
    # Four ids: the third and part of the fourth describe output.
    content = hash_streams([[7, 8, 9, 5], [7, 8, 9, 5]], [(25, 10), (25, 30)], 10)
    assert content.fork_tokens.tolist() == [0, 35]


def test_the_same_id_behind_another_one_means_something_else():
    content = hash_streams([[1, 2], [3, 2], [1, 4]], [(20, 1)] * 3, 10)
    assert content.parent.tolist() == [-1, -1, 0]
    assert content.fork_tokens.tolist() == [0, 0, 10]


def test_ids_that_differ_in_high_bits_only_differ():
    content = hash_streams([[5], [5 + 2**32], [5 - 2**40]], [(10, 1)] * 3, 10)
    assert content.parent.tolist() == [-1, -1, -1]


def test_more_ids_than_tokens_are_refused():
    with pytest.raises(WorkloadError, match=r"row 1: hash_ids: 5 ids of 10 tokens are too many for .* of 40 tokens"):
        hash_streams([[1], [1, 2, 3, 4, 5]], [(25, 15), (25, 15)], 10)


def test_every_kernel_is_compiled_for_one_signature_only():
    from blis.workload import _stream_kernels, _trie_kernels

    shared_blocks(literal_table([([1, 2], [3]), ([1, 2], [3])]), 1)
    kernels = [
        function
        for module in (_stream_kernels, _trie_kernels)
        for function in vars(module).values()
        if hasattr(function, "signatures")
    ]
    for function in kernels:
        assert len(function.signatures) <= 1, function.__name__


def test_kernels_work_without_a_place_for_the_cache():
    namespace = {}
    exec(compile("def double(x):\n    return 2 * x\n", "<nowhere>", "exec"), namespace)
    assert _jit.kernel(namespace["double"])(21) == 42
