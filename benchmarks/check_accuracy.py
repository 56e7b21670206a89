"""How far blis is from servers that others have measured, against what it was (docs/accuracy.md).

python benchmarks/check_accuracy.py                             # fails if it is worse
python benchmarks/check_accuracy.py --update                    # this is right from now on
python benchmarks/check_accuracy.py --set '*.host_factor=x1.2'  # errors by source with other constants
python benchmarks/check_accuracy.py --leave-one-out FILE        # which of some settings; without each source's say
"""

import argparse
import sys
from pathlib import Path

import yaml
from accuracy.baseline import judge, read_baseline, write_baseline
from accuracy.leave_out import by_source, leave_one_out
from accuracy.neighbourhoods import write_expected_errors
from accuracy.pages import write_page
from accuracy.points import read_points
from accuracy.prepared import PreparedPoints
from accuracy.running import run_all
from accuracy.scores import rows_of
from accuracy.tables import all_tables

from blis.errors import BlisError, ConfigError
from blis.files.strict_yaml import parse_yaml


def check(points):
    """Compare with the baseline; the exit code."""
    before = read_baseline(points)
    answers = run_all(points)
    verdict = judge(before, (answers, rows_of(points, answers)))
    say(*verdict.notes, *(f"failed: {failure}" for failure in verdict.failures))
    if verdict.failures:
        say("if that is meant: python benchmarks/check_accuracy.py --update, and say why in the commit")
    elif not verdict.notes:
        say(f"as in the baseline: {len(points)} points")
    return 1 if verdict.failures else 0


def update(points):
    """Write the baseline, and what follows from it; the exit code."""
    answers = run_all(points)
    write_baseline(points, answers)
    answers, rows = read_baseline(points)  # rounded as everybody will read them
    write_page(all_tables(points, answers, rows))
    write_expected_errors(rows)
    say("wrote benchmarks/accuracy/baseline.csv, the tables of docs/accuracy.md, blis/latency/expected_error.json")
    return 0


def settings_of(texts):
    """``NAME=VALUE`` as a mapping; values are numbers, or ``x1.2``."""
    pairs = (text.partition("=") for text in texts)
    try:
        return {name: value if value.startswith("x") else float(value) for name, _, value in pairs}
    except ValueError:
        raise ConfigError(f"--set: expected NAME=NUMBER or NAME=x1.2, got {' '.join(texts)}") from None


def candidates_of(path):
    """A list of such mappings.

    Raises:
        ConfigError: it is none, or cannot be read.
    """
    try:
        found = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ConfigError(f"{path}: expected a list of mappings, such as - {{'*.host_factor': x1.2}}")
    return found


def say(*lines):
    for line in lines:
        sys.stderr.write(f"accuracy: {line}\n")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="write the baseline, the tables and expected errors anew")
    parser.add_argument("--set", action="append", metavar="NAME=VALUE", help="try other constants; may be repeated")
    parser.add_argument("--leave-one-out", type=Path, metavar="FILE", help="YAML list of mappings NAME: VALUE")
    flags = parser.parse_args(arguments)
    points = read_points()
    if flags.set:
        sys.stdout.write(by_source(PreparedPoints(points).rows(settings_of(flags.set))) + "\n")
        return 0
    if flags.leave_one_out:
        sys.stdout.write(leave_one_out(PreparedPoints(points), candidates_of(flags.leave_one_out)) + "\n")
        return 0
    return update(points) if flags.update else check(points)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BlisError as error:
        say(f"error: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)
