"""Labels beside points: none lies on another one or on a point, at any width of the chart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blis.report.point_labels import PADDING, placed

HEIGHT = 280
places = st.lists(st.tuples(*[st.sampled_from([0, 0.02, 0.05, 0.3, 0.31, 0.5, 0.98, 1.0])] * 2), max_size=25)


def boxes(points, labels, width):
    """Left, right, top and bottom of the labels at a width of the chart."""
    for label in labels:
        x, y = points[label.row]
        middle = PADDING + x * (width - 2 * PADDING) + label.dx
        up = PADDING + (1 - y) * (HEIGHT - 2 * PADDING) + label.dy
        half = len(label.text) * 3.1
        yield middle - half, middle + half, up - 6, up + 6


@given(places, st.integers(180, 640))
def test_labels_never_touch(points, width):
    labels = placed(points, [str(place) for place in range(len(points))], HEIGHT)
    found = list(boxes(points, labels, width))
    for number, one in enumerate(found):
        for other in found[:number]:
            apart_x = one[1] <= other[0] + 1e-6 or other[1] <= one[0] + 1e-6
            apart_y = one[3] <= other[2] + 1e-6 or other[3] <= one[2] + 1e-6
            assert apart_x or apart_y


def test_points_in_one_place_share_a_label():
    labels = placed([(0.5, 0.5), (0.5, 0.5), (0.9, 0.1)], ["1", "2", "3"], HEIGHT)
    assert [label.text for label in labels] == ["1, 2", "3"]
    many = placed([(0.5, 0.5)] * 5, list("12345"), HEIGHT)
    assert [label.text for label in many] == ["1, 2, 3 …"]


def test_the_first_ones_come_first():
    crowd = [(0.5 + 0.01 * place, 0.5) for place in range(12)]
    labels = placed(crowd, [str(place) for place in range(12)], HEIGHT)
    assert labels[0].row == 0
    assert len(labels) < 12


@pytest.mark.parametrize("points", [[], [(0.0, 0.0)], [(0.5, 1.0)]])
def test_a_point_alone_has_its_label_above(points):
    assert [(label.dx, label.dy) for label in placed(points, ["1"] * len(points), HEIGHT)] == [(0, -11)] * len(points)
