"""Golden files: what runs gave when somebody last found it right."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from blis.errors import ConfigError
from blis.files.decode import Section, read_json
from blis.files.existing import exists
from blis.files.output import replacing

#: What is kept of a figure; a text is the verdict.
Figure = int | float | str | None


@dataclass(frozen=True)
class GoldenRun:
    """What one run gave.

    Attributes:
        settings: what it was told, plain values by key.
        inputs: SHA-256 of the files that it named.
        digest: of its outcomes (`blis.outcomes.digest`).
        figures: those of its summary, steps and the verdict, by name.
    """

    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    digest: str
    figures: Mapping[str, Figure]


@dataclass(frozen=True)
class Golden:
    """What all runs of a bench file gave.

    Attributes:
        blis_version: that simulated them.
        runs: by their names.
    """

    blis_version: str
    runs: Mapping[str, GoldenRun]


def read_golden(path: Path) -> Golden:
    """Read what `write_golden` wrote.

    Raises:
        ConfigError: it cannot be read, or is something else.
    """
    top = read_json(path)
    version, runs = top.text("blis_version"), top.section("runs")
    top.finish()
    return Golden(version, {name: _run(runs.section(name)) for name in runs.names()})


def _run(section: Section) -> GoldenRun:
    settings, inputs, figures = (section.section(name) for name in ("settings", "inputs", "figures"))
    digest = section.text("digest")
    section.finish()
    for name, value in figures.plain().items():
        if not isinstance(value, Figure) or isinstance(value, bool):
            figures.fail(name, f"must be a number, a text or null, got {value!r}")
    return GoldenRun(settings.plain(), {name: inputs.text(name) for name in inputs.names()}, digest, figures.plain())


def write_golden(path: Path, golden: Golden) -> None:
    """Write a golden file, in place of an earlier one."""
    with replacing(path) as temporary:
        text = json.dumps(asdict(golden), indent=2, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def check_golden(path: Path, file: Path) -> None:
    """Refuse to go on without a golden file.

    Raises:
        ConfigError: there is none; says how to make it.
    """
    if not exists(path):
        raise ConfigError(f"{path}: there are no golden runs yet; 'blis bench {file} --update' makes them")
