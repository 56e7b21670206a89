"""What `blis inspect` finds in a trace, against figures worked out in other ways."""

import json
import sys
import time

import numpy as np
import polars as pl
import pytest
from helpers_convert import AZURE, MOONCAKE, SHAREGPT, TINY, TOKEN_CSV, WITHOUT_ARRIVALS

from blis.cli.main import main
from blis.cli.reading import bytes_bar
from blis.errors import InputError
from blis.workload.convert.converting import convert
from blis.workload.convert.options import Selection
from blis.workload.inspect.arrivals import describe_arrivals
from blis.workload.inspect.lengths import PERCENTILES, Lengths
from blis.workload.inspect.survey import inspect_trace
from blis.workload.inspect.text import as_text, bars


def inspected(tmp_path, text):
    (tmp_path / "in").write_text(text)
    return inspect_trace(tmp_path / "in")


def test_lengths_are_exact_however_they_come():
    lengths = np.random.default_rng(3).geometric(0.01, 5000)
    counted = Lengths()
    for part in np.array_split(lengths, 7):
        counted.add(part)
    figures = counted.describe()
    for percentile in PERCENTILES:
        assert figures[f"p{percentile}"] == pytest.approx(np.percentile(lengths, percentile))
    assert figures["mean"] == pytest.approx(lengths.mean())
    assert (figures["min"], figures["max"], figures["total"]) == (lengths.min(), lengths.max(), lengths.sum())


def test_charts_and_lengths_fit_into_80_columns(tmp_path):
    rng = np.random.default_rng(5)
    arrivals, lengths = np.cumsum(rng.integers(1, 10**6, 5000)), rng.integers(1, 10**5, 5000)
    rows = {"arrival_us": arrivals, "input_tokens": lengths, "output_tokens": lengths}
    pl.DataFrame(rows).write_parquet(tmp_path / "trace.parquet")
    text = as_text(inspect_trace(tmp_path / "trace.parquet"))
    assert f"{lengths.sum():,}" in text
    assert max(map(len, text.splitlines()[1:])) <= 80  # the first line is the path


def test_poisson_arrivals_look_like_poisson():
    rng = np.random.default_rng(1)
    figures = describe_arrivals(np.cumsum(rng.exponential(100_000, 60_000)).astype(np.int64))
    assert figures["rate_per_s"] == pytest.approx(10, rel=0.02)
    assert figures["gap_cv"] == pytest.approx(1, rel=0.02)
    assert figures["dispersion"]["1_s"] == pytest.approx(1, rel=0.05)
    assert len(figures["window_rate_per_s"]) == 60
    assert np.mean(figures["window_rate_per_s"]) * figures["span_s"] == pytest.approx(60_000)
    assert np.mean(figures["window_gap_cv"]) == pytest.approx(1, rel=0.05)


def test_arrivals_by_hand():
    """A burst of 11 at once, and nothing else but one after a minute."""
    figures = describe_arrivals(np.array([0] * 11 + [60_000_000]))
    assert figures["gap_cv"] == pytest.approx(np.std([0] * 10 + [60]) / np.mean([0] * 10 + [60]))
    counts = [11] + [0] * 59
    assert figures["dispersion"] == {"1_s": pytest.approx(np.var(counts) / np.mean(counts)), "60_s": None}
    assert figures["window_rate_per_s"] == [11] + [0] * 58 + [1]
    assert figures["window_gap_cv"] == [None] * 60
    assert describe_arrivals(np.array([5, 5]))["rate_per_s"] is None


