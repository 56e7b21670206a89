"""Names of models that ship with blis, and what may be meant by one that does not."""

from __future__ import annotations

import re
from collections.abc import Iterable

from blis.errors import nearest
from blis.files.resources import data_path

_FP8 = re.compile(r"[-_.]fp8([-_](dynamic|block))?$")


def shipped_models() -> list[str]:
    """Names of all models whose ``config.json`` ships: the last part of their ids, in lower case."""
    folders = data_path("model_configs").iterdir()
    return sorted(folder.name for folder in folders if (folder / "config.json").is_file())


def model_hint(name: str, ids: Iterable[str]) -> str | None:
    """What may be meant by a name that is not known; None if nothing comes close.

    Args:
        name: in lower case.
        ids: those that are known.
    """
    known = {*ids}
    by_part = {each.rpartition("/")[2]: each for each in sorted(known)}
    base = _FP8.sub("", name)
    found = base if base in known else by_part.get(base.rpartition("/")[2])
    if base != name and found:
        return f"{found} is known, and in FP8 as --model {found} --quantization fp8"
    close = nearest(name, {*known, *by_part})
    return close if close.startswith("did") else None
