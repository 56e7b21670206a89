"""How many tokens a text has, without a tokenizer: by words where these are set apart, else by characters.

The figures are means over what byte-level BPE of 128,000 to 200,000 entries made of some 40 texts (Llama 3, Qwen, and
OpenAI's o200k_base; docs/workload-formats.md says how far off they are).
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

from blis.workload.convert.options import TOKENS_PER_WORD

#: Scripts that set words apart: their letters, and tokens per word.
_SPACED = {
    "latin": (r"A-Za-z\u00aa-\u024f\u0300-\u036f\u1e00-\u1eff'\u2019", TOKENS_PER_WORD),
    "cyrillic": (r"\u0370-\u058f", 2.0),  # and Greek, Armenian
    "arabic": (r"\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff", 2.0),  # and Hebrew
    "indic": (r"\u0900-\u0dff", 2.5),
    "hangul": (r"\u1100-\u11ff\u3130-\u318f\uac00-\ud7ff", 2.3),
}
#: Longer ones are no words; what they are made of is counted.
_MOST_LETTERS = 12
_WORD = re.compile(
    r"[^\w\s]{0,2}(?:"
    + "|".join(f"(?P<{name}>[{letters}]{{1,{_MOST_LETTERS}}})" for name, (letters, _) in _SPACED.items())
    + r")[^\w\s]{0,2}"
)
#: What else there is: characters, tokens of the first one of a run, and of each further one.
_RUNS = {
    "capitalised": ("[A-Z]?[a-z]+", 1.0, 0.0),  # a part of an identifier
    "capitals": ("[A-Z]+", 1.0, 0.5),
    "digits": ("[0-9]+", 1.0, 0.5),  # one to three of them are a token
    "marks": (r"[!-/:-@\[-`{-~]+", 1.0, 0.2),
    **{
        name: (f"[{_SPACED[name][0]}]+", each, each)
        for name, each in (("latin", 0.4), ("cyrillic", 0.38), ("arabic", 0.5), ("indic", 0.7), ("hangul", 0.85))
    },
    "thai": (r"[\u0e00-\u0eff]+", 0.5, 0.5),  # and Lao
    "khmer": (r"[\u0f00-\u109f\u1780-\u17ff\u1950-\u1aaf]+", 1.2, 1.2),  # and Burmese, Tibetan
    "east_asian": (r"[\u2e80-\ua4cf\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff]+", 0.8, 0.8),
    "other": (".", 1.0, 1.0),
}
_RUN = re.compile("|".join(f"(?P<{name}>{pattern})" for name, (pattern, _, _) in _RUNS.items()), re.DOTALL)
#: The longest run of small letters that is about one token.
_LETTERS_PER_TOKEN = 8
#: A line's end with the next one's indentation is a token; any other white space goes with the word behind it.
_INDENTED = re.compile(r"\n[ \t]+")
#: Longer ones hardly come twice.
_MOST_REMEMBERED = 24


def estimate_tokens(text: str, tokens_per_word: float | None = None) -> int:
    """About how many tokens a text has.

    Args:
        text: any.
        tokens_per_word: of all scripts that set words apart; None: of each script its own.
    """
    tokens = math.fsum(
        _known(word, tokens_per_word) if len(word) <= _MOST_REMEMBERED else _of_word(word, tokens_per_word)
        for word in text.split()
    )
    return math.ceil(tokens + len(_INDENTED.findall(text)))


def _of_word(word: str, tokens_per_word: float | None) -> float:
    """Tokens of what stands between white space."""
    found = _WORD.fullmatch(word)
    if found is not None:
        assert found.lastgroup is not None
        return tokens_per_word or _SPACED[found.lastgroup][1]
    return math.fsum(_of_run(found.lastgroup or "", len(found[0])) for found in _RUN.finditer(word))


_known = lru_cache(maxsize=1 << 16)(_of_word)


def _of_run(kind: str, length: int) -> float:
    if kind == "capitalised":
        return max(1.0, length / _LETTERS_PER_TOKEN)
    _, first, further = _RUNS[kind]
    return first + (length - 1) * further
