"""A vLLM server's metrics: what a dump says, the difference of two, and how they compare with a simulation."""

import gzip
import json

import numpy as np
import pytest
from helpers_metrics import Server
from hypothesis import given
from hypothesis import strategies as st

import blis
from blis.cli.main import main
from blis.errors import InputError
from blis.measurement.server_metrics.comparing import compare_with_server
from blis.measurement.server_metrics.dump import difference, looks_like_dump, read_dump
from blis.measurement.server_metrics.figures import describe_dump
from blis.measurement.server_metrics.histogram import Histogram
from blis.workload.convert.formats import recognise


@pytest.fixture
def server():
    return Server()


def test_what_a_dump_says(tmp_path):
    server = Server(engines=2)
    for number in range(10):
        server.serve(0.03, 0.7, engine=number % 2)
    found = describe_dump(read_dump(server.write(tmp_path / "m")))
    assert found["models"] == ["m"]
    assert (found["engines"], found["finished_requests"]) == (2, {"length": 10})
    assert (found["input_tokens_total"], found["output_tokens_total"]) == (1000, 200)
    assert (found["cache_hit_rate"], found["preemption_count"], found["kv_usage"]) == (0.1, 10, 0.25)
    ttft = found["histograms"]["ttft"]
    assert (ttft["unit"], ttft["count"], ttft["mean"]) == ("ms", 10, pytest.approx(30))
    assert ttft["p50"] == {"at_least": 20, "at_most": 50, "about": 35}
    assert found["histograms"]["itl"] is None


@given(st.lists(st.floats(0, 30), min_size=1, max_size=50), st.sampled_from([50, 90, 95, 99]))
def test_a_percentile_lies_in_its_bucket(values, percentile):
    bounds = np.array([0.5, 1.0, 2.0, 8.0, np.inf])
    upto = np.searchsorted(np.sort(values), bounds, side="right").astype(float)
    low, high, about = Histogram(bounds, upto, sum(values)).percentile(percentile)
    true = float(np.percentile(values, percentile, method="inverted_cdf"))
    assert low <= true <= (np.inf if high is None else high)
    assert about is None or low <= about <= high


def test_the_difference_of_two_dumps(tmp_path, server):
    server.serve(3.0, 4.0, prompt=900)
    before = read_dump(server.write(tmp_path / "before"))
    for _ in range(4):
        server.serve(0.03, 0.7)
    after = read_dump(server.write(tmp_path / "after"))
    found = describe_dump(difference(after, before))
    assert (found["finished_requests"], found["input_tokens_total"]) == ({"length": 4}, 400)
    assert found["histograms"]["e2e"]["mean"] == pytest.approx(700)
    with pytest.raises(InputError, match="became less; the server was started anew, or the files are swapped"):
        difference(before, after)


def test_dumps_that_cannot_be_compared(tmp_path, server):
    server.serve(1.0, 2.0)
    mine = read_dump(server.write(tmp_path / "mine"))
    for name, other, problem in (
        ("model", Server(model="n"), "are of different models, m and n"),
        ("buckets", Server(tokens=(1, 3)), "request_prompt_tokens: has other buckets"),
    ):
        other.serve(1.0, 2.0)
        with pytest.raises(InputError, match=problem):
            difference(mine, read_dump(other.write(tmp_path / name)))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('# TYPE sglang:x gauge\nsglang:x{a="b"} 1\n', "holds no metrics of vLLM.*found those of sglang"),
        ("# TYPE up gauge\nup 1\n", "holds no metrics of vLLM.*found 1 others"),
        ('vllm:x{a="b 1\n', "is no text of Prometheus"),
        (
            '# TYPE vllm:h histogram\nvllm:h_bucket{le="+Inf"} 2\nvllm:h_count 3\nvllm:h_sum 4\n',
            "vllm:h: its buckets do not add up to its count; is the file complete",
        ),
    ],
)
def test_wrong_dumps(tmp_path, text, problem):
    (tmp_path / "m").write_text(text)
    with pytest.raises(InputError, match=problem):
        read_dump(tmp_path / "m")


