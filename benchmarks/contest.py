"""Engines in processes of their own that take turns at every measure: A B A B."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.speed import measures
from engine.speed.starting import start

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.speed.measures import Measure

ROOT = Path(__file__).parent.parent
OURS = "ours"
KL = measures.Measure("kl", None, "", "KL from the float model")
ONCE = (KL, measures.SIZE)
Figures = dict[str, dict[str, list[float]]]
"""Engine -> measure -> a number a round; what an engine does not offer is missing."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """An engine's program."""

    name: str
    command: tuple[str, ...]

    def environment(self) -> dict[str, str]:
        """Every engine finds this project's folder, and nothing more of it."""
        return os.environ | {"PYTHONPATH": str(ROOT)}


def contestants(
    model: Path, threads: int, python: str | None, gguf: Path | None, source: Path | None, converted: Path | None
) -> list[Contestant]:
    """Ours first, then each peer whose library `python` has and whose file was named."""
    found = [Contestant(OURS, (sys.executable, "-m", "benchmarks.ours", str(model), str(threads)))]
    offers = [
        ("llama_cpp", "llama.cpp", "llama_cpp", gguf, ()),
        ("ctranslate2", "CTranslate2 int8", "ctranslate", converted, ()),
        *(("transformers", f"transformers {kind}", "hugging_face", source, (kind,)) for kind in KINDS),
    ]
    for library, name, module, file, more in offers:
        if python and file and has(python, library):
            program = (python, "-m", f"benchmarks.peers.{module}", str(file), str(threads), *more)
            found.append(Contestant(name, program))
    return found


KINDS = ("float32", "bfloat16", "int8")
"""Of transformers' weights."""


def has(python: str, library: str) -> bool:
    """Whether an environment has a library."""
    probe = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({library!r}) is None)"
    return subprocess.run([python, "-c", probe], check=False, cwd="/").returncode == 0


class Engine:
    """A process that answers measures."""

    def __init__(self, contestant: Contestant) -> None:
        self.name = contestant.name
        self._process = subprocess.Popen(
            contestant.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=contestant.environment()
        )
        self._read()  # it is loaded

    def ask(self, question: str) -> float | str | None:
        """A number; None for what it does not offer, and a text for what went wrong."""
        assert self._process.stdin is not None
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> float | str | None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} ended: {self._process.args}")
        value = json.loads(line)
        return value["error"] if isinstance(value, dict) else value

    def close(self) -> None:
        self._process.communicate()  # the end of its input is its end


def held(
    entered: Sequence[Contestant],
    wanted: Sequence[Measure],
    rounds: int,
    float_logits: Path,
    tell: Callable[[str], object],
) -> Figures:
    """Every measure of every engine, in turn; starts first, while no engine holds memory."""
    figures: Figures = {contestant.name: {} for contestant in entered}

    def note(name: str, measure: Measure, value: float) -> None:
        tell(f"{measure.label}, {name}: {value:.4g} {measure.unit}".strip())
        figures[name].setdefault(measure.key, []).append(value)

    for _ in range(rounds if measures.START in wanted else 0):
        for contestant in entered:
            found = start(contestant.command, contestant.environment())
            note(contestant.name, measures.START, found.seconds)
            note(contestant.name, measures.RESIDENT, found.resident_mb)
    asked = [measure for measure in wanted if measure not in {measures.START, measures.RESIDENT}]
    with contextlib.ExitStack() as stack:
        engines = [stack.enter_context(contextlib.closing(Engine(one))) for one in entered if asked]
        for measure, engine in ((m, e) for m in asked for _ in range(1 if m in ONCE else rounds) for e in engines):
            value = engine.ask(f"kl {float_logits}" if measure is KL else measure.key)
            if isinstance(value, str):
                tell(f"{measure.label}, {engine.name}: {value}")
            elif value is not None:
                note(engine.name, measure, value)
    return figures
