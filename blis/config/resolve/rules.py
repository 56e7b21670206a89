"""Which rules a scheduler goes by: those of vLLM's version, and each that is set by itself."""

from __future__ import annotations

from blis.config.notes import Note
from blis.config.schema import EngineConfig, EngineOptions
from blis.config.versions import (
    FIRST_WITH_ASYNC_SCHEDULING,
    FIRST_WITH_PRIORITY_SCHEDULING,
    FIRST_WITH_V1_ENGINE,
    NEWEST,
    YIELD_US,
    parse_version,
    scheduler_profile,
    version_text,
)
from blis.memory.kv_blocks import UNKNOWN_TOTAL_KV_BLOCKS


def choose_rules(options: EngineOptions, version: str | None, notes: list[Note]) -> tuple[EngineConfig, str]:
    """The scheduler's rules of a version, under everything that was set by itself; KV blocks are still open.

    Args:
        options: what was set.
        version: release number; None: not known.
        notes: gets what there is to say of it.

    Returns:
        The rules, and whose they are.
    """
    profile = scheduler_profile(version)
    rules = {name: value for name, value in vars(profile).items() if name != "name"}
    given = {name: value for name, value in vars(options).items() if value is not None and name != "allow_unservable"}
    notes.append(Note("info", f"scheduler: rules of {profile.name} ({version_text(version)})"))
    release = parse_version(version) if version is not None else FIRST_WITH_PRIORITY_SCHEDULING
    if release < FIRST_WITH_V1_ENGINE:
        notes.append(Note("warning", f"vllm_version: {version} used the V0 engine by default; V1 rules are simulated"))
    if options.scheduling_policy == "priority" and release < FIRST_WITH_PRIORITY_SCHEDULING:
        notes.append(Note("warning", f"scheduling_policy: vLLM {version} has no priority scheduling; simulated anyway"))
    if options.priority_policy != "constant" and options.scheduler not in ("priority-fcfs", "reverse-priority"):
        notes.append(Note("warning", f"priority_policy: has no effect with the scheduler {options.scheduler}"))
    rules["yield_us"] = YIELD_US if given.get("async_scheduling", profile.async_scheduling) else 0
    engine = EngineConfig(**{"total_kv_blocks": UNKNOWN_TOTAL_KV_BLOCKS, **rules, **given})
    if engine.async_scheduling:
        notes.append(_about_async_scheduling(engine, version))
    return engine, profile.name


def _about_async_scheduling(engine: EngineConfig, version: str | None) -> Note:
    """That it is on, and whose rules these are."""
    if version is not None and parse_version(version) < FIRST_WITH_ASYNC_SCHEDULING:
        text = f"async_scheduling: vLLM {version} has no asynchronous scheduling; simulated anyway"
        return Note("warning", text)
    rules = f"a plan takes {engine.schedule_us} µs, a pause {engine.yield_us} µs; rules of vLLM {NEWEST}"
    return Note("info", f"async_scheduling: each step is planned while the one before runs; {rules}")