def test_inspect_shows_a_dump(capsys, tmp_path, server):
    server.serve(3.0, 4.0)
    before = server.write(tmp_path / "before")
    server.serve(0.03, 0.7)
    (tmp_path / "after.gz").write_bytes(gzip.compress(server.write(tmp_path / "after").read_bytes()))
    assert main(["inspect", str(tmp_path / "after.gz"), "--since", str(before), "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["histograms"]["ttft"]["mean"] == pytest.approx(30)
    assert main(["inspect", str(before), "--output", "table"]) == 0
    shown = capsys.readouterr().out
    assert "requests    1 finished (1 length)" in shown
    assert "1000 to 5000" in shown
    (tmp_path / "t").write_text("a,b\n")
    assert main(["inspect", str(tmp_path / "t"), "--since", str(before)]) == 2
    assert "is no dump of /metrics" in capsys.readouterr().err


def test_a_dump_is_no_trace(tmp_path, server):
    with pytest.raises(InputError, match="is a dump of /metrics, which holds no requests; blis inspect shows"):
        recognise(server.write(tmp_path / "m"))
    assert not looks_like_dump(tmp_path / "nothing")


@pytest.fixture(scope="module")
def outcomes():
    workload = blis.DistributionWorkload(num_requests=60, rate=10.0, prompt_tokens=80, output_tokens=20)
    return blis.simulate(blis.Deployment("meta-llama/llama-3.1-8b-instruct"), workload)


def server_of(outcomes, slower=1.0):
    """A server that counted the very requests of a simulation."""
    server = Server()
    for row in outcomes.requests.iter_rows(named=True):
        seconds = (row["ttft_us"] * slower / 1e6, row["e2e_us"] * slower / 1e6)
        server.serve(*seconds, prompt=row["input_tokens"], output=row["produced_tokens"])
    return server


def test_a_simulation_agrees_with_a_server_that_did_the_same(tmp_path, outcomes):
    found = compare_with_server(read_dump(server_of(outcomes).write(tmp_path / "m")), outcomes)
    assert found["meaningful"], found["not_meaningful_because"]
    assert found["requests"] == {"measured": 60, "simulated": 60}
    for name in ("ttft", "e2e", "input_tokens", "output_tokens"):
        metric = found["metrics"][name]
        assert metric["mean_relative_error"] == pytest.approx(0, abs=1e-9)
        assert all(metric[f"p{percentile}"]["within"] for percentile in (50, 90, 95, 99))
        assert metric["largest_difference"] == 0
    assert found["metrics"]["itl"] is None


def test_a_server_that_is_slower(tmp_path, outcomes):
    found = compare_with_server(read_dump(server_of(outcomes, slower=8).write(tmp_path / "m")), outcomes)
    ttft = found["metrics"]["ttft"]
    assert ttft["mean_relative_error"] == pytest.approx(-7 / 8)
    assert not ttft["p50"]["within"]
    assert ttft["largest_difference"] > 0.5


def test_another_workload_means_nothing(tmp_path, outcomes, server):
    server.serve(0.03, 0.7, prompt=1000)
    found = compare_with_server(read_dump(server.write(tmp_path / "m")), outcomes)
    assert not found["meaningful"]
    assert "the server has finished 1 requests, the simulation 60" in found["not_meaningful_because"][0]
    assert "requests have other input tokens: 1000.0 measured" in found["not_meaningful_because"][1]
    with pytest.raises(InputError, match="nothing to compare"):
        compare_with_server(read_dump(Server().write(tmp_path / "m")), outcomes)


def test_calibrate_with_a_servers_metrics(capsys, tmp_path, outcomes):
    dump = str(server_of(outcomes).write(tmp_path / "m"))
    outcomes.write_parquet(tmp_path / "o.parquet")
    flags = ["calibrate", "--server-metrics", dump, "--sim-outcomes", str(tmp_path / "o.parquet")]
    assert main([*flags, "--report", str(tmp_path / "r.json"), "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "r.json").read_text())
    assert main([*flags, "--output", "table"]) == 0
    assert "ttft, ms" in capsys.readouterr().out
    for more, problem in (
        (["--trace-data", "t.csv"], "--trace-data: goes with a trace"),
        (["--report", "r.html"], "--report: a comparison with --server-metrics is written as JSON only"),
    ):
        assert main([*flags, *more]) == 2
        assert problem in capsys.readouterr().err
    assert main([flags[0], *flags[3:]]) == 2
    assert "Missing option '--trace-header'" in capsys.readouterr().err
    assert main([flags[0], *flags[3:], "--trace-header", "h", "--trace-data", "d", "--since", dump]) == 2
    assert "--since: goes with --server-metrics" in capsys.readouterr().err
