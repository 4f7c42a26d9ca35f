"""Trains the project's bilingual SentencePiece model: `python -m tokenizer_models.train OUTPUT TEXT...`.

Reads text or JSON lines (`.gz` too), every string of a row but its provenance. The same files in the same order give
the same bytes. One text in fifty is kept out of training and measured afterwards.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.convert.vocabulary_proto import cuts
from engine.tokenizer import Tokenizer
from engine.tokenizer_config import MODEL_FILE, TEMPLATE_FILE, TokenizerConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

VOCAB_SIZE = 16_000
CONTRIBUTORS_FILE = "contributors.txt"
CHARACTER_LIMIT = 100_000_000
"""Characters read for training at most: the trainer keeps them in memory."""
HELD_OUT = 50
"""One text in so many is held out."""
PROVENANCE = frozenset({"attribution", "id", "message_id", "parent_id", "label", "role"})
ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
# Lines are the trainer's unit, so line breaks and indentation have to be given.
LAYOUT = ("\n", "\n\n", "\t", "▁▁", "▁▁▁▁", "▁▁▁▁▁▁▁▁")
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def main() -> None:
    """Trains, writes the folder and prints what the card needs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="folder to write")
    parser.add_argument("texts", type=Path, nargs="+", help="text or JSONL files, gzipped or not")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    held_out: list[str] = []
    model = train(training_lines(arguments.texts, held_out))
    write(model, arguments.output)
    write_contributors(arguments.texts, arguments.output)
    report(model, Tokenizer.load(arguments.output), held_out)


def rows(file: Path) -> Iterator[Any]:
    """The rows of a file: JSON values, or lines."""
    opener = gzip.open if file.suffix == ".gz" else open
    json_lines = file.name.removesuffix(".gz").endswith(".jsonl")
    with opener(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line) if json_lines else line.rstrip("\n")


def strings(value: Any) -> Iterator[str]:
    """Every string inside a JSON value, without those that say where it comes from."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in PROVENANCE:
                yield from strings(item)


def training_lines(files: Iterable[Path], held_out: list[str]) -> Iterator[str]:
    """Lines of every distinct text but those that go to `held_out`, until the limit is reached."""
    seen: set[bytes] = set()
    left = CHARACTER_LIMIT
    for file in files:
        for text in (text for row in rows(file) for text in strings(row)):
            mark = hashlib.blake2b(text.encode(), digest_size=8).digest()
            if mark in seen:
                continue
            seen.add(mark)
            if int.from_bytes(mark, "big") % HELD_OUT == 0:
                held_out.append(text)
                continue
            left -= len(text)
            if left < 0:
                return
            yield from (line for line in text.splitlines() if line)


def train(lines: Iterable[str]) -> bytes:
    """A serialized ModelProto."""
    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=written,
        model_type="bpe",
        vocab_size=VOCAB_SIZE,
        byte_fallback=True,
        character_coverage=0.9995,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        split_digits=True,
        max_sentence_length=65_536,
        shuffle_input_sentence=False,
        num_threads=1,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        control_symbols=list(ROLES),
        user_defined_symbols=list(LAYOUT),
        minloglevel=1,
    )
    return written.getvalue()


def write(model: bytes, folder: Path) -> None:
    """The folder that `Tokenizer.load` and `ChatFormat.load` read."""
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    control = {name: processor.piece_to_id(name) for name in ("<s>", "</s>", *ROLES)}
    special = {processor.unk_id(), *control.values()}
    pieces = [processor.id_to_piece(i) for i in range(processor.vocab_size())]
    config = TokenizerConfig(
        kind="native",
        vocab_size=processor.vocab_size(),
        bos_id=control["<s>"],
        add_bos=True,
        eos_ids=(control["</s>"], control["<|end|>"]),
        unk_id=processor.unk_id(),
        control_tokens=control,
        cut_before=cuts(n for i, n in enumerate(pieces) if i not in special and not processor.is_byte(i)),
    )
    (folder / MODEL_FILE).write_bytes(model)
    (folder / TEMPLATE_FILE).write_text(TEMPLATE + "\n", encoding="utf-8", newline="\n")
    config.save(folder)


def write_contributors(files: Iterable[Path], folder: Path) -> None:
    """Names everyone whom the rows' `attribution` names (Tatoeba's form), with the numbers of their sentences."""
    numbers: dict[str, set[int]] = {}
    for row in (row for file in files for row in rows(file) if isinstance(row, dict)):
        for number, name in re.findall(r"#(\d+) \(([^)]*)\)", str(row.get("attribution", ""))):
            numbers.setdefault(name, set()).add(int(number))
    if numbers:
        lines = [f"{name}: {' '.join(map(str, sorted(numbers[name])))}\n" for name in sorted(numbers)]
        (folder / CONTRIBUTORS_FILE).write_text("".join(lines), encoding="utf-8", newline="\n")


def report(model: bytes, tokenizer: Tokenizer, held_out: list[str]) -> None:
    """Prints sha256, size and bytes per token of held-out texts by language."""
    sys.stdout.write(f"sha256 {hashlib.sha256(model).hexdigest()}\nbytes {len(model)}\n")
    chinese = [text for text in held_out if any("\u4e00" <= c <= "\u9fff" for c in text)]
    english = [text for text in held_out if text.isascii()]
    for language, rows in (("en", english), ("zh", chinese)):
        size = sum(len(row.encode()) for row in rows)
        tokens = sum(len(tokenizer.encode(row)) for row in rows)
        if tokens:
            sys.stdout.write(f"{language}: {len(rows)} texts, {size} bytes, {size / tokens:.3f} bytes per token\n")


if __name__ == "__main__":
    main()
