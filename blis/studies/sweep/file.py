"""Sweep files: which runs there are (docs/sweep.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from blis.errors import ConfigError, nearest
from blis.files.decode import Section, read_yaml
from blis.studies.sweep.keys import KEYS, Key
from blis.studies.sweep.named import with_names
from blis.studies.sweep.points import SAMPLERS, Points, Range, Settings, Shape

#: A sweep with more runs is a mistake: a grid over one key too many, say.
MOST_RUNS = 10**7
_USUAL_SEED = 42


@dataclass(frozen=True)
class Sweep:
    """What a sweep file says.

    Attributes:
        source: the file's name, for messages.
        folder: where files that it names are looked for.
        plain: all of it, as plain JSON.
        points: the settings to run.
        keys: those that are set anywhere, varied ones first.
        replications: runs of each point, of consecutive seeds.
    """

    source: str
    folder: Path
    plain: Mapping[str, Any]
    points: Points
    keys: tuple[Key, ...]
    replications: int

    def __len__(self) -> int:
        return len(self.points) * self.replications


def load_sweep(spec: str | Path | Mapping[str, Any]) -> Sweep:
    """Read a sweep file, or what would stand in one.

    Args:
        spec: path of a YAML file, or its content as nested mappings; files named there are then looked for in the
            working directory.

    Raises:
        ConfigError: one line that names the file, the key and what would be valid. Whether values go together is not
            looked at.
    """
    if isinstance(spec, Mapping):
        plain: Mapping[str, Any] = with_names(spec)
        return _sweep(Section(plain, "sweep"), Path.cwd(), plain)
    path = Path(spec)
    top = read_yaml(path)
    return _sweep(top, path.resolve().parent, top.plain())


def _sweep(top: Section, folder: Path, plain: Mapping[str, Any]) -> Sweep:
    base = read_settings(top.optional(top.section, "base") or Section({}, top.source, "base"))
    usual_seed = _USUAL_SEED if base.values.get("seed") is None else base.values["seed"]
    axes = list(_grid(top.optional(top.section, "grid") or Section({}, top.source, "grid")))
    entries = top.optional(top.sections, "list")
    if entries is not None:
        if not entries:
            top.fail("list", "must hold one point at least, got none")
        axes.append([read_settings(entry) for entry in entries])
    for block in SAMPLERS:
        drawn = top.optional(top.section, block)
        if drawn is not None:
            axes.append(_drawn(drawn, block, usual_seed))
    replications = top.integer("replications", 1, least=1)
    top.finish()
    varied = _places(top.source, axes)
    points = Points(base, axes)
    if len(points) * replications > MOST_RUNS:
        count = len(points) * replications
        raise ConfigError(f"{top.source}: describes {count:,} runs; at most {MOST_RUNS:,} make a sweep")
    check_names(top.source, {**base.places, **varied})
    keys = tuple(KEYS[name] for name in dict.fromkeys([*varied, *base.values]))
    return Sweep(top.source, folder, plain, points, keys, replications)


def read_settings(section: Section) -> Settings:
    """Read a mapping of keys and values.

    Raises:
        ConfigError: a key is unknown, or a value of another kind.
    """
    values = {name: _key(section, name).read(section, name) for name in section.names()}
    return Settings(values, {name: f"{section.path}.{name}" for name in values})


def _key(section: Section, name: str) -> Key:
    if name not in KEYS:
        section.fail(name, f"unknown key; {nearest(name, KEYS)}")
    return KEYS[name]


def _grid(section: Section) -> Iterator[list[Settings]]:
    """An axis per key."""
    for name in section.names():
        key = _key(section, name)
        yield [
            Settings({name: key.read(entry, place)}, {name: f"{section.path}.{place}"})
            for entry, place in section.entries(name)
        ]


def _drawn(section: Section, block: str, usual_seed: int) -> list[Settings]:
    """An axis of points that are drawn."""
    count = section.integer("count", least=1)
    if count > MOST_RUNS:
        section.fail("count", f"must be at most {MOST_RUNS}, got {count}")
    seed = section.integer("seed", usual_seed)
    ranges = section.section("ranges")
    section.finish()
    if not ranges.names():
        section.fail("ranges", "must name one key at least, got none")
    columns = {
        name: _range(ranges.section(name), _key(ranges, name)).at(SAMPLERS[block](seed, name, count))
        for name in ranges.names()
    }
    places = {name: f"{ranges.path}.{name}" for name in columns}
    rows = zip(*columns.values(), strict=True)
    return [Settings(dict(zip(columns, row, strict=True)), places) for row in rows]


def _range(section: Section, key: Key) -> Range:
    """Read where the values of a key are drawn from."""
    names = [name for name in section.names() if section.has(name)]
    if len(names) != 1 or names[0] not in get_args(Shape):
        found = ", ".join(section.names()) or "nothing"
        raise ConfigError(f"{section.source}: {section.path}: must be one of {', '.join(get_args(Shape))}, got {found}")
    shape: Shape = names[0]  # type: ignore[assignment]
    if shape == "choices":
        return Range(shape, tuple(key.read(entry, place) for entry, place in section.entries(shape)))
    if key.kind not in ("integer", "number"):
        section.fail(shape, f"{key.name} is no number; give choices")
    if key.kind == "integer" and shape != "integers":
        section.fail(shape, f"{key.name} is a whole number; give integers or choices")
    low, high = section.numbers(shape, least_count=2, most_count=2)
    if low > high or (low == high and shape != "integers"):
        section.fail(shape, f"must be two numbers, the lower one first, got {low:g} and {high:g}")
    if shape == "log_uniform" and low == 0.0:
        section.fail(shape, "must be two numbers > 0, got 0")
    if shape != "integers":
        return Range(shape, (low, high))
    if not low.is_integer() or not high.is_integer():
        section.fail(shape, f"must be two whole numbers, got {low:g} and {high:g}")
    return Range(shape, (int(low), int(high)))


def _places(source: str, axes: Sequence[Sequence[Settings]]) -> dict[str, str]:
    """Where each varied key stands; none may be varied by two axes, which would contradict each other."""
    varied: dict[str, str] = {}
    for axis in axes:
        own = {name: place for settings in reversed(axis) for name, place in settings.places.items()}
        for name, place in own.items():
            if name in varied:
                raise ConfigError(f"{source}: {place}: is varied by {varied[name]}, too; give one of them")
        varied |= own
    return varied


def check_names(source: str, places: Mapping[str, str]) -> None:
    """Refuse two names of one thing.

    Args:
        source: the file's name.
        places: where in it each key stands.

    Raises:
        ConfigError: names both.
    """
    known: dict[str, str] = {}
    for name, place in places.items():
        other = known.setdefault(KEYS[name].field, name)
        if other != name:
            raise ConfigError(f"{source}: {place}: is the same as {other}, which is given, too; use one name")
