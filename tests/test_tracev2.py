"""TraceV2: strict reading, exact writing, and a replay that gives what the run gave."""

import dataclasses
import datetime

import numpy as np
import polars as pl
import pytest
import yaml

import blis
from blis.cli.main import main
from blis.errors import ConfigError, WorkloadError
from blis.workload.labels import labels
from blis.workload.requests import ClientDetails, Labels, LiteralTokens, RequestTable, Sessions, TokenStreams
from blis.workload.traces.tracev2.records import COLUMNS, read_records
from blis.workload.traces.tracev2.sharing import as_prefix_groups
from blis.workload.traces.tracev2.tracev2 import TraceV2, load_tracev2, read_tracev2, trace_paths

MODEL = blis.Deployment("m", alpha_coeffs=(100.0, 1.0, 10.0), beta_coeffs=(1000.0, 10.0, 1.0), total_kv_blocks=600)
EPOCH_US = 1_763_989_200_123_456


def row(number, **values):
    """One record of a measured trace, as text by column."""
    usual = dict.fromkeys(COLUMNS, "0") | {"request_id": str(number), "streaming": "true", "status": "ok"}
    usual |= dict.fromkeys(("client_id", "tenant_id", "slo_class", "session_id", "prefix_group", "error_message"), "")
    usual |= {"input_tokens": "100", "output_tokens": "5", "arrival_time_us": str(1000 * number)}
    return usual | {name: str(value) for name, value in values.items()}


def write(folder, *rows, header=None, names=COLUMNS):
    """A trace as others write them."""
    header = {"trace_version": 2, "time_unit": "microseconds", "mode": "real"} | (header or {})
    trace = TraceV2(folder / "t.yaml", folder / "t.csv")
    trace.header.write_text(yaml.safe_dump(header))
    lines = [",".join(names), *(",".join(values[name] for name in COLUMNS) for values in rows)]
    trace.data.write_text("\n".join(lines) + "\n")
    return trace


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("input_tokens", "1.5", "expected a whole number, got '1.5'"),
        ("input_tokens", "", "expected a whole number, got ''"),
        ("input_tokens", "abc", "expected a whole number, got 'abc'"),
        ("input_tokens", "-3", r"must lie in \[0, 1099511627776\], got -3"),
        ("input_tokens", "0", "a prompt must hold at least one token"),
        ("output_tokens", "99999999999999999999", "expected a whole number, got '99999999999999999999'"),
        ("arrival_time_us", "1.7e15", "expected a whole number, got '1.7e15'"),
        ("arrival_time_us", "-1", "must lie in"),
        ("request_id", "0", "each number may occur once, got that of row 2 again"),
        ("request_id", "request_1", "expected a whole number"),
        ("round_index", "-1", "must lie in"),
        ("streaming", "True", "expected true or false, got 'True'"),
        ("reason_ratio", "1.01", r"must lie in \[0, 1\], got 1.01"),
        ("reason_ratio", "nan", r"must lie in \[0, 1\], got nan"),
        ("reason_ratio", "x", "expected a number, got 'x'"),
        ("status", "okay", "unknown value 'okay'; did you mean 'ok'?"),
        ("status", "", "unknown value ''; valid: error, ok, timeout"),
        ("num_chunks", "-5", "must lie in"),
    ],
)
def test_a_wrong_value_is_named_with_row_and_column(tmp_path, column, value, problem):
    trace = write(tmp_path, row(0), row(1, **{column: value}))
    with pytest.raises(WorkloadError, match=f"t.csv: row 3: {column}: {problem}"):
        load_tracev2(trace)


