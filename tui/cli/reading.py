"""How much of an input the model read, told to people and to programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.schema import Citation, Coverage
from tui.cli.console import Console


@dataclass
class Sources:
    """What an answer is taken from, as it becomes known: a text's coverage, told at once, and in the end citations."""

    console: Console
    coverage: Coverage | None = None
    cited: list[Citation] = field(default_factory=list)

    def take(self, event: Any) -> None:
        """An event of the task."""
        if isinstance(event, Coverage):
            self.coverage = event
            tell_coverage(self.console, event)
        elif isinstance(event, Citation):
            self.cited.append(event)

    def to_json(self) -> dict[str, Any]:
        """The keys that `--json` adds."""
        return citations_json(self.cited) | (coverage_json(self.coverage) if self.coverage else {})


def tell_coverage(console: Console, read: Coverage, name: str = "") -> None:
    """One line on stderr: what was read, and which lines were not."""
    known = f" ({read.chunks_cached} known from an earlier run)" if read.chunks_cached else ""
    text = (
        f"{name + ': ' if name else ''}read chunks {read.chunks_read}/{read.chunks_total}, "
        f"lines {read.lines_read}/{read.lines_total}, tokens {read.tokens_read}/{read.tokens_total}{known}"
    )
    if read.complete:
        console.note(text)
        return
    gaps = f"; not read: {named_lines(read.unread_lines)}" if read.unread_lines else ""
    partly = f"; read in part: {named_lines(read.partly_read)}" if read.partly_read else ""
    console.warn(f"{text}{gaps}{partly}")


def named_lines(stretches: Iterable[tuple[int, int]]) -> str:
    """`line 3`, `lines 3, 5–8`; neighbours joined, at most eight named."""
    merged: list[tuple[int, int]] = []
    for first, last in stretches:
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    named = ", ".join(f"{first}–{last}" if first != last else str(first) for first, last in merged[:8])
    word = "line" if len(merged) == 1 and merged[0][0] == merged[0][1] else "lines"
    return f"{word} {named}" + (" …" if len(merged) > 8 else "")


def coverage_json(read: Coverage) -> dict[str, Any]:
    """The keys that `--json` adds."""
    return {
        "coverage": {
            "chunks_read": read.chunks_read,
            "chunks_total": read.chunks_total,
            "chunks_cached": read.chunks_cached,
            "lines_read": read.lines_read,
            "lines_total": read.lines_total,
            "tokens_read": read.tokens_read,
            "tokens_total": read.tokens_total,
            "unread_lines": [list(stretch) for stretch in read.unread_lines],
            "partly_read": [list(stretch) for stretch in read.partly_read],
            "complete": read.complete,
        }
    }


def tell_citations(console: Console, cited: Sequence[Citation], answer: str) -> None:
    """The lines that an answer rests on, on stderr, as `grep -n` would show them: of a long one what bears it out."""
    if not cited:
        return
    from engine.words import excerpt, words_of

    for citation in cited:
        console.quote(f"{citation.name}:{citation.line}: {excerpt(citation.text, words_of(answer), 160)}")


def citations_json(cited: Sequence[Citation]) -> dict[str, Any]:
    """The key that `--json` adds where there are any."""
    found = [{"name": citation.name, "line": citation.line, "text": citation.text} for citation in cited]
    return {"citations": found} if found else {}
