"""The user's settings: flag > environment > project file > user file > default, each value with its origin.

Reads TOML and checks every key and value; knows nothing of flags' spelling or of what a setting does.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import secrets
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from engine.config import DeviceChoice, Overflow, SamplingConfig
from engine.errors import UsageError
from engine.threads import MOST
from tui import keymap
from tui.paths import project_file

PREFIX = "LOCAL_LLM_"
PERSONAL = {"endpoint", "api_key_file"}
"""Where texts and keys are sent: no business of a project's file, which may come from anybody."""
_UNITS = {"s": 1, "m": 60, "h": 3600}
_LONGEST_NUMBER = 9
"""Digits of a stretch of time."""
_EXPECTED = {
    str: "a text", int: "a whole number", float: "a number", bool: "true or false", list: "texts", dict: "a table",
}  # fmt: skip
_YES, _NO = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}
Scalar = str | int | float | bool | list[str] | dict[str, Any] | None


class SettingsError(UsageError):
    """A settings file or variable with an unknown key or a wrong value."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that can be set. A default of None leaves the choice to each command."""

    name: str
    kind: type
    help: str
    default: Scalar = None
    choices: tuple[str, ...] = ()
    check: Callable[[Any], object] | None = None
    """Raises UsageError for a value that makes no sense."""

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.name.upper()


def _sampling(field: str) -> Callable[[Any], object]:
    def check(value: Any) -> object:
        values: dict[str, Any] = {field: tuple(value) if isinstance(value, list) else value}
        return SamplingConfig(**values)

    return check


def _positive(value: int) -> None:
    if value < 1:
        raise UsageError(f"expected 1 or more, got {value}")


def _check_threads(value: int) -> None:
    if not 1 <= value <= MOST:
        raise UsageError(f"expected 1 to {MOST}, got {value}")


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")
        sound = parts.scheme in {"http", "https"} and host and parts.port != 0 and url.isprintable() and " " not in url
    except ValueError:  # half a bracket, a port that is none, a name without a letter between two dots
        sound = False
    if not sound:
        raise UsageError(f"expected a URL such as http://127.0.0.1:8757/v1, got {url!r}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError("a URL with a key, a query or a fragment in it is not taken: LOCAL_LLM_API_KEY holds the key")


def seconds_of(text: str) -> float | None:
    """A stretch of time such as 90s, 30m, 2h, in seconds; None for `forever`. Raises UsageError."""
    text = text.strip().lower()
    if text == "forever":
        return None
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    if not number.isascii() or not number.isdigit() or len(number) > _LONGEST_NUMBER or not int(number):
        raise UsageError(f"expected a time such as 90s, 30m, 2h or forever, got {text!r}")
    return int(number) * _UNITS[unit]


SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting("model", str, "the model to use"),
        Setting("chat_model", str, "the model that chats, where it is another"),
        Setting("system", str, "system prompt of ask and chat"),
        Setting("device", str, "where to compute", "auto", choices=get_args(DeviceChoice)),
        Setting("threads", int, "CPU threads", check=_check_threads),
        Setting("ctx", int, "context in tokens", check=_positive),
        Setting("max_tokens", int, "longest reply in tokens", check=_sampling("max_tokens")),
        Setting("temperature", float, "0 is greedy, higher is freer", check=_sampling("temperature")),
        Setting("top_p", float, "keep the likeliest tokens with this much probability", check=_sampling("top_p")),
        Setting("top_k", int, "keep the k likeliest tokens, 0 keeps all", check=_sampling("top_k")),
        Setting("min_p", float, "keep tokens with this fraction of the best one", check=_sampling("min_p")),
        Setting("repeat_penalty", float, "above 1 repeats less", check=_sampling("repetition_penalty")),
        Setting("seed", int, "same seed, same text", check=_sampling("seed")),
        Setting("stop", list, "texts that end a reply", check=_sampling("stop")),
        Setting("end_loops", bool, "end an answer that says the same again and again", True),
        Setting("overflow", str, "what to do with input that does not fit", choices=get_args(Overflow)),
        Setting("color", str, "colours", "auto", choices=("auto", "always", "never")),
        Setting("markdown", bool, "render Markdown on a terminal", True),
        Setting("stats", bool, "print timings after an answer", False),
        Setting("history", bool, "keep conversations", True),
        Setting("history_days", int, "forget conversations unchanged for so many days", check=_positive),
        Setting("endpoint", str, "URL of an OpenAI-compatible server to use", check=_check_url),
        Setting("api_key_file", str, "a private file with the key of that server"),
        Setting("warm", bool, "keep the model in memory between commands: the first starts `llm serve`", False),
        Setting("keep_alive", str, "how long a server waits for the next command", "30m", check=seconds_of),
        Setting("lang", str, "language of the app's own words", "auto", choices=("auto", "en", "zh")),
        Setting("theme", str, "colours of the app"),
        Setting("keys", dict, 'keys of the app by action, such as new = "ctrl+t"', {}, check=keymap.check),
    )
}
# Those that the line chat can still change: a loaded session takes them.
CHANGEABLE = (
    "max_tokens", "temperature", "top_p", "top_k", "min_p", "repeat_penalty", "seed", "stop", "markdown", "stats",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Value:
    """A setting's value and where it comes from."""

    value: Any
    origin: str


def find_key(name: str) -> Setting:
    """The setting of a name, dashes allowed. Raises SettingsError that names the nearest."""
    key = name.replace("-", "_")
    if key in SETTINGS:
        return SETTINGS[key]
    near = difflib.get_close_matches(key, SETTINGS, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(SETTINGS)}"
    raise SettingsError(f"unknown setting {name!r}", hint=hint)


def checked(setting: Setting, value: Any, where: str) -> Any:
    """The value in its setting's type. Raises SettingsError that says what was expected and what came."""
    if setting.kind is float and isinstance(value, int) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):  # what stays a whole number is refused as one
            value = float(value)
    if not _is_of(setting.kind, value):
        raise SettingsError(f"{where}: {setting.name} expects {_EXPECTED[setting.kind]}, got {value!r}")
    if setting.choices and value not in setting.choices:
        raise SettingsError(f"{where}: {setting.name} expects {' | '.join(setting.choices)}, got {value!r}")
    if setting.check:
        try:
            setting.check(value)
        except UsageError as error:
            said = {word.strip("_:") for word in f"{where} {error.message}".replace("-", "_").split()}
            named = "" if setting.name in said else f"{setting.name}: "  # once is enough
            raise SettingsError(f"{where}: {named}{error.message}") from error
    return value


