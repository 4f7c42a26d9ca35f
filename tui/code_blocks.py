"""The code blocks of a Markdown text, as their authors wrote them."""

from __future__ import annotations


def code_blocks(text: str) -> list[str]:
    """What stands in fenced and indented blocks, in order; an unclosed fence goes to the end."""
    from markdown_it import MarkdownIt

    return [token.content for token in MarkdownIt("commonmark").parse(text) if token.type in {"fence", "code_block"}]
