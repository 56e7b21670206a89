"""Measured points: a server, a load, and the figures that somebody published for them (measured/README.md)."""

from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path

from blis.errors import ConfigError
from blis.files.strict_yaml import parse_yaml

FOLDER = Path(__file__).parent.parent / "measured"
#: Latencies are of the client; ``output_tps`` is output tokens per second of all GPUs.
FIGURES = (
    "output_tps",
    *(f"{name}_{of}_ms" for name in ("ttft", "tpot", "itl", "e2e") for of in ("mean", "median", "p95", "p99")),
    "duration_s",
)
LOADS = ("closed", "open", "at once", "batch", "replay", "turns")


@dataclass(frozen=True)
class Load:
    """How requests come: ``closed`` and ``turns`` have users, ``open`` a rate per second and a process."""

    kind: str
    users: int | None = None
    rate: float | None = None
    process: str = ""


@dataclass(frozen=True, eq=False)
class Point:
    """One row of measured/*.yaml with all that stands above it there; the keys are explained in its README."""

    id: str
    source: str
    licence: str
    engine: str
    model: str
    family: str
    quantization: str
    gpu: str
    tp: int
    load: Load
    repository: str | None = None
    commit: str | None = None
    path: str | None = None
    url: str | None = None
    page: str | None = None
    date: str | None = None
    version: str | None = None
    client: str | None = None
    config: str | None = None
    kv_dtype: str = "auto"
    pp: int = 1
    dp: int = 1
    ep: int = 1
    attention_dp: bool = False
    cuda_graphs: bool = True
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    prefix_caching: bool = True
    gpu_memory_utilization: float | None = None
    max_model_len: int | None = None
    launch: str = ""
    assumed: str = ""
    doubt: str | None = None
    input: int | str | None = None
    output: int | str | None = None
    prompts: int | None = None
    shared_prefix: str | None = None
    measured: dict[str, float] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """Points of one group count as much as those of another in macro figures."""
        return f"{self.source}, {self.family}, {self.gpu}"

    @property
    def level(self) -> float:
        """What differs along a curve."""
        return self.load.users or self.load.rate or self.prompts or 0

    @cached_property
    def curve(self) -> tuple:
        """Points of one curve differ in the level of load only."""
        of_server = (self.source, self.engine, self.version, self.model, self.quantization, self.kv_dtype, self.gpu)
        parallel = (self.tp, self.pp, self.dp, self.ep, self.attention_dp)
        settings = (
            self.max_num_seqs,
            self.max_num_batched_tokens,
            self.prefix_caching,
            self.max_model_len,
            self.launch,
        )
        output = str(self.output).split()[0]  # the mean of an assumed law wanders from row to row
        return (*of_server, *parallel, *settings, self.input, output, self.load.kind)


def read_points(folder=FOLDER):
    """All points of all files, in the order of files and rows.

    Raises:
        ConfigError: a key is unknown or missing, or an id is given twice.
    """
    points = [point for path in sorted(folder.glob("*.yaml")) for point in _read_file(path)]
    seen = set()
    for point in points:
        if point.id in seen:
            raise ConfigError(f"{folder}: {point.id} is given twice")
        seen.add(point.id)
    return points


def _read_file(path):
    top = parse_yaml(path.read_text(encoding="utf-8"))
    for run in top.pop("runs"):
        columns, rows = run.pop("columns"), run.pop("rows")
        for row in rows:
            if len(row) != len(columns):
                raise ConfigError(f"{path}: {run['run']}: a row has {len(row)} values, not {len(columns)}: {row}")
            yield _point(path, {**top, **run, **dict(zip(columns, row, strict=True))})


def _point(path, values):
    values = {key: value for key, value in values.items() if value is not None}
    name = f"{values.pop('run')}/{values.pop('point'):03d}"
    measured = {key: values.pop(key) for key in FIGURES if key in values}
    known = {each.name for each in fields(Point)} - {"id", "measured"}
    if unknown := set(values) - known:
        raise ConfigError(f"{path}: {name}: unknown keys: {', '.join(sorted(unknown))}")
    return Point(id=name, **values | {"load": _load(path, values["load"])}, measured=measured)


def _load(path, text):
    kind = next((kind for kind in LOADS if text == kind or text.startswith(f"{kind} ")), None)
    if kind is None:
        raise ConfigError(f"{path}: load: {text!r} is none of {', '.join(LOADS)}")
    rest = text.removeprefix(kind).split()
    if kind == "open":
        return Load(kind, rate=float(rest[0]), process=rest[1])
    return Load(kind, users=int(rest[0]) if rest else None)
