"""Native ServeGen data: every window with its own rate, law and lengths."""

import json

import numpy as np
import pytest
from helpers_spec import write
from test_convert_real import real

import blis
from blis.workload.client_spec import ServeGenData
from blis.workload.servegen import load_servegen

TRACE = "0,0,0,,0,0\n600,2,1.5,Gamma,1,1\n1200,0,0,,0,0\n1800,5,2,Weibull,1,1\n"
DATASET = {
    "0": {"input_tokens": "{}", "output_tokens": "{}"},
    "600": {"input_tokens": "{10: 1.0}", "output_tokens": "{1: 0.5, 3.0: 5e-1,}"},
    "1200": {"input_tokens": "{}", "output_tokens": "{}"},
    "2000": {"input_tokens": "{20: 1}", "output_tokens": "{7: 1}", "reason_ratio": "{0.25: 1.0}"},
}


def chunk(folder, trace=TRACE, dataset=DATASET, number=0):
    (folder / f"chunk-{number}-trace.csv").write_text(trace)
    (folder / f"chunk-{number}-dataset.json").write_text(json.dumps(dataset))


def play(folder, top="", **keys):
    span = "".join(f", {key}: {value}" for key, value in keys.items())
    path = write(folder, f"{top}\nservegen_data: {{path: .{span}}}")
    return blis.load_workload_spec(path).requests(1)


def test_windows_have_their_own_rates_and_lengths(tmp_path):
    chunk(tmp_path)
    table = play(tmp_path, span_end=2400)
    seconds = table.arrival_us / 1e6
    counts = np.histogram(seconds, [0, 600, 1200, 1800, 2400])[0]
    assert counts[[0, 2]].tolist() == [0, 0]
    assert counts[[1, 3]] == pytest.approx([1200, 3000], rel=0.25)
    early = seconds < 2000  # the window of 600 s holds until there are new lengths
    assert set(table.input_tokens[early]) == {10}
    assert set(table.output_tokens[early]) == {1, 3}
    assert (set(table.input_tokens[~early]), set(table.output_tokens[~early])) == ({20}, {7})
    assert set(table.details.reason_ratio[~early]) == {0.25}
    assert table.details.client.names == ("servegen-chunk-0",)
    assert table.tenant.names == ("chunk-0",)


def test_the_span_begins_at_zero(tmp_path):
    chunk(tmp_path)
    table = play(tmp_path, span_start=1900, span_end=2100)
    seconds = table.arrival_us / 1e6
    assert seconds.min() >= 0
    assert 150 < seconds.max() < 200
    assert set(table.input_tokens[seconds < 100]) == {10}
    assert set(table.input_tokens[seconds >= 100]) == {20}


def test_a_total_rate_scales_all(tmp_path):
    chunk(tmp_path)
    chunk(tmp_path, trace="0,3,1,Gamma\n2400,0,0,\n", number=1)
    data = ServeGenData(str(tmp_path), 0.0, 2400.0)
    plain, scaled = load_servegen(data), load_servegen(data, 20.0)

    def mean_rate(clients):
        return sum(p.rate * (p.end_us - p.start_us) for c in clients for p in c.phases) / 2400e6

    assert mean_rate(plain) == pytest.approx((2 + 5) / 4 + 3)
    assert mean_rate(scaled) == pytest.approx(20.0)
    assert scaled[1].phases[0].rate / scaled[0].phases[0].rate == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("trace", "problem"),
    [
        ("0,1,1,Gamma\n600,x,1,Gamma\n", r"trace\.csv:2: rate must be a number in \[0, 1e\+12\], got 'x'"),
        ("0,1,1,Gamma\n600,1\n", r"trace\.csv:2: must be start,rate,cv,pattern,…, got 2 fields"),
        ("0,-1,1,Gamma\n", r"trace\.csv:1: rate must be a number in"),
        ("0,1,nan,Gamma\n", r"trace\.csv:1: cv must be a number in"),
        ("0,1,0,Gamma\n", r"trace\.csv:1: cv must lie in \[0\.003, 1000\], got 0"),
        ("0,1,1,Gama\n", r"trace\.csv:1: pattern: unknown law 'Gama'; did you mean 'gamma'"),
        ("600,1,1,Gamma\n0,1,1,Gamma\n", r"trace\.csv:2: start must be later than 600, got 0"),
        ("", r"trace\.csv: no rows"),
        ("0,0,0,\n", r"no client is active between 0 s and inf s"),
    ],
)
def test_wrong_traces(tmp_path, trace, problem):
    chunk(tmp_path, trace=trace)
    with pytest.raises(blis.InputError, match=problem):
        play(tmp_path, "num_requests: 5")