def _is_of(kind: type, value: Any) -> bool:
    """Whether a value has a setting's type; true and false are no numbers, and lists are lists of texts."""
    if kind is list and isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def parse(setting: Setting, text: str, where: str) -> Any:
    """A value written as text, as variables, `config set` and `/set` have it. Raises SettingsError."""
    value: Any = text
    if setting.kind is bool:
        word = text.strip().lower()
        value = word in _YES if word in _YES | _NO else text
    elif setting.kind is list:
        value = _in_toml(text, [text]) if text.lstrip().startswith("[") else [text]
    elif setting.kind is dict:
        value = _in_toml(text, text)
    elif setting.kind in {int, float}:
        try:
            value = setting.kind(text)
        except ValueError:
            value = text
    return checked(setting, value, where)


def _in_toml(text: str, otherwise: Any) -> Any:
    """What a text says as a value of TOML; `otherwise` where it is none."""
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except (ValueError, RecursionError):  # a number of thousands of digits, lists within lists without end
        return otherwise


def read_file(path: Path) -> dict[str, Any]:
    """Checked values of a settings file, {} if it does not exist. Raises SettingsError."""
    try:
        data = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsError(
            f"{path}: {reason}", hint="the file must be UTF-8 TOML, such as: temperature = 0.7"
        ) from error
    values = {}
    for key, value in data.items():
        try:
            setting = find_key(key)
        except SettingsError as error:
            raise SettingsError(f"{path}: {error.message}", hint=error.hint) from error
        values[setting.name] = checked(setting, value, str(path))
    return values


def _read_project(path: Path) -> dict[str, Any]:
    """The same of a project's file."""
    values = read_file(path)
    refuse_personal(path, values)
    return values


