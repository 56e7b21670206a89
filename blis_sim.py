"""The command ``blis``, from outside of the package ``blis``.

spaCy's linear algebra is a package ``blis``, too: installed beside this one it replaces some of its files, or hides it
altogether. What can still say so is not in that folder, and imports nothing of it before it has looked.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

#: A file that every release of spaCy's package has, and this one never.
FOREIGN = "cy.pyx"
MIXED_UP = (
    "spaCy's package 'blis' is installed beside blis-sim, and both have a folder of that name; "
    "run 'pip uninstall blis blis-sim', then install blis-sim into an environment without spaCy"
)
INCOMPLETE = (
    "files of blis-sim are missing, as after 'pip uninstall blis'; "
    "run 'pip install --force-reinstall --no-deps blis-sim'"
)


def main() -> int:
    """Run the command line, if the package is all there.

    Returns:
        The exit code.
    """
    if wrong := _what_is_wrong():
        print(f"blis: error: {wrong}", file=sys.stderr)  # noqa: T201
        return 1
    from blis.cli.main import main as command

    return command()


def _what_is_wrong() -> str | None:
    """Why the package cannot be imported as it was installed; None: it can."""
    spec = find_spec("blis")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if any(Path(folder, FOREIGN).exists() for folder in folders):
        return MIXED_UP
    return None if spec and spec.origin else INCOMPLETE
