"""Packed files and files in other encodings give the same as plain ones, and damaged ones say what is wrong."""

import bz2
import gzip
import json
import lzma

import polars as pl
import pyarrow as pa
import pytest
from helpers_convert import AZURE, MOONCAKE, RESULT, SHAREGPT, TINY, TOKEN_CSV, VLLM
from hypothesis import given
from hypothesis import strategies as st

from blis.errors import InputError
from blis.files.plain import open_plain
from blis.workload.convert.converting import convert
from blis.workload.convert.formats import recognise
from blis.workload.convert.options import ReadOptions, Selection
from blis.workload.inspect.survey import inspect_trace
from blis.workload.traces.csv import load_csv_trace


def framed(codec):
    def pack(data):
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, codec) as stream:
            stream.write(data)
        return sink.getvalue().to_pybytes()

    return pack


PACK = {
    "gzip": gzip.compress,
    "zstd": framed("zstd"),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lz4": framed("lz4"),
    "utf-16": lambda data: data.decode().encode("utf-16"),
    "utf-16-le": lambda data: data.decode().encode("utf-16-le"),
    "utf-16-be": lambda data: data.decode().encode("utf-16-be"),
    "utf-32": lambda data: data.decode().encode("utf-32"),
    "utf-8-sig": lambda data: data.decode().encode("utf-8-sig"),
    "utf-16 in gzip": lambda data: gzip.compress(data.decode().encode("utf-16")),
}


def figures(path, **options):
    found = inspect_trace(path, **options)
    return {name: value for name, value in found.items() if name != "file"}


@pytest.mark.parametrize("name", PACK)
def test_every_format_reads_the_same_however_it_is_packed(tmp_path, name):
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    for text in TINY.values():
        plain.write_text(text, newline="")
        packed.write_bytes(PACK[name](plain.read_bytes()))
        assert figures(packed) == figures(plain)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\ufeff\x00"), min_size=2), st.sampled_from(list(PACK)))
def test_what_is_read_is_what_was_packed(tmp_path_factory, text, name):
    text = "az" + text
    path = tmp_path_factory.mktemp("p") / "file"
    path.write_bytes(PACK[name](text.encode()))
    with open_plain(path) as file:
        assert file.read().decode() == text


def test_parts_that_were_packed_one_by_one_are_one_file(tmp_path):
    for name in ("gzip", "zstd"):
        (tmp_path / name).write_bytes(PACK[name](AZURE[:90].encode()) + PACK[name](AZURE[90:].encode()))
        assert figures(tmp_path / name)["requests"] == 3


def test_a_packed_parquet_trace(tmp_path):
    frame = pl.DataFrame({"arrival_us": [0, 5], "input_tokens": [3, 4], "output_tokens": [1, 2]})
    frame.write_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.gz").write_bytes(gzip.compress((tmp_path / "t.parquet").read_bytes()))
    assert figures(tmp_path / "t.gz") == figures(tmp_path / "t.parquet")


def test_token_ids_in_a_packed_csv_are_simulated_as_they_are(tmp_path):
    (tmp_path / "t.csv").write_bytes(gzip.compress(TOKEN_CSV.encode()))
    assert load_csv_trace(tmp_path / "t.csv").input_tokens.tolist() == [3, 2]


@pytest.mark.parametrize("name", ["gzip", "zstd", "bzip2", "xz", "lz4"])
def test_a_file_that_was_cut_is_no_shorter_trace(tmp_path, name):
    packed = PACK[name](MOONCAKE.encode() * 50)
    (tmp_path / "cut").write_bytes(packed[: len(packed) * 3 // 4])
    with pytest.raises(InputError, match=rf"cut: cannot be unpacked \({name}\): .*is it complete\?"):
        inspect_trace(tmp_path / "cut", format_name="mooncake")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"PK\x03\x04rest", "is a ZIP archive or an Excel sheet"),
        (gzip.compress(b"x" * 257 + b"ustar\x00"), "is a tar archive"),
        (gzip.compress(gzip.compress(b"x")), r"is packed twice \(gzip, then gzip\)"),
        (b"SQLite format 3\x00rest", "is a SQLite database"),
        (b"ARROW1\x00\x00", r"is an Arrow \(Feather\) file"),
    ],
    ids=["zip", "tar", "twice", "sqlite", "arrow"],  # gzip's bytes hold the time
)
def test_what_cannot_be_read_is_called_by_its_name(tmp_path, data, what):
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(InputError, match=f"{what}; unpack or export it: CSV, JSON, JSON lines and Parquet are read"):
        recognise(tmp_path / "f")


