"""Whether an answer says that there is none: what is right for an unanswerable question."""

from __future__ import annotations

import re

_ENGLISH = re.compile(
    r"\b(does|do|did)(n['’]t| not) (\w+ly )?(say|state|mention|specif|provid|indicat|discuss|address|answer)"
    r"|\b(text|passage|document|article|paragraph|context)s? (\w+ )?(does|do|did)(n['’]t| not) (\w+ly )?"
    r"(give|contain|include|tell|reveal|describe|explain|make)"
    r"|\b(is|are|was|were|be)(n['’]t| not) (\w+ly )?"
    r"(mentioned|stated|specified|provided|given|answered|known|clear|available|indicated|discussed)\b"
    r"|^not (\w+ly )?(mentioned|stated|specified|provided|given|known|answerable)"
    r"|\bno (specific |explicit |such )?(answer|information|mention)\b"
    r"|\b(can['’]?t|can ?not|unable to|impossible to) (\w+ly )?(be )?(answer|determin|tell|find out)"
    r"|\b(do not|don['’]t) know\b|\bunanswerable\b|^(unknown|none|n/a)$",
    re.IGNORECASE,
)
_CHINESE = re.compile(
    "(没有|没|未|并未|未曾|不曾)(有|能|被)?(明确|具体|直接)?(地)?"
    "(提到|提及|说明|提供|给出|说到|说|指出|涉及|包含|描述|回答|答案|相关信息|记载)"
    "|(无法|不能)(从.{0,8})?(回答|确定|得知|判断|知道|得出|找到)|不知道|不得而知|无从得知"
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|[。！？\n]")


def is_refusal(answer: str) -> bool:
    """Whether the first sentence says that the text does not answer; an empty answer refuses as well."""
    first = next((part for part in _SENTENCE.split(answer) if part.strip()), "").strip()
    return not first or bool(_ENGLISH.search(first.rstrip(".!")) or _CHINESE.search(first))
