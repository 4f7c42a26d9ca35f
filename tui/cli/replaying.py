"""Answers of the history drawn again: same prompt, model, sampling and seed, compared token by token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.alike import common_prefix_length
from engine.config import SamplingConfig
from engine.errors import EngineError
from engine.schema import Message
from tui.cli.console import counted
from tui.keeper import turn_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from engine.session import Session
    from tui.records import Entry, Kept


def replayed(session: Session, kept: Kept, path: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    """For each answer of a path: `identical` (None: it can't be drawn again), `differs_at` and what to say of it."""
    messages = [Message("system", kept.system)] if kept.system else []
    for entry in path:
        if entry.role == "assistant":
            yield {"message": entry.id} | _compare(session, messages, entry)
        messages.append(turn_of(entry).shown_to_model())


def _compare(session: Session, messages: Sequence[Message], entry: Entry) -> dict[str, Any]:
    facts = entry.facts
    if not entry.ids or "sampling" not in facts:
        return _said(
            None,
            None,
            "was edited, continued, imported or drawn from a cut conversation: there is nothing to compare it with",
        )
    try:
        sampling = SamplingConfig.from_json(facts["sampling"])
    except EngineError as error:
        return _said(None, None, f"its sampling can't be read: {error.message}")
    drawn: list[int] = []
    for chunk in session.stream(messages, sampling):
        drawn += chunk.ids
        if len(drawn) >= len(entry.ids) + (entry.finish == "stop"):  # a stopped one is compared as far as it went
            break
    place = _elsewhere(session, facts)
    at = common_prefix_length(entry.ids, drawn)
    if at == len(entry.ids) and (entry.finish != "stop" or at == len(drawn)):
        return _said(True, None, f"identical, {counted(len(entry.ids), 'token')}{place}")
    return _said(False, at, f"differs at token {at} of {len(entry.ids)}{place}")


def _elsewhere(session: Session, facts: dict[str, Any]) -> str:
    """What is another than when the answer was drawn."""
    ours = {"device": session.device, "kernel": session.kernel, "identity": session.identity}
    other = [name for name, value in ours.items() if facts.get(name, value) != value]
    if "kernel" in other:  # which an identity names: nothing can be said of the model
        other = [name for name in other if name != "identity"]
    names = {"device": "the device", "kernel": "the kernel", "identity": "the model"}
    return f"; {' and '.join(names[name] for name in other)} changed since" if other else ""


def _said(identical: bool | None, at: int | None, text: str) -> dict[str, Any]:
    return {"identical": identical, "differs_at": at, "says": text}
