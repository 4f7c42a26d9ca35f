"""Documents translated stretch by stretch: order, what stays, checks and second attempts, events; and real words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asked import Asked

from engine.config import SamplingConfig
from engine.errors import InputError, InputTooLong
from engine.schema import Chunk, Coverage, Document, Message, TaskProgress
from engine.session import Session
from engine.tasks.translate import EXAMPLES, Doubtful, Unchanged, again, prompt, translate, translate_many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from engine.schema import Language
    from engine.tasks.doubts import Doubt

SHORT = SamplingConfig(max_tokens=6)
LONG = SamplingConfig(max_tokens=200)
MARKED = """# The title

Some words here. And a second sentence!

```python
print("words in code")
```

- first item
- `only code`

| Day | Count |
|-----|------:|
| Monday | 12 |

这一段已经是中文。
"""
FRAME = [
    "# ",
    "\n\n",
    '\n\n```python\nprint("words in code")\n```\n\n- ',
    "\n- `only code`\n\n| ",
    " | ",
    " |\n|-----|------:|\n| ",
    " | 12 |\n\n这一段已经是中文。\n",
]
"""What stands between the words, in order."""


@pytest.fixture
def asked(tiny_session: Session, monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked().watch(tiny_session, monkeypatch)


def run(session: Session, text: str, to: Language | None = None, sampling: SamplingConfig = SHORT) -> list[Any]:
    return list(translate(session, Document("a.md", text), sampling=sampling, to=to))


def said(events: Iterable[Any]) -> str:
    return "".join(event.text for event in events if isinstance(event, Chunk))


def scripted(
    session: Session, patch: pytest.MonkeyPatch, reply: Callable[[list[Message], SamplingConfig], str]
) -> None:
    """Let the session say what a small model might, in an order of its own: the last conversations end first."""

    def stream_many(asks: Iterable[Sequence[Message]], sampling: SamplingConfig) -> Iterator[tuple[int, Chunk]]:
        rows = [(index, reply(list(messages), sampling)) for index, messages in enumerate(asks)]
        for index, text in reversed(rows):
            yield index, Chunk(text[:1], ids=(1,))
            yield index, Chunk(text[1:], ids=(2,), output_tokens=2, prompt_tokens=3, finish_reason="stop")

    patch.setattr(session, "stream_many", stream_many)


def test_everything_but_words_stays_where_it_is(tiny_session: Session) -> None:
    text = said(run(tiny_session, MARKED, "zh"))
    at = 0
    for part in FRAME:
        at = text.find(part, at)
        assert at >= 0, (part, text)
        at += len(part)
    assert text.startswith(FRAME[0])
    assert text.endswith(FRAME[-1])


def test_only_words_are_asked_for_and_in_the_order_of_the_text(tiny_session: Session, asked: Asked) -> None:
    run(tiny_session, MARKED, "zh")
    first = [text for text, messages in zip(asked.texts, asked.conversations, strict=True) if len(messages) > 1]
    expected = ["The title", "Some words here.", "And a second sentence!", "first item", "Day", "Count", "Monday"]
    assert first[: len(expected)] == expected
    assert not any("code" in text or "中文。" in text for text in first)


@pytest.mark.usefixtures("asked")
def test_the_end_tells_what_was_read_what_stayed_and_what_is_doubtful(tiny_session: Session) -> None:
    events = run(tiny_session, MARKED, "zh")
    [coverage] = [event for event in events if isinstance(event, Coverage)]
    assert events[-1] == coverage
    assert coverage.complete
    assert (coverage.chunks_read, coverage.lines_total) == (7, 16)
    assert [(e.first_line, e.last_line) for e in events if isinstance(e, Unchanged)] == [(16, 16)]
    doubtful = [event for event in events if isinstance(event, Doubtful)]
    assert doubtful  # a random model translates nothing
    assert all(1 <= event.first_line <= event.last_line <= 16 and event.why for event in doubtful)
    done = [event.done for event in events if isinstance(event, TaskProgress)]
    assert done == sorted(done)
    last = [event for event in events if isinstance(event, Chunk)][-1]
    assert last.finish_reason == "stop"
    assert last.output_tokens > 0


def test_segments_come_out_in_order_whatever_order_they_end_in(
    tiny_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"The word number {number} is here." for number in range(100, 160)]
    scripted(tiny_session, monkeypatch, lambda messages, _: f"这里是单词{messages[-1].content.split()[3]}号。")
    events = run(tiny_session, "\n".join(lines), "zh")
    assert said(events) == "\n".join(f"这里是单词{number}号。" for number in range(100, 160))
    assert not any(isinstance(event, Doubtful) for event in events)


def test_sentences_of_a_paragraph_are_joined_as_their_language_joins_them(
    tiny_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {"It rains.": "下雨了。", "We stay here.": "我们留在这里。"}
    scripted(tiny_session, monkeypatch, lambda messages, _: words[messages[-1].content])
    assert said(run(tiny_session, "It rains. We stay here.\n", "zh")) == "下雨了。我们留在这里。\n"
    back = {chinese: english for english, chinese in words.items()}
    scripted(tiny_session, monkeypatch, lambda messages, _: back[messages[-1].content])
    assert said(run(tiny_session, "下雨了。我们留在这里。\n", "en")) == "It rains. We stay here.\n"


def test_a_doubtful_reply_is_tried_once_more_with_another_prompt(
    tiny_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, float]] = []

    def reply(messages: list[Message], sampling: SamplingConfig) -> str:
        calls.append((len(messages), sampling.repetition_penalty))
        return "The sky is blue." if len(messages) > 1 else "译文：天空是蓝色的。"

    scripted(tiny_session, monkeypatch, reply)
    events = run(tiny_session, "The sky is blue.", "zh")
    assert said(events) == "天空是蓝色的。"
    assert not any(isinstance(event, Doubtful) for event in events)
    assert [count for count, _ in calls] == [2 + 2 * len(EXAMPLES), 1]
    assert calls[1][1] > calls[0][1]


@pytest.mark.parametrize(("to", "why"), [("zh", "question"), ("en", "question"), ("en", "mixed")])
def test_the_second_attempt_has_the_examples_with_the_instruction_in_each_turn(to: Language, why: Doubt) -> None:
    messages = again(to, "{text} stays", why)
    asked = [message.content for message in messages if message.role == "user"]
    assert len(asked) == len(EXAMPLES) + 1
    instruction = asked[-1].removesuffix("{text} stays")
    assert instruction
    assert all(text.startswith(instruction) for text in asked)


def test_what_fails_twice_is_named_with_its_lines_and_the_better_attempt_is_kept(
    tiny_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reply(messages: list[Message], _: SamplingConfig) -> str:
        if "forty" not in messages[-1].content:
            return "天空是蓝色的。"
        return "很" * 40 if len(messages) > 1 else "有四十多人在房间里吗？"

    scripted(tiny_session, monkeypatch, reply)
    events = run(tiny_session, "The sky is blue.\n\nMore than forty people were in the room.\n", "zh")
    assert said(events) == "天空是蓝色的。\n\n有四十多人在房间里吗？\n"
    assert [event for event in events if isinstance(event, Doubtful)] == [Doubtful(3, 3, "question")]


def test_where_marks_are_lost_the_words_between_them_are_translated(
    tiny_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {"Run": "运行", "before you read the": "然后阅读", "manual": "手册", ".": "."}
    scripted(tiny_session, monkeypatch, lambda messages, _: words.get(messages[-1].content, "丢了标记的句子在这里。"))
    text = said(run(tiny_session, "Run `make` before you read the [manual](a/b.md).", "zh"))
    assert text == "运行`make`然后阅读[手册](a/b.md)。"


def test_a_text_in_the_target_language_is_left_as_it_is(tiny_session: Session, asked: Asked) -> None:
    text = "# 标题\n\n这里没有什么可以翻译的。\n"
    events = run(tiny_session, text, "zh")
    assert said(events) == text
    assert asked.texts == []
    assert len([event for event in events if isinstance(event, Unchanged)]) == 2


@pytest.mark.parametrize("to", ["zh", "en"])
def test_the_text_stands_last_in_the_prompt_and_the_examples_go_the_right_way(to: Language) -> None:
    messages = prompt(to, "{text} stays")
    assert messages[-1] == Message("user", "{text} stays")
    sources = [message.content for message in messages if message.role == "user"][:-1]
    assert sources == [pair[to == "en"] for pair in EXAMPLES]


def test_an_empty_text_and_a_context_without_room_are_told(tiny_session: Session) -> None:
    with pytest.raises(InputError, match=r"a\.md is empty"):
        run(tiny_session, " \n")
    tiny_session.context = 64
    with pytest.raises(InputTooLong, match="no room to translate"):
        run(tiny_session, "Some words.")


def test_it_can_be_stopped_at_any_event_and_nothing_runs_on(tiny_session: Session, asked: Asked) -> None:
    for count in range(0, 60, 7):
        events = translate(tiny_session, Document("a.md", MARKED), sampling=SHORT, to="zh")
        for _ in range(count):
            next(events)
        events.close()
        assert asked.running == 0


def test_a_sentence_longer_than_the_limit_is_cut_and_all_of_it_is_translated(
    tiny_session: Session, asked: Asked
) -> None:
    text = "and then " * 400
    events = run(tiny_session, text, "zh")
    firsts = [messages[-1].content for messages in asked.conversations if len(messages) > 1]
    assert len(firsts) > 1
    assert "".join(firsts).replace(" ", "") == text.replace(" ", "")
    assert [event.complete for event in events if isinstance(event, Coverage)] == [True]


def test_several_documents_are_translated_together_and_told_apart(tiny_session: Session, asked: Asked) -> None:
    texts = ["One line.\n\nTwo.", "中文。", " ", "```\ncode\n```\n", "Three."]
    documents = [Document(f"{number}.md", text) for number, text in enumerate(texts)]
    events = list(translate_many(tiny_session, documents, sampling=SHORT))
    numbers = [number for number, _ in events]
    assert numbers == sorted(numbers)
    for number, text in enumerate(texts):
        mine = [event for owner, event in events if owner == number]
        if text.strip():
            alone = list(translate(tiny_session, documents[number], sampling=SHORT))
            assert isinstance(mine[-1], Coverage)
            assert mine[-1] == alone[-1]
            assert said(mine).count("\n") == text.count("\n")
        else:
            assert [type(event) for event in mine] == [InputError]
    together = asked.conversations[:4]
    assert [messages[-1].content for messages in together] == ["One line.", "Two.", "中文。", "Three."]


@pytest.mark.weights
def test_the_default_model_translates_both_ways_and_leaves_code_alone(default_model: Path) -> None:
    fence = "```sh\nmake install  # install the program\n```\n"
    session = Session.open(default_model, device="cpu")
    english = said(run(session, f"我喜欢喝茶。\n\n{fence}", "en", LONG))
    chinese = said(run(session, f"I like to drink tea.\n\n{fence}", "zh", LONG))
    session.close()
    assert "tea" in english
    assert "茶" in chinese
    assert english.endswith(f"\n\n{fence}")
    assert chinese.endswith(f"\n\n{fence}")
