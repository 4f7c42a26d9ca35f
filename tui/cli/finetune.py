"""`llm finetune`: trains a low-rank adapter over an installed model, on rows of one's own; or a model from nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import UsageError
from tui.cli.console import counted, program
from tui.cli.help import HelpfulCommand
from tui.cli.inputs import argument_text, read_file
from tui.cli.opening import Run
from tui.cli.options import DECODING, Options, takes
from tui.cli.progress import Progress, size
from tui.cli.training import follow, in_one_line, prepare, read, record

if TYPE_CHECKING:
    from engine.training.loop import Trainer

EXAMPLES = """
llm finetune rows.jsonl --out mine.safetensors
llm finetune rows.jsonl more.jsonl --out mine.safetensors --epochs 3 --rank 8
llm finetune new.jsonl --start mine.safetensors --out better.safetensors
llm finetune rows.jsonl --out mine.safetensors --licence "rows: CC BY 4.0, Jane Doe"
llm ask "Who are you?" --adapter mine.safetensors
llm models import qwen2.5-coder-0.5b-tasks --adapter mine.safetensors --name mine
llm finetune --from-scratch small.toml book.txt --out small --name small
"""
_SAMPLED = 40
"""Tokens shown of what the model answers while it learns."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("finetune", cls=HelpfulCommand, epilog=EXAMPLES)(finetune)


def _number(flag: str, help: str) -> Any:  # noqa: A002  (Typer's own word)
    """An option of adapters alone: None where it was not typed."""
    return typer.Option(flag, help=help, show_default=False)


@takes("model", "device", "threads", "yes", "no_input", "seed", *DECODING)
def finetune(
    options: Options,
    data: Annotated[
        list[str],
        typer.Argument(help="JSONL: messages; instruction, response; text, label. From scratch: plain texts."),
    ],
    out: Annotated[Path, typer.Option("--out", help="The adapter to write, .safetensors; from scratch a folder.")],
    rank: Annotated[int | None, _number("--rank", "Inner width of the low-rank products; 16 unless told.")] = None,
    alpha: Annotated[
        float | None, _number("--alpha", "Their weight is alpha / rank; twice the rank unless told.")
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option(
            "--targets",
            help="Layers, all unless told: attention.qkv,attention.out,mlp.gate_up,mlp.down.",
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[int | None, _number("--epochs", "How often each row is seen; 2 unless told.")] = None,
    rate: Annotated[float | None, _number("--learning-rate", "At its peak; 2e-4 unless told.")] = None,
    held_out: Annotated[
        float | None, _number("--held-out", "Share of the rows that only measures; 0.05 unless told.")
    ] = None,
    longest: Annotated[
        int | None, _number("--longest", "Longer rows are left out, in tokens; 1024 unless told.")
    ] = None,
    step_tokens: Annotated[
        int | None, _number("--step-tokens", "Tokens of a step: its batch; 1024 unless told.")
    ] = None,
    pass_tokens: Annotated[
        int | None, _number("--pass-tokens", "Tokens at once, memory grows with them; 1024 unless told.")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--start",
            help="Go on from this adapter, with its rank, alpha and targets.",
            metavar="ADAPTER",
            show_default=False,
        ),
    ] = None,
    licence: Annotated[
        list[str] | None,
        typer.Option("--licence", help="Terms of the data, or whom to name: kept in the adapter.", show_default=False),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option("--card", help="A text file of such lines.", metavar="FILE", show_default=False),
    ] = None,
    scratch: Annotated[
        Path | None,
        typer.Option(
            "--from-scratch",
            help="Train a new decoder of this shape (TOML or JSON: layers, width, heads, context …).",
            metavar="CONFIG",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="From scratch: install the model under this name.", show_default=False),
    ] = None,
) -> None:
    """Teach a model on rows of your own (an adapter), or train a small one from nothing.

    An adapter is a low-rank change beside the int8 weights (LoRA). Ctrl-C or a kill loses a minute at most: the same
    command goes on, to the very same end.
    """  # fmt: skip
    run = Run(options)
    typed = {
        "rank": rank, "alpha": alpha, "targets": targets, "epochs": epochs, "learning_rate": rate,
        "held_out": held_out, "longest": longest, "step_tokens": step_tokens,
        "pass_tokens": pass_tokens,
    }  # fmt: skip
    given = {key: value for key, value in typed.items() if value is not None}
    _require_new(out)
    if scratch:
        from tui.cli.pretrain import pretrain

        wrong = [f"--{key.replace('_', '-')}" for key in given]
        if wrong := [*wrong, *["--model"] * bool(options.model), *["--start"] * bool(start)]:
            raise UsageError(f"--from-scratch can't honour {', '.join(wrong)}", hint=f"{scratch} says such things")
        pretrain(run, scratch, data, out, name=name, licences=_licences(licence, card))
        return
    if name:
        raise UsageError("--name goes with --from-scratch", hint=f"{program()} models import MODEL --adapter {out} …")
    _adapt(run, data, out, given, _licences(licence, card), start)


def _require_new(out: Path) -> None:
    if (out / "training.json").is_file():
        done = f"it is complete: {program()} models import {out} --name NAME; or choose another --out"
        raise UsageError(f"{out} exists", hint=done)
    if out.exists():
        raise UsageError(f"{out} exists", hint="choose another --out, or delete it")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"the folder of {out} does not exist")


