"""Answers to questions about a passage: exact match and F1, English as SQuAD 2.0 (arXiv 1806.03822) scores them and
Chinese as CMRC 2018 (arXiv 1810.07366) does; a question without answers is answered right by a refusal alone.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.evaluation.refusal import is_refusal
from engine.language import HAN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.schema import Language

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_ENGLISH_MARKS = str.maketrans("", "", string.punctuation)
_CHINESE_MARKS = str.maketrans("", "", "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
"""The marks that CMRC's own script leaves out: no ASCII comma and no dot, which numbers have inside."""
_OTHER = re.compile(r"\w+(?:[.,]\w+)*|[^\w\s]")


@dataclass(frozen=True, slots=True)
class AnswerScores:
    """One answer against its references, each figure 0 to 1."""

    exact: float
    f1: float
    found: float
    """Whether a reference stands in the answer: what a reader of whole sentences looks for."""
    refused: bool
    answerable: bool


def score_answer(answer: str, references: Sequence[str], language: Language) -> AnswerScores:
    """The best over the references. No references: all 1 if the answer is a refusal, else all 0; and a refusal of what
    can be answered is all 0, whatever words it shares with a reference.
    """
    refused = is_refusal(answer)
    if refused or not references:
        right = float(refused and not references)
        return AnswerScores(right, right, right, refused, bool(references))
    exact, overlap = (_english_exact, english_f1) if language == "en" else (_chinese_exact, chinese_f1)
    within = normalized if language == "en" else _chinese_plain
    padded = f" {within(answer)} " if language == "en" else within(answer)
    return AnswerScores(
        exact=max(exact(answer, reference) for reference in references),
        f1=max(overlap(answer, reference) for reference in references),
        found=float(any(_holds(padded, within(reference), language) for reference in references)),
        refused=False,
        answerable=True,
    )


def _holds(text: str, part: str, language: Language) -> bool:
    return bool(part) and (f" {part} " in text if language == "en" else part in text)


def normalized(text: str) -> str:
    """SQuAD's normal form: lower case, no punctuation, no articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_ENGLISH_MARKS)).split())


def _english_exact(answer: str, reference: str) -> float:
    return float(normalized(answer) == normalized(reference))


def english_f1(answer: str, reference: str) -> float:
    """F1 of the words of two texts in normal form, in any order; two empty ones agree."""
    found, wanted = normalized(answer).split(), normalized(reference).split()
    if not found or not wanted:
        return float(found == wanted)
    common = (Counter(found) & Counter(wanted)).total()
    return 2 * common / (len(found) + len(wanted))


def _chinese_plain(text: str) -> str:
    return text.lower().strip().translate(_CHINESE_MARKS)


def _chinese_exact(answer: str, reference: str) -> float:
    return float(_chinese_plain(answer) == _chinese_plain(reference))


def chinese_units(text: str) -> list[str]:
    """Chinese characters one by one, other runs as words and marks."""
    found: list[str] = []
    for part in re.split(f"({HAN.pattern})", _chinese_plain(text)):
        found += [part] if HAN.fullmatch(part) else _OTHER.findall(part)
    return found


def chinese_f1(answer: str, reference: str) -> float:
    """F1 of the longest run that both have in one piece, as CMRC counts it; two empty ones agree."""
    found, wanted = chinese_units(answer), chinese_units(reference)
    if not found or not wanted:
        return float(found == wanted)
    return 2 * common_run(found, wanted) / (len(found) + len(wanted))


def common_run(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest stretch without gaps that both hold; time |first| x |second|."""
    longest = 0
    row = [0] * (len(second) + 1)
    for unit in first:
        before = 0
        for i, other in enumerate(second, 1):
            above = row[i]
            row[i] = before + 1 if unit == other else 0
            longest = max(longest, row[i])
            before = above
    return longest
