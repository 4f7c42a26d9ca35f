"""Markdown without addresses: what a reader sees stays, code and lines too, and plain text is left alone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from asked import Asked
from hypothesis import given
from hypothesis import strategies as st

from engine.config import SamplingConfig
from engine.schema import Coverage, Document, SummaryPart
from engine.tasks.addresses import without_addresses
from engine.tasks.extract import extract
from engine.tasks.summarize import summarize

if TYPE_CHECKING:
    from engine.session import Session

README = """# Fancy

[![CI](https://ci.example.org/x/badge.svg)](https://ci.example.org/x) [![PyPI][badge]][pypi]

<p align="center">
  <a href="https://example.org"><img src="https://example.org/logo.png" width="300"></a>
</p>

Fancy reads [CSV files](https://en.wikipedia.org/wiki/Comma_(sign) "commas") and draws ![a plot](docs/plot.png).
它读取[表格文件](docs/表格.md)。<!-- todo -->

```python
row = rows["a"](fancy.read)  # [not a link](https://example.org)
```

`[code](docs/x.md)` stays, and so do rows[0](self.x), [x](y), <https://example.org> and a footnote.[^1]

[badge]: https://img.example.org/pypi.svg
[pypi]: https://pypi.example.org/fancy "Fancy"
[^1]: See [the docs](docs/README.md).
"""
READ = """# Fancy





Fancy reads CSV files and draws a plot.
它读取表格文件。

```python
row = rows["a"](fancy.read)  # [not a link](https://example.org)
```

`[code](docs/x.md)` stays, and so do rows[0](self.x), [x](y), <https://example.org> and a footnote.[^1]



[^1]: See the docs.
"""


def test_addresses_badges_and_layout_are_left_out_line_by_line() -> None:
    assert without_addresses(README).count("\n") == README.count("\n")
    assert [line for line in without_addresses(README).split("\n") if line] == [
        line for line in READ.split("\n") if line
    ]
    places = {line: number for number, line in enumerate(README.split("\n"))}
    for number, line in enumerate(without_addresses(README).split("\n")):
        assert not line or line not in places or places[line] == number


@pytest.mark.parametrize(
    "text",
    [
        "A line with <b>a tag</b>, <p class='x'>another</p> and no link.",
        "x = handlers[name](argument)\ny = table[0](self.row, 1)\nz = [f](x)",
        "Cited as [1], [2] and [Smith 2020]. Note: [sic].",
        "````\n```\n[a](b.md)\n```\n````\n~~~ js\n[a](b.md)\n~~~",
        "<!doctype html>\n<p>An <a href='x.html'>anchor</a>.</p>",
        "",
        "[![badge](https://example.org/a.svg)](https://example.org)\n",  # nothing else
    ],
)
def test_what_has_no_addresses_of_markdown_stays_as_it_is(text: str) -> None:
    assert without_addresses(text) == text


@given(st.lists(st.sampled_from([*'[]()!`<>\n:/ab. "', "](", "![", "<!--", "-->", "```", "[a](b.c)"]), max_size=40))
def test_no_line_is_lost(parts: list[str]) -> None:
    text = "".join(parts)
    assert without_addresses(text).count("\n") == text.count("\n")


@pytest.mark.parametrize(
    "line", ["[", "![", "[a](", "`", "<a ", "<!--", "[a]((", "[![](a", "[a](x '", "[a](a.", "` `` "]
)
def test_hostile_lines_take_their_time_once(line: str) -> None:
    text = "](\n" + (line * 4999)[:4999] + "\n" + line * 500_000
    started = time.process_time()
    without_addresses(text)
    assert time.process_time() - started < 3


def test_a_summary_is_made_of_what_a_reader_sees(tiny_session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked().watch(tiny_session, monkeypatch)
    text = README + "\n".join(f"Line {n} leads [there](https://example.org/{n}) and back.\n" for n in range(200))
    sampling = SamplingConfig(max_tokens=8, temperature=0)
    events = list(summarize(tiny_session, Document("README.md", text), sampling=sampling, bullets=True))
    assert not [prompt for prompt in asked.texts if "example.org/1" in prompt or "badge.svg" in prompt]
    parts = [event for event in events if isinstance(event, SummaryPart)]
    assert (parts[0].first_line, parts[-1].last_line) == (1, text.count("\n"))
    assert [event.lines_total for event in events if isinstance(event, Coverage)] == [text.count("\n")]
    taken = list(extract(tiny_session, Document("README.md", text), length="short"))
    assert not [part for part in taken if isinstance(part, SummaryPart) and "https://example.org/1" in part.text]
