"""A data folder of the real one's shape: every training set with rows made to its fields, and evaluation files."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

from recipes.sources import SOURCES

if TYPE_CHECKING:
    from pathlib import Path

ENGLISH = (
    "The harbour of {name} was built in {year} by order of the town council. It has two piers of stone, and the older "
    "one carries a lighthouse that was lit for the first time {later} years afterwards. Fishing boats still use it."
)
CHINESE = (
    "{name}港建于{year}年，由当地政府出资修建。港口有两座石砌的码头，其中较早的一座上有灯塔，"
    "在建成{later}年之后才第一次点亮。直到今天，渔船仍然使用这个港口，每年秋天还会在这里举行节日。"
)


def write(folder: Path) -> Path:
    """The folder, made."""
    (folder / "sft").mkdir(parents=True)
    (folder / "eval").mkdir()
    made = {
        "dolly": [dolly(n) for n in range(60)] + [prose(n) for n in range(20)],
        "oasst.en": [message for n in range(40) for message in oasst(n)],
        "oasst.zh": [
            {"turns": [[f"请说说第{n}个城市有什么特点？", f"第{n}个城市靠海，气候温和，适合散步和游览。"]]}
            for n in range(40)
        ],
        "kdconv": [{"messages": [f"你知道歌手{n}号吗？", "知道，他唱歌很好听。"] * 4} for n in range(12)],
        "cmrc": [passage(CHINESE, f"城{n}", n) for n in range(180)],
        "squad": [passage(ENGLISH, f"Port{n}", n) for n in range(180)],
        "scitldr": [
            {
                "text": f"Study {n}. " + "We train networks on harbours. " * 8,
                "summaries": [f"Networks learn harbour {n}."],
            }
            for n in range(40)
        ],
        "csl": [
            {
                "text": f"研究{n}。" + "本文研究港口的水文特征与船舶调度问题。" * 9,
                "summaries": [f"港口水文特征研究之{n}"],
            }
            for n in range(40)
        ],
        "tatoeba": [pair(n) for n in range(400)],
        "uci": [
            {"text": f"The soup at table {n} was {word}, and so was the tea.", "label": label}
            for n in range(40)
            for word, label in (("wonderful", "positive"), ("awful", "negative"))
        ],
        "sms": [{"text": f"You have won prize {n}, call now!", "label": "spam"} for n in range(30)]
        + [{"text": f"see you at {n} then", "label": "ham"} for n in range(60)],
    }
    for name, rows in made.items():
        with gzip.open(folder / "sft" / f"{SOURCES[name].file}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "eval" / "sentiment.some.en.jsonl").write_text(
        json.dumps({"text": "A sentence that only the evaluation has.", "label": "positive"}) + "\n", encoding="utf-8"
    )
    return folder


def dolly(n: int) -> dict[str, str]:
    return {
        "instruction": f"What is tool number {n} good for?",
        "context": "",
        "response": f"Tool number {n} is good for mending nets, cutting ropes and opening tins on a boat.",
    }


def prose(n: int) -> dict[str, str]:
    text = " ".join(ENGLISH.format(name=f"Bay{n}{part}", year=1700 + n, later=part) for part in range(3))
    summary = f"Bay {n} has three harbours with stone piers and lighthouses, and fishing boats use all of them. " * 2
    return {"instruction": f"Summarize text {n}", "context": text, "response": summary.strip()}


def oasst(n: int) -> list[dict[str, Any]]:
    common = {"lang": "en", "review_result": True, "deleted": False}
    asked = {
        "message_id": f"q{n}",
        "parent_id": None,
        "role": "prompter",
        "text": f"How do I fix leak {n}?",
        "rank": None,
    }
    best = {
        "message_id": f"a{n}",
        "parent_id": f"q{n}",
        "role": "assistant",
        "rank": 0,
        "text": f"Close valve {n}, then tape the pipe and call someone.",
    }
    worse = best | {"message_id": f"b{n}", "rank": 1, "text": "Open it further and see what happens next, maybe."}
    return [message | common for message in (asked, best, worse)]


def passage(template: str, name: str, n: int) -> dict[str, Any]:
    year = str(1500 + n)
    question = f"In which year was the harbour of {name} built?" if template is ENGLISH else f"{name}港建于哪一年？"
    answers = [] if template is ENGLISH and n % 6 == 0 else [year]
    return {"context": template.format(name=name, year=year, later=n), "question": question, "answers": answers}


def pair(n: int) -> dict[str, str]:
    return {
        "en": f"The {n}th boat came back to the harbour last night.",
        "zh": f"第{n}条船昨天晚上回到了港口。",
        "attribution": f"CC-BY 2.0 (France) Attribution: tatoeba.org #{n + 1} (Ana) & #{n + 900} (bo_{n % 3})",
    }
