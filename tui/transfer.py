"""Conversations as files: ours as JSON (the whole tree) and Markdown (the shown path), and exports of ChatGPT."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from engine.errors import InputError
from tui.records import title_of, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui.records import Entry, Kept
    from tui.store import Store

FORMAT = 1
_LONGEST_TITLE = 200
"""Characters: a title is a line of a list."""
_CALENDAR = (0, 253_402_128_000)
"""Seconds since the epoch that have a date in every zone: up to the last but one day of the year 9999."""


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
    pinned: bool = False


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
    except (ValueError, RecursionError) as error:
        raise _refused(name, f"not valid JSON: {error}") from error
    rows = data if isinstance(data, list) else [data]
    if not rows:
        raise _refused(name, "it holds no conversation")
    found = []
    for number, row in enumerate(rows, 1):
        try:
            found.append(_conversation(_object(row)))
        except (InputError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            where = f"{name}, conversation {number}" if len(rows) > 1 else name
            why = f"expected a field {error}" if isinstance(error, KeyError) else str(error)
            raise _refused(where, why) from error
    return found


def _refused(where: str, why: str) -> InputError:
    hint = "expected what `llm history export --as json` writes, or conversations.json of a ChatGPT export"
    return InputError(f"{where} can't be taken in: {why}", hint=hint)


def _conversation(row: dict[str, Any]) -> Incoming:
    return _chatgpt(row) if "mapping" in row else _ours(row)


def put(store: Store, incoming: Incoming) -> int:
    """Keep a conversation that came in, whole or not at all; returns its id."""
    with store.together():
        return _put(store, incoming)


def _put(store: Store, incoming: Incoming) -> int:
    first = title_of(incoming.nodes[0].text if incoming.nodes else "")
    conversation = store.create(first, system=incoming.system, model=incoming.model, at=incoming.at)
    if incoming.title != first:  # somebody gave it, which no model replaces
        store.rename(conversation, incoming.title)
    if incoming.pinned:
        store.pin(conversation)
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
        raise InputError(f"expected format {FORMAT}, got {_short(row['format'])}")
    nodes, known = list[Node](), set[str]()
    chosen: dict[Any, Any] = {None: row.get("chosen")}
    for number, message in enumerate(map(_object, _list(row["messages"]))):
        plain = "id" not in message  # what /save writes: a list of turns
        key, parent = (number, number - 1 if number else None) if plain else (message["id"], message["parent"])
        text = message["content"] if plain else message["text"]
        if parent is not None and str(parent) not in known:
            raise InputError(f"message {key} hangs below {parent}, which does not stand before it")
        chosen[key] = message.get("chosen")
        if plain:
            chosen[parent] = key
        documents = map(_object, _list(message.get("documents") or []))
        given = tuple((_text(item["name"]), _text(item["text"])) for item in documents)
        finish = message.get("finish") or ("stop" if message["role"] == "assistant" else None)
        nodes.append(
            Node(str(key), None if parent is None else str(parent), _role(message["role"]), _text(text), given,
                 finish, _object(message.get("facts") or {}), _time(message.get("created")))
        )  # fmt: skip
        known.add(str(key))
    shown, at = dict[str, None](), chosen[None]
    while at is not None and str(at) in known and str(at) not in shown:
        shown[str(at)] = None
        at = chosen.get(at)
    system = row.get("system")
    return Incoming(_title(row, nodes), nodes, list(shown), None if system is None else _text(system),
                    _text(row.get("model", "")), _time(row.get("created")), row.get("pinned") is True)  # fmt: skip


def _chatgpt(row: dict[str, Any]) -> Incoming:
    """System, tool and empty messages are left out; what hung below them hangs below what they hung below."""
    mapping: dict[str, Any] = {key: _object(item) for key, item in _object(row["mapping"]).items()}
    below = _below(mapping)
    nodes: dict[str, Node] = {}
    stands_for: dict[str, str | None] = {}
    """A key of the export -> the node that its message became part of."""
    waiting = [key for key, item in mapping.items() if item.get("parent") not in mapping]
    while waiting:
        key = waiting.pop(0)
        item = mapping[key]
        if key in stands_for:
            raise InputError("a message hangs below itself")
        above = stands_for.get(item.get("parent"))
        role, text = _said(item.get("message"))
        if not text:
            stands_for[key] = above
        elif above is not None and nodes[above].role == role and len(below[item["parent"]]) < 2:
            nodes[above].text += f"\n\n{text}"
            stands_for[key] = above
        else:
            at = _time(item["message"].get("create_time"))
            nodes[key] = Node(key, above, role, text, finish="stop" if role == "assistant" else None, at=at)
            stands_for[key] = key
        waiting += below[key]
    if len(stands_for) < len(mapping):
        raise InputError("messages hang below each other in a ring")
    shown, at_ = list[str](), stands_for.get(row.get("current_node", ""))
    while at_ is not None:
        shown.insert(0, at_)
        at_ = nodes[at_].parent
    said = list(nodes.values())
    return Incoming(_title(row, said), said, shown, at=_time(row.get("create_time")))


def _below(mapping: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """The messages that hang below each: those it names, in this order, and those that name it alone."""
    below = {key: [child for child in item.get("children") or [] if child in mapping] for key, item in mapping.items()}
    for key, item in mapping.items():
        if (parent := item.get("parent")) in mapping and key not in below[parent]:
            below[parent].append(key)
    return below


def _title(row: dict[str, Any], nodes: Sequence[Node]) -> str:
    """On one line: the one given, else the beginning of the first question."""
    return title_of(_text(row.get("title") or ""), _LONGEST_TITLE) or title_of(nodes[0].text if nodes else "")


def _said(message: dict[str, Any] | None) -> tuple[str, str]:
    """Role and text of a message of ChatGPT; no text where it is none of a person's or the model's."""
    role = ((message or {}).get("author") or {}).get("role")
    if not message or role not in {"user", "assistant"}:
        return "", ""
    if (message.get("metadata") or {}).get("is_visually_hidden_from_conversation"):
        return "", ""
    parts = (message.get("content") or {}).get("parts") or []
    # What was spoken stands as a text inside of its part; pictures and sounds have none.
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return role, whole("\n\n".join(text for text in texts if isinstance(text, str)).strip())


def _role(role: Any) -> str:
    if role not in {"user", "assistant"}:
        raise InputError(f"expected user or assistant, got {_short(role)}")
    return str(role)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"expected a text, got {_short(value)}")
    return whole(value)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"expected a JSON object, got {_short(value)}")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"expected a list, got {_short(value)}")
    return value


def _short(value: Any) -> str:
    return f"{json.dumps(value, ensure_ascii=False):.40}"


def _time(value: Any) -> float | None:
    """Seconds since the epoch; None for what is no time that a calendar has."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not _CALENDAR[0] <= value <= _CALENDAR[1]:
        return None
    return float(value)
