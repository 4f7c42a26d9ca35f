"""Which of our two languages a text is in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.schema import Language

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
"""One Chinese character."""
_SAMPLE = 20_000
"""Characters looked at: enough to tell, quick on a book."""


def language_of(text: str) -> Language:
    """`zh` if the text has at least one Chinese character for every four Latin letters."""
    text = text[:_SAMPLE]
    han = len(HAN.findall(text))
    return "zh" if han and han * 4 >= sum(c.isascii() and c.isalpha() for c in text) else "en"