def test_wrong_shapes_of_data_files(tmp_path):
    def refused(match, text):
        trace.data.write_text(text)
        with pytest.raises(WorkloadError, match=match):
            read_tracev2(trace)

    trace = write(tmp_path, row(0))
    head, first = trace.data.read_text().splitlines()
    swapped = head.replace("input_tokens,output_tokens", "output_tokens,input_tokens")
    refused("header: column 9 must be input_tokens, got 'output_tokens'", f"{swapped}\n{first}\n")
    refused("header: expected the 22 columns request_id to error_message, got 21", f"{head[:-14]}\n{first}\n")
    refused("got 23", f"{head},more\n{first},1\n")
    refused("row 3: expected 22 fields, got 21", f"{head}\n{first}\n{first[: first.rindex(',')]}\n")
    refused("holds no requests", head + "\n")
    refused("header: expected the 22 columns", "")
    refused("a quote is never closed", f'{head}\n{first}"oops\n')
    trace.data.unlink()
    with pytest.raises(WorkloadError, match=r"t\.csv: cannot be read: No such file"):
        read_tracev2(trace)


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ({"trace_version": 1}, "trace_version: must be 2 or 3, got 1"),
        ({"trace_version": "2"}, "trace_version: must be a whole number"),
        ({"time_unit": "ms"}, "time_unit: unknown value 'ms'; valid: microseconds"),
        ({"mode": "reel"}, "mode: unknown value 'reel'; did you mean 'real'"),
        ({"mode": None}, "mode: missing"),
        ({"moed": "real"}, "moed: unknown key; did you mean 'mode'"),
        ({"server": {"modell": "m"}}, "server.modell: unknown key; did you mean 'model'"),
        ({"network": {"measured_rtt_ms": -1}}, "network.measured_rtt_ms: must be a number >= 0"),
        ({"warm_up_requests": -1}, "warm_up_requests: must be a whole number >= 0, got -1"),
        ({"blis": {"num_requests": 1, "sharing": "some"}}, "blis.sharing: unknown value 'some'"),
        ({"blis": {"num_requests": 1, "sharing": "file"}}, "blis.content_file: missing"),
        ({"blis": {"num_requests": 1, "sharing": "prefix_groups"}}, "blis.prefix_groups: missing"),
    ],
)
def test_a_wrong_header_is_named_with_its_key(tmp_path, header, problem):
    with pytest.raises(ConfigError, match=r"t\.yaml: " + problem):
        read_tracev2(write(tmp_path, row(0), header=header))


def test_what_a_header_may_say(tmp_path):
    said = {
        "created_at": datetime.datetime(2026, 3, 1, 12, 0),
        "warm_up_requests": 3,
        "workload_spec": "w.yaml",
        "server": {"type": "vllm", "model": "m", "tensor_parallel": 2, "gpu_memory_utilization": 0.9},
        "network": {"measured_rtt_ms": 1.5},
    }
    header, _ = read_tracev2(write(tmp_path, row(0), header=said))
    assert (header.created_at, header.warm_up_requests, header.workload_spec) == ("2026-03-01T12:00:00", 3, "w.yaml")
    assert (header.server.model, header.server.max_num_seqs, header.measured_rtt_ms) == ("m", None, 1.5)


def test_files_that_do_not_belong_together(tmp_path):
    trace = write(tmp_path, row(0), header={"blis": {"num_requests": 2, "sharing": "none"}})
    with pytest.raises(WorkloadError, match=r"holds 1 requests, but .*t\.yaml speaks of 2"):
        read_tracev2(trace)
    trace = write(
        tmp_path, row(0), header={"blis": {"num_requests": 1, "sharing": "file", "content_file": "c.parquet"}}
    )
    with pytest.raises(WorkloadError, match=r"c\.parquet: cannot be read"):
        load_tracev2(trace)
    pl.DataFrame({"priorty": [1]}).write_parquet(tmp_path / "c.parquet")
    with pytest.raises(WorkloadError, match=r"c\.parquet: unknown column 'priorty'; did you mean 'priority'"):
        load_tracev2(trace)
    pl.DataFrame({"priority": [1]}).write_parquet(tmp_path / "c.parquet")
    with pytest.raises(WorkloadError, match=r"c\.parquet: does not fit sharing file"):
        load_tracev2(trace)
    pl.DataFrame({"stream": [1]}).write_parquet(tmp_path / "c.parquet")
    with pytest.raises(WorkloadError, match="stream, parent, fork_tokens go together"):
        load_tracev2(trace)
    pl.DataFrame({"max_tokens": [0]}).write_parquet(tmp_path / "c.parquet")
    with pytest.raises(WorkloadError, match=r"request 0: max_tokens: must be at least its \d+ output tokens, got 0"):
        load_tracev2(trace)
    pl.DataFrame({"priority": [1, 2]}).write_parquet(tmp_path / "c.parquet")
    with pytest.raises(WorkloadError, match="priority: expected 1 values, got 2"):
        load_tracev2(trace)


