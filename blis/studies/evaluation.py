"""How good a policy is: its score over scenarios, as searches for policies ask for it again and again.

A scenario is prepared once: its requests are drawn or read, and the KV blocks that they share found, when the scenario
is first used. They are kept as long as the scenario is, so what a further policy costs is compiling and running it.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args
from weakref import WeakKeyDictionary, WeakValueDictionary

from blis.api import Simulation, as_workload, prepare
from blis.config.schema import ClusterOptions, Deployment, EngineOptions, is_function_name
from blis.errors import BlisError, ConfigError, InputError, nearest
from blis.files.shown import Brief
from blis.outcomes.metrics.anomalies import anomalies
from blis.outcomes.metrics.fitness import DEFAULT_FITNESS_WEIGHTS, check_fitness_weights, fitness
from blis.outcomes.metrics.slo import slo_class_figures
from blis.policies.custom import UserFunction, user_function
from blis.simulation.control import control_of
from blis.workload.content import SharedBlocks, shared_blocks
from blis.workload.requests import RequestTable

if TYPE_CHECKING:
    from blis.policies._seams import Kind
    from blis.workload.workload import Frame, Workload

#: The decisions that a policy can be for.
SeamName = Literal["admission", "routing", "priority", "step_time"]

#: Schedulers that ask a priority policy.
_BY_PRIORITY = ("priority-fcfs", "reverse-priority")

#: A user's function, the name of a built-in policy, or the scenario's own.
_Candidate = UserFunction | str | None

_lock = threading.Lock()
_simulations: WeakKeyDictionary[Scenario, Simulation] = WeakKeyDictionary()
#: What scenarios have in common; kept alive by their simulations.
_tables: WeakValueDictionary[tuple[Any, ...], RequestTable] = WeakValueDictionary()
_blocks: WeakValueDictionary[tuple[int, int], SharedBlocks] = WeakValueDictionary()


@dataclass(frozen=True, eq=False, repr=False)
class Scenario(Brief):
    """What a policy is tried on; the fields are the arguments of `simulate`.

    Keep scenarios and use them again: whatever is found out about one is kept with it, a trace file is read once.

    Attributes:
        name: unlike that of the others.
        deployment: what runs on which hardware; a model id alone takes that model's defaults.
        workload: a distribution to draw from, the requests themselves, a data frame, or the path of a trace.
        engine: vLLM server parameters.
        cluster: how many instances, and the policies that are not under test.
        seed: of all draws.
        horizon_us: end of the simulated time; None: until everything is finished.
    """

    name: str
    deployment: Deployment | str
    workload: Workload | Frame | str | Path
    engine: EngineOptions = field(default_factory=EngineOptions)
    cluster: ClusterOptions = field(default_factory=ClusterOptions)
    seed: int = 42
    horizon_us: int | None = None


def evaluate(
    policy: Callable[..., Any] | str | None,
    scenarios: Scenario | Iterable[Scenario],
    *,
    fitness_weights: Mapping[str, float] | None = None,
    seam: SeamName = "routing",
) -> dict[str, Any]:
    """Score a policy over scenarios, in which it takes the place of theirs.

    A policy that can't be loaded, raises, answers what is no answer, or makes requests preempt each other for ever has
    a fitness of 0 and an error there; nothing is raised. So has what is no policy at all. The same arguments give the
    same result.

    Args:
        policy: a function; the name of a built-in policy; ``file.py:function`` or ``module:function``; None: the
            scenarios' own.
        scenarios: one or several.
        fitness_weights: per key of `blis.outcomes.metrics.fitness.FITNESS_KEYS`; None: throughput 0.5, p99_ttft 0.3,
            mean_e2e 0.2.
        seam: which decision the policy is for; the decorator of a function wins. A priority policy makes the scheduler
            ``priority-fcfs`` unless that goes by priority already. A law of step time gets the deployment's alpha
            coefficients, zeros if it has none, and its beta coefficients as parameters.

    Returns:
        Plain JSON values: ``fitness``, the mean over the scenarios; ``error``, the first one or None; ``scenarios``, by
        name ``fitness`` and its ``components``, ``metrics`` (`Outcomes.summary`), ``anomalies``, ``slo_classes`` if
        requests have classes, and ``error``, a line or None. With an error the others are 0 and empty.

    Raises:
        ConfigError: a scenario, the weights or the seam are wrong.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    if seam not in get_args(SeamName):
        raise ConfigError(f"seam: unknown name {seam!r}; {nearest(str(seam), get_args(SeamName))}")
    weights = check_fitness_weights(DEFAULT_FITNESS_WEIGHTS if fitness_weights is None else fitness_weights)
    scenarios = _checked([scenarios] if isinstance(scenarios, Scenario) else list(scenarios))
    prepared = [_prepared(scenario) for scenario in scenarios]
    try:
        kind, candidate = _load(policy, seam)
    except (BlisError, SystemExit) as error:
        message = _message(error)
        return _mean({scenario.name: _failure(message, weights) for scenario in scenarios})
    if kind == "priority" and candidate is not None:
        _check_priorities_matter(scenarios)
    return _mean(
        {
            scenario.name: _score(kind, candidate, scenario, simulation, weights)
            for scenario, simulation in zip(scenarios, prepared, strict=True)
        }
    )


def _mean(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "fitness": sum(result["fitness"] for result in found.values()) / len(found),
        "error": next((result["error"] for result in found.values() if result["error"] is not None), None),
        "scenarios": found,
    }


def _checked(scenarios: list[Scenario]) -> list[Scenario]:
    if not scenarios:
        raise ConfigError("scenarios: must be one at least, got none")
    names = [scenario.name for scenario in scenarios]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"scenarios: {name!r} is given twice; give each a name of its own")
    return scenarios


