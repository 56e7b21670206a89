"""Capacities of simulated deployments: against closed forms, against exhaustive search, of every kind of workload."""

import math

import numpy as np
import polars as pl
import pytest
from helpers_sizing import BATCHING, ONE_SEAT, ONE_TOKEN, SERVICE_S, SINGLE

import blis
from blis.studies.capacity.evaluating import Evaluator
from blis.studies.capacity.loads import Load
from blis.studies.capacity.objectives import Slos
from blis.studies.capacity.points import Effort
from blis.studies.capacity.report import headlines, report
from blis.studies.sweep.runner import Case
from blis.workload.client_spec import ClientSpec, ClosedLoop, MultiTurn, OpenLoop, Window
from blis.workload.lengths import Constant, Exponential, Lengths

QUICK = {"num_requests": 500, "replications": 3, "tolerance": 0.05}
SHORT = blis.DistributionWorkload(prompt_tokens=200, prompt_tokens_stdev=100, output_tokens=40, output_tokens_stdev=20)


def md1_rate(wait_s, service_s=SERVICE_S):
    """Rate at which an M/D/1 queue has a mean wait (Pollaczek and Khinchine): W = ρ D / (2 (1 − ρ))."""
    return 2 * wait_s / (service_s + 2 * wait_s) / service_s


@pytest.mark.parametrize("wait_ms", [2, 20])
def test_md1(wait_ms):
    found = blis.capacity(SINGLE, ONE_TOKEN, f"mean_scheduling_delay={wait_ms}ms", engine=ONE_SEAT)
    assert found.verdict == "found"
    assert found.saturation_rate == pytest.approx(1 / SERVICE_S, rel=1e-3)
    assert found.rate == pytest.approx(md1_rate(wait_ms / 1000), rel=0.02)
    assert found.low <= md1_rate(wait_ms / 1000) <= found.high
    assert found.high - found.low <= 0.04 * found.rate
    assert (found.binding, found.backlog, found.is_sampled) == ("mean_scheduling_delay", "stable", True)


@pytest.mark.slow
@pytest.mark.parametrize("wait_ms", [5, 50])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_md1_with_other_seeds(wait_ms, seed):
    found = blis.capacity(SINGLE, ONE_TOKEN, f"mean_scheduling_delay={wait_ms}ms", engine=ONE_SEAT, seed=seed)
    assert found.rate == pytest.approx(md1_rate(wait_ms / 1000), rel=0.02)


def test_d_d_1_bears_all_that_it_can_serve():
    """Evenly spaced arrivals never wait, up to the rate of service; then the backlog grows."""
    workload = blis.DistributionWorkload(**{**vars(ONE_TOKEN), "arrival": "constant"})
    found = blis.capacity(SINGLE, workload, "p99_scheduling_delay=1s", engine=ONE_SEAT)
    assert found.rate == pytest.approx(1 / SERVICE_S, rel=0.02)


def scenarios():
    """Ten kinds of load, deployment and SLO: name, deployment, workload, SLOs, options of `blis.capacity`."""
    clusters = {name: blis.ClusterOptions(4, routing_policy=name) for name in ("round-robin", "least-loaded")}
    bursty = blis.DistributionWorkload(**{**vars(SHORT), "arrival": "gamma", "arrival_cv": 3.0})
    prefix = blis.DistributionWorkload(**{**vars(SHORT), "prefix_tokens": 500})
    return [
        ("ttft tail", BATCHING, SHORT, ["p99_ttft=100ms"], {}),
        ("mean itl", BATCHING, SHORT, ["mean_itl=5ms"], {}),
        ("itl tail", BATCHING, SHORT, ["p95_itl=8ms"], {}),
        ("several", BATCHING, SHORT, ["p99_ttft=200ms", "mean_e2e=400ms", "p90_tpot=8ms"], {}),
        ("goodput", BATCHING, SHORT, ["ttft=50ms", "tpot=8ms"], {}),
        ("small batch", BATCHING, SHORT, ["p95_e2e=1s"], {"engine": blis.EngineOptions(max_num_running_reqs=16)}),
        ("bursts", BATCHING, bursty, ["mean_ttft=50ms"], {}),
        ("shared prefix", BATCHING, prefix, ["p90_ttft=50ms"], {}),
        ("round-robin", BATCHING, SHORT, ["p99_e2e=1s"], {"cluster": clusters["round-robin"]}),
        ("least-loaded", BATCHING, SHORT, ["p99_scheduling_delay=30ms"], {"cluster": clusters["least-loaded"]}),
    ]


