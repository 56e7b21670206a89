"""Where the data that ships with blis lives: in the wheel or in the checkout, never in the working directory."""

from __future__ import annotations

from pathlib import Path

from blis.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parents[1]


def data_path(name: str) -> Path:
    """Find a shipped file or folder.

    An installed wheel carries the data inside the package (``blis/_data``); a checkout and an editable
    install have it beside the package.

    Args:
        name: ``defaults.yaml``, ``hardware_config.json`` or ``model_configs``.

    Raises:
        ConfigError: if it is in neither place.
    """
    places = (_PACKAGE / "_data" / name, _PACKAGE.parent / name)
    for path in places:
        if path.exists():
            return path
    raise ConfigError(f"{name}: shipped data not found; looked for {places[0]} and {places[1]}; reinstall blis-sim")
