"""From what a user asked for to what is simulated: `resolving` decides, by what `target` and `step_time` find out."""

from blis.config.resolve.resolving import (
    FoundModel,
    LookedUp,
    Resolved,
    look_up,
    look_up_model,
    resolve,
    resolve_engine,
)

__all__ = ["FoundModel", "LookedUp", "Resolved", "look_up", "look_up_model", "resolve", "resolve_engine"]