def refuse_personal(path: Path, names: Iterable[str]) -> None:
    """Raises SettingsError for what a project's file may not say: where texts are sent."""
    if personal := sorted(PERSONAL.intersection(names)):
        raise SettingsError(
            f"{path}: {personal[0]} can't be set for a project",
            hint="it says where texts are sent: put it in your own settings, or type --endpoint",
        )


class Settings:
    """All settings of a run, each with its origin."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = dict(values)

    @classmethod
    def load(cls, user_file: Path, *, environ: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
        """Merge all sources but flags. Raises SettingsError for unknown keys and wrong values."""
        settings, broken = cls.examine(user_file, environ=environ, folder=folder)
        if broken:
            raise broken[0]
        return settings

    @classmethod
    def examine(
        cls, user_file: Path, *, environ: Mapping[str, str] | None = None, folder: Path | None = None
    ) -> tuple[Settings, list[SettingsError]]:
        """The same of the sources that are sound, and what is wrong with each of the others."""
        environ = os.environ if environ is None else environ
        values = {name: Value(setting.default, "default") for name, setting in SETTINGS.items()}
        broken = []
        project = project_file(folder)
        for path in filter(None, (user_file, project)):
            try:
                found = _read_project(path) if path == project else read_file(path)
                values |= {name: Value(value, str(path)) for name, value in found.items()}
            except SettingsError as error:
                broken.append(error)
        for setting in SETTINGS.values():
            try:
                if text := environ.get(setting.variable):
                    values[setting.name] = Value(parse(setting, text, setting.variable), setting.variable)
            except SettingsError as error:
                broken.append(error)
        return cls(values), broken

    def with_flags(self, flags: Mapping[str, Any]) -> Settings:
        """These settings below flags that were given (not None). Raises SettingsError for wrong values."""
        given = {}
        for name, value in flags.items():
            if value is None or name not in SETTINGS:
                continue
            flag = "--" + name.replace("_", "-")
            given[name] = Value(checked(SETTINGS[name], value, flag), flag)
        return Settings(self._values | given)

    def with_values_below(self, values: Mapping[str, Any], origin: str) -> Settings:
        """These settings, with checked values where nobody said anything."""
        given = {name: Value(value, origin) for name, value in values.items() if self.origin(name) == "default"}
        return Settings(self._values | given)

    def without(self, name: str) -> Settings:
        """These settings with one back at its default."""
        return Settings(self._values | {name: Value(SETTINGS[name].default, "default")})

    def __getitem__(self, name: str) -> Any:
        return self._values[name].value

    def origin(self, name: str) -> str:
        """Where a value comes from: a flag, a variable, a file, or `default`."""
        return self._values[name].origin

    def items(self) -> list[tuple[str, Value]]:
        """Every setting, in the order of the table."""
        return list(self._values.items())


def sampling(settings: Settings, **defaults: Any) -> SamplingConfig:
    """Sampling as the settings say; the command's own defaults where nobody said anything."""
    fields = ("temperature", "top_k", "top_p", "min_p", "seed", "max_tokens", "stop")
    values = {name: settings[name] for name in fields} | {"repetition_penalty": settings["repeat_penalty"]}
    given = {name: value for name, value in values.items() if value is not None}
    if "stop" in given:
        given["stop"] = tuple(given["stop"])
    return SamplingConfig(**(defaults | given))


def seeded(sampling: SamplingConfig) -> SamplingConfig:
    """The same with a seed where there is none: every answer is one that `llm history replay` can draw again."""
    return sampling if sampling.seed is not None else replace(sampling, seed=secrets.randbits(31))


def edit_file(path: Path, change: Callable[[Any], None]) -> bytes:
    """A settings file's text after a change to its TOML document, comments kept. Raises SettingsError."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        text = path.read_text("utf-8-sig") if path.exists() else ""
        document = tomlkit.parse(text)
    except (OSError, ValueError, RecursionError, TOMLKitError) as error:
        raise SettingsError(f"{path}: {error}", hint="mend or remove the file first") from error
    change(document)
    return tomlkit.dumps(document).encode()