def test_measured_traces_begin_at_zero_and_lose_what_failed(tmp_path):
    failed = row(8, status="timeout", input_tokens=0, arrival_time_us=EPOCH_US, error_message='"a, ""b"""')
    rows = (failed, row(7, arrival_time_us=EPOCH_US + 11), row(9, arrival_time_us=EPOCH_US + 9_007_199_254_740_993))
    replay = load_tracev2(write(tmp_path, *rows))
    assert replay.table.arrival_us.tolist() == [11, 9_007_199_254_740_993]
    assert replay.table.numbers.tolist() == [7, 9]
    assert (replay.num_failed, replay.horizon_us) == (1, None)
    small = load_tracev2(write(tmp_path, row(0, arrival_time_us=500), row(1, arrival_time_us=700)))
    assert small.table.arrival_us.tolist() == [500, 700]
    with pytest.raises(WorkloadError, match="nothing to replay: 1 of 1 requests failed"):
        load_tracev2(write(tmp_path, failed))


def test_simulated_failures_are_replayed(tmp_path):
    trace = write(tmp_path, row(0), row(1, status="error"), header={"mode": "generated"})
    assert len(load_tracev2(trace).table) == 2


def test_what_arrives_behind_the_horizon_is_counted(tmp_path):
    outcomes = blis.simulate(MODEL, write(tmp_path, row(0), row(1), row(2)), horizon_us=1000)
    assert outcomes.requests["status"].to_list()[2] == "not_arrived"
    assert (outcomes.summary["injected_requests"], outcomes.summary["not_arrived_requests"]) == (2, 1)


def test_unsaid_prefixes_are_part_of_the_recorded_length(tmp_path):
    trace = write(
        tmp_path, row(0, prefix_group="a"), row(1, prefix_group="a", input_tokens=30), row(2, prefix_group="a")
    )
    table = load_tracev2(trace).table
    assert table.input_tokens.tolist() == [100, 30, 100]
    assert table.details.prefix_tokens.tolist() == [50, 30, 50]
    assert shared_with_others(table) == [48, 16, 48]


def test_unsaid_sessions_accumulate_where_lengths_allow(tmp_path):
    turns = [(100, 5), (105, 20), (200, 5)]
    rows = [row(k, session_id="s", round_index=k, input_tokens=i, output_tokens=o) for k, (i, o) in enumerate(turns)]
    assert shared_with_others(load_tracev2(write(tmp_path, *rows[::-1])).table) == [112, 112, 96]
    rows[1]["input_tokens"] = "104"
    assert load_tracev2(write(tmp_path, *rows)).table.content is None


def shared_with_others(table):
    """Tokens in full blocks of 16 that each request shares with some other."""
    from blis.workload.content import shared_blocks

    return (shared_blocks(table, 16).num_shared * 16).tolist()


def details(count, **values):
    none = Labels(np.full(count, -1), ())
    zeros = np.zeros(count, np.int64)
    usual = {
        "client": none,
        "prefix_group": none,
        "prefix_tokens": zeros,
        "streaming": np.zeros(count, np.bool_),
        "modality_tokens": np.zeros((count, 4), np.int64),
        "reason_ratio": np.zeros(count),
        "rtt_us": zeros,
        "bandwidth_mbps": np.zeros(count),
    }
    return ClientDetails(**usual | values)


def random_table(count=80, **values):
    draw = np.random.default_rng(5)
    arrival = np.sort(draw.integers(0, 400_000, count))
    return RequestTable(arrival, draw.integers(100, 400, count), draw.integers(0, 40, count), **values)


def streams(count):
    """Forks of forks, and requests on the stream of others."""
    draw = np.random.default_rng(6)
    parent = np.array([draw.integers(-1, s) for s in range(count + 30)])
    return TokenStreams(draw.integers(-1, count + 30, count), parent, draw.integers(0, 300, count + 30))


def literal(table):
    tokens = np.random.default_rng(7).integers(0, 2, int((table.input_tokens + table.output_tokens).sum()))
    offsets = np.concatenate(([0], np.cumsum(table.input_tokens + table.output_tokens)))
    tokens[offsets[:-1, None] + np.arange(64)] = 1
    return LiteralTokens(tokens.astype(np.int32), offsets)


def grouped(count):
    """Two prefix groups, and requests of none."""
    codes = np.arange(count) % 3 - 1
    lengths = np.array([40, 80, 0])[codes]
    parent = np.concatenate(([-1, -1], codes))
    content = TokenStreams(2 + np.arange(count), parent, np.concatenate(([0, 0], lengths)))
    return content, details(count, prefix_group=Labels(codes, ("x", "a")), prefix_tokens=lengths)


