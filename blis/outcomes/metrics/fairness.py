"""How evenly tenants share what there is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from blis._core.codes import RequestStatus

if TYPE_CHECKING:
    from blis.outcomes.outcomes import Outcomes


def jain_index(amounts: Iterable[int]) -> float | None:
    """Jain's fairness index ``(Σx)² / (n · Σx²)``: 1 if all get the same, 1/n if one gets everything.

    None if there is nobody, or nothing to share.
    """
    exact = [int(amount) for amount in amounts]
    squares = sum(amount * amount for amount in exact)
    return sum(exact) ** 2 / (len(exact) * squares) if squares else None


def tenant_fairness(outcomes: Outcomes) -> float | None:
    """Jain's index over the output tokens per second of the tenants with requests that arrived.

    All tenants have the same time, so it is that over their tokens. None if no tenants are given or none got a token.
    """
    tenant, result = outcomes.table.tenant, outcomes.result
    if tenant is None:
        return None
    counted = (tenant.codes >= 0) & ~np.isin(result.status, (RequestStatus.NOT_ARRIVED, RequestStatus.NOT_SENT))
    codes, index = np.unique(tenant.codes[counted], return_inverse=True)
    tokens = np.zeros(len(codes), np.int64)
    np.add.at(tokens, index, result.produced_tokens[counted])
    return jain_index(tokens)
