"""Against a server of others, whose latencies are known: what is measured is what it was told.

It never answers sooner than told, but the machine may delay it and the client; so upper bounds are wide and of medians.
"""

import pytest
from helpers_mock_server import GUIDELLM, WHY_NOT, mock_server
from helpers_observe import errors, measure, statuses, table_of

pytestmark = [pytest.mark.mock_server, pytest.mark.skipif(GUIDELLM is None, reason=WHY_NOT)]

TTFT_MS, ITL_MS = 150.0, 20.0


@pytest.fixture(scope="module")
def url():
    with mock_server(ttft_ms=TTFT_MS, itl_ms=ITL_MS, request_latency=0.3) as address:
        yield address


@pytest.mark.parametrize("api_format", ["completions", "chat"])
def test_streams(tmp_path, url, api_format):
    table = table_of(range(0, 1000, 50), 60, 11)
    summary, records = measure(tmp_path, url, table, api_format=api_format)
    assert statuses(records) == ["ok"] * 20
    assert summary["missing_usage"] == 0
    assert records.output_tokens.tolist() == records.num_chunks.tolist() == [11] * 20
    assert TTFT_MS <= summary["ttft_p50_ms"] < TTFT_MS + 50
    assert ITL_MS <= summary["itl_p50_ms"] < ITL_MS + 10
    assert ITL_MS <= summary["tpot_p50_ms"] < ITL_MS + 10
    assert TTFT_MS + 10 * ITL_MS <= summary["e2e_p50_ms"] < TTFT_MS + 10 * ITL_MS + 150


def test_whole_answers(tmp_path, url):
    summary, records = measure(tmp_path, url, table_of(range(0, 400, 50), 60, 11), streaming=False)
    assert statuses(records) == ["ok"] * 8
    assert (records.first_chunk_us == records.last_chunk_us).all()
    assert 300 <= summary["e2e_p50_ms"] < 400


def test_a_server_that_breaks_down(tmp_path):
    with mock_server(ttft_ms=10, itl_ms=1, fail_after_requests=6) as url:
        summary, records = measure(tmp_path, url, table_of(range(0, 200, 20)), max_concurrency=1)
    assert statuses(records) == ["ok"] * 6 + ["error"] * 4
    assert all(why.startswith("HTTP 500: ") for why in errors(records)[6:])
    assert summary["judged"] == 6


@pytest.mark.slow
def test_two_hundred_requests_per_second(tmp_path):
    with mock_server(ttft_ms=100, itl_ms=10) as url:
        summary, records = measure(tmp_path, url, table_of(range(0, 5000, 5), 128, 16))
    assert statuses(records) == ["ok"] * 1000
    assert records.output_tokens.tolist() == [16] * 1000
    assert summary["sent_per_sec"] == pytest.approx(200, rel=0.05)
    assert not summary["saturated"]
    assert 100 <= summary["ttft_p50_ms"] < 150
    assert 10 <= summary["itl_p50_ms"] < 15
