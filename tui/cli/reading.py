"""How much of an input the model read, told to people and to programs."""

from __future__ import annotations

from collections.abc import Sequence
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
    gaps = ", ".join(f"{first}–{last}" if first != last else str(first) for first, last in read.unread_lines[:8])
    more = " …" if len(read.unread_lines) > 8 else ""
    console.warn(f"{text}; not read: {'lines ' + gaps + more if gaps else 'parts of lines'}")


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
            "complete": read.complete,
        }
    }


def tell_citations(console: Console, cited: Sequence[Citation]) -> None:
    """The lines that an answer rests on, on stderr, as `grep -n` would show them."""
    for citation in cited:
        text = " ".join(citation.text.split())
        console.quote(f"{citation.name}:{citation.line}: {text if len(text) <= 160 else text[:159] + '…'}")


def citations_json(cited: Sequence[Citation]) -> dict[str, Any]:
    """The key that `--json` adds where there are any."""
    found = [{"name": citation.name, "line": citation.line, "text": citation.text} for citation in cited]
    return {"citations": found} if found else {}
