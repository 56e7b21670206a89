"""Exports of load-testing tools, in the shape in which guidellm 0.8.1, aiperf 0.13, inference-perf 0.7 and genai-bench
0.0.5 wrote them."""

import json

import pytest
from helpers_convert import AIPERF, GENAI_BENCH, GUIDELLM_BENCHMARKS, INFERENCE_PERF, guidellm

from blis.errors import InputError
from blis.workload.convert.converting import convert
from blis.workload.convert.json_lines import number
from blis.workload.convert.options import ReadOptions, Selection
from blis.workload.inspect.survey import inspect_trace
from blis.workload.traces.loading import load_trace
from blis.workload.traces.parquet import measured_durations


def converted(tmp_path, text, rate=None, **options):
    """Arrivals, lengths and durations of the trace a text becomes, and how many requests failed."""
    (tmp_path / "source").write_text(text)
    target, selection = tmp_path / "out.parquet", Selection(rate=rate)
    _, counts = convert(tmp_path / "source", target, selection=selection, options=ReadOptions(**options))
    table, measured = load_trace(target), measured_durations(target)
    columns = table.arrival_us, table.input_tokens, table.output_tokens, *(measured or ())
    return [column.tolist() for column in columns], counts.failed


def test_guidellm(tmp_path):
    found = [[0, 1_250_000], [30, 40], [4, 2], [50_000, 60_500], [200_000, 250_000]]
    assert converted(tmp_path, guidellm(GUIDELLM_BENCHMARKS[0])) == (found, 1)


def test_guidellm_with_several_benchmarks(tmp_path):
    text = guidellm(*GUIDELLM_BENCHMARKS)
    with pytest.raises(InputError, match="holds 2 results; --pick 1 to --pick 2 says which one is read"):
        converted(tmp_path, text)
    assert converted(tmp_path, text, pick=1)[1] == 1
    columns, failed = converted(tmp_path, text, pick=2)
    assert (columns, failed) == ([[0], [99], [9]], 0), "without a first token nothing was measured that can be compared"


def test_aiperf(tmp_path):
    """The server's counts are taken where it gave any; the warm-up is no part of the measurement."""
    found = [[0, 1_000_000], [19, 20], [10, 7], [57_500, 57_500], [102_250, 102_250]]
    assert converted(tmp_path, AIPERF) == (found, 1)
    assert inspect_trace(tmp_path / "source")["assumed"] == [
        "1 requests of the warm-up are left out",
        "tokens are the server's own count, where the file has it",
    ]


def test_inference_perf(tmp_path):
    columns, failed = converted(tmp_path, INFERENCE_PERF)
    assert (columns, failed) == ([[0, 2_250_000], [7, 7], [3, 3], [50_000] * 2, [80_000] * 2], 1)


def test_inference_perf_without_a_servers_count(tmp_path):
    records = json.loads(INFERENCE_PERF)
    for record in records:
        record["info"]["response_metrics"]["server_usage"] = None
    assert converted(tmp_path, json.dumps(records))[0][1:3] == [[8, 8], [10, 10]]


def test_genai_bench_needs_a_rate(tmp_path):
    with pytest.raises(InputError, match="has no arrivals; give requests per second"):
        converted(tmp_path, GENAI_BENCH)
    columns, failed = converted(tmp_path, GENAI_BENCH, rate=2.0)
    assert (columns[1:], failed) == ([[26], [12]], 1)


@pytest.mark.parametrize("value", ["null", "-1", "1.5", "true"])
def test_a_count_that_makes_no_sense(tmp_path, value):
    text = guidellm(GUIDELLM_BENCHMARKS[0]).replace('"prompt_tokens": 40', f'"prompt_tokens": {value}')
    with pytest.raises(InputError, match=r"requests.successful\[1\]: tokens of the prompt: expected a whole number"):
        converted(tmp_path, text)
    assert len(converted(tmp_path, text, on_bad_row="skip")[0][0]) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, True), (2.5, True), (10**400, False), (-(10**308), False), (float("nan"), False), (True, False), ("1", False)],
)
def test_numbers_can_be_calculated_with(value, expected):
    assert number(value) is expected