def test_progress_counts_the_bytes_of_the_file_itself(tmp_path):
    (tmp_path / "t").write_bytes(gzip.compress(AZURE.encode() * 10_000))
    seen = []
    with pytest.raises(InputError):  # each header but the first is a wrong row
        inspect_trace(tmp_path / "t", progress=seen.append)
    assert 0 < max(seen) <= (tmp_path / "t").stat().st_size


NO_NUMBERS = VLLM[:-1] + ', "mean_tpot_ms": NaN, "rtfx": Infinity, "low": [-Infinity,NaN]}'


def test_what_is_no_number_in_a_summary_does_not_matter(tmp_path):
    (tmp_path / "nan").write_text(NO_NUMBERS)
    (tmp_path / "plain").write_text(VLLM)
    assert figures(tmp_path / "nan") == figures(tmp_path / "plain")


@given(st.integers(1, 40), st.lists(st.sampled_from(["NaN", "-Infinity", "Infinity", "1.5"]), min_size=1))
def test_what_is_no_number_is_found_wherever_a_piece_ends(size, values):
    from io import BytesIO

    from blis.workload.convert.json_nan import WithoutNaN

    text = '{"x": ["NaN"], "y": [' + ", ".join(values) + "]}"
    file, pieces = WithoutNaN(BytesIO(text.encode())), []
    while piece := file.read(size):
        pieces.append(piece)
    expected = [1.5 if value == "1.5" else None for value in values]
    assert json.loads(b"".join(pieces)) == {"x": ["NaN"], "y": expected}


def test_a_figure_that_is_no_number_is_a_wrong_row(tmp_path):
    (tmp_path / "nan").write_text(VLLM.replace("[0.1, 0.0, 0.2]", "[0.1, 0.0, NaN]"))
    with pytest.raises(InputError, match=r"ttfts\[2\]: expected a number"):
        inspect_trace(tmp_path / "nan")
    assert inspect_trace(tmp_path / "nan", options=ReadOptions(on_bad_row="skip"))["left_out"]["bad"] == 1


@pytest.mark.parametrize("join", ["\n".join, "".join, lambda texts: f"[{','.join(texts)}]"])
def test_one_of_several_results(tmp_path, join):
    longer = {**RESULT, "input_lens": [1000, 200, 300]}
    (tmp_path / "both").write_text(join([VLLM, json.dumps(longer)]))
    with pytest.raises(InputError, match="holds 2 results; --pick 1 to --pick 2 says which one is read"):
        inspect_trace(tmp_path / "both")
    found = [inspect_trace(tmp_path / "both", options=ReadOptions(pick=pick)) for pick in (1, 2)]
    assert [each["input_tokens"]["max"] for each in found] == [300, 1000]
    with pytest.raises(InputError, match="--pick 3: holds 2 results"):
        inspect_trace(tmp_path / "both", options=ReadOptions(pick=3))


def test_only_results_can_be_picked(tmp_path):
    (tmp_path / "azure").write_text(AZURE)
    with pytest.raises(InputError, match="pick: a file of azure holds one result; only vllm"):
        inspect_trace(tmp_path / "azure", options=ReadOptions(pick=1))
    with pytest.raises(InputError, match="pick: must be >= 1, got 0"):
        ReadOptions(pick=0)


def test_hashes_of_64_bits_without_a_sign(tmp_path):
    text = MOONCAKE.replace("[0, 1", f"[{2**64 - 1}, {2**63}")
    (tmp_path / "t").write_text(text)
    (tmp_path / "small").write_text(MOONCAKE)
    assert figures(tmp_path / "t") == figures(tmp_path / "small")
    (tmp_path / "t").write_text(MOONCAKE.replace("[0, 1", f"[{2**64}, 1"))
    with pytest.raises(InputError, match="hash_ids: expected a list of 64-bit integers"):
        inspect_trace(tmp_path / "t")


def test_hashes_without_a_sign_in_parquet_are_simulated(tmp_path):
    def shared(ids, kind):
        lists = pa.array(ids, pa.list_(kind))
        columns = {"arrival_us": [0, 1], "input_tokens": [32, 32], "output_tokens": [1, 1]}
        table = pa.table({**columns, "hash_ids": lists, "hash_block_tokens": [16, 16]})
        pa.parquet.write_table(table, tmp_path / "t.parquet")
        convert(tmp_path / "t.parquet", tmp_path / "u.parquet", selection=Selection(limit=2))
        return inspect_trace(tmp_path / "u.parquet")["prefix_sharing"]

    assert shared([[2**64 - 1, 5], [2**64 - 1, 7]], pa.uint64()) == shared([[1, 5], [1, 7]], pa.int64())


def test_sharegpt_with_a_byte_order_mark(tmp_path):
    (tmp_path / "t").write_text("\ufeff" + SHAREGPT)
    assert inspect_trace(tmp_path / "t")["requests"] == 1
