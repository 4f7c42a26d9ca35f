"""`llm bench`: how fast a model is on this machine: starting, reading, writing, many at once, memory and size."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import UsageError
from tui.cli.console import Console, counted
from tui.cli.deliver import print_json
from tui.cli.help import HelpfulCommand
from tui.cli.interrupt import Terminated
from tui.cli.opening import Run
from tui.cli.options import Options, complete_models, takes
from tui.cli.progress import Progress
from tui.cli.widths import columns, left, right

if TYPE_CHECKING:
    from engine.schema import ModelSummary
    from engine.speed.figures import Figure
    from engine.speed.machine import Machine
    from engine.speed.measures import Measure
    from engine.speed.ours import Ours

EXAMPLES = """
llm bench                        the default model: a few minutes
llm bench --quick
llm bench NAME --threads 4 --json
"""
ROUNDS = 3


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bench", cls=HelpfulCommand, epilog=EXAMPLES)(bench)


@takes("model", "device", "threads", "yes", "no_input", "json")
def bench(
    options: Options,
    name: Annotated[
        str | None,
        typer.Argument(
            help="Model to measure; the default model unless told.", metavar="MODEL", show_default=False,
            autocompletion=complete_models,
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer measures: about a minute.")] = False,
    rounds: Annotated[
        int | None,
        typer.Option(
            "--rounds", help="Times that all is measured; 3 unless told.", metavar="N", min=1, show_default=False
        ),
    ] = None,
) -> None:  # fmt: skip
    """Measure how fast a model is on this machine: medians of rounds, with their spread. Nothing else should run."""
    if name and options.model:
        raise UsageError("the model is named twice", hint="leave -m out")
    run = Run(dataclasses.replace(options, model=name or options.model))
    summary = run.find_installed()
    from engine.speed.machine import this_machine
    from engine.speed.measures import QUICK, WHOLE

    rounds = rounds or ROUNDS
    fitting = [measure for measure in (QUICK if quick else WHOLE) if measure.tokens <= summary.context]
    with Progress(run.console, "starting") as progress:
        figures = _starts(run, summary, rounds, progress)
        engine, more, stop = _asked(run, summary, fitting, rounds, progress)
    figures += more
    place = f"{engine.device.type}/{engine.kernel}"
    if run.options.json:
        _print_json(run, summary, place, this_machine(), rounds, figures)
    else:
        run.console.line(_table(run.console, summary, place, this_machine(), rounds, figures))
    if left := (len(QUICK if quick else WHOLE) - len(fitting)):
        run.console.note(f"{counted(left, 'measure')} left out: the model's context is {summary.context} tokens")
    if stop:
        run.console.warn("stopped: not every measure was taken in every round")
        raise stop


def _starts(run: Run, summary: ModelSummary, rounds: int, progress: Progress) -> list[Figure]:
    """Processes of their own, before this one takes the memory."""
    from engine.speed import measures
    from engine.speed.figures import Figure
    from engine.speed.starting import our_command, start

    command = our_command(Path(summary.path), run.settings["device"], run.settings["threads"])
    found = []
    for number in range(rounds):
        progress.update(number, rounds)
        found.append(start(command))
    progress.update(rounds, rounds)
    return [
        Figure(measures.START, tuple(one.seconds for one in found)),
        Figure(measures.RESIDENT, tuple(one.resident_mb for one in found)),
    ]


def _asked(
    run: Run, summary: ModelSummary, fitting: list[Measure], rounds: int, progress: Progress
) -> tuple[Ours, list[Figure], BaseException | None]:
    """The loaded model's answers; those that there are and what stopped it, where one did."""
    progress.update(0, label=f"loading {summary.name}")
    from engine.speed import measures
    from engine.speed.figures import Figure, in_rounds
    from engine.speed.ours import Ours

    engine = Ours.open(Path(summary.path), run.settings["device"], run.settings["threads"])
    engine.prefill(64)  # first products choose their ways
    values: dict[Measure, list[float]] = {measure: [] for measure in fitting}
    total = len(fitting) * rounds
    progress.update(0, total, "measuring")
    stop: BaseException | None = None
    try:
        for done, (measure, value) in enumerate(in_rounds(engine, fitting, rounds), 1):
            values[measure].append(value)
            progress.update(done, total)
    except (KeyboardInterrupt, Terminated) as stopped:
        stop = stopped
    figures = [Figure(measure, tuple(found)) for measure, found in values.items() if found]
    return engine, [*figures, Figure(measures.SIZE, (engine.size(),))], stop


def _table(
    console: Console, summary: ModelSummary, place: str, machine: Machine, rounds: int, figures: list[Figure]
) -> str:
    from engine.speed.figures import shown

    rows: list[tuple[str, ...]] = [("", "median", "lowest", "highest", "")]
    for figure in figures:
        values = (figure.median, min(figure.values), max(figure.values))
        rows.append((figure.measure.label, *map(shown, values), figure.measure.unit))
    rows = [tuple(map(console.said, row)) for row in rows]
    widths = [max(columns(row[column]) for row in rows) for column in range(5)]
    about = (f"{summary.name} on {place}, threads {_threads()}, rounds {rounds}", str(machine))
    lines = [*map(console.said, about), ""]
    for label, *numbers, unit in rows:
        cells = map(right, numbers, widths[1:4])
        lines.append(f"{left(label, widths[0])}  {'  '.join(cells)}  {unit}".rstrip())
    return "\n".join(lines)


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _print_json(
    run: Run, summary: ModelSummary, place: str, machine: Machine, rounds: int, figures: list[Figure]
) -> None:
    device, _, kernel = place.partition("/")
    about: dict[str, Any] = {"model": summary.name, "device": device, "kernel": kernel, "threads": _threads()}
    about |= {"rounds": rounds, "machine": dataclasses.asdict(machine)}
    print_json(run.console, about | {"figures": [figure.to_json() for figure in figures]})
