"""What the app remembers from run to run: theme, panels, values of the panel. Beside the settings and below them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.errors import UsageError
from tui.paths import write_private
from tui.settings import SETTINGS, checked

ORIGIN = "the app's last run"
FORMAT = 1
PLACES = ("sidebar", "panel")
"""What is open or closed."""


class Remembered:
    """A small file in the state folder; one that can't be read is as good as none."""

    def __init__(self, path: Path, names: tuple[str, ...]) -> None:
        """`names`: the settings that may be remembered."""
        self._path = path
        data = _read(path)
        self.open = {name: bool(data[name]) for name in PLACES if isinstance(data.get(name), bool)}
        self.values: dict[str, Any] = {}
        held = data.get("values")
        held = held if isinstance(held, dict) else {}
        for name in names:
            if name in held:
                try:
                    self.values[name] = checked(SETTINGS[name], held[name], str(path))
                except UsageError:  # from another version
                    continue

    def write(self) -> None:
        """Keep it. Raises PlaceError."""
        data = {"format": FORMAT, **self.open, "values": self.values}
        write_private(self._path, (json.dumps(data, ensure_ascii=False, indent=1) + "\n").encode())


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) and data.get("format") == FORMAT else {}
