"""Workers of a Dask cluster (the extra ``dask``)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from blis.errors import ConfigError, EngineError

#: How long to wait for a scheduler.
CONNECT_S = 10


class DaskCluster:
    """A client, and the cluster if it is its own; see `blis.studies.sweep.executors.Cluster`.

    Args:
        address: ``host:port`` of the scheduler; None: start some processes on this machine.
        jobs: how many.
    """

    def __init__(self, address: str | None, jobs: int) -> None:
        try:
            from distributed import Client, LocalCluster
        except ImportError:
            raise ConfigError("executor: dask is not installed; python -m pip install 'blis-sim[dask]'") from None
        self._own = None
        if address is None:
            self._own = LocalCluster(
                n_workers=jobs,
                threads_per_worker=1,
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
            )
        try:
            self._client = Client(self._own if address is None else f"tcp://{address}", timeout=CONNECT_S)
        except (OSError, ValueError) as error:
            text = " ".join(str(error).split())
            raise ConfigError(f"executor: no Dask scheduler can be reached at {address}: {text}") from None

    def num_workers(self) -> int:
        """Threads of all workers."""
        return max(1, int(sum(self._client.nthreads().values())))

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Have a chunk done. Dask does it again, up to three times, if its worker dies."""
        return self._client.submit(work, *arguments, pure=False)

    def wait(self, pending: Sequence[Any]) -> Any:
        """One of the submitted chunks that is done."""
        from distributed import wait

        return next(iter(wait(pending, return_when="FIRST_COMPLETED").done))

    def result(self, done: Any) -> list[tuple[Any, ...]]:
        """What it gave."""
        from distributed import KilledWorker

        try:
            rows: list[tuple[Any, ...]] = done.result()
        except KilledWorker as error:
            raise EngineError(f"executor: Dask workers keep dying: {' '.join(str(error).split())}") from None
        return rows

    def close(self) -> None:
        """Let go of chunks under way, and end a cluster of its own."""
        self._client.close()
        if self._own is not None:
            self._own.close()
