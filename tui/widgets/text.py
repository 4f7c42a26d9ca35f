"""Text for the screen: what a model or a file says must not steer the terminal; figures in few characters."""

from __future__ import annotations

_HIDDEN = {code: "�" for code in (*range(32), 127, *range(128, 160)) if code not in {9, 10}} | {13: None}
_HALVES = dict.fromkeys(range(0xD800, 0xE000), "�")
"""Of characters: a name that is no UTF-8 has them, and no terminal takes them."""
_BIDI = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)))
_TABLE: dict[int, str | None] = {**_HIDDEN, **_HALVES, **_BIDI}


_IN_PLACE = {**_HIDDEN, 13: "�", **_HALVES, **dict.fromkeys(_BIDI, "�")}


def in_place(text: str) -> str:
    """The same for a text that is being changed: each character stays where it is."""
    return text.translate(_IN_PLACE)


def visible(text: str) -> str:
    """The text without control characters; tabs and line ends stay."""
    return text.translate(_TABLE)


def one_line(text: str, width: int) -> str:
    """The text on one line, cut with an ellipsis."""
    flat = " ".join(visible(text[: width * 8]).split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def count(number: int) -> str:
    """1234 as 1.2k."""
    return str(number) if number < 1000 else f"{number / 1000:.1f}k" if number < 100_000 else f"{number // 1000}k"
