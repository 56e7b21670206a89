"""Weights and KV caches beside 94 start-up logs of vLLM; docs/memory.md has the errors."""

import statistics
from pathlib import Path

import pytest
from helpers_docs import tables
from helpers_startup_logs import START_UPS, errors, served

PAGE = Path(__file__).parents[1] / "docs" / "memory.md"


def _release(start_up):
    return tuple(map(int, start_up.version.split(".")[:2]))


def _is_8bit(start_up):
    return served(start_up.model).quantization.expert_bytes < 2


GROUPS = {
    "all": lambda each: True,
    **{gpu: lambda each, gpu=gpu: each.gpu == gpu for gpu in ("H200", "B200", "MI300X")},
    "0.11": lambda each: _release(each) == (0, 11),
    "0.13 to 0.16": lambda each: (0, 13) <= _release(each) <= (0, 16),
    "0.17 to 0.19": lambda each: (0, 17) <= _release(each) <= (0, 19),
    "0.20": lambda each: _release(each) == (0, 20),
    "16 bit": lambda each: not _is_8bit(each),
    "8 bit": _is_8bit,
}


def of_lines(group, which):
    """Errors of all lines of a group, in order: of KV caches (0) or weights (1)."""
    return sorted(errors(each)[which] for each in START_UPS if GROUPS[group](each) for _ in range(each.count))


def shown(values):
    """Median, 90th percentile and largest, as the documentation has them."""
    figures = (statistics.median(values), values[int(0.9 * len(values))], values[-1])
    return " / ".join(f"{figure:.1f}" for figure in figures)


def test_the_documentation_states_the_errors():
    (table,) = [table for table in tables(PAGE) if "lines" in table[0]]
    rows = {row["column 0"]: row for row in table}
    assert rows.keys() == GROUPS.keys()
    for group, row in rows.items():
        kv, weights = of_lines(group, 0), of_lines(group, 1)
        assert [row["lines"], row["KV caches"], row["weights"]] == [str(len(kv)), shown(kv), shown(weights)], group


@pytest.mark.parametrize("which", [0, 1])
def test_most_are_within_a_few_per_cent(which):
    values = of_lines("all", which)
    assert statistics.median(values) <= 2
    assert values[int(0.9 * len(values))] <= 6
