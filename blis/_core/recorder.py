"""What is written down while the engine runs: gaps between tokens, and on request every step."""

from __future__ import annotations

from blis._core.jit import kernel
from blis._core.state import HISTOGRAM_USED, NUM_GAPS, NUM_LOG


@kernel
def record_gap(recorder, gap_class, gap_us, count):
    """``count`` tokens of requests of one class came ``gap_us`` after the one before."""
    if gap_us < recorder.histogram.shape[1]:
        recorder.histogram[gap_class, gap_us] += count
        recorder.at[HISTOGRAM_USED] = max(recorder.at[HISTOGRAM_USED], gap_us + 1)
        return
    row = recorder.gap_log[recorder.at[NUM_GAPS]]
    row[0], row[1], row[2] = gap_class, gap_us, count
    recorder.at[NUM_GAPS] += 1


@kernel
def record_gaps(recorder, class_count, gap_us):
    """All decoders, so many per class, got a token ``gap_us`` after the one before."""
    for gap_class in range(len(class_count)):
        if class_count[gap_class] > 0:
            record_gap(recorder, gap_class, gap_us, class_count[gap_class])


@kernel
def log(recorder, code, a, b, c):
    """Add a row to the step log."""
    row = recorder.step_log[recorder.at[NUM_LOG]]
    row[0], row[1], row[2], row[3] = code, a, b, c
    recorder.at[NUM_LOG] += 1


@kernel
def logs_full(recorder, most_gaps, most_rows):
    """Whether the next step could overflow a log."""
    return recorder.at[NUM_GAPS] + most_gaps > len(recorder.gap_log) or recorder.at[NUM_LOG] + most_rows > len(
        recorder.step_log
    )
