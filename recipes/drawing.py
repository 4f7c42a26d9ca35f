"""From each source the rows that teach most for their tokens: short, whole, said once, and drawn by the seed."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

from engine.schema import Language, Message, Role
from engine.tasks.answer import REFUSALS
from recipes.conversations import (
    Conversation,
    asking,
    chatting,
    group_of,
    judging,
    judging_alone,
    sorting,
    sorting_alone,
    summarizing,
    translating,
)
from recipes.seeds import dialogues, judged, sorted_texts
from recipes.sources import Row, distinct, plain, rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from random import Random

NAMES = ("passage", "stdin", "notes.txt", "article.md", "page.txt", "report.txt")
"""What a document may be called."""
LENGTHS: dict[Language, tuple[int, int, int]] = {"en": (160, 1800, 90), "zh": (60, 900, 45)}
"""Characters of a passage, at least and at most, and of an answer at most."""
TRADITIONAL = frozenset(
    "這個們來時說對國會過還學為麼沒開關點後見話種經無東長問給頭動幾讓樣車書電愛請聽買賣錢誰寫號妳裡著嗎該"
)
"""A pair with one of these is left out: the product writes simplified characters."""
FOREIGN = re.compile(r"open.?assistant|laion|chatgpt|openai|开源|https?://|as an ai|language model|语言模型|抱歉", re.I)
"""Replies that speak of another assistant, or send people to the network."""


def sentiments(language: Language, times: int, random: Random) -> list[Conversation]:
    """All our judged texts: alone, and so many times by the dozen, each time in another order; neutral ones apart."""
    everything = once([*judged(language, name="sentiment"), *judged(language, name="plain")])
    random.shuffle(everything)
    neutral = [pair for pair in everything if pair[1] == "neutral"]
    rest = [pair for pair in everything if pair[1] != "neutral"]
    mixed, rest = rest[: 2 * len(neutral)], rest[2 * len(neutral) :]
    three = [*neutral, *mixed]
    random.shuffle(three)
    found = []
    for part in (*parts(rest, 14), *parts(three, 14)):
        group, offered = group_of(part), any(label == "neutral" for _, label in part)
        found += [judging_alone(language, text, label, group, neutral=offered) for text, label in part]
        found += [judging(language, random.sample(part, len(part))) for _ in range(times)]
    return found


def topics(language: Language, times: int, random: Random) -> list[Conversation]:
    """Our sorted texts, alone and by the dozen, so many times; labels are offered that fit, and some that do not."""
    everything = once(sorted_texts(language))
    random.shuffle(everything)
    found = []
    for spam in (True, False):
        kind = [pair for pair in everything if (pair[1] in SPAM) == spam]
        labels = list(dict.fromkeys(label for _, label in sorted(kind, key=lambda pair: pair[1])))
        for part in parts(kind, 14) * times:
            if len(choice := _offered(labels, {label for _, label in part}, random)) > 1:
                found.append(sorting(choice, random.sample(part, len(part)), language))
            for text, label in part:
                if len(choice := _offered(labels, {label}, random)) > 1:
                    found.append(sorting_alone(choice, text, label, language, group_of(part)))
    return found


def _offered(labels: Sequence[str], needed: set[str], random: Random) -> list[str]:
    some = [label for label in labels if label in needed or random.random() < OFFERED]
    return random.sample(some, len(some))


OFFERED = 0.4
"""Of the labels that no text of a conversation has."""
SPAM = frozenset({"spam", "ham", "垃圾信息", "正常信息"})
"""Labels of messages; never offered beside topics."""


def questions(data: Path, language: Language, count: int, unanswerable: float, random: Random) -> list[Conversation]:
    """Questions with answers and without; the unanswerable are those written so, and questions put to a passage like
    theirs."""
    source = "squad" if language == "en" else "cmrc"
    low, high, longest = LENGTHS[language]
    fitting = [
        row
        for row in distinct(rows(data, source), "question")
        if low <= len(row["context"]) <= high and all(len(answer) <= longest for answer in row["answers"])
    ]
    random.shuffle(fitting)
    passages = list(dict.fromkeys(row["context"] for row in fitting))
    known = {passage: plain(passage) for passage in passages}
    answerable: list[Row] = []
    written: list[Row] = []
    for row in fitting:
        (answerable if row["answers"] else written).append(row)
    count = min(count, len(fitting))
    wanted = round(count * unanswerable)
    found = []
    for row in written[:wanted]:
        found.append((row["context"], row["question"], REFUSALS[language]))
    for row in answerable[: wanted - len(found)]:
        away = [passage for passage in passages if plain(row["answers"][0]) not in known[passage]]
        if away:
            found.append((_likest(row["question"], away), row["question"], REFUSALS[language]))
    refused = len(found)
    for row in answerable[wanted : wanted + count - refused]:
        found.append((row["context"], row["question"], row["answers"][0].strip()))
    return [asking(language, *one, source, random.choice(NAMES)) for one in found]


def summaries(data: Path, language: Language, count: int, random: Random) -> list[Conversation]:
    """Abstracts with what people wrote of them, in so many words; half of the English ones, which are sentences, are
    asked for as short. The Chinese ones are titles: whoever asks for a short summary does not want one."""
    source, high = ("scitldr", 1600) if language == "en" else ("csl", 500)
    lengths = ("short", "own") if language == "en" else ("own",)
    fitting = [row for row in distinct(rows(data, source), "text") if 150 <= len(row["text"]) <= high]
    chosen = random.sample(fitting, min(count, len(fitting)))
    return [
        summarizing(language, row["text"], row["summaries"][0], lengths[number % len(lengths)], source)
        for number, row in enumerate(chosen)
    ]


def prose_summaries(data: Path, count: int, random: Random) -> list[Conversation]:
    """Longer summaries of prose: Dolly's requests for one, put in our words."""
    fitting = [
        row
        for row in distinct(rows(data, "dolly"), "instruction")
        if re.search(r"\bsummar", row["instruction"], re.I)
        and 400 <= len(row["context"]) <= 2400
        and 150 <= len(row["response"]) <= len(row["context"]) / 2
        and row["response"].rstrip().endswith(".")
        and "\n" not in row["response"].strip()
    ]
    chosen = random.sample(fitting, min(count, len(fitting)))
    lengths = ("medium", "own")
    return [
        summarizing("en", row["context"], row["response"], lengths[number % 2], "dolly")
        for number, row in enumerate(chosen)
    ]


