"""What can go wrong, as one tree of exceptions.

    BlisError                     anything this package raises on purpose
    ├── InputError                usage or input is wrong: exit code 2
    │   ├── ConfigError           a flag, a key of a YAML/JSON file, an unknown model or GPU
    │   │   └── CombinationError  values that are each valid exclude each other
    │   │       └── CapacityError the model does not fit the GPUs
    │   └── WorkloadError         a trace or workload file: names the file and the row
    └── EngineError               a run failed: exit code 1
        └── InvariantError        the engine broke one of its own laws (a bug in blis)

Every message is one line that says where, what is wrong, what was found and what would be valid.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BlisError(Exception):
    """Anything this package raises on purpose."""


class InputError(BlisError):
    """Usage or input is wrong; nothing was run."""


class ConfigError(InputError):
    """A flag, a configuration key, an unknown model or GPU."""


class CombinationError(ConfigError):
    """Values that are each valid exclude each other. Where many combinations are tried, it rules out one of them."""


class CapacityError(CombinationError):
    """The model does not fit into the memory of the GPUs."""


class WorkloadError(InputError):
    """A trace or workload file; the message names the file and the row."""


class EngineError(BlisError):
    """A run failed."""


class InvariantError(EngineError):
    """The engine broke one of its own laws; this is a bug in blis."""


class SignalExit(SystemExit):
    """A signal ends the process; not a function of the user's own that calls `sys.exit`."""


def nearest(name: str, valid: Iterable[str], *, limit: int = 3) -> str:
    """Say which valid names come closest to a wrong one.

    Returns ``did you mean 'a' or 'b'?`` if something comes close, else ``valid: a, b, c``.
    """
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=limit, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(c) for c in close) + "?"
    return "valid: " + ", ".join(names)
