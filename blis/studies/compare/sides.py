"""One of the runs that are compared, whatever it was kept in."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import NEVER
from blis.errors import InputError
from blis.files.shown import counted, summed_up
from blis.outcomes.metrics.steady_state import arrival_order
from blis.outcomes.outcomes import Outcomes
from blis.studies.compare.targets import Attained, attained_in, attained_in_results, figures_of
from blis.workload.requests import MOST_US

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: A run as it comes.
Run = Outcomes | Mapping[str, Any] | str | Path
#: Durations that each request has by itself, and their key in an entry of a results file.
DURATIONS = {"ttft": "ttft_ms", "e2e": "e2e_ms", "tpot": "itl_ms", "scheduling_delay": "scheduling_delay_ms"}
_PARQUET_MAGIC = b"PAR1"
_ENTRY_KEYS = ("arrived_at", "requestID", "num_prefill_tokens", "num_decode_tokens", *DURATIONS.values())
_WHAT_FITS = "give a file of --results-path (JSON) or --outcomes-path (Parquet)"


@dataclass(frozen=True, eq=False, repr=False)
class Requests:
    """Requests of a run in the order in which they arrived.

    Attributes:
        number: (n,) what each is called: ``request_{number}``.
        arrival_us: (n,) -1 for those that never arrived.
        input_tokens: (n,) of the prompt.
        output_tokens: (n,) as asked for.
        durations_ms: per key of `DURATIONS`, (n,) values; nan where there is none.
    """

    number: Ints
    arrival_us: Ints
    input_tokens: Ints
    output_tokens: Ints
    durations_ms: Mapping[str, Floats]

    def __repr__(self) -> str:
        return summed_up(self, counted(len(self.number), "request"))


@dataclass(frozen=True, eq=False, repr=False)
class Side:
    """One run.

    Attributes:
        label: ``A``, ``B`` and so on, by which tables know it.
        name: the path it was read from; the label if there is none.
        figures: the numbers of its summary, by key, and if classes have targets, goodput and attainment
            (`blis.studies.compare.targets.figures_of`); None where one could not be computed.
        targets_ms: longest end-to-end time that is good enough, by SLO class; empty: not known.
        verdict: whether it was in steady state (`blis.outcomes.metrics.steady_state.VERDICTS`); None: not known.
        requests: None if only its summary is known.
    """

    label: str
    name: str
    figures: Mapping[str, float | None]
    targets_ms: Mapping[str, float]
    verdict: str | None
    requests: Requests | None

    def __repr__(self) -> str:
        return summed_up(self, f"{self.name}, {self.verdict or 'steady state not known'}, {len(self.figures)} figures")


def side_of(run: Run, label: str, targets_us: Mapping[str, int] | None = None) -> Side:
    """Take a run as it comes.

    Args:
        run: outcomes, the path of a file of them, the path of a results file, or what is in one.
        label: by which tables know it.
        targets_us: per SLO class, the longest end-to-end time that is good enough; None: as the results file has it.

    Raises:
        InputError: the file cannot be read, or is neither; or no request has such a class.
    """
    if isinstance(run, Outcomes):
        return _of_outcomes(run, label, label, targets_us)
    if isinstance(run, Mapping):
        return _of_results(run, label, label, targets_us)
    path = Path(run)
    try:
        with path.open("rb") as file:
            is_parquet = file.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC
        if is_parquet:
            return _of_outcomes(Outcomes.read_parquet(path), label, str(path), targets_us)
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: neither Parquet nor JSON ({error}); {_WHAT_FITS}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object of figures, got {type(content).__name__}; {_WHAT_FITS}")
    return _of_results(content, label, str(path), targets_us)


def _of_outcomes(outcomes: Outcomes, label: str, name: str, targets_us: Mapping[str, int] | None) -> Side:
    order, result, table = arrival_order(outcomes), outcomes.result, outcomes.table
    durations = {
        "ttft": outcomes.ttft_us(order),
        "e2e": outcomes.e2e_us(order),
        "tpot": outcomes.itl_mean_us(order),
        "scheduling_delay": outcomes.scheduling_delay_us(order),
    }
    requests = Requests(
        table.numbers[order],
        result.arrival_us[order],
        table.input_tokens[order],
        table.output_tokens[order],
        {key: np.where(values >= 0, values / 1000, np.nan) for key, values in durations.items()},
    )
    classes = attained_in(outcomes, targets_us) if targets_us else {}
    figures = _figures(outcomes.summary)
    return _side(label, name, figures, classes, outcomes.steady_state.verdict, requests)


def _side(
    label: str,
    name: str,
    figures: dict[str, float | None],
    classes: Mapping[str, Attained],
    verdict: str | None,
    requests: Requests | None,
) -> Side:
    figures |= figures_of(classes, figures.get("vllm_estimated_duration_s"))
    return Side(label, name, figures, {key: each.target_ms for key, each in classes.items()}, verdict, requests)


def _of_results(results: Mapping[str, Any], label: str, name: str, targets_us: Mapping[str, int] | None) -> Side:
    """Of a results file, or of a summary alone."""
    figures = _figures(results)
    if "completed_requests" not in figures:
        raise InputError(f"{name}: has no completed_requests, so is no summary of a run; {_WHAT_FITS}")
    steady_state = results.get("steady_state")
    verdict = steady_state.get("verdict") if isinstance(steady_state, Mapping) else None
    entries = results.get("requests")
    requests = None if entries is None else _requests(entries, name)
    classes = attained_in_results(results, targets_us, name)
    return _side(label, name, figures, classes, verdict, requests)


def _figures(summary: Mapping[str, Any]) -> dict[str, float | None]:
    """The numbers; names, texts and what has parts are left out, and what is not finite is unknown."""
    numbers = (int, float, type(None))
    found = {key: value for key, value in summary.items() if isinstance(value, numbers)}
    return {
        key: value if value is None or abs(value) <= sys.float_info.max else None
        for key, value in found.items()
        if not isinstance(value, bool)
    }


def _requests(entries: Any, name: str) -> Requests:
    if not isinstance(entries, list):
        raise InputError(f"{name}: requests: expected a list, got {type(entries).__name__}")
    columns: dict[str, list[Any]] = {}
    try:
        for key in _ENTRY_KEYS:
            columns[key] = [entry[key] for entry in entries]
        arrival_s = np.array(columns["arrived_at"], np.float64)  # None becomes nan
        if not (np.isnan(arrival_s) | (np.abs(arrival_s) <= MOST_US / 1e6)).all():
            raise ValueError("arrived_at: beyond the clock")
        number = np.array([int(text.rpartition("_")[2]) for text in columns["requestID"]], np.int64)
        return Requests(
            number,
            np.where(np.isnan(arrival_s), NEVER, np.rint(arrival_s * 1e6)).astype(np.int64),
            np.array(columns["num_prefill_tokens"], np.int64),
            np.array(columns["num_decode_tokens"], np.int64),
            {key: np.array(columns[column], np.float64) for key, column in DURATIONS.items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{name}: requests: not those of a results file: {type(error).__name__} {error}") from error
