"""Prints the benchmarks of a run as Markdown tables: ``python benchmarks/table.py performance.json``.

The file is what ``pytest benchmarks --benchmark-json=performance.json`` writes.
"""

import json
import sys
from itertools import groupby
from pathlib import Path

#: How figures are written, by the name that `record` gives them.
FORMATS = {
    "cpu_s": "{:.2g} s CPU",
    "cpu_ms": "{:.2g} ms CPU",
    "wall_s": "{:.2g} s wall",
    "ns_per_token": "{:.2g} ns/token",
    "peak_mb": "{:,.0f} MB",
    "page_mb": "a page of {:.1f} MB",
    "times_file": "{:.2g} × file",
    "times_bulk": "{:.2g} × in bulk",
    "times_waiting": "{:.3g} × without",
    "times_single": "{:.2g} × one instance",
    "times_small": "{:.2g} × 60,000 blocks",
    "times_built_in": "{:.3g} × built-in",
    "ns_per_decision": "{:,.0f} ns/decision",
    "lateness_p50_ms": "{:.2g} ms late (p50)",
    "lateness_p99_ms": "{:.2g} ms late (p99)",
    "ttft_added_ms": "TTFT + {:.2g} ms (p50)",
    "itl_added_ms": "ITL + {:.2g} ms (p50)",
    "times_one_thread": "{:.2g} × one thread",
    "times_two_threads": "{:.2g} × two threads",
    "exponent": "exponent {:.3f}",
}


def written(figures):
    return ", ".join(FORMATS[name].format(value) for name, value in figures.items())


def row(info):
    """What | budget | measured | ok."""
    measured, budget = info["measured"], info["budget"]
    kept = "yes" if all(measured[name] <= most for name, most in budget.items()) else "**no**"
    return f"| {info['what']} | {written(budget) or '–'} | {written(measured)} | {kept if budget else ''} |"


def table(results):
    """One table per file of benchmarks, under the command that reproduces it."""
    machine = results["machine_info"]
    cpu = machine["cpu"]
    lines = [f"{cpu['count']} × {cpu.get('brand_raw', machine['machine'])}, Python {machine['python_version']}"]
    for file, benchmarks in groupby(results["benchmarks"], lambda benchmark: benchmark["fullname"].partition("::")[0]):
        lines += ["", f"`python -m pytest benchmarks/{file}`", ""]
        lines += ["| what | budget | measured | ok |", "|---|---|---|---|"]
        lines += [row(benchmark["extra_info"]) for benchmark in benchmarks]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.stdout.write(table(json.loads(Path(sys.argv[1]).read_text())))
