"""The vocabulary that the project ships is the one that its card describes, and its recipe works."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import tokenizer_texts as texts

import tokenizer_models
from engine.chat_format import ChatFormat
from engine.schema import Message
from engine.tokenizer import Tokenizer
from tokenizer_models import train

CARD = Path(tokenizer_models.__file__).parent / "README.md"


def test_the_card_names_the_file_that_is_shipped() -> None:
    model = (tokenizer_models.path() / "tokenizer.model").read_bytes()
    assert hashlib.sha256(model).hexdigest() in CARD.read_text(encoding="utf-8")
    assert len(model) < 500_000


def test_both_languages_cost_few_tokens() -> None:
    tokenizer = Tokenizer.load(tokenizer_models.path())
    for name, least in (("english", 3.0), ("chinese", 2.5)):
        text = texts.corpus()[name][:100_000]
        assert len(text.encode()) / len(tokenizer.encode(text)) > least


def test_digits_are_single_and_layout_is_kept() -> None:
    tokenizer = Tokenizer.load(tokenizer_models.path())
    assert [tokenizer.piece(i) for i in tokenizer.encode("2026")] == ["2", "0", "2", "6"]
    code = "def f(x):\n    if x:\n\treturn  1\n\n\n"
    assert tokenizer.decode(tokenizer.encode(code)) == code


def test_a_written_copy_works_as_a_model_s_tokenizer(tmp_path: Path) -> None:
    tokenizer_models.write(tmp_path / "model")
    tokenizer = Tokenizer.load(tmp_path / "model")
    assert ChatFormat.load(tmp_path / "model", tokenizer).encode([Message("user", "你好")])[0] == tokenizer.bos_id
    with pytest.raises(FileNotFoundError, match="no such"):
        tokenizer_models.path("no such")


def test_the_recipe_gives_the_same_model_twice_and_never_sees_what_it_holds_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"text": line, "attribution": "SECRETNAME"} for line in texts.corpus()["chinese"].splitlines()[:1_500]]
    rows += [{"turns": [[line]]} for line in texts.corpus()["english"].splitlines()[:3_000]]
    source = tmp_path / "rows.jsonl.gz"
    with gzip.open(source, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    monkeypatch.setattr(train, "VOCAB_SIZE", 1_500)
    held_out: list[str] = []
    lines = list(train.training_lines([source], held_out))
    assert held_out
    assert not set(held_out) & set(lines)
    assert "SECRETNAME" not in "".join(lines)
    model = train.train(lines)
    assert model == train.train(lines)
    train.write(model, tmp_path)
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.decode(tokenizer.encode("菜市场 market\n")) == "菜市场 market\n"


def test_reading_stops_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "lines.txt"
    source.write_text("\n".join(f"line number {i}" for i in range(1_000)), encoding="utf-8")
    monkeypatch.setattr(train, "CHARACTER_LIMIT", 1_000)
    assert sum(map(len, train.training_lines([source], []))) <= 1_000


def test_asking_the_recipe_for_help_says_what_it_wants() -> None:
    command = [sys.executable, "-m", "tokenizer_models.train", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=CARD.parent.parent)
    assert "OUTPUT TEXT" in done.stdout
