"""Names of models: which are safe as folder names on every system, and which ones a person may have meant."""

from __future__ import annotations

import difflib
import unicodedata
from typing import TYPE_CHECKING

from engine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_NAME_BYTES = 120
"""In UTF-8: leaves room for the prefix and suffix of a temporary sibling within 255."""
_WINDOWS_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(10))}
_RESERVED = {"default", "default.json"}


def safe_name(name: str) -> str:
    """The name in NFC, if it can be a folder on every system. Raises UsageError."""
    name = unicodedata.normalize("NFC", name)
    rule = "a model's name has letters, digits, '.', '_', '+' and '-', and begins with a letter or digit"
    if not name or not name[0].isalnum() or not all(c.isalnum() or c in "._+-" for c in name):
        raise UsageError(f"{name!r} can't be a model's name: {rule}")
    if name.endswith(".") or name.casefold() in _RESERVED or name.split(".")[0].casefold() in _WINDOWS_DEVICES:
        raise UsageError(f"{name!r} can't be a model's name: it means something else to this program or to Windows")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise UsageError(f"the model's name is too long: {len(name.encode())} bytes, at most {MAX_NAME_BYTES}")
    return name


def to_name(text: str) -> str:
    """A safe name made of any text, such as a file's stem. Raises UsageError if nothing of it can be used."""
    text = unicodedata.normalize("NFC", text).casefold()
    name = "".join(c if c.isalnum() or c in "._+-" else "-" for c in text).strip("._+-")
    return safe_name(name)


def matches(wanted: str, known: Mapping[str, Iterable[str]]) -> list[str]:
    """The names that a word means: the one it is (or is an alias of), else all that contain it.

    `known` maps each name to its aliases. Case does not count.
    """
    word = unicodedata.normalize("NFC", wanted).strip().casefold()
    exact = [name for name in known if name.casefold() == word]
    exact = exact or [name for name, aliases in known.items() if word in {alias.casefold() for alias in aliases}]
    if exact or not word:
        return exact
    return [name for name in known if word in name.casefold()]


def nearest(wanted: str, known: Iterable[str]) -> list[str]:
    """Up to three names that look like the wanted one, the likest first."""
    by_key = {name.casefold(): name for name in known}
    return [by_key[key] for key in difflib.get_close_matches(wanted.casefold(), by_key, n=3, cutoff=0.4)]
