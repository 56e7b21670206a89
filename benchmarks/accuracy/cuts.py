"""By what points are told apart in tables, and what a server has in common with others."""

from functools import cache

from accuracy.servers import approximations, deployment_of
from blis.config.hardware import load_hardware
from blis.config.served_model import served_model
from blis.latency.expected_error import CROWDS


@cache
def model_of(point):
    """Its layers."""
    return served_model(deployment_of(point))


@cache
def gpu_of(point):
    """Its GPU."""
    return load_hardware().get(point.gpu)


def asked(point):
    """How requests came: of users who wait, at a rate, or all at the same time."""
    if point.load.kind in ("open", "replay"):
        return "open loop"
    if point.load.kind in ("at once", "batch"):
        return f"all at once, {_range(point.prompts)}"
    return f"closed loop, {_range(min(point.load.users, point.prompts))}"


def _range(requests):
    return next((f"up to {most}" for most in CROWDS if requests <= most), f"more than {max(CROWDS)}")


def exactness(point):
    """Whether it is run as what it is."""
    return "run as something near" if approximations(point) else "vLLM, run as it is"


#: Tables by what is told apart in them.
CUTS = {
    "Engine": lambda point: point.engine,
    "GPU": lambda point: point.gpu,
    "Model family": lambda point: point.family,
    "Load": asked,
    "Weights": lambda point: point.quantization,
    "Source": lambda point: point.source,
}
