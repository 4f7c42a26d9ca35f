"""Bindings made from the table of keys."""

from __future__ import annotations

from textual.binding import Binding

from tui.keymap import ACTIONS


def bound(name: str, action: str, says: str = "", *, show: bool = True, priority: bool = False) -> Binding:
    """A binding of an action of the table; `says`: the key of its text, `key.NAME` without it."""
    return Binding(ACTIONS[name].keys, action, says or f"key.{name}", id=name, show=show, priority=priority)
