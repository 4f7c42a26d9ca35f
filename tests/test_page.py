"""A web page's text: what is seen and what is not, on the lines of its source, in linear time, whatever it holds."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.tasks.breaks import numbered, shown
from engine.tasks.page import text_of
from engine.tasks.tags import pieces

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>Ferries &amp; tides</title>
  <style>p::after { content: "<p>styled</p>" }</style>
  <script>
    document.write("<p>written</p>")
  </script>
</head>
<body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/about">About</a></li></ul></nav>
<h1>The ferry <a class="headerlink" href="#the-ferry">¶</a></h1>
<p>It leaves at <b>nine</b>&nbsp;o'clock, from the
   <a href="https://example.org/pier?id=7">old pier</a>.</p>
<!-- <p>It leaves at ten.</p> -->
<ul>
  <li>Bring a <em>coat</em>.</li>
  <li>Be early.
    <ol start="3"><li>Park</li><li>Walk</li></ol>
  </li>
</ul>
<table>
  <tr><th>Day</th><th>Price</th></tr>
  <tr>
    <td>Monday</td>
    <td>7&nbsp;&euro;</td>
  </tr>
</table>
<pre><code>def fare(day):
    if day &lt; 6:

        return 7
</code></pre>
<p hidden>Nobody sees this.</p><p style="display: none">Nor this.</p>
<p>Dogs are<br>free.</p>
<footer>© 2026 The harbour</footer>
</body>
</html>
"""
SEEN = """Ferries & tides

# The ferry

It leaves at nine o'clock, from the
old pier.

- Bring a coat.
- Be early.
  3. Park
  4. Walk

Day | Price
Monday | 7 €

def fare(day):
    if day < 6:

        return 7

Dogs are
free."""
OF_PAGES = st.lists(
    st.sampled_from(
        [
            "<p>", "</p>", "<div hidden>", "</div>", "<div>", "<nav>", "</nav>", "<main>", "</main>", "<pre>", "</pre>",
            "<ul>", "<li>", "</ul>", "<ol>", "<table>", "<tr>", "<td>", "</td>", "</tr>", "</table>", "<br>", "<h2>",
            "</h2>", "<script>", "</script>", "<title>", "</title>", "<!--", "-->", "<a\nhref='", "'>", '"', "<", ">",
            "word", " ", "\n", "\n\n", "&amp;", "&#10;", "&", "词", "\x1e", "\u2028", "<svg/>", "</", "<!x>", "\t",
        ]
    ),
    max_size=60,
).map("".join)  # fmt: skip


def seen(html: str) -> str:
    return shown(text_of(html)).strip()


def line_of(html: str, words: str) -> int:
    """The line that a text is said to stand on."""
    return next(number for number, line in numbered(text_of(html)) if words in line)


def test_a_page_is_read_as_a_reader_sees_it() -> None:
    assert seen(PAGE) == SEEN


def test_all_on_one_line_it_reads_the_same() -> None:
    code = PAGE[PAGE.index("<pre>") : PAGE.index("</pre>")]
    before, _, after = PAGE.partition(code)
    one = " ".join(before.split()) + code.replace("\n", "<br>") + " ".join(after.split())
    assert seen(one) == SEEN.replace("from the\nold", "from the old")
    assert {number for number, _ in numbered(text_of(one))} == {1}


@pytest.mark.parametrize(
    "words",
    ["Ferries &amp; tides", "nine", "old pier", "Bring a", "Park", "Day", "Monday", "def fare", "return 7", "Dogs"],
)
def test_every_text_stands_on_its_line_of_the_source(words: str) -> None:
    lines = PAGE.split("\n")
    expected = next(number for number, line in enumerate(lines, 1) if words in line)
    assert line_of(PAGE, words.replace("&amp;", "&")) == expected


@given(OF_PAGES)
@example("<p>a<b\n\n>b</b></p>\n<p>c")
@example("<nav>\n<li>\n</nav>x\n<div hidden>\n<nav>y</div>\n</nav>z")
@example("<main>a\n</main>\nb<main>\n<pre>\n c</pre></main>\n")
@example("<main>a<div hidden>b<main>c</main></main>d</div>e")
def test_lines_are_neither_lost_nor_made(html: str) -> None:
    text = text_of(html)
    assert not text or text.count("\n") == html.count("\n")
    assert "".join(piece.source for piece in pieces(html)) == html
    assert "\u2028" not in text


