"""`calibrate`: a measured trace and the outcomes of its replay, compared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blis.errors import ConfigError, WorkloadError
from blis.files.document import json_document
from blis.files.output import replacing
from blis.files.shown import counted, summed_up
from blis.measurement.calibrate.configuration import match_configuration
from blis.measurement.calibrate.pairing import Network, Pairs, pair
from blis.measurement.calibrate.regimes import in_flight_when_sent
from blis.measurement.calibrate.report import build_report
from blis.measurement.calibrate.verdict import Evidence, not_meaningful_because, notes
from blis.outcomes.outcomes import Outcomes
from blis.report.answer import Answer
from blis.report.calibration_table import calibration_parts, verdict
from blis.report.notebook import parts_html
from blis.workload.requests import Ints
from blis.workload.traces.tracev2.header import TraceHeader
from blis.workload.traces.tracev2.tracev2 import TraceV2, read_tracev2


@dataclass(frozen=True, eq=False, repr=False)
class Calibration(Answer):
    """How far a simulation is off from a measurement of the same requests.

    Attributes:
        report: all figures, plain JSON values; docs/calibrate.md explains the keys.
        pairs: the requests that were compared, durations in µs.
        in_flight: (k,) requests the server had in hand when each of them was sent.
    """

    report: dict[str, Any]
    pairs: Pairs
    in_flight: Ints

    def __repr__(self) -> str:
        return summed_up(self, f"{counted(len(self.pairs), 'pair')}; {verdict(self.report)}")

    def _repr_html_(self) -> str:
        """The report, for notebooks."""
        return parts_html(calibration_parts(self.report))

    @property
    def is_meaningful(self) -> bool:
        """Whether the figures say something about the simulator; ``report["not_meaningful_because"]`` says why not."""
        return bool(self.report["meaningful"])

    def text(self) -> str:
        """The report as JSON."""
        return json_document(self.report, ascii_only=True)

    def write_json(self, path: str | Path) -> None:
        """Write the report as JSON."""
        with replacing(Path(path)) as temporary:
            temporary.write_text(self.text() + "\n", encoding="utf-8")

    def write_plots(self, path: str | Path) -> None:
        """Draw measured against simulated durations, as HTML without outside references, as SVG or as PNG.

        Args:
            path: its suffix says which.

        Raises:
            InputError: the suffix is another one, or the extra ``plots`` is not installed.
        """
        from blis.measurement.calibrate.plots import write_plots

        write_plots(self.pairs, self.in_flight, Path(path))


def calibrate(
    trace: TraceV2,
    outcomes: Outcomes | str | Path,
    *,
    warm_up_requests: int | None = None,
    network_rtt_us: float | None = None,
    network_bandwidth_mbps: float = 0.0,
) -> Calibration:
    """Compare measured requests with what was simulated for them.

    Args:
        trace: as measured. A simulated one will do, too: two simulations are compared then.
        outcomes: of its replay, or their Parquet file; ``request_N`` belongs to the trace's ``request_id`` N.
        warm_up_requests: requests numbered below are not compared; None: as the trace's header says.
        network_rtt_us: round-trip time that is added to the simulated side; None: that of the header, or none.
        network_bandwidth_mbps: megabits per second, for the transfers that are added likewise; 0: unlimited.

    Raises:
        InputError: a file is wrong, or nothing can be compared; names file, and row and column or key.
    """
    _check_not_negative("warm_up_requests", warm_up_requests)
    _check_not_negative("network_rtt_us", network_rtt_us)
    _check_not_negative("network_bandwidth_mbps", network_bandwidth_mbps)
    header, records = read_tracev2(trace)
    simulated = outcomes if isinstance(outcomes, Outcomes) else Outcomes.read_parquet(outcomes)
    warm_up = header.warm_up_requests if warm_up_requests is None else warm_up_requests
    network = Network(_rtt_us(header, network_rtt_us), float(network_bandwidth_mbps))
    pairs = pair(header, records, simulated, warm_up_requests=warm_up, network=network)
    if not len(pairs):
        raise WorkloadError(_why_nothing(trace, pairs, warm_up))
    in_flight = in_flight_when_sent(records)
    config = match_configuration(header.server, simulated.metadata)
    evidence = Evidence(
        header, records, simulated, pairs, in_flight, config, warm_up_requests is not None, warm_up_requests=warm_up
    )
    report = build_report(
        header,
        records,
        pairs,
        network=network,
        in_flight=in_flight,
        config=config,
        reasons=not_meaningful_because(evidence),
        notes=notes(evidence),
    )
    return Calibration(report, pairs, in_flight[pairs.rows])


def _rtt_us(header: TraceHeader, given: float | None) -> float:
    if given is not None:
        return float(given)
    return 0.0 if header.measured_rtt_ms is None else header.measured_rtt_ms * 1000


def _check_not_negative(name: str, value: float | None) -> None:
    if value is not None and not 0 <= value < math.inf:
        raise ConfigError(f"{name}: must be a number >= 0, got {value}")


def _why_nothing(trace: TraceV2, pairs: Pairs, warm_up: int) -> str:
    counts = pairs.counts
    if counts.warm_up_excluded == counts.num_requests:
        return f"{trace.data}: nothing to compare: all {counts.num_requests} requests are warm-up (below {warm_up})"
    if not counts.matched_pairs:
        return (
            f"{trace.data}: nothing to compare: the outcomes have no result for any of its requests; "
            "expected those of blis replay of this trace"
        )
    return f"{trace.data}: nothing to compare: no request has stamps of its first and last token after it was sent"
