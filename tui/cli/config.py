"""`llm config`: show, get, set, unset and edit settings, with the origin of each value."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
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
from tui.keymap import ACTIONS
from tui.paths import PROJECT_FILE, ensure, places, project_file, write_output, write_private
from tui.settings import (
    SETTINGS,
    Setting,
    SettingsError,
    checked,
    edit_file,
    find_key,
    parse,
    read_file,
    refuse_personal,
)

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


SET_EXAMPLES = """
llm config set temperature 0.7
llm config set keys.new ctrl+t
llm config set stop '["END"]'
"""


def _keys(incomplete: str) -> list[str]:
    names = [*SETTINGS, *(f"keys.{action}" for action in ACTIONS)]
    return [name for name in names if name.startswith(incomplete.replace("-", "_"))]


Key = Annotated[str, typer.Argument(help="The setting.", autocompletion=_keys)]
Value = Annotated[str, typer.Argument(help="Its new value; of several texts a list, as in the example.")]
Project = Annotated[bool, typer.Option("--project", help="In .local-llm.toml of this folder, not the user's file.")]


def _named(key: str) -> tuple[Setting, str]:
    """The setting, and of a table the entry that is meant: `keys.new`. Raises SettingsError."""
    table, _, entry = key.partition(".")
    if entry and find_key(table).kind is dict:
        return find_key(table), entry
    return find_key(key), ""


def _file(project: bool) -> Path:
    if not project:
        return places().config_file
    return project_file() or Path.cwd() / PROJECT_FILE


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {json.dumps(item)}" for name, item in value.items()) + "}"
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
        value = run.console.said("(each command's own)") if item.value is None else _shown(item.value)
        run.console.line(f"{name} = {value}" + (f"\t# {item.origin}" if origin else ""))


@app.command("get", cls=HelpfulCommand, epilog="llm config get model")
@takes("json")
def get(options: Options, key: Key) -> None:
    """Print one setting's value; nothing where it is each command's own."""
    setting, entry = _named(key)
    run = Run(options)
    value = run.settings[setting.name]
    if entry:
        value = value.get(entry)
    if options.json:
        print_json(run.console, {"value": value, "origin": run.settings.origin(setting.name)})
    elif value is not None:
        run.console.line("\n".join(value) if isinstance(value, list) else _shown(value))


@app.command(
    "set",
    cls=HelpfulCommand,
    epilog=SET_EXAMPLES,
)
@takes()
def set_(options: Options, key: Key, value: Value, project: Project = False) -> None:
    """Change a setting in the user's file; its comments stay."""
    setting, entry = _named(key)
    path, where = _file(project), f"config set {key}"
    if project:
        refuse_personal(path, [setting.name])
    if entry:
        typed = checked(setting, read_file(path).get(setting.name, {}) | {entry: value}, where)
    else:
        typed = parse(setting, value, where)

    def assign(document: Any) -> None:
        spelling, *others = [name for name in document if name in _spellings(setting.name)] or [setting.name]
        for other in others:  # the last of them would count
            del document[other]
        if entry and spelling in document:
            document[spelling][entry] = value  # what stands around it stays as it is
        else:
            document[spelling] = typed

    with _alone():
        _write(path, edit_file(path, assign), project)
    said = value if entry else _shown(typed)
    Console(options.color or "auto", quiet=options.quiet).note(f"set {key} = {said} in {path}")


@app.command("unset", cls=HelpfulCommand, epilog="llm config unset temperature")
@takes()
def unset(options: Options, key: Key, project: Project = False) -> None:
    """Take a setting out of the user's file."""
    path = _file(project)
    removed: list[str] = []

    def remove(document: Any) -> None:
        try:
            setting, entry = _named(key)
            spellings = _spellings(setting.name)
        except SettingsError:
            if key not in document:
                raise
            spellings, entry = {key}, ""  # of another version, or mistyped: it has to go
        for spelling in spellings & set(document):
            held = document[spelling]
            if not entry:
                del document[spelling]
            elif isinstance(held, dict) and entry in held:
                del held[entry]
            else:
                continue
            removed.append(spelling)

    with _alone():
        data = edit_file(path, remove)
        if removed:
            _write(path, data, project)
    console = Console(options.color or "auto", quiet=options.quiet)
    console.note(f"unset {key} in {path}" if removed else f"{key} is not set in {path}")


def _spellings(name: str) -> set[str]:
    return {name, name.replace("_", "-")}


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """No other process changes settings meanwhile: what it wrote would be lost."""
    from filelock import FileLock

    with FileLock(ensure(ensure(places().state) / "locks") / "settings.lock"):
        yield


def _write(path: Path, data: bytes, project: bool) -> None:
    """The user's file is private; a project's is for all who work on it."""
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
        _write(path, _template(console).encode(), project)
    run_editor(path)
    read_file(path)


def _keys_template() -> list[str]:
    return ["# [keys]", *(f'# {action.name} = "{action.keys}"' for action in ACTIONS.values())]


def _template(console: Console) -> str:
    lines = [f"# {console.said('Settings of local-llm. Take away a # to change one.')}", ""]
    for setting in sorted(SETTINGS.values(), key=lambda setting: setting.kind is dict):  # tables come last in TOML
        example = setting.choices[0] if setting.choices else setting.default
        choices = f": {' | '.join(setting.choices)}" if setting.choices else ""
        lines.append(f"# {console.said(setting.help)}{choices}")
        shown = {str: f'"{example or ""}"', bool: str(example).lower(), list: "[]"}.get(setting.kind, "…")
        lines += [f"# {setting.name} = {shown}"] if setting.kind is not dict else _keys_template()
    return "\n".join(lines) + "\n"