@given(st.lists(st.sampled_from(["one", "two", "\n", " "]), max_size=30).map("".join))
def test_words_without_tags_stay_where_they_are(words: str) -> None:
    read = list(numbered(text_of(f"<p>{words}")))
    expected = [" ".join(line.split()) for line in words.split("\n")]
    assert [(number, line) for number, line in read if line.strip()] == [
        (number, line) for number, line in enumerate(expected, 1) if line
    ]


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One<p>Two<p>Three", "One\n\nTwo\n\nThree"),  # nothing is closed
        ("<ul><li>One<li>Two</ul>After", "- One\n- Two\n\nAfter"),
        ("<tr><td>a<td>b<tr><td>c<td>d", "a | b\nc | d"),
        ("<table><tr><td><h2>Big</h2></td><td><p>one<p>two</td><td>three</td></tr></table>",
         "## Big | one\n\ntwo\nthree"),  # a table that only places things
        ("<nav>Home<p>All there is", "Home\n\nAll there is"),  # never closed, so not left out
        ("<nav>Only</nav><footer>links</footer>", "Only\n\nlinks"),
        ("<p>in<b>side</b> a<i> word</i>", "inside a word"),
        ("<p>1 < 2 <3 & 4 &lt; 5 &notanentity; &#x4e2d;</p>", "1 < 2 <3 & 4 < 5 ¬anentity; 中"),
        ("<p>a <b", "a <b"),
        ("<p>a<script>b", "a"),
        ("<title>x<p>y", "x\n\ny"),
        ("<p title='a > b'>c</p><p title=\"d>e\">f</p>", "c\n\nf"),
        ("<p title=\"never closed>g</p><p>h</p>", "g\n\nh"),
        ("<!-- never closed <p>a</p>", "a"),
        ("<p>a</p><!-- b --><!--><p>c</p>", "a\n\nc"),
        ("<pre>\n  two\n    four\n</pre>", "two\n    four"),
        ("<p>code</p><pre>    indented\n\tafter</pre>", "code\n\n    indented\n\tafter"),
        ("<p>so&shy;ft&nbsp;and&#8203;wide&NewLine;x</p>", "soft andwide x"),
        ("<article><p>a</p><footer>by Ann</footer></article><footer>ads</footer>", "a\n\nby Ann"),
        ("<main><p>a</p><aside>note</aside></main><aside>ads</aside>", "a\n\nnote"),
        ("<div>menu of all pages</div><main>What it is about, at length.</main><div>more</div>",
         "What it is about, at length."),
        ("<div>What it is about, at length.</div><main>ad</main>", "What it is about, at length.\n\nad"),
        ("<math alttext='x^2'><mi>x</mi><mn>2</mn><annotation>x^2</annotation></math> is", "x^2 is"),
        ("<p>E is <img class='mwe-math' alt='mc^2' src='data:image/png;base64,AAAA'>.", "E is mc^2."),
        ("<p>A <img alt='a picture' src='x.png'> B", "A B"),
        ("<h1></h1><p>no mark", "no mark"),
        ("<svg><title>icon</title><text>drawn</text></svg><p>a", "a"),
        ("<p>a<template><p>b</template>c", "ac"),
        ("<select><option>Zimbabwe</select><button>Open</button>", "Open"),
        ("<title>App</title><div id=root></div><script>run()</script>", ""),  # a script writes it
        ("", ""),
    ],
)  # fmt: skip
def test_what_pages_are_made_of(html: str, text: str) -> None:
    assert seen(f"<html>{html}") == text


def test_xhtml_may_close_what_it_opens() -> None:
    assert seen('<?xml version="1.0"?><html><script src="x"/><title>T</title><p>seen</p></html>') == "T\n\nseen"


N = 50_000


@pytest.mark.parametrize(
    "html",
    [
        "<" * N, "<a " * N, "<a " * N + ">", '<a =">"' * N, "<a b='\">" * N, "<!--" * N + ">", "</" * N + ">",
        "<div>" * N + "x" + "</div>" * N, "<nav>" * N + "x" + "</p>" * N, "<nav><aside hidden>" * N + "</div>" * N,
        "<ul><li>" * N + "x", "<h1>" * N, "<script>" * N, "<noscript>" * N, "<main>x" * N + "</main>" * N,
        "<main>x</main><p hidden>y</p>" * N, "<table><tr><td>" * N, "<a " + "= " * N + ">", "&" * N, "&#x41;" * N,
        "<p>" + " " * N + "x", "<pre>x" + "\n" * N + "y", "<p>" + "words on one line " * N,
        "<img src='" + "A" * N + "'>",
    ],
    ids=lambda html: html[:24],
)  # fmt: skip
def test_hostile_pages_take_linear_time(html: str) -> None:
    started = time.process_time()
    text = text_of(html)
    assert time.process_time() - started < 10  # a second or less; what is quadratic takes hours
    assert not text or text.count("\n") == html.count("\n")
