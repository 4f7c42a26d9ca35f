"""Search of the history by meaning: the model's own embeddings of messages, made when they are first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.tasks.nearness import nearest, packed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.session import Session
    from tui.records import Hit
    from tui.store import Store

TOGETHER = 32
"""Messages embedded between two saves: a search that is stopped has lost no more."""
LONGEST = 2000
"""Characters of a message that count: what it is about is said by then."""


def catch_up(store: Store, session: Session) -> Iterator[tuple[int, int]]:
    """Embed the messages that have no vector of this model; after each batch how many, and how many may be left."""
    while waiting := store.without_vector(session.identity, TOGETHER):
        vectors = packed(session, [text[:LONGEST] for _, text in waiting])
        store.put_vectors(session.identity, [(id_, vector) for (id_, _), vector in zip(waiting, vectors, strict=True)])
        yield len(waiting), len(store.without_vector(session.identity, 1000))


def find(store: Store, session: Session, query: str, count: int) -> list[Hit]:
    """The messages that say what is nearest to a query."""
    ids, kept = store.vectors(session.identity)
    hits = [store.hit(ids[place], score) for place, score in nearest(session, query, kept, len(ids), count)]
    return [hit for hit in hits if hit]