def _adapt(
    run: Run, data: list[str], out: Path, given: dict[str, Any], licences: list[str], start: Path | None
) -> None:
    """Train an adapter with the settings that were given."""
    from engine.training.settings import TrainingConfig

    if "targets" in given:
        given["targets"] = tuple(name.strip() for name in given["targets"].split(","))
    given = _shape_of(start) | given if start else given
    more = {"alpha": 2.0 * given.get("rank", TrainingConfig().rank), "seed": run.settings["seed"] or 0}
    config = TrainingConfig(**(more | given))
    documents = read(run, data)
    from engine.training import rows

    parts = [rows.read(document) for document in documents]
    conversations = [row for part in parts for row in part]
    together = zip(data, documents, parts, strict=True)
    files = [record(path, document, len(part)) for path, document, part in together]
    folder = Path(run.find_installed().path)
    prepare(run)
    from engine import adapter
    from engine.training.loop import Trainer

    about = {"files": files, "licences": licences}
    known = adapter.load(start) if start else None
    with Progress(run.console, "tokenizing rows") as progress:
        taken = progress.over(conversations)
        trainer = Trainer(folder, taken, config, out, run.settings["device"], about, known)
    _tell(run, trainer)
    asked = conversations[0].messages[:-1]
    follow(run, trainer, lambda _: in_one_line(trainer.sample(asked, _SAMPLED)), holds_out=bool(trainer.held))
    run.console.note(
        f"wrote {out} ({size(out.stat().st_size)}); use it: {program()} ask … --adapter {out}\n"
        f"what it is made of: {program()} models show {out}"
    )


def _shape_of(start: Path) -> dict[str, Any]:
    """The settings that a run has from the adapter it goes on from, unless told. Raises CheckpointError."""
    from engine import adapter

    told = adapter.read_info(start).get("training", {})
    shape = {name: told[name] for name in ("rank", "alpha") if isinstance(told.get(name), int | float)}
    if isinstance(told.get("targets"), list):
        shape["targets"] = tuple(map(str, told["targets"]))
    return shape


def _licences(given: list[str] | None, card: Path | None) -> list[str]:
    """Terms and attributions of the data, a line each. Raises InputError."""
    lines = [argument_text(line, "--licence").strip() for line in given or []]
    if card:
        lines += [line.rstrip() for line in read_file(str(card)).text.splitlines()]
    return [line for line in lines if line.strip()]


def _tell(run: Run, trainer: Trainer) -> None:
    plan = trainer.plan()
    left = f", {plan.left_out} longer ones left out" if plan.left_out else ""
    held = f"{counted(plan.held_out, 'row')} held out"
    steps = counted(plan.steps, "step")
    run.console.note(
        f"{counted(plan.rows, 'row')} of {counted(plan.tokens, 'token')}, {plan.learnt} of them learnt{left}; {held}\n"
        f"{steps}, {plan.parameters / 1e6:.1f} M parameters trained, about {size(plan.memory)} of memory"
    )