def exhaustive(deployment, workload, slos, engine=None, cluster=None):
    """The highest rate of a fine grid, with long runs of seeds of their own, below which all meet the SLOs."""
    case = Case(deployment, workload, engine or blis.EngineOptions(), cluster or blis.ClusterOptions())
    evaluator = Evaluator(case, Load(workload), Slos.of(slos))
    best = 0.0
    for rate in np.geomspace(0.2, 1.3, 190) * evaluator.fill(Effort(4000, 1)).guess_per_s:  # in steps of 1 %
        if not evaluator.evaluate(rate, Effort(40_000, 4), first_seed=5000, pilot=True).meets:
            return best
        best = rate
    raise AssertionError("no limit on the grid")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("deployment", "workload", "slos", "options"),
    [pytest.param(*rest, id=name) for name, *rest in scenarios()],
)
def test_within_two_percent_of_an_exhaustive_search(deployment, workload, slos, options):
    found = blis.capacity(deployment, workload, slos, **options)
    grid = exhaustive(deployment, workload, slos, **options)
    assert found.rate == pytest.approx(grid, rel=0.02)


def test_the_same_arguments_give_the_same_result_whatever_the_threads():
    results = [blis.capacity(BATCHING, SHORT, "p99_ttft=100ms", jobs=jobs, **QUICK) for jobs in (1, 3)]
    assert results[0].rate == results[1].rate
    assert results[0].curve.equals(results[1].curve)
    assert blis.capacity(BATCHING, SHORT, "p99_ttft=100ms", seed=7, **QUICK).rate != results[0].rate


@pytest.mark.parametrize("slo", ["p99_ttft=100ms", "p50_ttft=1us", "p99_ttft=3600s"], ids=["found", "none", "no limit"])
def test_the_curve_is_of_runs_of_one_length(slo):
    """Short runs of the search are kinder to heavy loads than the long ones near the limit."""
    found = blis.capacity(BATCHING, SHORT, slo, num_requests=400, replications=2, tolerance=0.02)
    curve = found.curve
    assert curve["num_requests"].n_unique() == 1
    assert not curve["stopped_early"].any()
    assert curve["rate_per_s"].is_sorted()
    assert curve["rate_per_s"].is_unique().all()
    if found.rate is None:
        return
    assert curve["rate_per_s"].min() < 0.3 * found.rate
    assert found.rate in curve["rate_per_s"].to_list()
    assert (curve["rate_per_s"] <= max(found.high or 0.0, 1.06 * found.rate)).all()


def test_the_curve_stays_where_rates_are_looked_for():
    found = blis.capacity(
        BATCHING, SHORT, "p99_ttft=100ms", num_requests=400, replications=2, min_rate=100, max_rate=150
    )
    assert found.curve["rate_per_s"].min() >= 100
    assert found.curve["rate_per_s"].max() <= 150


def test_the_curve_of_instances_is_of_runs_of_one_length():
    found = blis.instances_for(600, BATCHING, SHORT, "p99_ttft=50ms", num_requests=400, replications=2)
    curve = found.curve
    assert curve["num_requests"].n_unique() == 1
    assert curve["num_instances"].is_unique().all()
    around = {found.num_instances - 1, found.num_instances, found.num_instances + 1} - {0}
    assert around <= set(curve["num_instances"])


