"""The files that baselines are measured on and those that they learn from, found by their names in two folders."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from benchmarks.choose_prompts import document
from engine.errors import InputError
from engine.evaluation.rows import LabelledText, objects

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine.schema import Document, Language

TASKS = {
    "sentiment": "sentiment",
    "classify": "classify",
    "qa": "qa",
    "search": "search",
    "summarize": "summarize",
    "translate": "translate",
    "lm": "multiple-choice",
    "perplexity": "perplexity",
}
"""What a file's name begins with, and the task as `llm eval` calls it."""
LABELLED = {
    "sentiment.en": "sst2_train.en",
    "sentiment.zh": "online_shopping.zh",
    "classify.sms_spam.en": "sms_spam_train.en",
}
"""Rows to learn labels from, by what a file's name holds; topics of news have none."""
TEXTS: dict[Language, tuple[str, ...]] = {
    "en": ("dolly15k.en", "squad2_train_subset.en", "scitldr_train.en"),
    "zh": ("cmrc2018_train.zh", "csl_dev_titles.zh", "kdconv.zh", "oasst1.zh"),
}
"""Texts to learn a language from."""
_TEXT_FIELDS = ("instruction", "context", "question", "response", "text", "summaries", "messages", "turns")


class LeftOut(Exception):
    """A baseline that can't be run here, and why."""


@dataclass(frozen=True)
class EvalFile:
    """Rows to measure on: `TASK.SET.LANGUAGE.jsonl`, or `.txt` for a plain text."""

    path: Path

    @property
    def task(self) -> str:
        """As `llm eval` calls it."""
        return TASKS[self._parts[0]]

    @property
    def name(self) -> str:
        """Without the ending."""
        return ".".join(self._parts[:3])

    @property
    def language(self) -> Language:
        """Of what is read."""
        return "zh" if self._parts[2] == "zh" else "en"

    @property
    def _parts(self) -> list[str]:
        return self.path.name.split(".")

    @cached_property
    def document(self) -> Document:
        """Its text. Raises InputError."""
        return document(self.path)

    def rows(self, kind: Any) -> list[Any]:
        """The rows as one of the kinds of `engine.evaluation.rows`. Raises InputError."""
        return [kind.read(line, fields) for line, fields in objects(self.document)]

    @property
    def passages(self) -> EvalFile:
        """What is searched for the queries of this file."""
        return EvalFile(self.path.with_name(self.path.name.replace("_queries.", "_passages.")))


def eval_files(folder: Path, task: str | None = None) -> list[EvalFile]:
    """Every file of a folder that a task can be measured on, in order of name. Raises InputError if there is none."""
    found = [
        EvalFile(path)
        for path in sorted(folder.glob("*"))
        if path.suffix in {".jsonl", ".txt"}
        and len(parts := path.name.split(".")) == 4
        and parts[0] in TASKS
        and "_passages." not in path.name
        and task in {None, TASKS[parts[0]]}
    ]
    if not found:
        raise InputError(f"{folder} holds no file TASK.SET.LANGUAGE.jsonl" + (f" for {task}" if task else ""))
    return found


@dataclass(frozen=True)
class Training:
    """A folder of gzipped rows, or none."""

    folder: Path | None
    _learned: dict[Language, Any] = field(default_factory=dict)
    """Language models are made once for all files of a language."""

    def document(self, name: str) -> Document:
        """The rows of a set. Raises LeftOut."""
        path = self.folder / f"{name}.jsonl.gz" if self.folder else None
        if not path or not path.is_file():
            raise LeftOut(f"no training rows: {name}.jsonl.gz" + ("" if path else ", which --train would name"))
        return document(path)

    def labelled(self, file: EvalFile) -> list[tuple[str, str]]:
        """Texts and labels for a file, each text once, but for those that have two labels. Raises LeftOut."""
        keys = (f"{file.task}.{file.language}", file.name)
        name = next((LABELLED[key] for key in keys if key in LABELLED), None)
        if not name:
            raise LeftOut("no training rows with these labels")
        labels: dict[str, set[str]] = {}
        texts: dict[str, str] = {}
        for line, fields in objects(self.document(name)):
            row = LabelledText.read(line, fields)
            plain = "".join(character for character in row.text.casefold() if character.isalnum())
            texts.setdefault(plain, row.text)
            labels.setdefault(plain, set()).add(row.label)
        return [(texts[plain], next(iter(found))) for plain, found in labels.items() if len(found) == 1]

    def texts(self, language: Language) -> list[str]:
        """Every text of a language's sets, once. Raises LeftOut."""
        documents = [self.document(name) for name in TEXTS[language]]
        rows = (json.loads(line) for found in documents for line in found.text.split("\n") if line.strip())
        return list(dict.fromkeys(text for row in rows for name in _TEXT_FIELDS for text in _strings(row.get(name))))

    def language_model(self, language: Language) -> Any:
        """The n-gram model of a language, made at the first call. Raises LeftOut."""
        if language not in self._learned:
            from benchmarks.baselines.pieces import TextModel

            self._learned[language] = TextModel.train(self.texts(language))
        return self._learned[language]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value.strip():
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