def _check_priorities_matter(scenarios: Iterable[Scenario]) -> None:
    for scenario in scenarios:
        if scenario.engine.scheduling_policy == "priority":
            where = f"scenario {scenario.name}: scheduling_policy"
            raise ConfigError(f"{where}: must be fcfs for a priority policy to matter, got priority")


def _prepared(scenario: Scenario) -> Simulation:
    """The simulation with the scenario's own policies, made when it is first asked for."""
    with _lock:
        if scenario not in _simulations:
            try:
                _simulations[scenario] = _prepare(scenario)
            except InputError as error:
                raise ConfigError(f"scenario {scenario.name}: {error}") from error
        return _simulations[scenario]


def _prepare(scenario: Scenario) -> Simulation:
    workload, seed, horizon_us = as_workload(scenario.workload), scenario.seed, scenario.horizon_us
    key = workload, seed, horizon_us
    simulation = prepare(
        scenario.deployment,
        _tables.get(key, workload),
        engine=scenario.engine,
        cluster=scenario.cluster,
        horizon_us=horizon_us,
        seed=seed,
    )
    if simulation.table is not workload:  # else the key would keep its value
        _tables[key] = simulation.table
    if not simulation.resolved.engine.enable_prefix_caching:
        return simulation
    return dataclasses.replace(simulation, blocks=_blocks_of(simulation))


def _blocks_of(simulation: Simulation) -> SharedBlocks:
    size = simulation.resolved.engine.block_size_tokens
    key = id(simulation.table), size  # a table lives as long as a simulation that has its blocks
    blocks = _blocks.get(key)
    if blocks is None:
        blocks = _blocks[key] = shared_blocks(simulation.table, size)
    return blocks


def _load(policy: Callable[..., Any] | str | None, seam: SeamName) -> tuple[Kind, _Candidate]:
    """The policy under test, and what it decides."""
    kind = cast("Kind", seam.replace("_", "-"))
    if policy is None or (isinstance(policy, str) and not is_function_name(policy)):
        return kind, policy
    with _lock:  # loading a file is not for two threads at a time
        user = user_function(policy, kind)
    return user.seam.kind, user


def _score(
    kind: Kind, candidate: _Candidate, scenario: Scenario, simulation: Simulation, weights: dict[str, float]
) -> dict[str, Any]:
    try:
        with _lock:
            simulation = _with_policy(kind, candidate, scenario, simulation)
        outcomes = simulation.run()
    except (BlisError, SystemExit) as error:
        return _failure(_message(error), weights)
    if outcomes.result.interrupted:
        raise KeyboardInterrupt
    score = fitness(outcomes, weights)
    classes = slo_class_figures(outcomes)
    return {
        "fitness": score["score"],
        "components": score["components"],
        "metrics": outcomes.summary,
        "anomalies": anomalies(outcomes),
        **({"slo_classes": classes} if classes is not None else {}),
        "error": None,
    }


def _failure(message: str, weights: dict[str, float]) -> dict[str, Any]:
    return {
        "fitness": 0.0,
        "components": dict.fromkeys(weights),
        "metrics": {},
        "anomalies": {},
        "error": message,
    }


def _message(error: BaseException) -> str:
    return f"policy: raised SystemExit: {error}" if isinstance(error, SystemExit) else str(error)


def _with_policy(kind: Kind, candidate: _Candidate, scenario: Scenario, simulation: Simulation) -> Simulation:
    """The simulation with the policy under test. Policies that files name are read anew."""
    cluster, engine = scenario.cluster, simulation.resolved.engine
    if candidate is None:
        return dataclasses.replace(simulation, control=control_of(cluster, engine))
    if kind == "step-time":
        return _with_step_time(candidate, scenario, simulation)
    if kind == "priority":
        return _with_priority(candidate, scenario, simulation)
    if isinstance(candidate, str):
        chosen: Any = {f"{kind}_policy": candidate}
        options = dataclasses.replace(cluster, **chosen)
        return dataclasses.replace(simulation, control=control_of(options, engine))
    given = {kind: candidate.policy}
    return dataclasses.replace(simulation, control=control_of(cluster, engine, **given))


def _with_priority(candidate: UserFunction | str, scenario: Scenario, simulation: Simulation) -> Simulation:
    resolved = simulation.resolved
    scheduler = resolved.engine.scheduler
    engine = dataclasses.replace(
        resolved.engine,
        scheduler=scheduler if scheduler in _BY_PRIORITY else "priority-fcfs",
        priority_policy=candidate if isinstance(candidate, str) else candidate.name,
    )
    policy = None if isinstance(candidate, str) else candidate.policy
    return dataclasses.replace(
        simulation,
        resolved=dataclasses.replace(resolved, engine=engine),
        control=control_of(scenario.cluster, engine, priority=policy),
        metadata={**simulation.metadata, "engine": dataclasses.asdict(engine)},
    )


def _with_step_time(candidate: UserFunction | str, scenario: Scenario, simulation: Simulation) -> Simulation:
    from blis.config.resolve import resolve

    given = scenario.deployment
    deployment = Deployment(given) if isinstance(given, str) else given
    control = control_of(scenario.cluster, simulation.resolved.engine)
    if isinstance(candidate, str):
        resolved = resolve(dataclasses.replace(deployment, latency_model=candidate), scenario.engine)
    else:
        law = candidate.latency_model(deployment.alpha_coeffs or (0.0, 0.0, 0.0), deployment.beta_coeffs)
        resolved = dataclasses.replace(simulation.resolved, latency=law)
    return dataclasses.replace(simulation, resolved=resolved, control=control)
