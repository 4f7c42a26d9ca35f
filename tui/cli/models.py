"""`llm models`: get, import, list, show and remove models, and choose the default."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from engine import shipped
from engine.errors import UsageError
from engine.schema import Language, ModelSummary
from tui.cli.console import program
from tui.cli.deliver import print_json
from tui.cli.help import HelpfulCommand, make_app
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
_TERMS_SHOWN = 12
"""Lines of an adapter's licences that `show` prints."""
Installed = Annotated[str, typer.Argument(help="An installed model.", autocompletion=complete_models)]


def complete_catalog(incomplete: str) -> list[str]:
    """Names of the catalog that begin so."""
    from engine.catalog import entries

    return [entry.pull_spec for entry in entries() if entry.pull_spec.startswith(incomplete)]


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
    ours = change is not None and change != adapter
    if change and not name and not (ours and path.is_file()):
        raise UsageError("a merged model needs a name of its own", hint="add --name NAME")
    with Progress(run.console, "importing", in_bytes=True) as progress:
        reporter = Reporter(run.console, progress)
        if change and name and not path.is_file():
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
    default = _default(run)
    available = _available(summaries, run.console.language or "en") if all_ else []
    said = run.console.said
    width = max((len(name) for name in [*(s.name for s in summaries), *(row["spec"] for row in available)]), default=0)
    for summary in summaries:
        mark = "*" if summary.name == default else " "
        facts = said(summary.problem) or (
            f"{_millions(summary.parameters):>7}  {size(summary.bytes_on_disk):>9}  "
            f"{right(said(f'{summary.context} tokens'), 14)}  {said('chat' if summary.chat else 'base')}  "
            f"{summary.licence}"
        )
        run.console.line(f"{mark} {summary.name:<{width}}  {facts}")
    for row in available:
        gate = " " + said("The hub wants its licence accepted first.") if row["gated"] else ""
        pulled, held = said(f"{size(row['download_bytes'])} to pull"), said(f"{size(row['memory_bytes'])} of memory")
        usual = said("(default)") + " " if row["default"] and not summaries else ""
        about = usual + row["description"] + gate
        run.console.line(
            f"  {row['spec']:<{width}}  {right(pulled, 17)}, {right(held, 18)}  {said(row['role'])}  {about}"
        )
    if twin := _untaught(summaries):
        run.console.note(f"the default is now {twin} with an adapter for the commands' tasks: {program()} models pull")
    if not summaries and not all_:
        run.console.note(f"no model is installed; get the default with: {program()} models pull")


def _untaught(installed: list[ModelSummary]) -> str:
    """The model that is here without the adapter that the catalog's default is made with; empty if there is none."""
    from engine.catalog import default_entry, twins

    usual, here = default_entry().name, [summary.name for summary in installed]
    return "" if usual in here else next((twin for twin in twins(usual) if twin in here), "")


def _available(installed: list[ModelSummary], language: Language = "en") -> list[dict[str, Any]]:
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


def _millions(count: int) -> str:
    return f"{count / 1e9:.2f} B" if count >= 1e9 else f"{count / 1e6:.0f} M"


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
    run = Run(options)
    if name and Path(name).is_file():
        _show_adapter(run, Path(name))
        return
    summary = run.library.summary(name) if name else run.find_model()
    if options.json:
        print_json(run.console, as_json(run, summary) | {"files": _files(summary)})
        return
    _print_facts(run, _facts(run, summary))
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
        *_merged(summary),
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


def _merged(summary: ModelSummary) -> list[tuple[str, str]]:
    """What is said of the adapter in a model's weights."""
    if not (adapter := summary.adapter):
        return []
    return [
        ("adapter", f"{adapter.name}, sha256 {adapter.sha256}"),
        ("its base", f"sha256 {adapter.base}"),
        *_terms(adapter.licences),
    ]


def _terms(licences: Sequence[str]) -> list[tuple[str, str]]:
    """Licences and attributions of an adapter's data: the first lines, and how many more there are."""
    lines = [("its terms" if at == 0 else "", line) for at, line in enumerate(licences[:_TERMS_SHOWN])]
    more = len(licences) - _TERMS_SHOWN
    return (
        [*lines, ("", f"… {more} more lines: --json has all")] if more > 0 else lines or [("its terms", "not stated")]
    )


def _show_adapter(run: Run, path: Path) -> None:
    """Describe an adapter's file."""
    from engine.adapter import read_info

    info = read_info(path)
    if run.options.json:
        print_json(run.console, {"path": str(path), "bytes": path.stat().st_size} | info)
        return
    training, losses = info.get("training", {}), info.get("held_out_losses", [])
    files = info.get("files", [])
    facts = [
        ("adapter", f"{path} ({size(path.stat().st_size)})"),
        ("base", f"{info.get('base_name', 'not stated')}, {info.get('base_licence') or 'licence not stated'}"),
        ("base sha256", info["base"]),
        ("rank", f"{info['rank']}, scaled by {info['scale']:g}"),
        ("training", ", ".join(f"{name} {_plain(value)}" for name, value in training.items()) or "not stated"),
        ("seen", f"{info.get('rows', '?')} rows, {info.get('steps', '?')} steps"),
        ("held-out", " → ".join(f"{loss:.4f}" for _, loss in losses) or "not measured"),
        ("turns", json.dumps(info.get("turns", "not stated"), ensure_ascii=False)),
        *((f"data {n}", f"{file['name']}, {file['rows']} rows, {file['sha256']}") for n, file in enumerate(files, 1)),
        *_terms(info.get("licences", [])),
    ]
    _print_facts(run, facts)


def _print_facts(run: Run, facts: Sequence[tuple[str, str]]) -> None:
    for label, value in facts:
        run.console.line(left(run.console.said(label), 12) + run.console.said(value))


def _plain(value: Any) -> str:
    return "+".join(value) if isinstance(value, list) else str(value)


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