def test_the_curve_has_each_slo_against_load():
    found = blis.capacity(BATCHING, SHORT, ["p99_ttft=100ms", "tpot=20ms"], **QUICK)
    curve = found.curve
    assert curve["rate_per_s"].is_sorted()
    assert curve.filter(pl.col("meets_slos"))["rate_per_s"].max() == found.rate
    assert (curve.filter(pl.col("meets_slos"))["p99_ttft_ms"] <= 100).all()
    assert {"p99_ttft_ms_low95", "goodput", "utilisation", "backlog", "replications"} <= set(curve.columns)
    assert found.utilisation == pytest.approx(found.rate / found.saturation_rate)


def test_even_the_lowest_rate_misses():
    found = blis.capacity(BATCHING, SHORT, "p50_ttft=1ms", **QUICK)
    assert (found.verdict, found.rate, found.low, found.binding) == ("none", None, None, "p50_ttft")


def test_no_limit_up_to_a_bound():
    found = blis.capacity(BATCHING, SHORT, "p99_ttft=10s", max_rate=3.0, **QUICK)
    assert (found.verdict, found.rate, found.high) == ("no limit", 3.0, None)


@pytest.mark.slow
def test_a_generous_slo_leaves_the_backlog():
    found = blis.capacity(SINGLE, ONE_TOKEN, "mean_e2e=1000s", engine=ONE_SEAT, num_requests=20_000)
    assert found.rate == pytest.approx(1 / SERVICE_S, rel=0.02)
    assert found.binding == "backlog"


def test_traces_are_stretched():
    """A trace of a Poisson process has the capacity of the process, and no interval of draws."""
    rng = np.random.default_rng(5)
    arrival_us = np.cumsum(rng.exponential(1e6, 200_000)).astype(np.int64)
    ones = np.ones(len(arrival_us), np.int64)
    table = blis.RequestTable(arrival_us, 10 * ones, ones)
    found = blis.capacity(SINGLE, table, "mean_scheduling_delay=10ms", engine=ONE_SEAT)
    assert found.rate == pytest.approx(md1_rate(0.01), rel=0.02)
    assert not found.is_sampled
    assert found.high / found.low <= 1.0101


def test_hopeless_rates_are_given_up_early():
    evaluator = Evaluator(Case(SINGLE, ONE_TOKEN, ONE_SEAT), Load(ONE_TOKEN), Slos.of("mean_scheduling_delay=20ms"))
    hopeless = evaluator.evaluate(300.0, Effort(4000, 4), pilot=True)
    assert (hopeless.stopped_early, hopeless.meets, hopeless.backlog) == (True, False, "overloaded")
    assert hopeless.effort == Effort(1000, 1)
    fine = evaluator.evaluate(70.0, Effort(4000, 4), pilot=True)
    assert (fine.stopped_early, len(fine.samples)) == (False, 4)


def test_goodput_is_the_share_of_requests_within_their_limits():
    """Counted by hand, over the requests that are neither warm-up nor the last ones."""
    case = Case(BATCHING, SHORT, blis.EngineOptions())
    evaluator = Evaluator(case, Load(SHORT), Slos.of(["ttft=5ms", "e2e=80ms"]))
    goodput = evaluator.evaluate(100.0, Effort(4000, 2)).estimates["goodput"].mean
    shares = []
    for seed in (42, 43):
        workload = blis.DistributionWorkload(**{**vars(SHORT), "rate": 100.0, "num_requests": 4000})
        rows = blis.simulate(BATCHING, workload, seed=seed).requests[400:3900]
        shares.append(((rows["ttft_us"] <= 5000) & (rows["e2e_us"] <= 80_000)).mean())
    assert 0.05 < goodput < 0.95
    assert goodput == pytest.approx(np.mean(shares), abs=0.02)


