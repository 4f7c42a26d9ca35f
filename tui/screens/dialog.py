"""What lies over the chat until it is answered."""

from __future__ import annotations

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen, ScreenResultType


class Dialog(ModalScreen[ScreenResultType]):
    """Is answered once."""

    def dismiss(self, result: ScreenResultType | None = None) -> AwaitComplete:
        """Return the result. An Enter or a click that came twice must not take away what lies below, too."""
        return super().dismiss(result) if self.app.screen is self else AwaitComplete()
