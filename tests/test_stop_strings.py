"""What is shown is the text before the first stop string, however the text is cut."""

from __future__ import annotations

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from engine.stop_strings import StopStrings

# Few letters, so that stop strings overlap, repeat and nearly happen all the time.
texts = st.text("ab中", max_size=30)
stop_strings = st.lists(st.text("ab中", min_size=1, max_size=5), max_size=4)


def cut(text: str, stops: list[str]) -> tuple[str, bool]:
    """The obvious way: add characters one by one until the text ends with a stop string."""
    for end in range(len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            return text[: end - max(map(len, ending))], True
    return text, False


@given(text=texts, stops=stop_strings, cuts=st.lists(st.integers(0, 30)))
@example(text="abab中", stops=["bab中", "ab中"], cuts=[1, 2, 3])
@example(text="aabb", stops=["abbb", "bb"], cuts=[2, 3])
def test_any_cutting_shows_the_text_before_the_stop(text: str, stops: list[str], cuts: list[int]) -> None:
    borders = [0, *sorted(min(c, len(text)) for c in cuts), len(text)]
    watch = StopStrings(stops)
    shown = "".join(watch.push(text[a:b]) for a, b in itertools.pairwise(borders))
    assert (shown + watch.flush(), watch.hit) == cut(text, stops)
    assert watch.flush() == ""


@given(text=texts, stops=stop_strings)
def test_no_more_is_held_back_than_could_become_a_stop_string(text: str, stops: list[str]) -> None:
    watch = StopStrings(stops)
    shown = ""
    for count, character in enumerate(text, start=1):
        shown += watch.push(character)
        if watch.hit:
            break
        held = text[len(shown) : count]
        assert held == "" or any(stop.startswith(held) and stop != held for stop in stops)


def test_nothing_comes_after_a_stop() -> None:
    watch = StopStrings(["。"])
    assert [watch.push(piece) for piece in ("是的", "。好", "吗", "。")] == ["是的", "", "", ""]
    assert watch.flush() == ""
