"""Sweeps on real local clusters of two processes: the rows are those of threads, even if one of them is killed."""

import pytest
from helpers_sweep import BASE, killing_sweep, without_killing

import blis
from blis.studies.sweep.sweeping import sweep

pytestmark = [
    pytest.mark.slow,
    # nothing of ours: what the clusters themselves leave open as they end
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize(("executor", "module"), [("dask", "distributed"), ("ray", "ray")])
@pytest.mark.filterwarnings("ignore:runs as plain Python")
def test_a_worker_that_dies_loses_nothing(tmp_path, executor, module):
    pytest.importorskip(module, reason=f"the extra {executor} is not installed")
    killed, whole = tmp_path / "a.parquet", tmp_path / "b.parquet"
    spec = killing_sweep(tmp_path)
    sweep(spec, output=killed, executor=executor, jobs=2)
    assert (tmp_path / "killed").exists()
    sweep(without_killing(tmp_path), output=whole)
    assert killed.read_bytes() == whole.read_bytes()


def test_dask_by_address():
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    spec = {"base": BASE, "grid": {"rate": [1, 2, 3]}}
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, protocol="tcp"
    ) as cluster:
        address = cluster.scheduler_address.removeprefix("tcp://")
        assert sweep(spec, executor=f"dask://{address}").equals(sweep(spec))


def test_nobody_at_the_address(monkeypatch):
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    monkeypatch.setattr("blis.studies.sweep.on_dask.CONNECT_S", 0.5)
    spec = {"base": BASE}
    with pytest.raises(blis.ConfigError, match=r"executor: no Dask scheduler can be reached at 127\.0\.0\.1:9"):
        sweep(spec, executor="dask://127.0.0.1:9")
