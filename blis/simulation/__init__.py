"""The bridge between tables and the compiled engine: packs arrays, drives it, unpacks what happened."""

from __future__ import annotations

from blis.simulation.control import Control, control_of
from blis.simulation.run import Decisions, DecisionSink, Progress, Run, StepSink, load_functions, run_engine

__all__ = [
    "Control",
    "DecisionSink",
    "Decisions",
    "Progress",
    "Run",
    "StepSink",
    "control_of",
    "load_functions",
    "run_engine",
]
