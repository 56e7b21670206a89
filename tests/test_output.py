"""Output files: whole or not there, whoever writes at the same time and however a process ends."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from helpers_cli import LLAMA

import blis
from blis.errors import InputError
from blis.files.output import check_output, check_outputs, replacing

unix = pytest.mark.skipif(sys.platform == "win32", reason="files have no such locks")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def python(code, *args):
    """A process of its own that runs code."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_file_is_there_when_all_is_written(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert (path.read_text(), names(tmp_path)) == ("new", ["a"])


def test_what_fails_leaves_all_as_it_was(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text(str(1 // 0))
    assert (path.read_text(), names(tmp_path)) == ("old", ["a"])


def test_threads_may_write_one_path(tmp_path):
    path, errors = tmp_path / "a", []
    texts = [str(number) * 10_000 for number in range(6)]

    def write(text):
        try:
            for _ in range(20):
                with replacing(path) as temporary:
                    temporary.write_text(text)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=[text]) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (errors, path.read_text() in texts, names(tmp_path)) == ([], True, ["a"])


def test_so_may_processes(tmp_path):
    code = """
        import sys
        from pathlib import Path
        from blis.files.output import replacing
        for _ in range(50):
            with replacing(Path(sys.argv[1])) as temporary:
                temporary.write_text(sys.argv[2] * 10_000)
    """
    running = [python(code, tmp_path / "a", digit) for digit in range(3)]
    assert [process.communicate() for process in running] == [("", "")] * 3
    assert (tmp_path / "a").read_text() in [str(digit) * 10_000 for digit in range(3)]
    assert names(tmp_path) == ["a"]


def test_outcomes_may_be_written_by_threads(tmp_path):
    outcomes = blis.simulate(LLAMA[1], blis.DistributionWorkload(num_requests=20))
    outcomes.write_parquet(tmp_path / "alone.parquet")
    errors = []

    def write():
        try:
            for _ in range(5):
                outcomes.write_parquet(tmp_path / "a.parquet")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "alone.parquet").read_bytes()


HOLD = """
    import sys, time
    from pathlib import Path
    from blis.files.output import replacing
    with replacing(Path(sys.argv[1])) as temporary:
        temporary.write_text("half")
        print("there", flush=True)
        time.sleep(60)
"""


@unix
def test_what_killed_processes_left_goes_and_what_others_write_stays(tmp_path):
    other = tmp_path / ".a.of-somebody.tmp"
    other.touch()
    (tmp_path / ".a.b.0123456789abcdef.tmp").touch()  # of another target, a.b
    killed, alive = (python(HOLD, tmp_path / "a") for _ in range(2))
    assert [killed.stdout.readline(), alive.stdout.readline()] == ["there\n"] * 2
    killed.kill()
    killed.communicate()
    assert len(names(tmp_path)) == 4
    with replacing(tmp_path / "a") as temporary:
        temporary.write_text("whole")
    left = names(tmp_path)
    assert len(left) == 4  # what the living one writes is still there
    alive.kill()
    alive.communicate()
    check_output(tmp_path / "a")
    assert names(tmp_path) == [".a.b.0123456789abcdef.tmp", ".a.of-somebody.tmp", "a"]


@pytest.mark.parametrize("name", ["a" * 255, "ä" * 127, "b" * 200 + ".parquet"])
def test_the_longest_names(tmp_path, name):
    check_output(tmp_path / name)
    with replacing(tmp_path / name) as temporary:
        temporary.write_text("x")
    assert names(tmp_path) == [name]


def test_links_are_followed(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "a")
    check_output(tmp_path / "link")
    with replacing(tmp_path / "link") as temporary:
        temporary.write_text("x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "a").read_text() == "x"


def refused(path, problem, **options):
    with pytest.raises(InputError, match=problem):
        check_output(path, **options)


def test_what_cannot_be_written_is_found_before(tmp_path):
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone" / "a")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / "file").touch()
    refused(tmp_path, "is a directory; name a file")
    refused(tmp_path / "gone" / "a", "there is no directory")
    refused(tmp_path / "nowhere", "nowhere: there is no directory .*gone")
    refused(tmp_path / "circle", "circle: (is a link to itself|cannot be written: Too many levels)")
    refused(tmp_path / ("a" * 256), "cannot be written: File name too long")
    refused(tmp_path / "a\0b", "cannot be written: ")
    refused(tmp_path / "file" / "a", "cannot be written: Not a directory|there is no directory")
    assert names(tmp_path) == ["circle", "file", "nowhere"]


@unix
def test_pipes_and_sockets(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    check_output(tmp_path / "pipe")
    refused(tmp_path / "pipe", "a pipe takes no Parquet file; name a file", parquet=True)
    check_output(Path("/dev/null"), parquet=True)
    with socket.socket(socket.AF_UNIX) as bound:
        monkeypatch.chdir(tmp_path)  # the name of a socket is a short one
        bound.bind("socket")
        refused(tmp_path / "socket", "is a socket; name a file")
    with pytest.raises(InputError, match="a pipe takes no Parquet"):
        check_outputs([("-o", tmp_path / "pipe")], [], parquet=["-o"])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everything")
def test_permissions(tmp_path):
    (tmp_path / "file").touch(mode=0o444)
    (tmp_path / "folder").mkdir(mode=0o555)
    refused(tmp_path / "file", "no permission to write there")
    refused(tmp_path / "folder" / "a", "no permission to write there")


def test_inputs_are_not_overwritten_by_any_name(tmp_path):
    (tmp_path / "in").touch()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for output in (tmp_path / "in", tmp_path / "link"):
        with pytest.raises(InputError, match="given for both -i and -o"):
            check_outputs([("-o", output)], [("-i", tmp_path / "in")])


@pytest.fixture
def long_trace(tmp_path):
    path = tmp_path / "in" / "t.csv"
    path.parent.mkdir()
    row = "2024-05-10 {:02}:{:02}:{:02}.5,100,20\n"
    rows = (row.format(i // 3600 % 24, i // 60 % 60, i % 60) for i in range(300_000))
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(rows))
    return path


@unix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("name", ["out.parquet", "out.yaml"])
def test_signals_leave_nothing_behind(tmp_path, long_trace, number, name):
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / name
    target.write_text("old")
    code = "import sys; from blis.cli.main import main; sys.exit(main(sys.argv[1:]))"
    running = python(code, "convert", long_trace, target)
    while names(tmp_path / "out") == [name] and running.poll() is None:
        time.sleep(0.002)
    running.send_signal(number)
    out, err = running.communicate()
    said = "interrupted" if number == signal.SIGINT else "terminated"
    assert (running.returncode, out, err.strip()) == (128 + number, "", f"blis: error: {said}")
    assert (names(tmp_path / "out"), target.read_text()) == ([name], "old")


@unix
def test_a_run_that_is_terminated_writes_nothing(tmp_path):
    code = "import sys; from blis.cli.main import main; sys.exit(main(sys.argv[1:]))"
    path = tmp_path / "r.json"
    running = python(code, "run", *LLAMA, "--num-requests", "3000000", "--results-path", path, "--log", "info")
    while "requests: " not in running.stderr.readline():
        pass
    time.sleep(0.3)
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate()
    assert (running.returncode, out, err.splitlines()[-1]) == (143, "", "blis: error: terminated")
    assert names(tmp_path) == []


@unix
def test_who_ignores_hang_ups_goes_on():
    code = """
        import os, signal
        from blis.cli.signals import exit_on_signals
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with exit_on_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            print("on")
    """
    assert python(code).communicate() == ("on\n", "")
