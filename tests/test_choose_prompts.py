"""The script that measures prompt variants measures the variants, on the rows given, and leaves the product's alone."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from benchmarks import choose_prompts
from engine.errors import InputError
from engine.session import Session
from engine.tasks import answer, sentiment

if TYPE_CHECKING:
    from pathlib import Path

    from engine.schema import Message

ROWS = {
    "sentiment": [{"text": f"很好，第{i}次", "label": ("positive", "negative")[i % 2]} for i in range(12)],
    "qa": [{"context": f"The ferry leaves at {i}.", "question": "When?", "answers": [str(i)]} for i in range(12)],
}
VARIANTS = {
    "sentiment": '[bare]\nexamples = []\n[other]\ninstruction = "只说{labels}。"\nexamples = [["好", "positive"]]\n',
    "qa": '[bare]\nprompt = "{documents} {question}"\n',
}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """One file a task, and one with its variants."""
    for task, found in ROWS.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
        (tmp_path / f"{task}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
        (tmp_path / f"{task}.toml").write_text(VARIANTS[task], "utf-8")
    return tmp_path


def measured(rows: Path, home: Path, task: str, *words: str) -> None:
    files = ["--data", str(rows / f"{task}.jsonl.gz"), "--variants", str(rows / f"{task}.toml")]
    model = ["--model", str(home / "models" / "tiny"), "--threads", "1", "--max-tokens", "4"]
    choose_prompts.run(choose_prompts.parsed([task, *files, *model, *words]))


@pytest.mark.parametrize("task", ["sentiment", "qa"])
def test_every_variant_is_measured_on_the_same_rows(
    task: str, rows: Path, tiny_model_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = repr((sentiment.INSTRUCTIONS, sentiment.EXAMPLES, sentiment.WORDS, answer.PROMPTS))
    measured(rows, tiny_model_home, task, "--rows", "6")
    heading, _, columns, _, *lines = capsys.readouterr().out.splitlines()
    assert "6 of 12 rows" in heading
    assert ("accuracy" if task == "sentiment" else "f1") in columns
    names = ["as shipped", "bare", "other"] if task == "sentiment" else ["as shipped", "bare"]
    assert [line.split(" | ")[0].strip("| ") for line in lines] == names
    assert {line.count("|") for line in lines} == {columns.count("|")}
    assert repr((sentiment.INSTRUCTIONS, sentiment.EXAMPLES, sentiment.WORDS, answer.PROMPTS)) == before


def test_the_model_is_asked_with_the_variant(
    rows: Path, tiny_model_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, asked = Session.stream, list[str]()

    def noted(self: Session, messages: list[Message], *arguments: object, **settings: object) -> object:
        asked.append(messages[-1].content)
        return stream(self, messages, *arguments, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(Session, "stream", noted)
    measured(rows, tiny_model_home, "qa", "--rows", "3")
    assert len(asked) == 6
    assert all("The text does not say" in prompt for prompt in asked[:3])
    assert all(prompt.endswith("</document> When?") for prompt in asked[3:])


@pytest.mark.parametrize(
    ("task", "variants", "said"),
    [
        ("sentiment", "[a]\nprompt = 'x'\n", "instruction, examples, words"),
        ("sentiment", "[a]\nexamples = 'x'\n", "examples"),
        ("sentiment", "[a]\n", "some of"),
        ("qa", "prompt = 'x'\n", "prompt"),
        ("qa", "not toml", "can't read"),
    ],
)
def test_a_variant_that_fits_no_prompt_is_refused(rows: Path, task: str, variants: str, said: str) -> None:
    (rows / "wrong.toml").write_text(variants, "utf-8")
    with pytest.raises(InputError, match=said):
        choose_prompts.read_variants(rows / "wrong.toml", task)


def test_rows_that_can_not_be_read_are_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl.gz").write_bytes(b"no gzip")
    for name in ("rows.jsonl.gz", "none.jsonl"):
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            choose_prompts.document(tmp_path / name)
