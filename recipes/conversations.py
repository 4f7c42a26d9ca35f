"""Rows as the conversations that the commands would hold about them: their own templates, with the wished reply.

Judgements come twice: alone, just as a command asks about a text, and by the dozen in one conversation, as examples
do, where every reply is learnt from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.schema import Document, Language, Message
from engine.tasks import answer, classify, sentiment, summarize, translate
from engine.tasks.length import Length, words_in
from engine.tasks.sentences import sentences

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORDS_A_SENTENCE = 22
"""As `engine.tasks.length` counts them."""


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
    every: bool = False
    """Whether every reply is learnt, not the last alone."""

    def row(self) -> dict[str, Any]:
        """As `llm finetune` reads it."""
        turns = [{"role": message.role, "content": message.content} for message in self.messages]
        return {"messages": turns, "train": "all" if self.every else "last"}


def judging(language: Language, judged: Sequence[tuple[str, str]], source: str = "own") -> Conversation:
    """Texts and their sentiment; neutral is offered where a text has it."""
    neutral = any(label == "neutral" for _, label in judged)
    asked = sentiment.question(language, neutral=neutral)
    words = dict(zip(asked.labels, asked.replies, strict=True))
    turns = [turn for text, label in judged for turn in _exchange(text, words[label])]
    return Conversation((asked.before[0], *turns), f"sentiment.{language}", source, group_of(judged), every=True)


def judging_alone(
    language: Language, text: str, label: str, group: str, source: str = "own", *, neutral: bool = False
) -> Conversation:
    """A text after the examples that `llm sentiment` gives. `group`: that of the dozen that it also stands in."""
    asked = sentiment.question(language, neutral=neutral)
    reply = asked.replies[asked.labels.index(label)]
    return Conversation((*asked.messages(text), Message("assistant", reply)), f"sentiment.{language}", source, group)


def sorting_alone(labels: Sequence[str], text: str, label: str, language: Language, group: str) -> Conversation:
    """A text without examples, as `llm classify` asks where none are given. `group`: that of its dozen."""
    asked = classify.question(labels).messages(text)
    return Conversation((*asked, Message("assistant", label)), f"classify.{language}", "own", group)


def sorting(
    labels: Sequence[str], sorted_texts: Sequence[tuple[str, str]], language: Language, source: str = "own"
) -> Conversation:
    """Texts and which of the labels fits."""
    asked = classify.question(labels, sorted_texts)
    return Conversation(asked.before, f"classify.{language}", source, group_of(sorted_texts), every=True)


def asking(language: Language, passage: str, question: str, reply: str, source: str, name: str) -> Conversation:
    """A question about a text, and its answer or the refusal."""
    asked = answer.prompt(question, [Document(name, passage)])
    return Conversation((*asked, Message("assistant", reply)), f"qa.{language}", source, group=passage)


def summarizing(language: Language, text: str, summary: str, length: str, source: str, group: str = "") -> Conversation:
    """A text and its summary. `length`: as `--length`, or `own` for the words that the summary has."""
    if length == "own":
        length = f"{max(10, round(words_in(summary) / 5) * 5)}w"
    wished = Length.parse(length, text)
    ask = summarize.Wish(language, wished).ask(summarize.WHOLE, text.strip(), wished)
    return Conversation(tuple(_exchange(ask, summary.strip())), f"summarize.{language}", source, group=group or text)


def summarizing_part(
    language: Language, text: str, summary: str, source: str, group: str, *, combined: bool = False
) -> Conversation:
    """A part of a document, or summaries of several parts to combine, and the sentence or few that a long summary has
    of it."""
    count = min(3, max(1, sum(1 for _ in sentences(summary))))
    length = Length(count * _WORDS_A_SENTENCE, "part")
    template = summarize.COMBINE if combined else summarize.PART
    ask = summarize.Wish(language, length).ask(template, text.strip(), length)
    return Conversation(tuple(_exchange(ask, summary.strip())), f"summarize.{language}", source, group=group or text)


def translating_alone(to: Language, text: str, translation: str, source: str, group: str) -> Conversation:
    """A sentence after the examples that `llm translate` gives."""
    asked = translate.prompt(to, text)
    return Conversation((*asked, Message("assistant", translation)), f"translate.{to}", source, group)


def translating(to: Language, pairs: Sequence[dict[str, str]]) -> Conversation:
    """Sentences and their translations, under the instruction alone: the examples would cost more than they teach."""
    instruction = translate.prompt(to, "")[0]
    source = "en" if to == "zh" else "zh"
    turns = [turn for pair in pairs for turn in _exchange(pair[source], pair[to])]
    contributors = tuple(pair["attribution"] for pair in pairs)
    return Conversation((instruction, *turns), f"translate.{to}", "tatoeba", "", contributors, every=True)


def chatting(language: Language, messages: Sequence[Message], source: str) -> Conversation:
    """A dialogue as it is."""
    return Conversation(tuple(messages), f"chat.{language}", source, messages[0].content, every=True)


def group_of(labelled: Sequence[tuple[str, str]]) -> str:
    """The same for the same texts in any order: they may be used several times, on one side of the split."""
    return "\n".join(sorted(text for text, _ in labelled))


def _exchange(asked: str, reply: str) -> list[Message]:
    return [Message("user", asked), Message("assistant", reply)]
