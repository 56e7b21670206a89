"""What pages of documentation hold that can be executed or compared.

Fences are run in the order in which they stand, in a folder of their own: ``bash`` by a shell, ``python`` in one
namespace per page. A comment before a fence says more:

    <!-- skip: why -->            it is not run
    <!-- exit: 1 -->              it ends with this code
    <!-- file: NAME -->           it is the content of a file
    <!-- output: COMMAND -->      it is what COMMAND prints; a line that is just … stands for any lines
    <!-- run: COMMANDS -->        (before anything) these are run, and readers do not see them
"""

import re
from pathlib import Path
from typing import NamedTuple

import blis

ROOT = Path(blis.__file__).parent.parent
SITE = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *SITE]
_ITEM = re.compile(
    r"^<!-- (?P<word>skip|exit|file|output|run): (?P<value>.*?) -->$|^```(?P<language>\w*)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A fence, or hidden commands.

    Attributes:
        line: of the page, from 1.
        language: of the fence; ``bash`` for hidden commands.
        body: what is in it.
        notes: what comments before it say.
    """

    line: int
    language: str
    body: str
    notes: dict[str, str]


def blocks(page):
    """All blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found, notes = [], {}
    for item in _ITEM.finditer(text):
        line = text.count("\n", 0, item.start()) + 1
        if item["word"] == "run":
            found.append(Block(line, "bash", item["value"], {}))
        elif item["word"]:
            notes[item["word"]] = item["value"]
        else:
            found.append(Block(line, item["language"], item["body"], notes))
            notes = {}
    assert not notes, f"{page.name}: nothing follows {notes}"
    return found


def differs(expected, actual):
    """The first expected line that is not where it should be; None if all are."""
    left = [line.rstrip() for line in actual.splitlines()]
    anywhere = False
    for line in (line.rstrip() for line in expected.splitlines()):
        if line.strip() == "…":
            anywhere = True
            continue
        places = range(len(left)) if anywhere else range(min(1, len(left)))
        place = next((place for place in places if left[place] == line), None)
        if place is None:
            return line
        left, anywhere = left[place + 1 :], False
    return None if anywhere or not any(left) else f"(and more: {left[0]})"


def tables(page):
    """All tables of a page, each a list of rows by column; cells are texts without backticks."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found, rows = [], []
    for line in [*lines, ""]:
        if line.startswith("|"):
            rows.append([cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))])
        elif rows:
            names = [name or f"column {place}" for place, name in enumerate(rows[0])]
            assert len(set(names)) == len(names), f"{page.name}: two columns of one name in {names}"
            found.append([dict(zip(names, row, strict=True)) for row in rows[2:]])
            rows = []
    return found
