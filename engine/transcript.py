"""Prompts for base models: a transcript in which an assistant has already answered, in the language of the question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.language import language_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.schema import Language, Message

_LABELS: dict[Language, tuple[str, str]] = {"en": ("User:", "Assistant:"), "zh": ("用户：", "助手：")}
_OPENING: dict[Language, str] = {
    "en": "A conversation with an assistant that answers truthfully and to the point.",
    "zh": "以下是用户与助手的对话，助手的回答真实、简洁。",
}
_EXAMPLES: dict[Language, tuple[tuple[str, str], ...]] = {
    "en": (
        (
            "Why does ice float on water?",
            "Water expands when it freezes, so ice is less dense than the water around it.",
        ),
        ("Name three primary colours.", "Red, yellow and blue."),
    ),
    "zh": (
        ("冰为什么会浮在水面上？", "水结冰时体积会膨胀，所以冰的密度比水小。"),
        ("请说出三种基本颜色。", "红色、黄色和蓝色。"),
    ),
}

STOP_STRINGS = tuple(f"\n{label}" for labels in _LABELS.values() for label in labels)
"""Where the model begins another turn by itself."""


def write(messages: Sequence[Message], *, continue_last: bool) -> str:
    """The transcript, ending where the assistant is to speak or, with `continue_last`, to speak on."""
    language = _language(messages)
    user, assistant = _LABELS[language]
    space = reply_start(messages)
    system = [message.content for message in messages if message.role == "system"]
    blocks = ["\n".join(system) or _OPENING[language]]
    for question, answer in _EXAMPLES[language]:
        blocks += [f"{user}{space}{question}\n{assistant}{space}{answer}"]
    for message in messages:
        if message.role == "user":
            blocks.append(f"{user}{space}{message.content}")
        elif message.role == "assistant":
            blocks[-1] += f"\n{assistant}{space}{message.content}"
    text = "\n\n".join(blocks)
    return text if continue_last else f"{text}\n{assistant}"


def reply_start(messages: Sequence[Message]) -> str:
    """What stands between the assistant's label and its words: English needs a space."""
    return " " if _language(messages) == "en" else ""


def _language(messages: Sequence[Message]) -> Language:
    asked = [message.content for message in messages if message.role == "user"]
    return language_of(asked[-1] if asked else messages[-1].content)