def test_sharing_by_hand(tmp_path):
    assert inspected(tmp_path, MOONCAKE)["prefix_sharing"] == {
        "hit_share": pytest.approx(1024 / 2500),
        "requests_with_hit": 0.5,
        "block_tokens": 512,
    }
    assert inspected(tmp_path, AZURE)["prefix_sharing"] is None
    prompt, output = list(range(40)), [7] * 20
    rows = [prompt, prompt[:20] + output, prompt[:10]]
    text = "".join(f'{3 - i},r,m,"{row}","[1]"\n' for i, row in enumerate(rows))
    # in the order of arrival: 10 tokens fill no block, then 40, then the other 40 with one block in common
    sharing = inspected(tmp_path, TOKEN_CSV.split("\n")[0] + "\n" + text)["prefix_sharing"]
    assert sharing == {
        "hit_share": pytest.approx(16 / 90),
        "requests_with_hit": pytest.approx(1 / 3),
        "block_tokens": 16,
    }


@pytest.mark.parametrize("name", TINY)
def test_a_converted_trace_looks_as_its_source(tmp_path, name):
    figures = inspected(tmp_path, TINY[name])
    selection = Selection(rate=1.0) if name in WITHOUT_ARRIVALS else Selection()
    convert(tmp_path / "in", tmp_path / "out.parquet", selection=selection)
    other = inspect_trace(tmp_path / "out.parquet")
    for figure in ("requests", "without_output", "input_tokens", "output_tokens", "prefix_sharing"):
        assert figures[figure] == other[figure]
    assert (figures["arrivals"] is None) == (name in WITHOUT_ARRIVALS)
    if name not in WITHOUT_ARRIVALS:
        assert figures["arrivals"] == other["arrivals"]


def test_our_own_clock_is_kept(tmp_path):
    columns = {"arrival_us": [9_000_000, 7_000_000], "input_tokens": [1, 2], "output_tokens": [0, 1]}
    pl.DataFrame(columns).write_parquet(tmp_path / "in.parquet")
    arrivals = inspect_trace(tmp_path / "in.parquet")["arrivals"]
    assert (arrivals["first_s"], arrivals["last_s"]) == (7.0, 9.0)


def test_text(tmp_path):
    assert as_text(inspected(tmp_path, SHAREGPT)).splitlines()[2:5] == [
        "requests    1 (left out: 1 without a prompt, 1 unanswered)",
        "assumed     tokens are estimated from texts, by words and characters of each script",
        "arrivals    none; blis convert --rate draws some",
    ]
    text = as_text(inspected(tmp_path, MOONCAKE))
    assert "41.0% of the prompt tokens were in an earlier request's prefix, in blocks of 512" in text
    assert "rate        0.333 requests/s" in text


def test_bars():
    assert bars([0, 1, 4.1, None, 8]) == " ▁▅ █"
    assert bars([0, None]) == "  "


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"input_tokens": [1, -1]}, r"row 1: input_tokens: must lie in \[0, 2147483647\]"),
        ({"arrival_us": [None, 1]}, "row 0: arrival_us: must lie in"),
        ({"output_tokens": [0.5, 1]}, "output_tokens: expected integers, got double"),
        ({"input_token": [1, 1]}, "unknown column 'input_token'; did you mean 'input_tokens'"),
        ({"hash_ids": [[1], None], "hash_block_tokens": [1, 1]}, "row 1: hash_ids: must not be null"),
        ({"hash_ids": [[1], [2]], "hash_block_tokens": [1, 2]}, "hash_block_tokens: must be the same in all rows"),
    ],
)
def test_wrong_parquet_is_told(tmp_path, columns, message):
    good = {"arrival_us": [0, 1], "input_tokens": [1, 1], "output_tokens": [1, 1]}
    pl.DataFrame(good | columns).write_parquet(tmp_path / "in.parquet")
    with pytest.raises(InputError, match=message):
        inspect_trace(tmp_path / "in.parquet")


