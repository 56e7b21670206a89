"""Azure LLM inference traces (https://github.com/Azure/AzurePublicDataset): when, prompt and output lengths.

Those of 2023 have times in steps of 100 ns without a time zone, those of 2024 in µs with one.
"""

from __future__ import annotations

from collections.abc import Iterator

from blis.workload.convert.csv_columns import csv_columns
from blis.workload.convert.source import Rows, Source

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


def read_azure(source: Source) -> Iterator[Rows]:
    """Read lengths; nothing is known of shared prefixes."""
    for columns in csv_columns(source, COLUMNS, len(COLUMNS)):
        time, prompt, output = COLUMNS
        rows = Rows(columns.dates_us(time), columns.lengths(prompt), columns.lengths(output))
        yield rows.filter(columns.good())
