"""Reviews that a larger model writes to order, kept where those who judge them agree: `python -m recipes.written`.

    python -m recipes.written ask DATA 3000 > asked.jsonl
    llm batch '{text}' asked.jsonl --in jsonl:prompt --out jsonl -m qwen2.5-coder-1.5b-instruct \\
      --temperature 1 --top-p 0.95 --max-tokens 360 > answered.jsonl
    python -m recipes.written lines answered.jsonl > lines.jsonl
    llm sentiment -f lines.jsonl --in jsonl:text --out jsonl -m NAME > judged.jsonl       (for each who judges)
    python -m recipes.written keep FOLDER judged.jsonl another.jsonl

The last step writes `written.LANGUAGE.txt`, as `recipes.seeds` reads it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from engine.errors import EngineError, InputError
from engine.language import language_of
from recipes import seeds
from recipes.drawing import once
from recipes.sources import plain, rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from engine.schema import Language

SHOWN = 6
"""Reviews of others in a request: whose manner is to be met."""
SURE = 0.75
"""Mean probability of the kept label, at least, where it is also the label that was ordered."""
SURER = 0.97
"""The same where another was ordered: the writer has not kept to the order."""
LENGTHS: dict[Language, tuple[int, int]] = {"en": (15, 220), "zh": (5, 120)}
"""Characters of a review, at least and at most."""
ORDERS = Path(__file__).with_name("orders.toml")
FILM = 0.8
"""Of the English reviews."""
LABELS = ("positive", "negative")


def ask(data: Path, count: int, seed: int) -> Iterator[dict[str, str]]:
    """Requests in both languages in turn, each with reviews of its own to go by. Raises InputError for missing data."""
    random = Random(seed)
    orders = tomllib.loads(ORDERS.read_text(encoding="utf-8"))
    shown = {(language, label): _shown(data, language, label) for language in LENGTHS for label in LABELS}
    for number in range(count):
        language: Language = "zh" if number % 2 else "en"
        words = orders[language]
        label = random.choice(LABELS)
        if language == "zh":
            about = random.choice(words["goods"])
        elif random.random() < FILM:
            about = f"{random.choice(words['films'])}, about {random.choice(words['sides'])}"
        else:
            about = random.choice(words["others"])
        order = words["order"].format(
            mood=words["moods"][label],
            shown="\n".join(f"- {text}" for text in random.sample(shown[language, label], SHOWN)),
            about=about,
            form=random.choice(words["forms"]),
        )
        yield {"language": language, "ordered": label, "prompt": order}


def _shown(data: Path, language: Language, label: str) -> list[str]:
    pairs = [*seeds.judged(language, name="plain"), *seeds.judged(language, name="sentiment")]
    if language == "en":
        pairs += [(row["text"].strip(), row["label"]) for row in rows(data, "uci")]
    low, high = LENGTHS[language]
    return sorted(text for text, said in once(pairs) if said == label and low <= len(text) <= high)


MARK = re.compile(r"^\s*(?:[-*•–]|\(?\d{1,2}[.)、）．:：])\s*")
"""Before an item of a list."""
QUOTES = "\"'“”‘’「」『』*_` "


INTRODUCTION = re.compile(
    r"(?i)^(sure|here are|certainly|of course)\b|^(以下|好的|当然)|eight (new )?(lines|writers)|评价：|买家|[:：]$|\t"
)
"""What introduces the list, or speaks of it."""


def lines(answered: Iterable[dict[str, Any]]) -> Iterator[dict[str, str]]:
    """The reviews in answers, each once: items of a list, or lines, in the language that was asked for."""
    seen: set[str] = set()
    for row in answered:
        language = row["language"]
        low, high = LENGTHS[language]
        # Those it was shown are no reviews of its own.
        shown = {plain(line[2:]) for line in row["prompt"].split("\n") if line[:2] == "- "}
        for text in _items(str(row.get("answer") or "")):
            key = plain(text)
            fits = low <= len(text) <= high and language_of(text) == language and not INTRODUCTION.search(text)
            if fits and key not in seen and key not in shown:
                seen.add(key)
                yield {"language": language, "ordered": row["ordered"], "text": text}


def _items(answer: str) -> list[str]:
    found = [line for line in answer.split("\n") if line.strip()]
    items = [line for line in found if MARK.match(line)]
    return [MARK.sub("", line).strip(QUOTES) for line in (items if len(items) > 1 else found)]


def keep(judgements: Sequence[Sequence[dict[str, Any]]]) -> dict[Language, list[tuple[str, str]]]:
    """Texts with the label that those who judge give in the mean, where they are sure enough of it."""
    found: dict[Language, list[tuple[str, str]]] = {language: [] for language in LENGTHS}
    for said in zip(*judgements, strict=True):
        first = said[0]
        if len({one["text"] for one in said}) > 1:
            raise InputError(f"those who judge were given other texts: {first['text']!r:.60}")
        likely = {label: sum(one["scores"][label] for one in said) / len(said) for label in LABELS}
        label = max(likely, key=likely.__getitem__)
        agreed = all(one["scores"][label] > 0.5 for one in said)
        if agreed and likely[label] >= (SURE if label == first["ordered"] else SURER):
            found[first["language"]].append((first["text"], label))
    return found


def main(words: Sequence[str] | None = None) -> None:
    """Read the arguments and do one step. Exits with a message where that fails."""
    parser = argparse.ArgumentParser(prog="python -m recipes.written", description=(__doc__ or "").partition("\n")[0])
    steps = parser.add_subparsers(dest="step", required=True)
    step = steps.add_parser("ask", help="requests for reviews, as JSONL")
    step.add_argument("data", type=Path, help="the folder that holds sft/")
    step.add_argument("count", type=int)
    step.add_argument("--seed", type=int, default=0)
    step = steps.add_parser("lines", help="the reviews in the answers, as JSONL")
    step.add_argument("answered", type=Path)
    step = steps.add_parser("keep", help="write what those who judge agree on")
    step.add_argument("folder", type=Path)
    step.add_argument("judged", type=Path, nargs="+")
    arguments = parser.parse_args(words)
    try:
        if arguments.step == "keep":
            _write(arguments.folder, keep([list(_read(path)) for path in arguments.judged]))
            return
        made = (
            ask(arguments.data, arguments.count, arguments.seed)
            if arguments.step == "ask"
            else lines(_read(arguments.answered))
        )
        for row in made:
            sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
    except (EngineError, OSError, ValueError, KeyError) as error:
        sys.exit(f"{error}\n{getattr(error, 'hint', '')}".strip())


def _read(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as opened:
        for line in opened:
            yield json.loads(line)


def _write(folder: Path, kept: dict[Language, list[tuple[str, str]]]) -> None:
    signs = {label: sign for sign, label in seeds.SIGNS.items()}
    for language, pairs in kept.items():
        text = "".join(f"{signs[label]} {text}\n" for text, label in pairs)
        (folder / f"written.{language}.txt").write_text(text, encoding="utf-8")
        sys.stdout.write(f"{language}: {len(pairs)} kept\n")


if __name__ == "__main__":
    main()
