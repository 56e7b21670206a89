"""Tables for terminals: whatever the width, no figure is cut, and rows can be told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blis.report import tables
from blis.report.tables import render, table, unwrapped

words = st.text("abc ", max_size=40).map(str.strip)
figures = st.floats(-1e9, 1e9).map(lambda value: f"{value:,.2f}")


@pytest.fixture
def at_width(monkeypatch):
    def rendered(parts, width):
        monkeypatch.setattr(tables, "_WIDTH", width)
        return render(parts)

    return rendered


@st.composite
def contents(draw):
    """Headings, which of them hold words, and rows."""
    kinds = ["words", *draw(st.lists(st.sampled_from(["words", "figure", "figure"]), max_size=9))]
    columns = [(f"{kind}{place}", kind) for place, kind in enumerate(kinds)]
    row = st.tuples(*(words if kind == "words" else figures for _, kind in columns))
    return columns, draw(st.lists(row, min_size=1, max_size=4))


@given(contents(), st.integers(48, 130))
def test_no_figure_is_cut_and_no_line_too_long(content, width):
    columns, rows = content
    made = table(*(name for name, _ in columns), words=[name for name, kind in columns if kind == "words"])
    for row in rows:
        made.add_row(*row)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_WIDTH", width)
        text = render([made])
    assert "…" not in text
    shown = text.split()
    for row in rows:
        for (name, kind), cell in zip(columns, row, strict=True):
            assert name in shown
            assert kind == "words" or cell in shown
    stubs = next((place for place, (_, kind) in enumerate(columns) if kind == "figure"), 1)
    if stubs == 1:  # of several columns of words the words alone may be too wide
        assert max(map(len, text.splitlines())) <= width


def wide(count=8):
    made = table("deployment", *(f"figure {place}" for place in range(count)), title="Costs")
    made.add_row("1 x H100 least-loaded", *(f"{place}.123" for place in range(count)))
    return made


def test_words_give_way_before_columns_do(at_width):
    rows = at_width([wide(4)], 60).splitlines()[3:]
    assert [row.split() for row in rows] == [["1", "x", "H100", "0.123", "1.123", "2.123", "3.123"], ["least-loaded"]]


def test_columns_without_room_stand_below_with_the_same_words(at_width):
    text = at_width([wide()], 60)
    assert text.count("deployment") == 2
    assert text.count("1 x H100") == 2
    assert text.count("Costs") == 1
    assert [text.count(f"{place}.123") for place in range(8)] == [1] * 8


def test_what_fits_is_one_table(at_width):
    assert at_width([wide()], 130).count("deployment") == 1


def test_commands_are_one_line_to_copy(at_width):
    command = "blis run " + " ".join(f"--flag-{place} {place}" for place in range(30))
    assert at_width([unwrapped(command)], 80) == f"{command}\n"
