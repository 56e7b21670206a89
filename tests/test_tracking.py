"""The tracker of regressions (benchmarks/track.py): what it lets pass and what it fails, on made-up measurements."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import blis
from blis.errors import ConfigError

ROOT = Path(blis.__file__).parent.parent
sys.path.append(str(ROOT / "benchmarks"))
history, track, tracking = map(importlib.import_module, ("history", "track", "tracking"))
Timing, judge_counters, judge_timings = tracking.Timing, tracking.judge_counters, tracking.judge_timings

SAME = {"tight": {"steps": 100, "digest": "aa"}, "bulk": {"steps": 7}}


def moved(**counters):
    return {**SAME, "tight": {**SAME["tight"], **counters}}


@pytest.fixture
def announced(tmp_path):
    """Gives what a file announces that holds these changes."""

    def read(text):
        path = tmp_path / "expected_changes.yaml"
        path.write_text(f"changes: {text}\n")
        return tracking.read_expected(path)

    return read


ONE_STEP_MORE = "[{why: another victim, counters: {tight.steps: [100, 101]}}]"


def slower(times, rounds=9):
    return Timing([1.0] * rounds, [times] * rounds)


@pytest.mark.parametrize(
    ("first", "again", "fails"), [(1.2, 1.2, True), (1.2, 1.14, False), (1.14, None, False), (0.5, None, False)]
)
def test_a_slowdown_fails_if_it_repeats(first, again, fails):
    repeated = {} if again is None else {"bulk": slower(again)}
    verdict = judge_timings({"bulk": slower(first), "tight": slower(1.0)}, repeated)
    assert bool(verdict.failures) == fails
    assert all(line.startswith("bulk: ") for line in (*verdict.failures, *verdict.notes))
    assert bool(verdict.notes) == (again == 1.14)


@given(
    seconds=st.lists(st.floats(0.01, 1), min_size=11, max_size=41),
    times=st.floats(0.5, 2),
    disturbances=st.lists(st.floats(0.1, 10), max_size=5),
)
def test_moods_of_the_machine_and_few_disturbed_rounds_change_nothing(seconds, times, disturbances):
    """Each round has a speed of its own, the same for both; in less than half of them only one was disturbed."""
    change_s = [second * times for second in seconds]
    for number, factor in enumerate(disturbances):
        change_s[number] *= factor
    assert Timing(seconds, change_s).times == pytest.approx(times)


def test_equal_counters_pass():
    assert judge_counters(SAME, SAME, {}) == ([], [])


def test_one_step_more_fails_and_says_what_to_write(announced):
    change = moved(steps=101)
    assert judge_counters(SAME, change, {}).failures == ["tight.steps went from 100 to 101"]
    entry = tracking.as_entry(tracking.differences(SAME, change))
    assert announced("\n" + entry.replace("…", "another victim")) == announced(ONE_STEP_MORE)


@pytest.mark.parametrize(
    ("change", "failures", "notes"),
    [
        (moved(steps=101), [], ["tight.steps went from 100 to 101, as announced: another victim"]),
        (moved(steps=102), ["tight.steps went from 100 to 102; announced was 100 to 101"], []),
        (SAME, ["tight.steps still is 100; announced was 100 to 101"], []),
        (
            moved(steps=101, digest="bb"),
            ["tight.digest went from aa to bb"],
            ["tight.steps went from 100 to 101, as announced: another victim"],
        ),
    ],
)
def test_what_is_announced_must_be_so(announced, change, failures, notes):
    assert judge_counters(SAME, change, announced(ONE_STEP_MORE)) == (failures, notes)


def test_what_was_announced_before_a_merge_may_stay(announced):
    merged = moved(steps=101)
    verdict = judge_counters(merged, merged, announced(ONE_STEP_MORE))
    assert verdict == ([], ["tight.steps is 101 in the base, too: its announcement can go"])


def test_no_counter_of_this_name(announced):
    verdict = judge_counters(SAME, SAME, announced("[{why: more, counters: {tight.step: [100, 101]}}]"))
    (failure,) = verdict.failures
    assert failure.startswith("tight.step was announced, but is no counter; did you mean 'tight.steps'")


def test_a_case_that_the_base_cannot_run_is_left_out(announced):
    base = {"bulk": SAME["bulk"]}
    assert judge_counters(base, moved(steps=101), {}) == ([], [])
    verdict = judge_counters(base, moved(steps=101), announced(ONE_STEP_MORE))
    assert verdict == ([], ["tight.steps is announced, but the base cannot run this case"])


def test_a_counter_that_one_tree_lacks_is_a_difference(announced):
    change = moved(events=3)
    assert judge_counters(SAME, change, {}).failures == ["tight.events went from None to 3"]
    entry = tracking.as_entry(tracking.differences(SAME, change)).replace("…", "counted now")
    assert judge_counters(SAME, change, announced("\n" + entry)).failures == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{counters: {tight.steps: [100, 101]}}]", "changes[0].why: missing"),
        ("[{why: …, counters: {tight.steps: [100, 101]}}]", "changes[0].why: must say why the counters move, got '…'"),
        ("[{why: so, counters: {tight.steps: [100]}}]", "tight.steps: must be [before, after], got 1 values"),
        ("[{why: so, counters: {tight.steps: [100, 1.5]}}]", "must be a whole number >= 0, got 1.5"),
        ("[{why: so, counter: {tight.steps: [100, 101]}}]", "counters: missing"),
        ("{}", "changes: must be a list"),
    ],
)
def test_mistakes_in_the_file_name_their_place(announced, text, message):
    with pytest.raises(ConfigError) as error:
        announced(text)
    assert message in str(error.value)
    assert "expected_changes.yaml: changes" in str(error.value)


def test_the_file_of_this_tree_can_be_read():
    tracking.read_expected(track.EXPECTED)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """An empty git repository in the place of this one; commits and gives their names."""

    def git(*arguments):
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        done = subprocess.run(["git", *who, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(text):
        (tmp_path / "file").write_text(text)
        git("add", "file")
        git("commit", "--message", text)
        return git("rev-parse", "HEAD")

    monkeypatch.setattr(track, "ROOT", tmp_path)
    git("init", "--initial-branch", "main")
    return git, commit


def test_the_base_is_where_the_change_left_main(repository, tmp_path):
    git, commit = repository
    first = commit("1")
    assert track.base_commit("auto") is None  # there is nothing before it
    second = commit("2")
    assert track.base_commit("auto") == first
    (tmp_path / "file").write_text("3")
    assert track.base_commit("auto") == second  # the change is not committed yet
    git("checkout", "-b", "change")
    commit("3")
    commit("4")
    assert track.base_commit("auto") == second
    assert track.base_commit("main~1") == first


def test_without_an_earlier_commit_nothing_is_compared(repository, capsys):
    _, commit = repository
    commit("1")
    assert track.main(["--base", "auto"]) == 0
    assert "nothing was compared" in capsys.readouterr().err


def test_a_base_that_is_not_there_is_wrong_usage(repository):
    _, commit = repository
    commit("1")
    with pytest.raises(ConfigError, match="there is no commit 'v9' in"):
        track.main(["--base", "v9"])


def test_a_base_has_the_files_of_its_commit(repository, tmp_path):
    _, commit = repository
    first = commit("1")
    commit("2")
    with track.checked_out(first) as folder:
        assert (folder / "file").read_text() == "1"
    assert not folder.exists()
    assert (tmp_path / "file").read_text() == "2"


def test_trees_that_cannot_run_a_case_are_told(monkeypatch, capsys):
    """Of a base that can run nothing, nothing is compared, and everybody hears it; a change must run everything."""
    answers = iter([({}, {"bulk": "TypeError: no"}), (SAME, {})])
    monkeypatch.setattr(track, "counted", lambda tree: next(answers))
    assert track.compare(Path("base")) == 0
    err = capsys.readouterr().err
    assert "bulk: not comparable, the base cannot run it: TypeError: no" in err
    assert "NOTHING WAS COMPARED" in err
    answers = iter([(SAME, {}), ({}, {"bulk": "TypeError: no"})])
    assert track.compare(Path("base")) == 1


def test_a_process_answers_and_tells_its_errors():
    with track.Tree(ROOT) as tree:
        assert tree.ask("counters", "code")["kernels"] > 100
        assert tree.ask("cpu_s", "yardstick") > 0
        with pytest.raises(track.CaseError, match="KeyError: 'no_case'"):
            tree.ask("counters", "no_case")


def test_figures_of_releases_are_drawn_at_the_speed_of_the_last_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(history, "FOLDER", tmp_path)
    counters = {"bulk": {"steps": 3}, "code": {"kernels": 1}}
    history.write_release("0.1.0", "c1", "2026-01-01", counters, {"bulk": [2.0, 3.0, 4.0], "yardstick": [0.25]})
    history.write_release("0.2.0", "c2", "2026-02-01", counters, {"bulk": [1.0], "yardstick": [0.125]})
    written = json.loads((tmp_path / "0.1.0.json").read_text())
    assert written["cases"] == {"bulk": {"cpu_s": 3.0, "counters": {"steps": 3}}, "code": {"counters": {"kernels": 1}}}
    assert history.costs() == [
        {"version": "0.1.0", "case": "bulk", "cpu_s": 1.5},
        {"version": "0.2.0", "case": "bulk", "cpu_s": 1.0},
    ]


@pytest.mark.parametrize("version", ["", "next", "../0.1.0", "0.1.0 "])
def test_only_versions_have_a_history(version):
    with pytest.raises(ConfigError, match="is no version"):
        history.check_version(version)


def test_the_workflow_runs_what_there_is():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "track.yaml").read_text())
    (job,) = workflow["jobs"].values()
    command = job["steps"][-1]["run"].split()
    assert (ROOT / command[1]).is_file()
    assert command[1] in (ROOT / ".ci" / "run").read_text()
