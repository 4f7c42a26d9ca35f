"""`llm eval` on every file of a folder, a model or several, as one Markdown table: how good the commands are.

    python -m benchmarks.quality --data EVAL [--model NAME ...] [--baselines FILE.json] [--keep FOLDER] [--limit N]

Files are TASK.SET.LANGUAGE.jsonl with the fields of `llm eval`, which runs in a process of its own for each. What it
found is kept in FOLDER, and a run that is kept is not made again: stopped, it goes on. Beside them stand the same
figures of `python -m benchmarks.baselines --data EVAL --train ROWS --json FILE.json`, bold where a baseline is ahead of
the first model.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.baselines.data import EvalFile, eval_files
from benchmarks.contest import ROOT
from engine.disk import write_whole
from engine.errors import EngineError
from engine.speed.machine import this_machine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COMMAND = [sys.executable, "-m", "tui.cli.main", "eval"]
ROWS_FAILED = 6
"""The exit code where single rows failed: the figures are of the others, and the table says how many."""
EXAMPLES = Path(__file__).parent / "examples"
"""Judged texts for `classify`, SET.txt."""
FIGURES = {
    "sentiment": ("accuracy",),
    "classify": ("accuracy", "macro_f1"),
    "qa": ("f1", "f1_answerable", "refused_answerable", "refused_unanswerable"),
    "summarize": ("rougeL",),
    "translate": ("chrf",),
    "search": ("recall@1", "mrr"),
    "multiple-choice": ("acc_norm",),
    "perplexity": ("perplexity_by_byte",),
}
"""Of each task, what the table shows."""
SMALLER_IS_BETTER = {"perplexity_by_byte", "refused_answerable"}
LENGTHS = {"csl_test": ("short", "12w")}
"""What `summarize` is told, where it is not `short` alone: the references of this set are titles."""


@dataclass(frozen=True, slots=True)
class Run:
    """`llm eval` on a file, told one thing."""

    file: EvalFile
    told: tuple[str, ...] = ()
    """Options that change what is measured, but no paths."""
    paths: tuple[str, ...] = ()
    note: str = ""
    """What a reader of the table has to know of it."""

    @property
    def key(self) -> str:
        """A name for what it finds."""
        return "".join([self.file.name, *(f" {word}" for word in self.told if not word.startswith("--"))])

    def words(self, model: str, limit: int | None) -> list[str]:
        """The command's arguments."""
        chosen = [*(("-m", model) if model else ()), *(("--limit", str(limit)) if limit else ())]
        return [self.file.task, "--data", str(self.file.path), *self.told, *self.paths, *chosen, "--json"]


def runs(file: EvalFile) -> Iterator[Run]:
    """What is measured on a file."""
    name = file.name.split(".")[1]
    if file.task == "classify":
        examples = EXAMPLES / f"{name}.txt"
        given = len(examples.read_text(encoding="utf-8").splitlines()) if examples.exists() else 0
        yield Run(file, (), ("--example-file", str(examples)) if given else (), f"{given or 'no'} examples")
    elif file.task == "summarize":
        for length in LENGTHS.get(name, ("short",)):
            yield Run(file, ("--length", length), note=f"`--length {length}`")
    elif file.task == "translate":
        for language in ("zh", "en"):
            yield Run(file, ("--to", language), note=f"into {language}")
    elif file.task == "search":
        yield Run(file, (), ("--passages", str(file.passages.path)))
    else:
        yield Run(file)


def main() -> None:
    arguments = parsed(None)
    try:
        wanted = [run for file in eval_files(arguments.data, arguments.task) for run in runs(file)]
        models = arguments.model or [""]
        found = [[measured(run, model, arguments) for model in models] for run in wanted]
        baselines = json.loads(arguments.baselines.read_text(encoding="utf-8")) if arguments.baselines else []
    except EngineError as error:
        sys.exit(f"{error.message}\n{error.hint}".strip())
    except KeyboardInterrupt:
        sys.exit(130)
    print("\n".join(table(wanted, found, baselines)))


def parsed(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="a folder of rows to measure on")
    parser.add_argument("--model", action="append", help="an installed model, the default one unless told; repeatable")
    parser.add_argument("--task", choices=sorted(FIGURES), help="this task alone")
    parser.add_argument("--limit", type=int, help="rows of each file; all unless told")
    parser.add_argument("--keep", type=Path, default=Path("build/quality"), help="what was found is kept here")
    parser.add_argument("--baselines", type=Path, help="what benchmarks.baselines wrote with --json")
    return parser.parse_args(words)


def measured(run: Run, model: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """What `llm eval` finds, now or the last time. Raises EngineError."""
    limited = f" of {arguments.limit}" if arguments.limit else ""
    kept = arguments.keep / (model or "default") / f"{run.key}{limited}.json"
    if kept.exists():
        print(f"{kept}: kept from an earlier run", file=sys.stderr)
    else:
        words = run.words(model, arguments.limit)
        print(f"llm eval {' '.join(words)}", file=sys.stderr)
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run([*COMMAND, *words], stdout=subprocess.PIPE, env=environment, check=False)
        if done.returncode not in {0, ROWS_FAILED}:
            raise EngineError(f"llm eval ended with {done.returncode} on {run.file.path}")
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, done.stdout)
    found: dict[str, Any] = json.loads(kept.read_bytes())
    return found


def table(
    wanted: Sequence[Run], found: Sequence[Sequence[dict[str, Any]]], baselines: Sequence[dict[str, Any]]
) -> Iterator[str]:
    """A line a figure, a column a model; under it on what machine and by which kernels."""
    models = [result["model"] for result in found[0]]
    yield f"| data | rows | figure | {' | '.join(models)} | baselines |"
    yield f"|---|--:|---|{'--:|' * len(models)}---|"
    for run, results in zip(wanted, found, strict=True):
        for figure in FIGURES[run.file.task]:
            metrics = [result["metrics"].get(figure) for result in results]
            if any(metrics):
                name = ", ".join(filter(None, (run.file.name, run.note)))
                beside = "; ".join(peers(run, figure, metrics[0], baselines))
                rows = f"{results[0]['rows']}" + "".join(f" ({r['failed']} failed)" for r in results if r["failed"])
                cells = [name, rows, figure, *map(shown, metrics), beside]
                yield f"| {' | '.join(cells)} |"
    kernels = sorted({result["kernel"] for results in found for result in results})
    yield ""
    yield f"{this_machine()}; kernels: {', '.join(kernels)}"


def peers(run: Run, figure: str, ours: dict[str, float] | None, baselines: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The same figure of each baseline that ran on the file, to the same end."""
    direction = dict(zip(run.told[::2], run.told[1::2], strict=True)).get("--to", "")
    for result in baselines:
        theirs = result["metrics"].get(figure)
        if result["file"] == run.file.name and theirs and (not direction or result["baseline"].endswith(direction)):
            sign = -1 if figure in SMALLER_IS_BETTER else 1
            ahead = ours and sign * theirs["value"] > sign * ours["value"]
            value = f"**{number(theirs['value'])}**" if ahead else number(theirs["value"])
            yield f"{result['baseline']} {value}"


def shown(metric: dict[str, float] | None) -> str:
    """A figure with its interval; nothing where there is none."""
    return f"{number(metric['value'])} ({number(metric['low'])} to {number(metric['high'])})" if metric else ""


def number(value: float) -> str:
    """Three digits after the point, of larger ones one."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


if __name__ == "__main__":
    main()
