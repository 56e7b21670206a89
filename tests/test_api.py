"""The Python face: the same results as the command line, from descriptions, tables and files."""

import dataclasses
import json
import logging

import numpy as np
import pytest

import blis
from blis.cli.main import main

LLAMA = "meta-llama/llama-3.1-8b-instruct"
#: Round coefficients, so that times can be told by hand.
ROUND = blis.Deployment("m", alpha_coeffs=(100.0, 1.0, 10.0), beta_coeffs=(1000.0, 10.0, 1.0), total_kv_blocks=1000)


def table(*rows):
    arrival, inputs, outputs = np.array(rows, dtype=np.int64).T
    return blis.RequestTable(arrival, inputs, outputs)


def test_python_and_command_line_agree(capsys):
    outcomes = blis.simulate(
        blis.Deployment(LLAMA, hardware="H100", tp=1),
        blis.DistributionWorkload(rate=10, num_requests=50),
        engine=blis.EngineOptions(max_num_running_reqs=8),
        seed=7,
    )
    flags = "--hardware H100 --tp 1 --rate 10 --max-prompts 50 --max-num-running-reqs 8 --seed 7"
    assert main(["run", "--model", LLAMA, *flags.split()]) == 0
    printed = json.loads(capsys.readouterr().out)
    figures = outcomes.summary | {"steady_state": outcomes.steady_state.figures()}
    assert {key: printed[key] for key in figures} == figures


def test_a_model_id_alone_is_a_deployment():
    outcomes = blis.simulate(LLAMA, blis.DistributionWorkload(num_requests=3))
    assert outcomes.metadata["hardware"].startswith("H100")
    assert outcomes.summary["completed_requests"] == 3


def test_requests_of_ones_own():
    outcomes = blis.simulate(ROUND, table((500, 10, 3), (0, 20, 1)))
    frame = outcomes.requests
    # row 1: visible at 120, prefill of 1200 µs; row 0: visible at 610, waits until 1320, prefill of 1100 µs
    assert frame["first_token_us"].to_list() == [2420, 1320]
    assert frame["finished_us"].to_list() == [4422, 1320]
    assert frame["e2e_us"].to_list() == [4422 - 500 + 30, 1320 + 10]
    assert frame["itl_mean_us"].to_list() == [1011.0, None]


def test_columns_may_be_views_of_any_integer_type_but_not_fractions():
    strided = np.zeros((3, 2), dtype=np.int32) + 5
    assert blis.simulate(ROUND, blis.RequestTable(*strided.T[[0, 1, 0]])).summary["completed_requests"] == 3
    with pytest.raises(blis.WorkloadError, match="arrival_us: must be integers, got float64"):
        blis.simulate(ROUND, blis.RequestTable(np.array([0.5]), *strided[:1].T))


def test_a_trace_by_path(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('arrival_time,request_id,model,prefill_tokens,decode_tokens\n0,a,m,"[1,2]","[3]"\n')
    for workload in (path, str(path), blis.load_trace(path)):
        assert blis.simulate(ROUND, workload).summary["total_input_tokens"] == 2


def test_presets_take_the_arrivals_one_gives():
    workload = blis.preset("chatbot", rate=5, num_requests=20, arrival="constant")
    assert (workload.prompt_tokens, workload.output_tokens_max) == (256, 1024)  # figures of defaults.yaml
    outcomes = blis.simulate(LLAMA, workload)
    assert outcomes.requests["arrival_us"].to_list() == [200_000 * i for i in range(20)]


def test_unknown_presets_name_the_nearest():
    with pytest.raises(blis.ConfigError, match="did you mean 'chatbot'"):
        blis.preset("chatbott")


def test_prepare_decides_without_running():
    simulation = blis.prepare(LLAMA, blis.DistributionWorkload(num_requests=5), horizon_us=10_000_000)
    assert len(simulation.table) <= 5
    assert simulation.resolved.engine.block_size_tokens == 16
    json.dumps(simulation.metadata)
    assert simulation.run().metadata == simulation.metadata


def test_progress_is_reported():
    seen = []
    blis.simulate(ROUND, table((0, 10, 3)), progress=lambda *state: seen.append(state))
    assert seen[-1] == (1, 1, 3212)


def test_choices_are_logged(caplog):
    with caplog.at_level(logging.INFO, logger="blis"):
        blis.simulate(LLAMA, blis.DistributionWorkload(num_requests=1))
    assert any("tp: 2" in record.message for record in caplog.records)


@pytest.mark.parametrize("horizon_us", [-1, 2**63])
def test_horizon_must_be_on_the_clock(horizon_us):
    with pytest.raises(blis.ConfigError, match="horizon_us"):
        blis.simulate(ROUND, table((0, 1, 1)), horizon_us=horizon_us)


def test_errors_are_one_family():
    for error in (blis.ConfigError, blis.WorkloadError, blis.CapacityError):
        assert issubclass(error, blis.InputError)
    assert issubclass(blis.InvariantError, blis.EngineError)
    with pytest.raises(blis.BlisError):
        blis.simulate("no-such/model", blis.DistributionWorkload())


@dataclasses.dataclass(frozen=True)
class EveryMillisecond:
    """A workload of somebody's own."""

    count: int
    seed: int | None = None

    def requests(self, seed, horizon_us):
        lengths = np.random.default_rng(seed).integers(1, 100, (2, self.count))
        return blis.RequestTable(np.arange(self.count) * 1000, *lengths, horizon_us=300_000)

    def describe(self):
        return {"kind": "every millisecond", "num_requests": self.count}


def test_anything_that_says_what_arrives_is_a_workload():
    workload = EveryMillisecond(500)
    assert isinstance(workload, blis.Workload)
    outcomes = blis.simulate("meta-llama/llama-3.1-8b-instruct", workload, seed=3)
    assert outcomes.metadata["workload"] == {"kind": "every millisecond", "num_requests": 500}
    assert outcomes.result.end_us == 300_000
    same = blis.simulate("meta-llama/llama-3.1-8b-instruct", dataclasses.replace(workload, seed=3))
    assert same.summary == outcomes.summary != blis.simulate("meta-llama/llama-3.1-8b-instruct", workload).summary
    assert blis.simulate("meta-llama/llama-3.1-8b-instruct", workload, horizon_us=99_000).result.end_us == 99_000
