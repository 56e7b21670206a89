"""Compares the working tree with an earlier commit, case by case: CPU time, and counters that no machine changes.

    python benchmarks/track.py                   # against the merge base with main, or the commit before HEAD
    python benchmarks/track.py --base v0.1.0
    python benchmarks/track.py --record 0.1.0    # writes benchmarks/history/0.1.0.json instead

It fails (exit code 1) if the median CPU time of a case is more than 15 % longer and is so again when repeated in
fresh processes, and on every difference of a counter (steps, preemptions, operations of the KV cache, bytes of
outcomes, statements compiled, …) that expected_changes.yaml does not announce. Base and change run the same cases
(track_child.py) in turns on the same machine; see docs/performance.md.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]  # what judges is that of the change, whatever is installed

from history import check_version, write_release  # noqa: E402
from track_child import CASES  # noqa: E402
from tracking import Timing, as_entry, differences, judge_counters, judge_timings, read_expected  # noqa: E402

from blis.errors import BlisError, ConfigError  # noqa: E402

EXPECTED = ROOT / "benchmarks" / "expected_changes.yaml"
MAIN = ("origin/main", "main")


class Tree:
    """A process that runs cases in one tree; ``plain`` has the engine as plain Python."""

    def __init__(self, path, *, plain=False):
        self._path = path
        variables = {"PYTHONPATH": str(path), **({"NUMBA_DISABLE_JIT": "1"} if plain else {})}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("track_child.py"))],
            cwd=path,
            env=os.environ | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.terminate()
        self._process.wait()
        self._process.stdout.close()

    def ask(self, question, case):
        """The answer, or the reason why there is none as a `CaseError`."""
        try:
            self._process.stdin.write(json.dumps([question, case]) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        reply = json.loads(line) if line else {"error": f"the process ended with code {self._process.wait()}"}
        if "error" in reply:
            raise CaseError(reply["error"])
        if Path(reply["tree"]).resolve() != Path(self._path).resolve():
            raise CaseError(f"ran in {reply['tree']}, not in {self._path}")
        return reply["value"]


class CaseError(Exception):
    """A tree cannot run a case."""


def git(*arguments):
    """What git says, without the line break; None if it refuses."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def commit_of(named):
    """The full name of a commit.

    Raises:
        ConfigError: there is none of this name.
    """
    commit = git("rev-parse", "--verify", "--quiet", f"{named}^{{commit}}")
    if commit is None:
        raise ConfigError(f"there is no commit {named!r} in {ROOT}")
    return commit


def has_changes():
    """Whether the working tree is another than the last commit."""
    return bool(git("status", "--porcelain", "--untracked-files=no"))


def base_commit(named):
    """The commit to compare with; None if there is none.

    ``auto`` is where the change left main; on main itself the last commit, or the one before it if nothing has
    changed since.
    """
    if named != "auto":
        return commit_of(named)
    head = git("rev-parse", "--verify", "--quiet", "HEAD")
    bases = (git("merge-base", "HEAD", branch) for branch in MAIN)
    base = next(filter(None, bases), head)
    if base == head and not has_changes():
        return git("rev-parse", "--verify", "--quiet", "HEAD^")
    return base


