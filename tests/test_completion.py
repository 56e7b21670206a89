"""Completion, as a real bash does it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from blis.cli.main import main


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """What bash reads, and a folder with the command."""
    folder = tmp_path_factory.mktemp("completion")
    command = folder / "blis"
    command.write_text(f"#!{sys.executable}\nimport sys\nfrom blis.cli.main import main\nsys.exit(main())\n")
    command.chmod(0o755)
    done = subprocess.run([command, "completion", "bash"], capture_output=True, text=True, check=True)
    (folder / "script").write_text(done.stdout)
    return folder


def complete(folder, line):
    """The words that bash offers at the end of a line."""
    words = line.split(" ")
    text = f"""
        source {folder / "script"}
        COMP_WORDS=({" ".join(f'"{word}"' for word in words)})
        COMP_CWORD={len(words) - 1}
        function=$(complete -p blis | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        $function blis
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    bash = shutil.which("bash")
    done = subprocess.run([bash, "--norc", "-c", text], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("blis ru", ["run"]),
        ("blis run --routing-p", ["--routing-policy"]),
        ("blis run --routing-policy le", ["least-loaded"]),
        ("blis run --model meta-llama/llama-3.1-8", ["meta-llama/llama-3.1-8b-instruct"]),
        ("blis replay --hardware mi30", ["MI300X"]),
        ("blis run --workload chat", ["chatbot"]),
        ("blis run --scenario mixed", ["mixed-slo"]),
        ("blis hardware b2", ["B200-SXM", "B200", "B200-192"]),
        ("blis policies weigh", ["weighted"]),
        ("blis workloads unf", ["unfair-tenants"]),
        ("blis completion z", ["zsh"]),
    ],
)
def test_bash(script, line, words):
    assert complete(script, line) == words


@pytest.mark.parametrize(("shell", "words"), [("zsh", "#compdef blis"), ("fish", "complete --no-files --command blis")])
def test_other_shells_get_a_script(capsys, shell, words):
    assert main(["completion", shell]) == 0
    assert words in capsys.readouterr().out


def test_other_shells_are_refused(capsys):
    assert main(["completion", "tcsh"]) == 2
    assert "'bash', 'zsh', 'fish'" in capsys.readouterr().err


def test_the_docs_say_how_to_install_it():
    text = (Path(__file__).parent.parent / "docs" / "terminal.md").read_text()
    assert all(f"blis completion {shell} >" in text for shell in ("bash", "zsh", "fish"))
