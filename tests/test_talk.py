"""The tree of an open conversation, and its way to the disk and back, after any sequence of what a person may do."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.errors import UsageError
from engine.schema import Chunk, Message
from tui.keeper import Keeper
from tui.store import Store
from tui.talk import Piece, Talk, Turn, fit

if TYPE_CHECKING:
    from collections.abc import Sequence


def tree_of(turn: Turn) -> tuple[object, ...]:
    """A turn with all below it, as plain values."""
    return (turn.role, turn.text, turn.finish, turn.chosen, [tree_of(child) for child in turn.children])


class Conversations(RuleBasedStateMachine):
    """Questions, answers that grow and end, edits, retries, walks, forks, drops; kept after each as the app does."""

    @initialize()
    def begin(self) -> None:
        home = Path(os.environ["LOCAL_LLM_HOME"]) / f"talk-{time.monotonic_ns()}"
        self.store = Store(home / "app.db")
        self.keeper = Keeper(self.store)
        self.talk = Talk("be brief")
        self.number = 0

    def turns(self, role: str = "") -> list[Turn]:
        found, waiting = list[Turn](), [*self.talk.root.children]
        while waiting:
            turn = waiting.pop()
            found += [turn] if role in {"", turn.role} else []
            waiting += turn.children
        return found

    def shown_in_the_file(self) -> list[str]:
        return [entry.text for entry in self.store.shown(self.talk.kept)] if self.talk.kept else []

    def text(self) -> str:
        self.number += 1
        return f"text {self.number} 文字"

    @precondition(lambda self: self.talk.tip.role != "user")
    @rule()
    def ask(self) -> None:
        question = self.talk.ask(self.text())
        assert self.talk.tip is question
        self.keeper.keep(self.talk)

    @precondition(lambda self: self.turns("user"))
    @rule(pick=st.integers(0, 50), pieces=st.integers(1, 4), ends=st.booleans())
    def answer(self, pick: int, pieces: int, ends: bool) -> None:
        questions, before = self.turns("user"), self.shown_in_the_file()
        turn = self.talk.begin_answer(questions[pick % len(questions)])
        self.keeper.keep(self.talk)  # whoever is killed now has not been told a word
        assert self.shown_in_the_file() == before
        for _ in range(pieces):
            turn.text += self.text()
            self.keeper.keep(self.talk)
            assert self.talk.kept
            assert turn.text in {entry.text for entry in self.store.messages(self.talk.kept)}
        turn.finish = "stop" if ends else "stopped"
        assert turn.place[0] == turn.place[1]
        self.keeper.keep(self.talk)

    @precondition(lambda self: self.turns())
    @rule(pick=st.integers(0, 50))
    def edit(self, pick: int) -> None:
        turns = self.turns()
        old = turns[pick % len(turns)]
        before = old.text
        fresh = self.talk.edit(old, self.text())
        assert (old.text, fresh.role, fresh.parent) == (before, old.role, old.parent)
        self.keeper.keep(self.talk)

    @precondition(lambda self: self.turns())
    @rule(pick=st.integers(0, 50), step=st.sampled_from([-1, 1]))
    def walk(self, pick: int, step: int) -> None:
        turns = self.turns()
        turn = turns[pick % len(turns)]
        other = self.talk.walk(turn, step)
        assert abs(other.place[0] - turn.place[0]) <= 1
        self.keeper.keep(self.talk)

    @precondition(lambda self: self.turns())
    @rule(pick=st.integers(0, 50))
    def fork(self, pick: int) -> None:
        turns = self.turns()
        self.talk.fork(turns[pick % len(turns)])
        self.keeper.keep(self.talk)

    @precondition(lambda self: self.turns())
    @rule(pick=st.integers(0, 50))
    def drop(self, pick: int) -> None:
        turns = self.turns()
        turn = turns[pick % len(turns)]
        self.keeper.take_back(self.talk, turn)
        self.keeper.keep(self.talk)

    @invariant()
    def path_follows_the_tree(self) -> None:
        if not hasattr(self, "talk"):
            return
        above = self.talk.root
        for turn in self.talk.path:
            assert turn.parent is above
            assert turn in above.children
            above = turn
        assert above.chosen is None

    @invariant()
    def what_is_kept_is_what_is_open(self) -> None:
        if not hasattr(self, "talk") or self.talk.kept is None or not self.talk.root.children:
            return
        again = Keeper(self.store).open(self.talk.kept)
        assert tree_of(again.root) == tree_of(self.talk.root)
        assert [turn.text for turn in again.path] == [turn.text for turn in self.talk.path]

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()


Conversations.TestCase.settings = settings(max_examples=25, stateful_step_count=20)
TestConversations = Conversations.TestCase


def test_a_system_prompt_that_changes_later_is_kept(tmp_path: Path) -> None:
    with Store(tmp_path / "app.db") as store:
        keeper, talk = Keeper(store), Talk("be brief")
        talk.begin_answer(talk.ask("why?"), "because").finish = "stop"
        keeper.keep(talk)
        assert talk.kept is not None
        talk.system = "be kind"
        keeper.keep(talk)
        assert store.kept(talk.kept).system == "be kind"
        again = Keeper(store).open(talk.kept)
        assert again.system == "be kind"
        again.system = None
        keeper.keep(again)
        assert store.kept(talk.kept).system is None


def test_a_conversation_whose_next_answer_has_no_word_yet_is_there_for_others(tmp_path: Path) -> None:
    with Store(tmp_path / "app.db") as store:
        keeper, talk = Keeper(store), Talk()
        talk.begin_answer(talk.ask("why?"), "because").finish = "stop"
        talk.begin_answer(talk.ask("and then?"))
        keeper.keep(talk)
        assert talk.kept is not None
        assert [entry.text for entry in store.shown(talk.kept)] == ["why?", "because", "and then?"]
        assert [turn.text for turn in Keeper(store).open(talk.kept).path] == ["why?", "because", "and then?"]


def test_what_was_asked_after_an_answer_without_a_word_stays_in_its_place(tmp_path: Path) -> None:
    with Store(tmp_path / "app.db") as store:
        keeper, talk = Keeper(store), Talk()
        talk.begin_answer(talk.ask("why?"), "").finish = "stop"  # such as one of another program
        talk.begin_answer(talk.ask("and then?"), "nothing").finish = "stop"
        keeper.keep(talk)
        assert talk.kept is not None
        assert [entry.text for entry in store.shown(talk.kept)] == ["why?", "", "and then?", "nothing"]


def test_a_conversation_whose_first_question_was_taken_back_opens_with_it(tmp_path: Path) -> None:
    with Store(tmp_path / "app.db") as store:
        keeper, talk = Keeper(store), Talk()
        talk.begin_answer(talk.ask("why?"), "because").finish = "stop"
        keeper.keep(talk)
        talk.fork(talk.root)
        keeper.keep(talk)
        assert talk.kept is not None
        assert store.kept(talk.kept).chosen is None
        assert [turn.text for turn in Keeper(store).open(talk.kept).path] == ["why?", "because"]


@given(lengths=st.lists(st.integers(1, 9), max_size=12), room=st.integers(0, 60), system=st.booleans())
def test_as_few_of_the_oldest_turns_as_can_be_are_left_out(lengths: list[int], room: int, system: bool) -> None:
    turns = [Message("assistant" if at % 2 else "user", "x" * length) for at, length in enumerate(lengths)]
    messages = [Message("system", "xx"), *turns] if system else turns
    expected = messages
    while len(expected) - system > 2 and length_of(expected) > room:
        expected = [*expected[:system], *expected[system + 2 :]]
    assert fit(messages, length_of, room) == (expected, len(messages) - len(expected))


def test_a_day_long_conversation_is_counted_few_times() -> None:
    counted = []

    def count(messages: Sequence[Message]) -> int:
        counted.append(len(messages))
        return length_of(messages)

    turns = [Message("assistant" if at % 2 else "user", "x") for at in range(3000)]
    assert fit(turns, count, 100) == (turns[-100:], 2900)
    assert len(counted) <= 12


def length_of(messages: Sequence[Message]) -> int:
    return sum(len(message.content) for message in messages)


def test_an_answer_grows_by_its_chunks_and_keeps_what_only_one_of_them_says() -> None:
    turn = Turn("assistant")
    turn.grow(Chunk("", (5,), (-2.0,), prompt_tokens=7, cached_tokens=3, output_tokens=1))  # half a character
    turn.grow(Chunk("é", (6,), (-0.5,), output_tokens=2, decode_seconds=0.5))
    turn.grow(Chunk(" so", (7, 8), (-0.1, -0.3), output_tokens=4, decode_seconds=1.5))
    turn.grow(Chunk("!", finish_reason="stop"))
    assert turn.pieces == [Piece("é", -2.0), Piece(" so", -0.3), Piece("!", 0.0)]
    assert (turn.text, turn.ids, turn.logprobs) == ("é so!", [5, 6, 7, 8], [-2.0, -0.5, -0.1, -0.3])
    assert (turn.prompt_tokens, turn.cached_tokens, turn.output_tokens, turn.decode) == (7, 3, 4, 1.5)
    assert (turn.rate, turn.finish) == (2.0, "stop")


def test_what_goes_on_with_an_answer_counts_on_and_leaves_its_prompt() -> None:
    turn = Turn("assistant", "So", prompt_tokens=7, output_tokens=3, decode=1.0)
    turn.go_on()
    turn.grow(Chunk(" on", (5,), (-1.0,), prompt_tokens=10, output_tokens=2, decode_seconds=0.5))
    assert (turn.text, turn.prompt_tokens, turn.output_tokens, turn.decode) == ("So on", 7, 5, 1.5)


def test_a_rate_is_known_from_the_second_token_on() -> None:
    assert Turn("assistant", output_tokens=1, decode=0.5).rate == Turn("assistant", output_tokens=5).rate == 0
    assert Turn("assistant", output_tokens=2, decode=0.5).rate == 2


def test_the_model_is_shown_what_leads_to_a_turn_whatever_the_path_shows() -> None:
    talk = Talk("Be short.")
    first = talk.begin_answer(talk.ask("one", []), "1")
    second = talk.begin_answer(talk.ask("two", []), "2")
    other = talk.edit(talk.question_of(first), "uno")
    assert [message.content for message in talk.messages()] == ["Be short.", "uno"]
    assert [message.content for message in talk.messages(second)] == ["Be short.", "one", "1", "two", "2"]
    assert [message.role for message in talk.messages(first)] == ["system", "user", "assistant"]
    assert talk.question_of(other) is other
    with pytest.raises(UsageError, match="nothing was asked"):
        talk.question_of(talk.root)
    with pytest.raises(UsageError, match="nothing was asked"):
        talk.question_of(Turn("assistant", parent=talk.root))
