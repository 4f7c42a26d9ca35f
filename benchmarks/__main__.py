"""`make bench`: our engine and llama.cpp in turn on the same weights, 8 bits each, as medians and ratios in Markdown.

The peer runs in an environment of its own (`--peer-python`, with llama-cpp-python installed) on a Q8_0 file that
`benchmarks.q8_0` writes from the same source. Without a peer only our own figures are printed. With `--source`, the
file that both came from, the divergence of each from the float model stands beside its speed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

MEASURES = (
    ("kl", "KL from the float model", ""),
    ("prefill 128", "prefill 128", "tok/s"),
    ("prefill 512", "prefill 512", "tok/s"),
    ("prefill 2048", "prefill 2048", "tok/s"),
    ("decode 0", "decode, depth 0", "tok/s"),
    ("decode 1024", "decode, depth 1024", "tok/s"),
    ("decode 8192", "decode, depth 8192", "tok/s"),
    ("together 4", "4 sequences together", "tok/s"),
    ("together 16", "16 sequences together", "tok/s"),
    ("resident", "resident memory", "MB"),
)
OURS_ALONE = ("together",)
"""What the peer's binding does not offer."""
ONCE = ("kl", "resident")
COMPARED = 192
"""Tokens whose predictions are compared with the float model's."""

Figures = dict[str, dict[str, list[float]]]
"""Engine -> measure -> a number a round."""


class Engine:
    """A process that answers measures."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.load_seconds = self._read()

    def ask(self, measure: str) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(measure + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> float:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"{self._process.args} ended")
        return float(json.loads(line))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--model", type=Path, help="a model folder of ours; default: the installed default model")
    parser.add_argument("--peer-python", help="a Python with llama-cpp-python")
    parser.add_argument("--peer-model", type=Path, help="the Q8_0 GGUF of the same weights")
    parser.add_argument("--source", type=Path, help="the file that both were made from, for the divergence")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", metavar="WORD", help="only measures that contain one of these words")
    arguments = parser.parse_args()
    model = arguments.model or default_model()
    commands = {"ours": [sys.executable, "-m", "benchmarks.speed_ours", str(model), str(arguments.threads)]}
    if arguments.peer_python and arguments.peer_model:
        script = str(Path(__file__).with_name("speed_llama_cpp.py"))
        commands["llama.cpp"] = [arguments.peer_python, script, str(arguments.peer_model), str(arguments.threads)]
    wanted = [name for name, *_ in MEASURES if not arguments.only or any(word in name for word in arguments.only)]
    with tempfile.TemporaryDirectory() as folder:
        float_logits = Path(folder, "float.npz")
        if arguments.source and "kl" in wanted:
            write_float_logits(arguments.source, model, float_logits)
        else:
            wanted = [name for name in wanted if name != "kl"]
        figures = measure(commands, wanted, arguments.rounds, str(float_logits))
    print(table(model.name, arguments.threads, arguments.rounds, figures))


def measure(commands: dict[str, list[str]], wanted: list[str], rounds: int, float_logits: str) -> Figures:
    """Every measure of every engine, in turn."""
    engines = {name: Engine(command) for name, command in commands.items()}
    figures: Figures = {name: {} for name in engines}
    for asked in wanted:
        for _ in range(1 if asked in ONCE else rounds):
            for name, engine in engines.items():
                if name == "ours" or not asked.startswith(OURS_ALONE):
                    value = engine.ask(f"kl {float_logits}" if asked == "kl" else asked)
                    print(f"{asked}, {name}: {value:.4g}", file=sys.stderr)
                    figures[name].setdefault(asked, []).append(value)
    for engine in engines.values():
        engine.close()
    return figures


def write_float_logits(source: Path, model: Path, target: Path) -> None:
    """Ids of one of our texts, and what the float model predicts after each."""
    import numpy
    import torch

    from engine import texts
    from engine.convert.float_model import float_decoder
    from engine.convert.pipeline import open_source
    from engine.tokenizer import Tokenizer

    ids = Tokenizer.load(model).encode(texts.read("evaluation", "en"))[:COMPARED]
    float_model = float_decoder(open_source(source))
    with torch.inference_mode():
        logits = float_model.logits(float_model(torch.tensor([ids])))[0]
    numpy.savez(target, ids=numpy.array(ids), logits=logits.numpy())


def default_model() -> Path:
    """The folder of the default model. Exits with a message if there is none."""
    from engine.errors import EngineError
    from tui.cli.installed import open_library
    from tui.paths import places

    library = open_library(places())
    try:
        return library.find(library.default or "")
    except EngineError as error:
        sys.exit(f"{error.message}; {error.hint}")


def table(model: str, threads: int, rounds: int, figures: Figures) -> str:
    """Medians of all rounds, and the median of the rounds' ratios."""
    names = list(figures)
    compared = len(names) == 2
    lines = [f"{model}, {threads} threads, {rounds} rounds in turn, {machine()}", ""]
    lines.append(f"| | {' | '.join(names)} |{' ratio |' if compared else ''}")
    lines.append(f"|---|{'--:|' * (len(names) + compared)}")
    for key, label, unit in MEASURES:
        if key in figures["ours"]:
            cells = [cell(figures[name].get(key), unit) for name in names]
            if compared:
                theirs = figures[names[1]].get(key)
                ratios = [a / b for a, b in zip(figures["ours"][key], theirs, strict=True)] if theirs else []
                cells.append(f"{statistics.median(ratios):.2f}" if ratios else "")
            lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(values: list[float] | None, unit: str) -> str:
    if not values:
        return ""
    middle = statistics.median(values)
    return f"{middle:.0f} {unit}" if middle >= 100 else f"{middle:.3g} {unit}".strip()


def machine() -> str:
    """The processor in words."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


if __name__ == "__main__":
    main()