@contextmanager
def checked_out(commit):
    """A folder with the files of a commit, for a while."""
    with tempfile.TemporaryDirectory(prefix="blis-base-") as folder:
        packed = subprocess.run(["git", "-C", str(ROOT), "archive", commit], capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
        yield Path(folder)


def counted(tree):
    """Counters by case, of those that can also be timed, and why others can't; compiles what is not yet."""
    counters, errors = {}, {}
    with Tree(tree) as compiled, Tree(tree, plain=True) as plain:
        for case in able_to("counters"):
            try:
                found = compiled.ask("counters", case)
                if case in able_to("operations"):
                    found |= plain.ask("operations", case)
                if case in able_to("cpu_s"):
                    compiled.ask("cpu_s", case)
                counters[case] = found
            except CaseError as error:
                errors[case] = str(error)
    return counters, errors


def able_to(question):
    """Names of the cases that have an answer."""
    return [case for case, runs in CASES.items() if hasattr(runs, question)]


def timed(base, change, cases):
    """Timings by case, in fresh processes; base and change take turns: A B, B A, A B, …"""
    timings = {case: Timing([], []) for case in cases}
    if not timings:
        return {}
    with Tree(base) as one, Tree(change) as other:
        for number in range(1 + max(CASES[case].rounds for case in cases)):
            for case in cases:
                if number > CASES[case].rounds:
                    continue
                turns = [(one, timings[case].base_s), (other, timings[case].change_s)]
                for tree, seconds in turns[:: -1 if number % 2 else 1]:
                    seconds.append(tree.ask("cpu_s", case))
    for timing in timings.values():
        del timing.base_s[0], timing.change_s[0]  # these loaded what is kept
    return timings


def compare(base):
    """Compare a tree with this one; the exit code."""
    expected = read_expected(EXPECTED)
    with ThreadPoolExecutor() as threads:
        (before, base_errors), (after, change_errors) = threads.map(counted, (base, ROOT))
    failures = [f"{case}: this tree cannot run it: {error}" for case, error in change_errors.items()]
    notes = [f"{case}: not comparable, the base cannot run it: {error}" for case, error in base_errors.items()]
    if not before:
        say(*notes)
        say("NOTHING WAS COMPARED: the base can run none of the cases")
        return 1 if failures else 0
    verdicts = [judge_counters(before, after, expected)]
    first = timed(base, ROOT, [case for case in able_to("cpu_s") if case in before and case in after])
    slow = [case for case, timing in first.items() if timing.is_slow]
    verdicts.append(judge_timings(first, timed(base, ROOT, slow)))
    sys.stdout.write(table(first, before, after))
    for verdict in verdicts:
        failures += verdict.failures
        notes += verdict.notes
    say(*notes, *(f"failed: {failure}" for failure in failures))
    if moved := {name: each for name, each in differences(before, after).items() if name not in expected}:
        say(f"if that is meant, give the reason in {EXPECTED.relative_to(ROOT)}:")
        sys.stderr.write(f"{as_entry(moved)}\n")
    return 1 if failures else 0


def record(version, tree, commit):
    """Measure one tree for the history; the exit code."""
    check_version(version)
    counters, errors = counted(tree)
    say(*(f"{case}: cannot be run: {error}" for case, error in errors.items()))
    if not counters:
        return 1
    names = [case for case in able_to("cpu_s") if case in counters or case == "yardstick"]
    timings = {case: each.base_s + each.change_s for case, each in timed(tree, tree, names).items()}
    date = git("show", "-s", "--format=%cs", commit)
    if tree == ROOT and has_changes():
        commit += " and changes"
    say(f"wrote {write_release(version, commit, date, counters, timings)}")
    return 0


def table(timings, before, after):
    """Both times of each case, and how many of its counters are the same."""
    lines = [f"{'case':12} {'base':>10} {'change':>10} {'times':>6}  counters"]
    for case, counters in after.items():
        cells = f"{'':28}"
        if case in timings:
            base_ms, change_ms = (1000 * median(each) for each in (timings[case].base_s, timings[case].change_s))
            cells = f"{base_ms:>7.1f} ms {change_ms:>7.1f} ms {timings[case].times:>6.3f}"
        old = before.get(case)
        same = old and sum(old.get(name) == value for name, value in counters.items())
        lines.append(f"{case:12} {cells}  {f'{same} of {len(counters)} the same' if old else 'not comparable'}")
    return "\n".join([*lines, ""])


def say(*lines):
    for line in lines:
        sys.stderr.write(f"track: {line}\n")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = os.environ.get("BLIS_TRACK_BASE") or "auto"
    parser.add_argument("--base", default=usual, help="commit to compare with [BLIS_TRACK_BASE, or auto]")
    parser.add_argument("--record", metavar="VERSION", help="measure this tree alone, for benchmarks/history/")
    parser.add_argument("--of", metavar="COMMIT", help="with --record: measure that commit in its place")
    flags = parser.parse_args(arguments)
    if flags.of and not flags.record:
        parser.error("--of goes with --record")
    if flags.record and not flags.of:
        return record(flags.record, ROOT, commit_of("HEAD"))
    commit = commit_of(flags.of) if flags.of else base_commit(flags.base)
    if commit is None:
        say("nothing was compared: there is no earlier commit here (a shallow clone, or no git)")
        return 0
    with checked_out(commit) as folder:
        if flags.record:
            return record(flags.record, folder, commit)
        say(f"base is {commit[:12]}")
        return compare(folder)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BlisError as error:
        say(f"error: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)
