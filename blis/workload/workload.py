"""What a workload is to everything that simulates one."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from blis.workload.requests import RequestTable


@runtime_checkable
class Workload(Protocol):
    """Something that says which requests arrive: a distribution, a spec, a trace, the requests themselves, or your own.

    Objects that are equal and hash alike must mean the same requests: those of one are used for the other.
    """

    @property
    def seed(self) -> int | None:
        """Of its draws, unless the run has another one; None: it does not say."""

    def requests(self, seed: int, horizon_us: int | None = None) -> RequestTable:
        """Draw or read what arrives.

        Args:
            seed: of all draws.
            horizon_us: end of the simulated time, if that is already known. Requests arriving later have rows, too, so
                that they are counted as not arrived, or are in ``unlisted`` if there are many.

        Returns:
            The requests; their own ``horizon_us`` ends the run, unless it has another one.

        Raises:
            InputError: the workload makes no sense, or a file of it cannot be read.
        """

    def describe(self) -> dict[str, Any]:
        """What goes with the outcomes, as plain JSON values: ``kind``, and what makes the same requests again."""


@runtime_checkable
class Frame(Protocol):
    """A data frame: of polars, of pandas (2.2 or later), a pyarrow Table, or anything else that hands out Arrow."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The frame's columns (the Arrow PyCapsule interface)."""
