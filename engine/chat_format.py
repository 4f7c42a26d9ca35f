"""Messages to token ids: through the model's chat template, or as a transcript for models that have none.

Whatever people write stays text. Control tokens come from the template alone: look-alikes inside messages are broken
with a character that no message holds, and mended once the rendered text has been split.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from engine import transcript
from engine.errors import CheckpointError, InputError, UsageError
from engine.tokenizer_config import TEMPLATE_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from engine.schema import Message
    from engine.template_sandbox import ChatTemplate
    from engine.tokenizer import Tokenizer

# Unicode's noncharacters: never in text that was meant to be exchanged.
_NONCHARACTERS = [chr(c) for c in range(0xFDD0, 0xFDF0)] + [chr(p * 0x10000 + 0xFFFE) for p in range(17)]


class ChatFormat:
    """How a model is spoken to."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate | None) -> None:
        """Without a `template` the model is given transcripts."""
        self._tokenizer = tokenizer
        self._template = template
        self.is_chat = template is not None
        self.stop_ids = tokenizer.eos_ids
        """A reply ends at any of these."""
        self.stop_strings = () if template else transcript.STOP_STRINGS
        """A reply ends before any of these."""
        names = sorted(tokenizer.control_tokens, key=lambda name: (-len(name), name))
        self._control = re.compile("|".join(map(re.escape, names)) or r"(?!)")

    @classmethod
    def load(cls, folder: Path, tokenizer: Tokenizer) -> Self:
        """The format of the model in `folder`, by its chat template if it has one. Raises CheckpointError."""
        path = folder / TEMPLATE_FILE
        try:
            source = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return cls(tokenizer, None)
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{path} can't be read: {error}") from error
        from engine.template_sandbox import ChatTemplate

        try:
            return cls(tokenizer, ChatTemplate(source))
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}", hint="Pull or import the model again.") from error

    def encode(self, messages: Sequence[Message], *, continue_last: bool = False) -> list[int]:
        """The prompt for a reply; with `continue_last` the last message, the assistant's, is left open.

        Raises UsageError (nothing to answer), InputError (text that is no text) and CheckpointError (a template that
        refuses these messages even with the system's text folded into the first of the user's).
        """
        if not messages or (continue_last and messages[-1].role != "assistant"):
            wanted = "an assistant message at the end" if messages else "at least one message"
            raise UsageError(f"a conversation needs {wanted}")
        if self._template is None:
            return self._begun(self._tokenizer.encode(transcript.write(messages, continue_last=continue_last)))
        safe, marker, end = self._safe(messages)
        if continue_last:
            safe[-1] = replace(safe[-1], content=safe[-1].content + end)
        text = self._render_or_fold(safe, generation_prompt=not continue_last)
        if continue_last:
            text, found, _ = text.rpartition(end)
            if not found:
                raise CheckpointError("the chat template leaves out the last message, so it can't be continued")
        return self._begun(self._tokenizer.encode_parts(self._parts(text, marker)))

    def encode_many(self, conversations: Sequence[Sequence[Message]]) -> list[list[int]]:
        """`encode` of each, where words that stand in several are looked at once. Raises as `encode` does."""
        if self._template is None:
            return [self.encode(messages) for messages in conversations]
        met: dict[tuple[str, bool], list[int]] = {}
        broken: dict[tuple[str, str], str] = {}
        prompts = []
        for messages in conversations:
            if not messages:
                raise UsageError("a conversation needs at least one message")
            safe, marker, _ = self._safe(messages, broken)
            text = self._render_or_fold(safe, generation_prompt=True)
            prompts.append(self._begun(self._tokenizer.encode_parts(self._parts(text, marker), met)))
        return prompts

    def _begun(self, ids: list[int]) -> list[int]:
        """The ids with the token that the model expects before every prompt."""
        beginning = self._tokenizer.beginning
        return ids if ids[: len(beginning)] == beginning else beginning + ids

    def _safe(
        self, messages: Sequence[Message], met: dict[tuple[str, str], str] | None = None
    ) -> tuple[list[Message], str, str]:
        """The messages with a marker in all that looks like a control token; the marker, and one more that is free.

        `met`: where what became of texts is kept from call to call.
        """
        marker, other = _unused(messages)
        met = {} if met is None else met
        for message in messages:
            if (key := (message.content, marker)) not in met:
                met[key] = self._broken(*key)
        safe = [replace(message, content=met[message.content, marker]) for message in messages]
        return safe, marker, other

    def _parts(self, text: str, marker: str) -> list[str | int]:
        """Runs of text and control ids of a rendered template."""
        parts: list[str | int] = []
        start = 0
        for match in self._control.finditer(text):
            parts += [text[start : match.start()].replace(marker, ""), self._tokenizer.control_tokens[match[0]]]
            start = match.end()
        parts.append(text[start:].replace(marker, ""))
        return [part for part in parts if part != ""]

    def _render_or_fold(self, messages: list[Message], *, generation_prompt: bool) -> str:
        """The rendered template; where it refuses or drops the system's text, that goes into the user's first."""
        from engine.template_sandbox import TemplateRefusal

        system = [message.content.strip() for message in messages if message.role == "system"]
        try:
            text = self._render(messages, generation_prompt=generation_prompt)
            if all(content in text for content in system):
                return text
        except TemplateRefusal:
            if not system:
                raise
        return self._render(_folded(messages), generation_prompt=generation_prompt)

    def _render(self, messages: Sequence[Message], *, generation_prompt: bool) -> str:
        assert self._template is not None
        return self._template.render(
            {
                "messages": [{"role": message.role, "content": message.content} for message in messages],
                "add_generation_prompt": generation_prompt,
                "enable_thinking": False,
                "tools": None,
                "documents": None,
                **self._special_tokens,
            }
        )

    @cached_property
    def _special_tokens(self) -> dict[str, Any]:
        """`bos_token` and `eos_token`, as templates call them."""
        names = {token: name for name, token in self._tokenizer.control_tokens.items()}
        ends = self._tokenizer.config.eos_ids
        return {
            "bos_token": names.get(self._tokenizer.bos_id if self._tokenizer.bos_id is not None else -1, ""),
            "eos_token": names.get(ends[0], "") if ends else "",
        }

    @cached_property
    def _borders(self) -> tuple[frozenset[str], frozenset[str], int]:
        """Proper beginnings and ends of control tokens, and the length of the longest token."""
        names = self._tokenizer.control_tokens
        heads = frozenset(name[:i] for name in names for i in range(1, len(name)))
        tails = frozenset(name[i:] for name in names for i in range(1, len(name)))
        return heads, tails, max(map(len, names), default=0)

    def _broken(self, content: str, marker: str) -> str:
        """The content with a marker inside everything that is, or at its borders could become, a control token."""
        heads, tails, longest = self._borders
        cuts = {match.start() + 1 for match in re.finditer(f"(?={self._control.pattern})", content)}
        for size in range(1, min(longest, len(content) + 1)):
            if content[-size:] in heads:
                cuts.add(len(content) - size + 1)
            if content[:size] in tails:
                cuts.add(size - 1)
        pieces = [content[a:b] for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), len(content)], strict=True)]
        return marker.join(pieces)


def _unused(messages: Sequence[Message]) -> tuple[str, str]:
    """Two characters that no message holds. Raises InputError if there are none."""
    said = "".join(message.content for message in messages)
    free = [c for c in _NONCHARACTERS if c not in said]
    if len(free) < 2:
        raise InputError("the text holds nearly every noncharacter of Unicode", hint="It is likely not text.")
    return free[0], free[1]


def _folded(messages: Sequence[Message]) -> list[Message]:
    """System texts put before the first user text, and neighbours of one role joined: strict templates want turns."""
    system = [message.content for message in messages if message.role == "system"]
    turns: list[Message] = []
    for message in messages:
        if message.role == "system":
            continue
        content = message.content
        if system and message.role == "user":
            content = "\n\n".join([*system, content])
            system = []
        if turns and turns[-1].role == message.role:
            turns[-1] = replace(turns[-1], content=f"{turns[-1].content}\n\n{content}")
        else:
            turns.append(replace(message, content=content))
    return turns
