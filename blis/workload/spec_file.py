"""Workload specs in YAML, read strictly: unknown keys, missing parameters and useless values are errors."""

from __future__ import annotations

import os
from functools import partial
from itertools import pairwise
from pathlib import Path

from blis.errors import ConfigError
from blis.files.decode import Section, read_yaml
from blis.files.existing import is_folder
from blis.workload.client_spec import (
    PREFIX_TOKENS,
    ClientSpec,
    ClosedLoop,
    Media,
    MultiTurn,
    OpenLoop,
    ServeGenData,
    Window,
)
from blis.workload.labels import SLO_CLASSES
from blis.workload.lengths import MAX_TOKENS, Lengths
from blis.workload.lengths_file import positive, read_lengths, read_think_time
from blis.workload.requests import MOST_US
from blis.workload.spec import WorkloadSpec

CATEGORIES = ("", "language", "multimodal", "reasoning")
#: Users of a closed loop, and images, sounds or films of a prompt.
MOST_USERS, MOST_MEDIA = 10_000_000, 10_000
#: A connection that passes less is cut, Mbit/s.
LEAST_MBPS = 1e-3
#: The coefficients of variation each process may have.
CV_RANGES = {"gamma": (0.001, 1000.0), "weibull": (0.01, 10.4)}
PROCESSES = ("poisson", "constant", "gamma", "weibull")
MODALITIES = ("image", "audio", "video")
GROWTHS = ("accumulate", "independent")


def load_workload_spec(path: str | os.PathLike[str]) -> WorkloadSpec:
    """Load a workload spec (docs/workload-spec.md).

    Args:
        path: a YAML file. Files and folders it names are relative to its own folder.

    Raises:
        ConfigError: names the file, the key, what is wrong and what would be valid.
    """
    section = read_yaml(Path(path))
    values = {
        "version": _name(section, "version"),
        "seed": section.optional(section.integer, "seed"),
        "category": section.text("category", "", valid=CATEGORIES),
        "aggregate_rate": section.optional(partial(positive, section), "aggregate_rate"),
        "horizon_us": section.optional(section.integer, "horizon", least=1),
        "num_requests": section.optional(section.integer, "num_requests", least=1),
        "servegen_data": _servegen_data(section),
        "clients": tuple(_client(s, i) for i, s in enumerate(section.optional(section.sections, "clients") or ())),
    }
    section.finish()
    try:
        return WorkloadSpec(**values, source=str(path))  # type: ignore[arg-type]  # each by its own name
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _name(section: Section, key: str) -> str:
    """Read a text that may look like a number."""
    if not section.has(key):
        return section.text(key, "")
    try:
        return str(section.integer(key))
    except ConfigError:
        return section.text(key)


def _servegen_data(section: Section) -> ServeGenData | None:
    inner = section.optional(section.section, "servegen_data")
    if inner is None:
        return None
    folder = Path(inner.source).parent / inner.text("path")
    if not is_folder(folder):
        inner.fail("path", f"must be a folder, got {folder}")
    start, end = inner.number("span_start", 0.0), inner.number("span_end", 0.0)
    if 0 < end <= start:
        inner.fail("span_end", f"must lie behind span_start ({start:g}), got {end:g}")
    inner.finish()
    return ServeGenData(str(folder), start, end)


def _client(section: Section, place: int) -> ClientSpec:
    media, text = _multimodal(section)
    if text is None or section.has("input_distribution"):  # read, thus checked, even if multimodal has its own
        plain = read_lengths(section, "input_distribution", least=1)
        text = text or plain
    group = section.text("prefix_group", "")
    if not group and section.has("prefix_length"):
        section.fail("prefix_length", "has no effect without prefix_group")
    rtt_us, bandwidth = _network(section)
    reason, multi_turn = _reasoning(section)
    client = ClientSpec(
        id=section.text("id", f"client_{place}"),
        load=_load(section),
        text=text,
        output=read_lengths(section, "output_distribution", least=0, usual=1),
        tenant_id=section.text("tenant_id", ""),
        slo_class=section.text("slo_class", "", valid=("", *SLO_CLASSES)),
        prefix_group=group,
        prefix_length=_count(section, "prefix_length", PREFIX_TOKENS),
        streaming=section.flag("streaming", False),
        rtt_us=rtt_us,
        bandwidth_mbps=bandwidth,
        media=media,
        reason_percent=reason,
        multi_turn=multi_turn,
    )
    section.finish()
    return client


def _count(section: Section, key: str, default: int | None = None, most: int = MAX_TOKENS) -> int:
    value = section.integer(key, default, least=1)
    if value > most:
        section.fail(key, f"must be at most {most}, got {value}")
    return value


