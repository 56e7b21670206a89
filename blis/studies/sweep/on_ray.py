"""Workers of a Ray cluster (the extra ``ray``)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

from blis.errors import ConfigError, EngineError

#: How often a chunk is done again whose worker died.
_MOST_RETRIES = 3


class RayCluster:
    """A connection, and the cluster if it is its own; see `blis.studies.sweep.executors.Cluster`.

    Args:
        address: ``host:port`` of a Ray client server; None: the cluster this process is connected to, or some
            processes on this machine.
        jobs: how many.
    """

    def __init__(self, address: str | None, jobs: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster of ours tells nobody
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # how Ray warns of what it will do some day
        try:
            import ray
        except ImportError:
            raise ConfigError("executor: ray is not installed; python -m pip install 'blis-sim[ray]'") from None
        self._ray = ray
        self._is_own = not ray.is_initialized()
        if not self._is_own:
            return
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
        try:
            if address is None:
                ray.init(address="local", num_cpus=jobs, include_dashboard=False, **quiet)
            else:
                ray.init(address=f"ray://{address}", **quiet)
        except (ConnectionError, ImportError) as error:
            text = " ".join(str(error).split())
            hint = "; a cluster that asks for a token wants RAY_AUTH_MODE and RAY_AUTH_TOKEN set here, too"
            raise ConfigError(f"executor: no Ray cluster can be reached at {address}: {text}{hint}") from None

    def num_workers(self) -> int:
        """CPUs of the cluster."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Have a chunk done, again if its worker dies."""
        return self._ray.remote(max_retries=_MOST_RETRIES)(work).remote(*arguments)

    def wait(self, pending: Sequence[Any]) -> Any:
        """One of the submitted chunks that is done."""
        done, _ = self._ray.wait(list(pending), num_returns=1)
        return done[0]

    def result(self, done: Any) -> list[tuple[Any, ...]]:
        """What it gave."""
        try:
            rows: list[tuple[Any, ...]] = self._ray.get(done)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            raise EngineError(f"executor: Ray workers keep dying: {' '.join(str(error).split())}") from None
        return rows

    def close(self) -> None:
        """End the connection, and with it a cluster of its own."""
        if self._is_own:
            self._ray.shutdown()
