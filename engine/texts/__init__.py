"""Prose that ships with the product: what int8 is calibrated with, and what it is then measured on.

`calibration` mixes registers so that every activation is exercised; `evaluation` is one article, of another subject
in each language, also the sample that the demos summarize. No text occurs in both kinds.
"""

from __future__ import annotations

from importlib import resources
from typing import Literal


def read(kind: Literal["calibration", "evaluation"], language: Literal["en", "zh"]) -> str:
    """Return one whole text, newlines as `\\n`; FileNotFoundError if the installation lacks it."""
    return resources.files(__name__).joinpath(f"{kind}.{language}.txt").read_text(encoding="utf-8")
