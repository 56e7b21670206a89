"""Plan files: deployments to choose from, their prices, the load and its SLOs (docs/plan.md)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blis.errors import ConfigError, nearest
from blis.files.decode import Section, read_yaml
from blis.studies.capacity.capacity import MARGIN, NUM_REQUESTS, REPLICATIONS
from blis.studies.capacity.objectives import Slos
from blis.studies.sweep.keys import KEYS, OF_THE_LOAD
from blis.studies.sweep.named import with_names

#: More deployments than this are a mistake: an axis too many, say.
MOST_CANDIDATES = 10_000
MAX_INSTANCES = 64

#: What the planner decides itself.
_DECIDED = {"horizon", "num_requests", "max_prompts"}


@dataclass(frozen=True)
class Candidate:
    """A deployment to choose, or to choose the number of instances of.

    Attributes:
        place: where the file has it.
        settings: plain values by key, those of ``base`` included, without the number of instances.
        differing: its own ones.
        num_instances: fixed; None: the fewest that are enough.
        price_per_gpu_hour: fixed for this deployment; None: by the GPU's name.
    """

    place: str
    settings: Mapping[str, Any]
    differing: Mapping[str, Any]
    num_instances: int | None
    price_per_gpu_hour: float | None


@dataclass(frozen=True)
class PlanFile:
    """What a plan file says.

    Attributes:
        source: the file's name, for messages.
        folder: where files that it names are looked for.
        candidates: in the file's order.
        slos: what must hold.
        margin: SLOs must hold at a rate higher by this share.
        prices: per GPU and hour, by name of the GPU.
        max_instances: most of a deployment.
        num_requests: in each run, at first.
        replications: runs per point.
    """

    source: str
    folder: Path
    candidates: tuple[Candidate, ...]
    slos: Slos
    margin: float
    prices: Mapping[str, float]
    max_instances: int
    num_requests: int
    replications: int

    def price(self, candidate: Candidate, hardware: str | None) -> float:
        """Price per GPU and hour.

        Raises:
            ConfigError: there is none.
        """
        if candidate.price_per_gpu_hour is not None:
            return candidate.price_per_gpu_hour
        for name in (candidate.settings.get("hardware"), hardware):
            if name is not None and name in self.prices:
                return self.prices[name]
        if hardware is None:
            raise ConfigError(f"{self.source}: {candidate.place}.hardware: missing; its price is needed")
        hint = nearest(hardware, self.prices) if self.prices else "there are no prices"
        raise ConfigError(f"{self.source}: prices: none of {hardware}, which {candidate.place} needs; {hint}")


def load_plan(spec: str | Path | Mapping[str, Any]) -> PlanFile:
    """Read a plan file, or what would stand in one.

    Args:
        spec: path of a YAML file, or its content as nested mappings; files named there are then looked for in the
            working directory.

    Raises:
        ConfigError: one line that names the file, the key and what would be valid.
    """
    if isinstance(spec, Mapping):
        return _plan(Section(with_names(spec), "plan"), Path.cwd())
    return _plan(read_yaml(Path(spec)), Path(spec).resolve().parent)


def _plan(top: Section, folder: Path) -> PlanFile:
    top.require(("slos", "deployments"))
    base_section = top.optional(top.section, "base") or Section({}, top.source, "base")
    base = {name: _key(base_section, name, _DECIDED).read(base_section, name) for name in base_section.names()}
    if "num_instances" in base:
        base_section.fail("num_instances", "belongs to the deployments, or is left out to find the fewest")
    try:
        slos = Slos.of(top.texts("slos"), top.optional(top.number, "goodput"))
    except ConfigError as error:
        raise error if str(error).startswith(top.source) else ConfigError(f"{top.source}: {error}") from None
    prices_section = top.optional(top.section, "prices") or Section({}, top.source, "prices")
    prices = {name: prices_section.number(name) for name in prices_section.names()}
    candidates = tuple(itertools.islice(_candidates(top, base), MOST_CANDIDATES + 1))
    if len(candidates) > MOST_CANDIDATES:
        top.fail("deployments", f"describe more than {MOST_CANDIDATES:,} deployments")
    if not candidates:
        top.fail("deployments", "must hold one at least, got none")
    plan = PlanFile(
        source=top.source,
        folder=folder,
        candidates=candidates,
        slos=slos,
        margin=top.number("margin", MARGIN, most=10.0),
        prices=prices,
        max_instances=top.integer("max_instances", MAX_INSTANCES, least=1),
        num_requests=top.integer("num_requests", NUM_REQUESTS, least=100),
        replications=top.integer("replications", REPLICATIONS, least=1),
    )
    top.finish()
    return plan


def _candidates(top: Section, base: Mapping[str, Any]) -> Iterator[Candidate]:
    for index, section in enumerate(top.sections("deployments")):
        price = section.optional(section.number, "price_per_gpu_hour")
        axes = {name: _values(section, name) for name in section.names() if name != "price_per_gpu_hour"}
        for values in itertools.product(*axes.values()):
            own = dict(zip(axes, values, strict=True))
            num_instances = own.pop("num_instances", None)
            yield Candidate(f"deployments[{index}]", {**base, **own}, own, num_instances, price)


def _values(section: Section, name: str) -> list[Any]:
    """One value, or several to choose from."""
    key = _key(section, name, OF_THE_LOAD)
    if key.kind != "numbers" and section.holds_list(name):
        values = [key.read(entry, place) for entry, place in section.entries(name)]
    else:
        values = [key.read(section, name)]
    if name == "num_instances" and any(value is not None and value < 1 for value in values):
        section.fail(name, "must be at least 1")
    return values


def _key(section: Section, name: str, excluded: set[str]) -> Any:
    if name in excluded:
        what = "is decided by the plan" if name in _DECIDED else "is the same for all deployments; set it in base"
        section.fail(name, what)
    if name not in KEYS:
        valid = [*sorted(KEYS.keys() - excluded), "price_per_gpu_hour"]
        section.fail(name, f"unknown key; {nearest(name, valid)}")
    return KEYS[name]
