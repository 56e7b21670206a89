"""Machine code of the engine goes into the wheel, so that whoever installs it need not wait for a compiler.

It is made for the kind of machine that builds; on others, and without numba here, the first run compiles as ever.
"""

from __future__ import annotations

import sys
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompileAhead(BuildHookInterface):  # type: ignore[type-arg]
    """Runs before a wheel is put together, also before an editable one."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile into the source tree, from where the files are packed."""
        sys.path.insert(0, self.root)
        try:
            from blis.ahead import ship

            shipped = ship()
        except ImportError as error:
            self.app.display_warning(f"the first run will compile the engine: {error}")
            return
        finally:
            sys.path.remove(self.root)
        build_data["artifacts"] += [str(path.relative_to(self.root)) for path in shipped]
