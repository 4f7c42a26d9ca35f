"""The app's words in the user's language: one table a language, the same keys and placeholders in each."""

from __future__ import annotations

from typing import Any

from engine.schema import Language
from tui.keymap import Keys
from tui.strings import en, zh

TABLES: dict[Language, dict[str, str]] = {"en": en.TEXTS, "zh": zh.TEXTS}


class Count(int):
    """A number in a text. English says what it counts: `{count:message}` is `1 message`, or `2 messages`."""

    def __format__(self, name: str) -> str:
        return f"{int(self)} {name}{'s' * (self != 1)}" if name else str(int(self))


class Strings:
    """The words of one language, with the keys of this run where they name any."""

    def __init__(self, language: Language, keys: Keys | None = None) -> None:
        self.language, self.keys = language, keys or Keys()
        self._table = TABLES[language]

    def __call__(self, key: str, /, **values: Any) -> str:
        """The text of a key with its places filled. An unknown key is a mistake of ours: KeyError."""
        text = self._table[key]
        if not values and "{key[" not in text:
            return text
        values = {name: Count(value) if isinstance(value, int) else value for name, value in values.items()}
        return text.format(key=self.keys, **values)

    def error(self, message: str) -> str:
        """What the engine says of an error, in the user's language where it is known there."""
        if self.language == "en":
            return message
        from tui.strings.sentences import translated

        return translated(message)

    def get(self, key: str, otherwise: str) -> str:
        """The text of a key that may not be there."""
        return self._table.get(key, otherwise)
