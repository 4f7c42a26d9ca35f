"""One message on the screen: a question as typed, an answer as Markdown that grows, and a line of facts below."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from markdown_it import MarkdownIt
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Markdown, Static

from tui.strings import Strings
from tui.widgets.bound import bound
from tui.widgets.prompt import Prompt
from tui.widgets.text import one_line, visible

if TYPE_CHECKING:
    from tui.talk import Turn


_ENDED = {"length": "turn.cut", "error": "turn.cut", "repeated": "turn.repeated", "stopped": "turn.stopped"}
"""What is said of an answer that did not come to its own end."""


def _parser() -> MarkdownIt:
    """Textual's, but raw HTML is text: Textual leaves it out, and what an answer says of a tag with it."""
    return MarkdownIt("gfm-like", {"html": False})


class Facts(Static):
    """The line of facts; what is clicked in it is done to its turn, whatever has the focus."""

    def action_wish(self, what: str) -> None:
        """Hand it to the turn."""
        if isinstance(self.parent, TurnView):
            self.parent.action_ask(what)


class TurnView(Vertical, can_focus=True):
    """A turn that can be chosen, and what can be done with it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("copy", "ask('copy')"),
        bound("copy_code", "ask('copy_code')", show=False),
        bound("edit", "ask('edit')"),
        bound("retry", "ask('retry')"),
        bound("previous", "ask('previous')"),
        bound("next", "ask('next')"),
        bound("fork", "ask('fork')"),
        bound("continue", "ask('continue')"),
        bound("words", "ask('words')"),
        bound("down", "step(1)", show=False),
        bound("up", "step(-1)", show=False),
        bound("first", "end(0)", show=False),
        bound("last", "end(-1)", show=False),
    ]

    class Asked(Message):
        """A person wants something done with a turn."""

        def __init__(self, what: str, turn: Turn) -> None:
            super().__init__()
            self.what = what
            self.turn = turn

    def __init__(self, turn: Turn, strings: Strings) -> None:
        super().__init__(classes=turn.role)
        self.turn = turn
        self._strings = strings
        self._pending = ""
        self.waiting = False
        """Whether the first token is still to come."""
        self.begun = True
        """Whether the model is at it, or still has something else to do."""

    def compose(self) -> ComposeResult:
        """The body, and the line of facts."""
        if self.turn.role == "user":
            names = [one_line(name, 60) for name, _ in self.turn.documents]
            if names:
                yield Static(Content("▤ " + "  ▤ ".join(names)), classes="documents")
            yield Static(Content(visible(self.turn.text)), classes="body")
        else:
            yield Markdown(visible(self.turn.text), classes="body", parser_factory=_parser, open_links=False)
        yield Facts(classes="facts")

    def on_mount(self) -> None:
        """Show what is known so far."""
        self.refresh_facts()

    def grow(self, text: str) -> None:
        """More of the answer; it is drawn at the next `settle`."""
        self._pending += visible(text)

    async def settle(self) -> None:
        """Draw what has come since the last time: only the last block is made anew."""
        if self._pending:
            text, self._pending = self._pending, ""
            await self.query_one(Markdown).append(text)

    def refresh_facts(self) -> None:
        """The line below: which of the siblings this is, how it ended, its figures."""
        for line in self.query(Facts):  # not there yet, or not any more: the app may be left while turns are drawn
            parts = self._facts()
            line.update(Content.assemble(*parts), layout=False)  # one line, whatever it says
            line.display = bool(parts)

    def _facts(self) -> list[Content | str]:
        turn, strings = self.turn, self._strings
        if self.waiting:
            label = strings("turn.reading" if self.begun else "turn.waiting")
            return [Content.from_markup("[$accent]● [/]$label", label=label)]
        number, total = turn.place
        parts: list[str | Content] = []
        if total > 1:
            parts.append(
                Content.from_markup(f"[@click=wish('previous')]‹[/] [b]{number}/{total}[/b] [@click=wish('next')]›[/]")
            )
        if turn.role == "assistant":
            if turn.finish in _ENDED:
                ended = strings(_ENDED[turn.finish], keys=self._keys_to_go_on())
                parts.append(Content.from_markup("[$warning]$label[/]", label=ended))
            parts += [one_line(turn.note, 120)] if turn.note else []
            if turn.output_tokens:
                parts.append(strings("turn.tokens", count=turn.output_tokens))
            if turn.first_token:
                parts.append(strings("turn.first_token", seconds=f"{turn.first_token:.1f}"))
            if turn.rate:
                parts.append(strings("turn.rate", rate=f"{turn.rate:.0f}"))
            parts += [one_line(turn.model, 60)] if turn.model else []
        joined: list[Content | str] = []
        for part in parts:
            joined += [" · ", part] if joined else [part]
        return joined

    def _keys_to_go_on(self) -> str:
        """From the prompt a letter would only be typed: there the way to the message comes first."""
        keys = self._strings.keys
        return keys["continue"] if self.has_focus else f"{keys['stop']} {keys['continue']}"

    def on_key(self, event: events.Key) -> None:
        """A letter that does nothing here begins a text; one that was typed behind it is the next of that text."""
        begun = self.screen.focused is not self or event.key not in self.screen.active_bindings
        if event.is_printable and event.character and begun:
            event.stop()
            self._begin(event.character)

    def on_paste(self, event: events.Paste) -> None:
        """So does what is pasted."""
        event.stop()
        self._begin(event.text)

    def _begin(self, text: str) -> None:
        prompt = self.screen.query_one("#prompt", Prompt)
        self.screen.set_focus(prompt)
        prompt.insert(text, prompt.document.end)

    def focus_on_click(self) -> bool:
        """Who clicks and then types writes to the model; a message is chosen by key, and then by mouse as well."""
        return isinstance(self.screen.focused, TurnView)

    def on_mouse_down(self) -> None:
        """From a field or a list elsewhere, too."""
        if not self.focus_on_click():
            self.screen.query_one("#prompt").focus()

    def on_focus(self) -> None:
        """The keys that are named are those that work from here."""
        self.call_later(self.refresh_facts)

    def on_blur(self) -> None:
        """And from elsewhere."""
        self.call_later(self.refresh_facts)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A key that can do nothing here is none: it takes no room at the bottom, and its letter begins a text."""
        if action == "ask" and parameters[0] in {"previous", "next"}:
            return self.turn.place[1] > 1
        if action == "ask" and parameters[0] in {"continue", "words"}:
            return self.turn.role == "assistant"
        return True

    def action_ask(self, what: str) -> None:
        """Hand the wish to the screen, which owns the conversation."""
        self.post_message(self.Asked(what, self.turn))

    def action_step(self, step: int) -> None:
        """Choose the next or the previous turn."""
        turns = list(self.screen.query(TurnView))
        at = turns.index(self) + step
        if at >= len(turns):
            self.screen.query_one("#prompt").focus()
        elif at >= 0:
            self.screen.set_focus(turns[at])  # at once, not by a message as focus() does: the next key may be here

    def action_end(self, at: int) -> None:
        """Choose the first or the last turn."""
        self.screen.set_focus(list(self.screen.query(TurnView))[at])
