"""What overlap is counted in: words, and each Chinese character by itself, in one order for mixed text."""

from __future__ import annotations

import re

from engine.language import HAN

_UNIT = re.compile(rf"{HAN.pattern}|(?:(?!{HAN.pattern})[^\W_])+")


def units(text: str) -> list[str]:
    """Lower-cased words and single Chinese characters; punctuation is dropped."""
    return _UNIT.findall(text.lower())
