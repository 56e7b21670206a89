"""Turn public traces into Parquet traces for blis (docs/workload-formats.md).

    python examples/convert_traces.py azure AzureLLMInferenceTrace_conv.csv conv.parquet
    python examples/convert_traces.py mooncake conversation_trace.jsonl conversation.parquet

azure: the Azure LLM inference traces of 2023 (https://github.com/Azure/AzurePublicDataset), CSV with the columns
TIMESTAMP, ContextTokens, GeneratedTokens. Lengths only: nothing is known about shared prefixes.

mooncake: the Mooncake traces (https://github.com/kvcache-ai/Mooncake), one JSON object per line with
timestamp (ms), input_length, output_length, hash_ids (one per 512 tokens of the prompt).

Arrivals count from the earliest one. Requests without a prompt are dropped and counted on stderr.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import polars as pl

from blis.errors import InputError
from blis.files import check_output, replacing

MOONCAKE_BLOCK_TOKENS = 512


def read_azure(path: Path) -> pl.DataFrame:
    """Lengths-only columns from an Azure trace; its clock has ticks of 100 ns."""
    rows = pl.read_csv(path, columns=["TIMESTAMP", "ContextTokens", "GeneratedTokens"])
    time = pl.col("TIMESTAMP").str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="ns")
    return rows.select(
        arrival_us=(time - time.min()).dt.total_microseconds(),
        input_tokens="ContextTokens",
        output_tokens="GeneratedTokens",
    )


def read_mooncake(path: Path) -> pl.DataFrame:
    """Columns with hash ids from a Mooncake trace."""
    time = pl.col("timestamp")
    return pl.read_ndjson(path).select(
        arrival_us=((time - time.min()) * 1000).cast(pl.Int64),
        input_tokens="input_length",
        output_tokens="output_length",
        hash_ids="hash_ids",
        hash_block_tokens=pl.lit(MOONCAKE_BLOCK_TOKENS),
    )


READERS = {"azure": read_azure, "mooncake": read_mooncake}


def convert(kind: str, source: Path, target: Path) -> int:
    """Write ``source`` as Parquet; returns how many requests were dropped for want of a prompt."""
    check_output(target)
    requests = READERS[kind](source)
    kept = requests.filter(pl.col("input_tokens") >= 1)
    with replacing(target) as temporary:
        kept.write_parquet(temporary)
    return len(requests) - len(kept)


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and convert."""
    parser = argparse.ArgumentParser(description="Turn a public trace into a Parquet trace for blis.")
    parser.add_argument("kind", choices=READERS)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args(arguments)
    try:
        dropped = convert(args.kind, args.source, args.target)
    except (InputError, OSError, pl.exceptions.PolarsError) as error:
        sys.exit(f"{args.source}: {str(error).splitlines()[0]}")
    if dropped:
        print(f"{args.source}: dropped {dropped} requests without a prompt", file=sys.stderr)


if __name__ == "__main__":
    main()
