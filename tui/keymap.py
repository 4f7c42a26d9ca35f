"""The keys of the app: what each action is called in the settings, which keys it has, and which others it may be given.

One table: the bindings, the footer, the help and the check of `[keys]` in the settings are made from it. No Textual.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import UsageError

_TYPING = ("app", "chat", "prompt", "list", "history", "models", "editing", "panel")
"""Places where letters are written."""
TOGETHER = (
    ("app", "chat", "prompt"), ("app", "chat", "message"), ("app", "chat", "panel"), ("app", "history"),
    ("app", "list", "models"), ("app", "list", "editing"), ("app", "doubts"), ("app", "help"), ("app", "confirming"),
)  # fmt: skip
"""Places whose keys work at the same time: one key there can do one thing. A list's own keys come before the chat's."""
_NAMED = {
    "enter", "escape", "tab", "space", "backspace", "delete", "insert", "home", "end", "pageup", "pagedown", "up",
    "down", "left", "right", *(f"f{number}" for number in range(1, 25)),
}  # fmt: skip
_MODIFIERS = ("ctrl", "alt", "shift", "super")
_SAME = {"ctrl+i": "tab", "ctrl+m": "enter", "ctrl+h": "backspace", "ctrl+[": "escape"}
"""What a terminal sends for two keys alike."""
_SIGNS = {"/": "slash", "?": "question_mark", "comma": "comma"}
_SHOWN = {"escape": "Esc", "enter": "Enter", "left": "←", "right": "→", "up": "↑", "down": "↓", "space": "Space",
          "delete": "Del", "question_mark": "?", "slash": "/", "comma": ",", "tab": "Tab", "pageup": "PgUp",
          "pagedown": "PgDn"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a key does."""

    name: str
    keys: str
    """With commas between them."""
    where: str


_TABLE = {
    "app": {"quit": "ctrl+q", "palette": "ctrl+p"},
    "chat": {
        "stop": "escape", "new": "ctrl+n", "history": "ctrl+r", "help": "f1", "panel": "f2", "models": "f3",
        "sidebar": "ctrl+b", "interrupt": "ctrl+c", "sibling_previous": "alt+left", "sibling_next": "alt+right",
        "copy_last": "ctrl+y", "suspend": "ctrl+z", "page_up": "pageup", "page_down": "pagedown",
    },
    "prompt": {
        "send": "enter", "newline": "ctrl+j,shift+enter,alt+enter", "complete": "tab", "recall": "up",
        "recall_later": "down", "editor": "ctrl+g",
    },
    "message": {
        "copy": "y,c", "copy_code": "b", "edit": "e", "retry": "r", "previous": "left,h", "next": "right,l",
        "fork": "f", "continue": "o", "words": "w", "down": "j,down", "up": "k,up", "first": "g", "last": "G",
    },
    "list": {"take": "enter", "choose_down": "down", "choose_up": "up", "close": "escape"},
    "history": {
        "open": "enter", "history_down": "down", "history_up": "up", "by_meaning": "ctrl+s", "pin": "ctrl+t",
        "rename": "ctrl+e", "delete": "ctrl+d,delete",
    },
    "panel": {"panel_down": "down", "panel_up": "up"},
    "models": {"remove": "ctrl+d,delete", "stop_pull": "ctrl+x", "make_default": "ctrl+t"},
    "editing": {"keep": "ctrl+s"},
    "doubts": {
        "words_left": "left", "words_right": "right", "words_weak": "tab,n", "words_weak_back": "shift+tab,p",
        "branch": "enter", "close_doubts": "escape,q",
    },
    "help": {"close_help": "escape,f1,q"},
    "confirming": {"yes": "y", "no": "n,escape"},
}  # fmt: skip
ACTIONS = {name: Action(name, keys, where) for where, row in _TABLE.items() for name, keys in row.items()}


class Keys:
    """The keys as they are in this run."""

    def __init__(self, changes: Mapping[str, str | list[str]] | None = None) -> None:
        """`changes`: what `[keys]` of the settings says, checked."""
        self.changed = {name: ",".join(_listed(keys)) for name, keys in (changes or {}).items()}
        """By action, the keys that are not as usual."""

    def of(self, action: str) -> list[str]:
        """The keys of an action."""
        return (self.changed.get(action) or ACTIONS[action].keys).split(",")

    def __getitem__(self, action: str) -> str:
        """The first key of an action, for people."""
        return shown(self.of(action)[0])


def shown(key: str) -> str:
    """A key for people: `ctrl+n` is Ctrl+N."""
    parts = [_SHOWN.get(part, part.capitalize() if len(part) > 1 else part) for part in key.split("+")]
    if len(parts) > 1:
        parts[-1] = parts[-1].upper() if len(parts[-1]) == 1 else parts[-1]
    return "+".join(parts)


def _listed(keys: Any) -> list[str]:
    given = keys.split(",") if isinstance(keys, str) else list(keys)
    return [_normal(key) for key in given]


def _normal(key: str) -> str:
    """As Textual spells it."""
    key = key.strip()
    *modifiers, last = key.split("+") if key not in {"+", ""} else [key]
    last = _SIGNS.get(last, last) if len(last) == 1 else last.lower()
    return "+".join([*(modifier.lower() for modifier in modifiers), last])


def check(changes: Any) -> None:
    """Raises UsageError for an unknown action, a key that there is not, or one that two actions would share."""
    for name, keys in changes.items():
        if name not in ACTIONS:
            near = difflib.get_close_matches(name, ACTIONS, n=1)
            told = f"did you mean {near[0]}?" if near else f"known: {', '.join(ACTIONS)}"
            raise UsageError(f"there is no action {name!r}; {told}")
        if not isinstance(keys, str) and not (isinstance(keys, list) and all(isinstance(key, str) for key in keys)):
            raise UsageError(f"{name} expects a key such as ctrl+n, or a list of them, got {keys!r}")
        if not (listed := _listed(keys)) or "" in listed:
            raise UsageError(f"{name} expects a key such as ctrl+n, got none")
        for key in listed:
            _check_key(ACTIONS[name], key)
    _check_clashes(Keys(changes), changes)


def _check_key(action: Action, key: str) -> None:
    *modifiers, last = key.split("+")
    known = last in _NAMED or last in _SIGNS.values() or re.fullmatch(r"[A-Za-z0-9]|[^\w\s,+]", last)
    if not known or any(modifier not in _MODIFIERS for modifier in modifiers):
        raise UsageError(f"{action.name}: there is no key {key!r}; such as ctrl+n, f5, alt+left, pageup")
    if key in _SAME:
        raise UsageError(f"{action.name}: a terminal can't tell {key} from {_SAME[key]}")
    letter = last not in _NAMED or last == "space"
    if letter and not set(modifiers) - {"shift"} and action.where in _TYPING:
        raise UsageError(f"{action.name}: {key} is typed into the text there; take ctrl+…, alt+… or a function key")


def _check_clashes(keys: Keys, changed: Iterable[str]) -> None:
    for places in TOGETHER:
        owners: dict[str, str] = {}
        for action in ACTIONS.values():
            for key in keys.of(action.name) if action.where in places else ():
                other = owners.setdefault(key, action.name)
                if other != action.name and {other, action.name} & set(changed):
                    raise UsageError(f"{key} would be both {other} and {action.name}")
