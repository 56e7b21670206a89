"""The defaults file: published coefficients of step time, usual deployments, preset workloads."""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields
from pathlib import Path

from blis.config.hardware import canonical_gpu_name
from blis.config.versions import normalize_version, parse_version
from blis.errors import ConfigError, nearest
from blis.files.decode import Section, read_yaml
from blis.files.existing import exists
from blis.files.resources import data_path


@dataclass(frozen=True)
class ModelDefault:
    """The usual deployment of a model: fills in what is not said."""

    hardware: str
    tp: int
    vllm_version: str


@dataclass(frozen=True)
class CoefficientRow:
    """Published coefficients of one (model, GPU, TP, vLLM version); docs/approach.md says what they mean.

    Attributes:
        hardware: GPU name, as the file has it.
        tp: tensor parallelism degree.
        vllm_version: release number, like ``0.8.4``.
        alpha: three queueing coefficients.
        beta: three to five step-time coefficients.
        total_kv_blocks: published number of KV blocks of 16 tokens; never measured.
    """

    hardware: str
    tp: int
    vllm_version: str
    alpha: tuple[float, float, float]
    beta: tuple[float, ...]
    total_kv_blocks: int

    def __str__(self) -> str:
        return f"{self.hardware}:{self.tp}:{self.vllm_version}"


@dataclass(frozen=True)
class TokenCounts:
    """A normal distribution of token counts, clamped to [min, max]."""

    mean: int
    stdev: int
    min: int
    max: int


@dataclass(frozen=True)
class PresetWorkload:
    """A workload with a name: a shared prefix, and the lengths of prompts and outputs."""

    prefix_tokens: int
    prompt_tokens: TokenCounts
    output_tokens: TokenCounts


class Defaults:
    """A defaults file, decoded where it is looked at.

    Only the sections asked for are checked in depth, so that each run pays for one model and not for all.
    """

    def __init__(self, root: Section) -> None:
        self.source = root.source
        self._models = root.section("models")
        self._workloads = root.section("workloads")
        self._keys = {key.lower(): key for key in self._models.names()}
        self._rows: dict[str, tuple[CoefficientRow, ...]] = {}

    @property
    def models(self) -> tuple[str, ...]:
        """Ids of all models the file knows, lower case."""
        return tuple(self._keys)

    @property
    def presets(self) -> tuple[str, ...]:
        """Names of all preset workloads."""
        return tuple(self._workloads.names())

    def default(self, model: str) -> ModelDefault | None:
        """The usual deployment of a model, if the file has one.

        Raises:
            ConfigError: if the entry is malformed.
        """
        entry = self._model(model)
        if entry is None or not entry.has("default"):
            return None
        section = entry.section("default")
        result = ModelDefault(section.text("hardware"), section.integer("tp", least=1), _version(section))
        section.finish()
        return result

    def rows(self, model: str) -> tuple[CoefficientRow, ...]:
        """All coefficients of a model, in the file's order.

        Raises:
            ConfigError: if the entry is malformed.
        """
        if model not in self._rows:
            entry = self._model(model)
            sections = entry.sections("coefficients") if entry is not None and entry.has("coefficients") else []
            self._rows[model] = tuple(map(_read_row, sections))
        return self._rows[model]

    def find(self, model: str, hardware: str, tp: int, vllm_version: str) -> CoefficientRow | None:
        """The first coefficients of that key, if any; aliases of the GPU and all forms of the version are alike.

        Raises:
            ConfigError: if the model's entry, or the version, is malformed.
        """
        wanted = (canonical_gpu_name(hardware), tp, parse_version(vllm_version))
        for row in self.rows(model):
            if (canonical_gpu_name(row.hardware), row.tp, parse_version(row.vllm_version)) == wanted:
                return row
        return None

    def preset(self, name: str) -> PresetWorkload:
        """A preset workload.

        Raises:
            ConfigError: if there is none of that name, or it is malformed.
        """
        if not self._workloads.has(name):
            raise ConfigError(f"workload: unknown preset {name!r}; {nearest(name, self.presets)}")
        section = self._workloads.section(name)
        result = PresetWorkload(
            section.integer("prefix_tokens", 0),
            _read_counts(section, "prompt_tokens"),
            _read_counts(section, "output_tokens"),
        )
        section.finish()
        return result

    def _model(self, model: str) -> Section | None:
        key = self._keys.get(model.strip().lower())
        return None if key is None else self._models.section(key)


def load_defaults(path: Path | None = None) -> Defaults:
    """Read a defaults file; the shipped one if no path is given.

    Raises:
        ConfigError: if it cannot be read or is malformed.
    """
    if path is None:
        return _shipped_defaults()
    state = path.stat() if exists(path) else None  # reading says what is wrong
    return _read_defaults(path, None if state is None else (state.st_mtime_ns, state.st_size))


@functools.cache
def _shipped_defaults() -> Defaults:
    return _read_defaults(data_path("defaults.yaml"), None)


@functools.lru_cache(maxsize=16)
def _read_defaults(path: Path, _: tuple[int, int] | None) -> Defaults:
    """Read a file, again only if its time or size has changed: it is long, and many runs look into it."""
    root = read_yaml(path)
    root.require(("models", "workloads"))
    defaults = Defaults(root)
    root.finish()
    return defaults


def _read_row(section: Section) -> CoefficientRow:
    alpha = section.numbers("alpha", least_count=3, most_count=3)
    row = CoefficientRow(
        hardware=section.text("hardware"),
        tp=section.integer("tp", least=1),
        vllm_version=_version(section),
        alpha=(alpha[0], alpha[1], alpha[2]),
        beta=section.numbers("beta", least_count=3, most_count=5),
        total_kv_blocks=section.integer("total_kv_blocks", least=2),
    )
    section.finish()
    return row


def _read_counts(section: Section, key: str) -> TokenCounts:
    counts = section.section(key)
    result = TokenCounts(**{f.name: counts.integer(f.name) for f in fields(TokenCounts)})
    counts.finish()
    if not result.min <= result.mean <= result.max:
        section.fail(key, f"must have min <= mean <= max, got {result.min}, {result.mean}, {result.max}")
    return result


def _version(section: Section) -> str:
    text = section.text("vllm_version")
    try:
        return normalize_version(text)
    except ConfigError:
        section.fail("vllm_version", f"must look like 0.8.4 or vllm/vllm-openai:v0.8.4, got {text!r}")
