"""Lengths of texts, and which messages of a conversation are prompt and output."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blis.cli.main import main
from blis.errors import ConfigError, InputError
from blis.workload.convert.converting import convert
from blis.workload.convert.options import ReadOptions, Selection
from blis.workload.convert.text_tokens import estimate_tokens
from blis.workload.traces.loading import load_trace

#: Texts, and what the tokenizers of Llama 3 and of Qwen, and OpenAI's o200k_base, made of them.
MEASURED = [
    (
        "Can you help me write a short email to my landlord? The heating in my apartment has been broken sinc"
        "e Tuesday, and I've already called twice.",
        (30, 30, 29),
    ),
    (
        "第二天早上雾很大，电车还没看见，声音就先传过来了。书店老板娘照常九点开门，把打折的旧书搬到屋檐下面，"
        "然后泡了一壶茶。",
        (53, 42, 52),
    ),
    (
        "翌朝は霧がとても濃くて、路面電車は姿が見える前に音が聞こえてきた。書店の女主人はそれでもいつもどおり"
        "九時に店を開けた。",
        (48, 42, 54),
    ),
    (
        "다음 날 아침에는 안개가 너무 짙어서 전차가 보이기 전에 소리부터 들렸다.",
        (24, 29, 26),
    ),
    (
        "เช้าวันรุ่งขึ้นหมอกหนามากจนได้ยินเสียงรถรางก่อนที่จะมองเห็นมัน",
        (32, 36, 24),
    ),
    (
        "На следующее утро туман был таким густым, что трамвай слышали раньше, чем видели.",
        (25, 29, 24),
    ),
    (
        "في صباح اليوم التالي كان الضباب كثيفا إلى درجة أن الناس كانوا يسمعون صوت القطار قبل أن يروه.",
        (32, 30, 25),
    ),
    (
        '{"id":1,"name":"Alice","email":"alice@example.org","active":false,"score":62.29,"tags":["alpha","beta"]}',
        (31, 33, 32),
    ),
    (
        "def allow(self, cost: float = 1.0) -> bool:\n    now = time.monotonic()\n    self._tokens -= cost\n    "
        "return True\n",
        (35, 35, 35),
    ),
    (
        "VGhlIHJpdmVyIGhhZCByaXNlbiBvdmVybmlnaHQsIGFuZCBieSB0aGUgdGltZSB3ZSByZWFjaGVkIHRoZSBicmlkZ2U=",
        (61, 61, 59),
    ),
    (
        "https://www.example.com/products/garden-tools/reviews?page=12&sort=desc#summary",
        (20, 21, 20),
    ),
]


@pytest.mark.parametrize(("text", "counts"), MEASURED)
def test_estimates_are_near_what_tokenizers_say(text, counts):
    assert 0.7 * min(counts) <= estimate_tokens(text) <= 1.4 * max(counts)


@given(st.lists(st.sampled_from(["river", "fence,", "(coffee)", "don't", "naïve", "Überzug", "2.", "a"]), max_size=30))
def test_plain_words_count_as_told(words):
    plain = [word for word in words if word != "2."]
    assert estimate_tokens(" ".join(plain), 1.5) == -int(-1.5 * len(plain) // 1)
    assert estimate_tokens(" \n".join(plain)) == estimate_tokens(" ".join(plain))


@given(st.text(max_size=200), st.text(max_size=200))
def test_estimates_grow_with_the_text(one, other):
    assert 0 <= estimate_tokens(one) <= estimate_tokens(f"{one} {other}") <= 20 + 3 * len(one + other)


@pytest.mark.parametrize(
    "unit", ["東京は日本の首都。", "กรุงเทพมหานคร", "서울특별시는수도이다", "QUJDREVG", '{"a":[1,2]}', "Привет"]
)
def test_long_texts_without_spaces_grow_by_characters(unit):
    one, many = estimate_tokens(unit * 20), estimate_tokens(unit * 200)
    assert one > 0.1 * len(unit * 20)
    assert many == pytest.approx(10 * one, rel=0.05)


def message(role, text, keys=("from", "value")):
    return dict(zip(keys, (role, text), strict=True))


#: Four words are six tokens at 1.5 each.
SYSTEM, QUESTION, ANSWER = "be brief", "how long do eggs take", "nine minutes"
CONVERSATIONS = {
    "two": ([("human", QUESTION), ("gpt", ANSWER)], (8, 3)),
    "system": ([("system", SYSTEM), ("human", QUESTION), ("gpt", ANSWER)], (11, 3)),
    "two questions": ([("user", QUESTION), ("user", SYSTEM), ("assistant", ANSWER)], (11, 3)),
    "begins with an answer": ([("gpt", ANSWER), ("human", QUESTION), ("gpt", ANSWER)], (11, 3)),
    "more turns": ([("human", QUESTION), ("gpt", ANSWER), ("human", SYSTEM), ("gpt", ANSWER)], (8, 3)),
    "a tool": ([("human", QUESTION), ("gpt", ""), ("tool", SYSTEM), ("gpt", ANSWER)], (11, 3)),
    "capitals": ([("User", QUESTION), ("Assistant", ANSWER)], (8, 3)),
    "nobody answers": ([("human", QUESTION)], None),
    "nobody asks": ([("system", SYSTEM), ("gpt", ANSWER)], None),
    "an empty answer": ([("human", QUESTION), ("gpt", " ")], None),
}


def lengths(tmp_path, conversations):
    (tmp_path / "in.json").write_text(json.dumps(conversations))
    _, counts = convert(
        tmp_path / "in.json",
        tmp_path / "out.parquet",
        selection=Selection(rate=1.0),
        options=ReadOptions(tokens_per_word=1.5),
    )
    table = load_trace(tmp_path / "out.parquet")
    return list(zip(table.input_tokens.tolist(), table.output_tokens.tolist(), strict=True)), counts


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("form", ["sharegpt", "chat"])
def test_the_prompt_is_what_precedes_the_first_answer(tmp_path, name, form):
    messages, expected = CONVERSATIONS[name]
    keys, outer = (("from", "value"), "conversations") if form == "sharegpt" else (("role", "content"), "messages")
    usual = {"conversations": [message("human", "hello there"), message("gpt", "hello")]}
    found, counts = lengths(tmp_path, [{outer: [message(*one, keys) for one in messages]}, usual])
    assert found == ([expected] if expected else []) + [(3, 2)]
    assert counts.unanswered == (expected is None)


def test_messages_without_roles_are_taken_in_turn(tmp_path):
    found, counts = lengths(tmp_path, [{"conversations": [{"value": QUESTION}, {"value": ANSWER}]}])
    assert found == [(8, 3)]
    assert any("taken as user and assistant in turn" in text for text in counts.assumed)


def test_chat_messages_in_parts(tmp_path):
    parts = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": "x"}}]
    call = {"role": "assistant", "content": None, "tool_calls": []}
    messages = [{"role": "user", "content": parts}, call, {"role": "assistant", "content": ANSWER}]
    assert lengths(tmp_path, [{"messages": messages}])[0] == [(8, 3)]


def test_unknown_roles_are_told(tmp_path):
    with pytest.raises(
        InputError, match=r"conversation 0: conversations\[0\]: unknown role 'humna'; did you mean 'human'"
    ):
        lengths(tmp_path, [{"conversations": [message("humna", QUESTION), message("gpt", ANSWER)]}])


def test_what_is_left_out_is_told(tmp_path, capsys):
    conversations = [
        {"conversations": [message(*one) for one in CONVERSATIONS[name][0]]} for name in ("two", "nobody asks")
    ]
    (tmp_path / "in.json").write_text(json.dumps(conversations))
    assert main(["convert", str(tmp_path / "in.json"), str(tmp_path / "out.parquet"), "--rate", "1"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        f"blis: wrote 1 requests (sharegpt) to {tmp_path / 'out.parquet'}",
        "blis: tokens are estimated from texts, by words and characters of each script",
        f"blis: warning: {tmp_path / 'in.json'}: left out 1 conversations that nobody answers",
    ]


@pytest.mark.parametrize("given", [0, -1, 1e300, float("nan")])
def test_tokens_per_word_has_bounds(given):
    with pytest.raises(ConfigError, match="tokens_per_word: must be a number > 0 and <= 1000"):
        ReadOptions(tokens_per_word=given)
