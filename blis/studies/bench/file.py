"""Bench files: which configurations are kept an eye on (docs/bench.md)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from blis.api import check_horizon
from blis.errors import InputError
from blis.files.decode import Section, read_yaml
from blis.studies.sweep.checking import add_inputs, idle_keys, located, note_idle
from blis.studies.sweep.file import check_names, read_settings
from blis.studies.sweep.points import Settings
from blis.studies.sweep.runner import Case
from blis.studies.sweep.work import Worker

_log = logging.getLogger("blis")


@dataclass(frozen=True)
class BenchRun:
    """A run that is kept an eye on.

    Attributes:
        settings: all that is set, plain values by key.
        inputs: SHA-256 of every file that it names, by the name it has in the bench file.
        case: what to simulate.
    """

    settings: Mapping[str, object]
    inputs: Mapping[str, str]
    case: Case


@dataclass(frozen=True)
class Bench:
    """What a bench file says, read and checked.

    Attributes:
        source: the file's name, for messages.
        runs: by their names.
        worker: does them, with what was read.
    """

    source: str
    runs: Mapping[str, BenchRun]
    worker: Worker


def load_bench(path: Path) -> Bench:
    """Read a bench file, and check each of its runs as ``blis run`` would.

    Raises:
        InputError: one line that names the file, the key and what would be valid.
    """
    top = read_yaml(path)
    base = read_settings(top.optional(top.section, "base") or Section({}, top.source, "base"))
    named = top.section("runs")
    if not named.names():
        top.fail("runs", "must name one run at least, got none")
    own = {name: read_settings(named.section(name)) if named.has(name) else Settings() for name in named.names()}
    top.finish()
    whole = {name: settings.over(base) for name, settings in own.items()}
    folder = path.resolve().parent
    worker = Worker(folder)
    runs = {name: _checked(top.source, name, settings, worker, folder) for name, settings in whole.items()}
    return Bench(top.source, runs, worker)


def _checked(source: str, name: str, settings: Settings, worker: Worker, folder: Path) -> BenchRun:
    """A run of which everything is decided; what is worth a warning is said."""
    check_names(source, settings.places)
    try:
        case = worker.cases.case(settings.values)
        check_horizon(case.horizon_us)
        resolved = worker.runner.check(case)
        worker.runner.requests(case)
    except InputError as error:
        raise located(error, source, f"runs.{name}", settings) from None
    idle: dict[str, str | None] = {}
    note_idle(idle, settings)
    for text in (*resolved.warnings, *idle_keys(idle)):
        _log.warning("%s: %s", name, text)
    inputs: dict[str, str] = {}
    add_inputs(inputs, settings, case, folder)
    return BenchRun({key: value for key, value in settings.values.items() if value is not None}, inputs, case)
