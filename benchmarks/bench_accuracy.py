"""How far blis is from servers that others have measured; fails if it is worse than the baseline (docs/accuracy.md).

python -m pytest benchmarks/bench_accuracy.py
"""

import time

import pytest
from accuracy.baseline import judge, read_baseline
from accuracy.points import read_points
from accuracy.running import run_all
from accuracy.scores import rows_of
from accuracy.tables import all_tables

pytestmark = pytest.mark.benchmark(timer=time.perf_counter)


def test_measured_points(benchmark, capsys):
    points = read_points()
    answers = benchmark.pedantic(run_all, (points,), rounds=1)
    rows = rows_of(points, answers)
    with capsys.disabled():
        for name, table in all_tables(points, answers, rows).items():
            print(f"\n{name}: typical error / 90th percentile / bias in per cent (points)\n\n{table}")  # noqa: T201
    verdict = judge(read_baseline(points), (answers, rows))
    assert verdict.failures == []