def test_specs_that_change_through_time_keep_their_clock():
    window = Window(0, 20_000_000)
    length = Lengths(Constant(100), 1, 1000)
    spec = blis.WorkloadSpec((ClientSpec("c", OpenLoop(1.0, "poisson", 1.0, (window,)), length, length),), 5.0)
    load = Load(spec)
    assert not load.can_grow
    few, many = (load.at(rate, 1, 0) for rate in (5.0, 50.0))
    assert len(many) == pytest.approx(10 * len(few), rel=0.3)
    assert max(few.arrival_us.max(), many.arrival_us.max()) < window.end_us
    assert blis.capacity(BATCHING, spec, "p99_ttft=100ms", replications=2, tolerance=0.1).verdict == "found"


def sessions(rounds=3, think_ms=300):
    """Sessions of turns that take 10 ms each; their turns have nothing in common."""
    turn = Lengths(Constant(10), 1, 1000)
    think = Lengths(Exponential(1000 * think_ms), 0, 10**9)
    client = ClientSpec(
        "c",
        OpenLoop(1.0, "poisson"),
        turn,
        Lengths(Constant(1), 1, 1),
        multi_turn=MultiTurn(rounds, think, accumulate=False),
    )
    return blis.WorkloadSpec((client,), 5.0)


def test_rates_of_sessions_count_sessions():
    """Turns that come back after a while are about as random as new ones: a third of the rate of single requests."""
    found = blis.capacity(SINGLE, sessions(), "mean_scheduling_delay=20ms", engine=ONE_SEAT, tolerance=0.03)
    assert (found.verdict, found.unit, found.backlog) == ("found", "sessions", "stable")
    assert found.rate == pytest.approx(md1_rate(0.02) / 3, rel=0.05)
    assert (found.saturation_rate, found.utilisation) == (None, None)


def test_short_runs_of_long_sessions_do_not_pass_for_a_limitless_system():
    """2,000 requests are 400 sessions, which have all begun before the first one comes back."""
    found = blis.capacity(SINGLE, sessions(5, 10_000), "mean_scheduling_delay=20ms", engine=ONE_SEAT, tolerance=0.1)
    assert found.verdict == "found"
    assert found.rate == pytest.approx(md1_rate(0.02) / 5, rel=0.1)


def test_the_fewest_instances_for_sessions():
    found = blis.instances_for(60, SINGLE, sessions(), "mean_scheduling_delay=20ms", engine=ONE_SEAT)
    assert (found.num_instances, found.unit, found.utilisation) == (3, "sessions", None)


@pytest.mark.slow
def test_scenarios_and_specs_are_scaled():
    found = blis.capacity(BATCHING, blis.scenario("mixed-slo"), "p99_ttft=500ms", **QUICK)
    again = blis.capacity(BATCHING, blis.scenario("mixed-slo", 5.0, num_requests=None), "p99_ttft=500ms", **QUICK)
    assert found.verdict == "found"
    assert found.rate == pytest.approx(again.rate, rel=1e-9)


def test_workloads_without_a_rate():
    length = Lengths(Constant(10), 1, 100)
    users = blis.WorkloadSpec((ClientSpec("c", ClosedLoop(4, length, 100), length, length),))
    with pytest.raises(blis.ConfigError, match="has no rate; all clients have a concurrency"):
        blis.capacity(BATCHING, users, "p99_ttft=1s")
    ones = np.ones(10, np.int64)
    with pytest.raises(blis.ConfigError, match="10 requests arrive at once"):
        blis.capacity(BATCHING, blis.RequestTable(0 * ones, ones, ones), "p99_ttft=1s")


