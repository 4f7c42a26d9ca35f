"""Conversations as files: ours as JSON (the whole tree) and Markdown (the shown path), and exports of ChatGPT."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from engine.errors import InputError
from tui.records import title_of, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui.records import Entry, Kept
    from tui.store import Store

FORMAT = 1


@dataclass(slots=True)
class Node:
    """A message that comes in; parents stand before their children."""

    key: str
    parent: str | None
    role: str
    text: str
    documents: tuple[tuple[str, str], ...] = ()
    finish: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    at: float | None = None


@dataclass(slots=True)
class Incoming:
    """A conversation that comes in."""

    title: str
    nodes: list[Node]
    shown: list[str]
    """Keys of the path that is shown."""
    system: str | None = None
    model: str = ""
    at: float | None = None


def to_json(kept: Kept, entries: Sequence[Entry]) -> dict[str, Any]:
    """Everything that is kept of a conversation, as JSON types."""
    data = dataclasses.asdict(kept)
    return {
        "format": FORMAT,
        **{name: data[name] for name in ("id", "title", "system", "model", "pinned", "chosen", "created", "updated")},
        "messages": [
            {
                **{name: value for name, value in dataclasses.asdict(entry).items() if name != "documents"},
                "documents": [{"name": name, "text": text} for name, text in entry.documents],
            }
            for entry in entries
        ],
    }


def to_markdown(kept: Kept, path: Sequence[Entry]) -> str:
    """The shown path for people; documents by their names."""
    parts = [f"# {kept.title}", f"{_day(kept.created)} · {kept.model}".strip(" ·")]
    if kept.system:
        parts.append(f"> {kept.system}".replace("\n", "\n> "))
    for entry in path:
        given = "".join(f"*{name}*\n\n" for name, _ in entry.documents)
        parts.append(f"## {'You' if entry.role == 'user' else 'Model'}\n\n{given}{entry.text}")
    return "\n\n".join(parts) + "\n"


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M}"


def read(text: str, name: str) -> list[Incoming]:
    """The conversations of a file: ours, one or several, or ChatGPT's conversations.json. Raises InputError."""
    try:
        data = json.loads(text)
        rows = data if isinstance(data, list) else [data]
        if not rows:
            raise ValueError("it holds no conversation")
        return [_chatgpt(row) if "mapping" in row else _ours(row) for row in rows]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise InputError(
            f"{name} holds no conversations: {type(error).__name__}: {error}",
            hint="expected what `llm history export --as json` writes, or conversations.json of a ChatGPT export",
        ) from error


def put(store: Store, incoming: Incoming) -> int:
    """Keep a conversation that came in, whole or not at all; returns its id."""
    with store.together():
        return _put(store, incoming)


def _put(store: Store, incoming: Incoming) -> int:
    conversation = store.create(incoming.title, system=incoming.system, model=incoming.model, at=incoming.at)
    ids: dict[str, int] = {}
    for node in incoming.nodes:
        above = ids[node.parent] if node.parent is not None else None
        ids[node.key] = store.add(
            conversation, above, node.role, node.text, documents=node.documents, finish=node.finish, facts=node.facts,
            at=node.at if node.at is not None else incoming.at,
        )  # fmt: skip
    above = None
    for key in incoming.shown:
        store.choose(conversation, above, ids[key])
        above = ids[key]
    if incoming.shown:
        store.choose(conversation, above, None)
    return conversation


def _ours(row: dict[str, Any]) -> Incoming:
    if row["format"] != FORMAT:
        raise ValueError(f"expected format {FORMAT}, got {row['format']!r}")
    nodes, known = list[Node](), set[str]()
    chosen: dict[Any, Any] = {None: row.get("chosen")}
    for number, message in enumerate(row["messages"]):
        plain = "id" not in message  # what /save writes: a list of turns
        key, parent = (number, number - 1 if number else None) if plain else (message["id"], message["parent"])
        text = message["content"] if plain else message["text"]
        if parent is not None and str(parent) not in known:
            raise ValueError(f"message {key} hangs below {parent}, which does not stand before it")
        chosen[key] = message.get("chosen")
        if plain:
            chosen[parent] = key
        given = tuple((_text(item["name"]), _text(item["text"])) for item in message.get("documents", []))
        finish = message.get("finish") or ("stop" if message["role"] == "assistant" else None)
        nodes.append(
            Node(str(key), None if parent is None else str(parent), _role(message["role"]), _text(text), given,
                 finish, dict(message.get("facts", {})), _time(message.get("created")))
        )  # fmt: skip
        known.add(str(key))
    shown, at = dict[str, None](), chosen[None]
    while at is not None and str(at) in known and str(at) not in shown:
        shown[str(at)] = None
        at = chosen.get(at)
    title = row.get("title") or title_of(nodes[0].text if nodes else "")
    system = row.get("system")
    return Incoming(_text(title), nodes, list(shown), None if system is None else _text(system),
                    _text(row.get("model", "")), _time(row.get("created")))  # fmt: skip


def _chatgpt(row: dict[str, Any]) -> Incoming:
    """System, tool and empty messages are left out; what hung below them hangs below what they hung below."""
    mapping: dict[str, Any] = row["mapping"]
    nodes: dict[str, Node] = {}
    stands_for: dict[str, str | None] = {}
    """A key of the export -> the node that its message became part of."""
    waiting = [key for key, item in mapping.items() if item.get("parent") not in mapping]
    while waiting:
        key = waiting.pop(0)
        item = mapping[key]
        if key in stands_for:
            raise ValueError("a message hangs below itself")
        above = stands_for.get(item.get("parent"))
        role, text = _said(item.get("message"))
        if not text:
            stands_for[key] = above
        elif above is not None and nodes[above].role == role and len(mapping[item["parent"]].get("children", [])) < 2:
            nodes[above].text += f"\n\n{text}"
            stands_for[key] = above
        else:
            at = _time(item["message"].get("create_time"))
            nodes[key] = Node(key, above, role, text, finish="stop" if role == "assistant" else None, at=at)
            stands_for[key] = key
        waiting += [child for child in item.get("children", []) if child in mapping]
    shown, at_ = list[str](), stands_for.get(row.get("current_node", ""))
    while at_ is not None:
        shown.insert(0, at_)
        at_ = nodes[at_].parent
    first = next(iter(nodes.values()), None)
    title = row.get("title") or title_of(first.text if first else "")
    return Incoming(_text(title), list(nodes.values()), shown, at=_time(row.get("create_time")))


def _said(message: dict[str, Any] | None) -> tuple[str, str]:
    """Role and text of a message of ChatGPT; no text where it is none of a person's or the model's."""
    if not message or message["author"]["role"] not in {"user", "assistant"}:
        return "", ""
    if (message.get("metadata") or {}).get("is_visually_hidden_from_conversation"):
        return "", ""
    parts = (message.get("content") or {}).get("parts") or []
    return message["author"]["role"], whole("\n\n".join(part for part in parts if isinstance(part, str)).strip())


def _role(role: Any) -> str:
    if role not in {"user", "assistant"}:
        raise ValueError(f"expected user or assistant, got {role!r:.40}")
    return str(role)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {value!r:.40}")
    return whole(value)


def _time(value: Any) -> float | None:
    """Seconds since the epoch; None for what is no time that a calendar has."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    try:
        datetime.fromtimestamp(value, UTC)
    except (ValueError, OSError, OverflowError):
        return None
    return float(value)
