"""The data card: what a mixture is made of, under which licences, and whom to name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from recipes.sources import SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from recipes.conversations import Conversation

TERMS = """Rows were reformatted into chat turns, filtered and drawn by seed. Some of them are share-alike (CC BY-SA 3.0
and 4.0): weights trained on this mixture are offered under CC BY-SA 4.0, where that licence applies to them."""


def card(manifest: Mapping[str, Any], conversations: Iterable[Conversation]) -> str:
    """Markdown: counts, licences with where they are said, attributions, contributors of Tatoeba."""
    used = list(conversations)
    lines = [
        "# Training data",
        "",
        f"Seed {manifest['seed']}, about {manifest['tokens']:,} tokens of the default model's.",
        "",
        TERMS,
        "",
    ]
    lines += ["| task and language | source | conversations | replies | tokens |", "|---|---|--:|--:|--:|"]
    for name, row in manifest["train"].items():
        kind, source = name.split(" ", 1)
        lines.append(f"| {kind} | {source} | {row['conversations']:,} | {row['replies']:,} | {row['tokens']:,} |")
    lines += ["", "| source | file | licence | where it is said |", "|---|---|---|---|"]
    names = [name for name in SOURCES if any(name in one.source.split("+") for one in used)]
    for name in names:
        source = SOURCES[name]
        lines.append(f"| {name} | `{source.file}` | {source.licence} | {source.confirmed} |")
    lines += ["| own | `recipes/seeds/` | Apache 2.0, as this repository | written for it |"]
    if any(one.source == "written" for one in used):
        writer = "its writer and judge, qwen2.5-coder-1.5b-instruct"
        lines += [f"| written | `recipes/seeds/written.*` | Apache 2.0, as {writer} | the card of {writer} |"]
    lines += ["", "## Attributions", ""]
    lines += [f"- **{name}**: {SOURCES[name].attribution} {SOURCES[name].licence}." for name in names]
    lines += ["", "## Contributors of Tatoeba", "", *_contributors(used), ""]
    return "\n".join(lines)


def _contributors(conversations: Iterable[Conversation]) -> list[str]:
    """Each with the numbers of the sentences that are used."""
    sentences: dict[str, set[int]] = {}
    for conversation in conversations:
        for credit in conversation.contributors:
            for number, name in re.findall(r"#(\d+) \(([^)]*)\)", credit):
                sentences.setdefault(name, set()).add(int(number))
    return [
        f"- {name}: {', '.join(f'#{number}' for number in sorted(sentences[name]))}"
        for name in sorted(sentences, key=str.casefold)
    ]