def test_requests_that_are_turned_away_count_as_never_answered():
    closed = blis.ClusterOptions(admission_policy="token-bucket", token_bucket_refill_rate=2000.0)
    found = blis.capacity(BATCHING, SHORT, "p99_e2e=100s", cluster=closed, **QUICK)
    assert found.rate < 11  # the bucket, full at first, gets tokens for ten prompts per second


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"tolerance": 0}, "tolerance"),
        ({"replications": 0}, "replications"),
        ({"num_requests": 99}, "num_requests"),
        ({"min_rate": -1}, "min_rate"),
        ({"max_rate": math.nan}, "max_rate"),
        ({"min_rate": 3.0, "max_rate": 2.0}, "min_rate"),
        ({"jobs": 0}, "jobs"),
        ({"goodput": 0.5}, "goodput"),
    ],
)
def test_wrong_arguments(arguments, says):
    with pytest.raises(blis.ConfigError, match=f"^{says}: "):
        blis.capacity(BATCHING, SHORT, "p99_ttft=1s", **arguments)


def test_instances_for_a_rate():
    """Round-robin over n M/D/1-like instances: each gets every n-th arrival."""
    slo = "mean_scheduling_delay=5ms"
    needed = blis.instances_for(350.0, SINGLE, ONE_TOKEN, slo, engine=ONE_SEAT)
    n = needed.num_instances
    alone = {
        count: blis.capacity(
            SINGLE, ONE_TOKEN, slo, engine=ONE_SEAT, cluster=blis.ClusterOptions(count), replications=4
        ).rate
        for count in (n - 1, n)
    }
    assert alone[n - 1] < 350 <= alone[n] * 1.01
    assert needed.utilisation == pytest.approx(3.5 / n, rel=1e-3)
    assert needed.curve.filter(pl.col("meets_slos"))["num_instances"].min() == n


def test_too_few_instances_are_allowed():
    needed = blis.instances_for(350.0, SINGLE, ONE_TOKEN, "p99_e2e=1s", engine=ONE_SEAT, max_instances=3)
    assert (needed.num_instances, needed.max_instances) == (None, 3)


@pytest.mark.parametrize("slo", ["p99_tpot=1us", "mean_itl=1s", "p99_itl=1s", "tpot=1s"])
def test_what_no_request_has_cannot_be_limited(slo):
    says = f"^slos: {slo.partition('=')[0]}: no request has a second token, so there is nothing to hold to "
    with pytest.raises(blis.WorkloadError, match=says):
        blis.capacity(SINGLE, ONE_TOKEN, ["p99_ttft=1s", slo], engine=ONE_SEAT, **QUICK)
    with pytest.raises(blis.WorkloadError, match=says):
        blis.instances_for(10, SINGLE, ONE_TOKEN, ["p99_ttft=1s", slo], engine=ONE_SEAT)


def test_what_is_never_answered_cannot_be_limited():
    short = blis.EngineOptions(max_model_len=5)
    with pytest.raises(blis.WorkloadError, match="none of its requests is answered"):
        blis.capacity(SINGLE, ONE_TOKEN, "p99_e2e=1s", engine=short, **QUICK)


def test_a_limit_at_a_cliff_is_told():
    """One request in 25 has a prompt of 20 steps: p95 is that of the others, p99 theirs."""
    few, many = Lengths(Constant(10), 1, 1000), Lengths(Constant(2000), 1, 4000)
    clients = [
        ClientSpec(f"c{i}", OpenLoop(share, "poisson"), length, few)
        for i, (share, length) in enumerate([(0.96, few), (0.04, many)])
    ]
    spec = blis.WorkloadSpec(tuple(clients), 5.0)
    engine = blis.EngineOptions(max_num_running_reqs=100, max_num_scheduled_tokens=100)
    found = blis.capacity(BATCHING, spec, ["p99_ttft=1s", "p50_e2e=10s"], engine=engine, max_rate=1.0, **QUICK)
    (cliff,) = report(found)["cliffs"].items()
    assert cliff[0] == "p99_ttft"
    assert (cliff[1]["lower"], cliff[1]["upper"]) == (95, 99)
    assert any(line.startswith("p99_ttft stands on a cliff: p95 is ") for line in headlines(found))
