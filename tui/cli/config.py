"""`llm config`: show, get, set, unset and edit settings, with the origin of each value."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from engine.errors import UsageError
from tui.cli.console import Console
from tui.cli.deliver import print_json
from tui.cli.help import HelpfulCommand, make_app
from tui.cli.opening import Run
from tui.cli.options import Options, takes
from tui.editor import run_editor
from tui.paths import ensure, places, write_private
from tui.settings import SETTINGS, edit_file, find_key, parse, project_file, read_file

app = make_app(
    "Show and change settings. A flag stands above a variable, above .local-llm.toml, above the user's file.",
    """
    llm config show --origin
    llm config set temperature 0.7
    llm config get model
    llm config unset temperature
    llm config edit
    """,
    no_args_is_help=True,
)


def _keys(incomplete: str) -> list[str]:
    return [name for name in SETTINGS if name.startswith(incomplete.replace("-", "_"))]


Key = Annotated[str, typer.Argument(help="The setting.", autocompletion=_keys)]
Project = Annotated[bool, typer.Option("--project", help="In .local-llm.toml of this folder, not the user's file.")]


def _file(project: bool) -> Path:
    if not project:
        return places().config_file
    return project_file(Path.cwd()) or Path.cwd() / ".local-llm.toml"


def _shown(value: Any) -> str:
    if value is None:
        return "(each command's own)"
    return str(value).lower() if isinstance(value, bool) else str(value)


@app.command("show", cls=HelpfulCommand, epilog="llm config show --origin")
@takes("json")
def show(
    options: Options, origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False
) -> None:
    """Print all settings."""
    run = Run(options)
    if options.json:
        print_json(
            run.console,
            {name: {"value": item.value, "origin": item.origin} for name, item in run.settings.items()},
        )
        return
    for name, item in run.settings.items():
        run.console.line(f"{name} = {_shown(item.value)}" + (f"\t# {item.origin}" if origin else ""))


@app.command("get", cls=HelpfulCommand, epilog="llm config get model")
@takes("json")
def get(options: Options, key: Key) -> None:
    """Print one setting's value; nothing where it is each command's own."""
    setting = find_key(key)
    run = Run(options)
    value = run.settings[setting.name]
    if options.json:
        print_json(run.console, {"value": value, "origin": run.settings.origin(setting.name)})
    elif value is not None:
        run.console.line("\n".join(value) if isinstance(value, list) else _shown(value))


@app.command("set", cls=HelpfulCommand, epilog="llm config set temperature 0.7\nllm config set stop '[\"END\"]'")
@takes()
def set_(options: Options, key: Key, value: str, project: Project = False) -> None:
    """Change a setting in the user's file; its comments stay."""
    setting = find_key(key)
    typed = parse(setting, value, f"config set {key}")

    def assign(document: Any) -> None:
        spelling = next((name for name in _spellings(setting.name) if name in document), setting.name)
        document[spelling] = typed

    _change(_file(project), assign, project)
    Console(options.color or "auto", quiet=options.quiet).note(
        f"set {setting.name} = {_shown(typed)} in {_file(project)}"
    )


@app.command("unset", cls=HelpfulCommand, epilog="llm config unset temperature")
@takes()
def unset(options: Options, key: Key, project: Project = False) -> None:
    """Take a setting out of the user's file."""
    setting = find_key(key)
    path = _file(project)
    console = Console(options.color or "auto", quiet=options.quiet)
    if not path.exists() or setting.name not in read_file(path):
        console.note(f"{setting.name} is not set in {path}")
        return

    def remove(document: Any) -> None:
        for spelling in _spellings(setting.name) & set(document):
            del document[spelling]

    _change(path, remove, project)
    console.note(f"unset {setting.name} in {path}")


def _spellings(name: str) -> set[str]:
    return {name, name.replace("_", "-")}


def _change(path: Path, change: Any, project: bool) -> None:
    from tui.paths import write_output

    data = edit_file(path, change)
    (write_output if project else write_private)(path, data)


@app.command("path", cls=HelpfulCommand, epilog="llm config path")
@takes()
def path_(options: Options, project: Project = False) -> None:
    """Print where the settings file is."""
    Console(options.color or "auto").line(str(_file(project)))


@app.command("edit", cls=HelpfulCommand, epilog="EDITOR=nano llm config edit")
@takes()
def edit(options: Options, project: Project = False) -> None:
    """Open the settings file in $VISUAL or $EDITOR, and check what was written."""
    console = Console(options.color or "auto", quiet=options.quiet)
    if not (console.stdin_is_terminal and console.stdout_is_terminal):
        raise UsageError("edit needs a terminal", hint="use: llm config set KEY VALUE")
    path = _file(project)
    if not path.exists():
        ensure(path.parent)
        write_private(path, _template().encode())
    run_editor(path)
    read_file(path)


def _template() -> str:
    lines = ["# Settings of local-llm. Take away a # to change one.", ""]
    for setting in SETTINGS.values():
        example = setting.choices[0] if setting.choices else setting.default
        lines.append(f"# {setting.help}" + (f": {' | '.join(setting.choices)}" if setting.choices else ""))
        shown = {str: f'"{example or ""}"', bool: str(example).lower(), list: "[]"}.get(setting.kind, "…")
        lines.append(f"# {setting.name} = {shown}")
    return "\n".join(lines) + "\n"
