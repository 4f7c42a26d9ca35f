"""The options that commands share: each has one spelling, one meaning and one type everywhere.

`takes` gives a command function the options it can honour, bundled in one `Options`; all others are usage errors.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer

from engine.config import DeviceChoice, Overflow
from engine.threads import MOST
from tui.cli.console import ColorChoice
from tui.pages import HtmlChoice

Function = TypeVar("Function", bound=Callable[..., Any])
ErrorsChoice = Literal["strict", "replace"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The shared options as given; None where a flag was not typed."""

    model: str | None = None
    adapter: Path | None = None
    endpoint: str | None = None
    system: str | None = None
    device: DeviceChoice | None = None
    threads: int | None = None
    ctx: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    seed: int | None = None
    stop: list[str] | None = None
    timeout: float | None = None
    overflow: Overflow | None = None
    file: list[str] | None = None
    encoding: str | None = None
    errors: ErrorsChoice | None = None
    html: HtmlChoice | None = None
    output: Path | None = None
    json: bool = False
    raw: bool = False
    md: bool = False
    no_stream: bool = False
    stats: bool | None = None
    dry_run: bool = False
    yes: bool = False
    no_input: bool = False
    quiet: bool = False
    verbose: bool = False
    color: ColorChoice | None = None
    debug: bool = False


def complete_models(incomplete: str) -> list[str]:
    """Names of installed models that begin so; no torch."""
    from tui.cli.installed import installed_names

    return [name for name in installed_names() if name.startswith(incomplete)]


def _option(*names: str, help: str, **settings: Any) -> Any:  # noqa: A002  (Typer's own word)
    return typer.Option(*names, help=help, show_default=False, **settings)


_TYPES: dict[str, Any] = {
    "model": Annotated[
        str | None, _option("-m", "--model", help="Model to use.", metavar="NAME", autocompletion=complete_models)
    ],
    "adapter": Annotated[
        Path | None, _option("--adapter", help="A fine-tuned change of the model (llm finetune).", metavar="FILE")
    ],
    "endpoint": Annotated[
        str | None, _option("--endpoint", help="Use the server at this OpenAI-compatible URL.", metavar="URL")
    ],
    "system": Annotated[str | None, _option("-s", "--system", help="System prompt: text or @FILE.", metavar="TEXT")],
    "device": Annotated[DeviceChoice | None, _option("--device", help="Where to compute.")],
    "threads": Annotated[int | None, _option("--threads", help="CPU threads.", metavar="N", min=1, max=MOST)],
    "ctx": Annotated[int | None, _option("--ctx", help="Context in tokens.", metavar="N", min=16)],
    "max_tokens": Annotated[int | None, _option("--max-tokens", help="Longest reply in tokens.", metavar="N")],
    "temperature": Annotated[float | None, _option("--temperature", help="0 is greedy, higher freer.", metavar="X")],
    "top_p": Annotated[float | None, _option("--top-p", help="Keep tokens up to this probability.", metavar="X")],
    "top_k": Annotated[int | None, _option("--top-k", help="Keep the k likeliest tokens; 0: all.", metavar="N")],
    "min_p": Annotated[float | None, _option("--min-p", help="Keep tokens above this share of the best.", metavar="X")],
    "repeat_penalty": Annotated[float | None, _option("--repeat-penalty", help="Above 1 repeats less.", metavar="X")],
    "seed": Annotated[int | None, _option("--seed", help="Same seed, same result.", metavar="N")],
    "stop": Annotated[
        list[str] | None, _option("--stop", help="End before this text; can be repeated.", metavar="TEXT")
    ],
    "timeout": Annotated[
        float | None, _option("--timeout", help="Stop writing after so many seconds.", metavar="SECONDS", min=0.0)
    ],
    "overflow": Annotated[
        Overflow | None,
        _option(
            "--overflow",
            help="Documents too long: read the passages that matter (search, unless told), summaries, the beginning "
            "(head), the end (tail), both (middle), or stop (error).",
        ),
    ],
    "file": Annotated[
        list[str] | None, _option("-f", "--file", help="A document, - for stdin; can be repeated.", metavar="FILE")
    ],
    "encoding": Annotated[
        str | None, _option("--encoding", help="Encoding of the files; UTF-8 unless told.", metavar="NAME")
    ],
    "errors": Annotated[
        ErrorsChoice | None,
        _option("--errors", help="Bytes that are no text: refuse the file (unless told), or put � for them."),
    ],
    "html": Annotated[
        HtmlChoice | None, _option("--html", help="Read web pages as the text that is seen, or as source.")
    ],
    "output": Annotated[
        Path | None,
        _option(
            "-o",
            "--output",
            help="Write the answer here, whole or not at all; - for stdout.",
            metavar="FILE",
            parser=lambda name: None if name == "-" else Path(name),  # `./-` is a file of that name
        ),
    ],
    "json": Annotated[bool, _option("-j", "--json", help="Answer in JSON, for programs.")],
    "raw": Annotated[bool, _option("--raw", help="Print Markdown as it is written.")],
    "md": Annotated[bool, _option("--md", help="Render Markdown even in a pipe.")],
    "no_stream": Annotated[bool, _option("--no-stream", help="Print the answer when it is complete.")],
    "stats": Annotated[bool | None, _option("--stats", help="Timings on stderr.")],
    "dry_run": Annotated[bool, _option("--dry-run", help="Show the final prompt and its tokens; do not run it.")],
    "yes": Annotated[bool, _option("-y", "--yes", help="Answer questions with yes.")],
    "no_input": Annotated[bool, _option("--no-input", help="Never ask.")],
    "quiet": Annotated[bool, _option("-q", "--quiet", help="Only answer and errors.")],
    "verbose": Annotated[bool, _option("-v", "--verbose", help="Say more on stderr.")],
    "color": Annotated[ColorChoice | None, _option("--color", help="Colours.")],
    "debug": Annotated[bool, _option("--debug", help="Show tracebacks.")],
}

COMMON = ("quiet", "verbose", "color", "debug")
MODEL = ("model", "adapter", "endpoint", "device", "threads", "ctx", "yes", "no_input")
SAMPLING = (
    "max_tokens", "temperature", "top_p", "top_k", "min_p", "repeat_penalty", "seed", "stop", "timeout",
)  # fmt: skip
DECODING = ("encoding", "errors")
READING = (*DECODING, "html")
ANSWER = ("output", "json", "raw", "md", "no_stream", "stats")

assert {field.name for field in fields(Options)} == set(_TYPES)


def takes(*names: str) -> Callable[[Function], Function]:
    """Give a command function these options besides its own parameters; its first parameter is the `Options`."""
    chosen = (*names, *COMMON)

    def decorate(function: Function) -> Function:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

        @functools.wraps(function)
        def command(**values: Any) -> Any:
            options = Options(**{name: values.pop(name) for name in chosen})
            return function(options, **values)

        shared = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=_TYPES[name],
                default=getattr(Options, name),
            )
            for name in chosen
        ]
        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + shared
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del command.__wrapped__
        return command  # type: ignore[return-value]

    return decorate
