"""Workload specs in YAML: what they say, and what is refused, by file and key."""

import pytest
from helpers_spec import write

import blis
from blis.workload.client_spec import ClosedLoop, OpenLoop
from blis.workload.lengths import Empirical, Lengths

DIST = "input_distribution: {type: %s}"


def load(folder, top="aggregate_rate: 5", *clients):
    return blis.load_workload_spec(write(folder, top, *(clients or ("id: a",))))


def test_defaults(tmp_path):
    spec = load(tmp_path, "aggregate_rate: 5\nversion: 1", "tenant_id: t")
    assert (spec.version, spec.seed, spec.horizon_us, spec.num_requests, spec.category) == ("1", None, None, None, "")
    (client,) = spec.clients
    assert (client.id, client.slo_class, client.prefix_length, client.streaming) == ("client_0", "", 50, False)
    assert client.load == OpenLoop(1.0, "poisson")
    assert (client.media, client.multi_turn, client.reason_percent) == (None, None, None)


def test_closed_loop(tmp_path):
    load_ = load(tmp_path, "num_requests: 5", "concurrency: 4\nnum_requests: 3").clients[0].load
    assert isinstance(load_, ClosedLoop)
    assert (load_.concurrency, load_.num_requests, load_.think_time_us.maximum) == (4, 3, 0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("w.csv", "value,weight\n128,0.5\n64,1.5\n"),
        ("w.csv", "128,0.5\n64,1.5\n"),
        ("w.json", '{"128": 0.5, "64": 1.5}'),
    ],
)
def test_weights_from_a_file_beside_the_spec(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    (client,) = load(tmp_path, "aggregate_rate: 5", DIST % f"empirical, file: {name}").clients
    assert client.text == Lengths(Empirical((64.0, 128.0), (1.5, 0.5)), 1, 2**31 - 1)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1,2\nx,1\n", r"w\.csv:2: must be a whole number and its weight, got x,1"),
        ("1,2,3\n", r"w\.csv:1: must be value,weight, got 3 fields"),
        ("1,-2\n", r"w\.csv:1: weight must be a number in \[0, 1e\+15\], got -2"),
        ("1,2\n1,3\n", r"w\.csv:2: value given twice: 1"),
        ("0,2\n", r"w\.csv:1: value must lie in \[1, "),
        ("1,0\n", r"w\.csv: no weight is > 0"),
    ],
)
def test_wrong_files_of_weights(tmp_path, text, problem):
    (tmp_path / "w.csv").write_text(text)
    with pytest.raises(blis.InputError, match=problem):
        load(tmp_path, "aggregate_rate: 5", DIST % "empirical, file: w.csv")


