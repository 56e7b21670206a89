"""Text of prompts: shared where tokens are shared, of about the wanted length, the same every time."""

import itertools

import numpy as np
import pytest
from helpers_observe import table_of
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from blis.errors import ConfigError
from blis.measurement.observe.prompts import Prompts
from blis.measurement.observe.words import common_vocabulary, vocabulary_of
from blis.workload.requests import LiteralTokens, TokenStreams

WORDS = common_vocabulary()
#: Longer runs of words are alike by chance less than once in 10^18 pairs.
BY_CHANCE = 6


def texts(table, seed=1):
    prompts = Prompts(table, WORDS, seed)
    return [prompts.text(row, 0, int(length)).split() for row, length in enumerate(table.input_tokens)]


def common(a, b):
    """How many leading items two lists share."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


@st.composite
def streams(draw):
    """Up to 6 streams, each forking from an earlier one or none, and requests on them."""
    count = draw(st.integers(1, 6))
    parent = [draw(st.integers(-1, number - 1)) for number in range(count)]
    fork = [0 if of < 0 else draw(st.integers(0, 60)) for of in parent]
    rows = draw(st.lists(st.tuples(st.integers(-1, count - 1), st.integers(1, 90)), min_size=2, max_size=6))
    stream, length = zip(*rows, strict=True)
    return table_of([0] * len(rows), length, content=TokenStreams(np.array(stream), np.array(parent), np.array(fork)))


def places(table, row):
    """What stands at each place of a prompt, from the definition of `TokenStreams`."""
    content = table.content
    number, found = int(content.stream[row]), []
    for place in range(int(table.input_tokens[row])):
        at = number
        while at >= 0 and content.parent[at] >= 0 and place < content.fork_tokens[at]:
            at = content.parent[at]
        found.append(("private", row, place) if at < 0 else (at, place))
    return found


@given(streams(), st.integers(0, 2**31))
def test_prompts_share_words_as_streams_share_tokens(table, seed):
    found = texts(table, seed)
    assert [len(words) for words in found] == table.input_tokens.tolist()
    for a, b in itertools.combinations(range(len(table)), 2):
        shared = common(places(table, a), places(table, b))
        assert shared <= common(found[a], found[b]) <= shared + BY_CHANCE


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=30), min_size=2, max_size=6))
def test_prompts_share_words_as_literal_tokens_are_shared(prompts):
    ids = np.array(list(itertools.chain(*prompts)), dtype=np.int32)
    lengths = [len(prompt) for prompt in prompts]
    content = LiteralTokens(ids, np.cumsum([0, *lengths]))
    found = texts(table_of([0] * len(prompts), lengths, 0, content=content))
    for (a, x), (b, y) in itertools.combinations(zip(prompts, found, strict=True), 2):
        assert common(x, y) == common(a, b)


def test_requests_without_shared_tokens_differ_from_the_first_word_on():
    found = texts(table_of([0] * 500, 40))
    assert len({words[0] for words in found}) == 500


def test_parts_of_a_prompt_make_the_whole():
    prompts = Prompts(table_of([0], 50), WORDS, 3)
    assert prompts.text(0, 0, 20) + prompts.text(0, 20, 50) == prompts.text(0, 0, 50)


def test_the_seed_decides():
    table = table_of([0, 0], 40)
    assert texts(table, 5) == texts(table, 5)
    assert common(texts(table, 5)[0], texts(table, 6)[0]) < BY_CHANCE


def test_the_words():
    assert len(set(WORDS.words)) == len(WORDS.words) == 1024
    assert all(word.isalpha() and word.islower() for word in WORDS.words)


def tokenizer_of(path, words, special=True):
    """A tokenizer that knows some words, as one token each, and splits others into letters."""
    known = [*(chr(code) for code in range(97, 123)), "Ġ", "Ġthe", *(f"Ġ{word}" for word in words)]
    unknown = {"[UNK]": 0, "<s>": 1}
    pieces = [*unknown, *dict.fromkeys(known)]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, continuing_subword_prefix=""))
    tokenizer.model.unk_token = "[UNK]"
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if special:
        tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.save(str(path))
    return tokenizer


@pytest.mark.parametrize("special", [True, False])
def test_with_a_tokenizer_lengths_are_exact(tmp_path, special):
    path = tmp_path / "tokenizer.json"
    tokenizer = tokenizer_of(path, WORDS.words[100:300], special)
    found = vocabulary_of(str(tmp_path))
    assert set(found.words) == {*WORDS.words[100:300]}
    assert found.special_tokens == special
    assert vocabulary_of(str(path)) == found
    text = Prompts(table_of([0], 50), found, 1).text(0, 0, 50 - found.special_tokens)
    assert len(tokenizer.encode(text).ids) == 50


def test_tokenizers_that_do_not_do(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "broken.json").write_text("{}")
    tokenizer_of(tmp_path / "few.json", WORDS.words[:5])
    for name, problem in (
        (tmp_path / "broken.json", "neither a tokenizer.json nor a known id"),
        (tmp_path / "few.json", "only 5 of the words for prompts are one token in it"),
    ):
        with pytest.raises(ConfigError, match=problem):
            vocabulary_of(str(name))
