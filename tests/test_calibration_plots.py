"""Charts of a calibration: complete, self-contained, bounded however large the trace is."""

import re
import struct

import numpy as np
import pytest
from helpers_calibration import measured, simulated, steady, write_trace

import blis
from blis.measurement.calibrate.plots import chart
from blis.report.charting import MOST_POINTS, MOST_QUANTILES, sample

pytestmark = pytest.mark.slow


def calibration(folder, rows=None, factor=1.1):
    rows = steady() if rows is None else rows
    longer = [(sent, round(ttft * factor), round(e2e * factor), *tokens) for sent, ttft, e2e, *tokens in rows]
    return blis.calibrate(write_trace(folder, measured(*rows)), simulated(*longer), warm_up_requests=0)


def spec(found):
    return chart(found.pairs, found.in_flight).to_dict()


def test_html_has_everything_inside(tmp_path):
    calibration(tmp_path).write_plots(tmp_path / "p.html")
    page = (tmp_path / "p.html").read_text()
    assert page.lstrip().startswith("<!DOCTYPE html>")
    assert not re.search(r"""(src|href)\s*=\s*["']?\s*(https?:)?//""", page)
    assert not re.search(r"<script[^>]+src=", page)
    assert not re.search(r"""\b(import|from)\s*\(?\s*["']https?:""", page)
    assert "Time to first token" in page
    assert "Relative error over time" in page
    first_ttft_ms = steady()[0][1] / 1000
    assert f'"measured":{first_ttft_ms}' in page.replace(" ", "")


def test_png_and_svg_open(tmp_path):
    found = calibration(tmp_path)
    found.write_plots(tmp_path / "p.png")
    data = (tmp_path / "p.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    assert 1500 < width < 3000
    assert 1500 < height < 3000
    assert data.endswith(b"IEND\xaeB`\x82")
    found.write_plots(tmp_path / "p.SVG")
    text = (tmp_path / "p.SVG").read_text()
    assert text.startswith("<svg")
    assert "Time per output token" in text
    assert "measured" in text


def test_the_same_calibration_gives_the_same_bytes(tmp_path):
    found = calibration(tmp_path)
    for name in ("a.html", "b.html"):
        found.write_plots(tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_large_traces_give_charts_of_bounded_size(tmp_path):
    datasets = spec(calibration(tmp_path, steady(5000)))["datasets"].values()
    sizes = sorted(len(rows) for rows in datasets)
    assert sizes[-1] == 2 * MOST_POINTS  # errors of two metrics
    for rows in datasets:
        assert len(rows) <= (2 * MOST_QUANTILES if "share" in rows[0] else 2 * MOST_POINTS)


def test_samples_are_even_and_have_both_ends():
    assert sample(5).tolist() == [0, 1, 2, 3, 4]
    assert sample(1).tolist() == [0]
    chosen = sample(100_001)
    assert (len(chosen), chosen[0], chosen[-1]) == (MOST_POINTS, 0, 100_000)
    assert np.ptp(np.diff(chosen)) <= 1


@pytest.mark.parametrize(
    "rows",
    [
        [(0, 1000, 1000, 5, 1)],  # one request without a time per token
        [(0, 0, 0, 5, 1), (10, 0, 5000, 5, 2)],  # measured to take no time
        [(i, 10 ** (2 + i), 10 ** (3 + i), 5, 3) for i in range(5)],  # many orders of magnitude
        [(5, 1000, 2000, 5, 3)] * 3,  # all alike
    ],
)
def test_odd_pairs_are_drawn_too(tmp_path, rows):
    sim = [(sent, 100 + ttft, 200 + e2e, *tokens) for sent, ttft, e2e, *tokens in rows]
    found = blis.calibrate(write_trace(tmp_path, measured(*rows)), simulated(*sim))
    found.write_plots(tmp_path / "p.svg")
    text = (tmp_path / "p.svg").read_text()
    assert "End-to-end time" in text
    assert "NaN" not in text