def translations(data: Path, count: int, random: Random) -> list[Conversation]:
    """Pairs in both directions, each pair in one of them; the longer half of what is at hand."""
    fitting = [
        row
        for row in distinct(rows(data, "tatoeba"), "en", "zh")
        if 30 <= len(row["en"]) <= 160 and not TRADITIONAL & set(row["zh"])
    ]
    chosen = random.sample(fitting, min(count, len(fitting)))
    half = len(chosen) // 2
    directions: tuple[tuple[Language, list[Row]], ...] = (("zh", chosen[:half]), ("en", chosen[half:]))
    return [translating(to, part) for to, pairs in directions for part in parts(pairs, 12)]


def own_dialogues(language: Language) -> list[Conversation]:
    """All of them."""
    return [chatting(language, turns, "own") for turns in dialogues(language)]


def instructions(data: Path, count: int, random: Random) -> list[Conversation]:
    """Dolly's requests without a text, with replies of a few whole sentences or lines."""
    fitting = [
        row
        for row in distinct(rows(data, "dolly"), "instruction")
        if not row["context"].strip() and len(row["instruction"]) <= 160
        if 50 <= len(row["response"]) <= 700 and row["response"].rstrip()[-1] in ".!?"
    ]
    fitting = [row for row in fitting if not FOREIGN.search(row["response"])]
    chosen = random.sample(fitting, min(count, len(fitting)))
    return [chatting("en", _exchange(row["instruction"], row["response"]), "dolly") for row in chosen]


def assistant_english(data: Path, count: int, random: Random) -> list[Conversation]:
    """Best-ranked first replies of OASST1 that passed review."""
    messages = rows(data, "oasst.en")
    asked = {row["message_id"]: row for row in messages if row["role"] == "prompter" and not row["parent_id"]}
    fitting = [
        {"asked": asked[row["parent_id"]]["text"], "reply": row["text"]}
        for row in messages
        if row["parent_id"] in asked and row["rank"] == 0 and row["review_result"] and row["lang"] == "en"
        if 30 <= len(row["text"]) <= 1000 and not FOREIGN.search(row["text"])
    ]
    return _drawn("en", fitting, count, random, "oasst.en")


def assistant_chinese(data: Path, count: int, random: Random) -> list[Conversation]:
    """First exchanges of OASST1 in Chinese, one reply a request."""
    fitting = [
        {"asked": asked, "reply": reply}
        for asked, reply in (row["turns"][0] for row in rows(data, "oasst.zh"))
        if len(asked) <= 120 and 15 <= len(reply) <= 400 and not FOREIGN.search(asked + reply)
        if reply.rstrip()[-1] in "。！？.!?" and not TRADITIONAL & set(asked + reply)
    ]
    return _drawn("zh", fitting, count, random, "oasst.zh")


def knowing_chinese(data: Path, count: int, random: Random) -> list[Conversation]:
    """The first six turns of KdConv's dialogues, of which the second speaker's are learnt."""
    fitting = [row["messages"][:6] for row in rows(data, "kdconv") if len(row["messages"]) >= 6]
    fitting = [turns for turns in fitting if sum(map(len, turns)) <= 180]
    chosen = random.sample(fitting, min(count, len(fitting)))
    roles: tuple[Role, Role] = ("user", "assistant")
    return [
        chatting("zh", [Message(roles[at % 2], turn) for at, turn in enumerate(turns)], "kdconv") for turns in chosen
    ]


def _drawn(language: Language, pairs: Iterable[Row], count: int, random: Random, source: str) -> list[Conversation]:
    once = list(distinct(pairs, "asked"))
    chosen = random.sample(once, min(count, len(once)))
    return [chatting(language, _exchange(row["asked"], row["reply"]), source) for row in chosen]


def _exchange(asked: str, reply: str) -> list[Message]:
    return [Message("user", asked.strip()), Message("assistant", reply.strip())]


def once(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each text once, compared without case, spaces and punctuation."""
    return list({plain(text): (text, label) for text, label in pairs}.values())


def parts(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Pieces of about `size`, none of them tiny."""
    count = max(1, round(len(items) / size))
    bounds = [round(number * len(items) / count) for number in range(count + 1)]
    return [items[first:last] for first, last in itertools.pairwise(bounds) if last > first]


def _likest(question: str, passages: Sequence[str]) -> str:
    """The passage that shares most pairs of characters with the question: refusing it takes reading."""
    pairs = {question[at : at + 2] for at in range(len(question) - 1)}
    return max(passages, key=lambda passage: sum(pair in passage for pair in pairs))