def test_the_command_prints_text_or_json(capsys, tmp_path):
    (tmp_path / "in").write_text(MOONCAKE)
    assert main(["inspect", str(tmp_path / "in"), "--output", "table"]) == 0
    out, err = capsys.readouterr()
    assert out == as_text(inspect_trace(tmp_path / "in")) + "\n"
    assert main(["inspect", str(tmp_path / "in"), "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == inspect_trace(tmp_path / "in")
    assert err == ""
    assert main(["inspect", str(tmp_path / "nothing")]) == 2
    assert (
        capsys.readouterr().err == f"blis: error: {tmp_path / 'nothing'}: cannot be read: No such file or directory\n"
    )


def test_the_convert_command(capsys, tmp_path):
    source, target = tmp_path / "in", tmp_path / "out.parquet"
    source.write_text(AZURE.replace("1,1", "1,x"))
    assert main(["convert", str(source), str(target)]) == 2
    assert "line 5: GeneratedTokens: expected a whole number, got 'x'" in capsys.readouterr().err
    assert not target.exists()
    assert main(["convert", str(source), str(target), "--on-bad-row", "skip", "--limit", "1"]) == 0
    assert capsys.readouterr().err.splitlines()[0] == f"blis: wrote 1 requests (azure) to {target}"
    assert main(["convert", str(source), str(target), "--on-bad-row", "skip"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        **{"file": str(source), "format": "azure", "target": str(target), "requests": 2},
        "left_out": {"without_prompt": 1, "not_selected": 0, "unanswered": 0, "bad": 1, "failed": 0},
        **{"without_output": 1, "assumed": [], "doubts": []},
    }
    assert err.splitlines() == [
        f"blis: wrote 2 requests (azure) to {target}",
        f"blis: warning: {source}: left out 1 requests without a prompt",
        f"blis: warning: {source}: skipped 1 rows that make no sense",
        f"blis: warning: {source}: 1 requests have no output; they end with their prompt",
    ]
    assert main(["convert", str(source), str(target), "--on-bad-row", "skip", "--output", "table"]) == 0
    out, err = capsys.readouterr()
    assert out == f"wrote 2 requests (azure) to {target}\n"
    assert "wrote" not in err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--from", "azur"], "'azur' is unknown; did you mean 'azure'?"),
        (["--rate", "3"], "--rate: "),
        (["--start", "5", "--end", "4"], "--end: must be a number > start (5), got 4.0"),
        (["--scale-rate", "-1"], "--scale-rate: must be a number > 0, got -1.0"),
        (["--limit", "0"], "'--limit': 0 is not in the range x>=1"),
    ],
)
def test_wrong_flags(capsys, tmp_path, flags, message):
    (tmp_path / "in").write_text(AZURE)
    assert main(["convert", str(tmp_path / "in"), str(tmp_path / "out.parquet"), *flags]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


def test_ctrl_c_leaves_nothing_behind(capsys, tmp_path, monkeypatch):
    def press(columns, name):
        raise KeyboardInterrupt

    monkeypatch.setattr("blis.workload.convert.csv_columns.Columns.lengths", press)
    (tmp_path / "in").write_text(AZURE)
    assert main(["convert", str(tmp_path / "in"), str(tmp_path / "out.parquet")]) == 130
    assert capsys.readouterr().err.strip() == "blis: error: interrupted"
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_target_without_a_suffix(tmp_path):
    (tmp_path / "in").write_text(MOONCAKE)
    assert main(["convert", str(tmp_path / "in"), str(tmp_path / "out"), "--to", "parquet"]) == 0
    assert pl.read_parquet(tmp_path / "out")["input_tokens"].to_list() == [1100, 1400]


def test_a_full_disk_is_told_as_such(capsys, tmp_path):
    (tmp_path / "in").write_text(MOONCAKE)
    assert main(["convert", str(tmp_path / "in"), "/dev/full", "--to", "parquet"]) == 1
    assert capsys.readouterr().err.startswith("blis: error: /dev/full: ")


def test_a_terminal_gets_a_progress_bar(capsys, tmp_path, monkeypatch):
    path = tmp_path / "in"
    path.write_bytes(b" " * 2000)
    monkeypatch.setattr("blis.cli.console.BAR_AFTER_S", 0)
    with bytes_bar(path, {}) as show:
        assert show is None
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with bytes_bar(path, {}) as show:
        time.sleep(0.15)  # bars are drawn at most every tenth of a second
        show(500)
    assert "500/2.00k " in capsys.readouterr().err
