"""What each point's errors were when somebody last looked: a small CSV file under version control."""

import csv
from dataclasses import dataclass
from pathlib import Path

from accuracy.running import Answer
from accuracy.scores import SCORED, Row, by, errors, scores
from blis.errors import ConfigError
from blis.files.output import replacing

PATH = Path(__file__).with_name("baseline.csv")
#: By how many points of per cent the typical error of a group, and those of all points, may differ.
GROUP_POINTS, TOTAL_POINTS = 2.0, 0.5
_COLUMNS = ("point", "waiting", "in_system", *SCORED, "reason")


def write_baseline(points, answers, path=PATH):
    """Write errors in tenths of a per cent, in the order of points."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        for point, answer in zip(points, answers, strict=True):
            writer.writerow({"point": point.id, **_values(point, answer)})


def _values(point, answer):
    if answer.reason is not None:
        return {"reason": ("cannot: " if answer.cannot else "") + answer.reason}
    of_load = {"waiting": f"{answer.waiting:.3f}", "in_system": f"{answer.in_system:.1f}"}
    return of_load | {name: f"{error:.1f}" for name, error in errors(point.measured, answer.simulated).items()}


def read_baseline(points, path=PATH):
    """Answers and scored rows of the baseline, as far as it knows the points.

    Raises:
        ConfigError: it is not there, or not of these points.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = {line["point"]: line for line in csv.DictReader(file)}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if list(lines) != [point.id for point in points]:
        raise ConfigError(f"{path}: is not of the points in benchmarks/measured; --update writes it anew")
    answers = [_answer(line) for line in lines.values()]
    rows = [
        Row(point, answer, {name: float(line[name]) for name in SCORED if line[name]})
        for point, answer, line in zip(points, answers, lines.values(), strict=True)
        if answer.reason is None and point.doubt is None
    ]
    return answers, rows


def _answer(line):
    if line["reason"]:
        reason = line["reason"].removeprefix("cannot: ")
        return Answer(line["point"], reason, cannot=reason != line["reason"])
    return Answer(line["point"], waiting=float(line["waiting"]), in_system=float(line["in_system"]))


@dataclass(frozen=True)
class Verdict:
    """What is worse than the baseline, and what else is not as there."""

    failures: list[str]
    notes: list[str]


def judge(before, after):
    """Compare (answers, rows) of the baseline with those of now."""
    failures = [
        f"{now.id}: it ran, now it does not: {now.reason}"
        for then, now in zip(before[0], after[0], strict=True)
        if then.reason is None and now.reason is not None
    ]
    notes = [
        f"{now.id}: it runs now"
        for then, now in zip(before[0], after[0], strict=True)
        if then.reason is not None and now.reason is None
    ]
    groups = [by(rows, lambda point: point.group) for _, rows in (before, after)]
    for group in groups[0].keys() & groups[1].keys():
        for name, then, now in _moved(groups[0][group], groups[1][group], GROUP_POINTS):
            text = f"{group}: typical error of {name} was {then:.1f} %, now {now:.1f} %"
            (failures if now > then else notes).append(text)
    failures += [
        f"all points: typical error of {name} was {then:.1f} %, now {now:.1f} %: docs/accuracy.md says what was"
        for name, then, now in _moved(before[1], after[1], TOTAL_POINTS)
    ]
    return Verdict(sorted(failures), sorted(notes))


def _moved(before, after, points):
    then, now = scores(before), scores(after)
    for name in then.keys() & now.keys():
        if abs(now[name].typical - then[name].typical) > points:
            yield name, then[name].typical, now[name].typical
