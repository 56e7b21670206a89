"""Who is let in: the admission policy that options ask for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from blis.compiled.function import Source, compiled
from blis.config.schema import ClusterOptions
from blis.policies.policy import Floats, Policy, decision


def admission_policy(options: ClusterOptions) -> Policy:
    """Make the policy of that name, or load the user's own.

    Raises:
        ConfigError: a function that can't be loaded.
    """
    name = options.admission_policy
    if ":" in name:
        from blis.policies.custom import load_policy

        return load_policy(name, "admission")
    compile_ = functools.partial(_compiled, name)
    return _token_bucket(options, compile_) if name == "token-bucket" else Policy(name, compile_)


def _token_bucket(options: ClusterOptions, compile_: Any) -> Policy:
    capacity, rate = options.token_bucket_capacity, options.token_bucket_refill_rate

    def initial_state(num_instances: int) -> Floats:
        return np.array([capacity, 0.0, capacity, rate])

    return Policy("token-bucket", compile_, initial_state=initial_state)


@functools.cache
def _compiled(name: str) -> Any:
    return compiled(source(name))


def source(name: str) -> Source:
    """What a built-in policy is compiled from."""

    def make() -> Callable[..., int]:
        from blis.policies import _admission_kernels

        return _admission_kernels.POLICIES[name]

    return decision(make, f"admission.{name}")
