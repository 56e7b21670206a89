"""CSV traces with token ids, against Python's own csv and json modules."""

import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blis.errors import WorkloadError
from blis.workload.traces import csv as csv_trace
from blis.workload.traces.csv import load_csv_trace
from blis.workload.traces.loading import load_trace

HEADER = "arrival_time,request_id,model,prefill_tokens,decode_tokens\n"


def load(tmp_path, text, horizon_us=None):
    path = tmp_path / "trace.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_csv_trace(path, horizon_us)


def rows_of(table):
    """(arrival, prompt, output) per request."""
    offsets = table.content.offsets.tolist()
    requests = []
    for r, start in enumerate(offsets[:-1]):
        tokens = table.content.token_ids[start : offsets[r + 1]].tolist()
        cut = int(table.input_tokens[r])
        assert len(tokens) == cut + table.output_tokens[r]
        requests.append((int(table.arrival_us[r]), tokens[:cut], tokens[cut:]))
    return requests


def test_a_trace_is_read(tmp_path):
    text = HEADER + '0.0,req_0,llama,"[101,7592,2088]","[2023,102]"\n0.25,req_1,llama,"[7]","[3000]"\n'
    table = load(tmp_path, text)
    assert rows_of(table) == [(0, [101, 7592, 2088], [2023, 102]), (250_000, [7], [3000])]
    assert table.content.token_ids.dtype == np.int32
    assert table.priority is None


@pytest.mark.parametrize(
    "text",
    [
        HEADER + '1,a,b,"[1, 2]","[3]"',  # no newline at the end
        HEADER.replace("\n", "\r\n") + '1,a,b,"[1, 2]","[3]"\r\n',
        HEADER + '\n1,a,b,"[1, 2]","[3]"\n\n\n',  # empty lines
        HEADER + '"1","a","b","[1, 2]","[3]"\n',
        HEADER + '1,"x ""y"", z\nnew line",b," [ 1 , 2 ] ","[3]"\n',
        '"a","b\nb",c,d,e\n1,a,b,"[1\n,2]",[3]\n',  # the header's names do not matter
        "a,b,c,d,e,f,g\n" + '1,a,b,"[1,2]","[3]",6,"7,7"\n',
        HEADER + '1e0,,,"[1,2]","[3]"\n',
    ],
)
def test_forms_of_the_same_row(tmp_path, text):
    assert rows_of(load(tmp_path, text)) == [(1_000_000, [1, 2], [3])]


@pytest.mark.parametrize("output", ["null", "[]", " [ ] ", " null "])
def test_an_empty_output_is_none(tmp_path, output):
    assert rows_of(load(tmp_path, f"{HEADER}1,a,b,[5],{output}\n")) == [(1_000_000, [5], [])]


def test_the_largest_token_id_and_zero(tmp_path):
    text = f'{HEADER}0,a,b,"[0,2147483647]",[0]\n'
    assert rows_of(load(tmp_path, text)) == [(0, [0, 2**31 - 1], [0])]


@pytest.mark.parametrize(
    ("seconds", "arrival_us"), [("0.0000019", 1), ("4.000001", 4_000_001), ("1e-7", 0), ("86400", 86_400_000_000)]
)
def test_arrivals_are_cut_to_whole_microseconds(tmp_path, seconds, arrival_us):
    assert load(tmp_path, f"{HEADER}{seconds},a,b,[5],[]\n").arrival_us.tolist() == [arrival_us]


def test_rows_after_the_horizon_are_left_out_wherever_they_stand(tmp_path):
    text = HEADER + '3,a,b,"[1,2,3]",[4]\n1,a,b,[5],"[6,7]"\n9,a,b,[8],[9]\n2,a,b,"[10,11]",[]\n'
    assert rows_of(load(tmp_path, text, 2_000_000)) == [(1_000_000, [5], [6, 7]), (2_000_000, [10, 11], [])]
    assert len(load(tmp_path, text, 0)) == 0
    with pytest.raises(WorkloadError, match="line 4: prefill_tokens"):
        load(tmp_path, text.replace("[8]", "[x]"), 2_000_000)


name = st.text(alphabet='ab",\n é', max_size=5)
tokens = st.lists(st.integers(0, 2**31 - 1), max_size=6)
row = st.tuples(st.integers(0, 10**12), name, name, tokens.filter(bool), tokens, name)


