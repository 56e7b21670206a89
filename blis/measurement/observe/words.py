"""Words that prompts are made of: each is one token, as far as is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from blis.errors import ConfigError
from blis.files.existing import exists, is_folder

#: Fewer would make texts too much alike.
_FEWEST = 64


@dataclass(frozen=True)
class Vocabulary:
    """Words, and what a prompt holds besides them.

    Attributes:
        words: each one token when a space stands before it.
        special_tokens: tokens that the tokenizer puts around a text by itself.
    """

    words: tuple[str, ...]
    special_tokens: int = 0


@cache
def common_vocabulary() -> Vocabulary:
    """1,024 common English words.

    Each is one token, with or without a space before it, in the vocabularies of GPT-2, GPT-4 (``cl100k_base``, which
    those of Llama 3 and Qwen extend) and GPT-4o (``o200k_base``), and with a space in those of DeepSeek V3 and
    Claude 2; all were looked up.
    """
    return Vocabulary(tuple((Path(__file__).parent / "words.txt").read_text(encoding="ascii").split()))


def vocabulary_of(tokenizer: str) -> Vocabulary:
    """Those of the common words that are one token for some tokenizer.

    Args:
        tokenizer: a ``tokenizer.json``, a folder that holds one, or a HuggingFace id.

    Raises:
        ConfigError: it cannot be loaded, or few of the words are one token for it.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise ConfigError("tokenizer: needs the package tokenizers; pip install 'blis-sim[tokenizer]'") from None
    path = Path(tokenizer)
    file = path / "tokenizer.json" if is_folder(path) else path
    try:
        loaded = Tokenizer.from_file(str(file)) if exists(file) else Tokenizer.from_pretrained(tokenizer)
    except Exception as error:  # the package raises nothing narrower
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"tokenizer: {tokenizer}: is neither a tokenizer.json nor a known id: {reason}") from None

    def count(text: str, special: bool = False) -> int:
        return len(loaded.encode(text, add_special_tokens=special).ids)

    words = tuple(word for word in common_vocabulary().words if _adds_one(count(" the"), count(f" the {word}")))
    if len(words) < _FEWEST:
        raise ConfigError(f"tokenizer: {tokenizer}: only {len(words)} of the words for prompts are one token in it")
    return Vocabulary(words, count(" the", special=True) - count(" the"))


def _adds_one(before: int, after: int) -> bool:
    return after == before + 1


def text_of(words: Sequence[str]) -> str:
    """Words as text, each with a space before it, so that any two texts can be put together."""
    return "".join([f" {word}" for word in words])
