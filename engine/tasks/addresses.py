"""Markdown without what a reader does not see: where links lead, badges, the files of pictures, comments, layout tags.

Each line stays a line, and code stays as it is. What is no Markdown has hardly anything of the kind.
"""

from __future__ import annotations

import re

_FENCE = re.compile(r"[\s>]*(`{3,}(?=[^`]*$)|~{3,})")
_CODE = r"(?P<code>(?<!`)(?P<ticks>`{1,3})(?!`).+?(?<!`)(?P=ticks)(?!`))"
_TARGET = r"\((?:<[^<>]*>|[^()\s]*(?:\([^()\s]*\)[^()\s]*)*)(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)"
_IMAGE = rf"!\[(?:[^\[\]]*)\](?:{_TARGET}|\[[^\[\]]*\])"
_LEADS = r"(?=\(<?(?:[a-zA-Z][a-zA-Z+.-]*:|[#/.?]|[^\s()]*[./#]))"
"""What stands in the parentheses is an address: a call of what an index gives has other things there."""
_TAGS = "a|br|center|div|h[1-6]|img|p|picture|source"
_HIDDEN = re.compile(
    rf"{_CODE}"
    rf"|(?P<badge>\[{_IMAGE}\](?:{_TARGET}|\[[^\[\]]*\]))"
    rf"|!\[(?P<alt>[^\[\]]*)\]{_TARGET}"
    rf"|(?<![A-Za-z0-9_\])])\[(?P<link>[^\[\]]+)\]{_LEADS}{_TARGET}"
    r"|(?P<comment><!--.*?-->)"
    rf"|(?P<tag><(?:{_TAGS})\s+[a-z-]+\s*=[^<>]*>|</(?:{_TAGS})>|<br\s*/?>)",
    re.IGNORECASE,
)
_DEFINITION = re.compile(r" {0,3}\[[^\]^][^\]]*\]:\s*(?:<[^<>]*>|[^\s\"']*[./#:][^\s\"']*)(?:\s+[\"'(].*)?\s*")
_SIGNS = ("](", "]: http")
_LONGEST = 5000
"""Characters of a line that is looked at: a longer one was written by no hand."""


def without_addresses(text: str) -> str:
    """The text as it is read, on as many lines; one of addresses alone as it is."""
    if not any(sign in text for sign in _SIGNS):
        return text
    lines, fence = text.split("\n"), ""
    for number, line in enumerate(lines):
        found = _FENCE.match(line)
        if fence:
            if found and found[1].startswith(fence) and not line[found.end() :].strip():
                fence = ""
        elif found:
            fence = found[1]
        elif len(line) <= _LONGEST and ("[" in line or "<" in line):
            lines[number] = "" if _DEFINITION.fullmatch(line) else _read(line)
    read = "\n".join(lines)
    return read if read.strip() else text


def _read(line: str) -> str:
    read = _HIDDEN.sub(lambda found: found["code"] or found["alt"] or found["link"] or "", line)
    return read if read.strip() or not line.strip() else ""