@settings(max_examples=100)
@given(st.lists(row, min_size=1, max_size=20), st.integers(2, 60), st.integers(1, 5))
def test_what_csv_writes_is_read_whatever_the_blocks(tmp_path_factory, rows, block_bytes, block_rows):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow("abcdef")
    for arrival_us, ident, model, prompt, output, more in rows:
        writer.writerow([f"{arrival_us / 1e6:.7f}", ident, model, json.dumps(prompt), json.dumps(output), more])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_trace, "_BLOCK_BYTES", block_bytes)
        patch.setattr(csv_trace, "_BLOCK_ROWS", block_rows)
        table = load(tmp_path_factory.getbasetemp(), text.getvalue())
    expected = [(int(float(f"{t / 1e6:.7f}") * 1e6), prompt, output) for t, _, _, prompt, output, _ in rows]
    assert rows_of(table) == expected


LIST = "expected a JSON list of integers, got"
RANGE = r"token ids must lie in \[0, 2147483647\], got"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1,2,x]", LIST),
        ("[1.0]", LIST),
        ("[1e3]", LIST),
        ("[[1]]", LIST),
        ("[1,]", LIST),
        ("[,1]", LIST),
        ("[1 2]", LIST),
        ("[1", LIST),
        ("[", LIST),
        ("[1,", LIST),
        ("1", LIST),
        ("", LIST),
        (" ", LIST),
        ("[01]", LIST),
        ("[1] x", LIST),
        ("[1]]", LIST),
        ("nul", LIST),
        ("nullx", LIST),
        ("null,", LIST),
        ("{}", LIST),
        ("[true]", LIST),
        ("[-]", LIST),
        ("[-1]", RANGE),
        ("[2147483648]", RANGE),
        ("[99999999999999999999999999]", RANGE),
    ],
)
def test_a_wrong_list_is_refused_with_its_line(tmp_path, text, problem):
    good = '1,a,b,"[1]","[1]"\n'
    quoted = f'"{text}"'
    excerpt = repr(text).replace("[", r"\[").replace("]", r"\]").replace("{", r"\{").replace(".", r"\.")
    with pytest.raises(WorkloadError, match=rf"trace.csv: line 3: prefill_tokens: {problem} {excerpt}$"):
        load(tmp_path, f"{HEADER}{good}1,a,b,{quoted},[1]\n{good}")
    with pytest.raises(WorkloadError, match=rf"trace.csv: line 4: decode_tokens: {problem} {excerpt}$"):
        load(tmp_path, f"{HEADER}{good}{good}1,a,b,[1],{quoted}\n")


def test_a_list_with_quotes_inside_is_refused(tmp_path):
    with pytest.raises(WorkloadError, match=r"line 2: prefill_tokens: expected a JSON list of integers"):
        load(tmp_path, HEADER + '1,a,b,"[""1""]",[1]\n')


def test_a_long_list_is_shortened_around_the_error(tmp_path):
    ids = [str(i) for i in range(10_000)]
    ids[5000] = "oops"
    with pytest.raises(WorkloadError) as caught:
        load(tmp_path, f'{HEADER}1,a,b,"[{",".join(ids)}]",[1]\n')
    assert "4999,oops,5001" in str(caught.value)
    assert len(str(caught.value)) < len(str(tmp_path)) + 140


@pytest.mark.parametrize("prompt", ["[]", "null"])
def test_an_empty_prompt_is_refused(tmp_path, prompt):
    message = f"line 2: prefill_tokens: a prompt must hold at least one token, got '{prompt}'".replace("[]", r"\[\]")
    with pytest.raises(WorkloadError, match=message):
        load(tmp_path, f"{HEADER}1,a,b,{prompt},[1]\n")


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "-inf", "soon", "", "1e13", "1;5"])
def test_a_wrong_arrival_is_refused(tmp_path, seconds):
    with pytest.raises(WorkloadError, match=f"line 3: arrival_time: expected seconds >= 0, got '{seconds}'"):
        load(tmp_path, f"{HEADER}1,a,b,[1],[1]\n{seconds},a,b,[1],[1]\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no requests"),
        ("\n\n", "holds no requests"),
        (HEADER, "holds no requests"),
        (HEADER.strip(), "holds no requests"),
        ("arrival_time,prompt\n1,2\n", r"expected a header of at least 5 columns \(arrival_time, .*\), got 2"),
        (HEADER + "1,a,b,[1]\n", "line 2: expected 5 fields as in the header, got 4"),
        (HEADER + "1,a,b,[1],[1],x\n", "line 2: expected 5 fields as in the header, got 6"),
        (HEADER + "1,a,b,[1],[1]\n\n1,a,b,[1,2],[1]\n", "line 4: expected 5 fields as in the header, got 6"),
        (HEADER + '1,a,b,[1],"[1]\n1,a,b,[1],[1]\n', "line 2: a quoted field is never closed"),
        (HEADER + '1,a"b",c,[1],[1]\n', "line 2: stray quote"),
        (HEADER + '1,"a"b,c,[1],[1]\n', "line 2: stray quote"),
        (HEADER + '1,"a\n\nb",c,[1],[1]\n1,a,b,[],[1]\n', "line 5: prefill_tokens: a prompt must hold"),
        (b"\x00\x01\x02\xff" * 100, r"expected a header of at least 5 columns .* got 1"),
        (HEADER.encode() + b"1,a,b,[\xff\x00],[1]\n", "line 2: prefill_tokens: expected a JSON list"),
        (b'PAR1"\x00\n', "line 1: stray quote"),
    ],
)
def test_a_broken_file_is_refused(tmp_path, text, message):
    with pytest.raises(WorkloadError, match=rf"trace\.csv: {message}") as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_lines_are_counted_across_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_trace, "_BLOCK_BYTES", 64)
    monkeypatch.setattr(csv_trace, "_BLOCK_ROWS", 3)
    rows = [f'{i},"a\n{i}",b,"[{",".join(["7"] * (i % 50 + 1))}]",[1]\n' for i in range(500)]
    rows[321] = "1,a,b,[1],[z]\n"
    with pytest.raises(WorkloadError, match=f"line {2 + 2 * 321}: decode_tokens"):
        load(tmp_path, HEADER + "".join(rows))


