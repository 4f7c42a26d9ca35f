"""`llm finetune --from-scratch CONFIG`: trains a small decoder on plain texts, from nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui.cli.console import program
from tui.cli.inputs import read_file, with_text
from tui.cli.opening import Run
from tui.cli.progress import Progress, size
from tui.cli.pulling import Reporter, say_installed
from tui.cli.training import follow, in_one_line, prepare, read, record

if TYPE_CHECKING:
    from engine.training.pretrain import Pretrainer


def pretrain(
    run: Run, config: Path, data: Sequence[str], out: Path, *, name: str | None, licences: Sequence[str]
) -> None:
    """Train, write the folder `out`, and install it where a name is given. Raises EngineError."""
    from engine.training.blueprint import Blueprint

    blueprint = Blueprint.read(read_file(str(config)))
    if name is not None:
        run.library.require_new(name)
    documents = [with_text(document, path) for document, path in zip(read(run, data), data, strict=True)]
    prepare(run)
    from engine.training.pretrain import Pretrainer

    files = [record(path, document, document.text.count("\n")) for path, document in zip(data, documents, strict=True)]
    about: dict[str, Any] = {"files": files, "licences": list(licences)}
    seed, device = run.settings["seed"] or 0, run.settings["device"]
    trainer = Pretrainer(documents, blueprint, out, seed=seed, device=device, about=about)
    _tell(run, trainer)

    def said(step: int) -> str:
        given, told = map(in_one_line, trainer.sample(step))
        return f"{given} ▸ {told}"

    loss = follow(run, trainer, said)
    run.console.note(
        f"wrote {out}: held-out perplexity {trainer.by_byte(loss):.3f} a byte over {trainer.corpus.held_bytes} bytes"
    )
    if name:
        with Progress(run.console, "importing", in_bytes=True) as progress:
            summary = run.library.import_path(out, name, Reporter(run.console, progress))
        say_installed(run.console, summary)
        run.console.note(f"try it: {program()} complete … -m {name}")
    else:
        run.console.note(f"to use it: {program()} models import {out} --name NAME")


def _tell(run: Run, trainer: Pretrainer) -> None:
    plan = trainer.plan()
    run.console.note(
        f"{plan.parameters / 1e6:.1f} M parameters, {plan.tokens} tokens to train on, {plan.held_out} held out\n"
        f"{plan.steps} steps see {plan.seen} tokens, {plan.seen / plan.parameters:.1f} for each parameter; "
        f"about {size(plan.memory)} of memory"
    )
