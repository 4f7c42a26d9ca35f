"""Is a text positive or negative? Its prompts and judged examples.

A model with a probe for it (`engine.probe`) judges a text at a glance. Otherwise, and where neutral may be said or a
text is long, the scores of its replies come from `engine.tasks.labels`. Then a text that leaves doubt is read a second
time, twice over: so the model sees its end when it reads its beginning, which a decoder otherwise never does
(arXiv 2402.15449). Both readings count alike.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from engine.errors import EngineError
from engine.language import language_of
from engine.schema import LabelScores, Language, Message
from engine.tasks import labels
from engine.tasks.labels import Question

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from engine.session import Session

INSTRUCTIONS: dict[Language, str] = {
    "en": "You judge the sentiment of texts. Answer with one word: {labels}.",
    "zh": "你判断文字的情感。只回答一个词：{labels}。",
}
EXAMPLES: dict[Language, tuple[tuple[str, str], ...]] = {
    "en": (
        ("Despite the slow start, it grew into something wonderful.", "positive"),
        ("I wanted to like it; I really did not.", "negative"),
        ("Arrived a day early, well packed, and it works perfectly.", "positive"),
        ("loud, shallow and without a single fresh thought", "negative"),
        ("The meeting is on Tuesday at ten.", "neutral"),
        ("Not worth the money, and the staff could not care less.", "negative"),
        ("You won't regret a minute of it.", "positive"),
        ("It has four wheels and a handle.", "neutral"),
        ("The cast does what it can with a script that has nothing to say.", "negative"),
        ("warm, witty and surprisingly moving", "positive"),
    ),
    "zh": (
        ("开头有点慢，后来越看越喜欢。", "positive"),
        ("我本来很期待，结果太失望了。", "negative"),
        ("孩子特别喜欢，天天都要玩。", "positive"),
        ("质量一般，跟描述的完全不一样，不值这个钱。", "negative"),
        ("会议在周二上午十点。", "neutral"),
        ("说不上难吃，但绝对不会再点第二次。", "negative"),
        ("没有一点让人后悔的地方，推荐给大家。", "positive"),
        ("它有四个轮子和一个把手。", "neutral"),
        ("看着漂亮，一洗就掉色，后悔买了。", "negative"),
        ("干净、安静，离车站也近，住得很舒服。", "positive"),
    ),
}
"""Our own, given as turns that were already judged; those of a label that is not asked for are left out."""
CALIBRATED = False
"""With the prior taken off, 300 development rows a language gave 0.863 and 0.877 with an earlier adapter (0.887 and
0.877 without), 0.857 and 0.893 with the plain model (0.850 and 0.887 without)."""
SURE = 0.8
"""A text whose best label has less is read again. Of 1,000 development rows a language (SST-2's training file and
online_shopping's) 166 and 64 were, and the accuracy went from 0.883 and 0.904 to 0.892 and 0.910; with every row read
again it is 0.892 and 0.913. More examples, other orders, or the other language's prompt gave less."""
TWICE = 512
"""Tokens of the longest text that is read again: the double must fit beside the examples."""
WORDS: dict[Language, dict[str, str]] = {
    "en": {"positive": "positive", "negative": "negative", "neutral": "neutral"},
    "zh": {"positive": "正面", "negative": "负面", "neutral": "中性"},
}


def question(language: Language, *, neutral: bool = False) -> Question:
    """The instruction and the judged examples."""
    words = {label: word for label, word in WORDS[language].items() if neutral or label != "neutral"}
    named = listed(tuple(words.values()), language)
    messages = [Message("system", INSTRUCTIONS[language].format(labels=named))]
    for example, label in EXAMPLES[language]:
        if label in words:
            messages += [Message("user", example), Message("assistant", words[label])]
    return Question(tuple(words), tuple(words.values()), tuple(messages), calibrated=CALIBRATED)


def listed(words: Sequence[str], language: Language) -> str:
    """`a, b or c`."""
    comma, last = (", ", " or ") if language == "en" else ("、", "或")
    return comma.join(words[:-1]) + last + words[-1]


def judge_many(
    session: Session, texts: Iterable[str], *, neutral: bool = False
) -> Generator[tuple[int, LabelScores | EngineError], None, None]:
    """The number of each text and the probability of each label, which sum to 1, or why there is none.

    Texts of both languages may be mixed; each is asked about in its own. Those in doubt come last of their window.
    """
    start = 0
    for window in labels.windows(texts):
        for language in ("en", "zh"):
            numbers = [number for number, text in enumerate(window) if language_of(text) == language]
            glanced = not neutral and probe_of(language) in session.probes
            judge_some = partial(_glance, language) if glanced else _judge
            asked = question(language, neutral=neutral)
            for number, result in judge_some(session, asked, [window[n] for n in numbers]):
                yield start + numbers[number], result
        start += len(window)


def probe_of(language: Language) -> str:
    """What the probe is called that tells positive texts of a language from negative ones."""
    return f"sentiment.{language}"


def _glance(
    language: Language, session: Session, asked: Question, texts: Sequence[str]
) -> Generator[tuple[int, LabelScores | EngineError], None, None]:
    """`_judge` by a probe; those that it says nothing of come last, judged by replies."""
    said = [number for number, text in enumerate(texts) if text.strip()]
    left = [number for number, text in enumerate(texts) if not text.strip()]
    passes = session.glance_many(probe_of(language), [asked.messages(texts[number].strip()) for number in said])
    for number, odds in zip(said, chain.from_iterable(passes), strict=True):
        if odds is None:
            left.append(number)
        else:
            scores = dict(zip(asked.labels, labels.softmax([odds, 0.0]), strict=True))
            yield number, LabelScores(max(scores, key=lambda label: scores[label]), scores)
    for place, result in _judge(session, asked, [texts[number] for number in left]):
        yield left[place], result


def _judge(
    session: Session, asked: Question, texts: Sequence[str]
) -> Generator[tuple[int, LabelScores | EngineError], None, None]:
    """`judge_many` of texts in one language."""
    doubtful: dict[int, LabelScores] = {}
    for number, result in enumerate(labels.judge(session, asked, texts) if texts else ()):
        if isinstance(result, LabelScores) and result.score < SURE and session.count(texts[number]) <= TWICE:
            doubtful[number] = result
        else:
            yield number, result
    again = labels.judge(session, asked, [f"{texts[n].strip()}\n{texts[n].strip()}" for n in doubtful])
    for (number, first), second in zip(doubtful.items(), again if doubtful else (), strict=True):
        yield number, mean(first, second) if isinstance(second, LabelScores) else first


def mean(first: LabelScores, second: LabelScores) -> LabelScores:
    """The normalized geometric mean of two readings: of two labels, the mean of their log odds."""
    logs = [
        sum(math.log(max(reading.scores[label], 1e-12)) for reading in (first, second)) / 2 for label in first.scores
    ]
    scores = dict(zip(first.scores, labels.softmax(logs), strict=True))
    return LabelScores(max(scores, key=lambda label: scores[label]), scores)


def judge(session: Session, text: str, *, neutral: bool = False) -> LabelScores:
    """`judge_many` of one text. Raises InputError for an empty one."""
    ((_, result),) = judge_many(session, [text], neutral=neutral)
    if isinstance(result, EngineError):
        raise result
    return result
