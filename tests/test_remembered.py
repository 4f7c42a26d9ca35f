"""What the app remembers comes back in the next run; what can't be read or is no setting's value does not."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from tui.remembered import FORMAT, Remembered

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("theme", "temperature")


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "state" / "app.json"
    first = Remembered(path, NAMES)
    assert (first.open, first.values) == ({}, {})
    first.open |= {"sidebar": False, "panel": True}
    first.values |= {"theme": "暗", "temperature": 0.5}
    first.write()
    again = Remembered(path, NAMES)
    assert (again.open, again.values) == (first.open, first.values)
    assert Remembered(path, ("theme",)).values == {"theme": "暗"}
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("held", "opened", "values"),
    [
        ({"sidebar": True, "other": True}, {"sidebar": True}, {}),
        ({"sidebar": 1, "panel": None}, {}, {}),
        ({"values": {"temperature": 1, "theme": "x", "unknown": 1}}, {}, {"temperature": 1.0, "theme": "x"}),
        ({"values": {"temperature": "hot", "theme": "x"}}, {}, {"theme": "x"}),
        ({"values": ["theme"], "panel": False}, {"panel": False}, {}),
        ({"format": FORMAT + 1, "panel": True, "values": {"theme": "x"}}, {}, {}),
    ],
)
def test_what_another_version_wrote_is_taken_as_far_as_it_is_known(
    held: dict[str, Any], opened: dict[str, bool], values: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "app.json"
    path.write_text(json.dumps({"format": FORMAT} | held), "utf-8")
    remembered = Remembered(path, NAMES)
    assert (remembered.open, remembered.values) == (opened, values)


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000])
def test_a_damaged_file_is_as_good_as_none(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "app.json"
    path.write_bytes(data)
    remembered = Remembered(path, NAMES)
    assert (remembered.open, remembered.values) == ({}, {})
    remembered.values["theme"] = "x"
    remembered.write()
    assert Remembered(path, NAMES).values == {"theme": "x"}
