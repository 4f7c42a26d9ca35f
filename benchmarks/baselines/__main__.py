"""Every baseline on every file of a folder, as one Markdown table: what `llm eval` is to be compared with.

`python -m benchmarks.baselines --data EVAL --train ROWS`; VADER and scikit-learn come with the group `baselines`.
Files are TASK.SET.LANGUAGE.jsonl with the fields of `llm eval`; what can't be run is left out, with a word of why.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.baselines.data import TASKS, LeftOut, Training, eval_files
from engine.errors import EngineError
from engine.evaluation.interval import Estimate, estimates, percentile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.baselines.contests import Attempt


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a baseline on a file."""

    file: str
    baseline: str
    task: str
    rows: int = 0
    seconds: float = 0.0
    """With what it learned, unless another file's run had learned that before."""
    metrics: dict[str, Estimate] = field(default_factory=dict)
    left_out: str = ""


def main() -> None:
    arguments = parsed(None)
    try:
        found = []
        for result in results(arguments):
            print(f"{result.file}: {result.baseline}: {result.left_out or figures(result)}", file=sys.stderr)
            found.append(result)
        deliver(found, arguments)
    except EngineError as error:
        sys.exit(f"{error.message}\n{error.hint}".strip())


def parsed(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.baselines", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder of rows to measure on")
    parser.add_argument("--train", type=Path, help="a folder of gzipped rows to learn from")
    parser.add_argument("--task", choices=sorted(TASKS.values()), help="this task alone")
    parser.add_argument("--length", default="medium", help="what summaries are told: short, medium, long, Nw, N%%")
    parser.add_argument("--json", nargs="?", const="-", help="JSON in place of the table, or into a file beside it")
    return parser.parse_args(words)


def results(arguments: argparse.Namespace) -> Iterator[Result]:
    """Run one after the other. Raises EngineError."""
    from benchmarks.baselines.contests import attempts

    training = Training(arguments.train)
    for file in eval_files(arguments.data, arguments.task):
        for attempt in attempts(file, training, arguments.length):
            yield measured(file.name, file.task, attempt)


def measured(file: str, task: str, attempt: Attempt) -> Result:
    started = time.monotonic()
    try:
        scores = attempt.run()
    except LeftOut as reason:
        return Result(file, attempt.baseline, task, left_out=str(reason))
    except ImportError as error:
        return Result(file, attempt.baseline, task, left_out=f"needs the dependency group `baselines` ({error.name})")
    seconds = time.monotonic() - started
    if attempt.draws:
        metrics = {name: _over_draws(scores, attempt, name) for name in attempt.figures}
        return Result(file, attempt.baseline, task, len(scores[0]), seconds, metrics)
    return Result(file, attempt.baseline, task, len(scores), seconds, estimates(scores, attempt.figures))


def _over_draws(scores: list[Any], attempt: Attempt, name: str) -> Estimate:
    statistic = attempt.figures[name]
    single = [statistic([draw]) for draw in scores]
    return Estimate(statistic(scores), percentile(single, 0.025), percentile(single, 0.975))


def deliver(found: Sequence[Result], arguments: argparse.Namespace) -> None:
    text = json.dumps([asdict(result) for result in found], ensure_ascii=False, indent=1)
    if arguments.json == "-":
        print(text)
        return
    print(table(found))
    if arguments.json:
        Path(arguments.json).write_text(text + "\n", encoding="utf-8")


def table(found: Sequence[Result]) -> str:
    """A line a baseline; below it, what was left out."""
    lines = ["| file | baseline | figures (95% interval) | rows | seconds |", "|---|---|---|--:|--:|"]
    lines += [
        f"| `{result.file}` | {result.baseline} | {figures(result)} | {result.rows} | {result.seconds:.1f} |"
        for result in found
        if not result.left_out
    ]
    missing = [f"- `{result.file}`, {result.baseline}: {result.left_out}" for result in found if result.left_out]
    return "\n".join([*lines, *(["", "Left out:", *missing] if missing else [])])


def figures(result: Result) -> str:
    """Each with its interval."""
    return ", ".join(
        f"{name} {_short(figure.value)} ({_short(figure.low)} to {_short(figure.high)})"
        for name, figure in result.metrics.items()
    )


def _short(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


if __name__ == "__main__":
    main()
