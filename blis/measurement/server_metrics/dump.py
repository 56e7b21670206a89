"""Dumps of a server's `/metrics`, in Prometheus's text format."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from blis.errors import InputError, WorkloadError
from blis.files.plain import open_plain
from blis.measurement.server_metrics.histogram import Histogram

#: What names of vLLM's metrics begin with.
_PREFIX = "vllm:"
#: Of most metrics there is another one that says since when it counts.
_CREATED = "_created"
#: What a dump begins with.
_BEGINNINGS = (b"# HELP ", b"# TYPE ", _PREFIX.encode())


@dataclass(frozen=True, eq=False)
class Dump:
    """What a server says of itself, its engines added up. Names are without ``vllm:`` and ``_total``.

    Attributes:
        path: the file.
        models: names of the models that it serves.
        num_engines: how many engines it has.
        counters: numbers that only grow, by name.
        gauges: numbers that may fall, by name.
        histograms: by name.
        finished: requests by the reason for which they ended.
    """

    path: Path
    models: tuple[str, ...]
    num_engines: int
    counters: Mapping[str, float]
    gauges: Mapping[str, float]
    histograms: Mapping[str, Histogram]
    finished: Mapping[str, float]


def looks_like_dump(path: Path) -> bool:
    """Whether a file begins like a dump; False if it cannot be read, too."""
    try:
        with open_plain(path) as file:
            return file.peek().lstrip().startswith(_BEGINNINGS)
    except (OSError, InputError):
        return False


def read_dump(path: Path) -> Dump:
    """Read a dump.

    Raises:
        WorkloadError: it cannot be read, is no text of Prometheus, or has no metrics of vLLM.
    """
    families = list(_families(path))
    ours = [family for family in families if family.name.startswith(_PREFIX) and not family.name.endswith(_CREATED)]
    if not ours:
        others = sorted({family.name.split(":")[0] for family in families if ":" in family.name})
        found = f"those of {', '.join(others)}" if others else f"{len(families)} others"
        raise WorkloadError(f"{path}: holds no metrics of vLLM, whose names begin with {_PREFIX}; found {found}")
    samples = [sample for family in ours for sample in family.samples]
    finished: dict[str, float] = defaultdict(float)
    for sample in samples:
        if "finished_reason" in sample.labels and not sample.name.endswith(_CREATED):
            finished[sample.labels["finished_reason"]] += sample.value
    return Dump(
        path,
        _labels(samples, "model_name"),
        max(1, len(_labels(samples, "engine"))),
        _sums(ours, "counter"),
        _sums(ours, "gauge"),
        {
            _name(family.name): _histogram(path, family)
            for family in ours
            if family.type == "histogram" and family.samples
        },
        finished,
    )


def difference(later: Dump, earlier: Dump) -> Dump:
    """What happened between two dumps of the same server; gauges are those of the later one.

    Raises:
        WorkloadError: they are of different servers, or it was started anew in between.
    """
    where = f"{later.path} since {earlier.path}"
    if later.models != earlier.models:
        names = " and ".join(", ".join(dump.models) or "none" for dump in (later, earlier))
        raise WorkloadError(f"{where}: are of different models, {names}")
    counters = {name: value - earlier.counters.get(name, 0.0) for name, value in later.counters.items()}
    finished = {name: value - earlier.finished.get(name, 0.0) for name, value in later.finished.items()}
    histograms = dict(later.histograms)
    for name, before in earlier.histograms.items():
        if name in histograms:
            if not np.array_equal(before.bounds, histograms[name].bounds):
                raise WorkloadError(f"{where}: {name}: has other buckets")
            histograms[name] = histograms[name].since(before)
    shrunk = [name for name, value in (counters | finished).items() if value < 0]
    shrunk += [name for name, found in histograms.items() if (np.diff(found.upto, prepend=0) < 0).any()]
    if shrunk:
        raise WorkloadError(f"{where}: {shrunk[0]}: became less; the server was started anew, or the files are swapped")
    return Dump(later.path, later.models, later.num_engines, counters, later.gauges, histograms, finished)


def _families(path: Path) -> Iterator[Any]:
    from prometheus_client.parser import text_string_to_metric_families

    try:
        with open_plain(path) as file:
            text = file.read().decode()
        yield from text_string_to_metric_families(text)
    except OSError as error:
        raise WorkloadError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, IndexError) as error:
        raise WorkloadError(f"{path}: is no text of Prometheus: {str(error)[:200]}") from None


def _name(name: str) -> str:
    return name.removeprefix(_PREFIX).removesuffix("_total")


def _labels(samples: list[Any], label: str) -> tuple[str, ...]:
    return tuple(sorted({sample.labels[label] for sample in samples if label in sample.labels}))


def _sums(families: list[Any], kind: str) -> dict[str, float]:
    return {
        _name(family.name): math.fsum(sample.value for sample in family.samples if not sample.name.endswith(_CREATED))
        for family in families
        if family.type == kind
    }


def _histogram(path: Path, family: Any) -> Histogram:
    """One histogram out of those of all engines."""
    upto: dict[float, float] = defaultdict(float)
    total = count = 0.0
    for sample in family.samples:
        if sample.name.endswith("_bucket"):
            upto[float(sample.labels["le"])] += sample.value
        elif sample.name.endswith("_sum"):
            total += sample.value
        elif sample.name.endswith("_count"):
            count += sample.value
    bounds = np.array(sorted(upto))
    numbers = np.array([upto[bound] for bound in bounds.tolist()])
    if not len(bounds) or not math.isinf(bounds[-1]) or numbers[-1] != count or (np.diff(numbers) < 0).any():
        raise WorkloadError(f"{path}: {family.name}: its buckets do not add up to its count; is the file complete?")
    return Histogram(bounds, numbers, total)
