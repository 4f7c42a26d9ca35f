"""The side panel: the model and what it runs on, and how the next answer is drawn, to be changed in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Button, Input, Label, Static

from tui.strings import Strings
from tui.widgets.bound import bound
from tui.widgets.text import one_line, visible

FIELDS = ("temperature", "top_p", "top_k", "min_p", "repeat_penalty", "max_tokens", "seed")


class Panel(VerticalScroll, can_focus=False):
    """Facts above, fields below."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("panel_down", "step(1)", priority=True),
        bound("panel_up", "step(-1)", show=False, priority=True),
    ]

    class ValueGiven(Message):
        """A person put a value into a field; empty: back to what it was by default."""

        def __init__(self, name: str, text: str) -> None:
            super().__init__()
            self.name = name
            self.text = text

    class ModelAsked(Message):
        """Another model is wanted."""

    class SystemAsked(Message):
        """The system prompt shall be changed."""

    def __init__(self, strings: Strings) -> None:
        super().__init__(id="panel")
        self._strings = strings
        self._values: dict[str, str] = {}

    def compose(self) -> ComposeResult:
        """A title, the facts, the fields."""
        strings = self._strings
        yield Label(strings("panel.model"), classes="panel-title")
        yield Static(id="facts")
        yield Button(strings("panel.change_model"), id="change-model", compact=True)
        yield Label(strings("panel.answers"), classes="panel-title")
        for name in FIELDS:
            with Horizontal(classes="field"):
                yield Label(strings(f"panel.{name}"))
                yield Input(compact=True, id=f"field-{name}", select_on_focus=True)
        yield Label(strings("panel.system"), classes="panel-title")
        yield Static(id="system")
        yield Button(strings("panel.change_system"), id="change-system", compact=True)

    def enter(self) -> None:
        """The first of the values is chosen at once, for what is typed behind the key, and seen once it has a place."""
        field = self.query_one(f"#field-{FIELDS[0]}")
        self.screen.set_focus(field, scroll_visible=False)
        self.call_after_refresh(self.screen.scroll_to_center, field, origin_visible=True)

    def action_step(self, step: int) -> None:
        """Choose another button or value."""
        stops = [widget for widget in self.query("Button, Input") if widget.focusable]
        at = next((at for at, widget in enumerate(stops) if widget.has_focus), 0)
        stops[min(max(at + step, 0), len(stops) - 1)].focus()

    def show(self, facts: Mapping[str, str], values: Mapping[str, object], system: str | None) -> None:
        """What stands there now; a value that has not changed stays as it is being typed."""
        width = max((Content(self._strings(f"panel.{name}")).cell_length for name in facts), default=0) + 2
        rows = []
        for name, value in facts.items():
            label = self._strings(f"panel.{name}")
            gap = " " * (width - Content(label).cell_length)
            rows.append(Content.assemble((label, "$foreground 60%"), gap, visible(value)))
        self.query_one("#facts", Static).update(Content("\n").join(rows))
        for name in FIELDS:
            held = values.get(name)
            text = "" if held is None else f"{held:g}" if isinstance(held, float) else str(held)
            if text != self._values.get(name):
                self.query_one(f"#field-{name}", Input).value = self._values[name] = text
        said = one_line(system, 200) if system else self._strings("said.none")
        self.query_one("#system", Static).update(Content(said))

    @on(Input.Submitted)
    def _given(self, event: Input.Submitted) -> None:
        event.stop()
        self._take(event.input)

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        """A field that is left is taken as it stands."""
        if isinstance(event.widget, Input):
            self._take(event.widget)

    def _take(self, field: Input) -> None:
        name = (field.id or "").removeprefix("field-")
        if name in self._values and field.value.strip() != self._values[name]:
            self._values[name] = field.value.strip()
            self.post_message(self.ValueGiven(name, field.value.strip()))

    @on(Button.Pressed, "#change-model")
    def _model_wanted(self) -> None:
        self.post_message(self.ModelAsked())

    @on(Button.Pressed, "#change-system")
    def _system_wanted(self) -> None:
        self.post_message(self.SystemAsked())
