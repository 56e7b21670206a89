"""The compiled engine against the step-by-step records of vLLM's own scheduler (see helpers_vectors)."""

from __future__ import annotations

import pytest
from helpers_engine import Step, engine_config, logged_steps, run_engine_on
from helpers_vectors import VectorRun, all_vector_runs, loop_vector_runs

from blis._core.codes import RequestStatus, StepLog
from blis.latency.blackbox import blackbox_model
from blis.latency.law import LatencyModel

#: vLLM stalls on these; blis refuses the request that can never fit instead.
STALLING = [run for run in all_vector_runs() if run.record["stalled"]]
COMPLETING = [run for run in all_vector_runs() if not run.record["stalled"]] + list(loop_vector_runs())


def latency_of(run: VectorRun) -> LatencyModel:
    c = run.config
    return blackbox_model((c["a0"], c["a1"], c["a2"]), (c["b0"], c["b1"], c["b2"]))


def recorded_steps(run: VectorRun) -> list[Step]:
    number = {request.id: i for i, request in enumerate(run.requests)}

    def numbered(tokens: dict[str, int]) -> dict[int, int]:
        return {number[name]: count for name, count in tokens.items()}

    return [
        Step(
            t=step["t"],
            dt=step["dt"],
            sched=list(numbered(step.get("sched", {})).items()),
            admitted=numbered(step.get("new", {})),
            resumed=numbered(step.get("resumed", {})),
            preempted=[number[name] for name in step.get("preempted", [])],
            finished=[number[name] for name in step.get("finished", [])],
            pre_tok=step["pre_tok"],
            dec=step["dec"],
            free=step["free"],
            free_end=step["free_end"],
            run=step["run"],
            wait=step["wait"],
            plan=step.get("plan", step["t"]),
        )
        for step in run.record["steps"]
    ]


@pytest.mark.parametrize("run", COMPLETING, ids=str)
def test_every_step_is_vllms(run):
    finished = run_engine_on(run.requests, engine_config(run), latency_of(run), log_steps=StepLog.ALL)
    assert logged_steps(finished) == recorded_steps(run)


@pytest.mark.parametrize("plain", [False, True], ids=["bulk", "plain"])
@pytest.mark.parametrize("run", COMPLETING, ids=str)
def test_every_request_is_vllms(run, plain):
    result = run_engine_on(run.requests, engine_config(run), latency_of(run), plain=plain).result()
    itl_us = 0
    for i, request in enumerate(run.requests):
        recorded = run.record["requests"][request.id]
        if recorded.get("rejected"):
            assert result.status[i] == RequestStatus.REFUSED_TOO_LONG
            continue
        client_us = int(run.config["a2"])
        itl_us += recorded["itl_sum_us"] - client_us * (recorded["n_out"] - 1)
        assert {
            "visible_us": result.enqueued_us[i],
            "first_scheduled_us": result.first_started_us[i],
            **({"first_plan_us": result.first_scheduled_us[i]} if "first_plan_us" in recorded else {}),
            "cached_first": result.cached_tokens[i],
            "n_preemptions": result.num_preemptions[i],
            "n_out": result.produced_tokens[i],
            "ttft_us": result.first_token_us[i] - request.arrival_us + client_us,
            "finish_us": result.finished_us[i],
        }.items() <= recorded.items()
    assert (result.itl_values_us * result.itl_counts).sum() == itl_us
    last = run.record["steps"][-1]
    assert result.end_us == last.get("seen", run.record["end_us"])


@pytest.mark.parametrize("run", STALLING, ids=str)
def test_what_stalls_vllm_is_refused(run):
    result = run_engine_on(run.requests, engine_config(run), latency_of(run)).result()
    refused = result.status == RequestStatus.REFUSED_NEVER_FITS
    stuck = {name for name, outcome in run.record["requests"].items() if not outcome["done"]}
    assert {run.requests[i].id for i in refused.nonzero()[0]} <= stuck
    assert refused.any()
    assert (result.status[~refused] == RequestStatus.COMPLETED).all()