def everything(count):
    rng = np.random.default_rng(8)
    known = details(
        count,
        client=labels([f"c{i % 3}" for i in range(count)]),
        streaming=rng.integers(0, 2, count) > 0,
        modality_tokens=rng.integers(0, 9, (count, 4)),
        reason_ratio=rng.random(count),
        rtt_us=rng.integers(0, 9_000, count),
        bandwidth_mbps=rng.random(count) * 10,
    )
    turns = np.arange(count)
    sessions = Sessions(turns // 4 - 1, turns % 4, np.full(count, -1), np.zeros(count, np.int64))
    return {
        "priority": rng.integers(-5, 5, count),
        "slo_class": labels([("batch", None, "gold", "realtime")[i % 4] for i in range(count)], ("realtime",)),
        "tenant": labels([f"t{i % 5}" for i in range(count)]),
        "sessions": sessions,
        "details": known,
    }


def tables():
    plain = random_table()
    n = len(plain)
    content, known = grouped(n)
    yield "plain", plain
    yield "streams", random_table(content=streams(n))
    yield "tokens", random_table(content=literal(plain))
    yield "groups", random_table(content=content, details=known)
    yield "everything", random_table(content=streams(n), **everything(n))
    yield "most", random_table(max_tokens=plain.output_tokens + np.arange(n) % 3)
    yield "numbered", random_table(content=content, request_number=np.arange(n)[::-1] * 2)


@pytest.mark.parametrize(("name", "table"), list(tables()), ids=lambda value: value if isinstance(value, str) else "")
def test_replay_of_a_table_gives_the_same_rows(tmp_path, name, table):
    engine = blis.EngineOptions(scheduling_policy="priority", async_scheduling=name in ("everything", "most"))
    options = {"engine": engine, "horizon_us": 450_000}
    options["cluster"] = blis.ClusterOptions(num_instances=2, routing_policy="prefix-affinity")
    assert_replay_is_equal(tmp_path, table, **options)
    assert trace_paths(tmp_path / "t")[1].exists() == (name in ("streams", "tokens", "everything", "most"))


def test_replay_of_what_was_turned_away(tmp_path):
    cluster = blis.ClusterOptions(admission_policy="token-bucket", token_bucket_capacity=2000)
    before = assert_replay_is_equal(
        tmp_path, random_table(), cluster=cluster, engine=blis.EngineOptions(max_model_len=380)
    )
    assert {"rejected", "refused_too_long", "completed"} <= set(before["status"])
    _, records = read_tracev2(trace_paths(tmp_path / "t")[0])
    assert "rejected by the admission policy" in records.error_message.names


def assert_replay_is_equal(folder, table, *, horizon_us=None, **options):
    """Run, write and replay; the horizon is not said again. Writing the replay gives the same data file."""
    simulation = blis.prepare(MODEL, table, horizon_us=horizon_us, **options)
    before = simulation.run()
    simulation.write_trace(before, folder / "t")
    trace, _ = trace_paths(folder / "t")
    again = blis.prepare(MODEL, trace, **options)
    after = again.run()
    again.write_trace(after, folder / "u")
    assert after.requests.equals(before.requests)
    assert after.summary == before.summary
    assert (folder / "u.csv").read_bytes() == trace.data.read_bytes()
    assert again.horizon_us == horizon_us
    return before.requests


def talks(n=12):
    """A table of sessions of three turns, the turns of two sessions side by side."""
    rows = np.arange(n)
    turn, session = rows // 2 % 3, rows // 6 * 2 + rows % 2
    after = np.where(turn > 0, rows - 2, -1)
    sessions = Sessions(session, turn, after, np.where(after >= 0, 1_000 + rows, 0))
    return random_table(n, sessions=sessions, request_number=rows[::-1] * 3)


@pytest.mark.parametrize("horizon_us", [None, 60_000])
def test_requests_never_sent_stand_apart_and_keep_their_places(tmp_path, horizon_us):
    """They wait in the replay as they did in the run, and are sent if what they wait for ends."""
    bucket = blis.ClusterOptions(admission_policy="token-bucket", token_bucket_capacity=500)
    before = assert_replay_is_equal(tmp_path, talks(), horizon_us=horizon_us, cluster=bucket)
    never = before.filter(pl.col("arrival_us").is_null())
    trace, _ = trace_paths(tmp_path / "t")
    header, records = read_tracev2(trace)
    assert len(records) == header.extension.num_requests == 12 - len(never)
    others = read_records(tmp_path / header.extension.unsent_file)
    assert [f"request_{number}" for number in others.request_id] == never["request_id"].to_list()
    assert set(others.error_message.names) <= {
        "never sent: an earlier turn was turned away",
        "never sent: what it waited for had not ended when the run did",
    }
    again = blis.simulate(MODEL, trace, horizon_us=10**9)
    assert set(again.requests["status"]) == {"completed"}


def test_files_of_unsent_requests_must_fit(tmp_path):
    bucket = blis.ClusterOptions(admission_policy="reject-all")
    assert_replay_is_equal(tmp_path, talks(), cluster=bucket)
    trace, content = trace_paths(tmp_path / "t")
    lines = (tmp_path / "t.unsent.csv").read_text().splitlines(keepends=True)
    (tmp_path / "t.unsent.csv").write_text("".join(lines[:-1]))
    with pytest.raises(WorkloadError, match=r"t\.unsent\.csv: does not fit t\.content\.parquet, which speaks of 8"):
        load_tracev2(trace)
    pl.read_parquet(content).drop("after").write_parquet(content)
    with pytest.raises(WorkloadError, match=r"t\.content\.parquet: column after is missing"):
        load_tracev2(trace)
    header = trace.header.read_text()
    trace.header.write_text(header.replace("  content_file: t.content.parquet\n", ""))
    with pytest.raises(ConfigError, match=r"t\.yaml: blis\.content_file: missing; unsent_file needs it"):
        load_tracev2(trace)


def test_an_empty_run_can_be_replayed(tmp_path):
    empty = dataclasses.replace(random_table(3).take(np.array([], dtype=np.int64)), unlisted=7)
    assert_replay_is_equal(tmp_path, empty, horizon_us=500)
    header, _ = read_tracev2(trace_paths(tmp_path / "t")[0])
    assert (header.extension.num_requests, header.extension.unlisted) == (0, 7)


def test_names_survive_the_file_of_outcomes(tmp_path):
    table = random_table(4, request_number=np.array([7, 3, 9, 12]))
    outcomes = blis.simulate(MODEL, table)
    outcomes.write_parquet(tmp_path / "o.parquet")
    assert blis.Outcomes.read_parquet(tmp_path / "o.parquet").requests.equals(outcomes.requests)
    assert outcomes.requests["request_id"].to_list() == ["request_7", "request_3", "request_9", "request_12"]


def test_streams_that_are_more_than_prefix_groups():
    none = Labels(np.full(2, -1), ())

    def found(stream, parent, fork):
        return as_prefix_groups(TokenStreams(*(np.array(x) for x in (stream, parent, fork))), none)

    group, lengths = found([1, 2], [-1, 0, 0], [0, 9, 9])
    assert (group.names, lengths) == (("prefix_0",), {"prefix_0": 9})
    assert found([1, 2], [-1, 0, 0], [0, 9, 8]) is None  # of different length
    assert found([1, 1], [-1, 0], [0, 9]) is None  # one stream for two
    assert found([0, 1], [-1, 0], [0, 9]) is None  # one request continues the other
    assert found([2, 3], [-1, 0, 1, 1], [0, 5, 9, 9]) is None  # a fork of a fork
    assert found([-1, 0], [-1], [0])[1] == {}


CLI = ("--model", "m", "--alpha-coeffs", "100,1,10", "--beta-coeffs", "1000,10,1", "--total-kv-blocks", "3000")
CSV_TRACE = 'a,b,c,d,e\n0.1,r,m,"[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]","[5,6]"\n' + (
    '0.2,r,m,"[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,18]","[5]"\n'
)


@pytest.mark.parametrize(
    "args",
    [
        ("--max-prompts", "40", "--rate", "50"),
        ("--max-prompts", "40", "--rate", "50", "--prefix-tokens", "300"),
        ("--workload", "chatbot", "--max-prompts", "20", "--rate", "50"),
        ("--workload", "traces", "--workload-traces-filepath", "tokens.csv"),
        ("--workload", "traces", "--workload-traces-filepath", "hashes.parquet"),
    ],
)
def test_replay_command_prints_what_run_printed(capsys, tmp_path, monkeypatch, args):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tokens.csv").write_text(CSV_TRACE)
    pl.DataFrame(
        {
            "arrival_us": [0, 50_000, 60_000],
            "input_tokens": [1100, 1400, 600],
            "output_tokens": [80, 25, 9],
            "hash_ids": [[0, 1, 2], [0, 1, 3], [0, 4]],
            "hash_block_tokens": [512, 512, 512],
            "priority": [3, 1, 2],
            "slo_class": ["batch", None, "realtime"],
        }
    ).write_parquet("hashes.parquet")
    cluster = (*CLI, "--num-instances", "2", "--routing-policy", "prefix-affinity")
    assert main(["run", *cluster, *args, "--trace-output", "t", "--outcomes-path", "a.parquet"]) == 0
    printed = capsys.readouterr().out
    files = ("--trace-header", "t.yaml", "--trace-data", "t.csv")
    assert main(["replay", *cluster, *files, "--outcomes-path", "b.parquet"]) == 0
    assert capsys.readouterr().out == printed
    assert pl.read_parquet("a.parquet").equals(pl.read_parquet("b.parquet"))
    assert "created_at" not in (tmp_path / "t.yaml").read_text()


def test_commands_refuse_what_would_be_overwritten(capsys, tmp_path):
    trace = write(tmp_path, row(0))
    files = ("--trace-header", str(trace.header), "--trace-data", str(trace.data))
    assert main(["replay", *CLI, *files, "--trace-output", str(tmp_path / "t")]) == 2
    assert "given for both --trace-header and --trace-output" in capsys.readouterr().err
    assert main(["run", *CLI, "--trace-output", str(tmp_path / "no" / "t")]) == 2
    assert "there is no directory" in capsys.readouterr().err


def test_failed_requests_are_counted_in_a_warning(capsys, tmp_path):
    trace = write(tmp_path, row(0), row(1, status="error"))
    assert main(["replay", *CLI, "--trace-header", str(trace.header), "--trace-data", str(trace.data)]) == 0
    assert "1 requests failed when they were measured; they are left out" in capsys.readouterr().err


def test_timestamps_say_when_a_trace_was_made(tmp_path, capsys):
    assert main(["run", *CLI, "--max-prompts", "2", "--timestamps", "--trace-output", str(tmp_path / "t")]) == 0
    assert read_tracev2(trace_paths(tmp_path / "t")[0])[0].created_at.startswith("20")


def test_all_files_or_none(tmp_path, monkeypatch):
    def fails(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("blis.workload.traces.tracev2.tracev2.write_header", fails)
    simulation = blis.prepare(MODEL, random_table(content=streams(80)))
    outcomes = simulation.run()
    with pytest.raises(OSError, match="No space"):
        simulation.write_trace(outcomes, tmp_path / "t")
    assert list(tmp_path.iterdir()) == []


def test_a_data_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"PAR1\x15\r\x00\xffmore\n")
    with pytest.raises(WorkloadError, match=r"t\.csv: header: column 1 must be request_id, got 'PAR1"):
        read_records(tmp_path / "t.csv")


@pytest.mark.parametrize("key", ["content_file", "unsent_file"])
@pytest.mark.parametrize("name", ["../c.parquet", "/etc/passwd", "a/../c", "..", ".", "a\\b", "folder/c.parquet"])
def test_a_header_names_no_files_elsewhere(tmp_path, key, name):
    said = {"num_requests": 1, "sharing": "file", "content_file": "c.parquet", key: name}
    with pytest.raises(ConfigError, match=rf"blis\.{key}: must be the name of a file beside the header, got '"):
        load_tracev2(write(tmp_path, row(0), header={"blis": said}))


def test_nor_by_a_link(tmp_path):
    folder = tmp_path / "trace"
    folder.mkdir()
    (tmp_path / "c.parquet").touch()
    (folder / "c.parquet").symlink_to(tmp_path / "c.parquet")
    said = {"num_requests": 1, "sharing": "file", "content_file": "c.parquet"}
    with pytest.raises(ConfigError, match=r"content_file: must be a file beside the header, got a link out of its"):
        load_tracev2(write(folder, row(0), header={"blis": said}))
    (tmp_path / "linked").symlink_to(folder)  # the folder itself may be one
    (folder / "c.parquet").unlink()
    with pytest.raises(WorkloadError, match=r"c\.parquet: cannot be read: "):
        load_tracev2(write(tmp_path / "linked", row(0), header={"blis": said}))