@pytest.mark.parametrize(
    ("tokens", "problem"),
    [
        ("{1: }", r"dataset\.json: 0\.input_tokens: must be a Python dict of weights by value, cannot be parsed"),
        ("__import__('os')", r"0\.input_tokens: must be a Python dict of weights by value, cannot be parsed"),
        ("[1]", r"0\.input_tokens: must be a Python dict of weights by value, got list"),
        ("{-1: 1}", r"0\.input_tokens: values must be numbers in .*; got -1: 1"),
        ("{1: 0}", r"0\.input_tokens: no weight is > 0"),
    ],
)
def test_wrong_datasets(tmp_path, tokens, problem):
    chunk(tmp_path, dataset={"0": {"input_tokens": tokens, "output_tokens": "{1: 1}"}})
    with pytest.raises(blis.ConfigError, match=problem):
        play(tmp_path, span_end=2400)


@pytest.mark.parametrize(
    ("starts", "problem"),
    [
        (("soon",), r"dataset\.json: start of a window must be a number in \[0, 1e\+12\], got 'soon'"),
        (("0", "5", "5.0"), r"dataset\.json: two windows have the same start"),
    ],
)
def test_wrong_windows(tmp_path, starts, problem):
    chunk(tmp_path, dataset=dict.fromkeys(starts, DATASET["600"]))
    with pytest.raises(blis.InputError, match=problem):
        play(tmp_path, span_end=2400)


def test_missing_data(tmp_path):
    with pytest.raises(blis.ConfigError, match=r"no chunk-<number>-trace\.csv in it"):
        play(tmp_path, span_end=2400)
    chunk(tmp_path)
    with pytest.raises(blis.ConfigError, match=r"nothing bounds the workload"):
        play(tmp_path)
    (tmp_path / "chunk-0-dataset.json").unlink()
    with pytest.raises(blis.ConfigError, match=r"chunk-0-dataset\.json: cannot be read"):
        play(tmp_path, span_end=2400)


@pytest.mark.slow
def test_the_real_data_keep_their_rates_through_time():
    """Six hours of seven production clients: counts per 10 minutes, with the spread that their own CVs give them."""
    data = ServeGenData(str(real("servegen", "m-small")), 712_800, 734_400)
    clients = load_servegen(data)
    assert len(clients) == 7
    scores = []
    for client in clients:
        assert len(client.phases) > 1
        runs = [client.starts_us(seed, 10**12) for seed in range(4)]
        for phase in client.phases:
            seconds = (phase.end_us - phase.start_us) / 1e6
            expected = phase.rate * seconds
            counts = [np.diff(np.searchsorted(times, (phase.start_us, phase.end_us))) for times in runs]
            if expected > 50 * phase.cv**2:  # enough gaps for the normal law of counts
                scores.append((np.mean(counts) - expected) / (phase.cv * np.sqrt(expected / len(runs))))
    assert len(scores) > 100
    assert abs(np.mean(scores)) < 4 / np.sqrt(len(scores))
    assert 0.85 < np.std(scores) < 1.15
    assert np.abs(scores).max() < 5


@pytest.mark.parametrize("folder", ["m-small", "deepseek-r1"])
def test_the_real_specs_load(folder):
    spec = blis.load_workload_spec(real("servegen", f"{folder}.workload.yaml"))
    table = spec.requests(42)
    assert len(table) / 21_600 == pytest.approx(spec.aggregate_rate, rel=0.05)
    assert (table.details.reason_ratio.mean() > 0.5) == (folder == "deepseek-r1")
