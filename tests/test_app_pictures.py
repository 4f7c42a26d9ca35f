"""Pictures of the app at two sizes and in two themes, compared with those in `tests/snapshots`.

Where a change of looks is meant: `UPDATE_SNAPSHOTS=1 python -m pytest tests/test_app_pictures.py`, look at the new
pictures (any browser shows them), and commit them with the change.
"""

from __future__ import annotations

import difflib
import html
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from app_pilot import make_app, running, wait_until

from tui.keeper import Keeper
from tui.store import Store
from tui.talk import Talk, Turn

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from engine.schema import Language
    from tui.app import LlmApp

SNAPSHOTS = Path(__file__).parent / "snapshots"
ANSWER = """A battery stores energy as chemistry:

1. **Charging** moves ions to one side.
2. *Discharging* lets them go back, 锂离子 as well.

| part | of what |
|------|---------|
| anode | graphite |
| cathode | metal oxide |

```
volts = amperes * ohms
```
"""


def a_talk() -> Talk:
    """A conversation with two versions of an answer, and figures that no machine has measured."""
    talk = Talk("Answer briefly.")
    talk.title = "How batteries work"
    question = talk.ask("How does a battery work? 电池怎么工作？")
    for text in ("It just does.", ANSWER):
        turn = talk.add(question, Turn("assistant", text, model="tiny", finish="stop"))
        turn.output_tokens, turn.prompt_tokens, turn.first_token, turn.decode = 96, 31, 0.42, 4.8
    last = talk.add(talk.ask("And a longer one?"), Turn("assistant", "A longer answer, which was", model="tiny"))
    last.finish, last.output_tokens, last.prompt_tokens = "stopped", 7, 140
    return talk


def normal(picture: str) -> str:
    """A picture without fonts from elsewhere and without its changing names."""
    picture = re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    picture = re.sub(r"terminal-\d+-", "terminal-", picture)
    return re.sub(r"[ \t]+\n", "\n", picture).strip() + "\n"


def said_in(picture: str) -> list[str]:
    """The texts of a picture, each with the class of its style."""
    return [f"{style} {html.unescape(text)}" for style, text in re.findall(r'<text class="([^"]+)".*?>(.*?)<', picture)]


def in_prompt(app: LlmApp) -> bool:
    """Whether keys go to the prompt."""
    return app.focused is None or app.chat.prompt in app.focused.ancestors_with_self


async def picture_of(app: LlmApp, pilot: Pilot[Any]) -> str:
    """What the app shows once nothing moves any more."""
    before, now = "", "?"
    while before != now:
        await pilot.pause(0.2)
        before, now = now, normal(app.export_screenshot(title="llm chat"))
    return now


def compare(name: str, picture: str, folder: Path) -> None:
    """Fails where a picture is not as it was; keeps the new one to look at."""
    path = SNAPSHOTS / f"{name}.svg"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOTS.mkdir(exist_ok=True)
        path.write_text(picture, "utf-8")
        return
    expected = path.read_text("utf-8") if path.exists() else ""
    if picture != expected:
        new = folder / path.name
        new.write_text(picture, "utf-8")
        changes = difflib.unified_diff(said_in(expected), said_in(picture), "was", "is", lineterm="", n=0)
        lines = [line for line in changes if not line.startswith("@@")] or ["only colours or places differ"]
        pytest.fail(f"{path.name} is not as it was, see {new} (UPDATE_SNAPSHOTS=1 takes it):\n" + "\n".join(lines[:40]))


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light"])
@pytest.mark.parametrize("size", [(80, 24), (160, 50)], ids=["80x24", "160x50"])
@pytest.mark.parametrize(("scene", "language"), [("chat", "en"), ("panel", "zh")])
async def test_the_app_looks_as_it_did(
    tiny_model_home: Path, tmp_path: Path, scene: str, language: Language, size: tuple[int, int], theme: str
) -> None:
    with Store(tmp_path / "app.db") as store:
        for number, title in enumerate(("How bees fly", "苹果是什么颜色？", "A boat on the sea")):
            store.add(store.create(title, at=1000.0 + number), None, "user", title, at=1000.0 + number)
        store.pin(2)
        app = make_app(tiny_model_home, language, keeper=Keeper(store), talk=a_talk(), theme=theme, max_tokens=512)
        async with running(app, size) as pilot:
            app.chat.prompt.cursor_blink = False
            app.models.name, app.models.place, app.models.memory = "tiny", "cpu/native", 512_000_000
            app.models.say_ready()
            await app.chat.show()
            if scene == "panel":
                await pilot.press("f2")
                await wait_until(pilot, lambda: not in_prompt(app), "a field")
                await pilot.press("escape")
                await wait_until(pilot, lambda: in_prompt(app), "the prompt")
            sidebar = app.chat.sidebar
            assert sidebar is not None
            await wait_until(pilot, lambda: len(sidebar.shown) == 3, "the conversations")
            picture = await picture_of(app, pilot)
    name = f"{scene}-{language}-{size[0]}x{size[1]}-{theme.removeprefix('textual-')}"
    compare(name, picture, tmp_path)
