"""What is kept between processes is what was put there, or nothing."""

import pytest
import vl_convert

from blis.files import kept
from blis.report.page import Page, as_html


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))
    return tmp_path / "kept"


def test_what_was_put_there_is_found_under_its_name_and_digest_only(place):
    kept.write("a", b"1", b"data")
    assert kept.read("a", b"1") == b"data"
    assert kept.read("a", b"2") is None
    assert kept.read("b", b"1") is None
    kept.write("a", b"2", b"")
    assert (kept.read("a", b"1"), kept.read("a", b"2")) == (None, b"")


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data[:20], lambda data: bytes([data[0] ^ 1]) + data[1:]]
)
def test_a_damaged_file_is_the_same_as_none(place, damage):
    kept.write("a", b"1", b"data")
    (path,) = place.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert kept.read("a", b"1") is None


def test_without_a_place_nothing_is_kept(place):
    place.touch()
    kept.write("a", b"1", b"data")
    assert kept.read("a", b"1") is None


def test_what_draws_charts_is_put_together_once_per_version(place, monkeypatch):
    made = []
    monkeypatch.setattr(vl_convert, "javascript_bundle", lambda: made.append(1) or "const drawn = 1;")
    pages = [as_html(Page("t", "v", [])) for _ in range(2)]
    assert pages[0] == pages[1]
    assert "const drawn = 1;" in pages[0]
    assert len(made) == 1
    monkeypatch.setattr(vl_convert, "__version__", "99")
    as_html(Page("t", "v", []))
    assert len(made) == 2
