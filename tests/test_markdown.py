"""Markdown that grows: what has settled never changes, the last block is repainted, and no text is lost."""

from __future__ import annotations

import random

import pytest

from tui.cli import markdown
from tui.cli.markdown import LiveMarkdown, render, settled_length

TEXT = """# Title

Hello **bold** <b>html</b> text.

1. one
2. two

   still two

3. three

```python
for i in range(3):

    print(i)
```
after the code

| a | b |
|---|---|
| 1 | 2 |

你好，**世界**。
"""


def painted(text: str, sizes: list[int], *, live: bool) -> str:
    out: list[str] = []
    view = LiveMarkdown(out.append, color=False, live=live)
    position = 0
    for size in sizes:
        view.write(text[position : position + size])
        position += size
    view.write(text[position:])
    view.close()
    return "".join(out)


class Screen:
    """As much of a terminal as the painter uses: lines, cursor up, erase to the end."""

    def __init__(self, rows: int) -> None:
        self.lines: list[str] = [""]
        self.row = 0
        self.rows = rows
        self.tallest = 0

    def write(self, text: str) -> None:
        import re

        for part in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|\n|\r)", text):
            if part == "\n":
                self.row += 1
                if self.row == len(self.lines):
                    self.lines.append("")
            elif (up := re.fullmatch(r"\x1b\[(\d+)A", part)) is not None:
                self.tallest = max(self.tallest, int(up[1]))
                self.row -= int(up[1])
                assert self.row >= 0
                assert int(up[1]) < self.rows, "the cursor can't go above the screen"
            elif part == "\x1b[J":
                del self.lines[self.row + 1 :]
                self.lines[self.row] = ""
            elif part and not part.startswith("\x1b") and part != "\r":
                self.lines[self.row] += part

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@pytest.mark.parametrize("seed", range(8))
def test_any_cutting_into_pieces_settles_to_the_same_text(seed: int) -> None:
    random.seed(seed)
    sizes = [random.randint(1, 6) for _ in TEXT]
    assert painted(TEXT, sizes, live=False) == painted(TEXT, [1] * len(TEXT), live=False)


@pytest.mark.parametrize("seed", range(4))
def test_what_stays_on_the_screen_is_what_settled(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown, "_INTERVAL", 0.0)
    random.seed(seed)
    screen = Screen(rows=24)
    screen.write(painted(TEXT, [random.randint(1, 6) for _ in TEXT], live=True))
    still = Screen(rows=24)
    still.write(painted(TEXT, [1] * len(TEXT), live=False))
    assert screen.text == still.text


def test_a_block_taller_than_the_screen_never_moves_the_cursor_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown, "_INTERVAL", 0.0)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "10")
    text = "```\n" + "".join(f"line {number}\n" for number in range(50)) + "```\n"
    screen = Screen(rows=10)
    screen.write(painted(text, [7] * (len(text) // 7), live=True))
    assert screen.tallest == 9
    assert [line.strip() for line in screen.lines if line.strip()] == [f"line {number}" for number in range(50)]


def test_a_fence_settles_only_when_it_is_closed() -> None:
    assert settled_length("```\ncode\n\nmore\n") == 0
    assert settled_length("```\ncode\n\nmore\n```\n") == len("```\ncode\n\nmore\n```\n")
    assert settled_length("~~~\n```\n\n") == 0


def test_a_paragraph_settles_when_the_next_block_begins() -> None:
    assert settled_length("one\n\n") == 0
    assert settled_length("one\n\ntwo") == len("one\n\n")
    assert settled_length("- one\n\n  still one") == 0


def test_a_line_separator_within_a_paragraph_ends_no_line() -> None:
    assert settled_length("one\u2028still one\n\nTwo") == len("one\u2028still one\n\n")


def test_html_and_control_characters_are_text() -> None:
    assert "<script>x</script>" in render("a <script>x</script>", 60, color=False)
    out = painted("bad \x1b]0;title\x07 end\n", [3, 3], live=False)
    assert "\x1b]" not in out
    assert "\x07" not in out


def test_wide_characters_are_wrapped_within_the_width() -> None:
    from rich.cells import cell_len

    lines = render("人工智能" * 40, 30, color=False).split("\n")
    assert len(lines) > 5
    assert all(cell_len(line) <= 30 for line in lines)