def _load(section: Section) -> OpenLoop | ClosedLoop:
    users = section.optional(partial(_count, section, most=MOST_USERS), "concurrency")
    return _open_loop(section) if users is None else _closed_loop(section, users)


def _open_loop(section: Section) -> OpenLoop:
    for key in ("think_time_us", "num_requests"):
        if section.has(key):
            section.fail(key, "needs concurrency: only closed-loop clients have it")
    arrival = section.section("arrival")
    process = arrival.text("process", valid=PROCESSES)
    cv = arrival.optional(arrival.number, "cv")
    if cv is not None:
        if process not in CV_RANGES:
            arrival.fail("cv", f"only gamma and weibull arrivals have one, got {cv:g} for {process}")
        low, high = CV_RANGES[process]
        if not low <= cv <= high:
            arrival.fail("cv", f"must lie in [{low:g}, {high:g}] for {process}, got {cv:g}")
    arrival.finish()
    fraction = positive(section, "rate_fraction")
    return OpenLoop(fraction, process, 1.0 if cv is None else cv, _windows(section))  # type: ignore[arg-type]


def _windows(section: Section) -> tuple[Window, ...]:
    lifecycle = section.optional(section.section, "lifecycle")
    if lifecycle is None:
        return ()
    windows = []
    for inner in lifecycle.sections("windows"):
        start, end = inner.integer("start_us", 0), inner.integer("end_us", least=1)
        if not start < end <= MOST_US:
            inner.fail("end_us", f"must lie behind start_us ({start}) and be at most {MOST_US}, got {end}")
        inner.finish()
        windows.append(Window(start, end))
    lifecycle.finish()
    if not windows:
        lifecycle.fail("windows", "must hold at least one window, got none")
    windows.sort(key=lambda window: window.start_us)
    for before, window in pairwise(windows):
        if window.start_us < before.end_us:
            lifecycle.fail("windows", f"must not overlap: one ends at {before.end_us}, one begins at {window.start_us}")
    return tuple(windows)


def _closed_loop(section: Section, users: int) -> ClosedLoop:
    for key in ("rate_fraction", "arrival", "lifecycle"):
        if section.has(key):
            section.fail(key, "cannot be combined with concurrency: users send when their last request is done")
    most = section.optional(section.integer, "num_requests", least=1)
    return ClosedLoop(users, read_think_time(section), most)


def _network(section: Section) -> tuple[int, float]:
    network = section.optional(section.section, "network")
    if network is None:
        return 0, 0.0
    rtt_ms = network.number("rtt_ms", 0.0, most=1e9)
    bandwidth = network.number("bandwidth_mbps", 0.0)
    if 0 < bandwidth < LEAST_MBPS:
        network.fail("bandwidth_mbps", f"must be at least {LEAST_MBPS:g}, or 0 for unlimited, got {bandwidth:g}")
    network.finish()
    return round(rtt_ms * 1000), bandwidth


def _multimodal(section: Section) -> tuple[tuple[Media | None, Media | None, Media | None] | None, Lengths | None]:
    """The media of a client's prompts, and what multimodal says of their text; None, None if it says nothing."""
    inner = section.optional(section.section, "multimodal")
    if inner is None:
        return None, None
    text = inner.optional(partial(read_lengths, inner), "text_distribution", least=0, usual=1)
    image, audio, video = (_media(inner, modality) for modality in MODALITIES)
    inner.finish()
    if image is audio is video is None:
        inner.fail("image_distribution", "missing; multimodal needs images, audio or video")
    return (image, audio, video), text


def _media(section: Section, modality: str) -> Media | None:
    size, count = f"{modality}_distribution", f"{modality}_count_distribution"
    if not section.has(size) and not section.has(count):
        section.optional(section.section, size)
        section.optional(section.section, count)
        return None
    return Media(read_lengths(section, count, least=0, most=MOST_MEDIA), read_lengths(section, size, least=1))


def _reasoning(section: Section) -> tuple[Lengths | None, MultiTurn | None]:
    inner = section.optional(section.section, "reasoning")
    if inner is None:
        return None, None
    reason = inner.optional(partial(read_lengths, inner), "reason_ratio_distribution", least=0, most=100)
    turns = inner.optional(inner.section, "multi_turn")
    multi_turn = None
    if turns is not None:
        growth = turns.text("context_growth", "independent", valid=GROWTHS)
        rounds = _count(turns, "max_rounds", most=10_000)
        multi_turn = MultiTurn(rounds, read_think_time(turns), growth == "accumulate")
        turns.finish()
    inner.finish()
    return reason, multi_turn
