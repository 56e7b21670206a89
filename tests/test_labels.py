"""Names as codes: known ones first, the rest sorted, nothing for those that are not there."""

import pyarrow as pa
import pytest

from blis.workload.labels import SLO_CLASSES, label_column, labels


def test_known_names_keep_their_codes():
    assert SLO_CLASSES == ("realtime", "interactive", "batch")
    found = labels(["gold", "batch", None, "", "bronze", "gold"], SLO_CLASSES)
    assert found.names == ("realtime", "interactive", "batch", "bronze", "gold")
    assert found.codes.tolist() == [4, 2, -1, -1, 3, 4]


def test_other_names_are_sorted():
    found = labels(["b", "a", "b"])
    assert found.names == ("a", "b")
    assert found.codes.tolist() == [1, 0, 1]


@pytest.mark.parametrize("values", [[], [None, ""], pa.nulls(3), pa.chunked_array([], pa.string())])
def test_no_names_no_labels(values):
    assert labels(values, SLO_CLASSES) is None


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["b", None, "a"], pa.large_string()),
        pa.array(["b", None, "a"]).dictionary_encode(),
        pa.chunked_array([["b"], [None, "a"]]),
        pa.chunked_array([pa.array(["b"]).dictionary_encode(), pa.array([None, "a"]).dictionary_encode()]),
    ],
)
def test_arrow_columns_of_any_kind(column):
    found = labels(column)
    assert (found.names, found.codes.tolist()) == (("a", "b"), [1, -1, 0])


def test_there_and_back():
    values = ["b", None, "a", "b"]
    assert label_column(labels(values), slice(1, 4)).to_pylist() == values[1:]
    assert label_column(None, slice(0, 2)).to_pylist() == [None, None]
