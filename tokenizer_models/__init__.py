"""SentencePiece models that the project ships, each a folder that `Tokenizer.load` reads, with its recipe and card."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

DEFAULT = "bilingual-16k"
FILES = ("tokenizer.model", "tokenizer_config.json", "chat_template.jinja")


def path(name: str = DEFAULT) -> Path:
    """The folder of a model. Raises FileNotFoundError if there is none of that name."""
    folder = Path(str(resources.files(__name__))) / name
    if not (folder / FILES[0]).is_file():
        raise FileNotFoundError(f"no tokenizer model called {name!r}")
    return folder


def write(folder: Path, name: str = DEFAULT) -> None:
    """Copies a model into `folder` as the tokenizer of a language model trained from scratch."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        shutil.copyfile(path(name) / file, folder / file)
