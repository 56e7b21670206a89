"""What `track.py` thinks of what it measured: which slowdowns count, and which counters may differ."""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from blis.errors import nearest
from blis.files.decode import read_yaml

#: A change whose median CPU time is so many times that of its base, twice in a row, is a regression.
MOST_TIMES = 1.15


@dataclass(frozen=True)
class Timing:
    """CPU seconds of a case in rounds, in each of which base and change ran one after the other."""

    base_s: list[float]
    change_s: list[float]

    @property
    def times(self):
        """Median over the rounds of how many times the base's time the change took."""
        return median(change_s / base_s for base_s, change_s in zip(self.base_s, self.change_s, strict=True))

    @property
    def is_slow(self):
        return self.times > MOST_TIMES


class Difference(NamedTuple):
    """What a counter was in the base and is in the change; None: that tree has no such counter."""

    before: object
    after: object

    def __str__(self):
        return f"went from {self.before} to {self.after}"


class Expected(NamedTuple):
    """What a change says of a counter that it moves."""

    difference: Difference
    why: str


class Verdict(NamedTuple):
    """Lines that fail the change, and lines that do not."""

    failures: list[str]
    notes: list[str]


def differences(base, change):
    """Counters that differ, by ``case.counter``; cases that only one tree can run are left out.

    Args:
        base: counters of the base by case, each a mapping by their names.
        change: likewise.
    """
    sides = {
        f"{case}.{counter}": Difference(base[case].get(counter), change[case].get(counter))
        for case in change
        if case in base
        for counter in {**base[case], **change[case]}
    }
    return {name: sides for name, sides in sides.items() if sides.before != sides.after}


def read_expected(path: Path) -> dict[str, Expected]:
    """Read the file in which a change says what it moves, by ``case.counter``.

    Raises:
        ConfigError: it is written otherwise, or gives no reason.
    """
    top = read_yaml(path)
    expected = {}
    for entry in top.sections("changes"):
        why, counters = entry.text("why"), entry.section("counters")
        entry.finish()
        if not why.strip(" …."):
            entry.fail("why", f"must say why the counters move, got {why!r}")
        for name in counters.names():
            if name in expected:
                counters.fail(name, "is there twice")
            expected[name] = Expected(_difference(counters, name), why)
    top.finish()
    return expected


def _difference(counters, name):
    values = [entry.optional(partial(_value, entry), place) for entry, place in counters.entries(name)]
    if len(values) != 2:
        counters.fail(name, f"must be [before, after], got {len(values)} values")
    return Difference(*values)


def _value(entry, name):
    """A digest or a count."""
    return (entry.text if isinstance(entry.plain()[name], str) else entry.integer)(name)


def as_entry(moved):
    """What a change has to write to announce that these counters move."""
    values = [f"      {name}: [{', '.join(map(json.dumps, difference))}]" for name, difference in moved.items()]
    return "\n".join(["  - why: …", "    counters:", *values])


def judge_counters(base, change, expected) -> Verdict:
    """Every counter is the same, or the change says what it becomes; and what the change says is so.

    What a merge has left behind, so that base and change both have what was announced, is a note.

    Args:
        base: counters by case, by their names; what this tree cannot run is not there.
        change: likewise.
        expected: what the change says.
    """
    moved = differences(base, change)
    failures = [f"{name} {difference}" for name, difference in moved.items() if name not in expected]
    notes = []
    for name, (difference, why) in expected.items():
        if name not in moved:
            _judge_unmoved(name, difference, base, change, failures, notes)
        elif moved[name] != difference:
            failures.append(f"{name} {moved[name]}; announced was {difference.before} to {difference.after}")
        else:
            notes.append(f"{name} {difference}, as announced: {why}")
    return Verdict(failures, notes)


def _judge_unmoved(name, announced, base, change, failures, notes):
    """A counter was announced to move, but did not, or could not be compared."""
    counters = {f"{case}.{counter}": value for case, values in change.items() for counter, value in values.items()}
    if name.partition(".")[0] not in base and name in counters:
        notes.append(f"{name} is announced, but the base cannot run this case")
    elif counters.get(name) == announced.after:
        notes.append(f"{name} is {announced.after} in the base, too: its announcement can go")
    elif name in counters:
        failures.append(f"{name} still is {counters[name]}; announced was {announced.before} to {announced.after}")
    else:
        failures.append(f"{name} was announced, but is no counter; {nearest(name, counters)}")


def judge_timings(first, again) -> Verdict:
    """A case is slower if it was so at first and when repeated, with fresh processes.

    Args:
        first: timings by case.
        again: timings of those that were slow at first, by case.
    """
    failures, notes = [], []
    for case, timing in first.items():
        if not timing.is_slow:
            continue
        told = f"{case}: {timing.times:.2f} times the CPU time of the base, then {again[case].times:.2f}"
        if again[case].is_slow:
            failures.append(f"{told}; at most {MOST_TIMES} are allowed")
        else:
            notes.append(f"{told}: not repeated, so not counted")
    return Verdict(failures, notes)
