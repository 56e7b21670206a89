"""A deployment as the command that simulates it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from blis.config.schema import FUNCTION_FORM
from blis.studies.sweep.keys import KEYS
from blis.studies.sweep.named import Named


def run_command(settings: Mapping[str, Any], folder: Path, num_instances: int, num_requests: int | None = None) -> str:
    """The ``blis`` command that simulates settings once.

    Args:
        settings: plain values by key.
        folder: where files that they name are; in the command they are relative to the working directory.
        num_instances: how many.
        num_requests: how many; None: as the workload has it.
    """
    command = "replay" if "trace_header" in settings else "run"
    chosen = {**settings, "num_instances": num_instances}
    if num_requests is not None:
        chosen["max_prompts"] = num_requests
    words = ["blis", command]
    for name, plain in chosen.items():
        if plain is not None:
            words += _flag(name, plain, folder)
    return shlex.join(words)


def _flag(name: str, plain: Any, folder: Path) -> Iterator[str]:
    key, flag = KEYS[name], name.replace("_", "-")
    if name == "workload" and isinstance(plain, Named):  # which no file holds yet
        yield from ("--workload", "traces", "--workload-traces-filepath", "trace.parquet")
        return
    if key.kind == "flag":
        yield f"--{flag}" if plain else f"--no-{flag}"
        return
    yield f"--{flag}"
    if key.kind == "path":
        yield os.path.relpath(key.value(plain, folder))
    elif isinstance(plain, Named):  # a law, which no file holds yet
        yield f"{FUNCTION_FORM.partition(':')[0]}:{plain.partition(' ')[0]}"
    elif key.kind == "function":
        module, separator, function = str(key.value(plain, folder)).rpartition(":")
        yield f"{os.path.relpath(module)}:{function}" if module.endswith(".py") else f"{module}{separator}{function}"
    else:
        yield str(int(plain) if isinstance(plain, float) and plain.is_integer() else key.cell(plain))
