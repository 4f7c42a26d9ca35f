"""Web pages as documents: which files are taken for one, what commands make of them, and that lines are the file's."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from app_pilot import ask, make_app, running, say, settled, wait_until
from cli_process import llm, told
from test_page import PAGE, SEEN

from engine.config import SamplingConfig
from engine.errors import InputError
from engine.schema import Citation, Coverage, Document, SummaryPart
from engine.tasks.answer import block
from engine.tasks.breaks import shown
from engine.tasks.cite import cite
from engine.tasks.cut import cut_documents
from engine.tasks.extract import sentences_of
from engine.tasks.passages import length, split
from engine.tasks.search import best_line
from engine.tasks.summarize import summarize
from tui.app import LlmApp
from tui.pages import is_page, page_of

if TYPE_CHECKING:
    from pathlib import Path

    from engine.schema import Language
    from engine.session import Session

SHORT = ("--max-tokens", "4", "--temperature", "0", "--threads", "1")
NOTE = "page.html: a web page, read as its text; --html source reads it as it is"
MANY = "<!doctype html><title>Harbour</title>" + "".join(f"<p>Ferry {n} leaves from pier {n}.</p>" for n in range(300))
"""All of it on one line."""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.html"
    path.write_text(PAGE, encoding="utf-8")
    return path


def read(text: str, name: str = "page.html") -> Document:
    found = page_of(Document(name, text))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("stdin", "<!doctype html><p>a", True),
        ("stdin", "\n<!-- saved from url=(0020)https://example.org -->\n<HTML lang=en>", True),
        ("notes.txt", '<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x">\n', True),
        ("a.html", "<p>a fragment</p>", True),
        ("A.HTM", "see <b>this</b>", True),
        ("a.html", "no tags, 1 < 2 and 3 > 2", False),
        ("notes.txt", "see <b>this</b>", False),
        ("README.md", '<p align="center"><img src="x.png"></p>\n# Title', False),
        ("notes.md", "How a page begins: `<!doctype html>`", False),
        ("feed.xml", '<?xml version="1.0"?><rss><channel/></rss>', False),
        ("a.txt", "<htmlx>", False),
        ("a.txt", "<!-- never closed <html>", False),
        ("a.txt", "", False),
    ],
)
def test_a_page_is_known_by_how_it_begins_or_by_its_name(name: str, text: str, expected: bool) -> None:
    assert is_page(name, text) is expected
    assert (page_of(Document(name, text), "source")) is None


def test_a_long_row_of_comments_is_looked_through_once() -> None:
    assert is_page("stdin", "<!-- -->" * 100_000 + "<html>")
    assert not is_page("stdin", "<!-- -->" * 100_000 + "x")
    assert is_page("stdin", "\ufeff" + " \n" * 1_000_000 + "<html>")
    assert not is_page("stdin", " \n" * 1_000_000)


def test_a_page_without_text_says_how_to_get_on() -> None:
    with pytest.raises(InputError, match="without text") as caught:
        page_of(Document("app.html", "<!doctype html><title>App</title><div id=root></div>"))
    assert "--html source" in str(caught.value.hint)


# What tasks make of the lines


def test_a_model_is_shown_newlines_and_no_gaps_of_what_is_left_out() -> None:
    asked = block(read(PAGE))
    assert "\n\n\n" not in asked.replace("day < 6:\n\n", "")
    assert "\x1e" not in asked + block(read(MANY))
    assert "pier 7.\n\nFerry 8" in block(read(MANY))


def test_an_answer_cites_the_line_of_the_source() -> None:
    [cited] = cite("Monday 7 €", "what does it cost?", [read(PAGE)])
    assert cited.text == "Monday | 7 €"
    assert "Monday" in PAGE.split("\n")[cited.line - 1]
    assert cite("pier 123", "from where?", [read(MANY)]) == [
        Citation("page.html", 1, "Ferry 123 leaves from pier 123.")
    ]


def test_a_page_on_one_line_is_cut_between_its_paragraphs() -> None:
    passages = split(read(MANY).text, length, 60)
    assert len(passages) > 20
    assert all(shown(passage.text).strip().endswith(".") for passage in passages)
    assert {(passage.first_line, passage.last_line) for passage in passages} == {(1, 1)}
    assert best_line("pier 77", read(MANY).text, 1) == (1, "Ferry 77 leaves from pier 77.")
    [kept], coverage = cut_documents([read(MANY)], length, 60, "head")
    assert shown(kept.text).startswith("Harbour\n\nFerry 0 leaves from pier 0.\n\nFerry 1")
    assert (coverage.lines_read, coverage.lines_total, coverage.unread_lines) == (1, 1, ())
    assert (coverage.partly_read, coverage.complete) == (((1, 1),), False)
    assert [sentence.text for sentence in sentences_of(read(MANY).text)][1] == "Ferry 0 leaves from pier 0."


def test_bullets_name_the_lines_of_the_source(tiny_session: Session) -> None:
    rows = "\n".join(f"<tr>\n<td>pier {n}</td>\n<td>ferry {n}</td>\n</tr>" for n in range(400))
    document = read(f"<!doctype html>\n<script>\n\n</script>\n<table>\n{rows}\n</table>\n")
    sampling = SamplingConfig(max_tokens=8, temperature=0)
    events = list(summarize(tiny_session, document, sampling=sampling, bullets=True))
    parts = [event for event in events if isinstance(event, SummaryPart)]
    assert (parts[0].first_line, parts[-1].last_line) == (7, 7 + 399 * 4)
    assert [event.lines_total for event in events if isinstance(event, Coverage)] == [5 + 1600 + 1]
    whole = read("<!doctype html>\n\n<p>One.</p>\n\n\n<p>Two.</p><p>Three.</p>\n")
    events = list(summarize(tiny_session, whole, sampling=sampling, bullets=True))
    assert [(part.text, part.first_line) for part in events if isinstance(part, SummaryPart)] == [
        ("One.", 3), ("Two.", 6), ("Three.", 6)
    ]  # fmt: skip


# Commands


def test_ask_shows_what_the_model_would_see(tiny_model_home: Path, page: Path) -> None:
    done = llm(tiny_model_home, "ask", "When?", "-f", "page.html", "--dry-run", cwd=page.parent)
    assert "# The ferry\n\nIt leaves at nine o'clock" in done.stdout.decode()
    assert b"<p>" not in done.stdout
    assert NOTE in told(done)
    zh = llm(tiny_model_home, "ask", "When?", "-f", str(page), "--dry-run", env={"LANG": "zh_CN.UTF-8"})
    assert "网页，按正文读取" in zh.stderr.decode()
    asked = ("ask", "Why does it overflow?", "-f", "page.html", "--html", "source", "--dry-run")
    source = llm(tiny_model_home, *asked, cwd=page.parent)
    assert PAGE.strip() in source.stdout.decode()
    assert not [line for line in told(source) if "web page" in line]


def test_a_page_comes_through_stdin_too(tiny_model_home: Path) -> None:
    done = llm(tiny_model_home, "summarize", "-", *SHORT, "--length", "long", stdin=PAGE.encode())
    assert done.stdout.decode().startswith("Ferries & tides\n\n# The ferry")  # no longer than its summary
    assert "stdin: a web page, read as its text; --html source reads it as it is" in told(done)
    quiet = llm(tiny_model_home, "tokens", "-q", stdin=PAGE.encode())
    source = llm(tiny_model_home, "tokens", "-q", "--html", "source", stdin=PAGE.encode())
    assert int(quiet.stdout) < int(source.stdout) / 2
    assert quiet.stderr == b""
    fragment = llm(tiny_model_home, "tokens", "--html", "page", stdin=b"<p>a</p><script>b</script>")
    assert (int(fragment.stdout), fragment.stderr) == (int(llm(tiny_model_home, "tokens", "a").stdout), b"")


def test_rows_are_the_lines_that_are_seen(tiny_model_home: Path, page: Path) -> None:
    arguments = ("embed", "-f", "page.html", "--threads", "1")
    done = llm(tiny_model_home, *arguments, "--per", "line", cwd=page.parent)
    texts = [json.loads(line)["text"] for line in done.stdout.decode().splitlines()]
    assert {"Ferries & tides", "Monday | 7 €", "- Be early."} < set(texts)
    whole = llm(tiny_model_home, *arguments, cwd=page.parent)
    assert (
        json.loads(whole.stdout)["embedding"]
        == json.loads(llm(tiny_model_home, "embed", "--threads", "1", stdin=f"\n{SEEN}\n".encode()).stdout)["embedding"]
    )


def test_a_translation_keeps_a_pages_marks(tiny_model_home: Path, page: Path) -> None:
    done = llm(tiny_model_home, "translate", "page.html", *SHORT, cwd=page.parent)
    assert done.stdout.startswith(b"<!DOCTYPE html>\n<html")
    assert not [line for line in told(done) if "web page" in line]
    assert llm(tiny_model_home, "translate", "page.html", "--html", "page").returncode == 2


def test_a_search_finds_the_text_of_pages_and_their_lines(tmp_path: Path, page: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "app.html").write_text("<!doctype html><title>App</title><script>nine()</script>")
    done = llm(home, "index", "add", "page.html", "app.html", "--words", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 web page, read as its text; --html source reads it as it is" in told(done)
    found = llm(home, "search", "old pier", "--words", cwd=tmp_path).stdout.decode()
    assert found.startswith("page.html:15: old pier.")
    assert llm(home, "search", "written styled charset", "--words", cwd=tmp_path).stdout == b""


def test_the_line_chat_reads_a_page_and_translates_its_source(tiny_model_home: Path, page: Path) -> None:
    lines = f"/file {page}\nWhen?\n/summarize {page}\n/translate {page}\n".encode()
    done = llm(tiny_model_home, "chat", "--no-save", *SHORT, stdin=lines)
    assert done.returncode == 0, done.stderr
    assert done.stderr.decode().count("read as its text") == 2
    assert b"<!DOCTYPE html>" in done.stdout


@pytest.mark.parametrize(("language", "words"), [("en", "a web page, read as its text"), ("zh", "网页，按正文读取")])
def test_the_app_reads_a_page_as_its_text_and_translates_its_source(
    tiny_model_home: Path, page: Path, monkeypatch: pytest.MonkeyPatch, language: Language, words: str
) -> None:
    notes: list[str] = []  # they are gone after four seconds, on a slow machine before anybody has looked
    note = LlmApp.note
    monkeypatch.setattr(LlmApp, "note", lambda app, text: (notes.append(text), note(app, text)))

    async def story() -> None:
        app = make_app(tiny_model_home, language)
        async with running(app, (140, 40)) as pilot:
            await say(pilot, f"/file {page}")
            await wait_until(pilot, lambda: [told for told in notes if words in told], "the note")
            assert shown(app.chat.pending[0].text).strip() == SEEN
            await ask(pilot, "When?")
            assert SEEN in app.chat.talk.messages()[0].content
            notes.clear()
            await say(pilot, f"/summarize {page}")
            await wait_until(pilot, lambda: [told for told in notes if words in told], "the other note")
            await settled(pilot)
            await say(pilot, f"/translate {page}")
            await wait_until(pilot, lambda: app.chat.talk.tip.text.startswith("<!DOCTYPE html>"), "its marks")

    asyncio.run(story())
