"""Which documents are web pages: they are read as the text that a reader sees, where nobody asks for their source."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal

from engine.errors import InputError
from engine.schema import Document

HtmlChoice = Literal["page", "source"]
_NAMES = (".html", ".htm", ".xhtml", ".xht")
_BEGINS = re.compile(r"<!doctype\s+html\b|<html[\s>]", re.IGNORECASE)
_SEEN = re.compile(r"[^\s\ufeff]")
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,1000}>")


def page_of(document: Document, choice: HtmlChoice | None = None) -> Document | None:
    """A page as its text, with the line numbers of its source; None if it is none or its source is asked for.

    Raises InputError for a page that has no text, as one that a script writes.
    """
    if choice == "source" or not (choice == "page" or is_page(document.name, document.text)):
        return None
    from engine.tasks.page import text_of

    text = text_of(document.text)
    if not text:
        raise InputError(
            f"{document.name} is a web page without text: a script may write it",
            hint="save the page from a browser; or --html source reads it as it is",
        )
    return replace(document, text=text, page=True)


def is_page(name: str, text: str) -> bool:
    """Whether a text says itself that it is HTML, or is called so and has tags."""
    return bool(_BEGINS.match(text, _start(text))) or (name.lower().endswith(_NAMES) and _TAG.search(text) is not None)


def _start(text: str) -> int:
    """Where a text begins behind white space, comments and what XML declares."""
    at = 0
    while True:
        seen = _SEEN.search(text, at)
        at = seen.start() if seen else len(text)
        opener, closer = ("<!--", "-->") if text.startswith("<!--", at) else ("<?xml", "?>")
        end = text.find(closer, at) if text.startswith(opener, at) else -1
        if end < 0:
            return at
        at = end + len(closer)
