"""Rows as the conversations that the commands would hold about them: their own templates, with the wished reply.

Many judgements or translations stand in one conversation, as judged examples do when the commands run; every reply
of it is learnt from. What is short of rows costs few tokens a judgement so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.schema import Document, Language, Message
from engine.tasks import answer, classify, sentiment, summarize, translate
from engine.tasks.length import Length, words_in

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns to train on, and where they come from."""

    messages: tuple[Message, ...]
    kind: str
    """The task, a point, the language."""
    source: str
    group: str = ""
    """What may not stand on both sides of the split: a passage."""
    contributors: tuple[str, ...] = ()
    """Contributors that the source's licence wants named."""

    def row(self) -> dict[str, Any]:
        """As `llm finetune` reads it."""
        turns = [{"role": message.role, "content": message.content} for message in self.messages]
        replies = sum(message.role == "assistant" for message in self.messages)
        return {"messages": turns, "train": "all" if replies > 1 else "last"}


def judging(language: Language, judged: Sequence[tuple[str, str]]) -> Conversation:
    """Texts and their sentiment; neutral is offered where a text has it."""
    neutral = any(label == "neutral" for _, label in judged)
    asked = sentiment.question(language, neutral=neutral)
    words = dict(zip(asked.labels, asked.replies, strict=True))
    turns = [turn for text, label in judged for turn in _exchange(text, words[label])]
    return Conversation((asked.before[0], *turns), f"sentiment.{language}", "own", group=_all_of(judged))


def sorting(labels: Sequence[str], sorted_texts: Sequence[tuple[str, str]], language: Language) -> Conversation:
    """Texts and which of the labels fits."""
    asked = classify.question(labels, sorted_texts)
    return Conversation(asked.before, f"classify.{language}", "own", group=_all_of(sorted_texts))


def asking(language: Language, passage: str, question: str, reply: str, source: str, name: str) -> Conversation:
    """A question about a text, and its answer or the refusal."""
    asked = answer.prompt(question, [Document(name, passage)])
    return Conversation((*asked, Message("assistant", reply)), f"qa.{language}", source, group=passage)


def summarizing(language: Language, text: str, summary: str, length: str, source: str) -> Conversation:
    """A text and its summary. `length`: as `--length`, or `own` for the words that the summary has."""
    if length == "own":
        length = f"{max(10, round(words_in(summary) / 5) * 5)}w"
    wished = Length.parse(length, text)
    ask = summarize.Wish(language, wished).ask(summarize.WHOLE, text.strip(), wished)
    return Conversation(tuple(_exchange(ask, summary.strip())), f"summarize.{language}", source, group=text)


def translating(to: Language, pairs: Sequence[dict[str, str]]) -> Conversation:
    """Sentences and their translations, under the instruction alone: the examples would cost more than they teach."""
    instruction = translate.prompt(to, "")[0]
    source = "en" if to == "zh" else "zh"
    turns = [turn for pair in pairs for turn in _exchange(pair[source], pair[to])]
    contributors = tuple(pair["attribution"] for pair in pairs)
    return Conversation((instruction, *turns), f"translate.{to}", "tatoeba", contributors=contributors)


def chatting(language: Language, messages: Sequence[Message], source: str) -> Conversation:
    """A dialogue as it is."""
    return Conversation(tuple(messages), f"chat.{language}", source, group=messages[0].content)


def _all_of(labelled: Sequence[tuple[str, str]]) -> str:
    """The same for the same texts in any order: they may be used several times, on one side of the split."""
    return "\n".join(sorted(text for text, _ in labelled))


def _exchange(asked: str, reply: str) -> list[Message]:
    return [Message("user", asked), Message("assistant", reply)]
