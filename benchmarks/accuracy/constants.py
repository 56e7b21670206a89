"""Hardware figures and constants of the law set to other values, for a while."""

import importlib
import json
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory

from blis.errors import ConfigError
from blis.files.resources import data_path


@contextmanager
def applied(settings):
    """Gives the path of a hardware file in which the settings hold; those of modules hold meanwhile.

    Args:
        settings: values by name. ``H100-SXM.host_factor`` is a figure of the hardware file, where parts may be patterns
            (``*.efficiency.linear_?bit``); ``blis.latency.roofline_parameters:GAP_US_PER_MOE_LAYER`` is a number of a
            module (kernels don't see it: they are compiled). A text ``x1.2`` multiplies what is there.

    Raises:
        ConfigError: nothing has such a name, or it has no number.
    """
    hardware = json.loads(data_path("hardware_config.json").read_text(encoding="utf-8"))
    changed = []
    try:
        for name, value in settings.items():
            for holder, key in _places(hardware, name):
                changed.append((holder, key, holder[key]))
                holder[key] = _new(name, holder[key], value)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "hardware_config.json"
            path.write_text(json.dumps(hardware), encoding="utf-8")
            yield path
    finally:
        for holder, key, value in reversed(changed):
            holder[key] = value


def _places(hardware, name):
    """All mappings and keys that a name means."""
    module, colon, constant = name.partition(":")
    if colon:
        holders, key = [vars(importlib.import_module(module))], constant
    else:
        *path, key = name.split(".")
        holders = [hardware]
        for part in path:
            holders = [holder[each] for holder in holders for each in holder if fnmatchcase(each, part)]
    inner = [holder for holder in holders if isinstance(holder, dict)]
    found = [(holder, each) for holder in inner for each in holder if fnmatchcase(each, key)]
    if not found:
        raise ConfigError(f"{name}: there is nothing of that name")
    return found


def _new(name, old, value):
    if isinstance(old, bool) or not isinstance(old, int | float):
        raise ConfigError(f"{name}: is no number but {old!r}")
    return old * float(value[1:]) if isinstance(value, str) else value
