"""`llm finetune`: trains a low-rank adapter over an installed model, on rows of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import UsageError
from tui.cli.console import program
from tui.cli.help import HelpfulCommand
from tui.cli.inputs import argument_text, read_file
from tui.cli.opening import Run
from tui.cli.options import DECODING, Options, takes
from tui.cli.progress import Progress, size

if TYPE_CHECKING:
    from engine.training.loop import Trainer
    from engine.training.rows import Conversation

EXAMPLES = """
llm finetune rows.jsonl --out mine.safetensors
llm finetune rows.jsonl more.jsonl --out mine.safetensors --epochs 3 --rank 8
llm finetune rows.jsonl --out mine.safetensors --licence "rows: CC BY 4.0, Jane Doe"
llm ask "Who are you?" --adapter mine.safetensors
llm models import qwen2.5-coder-0.5b-instruct --adapter mine.safetensors --name mine
"""
_SAMPLED = 40
"""Tokens shown of what the model answers while it learns."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("finetune", cls=HelpfulCommand, epilog=EXAMPLES)(finetune)


@takes("model", "device", "threads", "yes", "no_input", "seed", *DECODING)
def finetune(
    options: Options,
    data: Annotated[list[str], typer.Argument(help="JSONL: messages; instruction, response; text, label.")],
    out: Annotated[Path, typer.Option("--out", help="The adapter to write, .safetensors.")],
    rank: Annotated[int, typer.Option("--rank", help="Inner width of the low-rank products.")] = 16,
    alpha: Annotated[
        float | None,
        typer.Option("--alpha", help="Their weight is alpha / rank; twice the rank unless told.", show_default=False),
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option("--targets", help="Layers: attention.qkv,attention.out,mlp.gate_up,mlp.down.", show_default=False),
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", help="How often each row is seen.")] = 2,
    rate: Annotated[float, typer.Option("--learning-rate", help="At its peak.")] = 2e-4,
    held_out: Annotated[float, typer.Option("--held-out", help="Share of the rows that only measures.")] = 0.05,
    longest: Annotated[int, typer.Option("--longest", help="Longer rows are left out, in tokens.")] = 1024,
    pass_tokens: Annotated[int, typer.Option("--pass-tokens", help="Tokens at once: memory grows with them.")] = 1024,
    licence: Annotated[
        list[str] | None,
        typer.Option("--licence", help="Terms of the data, or whom to name: kept in the adapter.", show_default=False),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option("--card", help="A text file of such lines.", metavar="FILE", show_default=False),
    ] = None,
) -> None:
    """Teach a model on rows of your own: a small adapter beside its weights (LoRA).

    Ctrl-C or a kill loses a minute at most: the same command goes on, to the very same adapter.
    """  # fmt: skip
    from engine.training.settings import TARGETS, TrainingConfig

    run = Run(options)
    config = TrainingConfig(
        rank=rank,
        alpha=2.0 * rank if alpha is None else alpha,
        targets=tuple(name.strip() for name in targets.split(",")) if targets else TARGETS,
        epochs=epochs,
        learning_rate=rate,
        held_out=held_out,
        longest=longest,
        pass_tokens=pass_tokens,
        seed=run.settings["seed"] or 0,
    )
    if out.exists():
        raise UsageError(f"{out} exists", hint="choose another --out, or delete it")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"the folder of {out} does not exist")
    documents = [read_file(path, options.encoding, options.errors) for path in data]
    licences = _licences(licence, card)
    from engine.threads import wait_politely
    from engine.training import rows

    wait_politely()
    read = [rows.read(document) for document in documents]
    conversations = [row for part in read for row in part]
    files = [rows.file_record(Path(path), len(part)) for path, part in zip(data, read, strict=True)]
    folder = Path(run.find_model().path)
    if run.settings["threads"]:
        import torch

        torch.set_num_threads(run.settings["threads"])
    from engine.training.loop import Trainer

    about = {"files": files, "licences": licences}
    trainer = Trainer(folder, conversations, config, out, run.settings["device"], about)
    _tell(run, trainer)
    _train(run, trainer, conversations)
    run.console.note(
        f"wrote {out} ({size(out.stat().st_size)}); use it: {program()} ask … --adapter {out}\n"
        f"what it is made of: {program()} models show {out}"
    )


def _licences(given: list[str] | None, card: Path | None) -> list[str]:
    """Terms and attributions of the data, a line each. Raises InputError."""
    lines = [argument_text(line, "--licence").strip() for line in given or []]
    if card:
        lines += [line.rstrip() for line in read_file(str(card)).text.splitlines()]
    return [line for line in lines if line.strip()]


def _tell(run: Run, trainer: Trainer) -> None:
    plan = trainer.plan()
    left = f", {plan.left_out} longer ones left out" if plan.left_out else ""
    run.console.note(
        f"{plan.rows} rows of {plan.tokens} tokens, {plan.learnt} of them learnt{left}; {plan.held_out} rows held out\n"
        f"{plan.steps} steps, {plan.parameters / 1e6:.1f} M parameters trained, about {size(plan.memory)} of memory"
    )


def _train(run: Run, trainer: Trainer, conversations: list[Conversation]) -> None:
    from engine.training import state
    from engine.training.loop import Measured

    asked = conversations[0].messages[:-1]
    if state.place(trainer.out).exists():
        run.console.note("going on with a run that was stopped")
    try:
        with Progress(run.console, "training step") as progress:
            tokens = seconds = loss = 0.0
            for event in trainer.run():
                if isinstance(event, Measured):
                    progress.clear()
                    said = " ".join(trainer.sample(asked, _SAMPLED).split())
                    speed = f", loss {loss:.4f}, {tokens / seconds:.0f} tok/s" if seconds else ""
                    held = f"held-out loss {event.loss:.4f}" if trainer.held else "no rows held out"
                    run.console.note(f"step {event.step}: {held}{speed} · {said}")
                    continue
                tokens, seconds, loss = tokens + event.tokens, seconds + event.seconds, event.loss
                progress.update(event.number, event.steps)
    except KeyboardInterrupt:
        if state.place(trainer.out).exists():
            run.console.note("stopped; the same command goes on from here")
        raise