@pytest.mark.parametrize(
    ("client", "problem"),
    [
        ("rate_fraction: 0", r"rate_fraction: must be > 0, got 0"),
        ("slo_class: urgent", r"slo_class: unknown value 'urgent'; valid: "),
        ("arrival: {process: poison}", r"arrival\.process: unknown value 'poison'; did you mean 'poisson'"),
        ("arrival: {process: poisson, cv: 2}", r"arrival\.cv: only gamma and weibull arrivals have one"),
        ("arrival: {process: weibull, cv: 11}", r"arrival\.cv: must lie in \[0\.01, 10\.4\] for weibull, got 11"),
        ("arrival: {process: gamma, cv: .nan}", r"arrival\.cv: must be a number >= 0, got nan"),
        ("tenat_id: x", r"tenat_id: unknown key; did you mean 'tenant_id'"),
        ("prefix_length: 9", r"prefix_length: has no effect without prefix_group"),
        ("think_time_us: 9", r"think_time_us: needs concurrency"),
        (DIST % "gaussian", r"input_distribution\.params: missing mean, std_dev; found nothing"),
        (DIST % "gaussian, params: {mean: 3}", r"input_distribution\.params: missing std_dev; found mean"),
        (
            DIST % "gaussian, params: {mean: 3, std_dev: -1}",
            r"params\.std_dev: must be a number from 0 to 1e\+15, ",
        ),
        (DIST % "exponential, params: {mean: 3, min: 0}", r"params\.min: must be a whole number >= 1, got 0"),
        (DIST % "exponential, params: {mean: 3, min: 5, max: 4}", r"params\.max: must lie in \[5, \d+\], got 4"),
        (DIST % "exponential, params: {mean: 3, mx: 4}", r"params\.mx: unknown key; did you mean"),
        (DIST % "exponential, params: {mean: 3}, file: x.csv", r"file: only empirical distributions have one"),
        (
            DIST % "pareto_lognormal, params: {alpha: 1, xm: 1, mu: 1, sigma: 1, mix_weight: 2}",
            r"mix_weight: must be a number from 0 to 1, got 2",
        ),
        (DIST % "empirical", r"input_distribution\.params: missing; an empirical distribution has weights"),
        (DIST % "empirical, params: {1.5: 1}", r"params\.1\.5: must be a whole number in \[1, \d+\] with its weight"),
        (DIST % "empirical, params: {1: 0}", r"input_distribution\.params: no weight is > 0"),
        (DIST % "empirical, params: {1: 1}, file: x.csv", r"file: cannot be combined with params"),
        (DIST % "empirical, file: x.txt", r"file: must be a \.json or \.csv file, got 'x\.txt'"),
        ("lifecycle: {windows: [{start_us: 5, end_us: 5}]}", r"lifecycle\.windows\[0\]\.end_us: must lie behind"),
        ("lifecycle: {windows: []}", r"lifecycle\.windows: must hold at least one window"),
        ("lifecycle: {windows: [{end_us: 5}, {start_us: 4, end_us: 9}]}", r"windows: must not overlap"),
        ("network: {rtt: 5}", r"network\.rtt: unknown key"),
        ("multimodal: {}", r"multimodal\.image_distribution: missing; multimodal needs images, audio or video"),
        (
            "multimodal: {image_distribution: {type: constant, params: {value: 1}}}",
            r"multimodal\.image_count_distribution: missing",
        ),
        ("reasoning: {multi_turn: {max_rounds: 0}}", r"reasoning\.multi_turn\.max_rounds: must be a whole number >= 1"),
        (
            "reasoning: {multi_turn: {max_rounds: 2, context_growth: grow}}",
            r"multi_turn\.context_growth: unknown value 'grow'; valid: accumulate, independent",
        ),
        (
            "concurrency: 4\nlifecycle: {windows: [{end_us: 5}]}",
            r"lifecycle: cannot be combined with concurrency: users send when their last request is done",
        ),
        ("concurrency: 2000000000", r"concurrency: must be at most 10000000, got 2000000000"),
        (
            "network: {bandwidth_mbps: 1.0e-320}",
            r"network\.bandwidth_mbps: must be at least 0\.001, or 0 ",
        ),
        (
            "input_distribution: {type: lognormal, params: {mu: 1.0e+308, sigma: 1.0e+308}}",
            r"params\.mu: must be a number from -1e\+06 to 1e\+06, got 1e\+308",
        ),
        (
            "input_distribution: {type: empirical, params: {1: 1.0e+308, 2: 1.0e+308}}",
            r"params\.1: must be a number from 0 to 1e\+15, got 1e\+308",
        ),
        ("concurrency: 0", r"concurrency: must be a whole number >= 1, got 0"),
    ],
)
def test_wrong_clients(tmp_path, client, problem):
    with pytest.raises(blis.ConfigError, match=rf"spec\.yaml: clients\[0\]\.(.*\.)?{problem}"):
        load(tmp_path, "aggregate_rate: 5", client)


@pytest.mark.parametrize(
    ("top", "clients", "problem"),
    [
        ("version: '1'", ("id: a",), r"aggregate_rate: missing"),
        ("aggregate_rate: 0", ("id: a",), r"aggregate_rate: must be > 0, got 0"),
        ("aggregate_rate: 1\ncategory: x", ("id: a",), r"category: unknown value 'x'"),
        ("aggregate_rate: 1\nhorizons: 5", ("id: a",), r"horizons: unknown key; did you mean 'horizon'"),
        ("aggregate_rate: 1\nhorizon: 0", ("id: a",), r"horizon: must be a whole number >= 1, got 0"),
        ("aggregate_rate: 1\naggregate_rate: 1", ("id: a",), r"no valid YAML: .*key given twice: aggregate_rate"),
        ("aggregate_rate: 1", (), r"clients: at least one is needed, or servegen_data"),
        ("aggregate_rate: 1", ("id: a", "id: a"), r"clients\[1\]\.id: 'a' is already that of clients\[0\]"),
        ("aggregate_rate: 1", ("concurrency: 2",), r"aggregate_rate: has no effect"),
        (
            "aggregate_rate: 1",
            ("id: a\nprefix_group: g", "id: b\nprefix_group: g\nprefix_length: 9"),
            r"clients\[1\]\.prefix_length: must be that of clients\[0\], 50, whose prefix_group is the same, got 9",
        ),
        ("servegen_data: {path: nowhere}", (), r"servegen_data\.path: must be a folder, got .*nowhere"),
        (
            "servegen_data: {path: ., span_start: 5, span_end: 4}",
            (),
            r"span_end: must lie behind span_start \(5\), got 4",
        ),
        ("servegen_data: {path: .}", ("id: a",), r"servegen_data: cannot be combined with clients"),
    ],
)
def test_wrong_specs(tmp_path, top, clients, problem):
    with pytest.raises(blis.ConfigError, match=rf"spec\.yaml(:\d+)?: .*{problem}"):
        blis.load_workload_spec(write(tmp_path, top, *clients))