def test_a_missing_file_and_a_directory_are_refused(tmp_path):
    with pytest.raises(WorkloadError, match=r"no\.csv: cannot be read: No such file or directory"):
        load_csv_trace(tmp_path / "no.csv")
    with pytest.raises(WorkloadError, match="cannot be read: Is a directory"):
        load_csv_trace(tmp_path)


NAMED = "arrival_time,request_id,model,prefill_tokens,decode_tokens,note,max_tokens,priority\n"


def test_columns_known_by_their_names(tmp_path):
    table = load(tmp_path, NAMED + '0,a,m,"[1]","[2,3]",x,7,-2\n1,b,m,"[1]","[2,3]",y, ,\n9,c,m,"[1]",[],"","0",5\n')
    assert table.max_tokens.tolist() == [7, 2, 0]
    assert table.priority.tolist() == [-2, 0, 5]
    early = load(tmp_path, NAMED + '9,a,m,"[1]","[2,3]",x,7,1\n1,b,m,"[1]","[2,3]",y,3,2\n', horizon_us=2_000_000)
    assert (early.max_tokens.tolist(), early.priority.tolist()) == ([3], [2])


def test_other_columns_say_nothing(tmp_path):
    table = load(tmp_path, HEADER[:-1] + ',Max_Tokens,\n0,a,m,"[1]","[2,3]",x,7\n')
    assert (table.max_tokens, table.priority) == (None, None)


@pytest.mark.parametrize("found", ["1", "2.5", "x", "-1"])
def test_a_wrong_number_is_refused_with_its_line(tmp_path, found):
    with pytest.raises(WorkloadError) as caught:
        load(tmp_path, NAMED + f'0,a,m,"[1]","[2,3]",x,2,0\n0,a,m,"[1]","[2,3]",x,{found},0\n')
    problem = f"expected a whole number in [2, {2**40}], got '{found}'"
    assert str(caught.value).endswith(f"trace.csv: line 3: max_tokens: {problem}")


def test_a_column_given_twice_is_refused(tmp_path):
    with pytest.raises(WorkloadError, match="max_tokens: two columns have this name"):
        load(tmp_path, NAMED[:-1] + ',max_tokens\n0,a,m,"[1]","[2,3]",x,7,0,7\n')


def test_a_header_that_comes_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_trace, "_BLOCK_BYTES", 16)
    table = load(tmp_path, "\n\n" + NAMED + '0,a,m,"[1]","[2,3]",x,7,-2\n')
    assert (table.max_tokens.tolist(), table.priority.tolist()) == ([7], [-2])


def test_load_trace_goes_by_the_suffix(tmp_path):
    (tmp_path / "T.CSV").write_text(HEADER + "2,a,b,[1],[1]\n1,a,b,[1],[1]\n")
    assert load_trace(str(tmp_path / "T.CSV")).arrival_us.tolist() == [2_000_000, 1_000_000]
    assert load_trace(tmp_path / "T.CSV", 1_500_000).arrival_us.tolist() == [1_000_000]
    with pytest.raises(WorkloadError, match=r"trace.json: a trace must be a .csv or .parquet file, got suffix '.json'"):
        load_trace(tmp_path / "trace.json")


def test_every_kernel_is_compiled_for_one_signature_only(tmp_path):
    from blis.workload.traces import _csv_kernels

    load(tmp_path, HEADER + "1,a,b,[1],[1]\n")
    for function in vars(_csv_kernels).values():
        assert len(getattr(function, "signatures", ())) <= 1, function
