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
_SIDES = ("before", "after")


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
    """A counter that is not the same in base and change; None: there is none in this tree."""

    case: str
    counter: str
    before: object
    after: object

    def __str__(self):
        return f"{self.case}.{self.counter} went from {self.before} to {self.after}"


class Expected(NamedTuple):
    """What a change says of a counter that it moves."""

    case: str
    counter: str
    before: object
    after: object
    why: str


def differences(base, change):
    """Counters that differ, of mappings of counters by case; cases that only one tree can run are left out."""
    return [
        Difference(case, counter, base[case].get(counter), change[case].get(counter))
        for case in change
        if case in base
        for counter in {**base[case], **change[case]}
        if base[case].get(counter) != change[case].get(counter)
    ]


def read_expected(path: Path) -> list[Expected]:
    """Read the file in which a change says what it moves.

    Raises:
        ConfigError: it is written otherwise, or one of its entries gives no reason.
    """
    top = read_yaml(path)
    entries = top.sections("changes")
    top.finish()
    return [_entry(entry) for entry in entries]


def _entry(entry):
    case, counter, why = (entry.text(name) for name in ("case", "counter", "why"))
    if not why.strip():
        entry.fail("why", "must say why the counter moves, got nothing")
    before, after = (entry.optional(partial(_value, entry), name) for name in _SIDES)
    entry.finish()
    return Expected(case, counter, before, after, why)


def _value(entry, name):
    """A digest or a count."""
    return (entry.text if isinstance(entry.plain()[name], str) else entry.integer)(name)


class Verdict(NamedTuple):
    """Lines that fail the change, and lines that do not."""

    failures: list[str]
    notes: list[str]


def judge_counters(base, change, expected) -> Verdict:
    """Every counter is the same, or the change says what it becomes; and what the change says is so.

    An entry that a merge has left behind, so that base and change both have what it promises, is a note.

    Args:
        base: counters by case, by their names; what this tree cannot run is not there.
        change: likewise.
        expected: what the change says.
    """
    found = {(each.case, each.counter): each for each in differences(base, change)}
    told = {(entry.case, entry.counter): entry for entry in expected}
    failures = [f"{difference}; {_how_to_say(difference)}" for key, difference in found.items() if key not in told]
    notes = []
    for key, entry in told.items():
        if key in found:
            _, _, *sides = found[key]
            if sides != [entry.before, entry.after]:
                failures.append(f"{found[key]}, but the file of expected changes says {entry.before} to {entry.after}")
            else:
                notes.append(f"{found[key]}, as expected: {entry.why}")
        else:
            _judge_unmoved(entry, base, change, failures, notes)
    return Verdict(failures, notes)


def _judge_unmoved(entry, base, change, failures, notes):
    """An entry about a counter that did not move, or could not be compared."""
    name = f"{entry.case}.{entry.counter}"
    known = {f"{case}.{counter}" for case, counters in change.items() for counter in counters}
    if name not in known:
        failures.append(f"the file of expected changes names {name}, which is no counter; {nearest(name, known)}")
    elif entry.case not in base:
        notes.append(f"{name}: an expected change that cannot be compared, since the base cannot run this case")
    elif change[entry.case][entry.counter] == entry.after:
        notes.append(f"{name}: is {entry.after} in the base, too; its entry among the expected changes can go")
    else:
        still = change[entry.case][entry.counter]
        failures.append(f"{name}: expected to go from {entry.before} to {entry.after}, but is {still} as in the base")


def _how_to_say(difference):
    """The entry with which a change would say so."""
    sides = (
        f"{name}: {json.dumps(value)}"
        for name, value in zip(_SIDES, (difference.before, difference.after), strict=True)
    )
    entry = ", ".join((f"case: {difference.case}", f"counter: {difference.counter}", *sides, "why: …"))
    return f"if that is meant: - {{{entry}}}"


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
