"""Tables drawn from workload specs: rates, bounds, prefixes, sessions, closed loops, media."""

import numpy as np
import pytest
from helpers_spec import drawn, write

import blis
from blis.workload.content import shared_blocks

SESSION = """
    input_distribution: {type: exponential, params: {mean: 50}}
    output_distribution: {type: exponential, params: {mean: 80}}
    reasoning: {multi_turn: {max_rounds: 4, think_time_us: 5000, context_growth: GROWTH}}
"""


def rows_of(table, client):
    return np.flatnonzero(table.details.client.codes == table.details.client.names.index(client))


def test_rates_are_shared_by_fraction(tmp_path):
    clients = ("id: a\nrate_fraction: 6", "id: b\nrate_fraction: 3\narrival: {process: gamma, cv: 2}", "id: c")
    table = drawn(tmp_path, "aggregate_rate: 100\nhorizon: 1000000000", *clients)
    counts = np.bincount(table.details.client.codes)
    assert counts == pytest.approx([60_000, 30_000, 10_000], rel=0.05)
    assert (np.diff(table.arrival_us) >= 0).all()
    assert table.arrival_us[-1] < 1_000_000_000


def test_the_cap_comes_after_the_merge(tmp_path):
    """All clients are there in the first thousand requests, the last one of the file too."""
    table = drawn(tmp_path, "aggregate_rate: 10\nnum_requests: 1000", "id: a", "id: b", "id: c")
    assert len(table) == 1000
    assert np.bincount(table.details.client.codes) == pytest.approx([333, 333, 333], abs=80)
    longer = drawn(tmp_path, "aggregate_rate: 10\nnum_requests: 5000", "id: a", "id: b", "id: c")
    for name in ("arrival_us", "input_tokens", "output_tokens"):
        assert np.array_equal(getattr(table, name), getattr(longer, name)[:1000])


@pytest.mark.parametrize("seed", range(5))
def test_bursty_clients_fill_the_cap(tmp_path, seed):
    table = drawn(tmp_path, "aggregate_rate: 10\nnum_requests: 200", "arrival: {process: gamma, cv: 8}", seed=seed)
    assert len(table) == 200


def test_a_change_of_one_client_shifts_no_other(tmp_path):
    random = "input_distribution: {type: exponential, params: {mean: 500}}"
    top = "aggregate_rate: 10\nhorizon: 100000000"
    before = drawn(tmp_path, top, f"id: a\n{random}", f"id: b\n{random}")
    other = "input_distribution: {type: gaussian, params: {mean: 9, std_dev: 3}}\narrival: {process: weibull, cv: 3}"
    after = drawn(tmp_path, top, f"id: new\n{other}", f"id: b\n{random}")
    for name in ("arrival_us", "input_tokens"):
        old, new = (getattr(table, name)[rows_of(table, "b")] for table in (before, after))
        assert np.array_equal(old, new)


def test_horizons(tmp_path):
    top = "aggregate_rate: 10\nhorizon: 10000000"
    spec = drawn(tmp_path, top, "arrival: {process: constant}")
    assert spec.arrival_us.tolist() == list(range(0, 10_000_000, 100_000))
    cut = drawn(tmp_path, top, "arrival: {process: constant}", horizon_us=500_000)  # the others arrive too late
    assert (cut.arrival_us.tolist(), cut.unlisted) == (spec.arrival_us.tolist(), 0)
    endless = drawn(tmp_path, "aggregate_rate: 10", "arrival: {process: constant}", horizon_us=500_000)
    assert endless.arrival_us.tolist() == list(range(0, 600_000, 100_000))  # one at the end is kept


def test_lifecycle_windows(tmp_path):
    windows = "lifecycle: {windows: [{start_us: 8000000, end_us: 9000000}, {start_us: 1000000, end_us: 3000000}]}"
    table = drawn(tmp_path, "aggregate_rate: 1000", windows)  # bounded by its windows
    counts = np.histogram(table.arrival_us, np.arange(11) * 1_000_000)[0]
    assert counts[[0, 3, 4, 5, 6, 7, 9]].tolist() == [0] * 7
    assert counts[[1, 2, 8]] == pytest.approx([1000] * 3, abs=130)


