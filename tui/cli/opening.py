"""From options to an open session: settings merged, the model found or offered, the weights loaded."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from engine import shipped
from engine.config import SamplingConfig
from engine.errors import ModelNotFound, UsageError
from engine.schema import ModelSummary
from tui.cli.console import Console, note_console, program, visible
from tui.cli.deliver import Delivery
from tui.cli.installed import open_library
from tui.cli.options import Options
from tui.language import language_of
from tui.paths import check_output, ensure, places
from tui.settings import Settings, sampling

if TYPE_CHECKING:
    from engine.library import Library
    from engine.session import Session


class Run:
    """One run of a command: its options, settings, folders and streams."""

    def __init__(self, options: Options, settings: Settings | None = None, **more: Any) -> None:
        """`settings`: where the command has read them itself; `more`: those by flags that it alone has."""
        self.options = options
        self.places = places()
        flags = {name: value for name, value in (vars(options) | more).items() if value is not None and value != []}
        self.settings = (settings or Settings.load(self.places.config_file)).with_flags(flags)
        language = language_of(self.settings["lang"])
        self.console = Console(self.settings["color"], options.quiet, options.verbose, language)
        note_console(self.console, debug=options.debug)
        if options.output:
            check_output(options.output)

    @cached_property
    def library(self) -> Library:
        """The installed models."""
        return open_library(self.places)

    @property
    def default_model(self) -> str | None:
        """The installed model that is meant where a command names none; settings may have a part of its name."""
        if not (wanted := self.settings["model"]):
            return self.library.default
        with contextlib.suppress(ModelNotFound):
            return self.library.find(wanted).name
        return None

    @cached_property
    def endpoint(self) -> Session:
        """The session with the server that is asked for."""
        from tui.cli.remote import endpoint_session

        session = endpoint_session(self.options, self.settings, self.console)
        self.tell_session(session, "elsewhere")
        return session

    @property
    def adapter(self) -> Path | None:
        """The file of the adapter that is asked for, by path or by the name of one that ships."""
        return self.options.adapter and shipped.resolve(self.options.adapter)

    def sampling(self, **defaults: Any) -> SamplingConfig:
        """Sampling from flags and settings; the command's own defaults where nobody said anything."""
        return sampling(self.settings, **defaults)

    @property
    def delivery(self) -> Delivery:
        """How this command's answers leave it."""
        return Delivery(
            self.console, self.options, markdown=self.settings["markdown"], stats=bool(self.settings["stats"])
        )

    def may_ask(self) -> bool:
        """Whether a question may be put: a person at stdin and stderr, and not forbidden."""
        return self.console.stdin_is_terminal and self.console.stderr_is_terminal and not self.options.no_input

    def confirm(self, question: str) -> bool:
        """Ask yes or no on stderr; `--yes` answers, and where nobody can be asked the answer is no."""
        if self.options.yes:
            return True
        if not self.may_ask():
            return False
        sys.stderr.write(f"{visible(self.console.said(question))} [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in {"y", "yes", "是", "好"}

    def be_sure(self, question: str, unasked: str, otherwise: str) -> None:
        """Go on only after a yes: the one of `--yes`, or a person's.

        Raises UsageError, which says `unasked`, where nobody can be asked; after a no it says `otherwise` and ends with
        1.
        """
        if not self.options.yes and not self.may_ask():
            raise UsageError(unasked, hint="add --yes")
        if not self.confirm(question):
            self.console.note(otherwise)
            raise typer.Exit(1)

    def find_model(self) -> ModelSummary:
        """The model of the endpoint, where one is asked for, else `find_installed`."""
        if not self.settings["endpoint"]:
            return self.find_installed()
        server = self.endpoint
        return ModelSummary(
            name=server.name, path="", family="", parameters=0, bytes_on_disk=0, context=server.context, licence="",
            source=self.settings["endpoint"], sha256="", chat=True,
        )  # fmt: skip

    def find_installed(self) -> ModelSummary:
        """The chosen or default model; on a terminal offers to pull a missing default. Raises ModelNotFound."""
        if not os.path.isdir(self.places.models):
            ensure(self.places.models)  # says now what a pull would run into
        wanted = self.settings["model"] or self.library.default
        if wanted and (self.library.names() or not self.may_ask()):
            return self.library.summary(wanted)
        from engine.catalog import default_entry

        wanted = wanted or default_entry().pull_spec
        if self.may_ask() and self.confirm(f"No model is installed. Pull {wanted} now?"):
            from tui.cli.pulling import pull_with_progress

            return pull_with_progress(self.console, self.library, wanted)
        raise ModelNotFound("no model is installed", hint=f"run: {program()} models pull")

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """The model, loaded; closed at the end."""
        summary = self.find_model()
        session = self.load(summary)
        try:
            yield session
        finally:
            session.close()

    def load(self, summary: ModelSummary) -> Session:
        """A model's session: at the endpoint, with the warm server that holds this very model, or loaded here."""
        if self.settings["endpoint"]:
            return self.endpoint
        from tui.cli.warm import warm_session

        if self.options.adapter:  # the server holds the model as it is installed
            return self.load_here(summary)
        if (session := warm_session(self.places, self.settings, self.console, summary)) is None:
            return self.load_here(summary)
        self.tell_session(session, "kept warm")
        return session

    def vectors_of(self, summary: ModelSummary) -> str:
        """What tells a model's vectors from those of all others."""
        if self.settings["endpoint"]:
            return f"{summary.name} {summary.source}"
        from engine.tasks.search import identity

        return identity(Path(summary.path))

    def load_here(self, summary: ModelSummary) -> Session:
        """A session of this process, with a sign of life on stderr while the weights come in."""
        import time

        started = time.monotonic()
        with self.console.spinner(f"loading {summary.name}"):
            from engine.session import Session

            session = Session.open(
                Path(summary.path),
                device=self.settings["device"],
                threads=self.settings["threads"],
                context=self.settings["ctx"],
                adapter=self.adapter,
                lean=True,
            )
        self.tell_session(session, f"loaded in {time.monotonic() - started:.1f} s")
        return session

    def tell_session(self, session: Session, how: str) -> None:
        """For `--verbose`: what will answer."""
        self.console.detail(
            f"{session.name} on {session.device} ({session.kernel}), context {session.context} tokens, "
            f"{session.memory_bytes / 1e6:.0f} MB, {how}"
        )
