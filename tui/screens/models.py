"""The models: those that are here, to use or to remove; those of the catalog, to bring here; pulls can be watched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import OptionList, Static

from engine.catalog import CatalogEntry
from engine.schema import ModelSummary
from tui.screens.choosing import Choice, ChoosingScreen
from tui.screens.confirming import ConfirmingScreen
from tui.strings import Strings
from tui.widgets.bound import bound
from tui.widgets.pull_line import PullLine, PullState, size
from tui.widgets.text import visible

USE, PULL = "use ", "pull "
"""What the value of a row begins with."""


class Shelf(Protocol):
    """What the screen needs from the app."""

    @property
    def name(self) -> str:
        """The loaded model."""

    @property
    def pulling(self) -> Sequence[PullState]:
        """What is on its way, the running pull first."""

    def installed(self) -> Sequence[ModelSummary]:
        """What is here."""

    def available(self) -> Sequence[CatalogEntry]:
        """What the catalog has besides."""

    def default(self) -> str | None:
        """The model used when none is named."""

    def pull(self, spec: str) -> None:
        """Bring a model here; errors are told."""

    def stop_pull(self, spec: str) -> None:
        """Stop bringing it."""

    def remove(self, name: str) -> None:
        """Delete it; errors are told."""

    def make_default(self, name: str) -> None:
        """Use it when none is named."""


class ModelsScreen(ChoosingScreen):
    """Returns the name of the model to use, or None. Stays open while models are pulled and removed."""

    WIDE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("remove", "remove", priority=True),
        bound("stop_pull", "stop_pull", priority=True),
        bound("make_default", "default", "key.default", priority=True),
    ]

    def __init__(self, shelf: Shelf, strings: Strings) -> None:
        super().__init__(strings("title.models"), [], strings)
        self._shelf = shelf
        self._under: tuple[str, ...] = ()
        self._known: dict[str, ModelSummary | CatalogEntry] = {}

    def below_rows(self) -> ComposeResult:
        """What is known of the marked row, and the running pull."""
        yield Static(id="detail")
        yield PullLine(self._strings)

    def on_mount(self) -> None:
        """What is here first; all else is done by the list's own."""
        self.look_again()

    def look_again(self) -> None:
        """Rows as the folder and the pulls are now."""
        self._under = tuple(state.spec for state in self._shelf.pulling)
        installed, available = self._shelf.installed(), self._shelf.available()
        self._known = {USE + summary.name: summary for summary in installed}
        self._known |= {PULL + entry.pull_spec: entry for entry in available}
        default = self._shelf.default()
        rows = [self._row_of(summary, default) for summary in installed]
        rows += [self._row_to_pull(entry.pull_spec, entry) for entry in available]
        listed = {entry.pull_spec for entry in available}
        rows += [self._row_to_pull(spec, None) for spec in self._under if spec not in listed]
        self.set_choices(rows)
        self.pulls_changed()

    def pulls_changed(self) -> None:
        """A pull has come on, begun or ended."""
        states = self._shelf.pulling
        if tuple(state.spec for state in states) != self._under:
            self.look_again()
            return
        self.query_one(PullLine).show(states[0] if states else None)

    def _row_of(self, summary: ModelSummary, default: str | None) -> Choice:
        strings = self._strings
        if summary.problem:
            return Choice(USE + summary.name, summary.name, strings("models.broken"))
        used = summary.name == self._shelf.name
        note = strings("models.current" if used else "models.here", size=size(summary.bytes_on_disk))
        note += " · " + strings("models.default") if summary.name == default else ""
        return Choice(USE + summary.name, summary.name, f"{note} · {summary.licence}".rstrip(" ·"))

    def _row_to_pull(self, spec: str, entry: CatalogEntry | None) -> Choice:
        strings = self._strings
        if spec in self._under:
            note = strings("models.coming" if spec == self._under[0] else "models.waiting")
        elif entry is None:
            note = strings("models.from_hub")
        else:
            note = strings("models.to_pull", size=size(entry.size)) + f" · {entry.licence.id}"
            note += " · " + strings("models.base") if entry.role == "base" else ""
        return Choice(PULL + spec, spec, note)

    def fill(self, wanted: str) -> None:
        """The rows that match; what looks like a model of the hub can be pulled, too."""
        super().fill(wanted)
        spec = wanted.strip()
        if spec.lower().startswith("hf:") and "/" in spec and PULL + spec not in {row.value for row in self.shown}:
            self.list_rows([*self.shown, self._row_to_pull(spec, None)])

    @on(OptionList.OptionHighlighted)
    def _tell_marked(self) -> None:
        marked = self.marked()
        known = self._known.get(marked.value) if marked else None
        text = ""
        if isinstance(known, ModelSummary):
            text = self._strings.error(known.problem) if known.problem else self._strings(
                "models.facts", family=known.family, millions=known.parameters // 10**6, context=known.context,
                licence=" ".join(filter(None, (known.licence, known.licence_url))),
                source=self._strings.error(known.source),
            )  # fmt: skip
        elif known is not None:
            text = said_of(known, self._strings)
        self.query_one("#detail", Static).update(Content(visible(text)))

    def take_marked(self) -> None:
        """Use the marked model, or bring it here."""
        if (marked := self.marked()) is None:
            return
        if marked.value.startswith(USE):
            self.dismiss(marked.value.removeprefix(USE))
            return
        spec = marked.value.removeprefix(PULL)
        entry = self._known.get(marked.value)
        if spec in self._under:
            return

        def confirmed(yes: bool | None) -> None:
            if yes:
                self._shelf.pull(spec)

        terms = said_of(entry, self._strings) if isinstance(entry, CatalogEntry) else ""
        question = f"{self._strings('models.pull', name=spec)}\n{terms}".rstrip()
        self.app.push_screen(
            ConfirmingScreen(question, self._strings("key.pull"), self._strings, harmless=True), confirmed
        )

    def _marked_name(self) -> str:
        marked = self.marked()
        return marked.value.removeprefix(USE) if marked and marked.value.startswith(USE) else ""

    def action_remove(self) -> None:
        """Delete the marked model from the disk, after asking."""
        if not (name := self._marked_name()):
            return

        def confirmed(yes: bool | None) -> None:
            if yes:
                self._shelf.remove(name)
                self.look_again()

        question = self._strings("models.remove", name=name)
        self.app.push_screen(ConfirmingScreen(question, self._strings("key.remove"), self._strings), confirmed)

    def action_stop_pull(self) -> None:
        """Stop the marked pull, else the running one."""
        marked = self.marked()
        spec = marked.value.removeprefix(PULL) if marked else ""
        if self._under:
            self._shelf.stop_pull(spec if spec in self._under else self._under[0])

    def action_default(self) -> None:
        """Use the marked model whenever none is named."""
        if name := self._marked_name():
            self._shelf.make_default(name)
            self.look_again()


def said_of(entry: CatalogEntry, strings: Strings) -> str:
    """What a model of the catalog is good for, what it costs, and under which terms it comes."""
    costs = strings("models.costs", size=size(entry.size))
    if entry.memory:
        costs += strings("models.memory", memory=size(entry.memory))
    parts = [entry.description(strings.language), costs]
    parts.append(f"{entry.licence.name} {entry.licence.url}")
    if entry.gated:
        parts.append(strings("models.gated"))
    return "\n".join(parts)