def test_labels_and_details(tmp_path):
    table = drawn(
        tmp_path,
        "aggregate_rate: 1\nnum_requests: 50",
        "id: a\ntenant_id: t\nslo_class: batch\nstreaming: true\nnetwork: {rtt_ms: 1.5, bandwidth_mbps: 10}",
        "id: b\nprefix_group: g\nprefix_length: 30",
    )
    a, b = rows_of(table, "a"), rows_of(table, "b")
    assert min(len(a), len(b)) > 10
    assert {table.slo_class.names[code] for code in table.slo_class.codes[a]} == {"batch"}
    assert {table.tenant.names[code] for code in table.tenant.codes[a]} == {"t"}
    assert set(table.slo_class.codes[b]) == set(table.tenant.codes[b]) == {-1}
    details = table.details
    assert (details.streaming[a].all(), details.streaming[b].any()) == (True, False)
    assert (set(details.rtt_us[a]), set(details.bandwidth_mbps[a])) == ({1500}, {10.0})
    assert (set(details.prefix_tokens[a]), set(details.prefix_tokens[b])) == ({0}, {30})
    assert (set(table.input_tokens[a]), set(table.input_tokens[b])) == ({100}, {130})
    assert table.sessions is None


def test_prefix_groups_share_their_prefix_and_nothing_else(tmp_path):
    clients = ("id: a\nprefix_group: g", "id: b\nprefix_group: g", "id: c\nprefix_group: h", "id: d")
    table = drawn(tmp_path, "aggregate_rate: 1\nnum_requests: 100", *clients)
    blocks = shared_blocks(table, 16)
    leaf = {name: set(blocks.leaf[rows_of(table, name)]) for name in "abcd"}
    assert set(blocks.num_shared[rows_of(table, "a")]) == {50 // 16}
    assert leaf["a"] == leaf["b"] != leaf["c"]
    assert len(leaf["a"] | leaf["c"]) == 2
    assert set(blocks.num_shared[rows_of(table, "d")]) == {0}


def test_sessions_grow_by_what_was_said(tmp_path):
    client = "prefix_group: g\nprefix_length: 32" + SESSION.replace("GROWTH", "accumulate").replace("\n    ", "\n")
    table = drawn(tmp_path, "aggregate_rate: 5\nnum_requests: 202", client)
    assert len(table) == 200  # sessions come whole
    sessions = table.sessions
    assert sessions.session.tolist() == [row // 4 for row in range(200)]
    assert sessions.turn.tolist() == [row % 4 for row in range(200)]
    assert sessions.after.tolist() == [row - 1 if row % 4 else -1 for row in range(200)]
    assert sessions.think_us.tolist() == [5000 if row % 4 else 0 for row in range(200)]
    inputs, outputs = table.input_tokens.reshape(-1, 4), table.output_tokens.reshape(-1, 4)
    new = inputs[:, 1:] - (inputs + outputs)[:, :-1]
    assert (new >= 1).all()
    assert new.mean() == pytest.approx(50, rel=0.3)  # each adds its own prompt once
    assert (inputs[:, 0] > 32).all()
    stream = table.content.stream.reshape(-1, 4)
    assert (stream == stream[:, :1]).all()
    assert len(np.unique(stream)) == 50
    assert set(table.content.fork_tokens[stream[:, 0]]) == {32}
    assert set(table.content.parent[stream[:, 0]]) == {0}
    # the second turn finds all full blocks of the first, outputs included
    blocks = shared_blocks(table, 16).num_shared.reshape(-1, 4)
    assert (blocks[:, 1] >= (inputs + outputs)[:, 0] // 16).all()


def test_sessions_arrive_at_the_clients_rate(tmp_path):
    client = SESSION.replace("GROWTH", "accumulate").replace("\n    ", "\n")
    table = drawn(tmp_path, "aggregate_rate: 20\nhorizon: 100000000", client)
    assert (table.sessions.turn == 0).sum() == pytest.approx(2000, abs=180)


def test_independent_turns_share_nothing(tmp_path):
    client = SESSION.replace("GROWTH", "independent").replace("\n    ", "\n")
    table = drawn(tmp_path, "aggregate_rate: 20\nnum_requests: 400", client)
    assert table.content is None
    assert table.input_tokens.reshape(-1, 4).mean(axis=0) == pytest.approx([50] * 4, rel=0.5)
    assert table.sessions.after[:5].tolist() == [-1, 0, 1, 2, -1]


def test_a_session_larger_than_the_bound_is_refused(tmp_path):
    client = SESSION.replace("GROWTH", "accumulate").replace("\n    ", "\n")
    with pytest.raises(blis.ConfigError, match=r"spec.yaml: num_requests: must be at least one session, 4, got 3"):
        drawn(tmp_path, "aggregate_rate: 20\nnum_requests: 3", client)


def test_closed_loops_deal_requests_in_turn(tmp_path):
    table = drawn(tmp_path, "num_requests: 10", "concurrency: 3\nthink_time_us: 700", "concurrency: 1")
    # four users: rows 0–3 are their first requests, and so on
    assert table.sessions.after.tolist() == [-1, -1, -1, -1, 0, 1, 2, 3, 4, 5]
    assert table.sessions.think_us.tolist() == [0, 0, 0, 0, 700, 700, 700, 0, 700, 700]
    assert table.details.client.codes.tolist() == [0, 0, 0, 1, 0, 0, 0, 1, 0, 0]
    assert set(table.sessions.session) == {-1}
    assert set(table.sessions.turn) == {0}
    assert set(table.arrival_us) == {0}


def test_sessions_within_closed_loops(tmp_path):
    client = "concurrency: 2\nthink_time_us: 9" + SESSION.replace("GROWTH", "accumulate").replace("\n    ", "\n")
    table = drawn(tmp_path, "num_requests: 16", client)
    sessions = table.sessions
    assert sessions.session.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    assert sessions.after.tolist() == [-1, 0, 1, 2, -1, 4, 5, 6, 3, 8, 9, 10, 7, 12, 13, 14]
    assert sessions.think_us[[8, 9]].tolist() == [9, 5000]


def test_closed_loops_beside_clients_with_a_rate(tmp_path):
    top, closed = "aggregate_rate: 10\nnum_requests: 100", "id: users\nconcurrency: 2\nnum_requests: 30"
    table = drawn(tmp_path, top, closed, "id: open")
    assert np.bincount(table.details.client.codes).tolist() == [30, 70]
    assert (table.sessions.after[rows_of(table, "open")] == -1).all()
    message = r"clients\[0\].num_requests: missing; needed beside clients with a rate_fraction"
    with pytest.raises(blis.ConfigError, match=message):
        drawn(tmp_path, top, "id: users\nconcurrency: 2", "id: open")


def test_think_times_may_be_drawn(tmp_path):
    client = "concurrency: 1\nthink_time_us: {type: exponential, params: {mean: 20000}}"
    think = drawn(tmp_path, "num_requests: 5000", client).sessions.think_us[1:]
    assert think.mean() == pytest.approx(20_000, rel=0.06)
    assert think.std() == pytest.approx(20_000, rel=0.1)


@pytest.mark.parametrize(
    ("top", "client", "problem"),
    [
        ("aggregate_rate: 5", "id: a", "nothing bounds the workload; set num_requests or horizon in it, or --max-pr"),
        ("horizon: 5000000", "concurrency: 2", "nothing bounds the closed loops; set num_requests in it, or --max-pr"),
    ],
)
def test_unbounded_specs_are_refused(tmp_path, top, client, problem):
    with pytest.raises(blis.ConfigError, match=f"spec.yaml: {problem}"):
        drawn(tmp_path, top, client)


def test_the_horizon_of_a_run_is_a_bound(tmp_path):
    assert len(drawn(tmp_path, "aggregate_rate: 5", "id: a", horizon_us=1_000_000)) < 20


def test_a_huge_number_of_requests_is_counted_not_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("blis.workload.spec.MOST_LATE", 100)
    client = "id: a\nreasoning: {multi_turn: {max_rounds: 3}}"
    every = drawn(tmp_path, "aggregate_rate: 50\nnum_requests: 3000", client)
    table = drawn(tmp_path, "aggregate_rate: 50\nnum_requests: 1000000000", client, horizon_us=2_000_000)
    in_time = int((table.arrival_us <= 2_000_000).sum())
    assert in_time + 97 < len(table) <= in_time + 100
    assert table.unlisted + in_time + 100 == 10**9
    assert table.input_tokens.tolist() == every.input_tokens[: len(table)].tolist()
    window = client + "\nlifecycle: {windows: [{start_us: 0, end_us: 2500000}]}"
    bounded = drawn(tmp_path, "aggregate_rate: 50\nnum_requests: 1000000000", window, horizon_us=2_000_000)
    assert (bounded.unlisted, len(bounded) < len(table)) == (0, True)  # there are no more


def test_multimodal_prompts(tmp_path):
    media = """
    multimodal:
      text_distribution: {type: constant, params: {value: 7}}
      image_distribution: {type: constant, params: {value: 100}}
      image_count_distribution: {type: empirical, params: {0: 1, 2: 1}}
      video_distribution: {type: exponential, params: {mean: 300}}
      video_count_distribution: {type: constant, params: {value: 3}}
    """
    table = drawn(tmp_path, "aggregate_rate: 5\nnum_requests: 4000", media)
    text, image, audio, video = table.details.modality_tokens.T
    assert (set(text), set(image), set(audio)) == ({7}, {0, 200}, {0})
    assert (image == 0).mean() == pytest.approx(0.5, abs=0.04)
    assert video.mean() == pytest.approx(900, rel=0.05)
    assert video.var() == pytest.approx(3 * 300**2, rel=0.15)
    assert np.array_equal(table.input_tokens, text + image + video)


def test_reason_ratios_are_shares(tmp_path):
    client = "reasoning: {reason_ratio_distribution: {type: gaussian, params: {mean: 90, std_dev: 20}}}"
    ratio = drawn(tmp_path, "aggregate_rate: 5\nnum_requests: 1000", client).details.reason_ratio
    assert ratio.max() == 1.0
    assert 0.8 < ratio.mean() < 0.95


def test_a_spec_runs_by_its_own_seed_and_horizon(tmp_path):
    spec = blis.load_workload_spec(write(tmp_path, "aggregate_rate: 50\nhorizon: 2000000\nseed: 9", "id: a"))
    usual = blis.prepare("meta-llama/llama-3.1-8b-instruct", spec)
    assert (usual.metadata["seed"], usual.horizon_us) == (9, 2_000_000)
    other = blis.prepare("meta-llama/llama-3.1-8b-instruct", spec, seed=10, horizon_us=5_000_000)
    assert (other.metadata["seed"], other.horizon_us) == (10, 5_000_000)
    assert other.table.arrival_us[-1] < 2_000_000  # arrivals end where the spec says
    assert not np.array_equal(usual.table.arrival_us, other.table.arrival_us)
    assert usual.metadata["workload"]["clients"][0]["id"] == "a"


def test_a_client_of_sessions_may_have_none(tmp_path):
    sessions = "id: late\nreasoning: {multi_turn: {max_rounds: 3, think_time_us: 5000}}"
    assert len(drawn(tmp_path, "aggregate_rate: 1\nhorizon: 10", sessions)) == 0


@pytest.mark.parametrize("rate", ["1.0e+308", "5.0e-324", "1.0e+10", "1.0e-10"])
@pytest.mark.parametrize("process", ["{process: constant}", "{process: poisson}", "{process: gamma, cv: 1000}"])
@pytest.mark.parametrize("bound", ["num_requests: 5", "horizon: 1000000"])
def test_rates_beyond_all_reason_are_refused(tmp_path, rate, process, bound):
    problem = r"rate of a: must lie in \[1e-09, 1e\+09\] per second, got "
    with pytest.raises(blis.ConfigError, match=f"spec.yaml: {problem}"):
        drawn(tmp_path, f"aggregate_rate: {rate}\n{bound}", f"id: a\narrival: {process}")


@pytest.mark.parametrize("fraction", ["1.0e-320", "1.0e-300"])
def test_so_are_fractions_that_make_such_rates(tmp_path, fraction):
    with pytest.raises(blis.ConfigError, match="rate of small: must lie in"):
        drawn(tmp_path, "aggregate_rate: 5\nnum_requests: 5", "id: large", f"id: small\nrate_fraction: {fraction}")
    huge = [f"id: {name}\nrate_fraction: 1.0e+308" for name in ("one", "two")]
    with pytest.raises(blis.ConfigError, match="rate of one: must lie in"):
        drawn(tmp_path, "aggregate_rate: 5\nnum_requests: 5", *huge)


@pytest.mark.parametrize("rate", ["1.0e+9", "1.0e-9"])
def test_the_highest_and_lowest_rates_draw_what_is_asked_for(tmp_path, rate):
    assert len(drawn(tmp_path, f"aggregate_rate: {rate}\nnum_requests: 5", "id: a")) == 5


def test_more_requests_than_any_memory_holds_are_refused(tmp_path):
    with pytest.raises(blis.ConfigError, match=r"spec.yaml: horizon: about 1\.0e\+13 requests would arrive until "):
        drawn(tmp_path, "aggregate_rate: 1000\nhorizon: 10000000000000000", "id: a")
    with pytest.raises(blis.ConfigError, match=r"num_requests: must be at most 2147483647, got 1000000000000"):
        drawn(tmp_path, "aggregate_rate: 1\nnum_requests: 1000000000000", "id: a")
    assert len(drawn(tmp_path, "aggregate_rate: 1000\nhorizon: 10000000000000000\nnum_requests: 7", "id: a")) == 7
