"""A model's configuration, read so that no key goes unnoticed.

A reader takes what it understands. Of the rest, a key is harmless (it bears on neither cost nor memory), or it bears on
them and is refused by name unless its value switches it off, or nobody knows it and it is told once.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from blis.config.model.keys import TEXT_PARTS, is_costly, is_harmless, is_off, is_read_elsewhere, joins_parts
from blis.files.decode import Section, shown

#: No size is so many times another one.
_MOST_RATIO = 1e4
#: Classes of transformers 5 that tie embeddings if either part says so.
_FORWARDING = (
    *("glm4v", "glm4v_moe", "glm_ocr", "hunyuan_vl", "llava", "llava_next_video", "llava_onevision", "paddleocr_vl"),
    *("perception_lm", "qwen2_vl", "qwen2_5_vl", "video_llama_3"),
)


class ModelConfig(Section):
    """A configuration with its language model's part laid over it, and the defaults of its class beneath.

    Args:
        file: the whole file.
        defaults: what the class takes for a key that is not there.
    """

    def __init__(self, file: Section, defaults: Mapping[str, Any]) -> None:
        outer = file.plain()
        self._part = next((key for key in TEXT_PARTS if file.holds_mapping(key)), "")
        self._inner: dict[str, Any] = outer[self._part] if self._part else {}
        given = {**outer, **self._inner}
        if _is_said_outside(outer, self._inner):
            given["tie_word_embeddings"] = outer["tie_word_embeddings"]
        self._given = frozenset(given)
        super().__init__({**defaults, **given}, file.source, file.path)
        self._doubts: list[str] = []
        self._assumed: dict[str, int | float] = {}
        self._parts: list[Section] = []

    @property
    def is_nested(self) -> bool:
        """Whether the language model is a part of it; such parts leave out what their class has by default."""
        return bool(self._part)

    def is_given(self, key: str) -> bool:
        """Whether the file itself says the key, null or not."""
        return key in self._given

    def doubt(self, text: str) -> None:
        """Note what is not known for sure."""
        if text not in self._doubts:
            self._doubts.append(text)

    def ignore(self, *keys: str) -> None:
        """Take note of keys that say what others say as well."""
        self._read.update(keys)

    def size(self, *keys: str, default: int | None = None, least: int = 1) -> int:
        """Read a whole number by any of its spellings, which must agree; the first is named if all are missing."""
        found = [key for key in keys if self.has(key) and self.is_given(key)] or [k for k in keys if self.has(k)][:1]
        values = {key: self.integer(key, least=least) for key in found}
        if len(set(values.values())) > 1:
            said = ", ".join(f"{key} {value}" for key, value in values.items())
            self.fail(found[1], f"must say the same as {found[0]}, got {said}")
        self.ignore(*keys)
        return self.integer(keys[0], default, least=least) if not found else values[found[0]]

    def per_layer(self, *keys: str, count: int, default: int | None = None, least: int = 1) -> list[int]:
        """Read a size that is one number or a list with one per layer, by the first spelling that is there."""
        key = next((key for key in keys if self.has(key)), keys[0])
        if not self.holds_list(key):
            return [self.integer(key, default, least=least)] * count
        entries = self.entries(key)
        if len(entries) < count:
            self.fail(key, f"must have one value for each of {count} layers, got {len(entries)}")
        return [section.integer(name, least=least) for section, name in entries[:count]]

    def per_layer_flags(self, key: str, count: int) -> list[bool]:
        """Read a list with true or false for each layer."""
        entries = self.entries(key)
        if len(entries) < count:
            self.fail(key, f"must have one value for each of {count} layers, got {len(entries)}")
        return [section.flag(name) for section, name in entries[:count]]

    def numbers_of_layers(self, key: str, count: int, *, first: int = 0) -> frozenset[int]:
        """Read a list of numbers of layers, counted from ``first``; the result counts from 0."""
        self.ignore(key)
        if not self.has(key) or not self._list(key):
            return frozenset()
        numbers = [section.integer(name) for section, name in self.entries(key)]
        for number in numbers:
            if not first <= number < count + first:
                self.fail(key, f"must be numbers of layers from {first} to {count + first - 1}, got {number}")
        return frozenset(number - first for number in numbers)

    def part(self, key: str) -> Section:
        """Read a mapping whose keys are told apart as the others are."""
        self._parts.append(self.section(key))
        return self._parts[-1]

    def layer_texts(self, key: str, count: int) -> tuple[str, ...]:
        """Read a list with one text per layer, without those of layers that make drafts, beyond the model's own."""
        types = self.texts(key)
        if types and len(types) < count:
            self.fail(key, f"must name {count} layers, got {len(types)}")
        return types[:count]

    def overlaid(self, settings: Section) -> ModelConfig:
        """The same configuration with a layer's own settings laid over it; what is read of it counts as read."""
        own = copy.copy(self)
        own._values = {**self._values, **settings.plain()}
        own._given = self._given | set(settings.names())
        return own

    def check_overlay(self, settings: Section) -> None:
        """Refuse a layer's own settings that are not understood and may matter.

        Raises:
            ConfigError: naming such a setting.
        """
        for key in settings.names():
            if key not in self._read and not is_harmless(key) and not is_off(key, settings.plain()[key]):
                settings.fail(key, "is not understood as a setting of single layers for models of this family")

    def finish_strictly(self, *, refuse: bool = True) -> tuple[str, ...]:
        """Refuse what bears on cost and was not read; return the doubts, unknown keys among them.

        What joins other parts to the language model's, and stands beside it, is doubted only.

        Args:
            refuse: False to doubt such keys instead.

        Raises:
            ConfigError: naming such a key.
        """
        left = {key: self._values[key] for key in self.names() if key in self._given and key not in self._read}
        for part in self._parts:
            left |= {f"{part.path}.{key}": value for key, value in part.plain().items() if key not in part._read}
        left = {key: value for key, value in left.items() if _may_matter(key, value)}
        costly = [key for key in left if is_costly(_last(key)) and not self._is_beside(key)]
        if costly and refuse:
            problem = "bears on cost or memory, and is not understood for models of this family"
            self.fail(costly[0], f"{problem} (value {shown(left[costly[0]])})")
        if self._assumed and not self.is_nested:
            said = ", ".join(f"{key} {value}" for key, value in sorted(self._assumed.items()))
            self.doubt(f"not said by config.json and taken from the model's class: {said}")
        if left:
            self.doubt(f"keys of config.json that are not known: {', '.join(left)}")
        return tuple(self._doubts)

    def _get(self, key: str) -> Any:
        value = super()._get(key)
        if key not in self._given and isinstance(value, int | float) and not isinstance(value, bool):
            self._assumed[key] = value
        return value

    def _is_beside(self, path: str) -> bool:
        key = path.partition(".")[0]
        return self.is_nested and key not in self._inner and joins_parts(key)

    def _path_to(self, key: str) -> str:
        name = re.split(r"[\[.]", key)[0]
        return super()._path_to(f"{self._part}.{key}" if name in self._inner else key)


def ratio(section: Section, key: str, default: float | None = None) -> float:
    """Read how many times as large something is as another size."""
    return section.number(key, default, most=_MOST_RATIO)


def _is_said_outside(outer: Mapping[str, Any], inner: Mapping[str, Any]) -> bool:
    """Whether the outer part decides if the LM head is the embeddings: it does where transformers 5 wrote the file.

    Some classes still take the language model's word if that says so.
    """
    major = str(outer.get("transformers_version", "")).partition(".")[0]
    is_new = major.isdecimal() and int(major[:4]) >= 5
    is_forwarded = inner.get("tie_word_embeddings") is True and outer.get("model_type") in _FORWARDING
    return outer.get("tie_word_embeddings") is not None and is_new and not is_forwarded


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _may_matter(path: str, value: Any) -> bool:
    key = _last(path)
    if is_read_elsewhere(key) or is_harmless(key):
        return False
    return not is_off(key, value)
