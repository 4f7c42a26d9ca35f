"""What the command line and the engine say in sentences, in Chinese: errors, notes, questions, lines of tables.

The code speaks English alone; here its sentences are known by their form, and one that is not stays as it is. What
stands in a sentence may be one itself: `x could not be fetched: the hub can't be reached`. `{1!s}` keeps what a person
wrote from being taken for one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property

from tui.strings.sentences_zh import (
    answers,
    chats,
    files,
    general,
    installation,
    measures,
    model_files,
    models,
    schemas,
    search,
    servers,
    settings,
    training,
)

_TABLES = (
    answers, chats, training, measures, installation, search, servers, settings, schemas, models, model_files, files,
    general,
)  # fmt: skip
"""The first form that fits is the one that counts: from what is special to what is general."""
_LISTS = ((r"(.+?) · (.+)", "{1} · {2}"),)
_GENERIC = ((r"(.+?): (\w+): (.+)", "{1}：{2}：{3}"), (r"(.+?): (.+)", "{1}：{2}"))
"""A name and what is wrong with it: only where the latter is known."""
_LITERAL = re.compile(r"(?:[\w ,:;=<>/'\"…·%!-]|\\[.()?])*(?![?*+{|])")
"""What every sentence of a form begins with."""


class _Form:
    """A sentence with places, compiled when it may be the one that is looked for."""

    def __init__(self, form: str, text: str) -> None:
        self.form, self.text = form, text
        self._start = re.sub(r"\\(.)", r"\1", _LITERAL.match(form)[0])  # type: ignore[index]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(self.form, re.DOTALL)

    def parts(self, sentence: str) -> tuple[str, ...] | None:
        """What stands in its places, if the sentence is of this form."""
        found = self._pattern.fullmatch(sentence) if sentence.startswith(self._start) else None
        return found and tuple(part or "" for part in found.groups())


class _Part(str):
    """What stands in a sentence: said in Chinese where it is a sentence itself; `!s` takes it as it is."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        return _said(str(self))


def _forms(table: Iterable[tuple[str, str]]) -> tuple[_Form, ...]:
    return tuple(_Form(form, text) for form, text in table)


FORMS = _forms((*(form for table in _TABLES for form in table.FORMS), *files.REASONS))
_LAST, _AND = _forms(_GENERIC), _forms(_LISTS)


def translated(sentence: str) -> str:
    """The sentence in Chinese, or as it is where its form is not known."""
    for form in FORMS:
        if (parts := form.parts(sentence)) is not None:
            return form.text.format(sentence, *map(_Part, parts))
    for form in _LAST:
        if (parts := form.parts(sentence)) and (known := _said(parts[-1])) != parts[-1]:
            return form.text.format(sentence, *parts[:-1], known)
    for form in _AND:
        if parts := form.parts(sentence):
            return form.text.format(sentence, *map(_Part, parts))
    return sentence


def _said(part: str) -> str:
    """What stands in a sentence: another sentence, a reason, or a name, which stays."""
    return translated(part) if " " in part else part
