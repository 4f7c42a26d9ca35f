"""Replies that decode together in the warm server: each says what it says alone, and nobody waits for a long prompt."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import math
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from warm_server import wait_until

from engine.batch import Together
from engine.config import SamplingConfig
from engine.errors import EngineError, OutputError
from engine.generation import Generation
from engine.held import Held
from engine.schema import Message
from engine.serving import crowd
from engine.serving.api import Api
from engine.serving.client import Client
from engine.serving.crowd import AHEAD, SLICE, Crowd
from engine.serving.pool import Pool, Remembered
from engine.serving.wire import Wire
from engine.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from engine.schema import Chunk

GREEDY = SamplingConfig(max_tokens=40)
DRAWN = SamplingConfig(max_tokens=40, temperature=0.9, seed=7, repetition_penalty=1.1)
NEVER_ENDS = SamplingConfig(max_tokens=1900)
LONG = "word " * 1100


@pytest.fixture
def pool(tiny_model_home: Path) -> Iterator[Pool]:
    made = Pool(lambda: Session.open(tiny_model_home / "models" / "tiny", device="cpu", threads=1))
    yield made
    with contextlib.suppress(RuntimeError, AttributeError):
        made.close()


@contextlib.contextmanager
def asked(pool: Pool, text: str, sampling: SamplingConfig, **how: Any) -> Iterator[Iterator[Chunk]]:
    """One client's reply, as the server makes it."""
    messages = [Message("user", text)]
    with pool.session(text, None) as session:
        chunks = pool.compute(lambda: session.stream(messages, sampling, **how))
        with contextlib.closing(pool.steps(chunks)) as steps:
            yield steps


def facts(chunks: Iterator[Chunk]) -> list[tuple[Any, ...]]:
    return [(chunk.ids, chunk.text, chunk.finish_reason) for chunk in chunks if chunk.ids]


def at_once(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each gives, run in threads that start together."""
    barrier, found = threading.Barrier(len(works)), dict[int, Any]()

    def run(number: int) -> None:
        barrier.wait(30)
        found[number] = works[number]()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return [found[number] for number in range(len(works))]


def whole(pool: Pool, text: str, sampling: SamplingConfig, **how: Any) -> list[tuple[Any, ...]]:
    with asked(pool, text, sampling, **how) as steps:
        return facts(steps)


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each shared step had."""
    seen: list[int] = []
    step = Together.step
    monkeypatch.setattr(Together, "step", lambda self: (seen.append(len(self.rows)), step(self))[1])
    return seen


class Stage:
    """A crowd whose turns the test takes one by one, while eager clients wait for every chunk."""

    def __init__(self, session: Session) -> None:
        self._session, self._queue = session, deque[Callable[[], object]]()
        self.crowd = Crowd(self._queue.append, session.rows)
        self.said: dict[str, list[Chunk]] = {}
        self.ended: list[str] = []
        """Clients by name, in the order in which they had all."""

    def enter(self, name: str, text: str, sampling: SamplingConfig) -> None:
        generation = self._session.fork().stream([Message("user", text)], sampling)
        assert isinstance(generation, Generation)

        def read() -> None:
            for chunk in self.crowd.follow(generation, self._compute):
                said.append(chunk)
            self.ended.append(name)

        said, count = self.said.setdefault(name, []), len(self.crowd._seats)
        threading.Thread(target=read, daemon=True).start()
        wait_until(lambda: len(self.crowd._seats) > count)

    def _compute(self, work: Callable[..., object], *arguments: Any) -> None:
        done = threading.Event()
        self._queue.append(lambda: (work(*arguments), done.set()))
        assert done.wait(60)

    def turn(self, until: int = 999) -> None:
        """The next piece of work, once every client waits for it; none if so many clients have had all."""
        seats = self.crowd._seats

        def is_next() -> bool:
            return bool(self._queue) and all(seat.ended or (seat.hungry and not seat.items) for seat in seats)

        wait_until(lambda: is_next() or len(self.ended) >= until)
        if self._queue:
            self._queue.popleft()()

    def run(self, count: int) -> None:
        """Until so many clients have had all."""
        while len(self.ended) < count:
            self.turn(count)


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN], ids=["greedy", "drawn"])
def test_everybody_gets_what_they_would_get_alone(pool: Pool, tiny_session: Session, sampling: SamplingConfig) -> None:
    texts = [f"question {number} " * number for number in range(1, 7)]
    expected = [facts(tiny_session.stream([Message("user", text)], sampling)) for text in texts]
    assert at_once([lambda text=text: whole(pool, text, sampling) for text in texts]) == expected


@pytest.mark.parametrize("most", [16, 2])
def test_all_who_are_there_share_each_step_as_far_as_there_are_places(
    tiny_session: Session, sizes: list[int], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(crowd, "MOST", most)
    texts = [f"question {number}" for number in range(5)]
    stage = Stage(tiny_session)
    for text in texts:
        stage.enter(text, text, GREEDY)
    stage.run(5)
    assert [facts(iter(stage.said[text])) for text in texts] == [
        facts(tiny_session.stream([Message("user", text)], GREEDY)) for text in texts
    ]
    assert max(sizes) == min(most, 5)
    if most == 2:
        assert stage.ended[0] == texts[0]
    else:
        assert len(sizes) < 60


def test_who_would_need_too_much_memory_decodes_beside_the_rows(
    pool: Pool, tiny_session: Session, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "LARGEST", 0)
    texts = ["one", "two", "three"]
    expected = [facts(tiny_session.stream([Message("user", text)], GREEDY)) for text in texts]
    assert at_once([lambda text=text: whole(pool, text, GREEDY) for text in texts]) == expected
    assert sizes == []


def test_one_who_comes_late_joins_and_the_first_goes_on_alone_when_it_has_left(
    tiny_session: Session, sizes: list[int]
) -> None:
    stage, first, second = Stage(tiny_session), SamplingConfig(max_tokens=120), SamplingConfig(max_tokens=30)
    stage.enter("first", "first", first)
    for _ in range(20):
        stage.turn()
    assert sizes == []
    stage.enter("second", "second", second)
    stage.run(2)
    assert stage.ended == ["second", "first"]
    for name, sampling in (("first", first), ("second", second)):
        assert facts(iter(stage.said[name])) == facts(tiny_session.stream([Message("user", name)], sampling))
    assert sizes == [2] * 29


def test_a_long_prompt_is_read_in_slices_between_the_tokens_of_others(
    tiny_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int] = []
    read, take = Held.read, Generation.take

    def reading(self: Held, *told: Any) -> Any:
        before = self.cache.length
        hidden = read(self, *told)
        done.append(self.cache.length - before)
        return hidden

    stage = Stage(tiny_session)
    stage.enter("writes", "first", NEVER_ENDS)
    for _ in range(3):
        stage.turn()
    monkeypatch.setattr(Held, "read", reading)
    monkeypatch.setattr(Generation, "take", lambda self, token: (done.append(0), take(self, token))[1])
    stage.enter("reads", LONG, SamplingConfig(max_tokens=1))
    stage.run(1)
    slices = [tokens for tokens in done if tokens]
    assert sum(slices) > 1100
    assert set(slices[:-1]) == {SLICE}
    assert done[: 2 * len(slices)] == [each for tokens in slices for each in (tokens, 0)]


def test_a_prompt_whose_likeliest_tokens_are_asked_for_is_read_in_turns_too(
    pool: Pool, tiny_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns, reads = [0], list[int]()
    turn, read = Crowd._turn, Held.read
    monkeypatch.setattr(Crowd, "_turn", lambda self: (turns.append(turns[-1] + 1), turn(self))[1])
    monkeypatch.setattr(Held, "read", lambda self, *told: (reads.append(turns[-1]), read(self, *told))[1])
    messages = [{"role": "user", "content": LONG}]
    asks = {"model": "tiny", "messages": messages, "max_tokens": 1, "logprobs": True, "top_logprobs": 3}
    answer: Any = Api(pool).answer("/v1/chat/completions", asks, lambda: False)
    assert len(reads) > 2
    assert reads == sorted(set(reads)), "one stretch a turn, so that others have theirs"
    monkeypatch.undo()
    top = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    expected = [probability for _, probability in tiny_session.next_tokens([Message("user", LONG)], 3)]
    assert [math.exp(item["logprob"]) for item in top] == pytest.approx(expected, abs=1e-4)


def test_short_prompts_do_not_wait_for_long_ones(tiny_session: Session) -> None:
    stage = Stage(tiny_session)
    for name, text in (("writes", "somebody"), ("long", LONG), ("short", "short")):
        stage.enter(name, text, NEVER_ENDS if name == "writes" else SamplingConfig(max_tokens=1))
        for _ in range(3):
            stage.turn()
    stage.run(2)
    assert stage.ended == ["short", "long"]


def test_what_prompts_share_is_read_once(pool: Pool, tiny_session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    begins = "one two three four " * 190  # within the positions where a prompt's cuts do not move a bit
    texts = [begins + end for end in ("and so on", "or not", "but why?", "then")]
    expected = [facts(tiny_session.stream([Message("user", text)], GREEDY)) for text in texts]
    tokens, read = [], Held.read

    def reading(self: Held, *told: Any) -> Any:
        before = self.cache.length
        hidden = read(self, *told)
        tokens.append(self.cache.length - before)
        return hidden

    monkeypatch.setattr(Held, "read", reading)
    assert at_once([lambda text=text: whole(pool, text, GREEDY) for text in texts]) == expected
    assert 1 < sum(tokens) / tiny_session.count(begins) < 1.7


def test_one_who_leaves_frees_the_place_and_the_conversation_stays_in_the_cache(
    pool: Pool, tiny_session: Session
) -> None:
    expected = facts(tiny_session.stream([Message("user", "stays")], DRAWN))
    started = threading.Event()

    def leaves() -> tuple[list[Chunk], list[Chunk]]:
        with asked(pool, "leaves", NEVER_ENDS) as steps:
            said = list(itertools.islice((chunk for chunk in steps if chunk.ids), 25))
        started.set()
        with asked(pool, "leaves", SamplingConfig(max_tokens=1)) as again:
            return said, list(again)

    (said, again), stayed = at_once([leaves, lambda: whole(pool, "stays", DRAWN)])
    assert stayed == expected
    alone = facts(tiny_session.stream([Message("user", "leaves")], SamplingConfig(max_tokens=25)))
    assert [chunk.ids for chunk in said] == [ids for ids, *_ in alone]
    assert again[-1].cached_tokens == again[-1].prompt_tokens - 1
    assert pool._crowd._seats == []
    assert pool._crowd._rows is None


def test_a_client_that_does_not_read_is_not_run_ahead_of_and_stops_nobody(pool: Pool, tiny_session: Session) -> None:
    expected = facts(tiny_session.stream([Message("user", "other")], GREEDY))
    with asked(pool, "sleeps", NEVER_ENDS) as steps:
        next(chunk for chunk in steps if chunk.ids)
        assert at_once([lambda: whole(pool, "other", GREEDY)]) == [expected]
        (seat,) = pool._crowd._seats
        time.sleep(0.2)
        assert len(seat.generation.ids) <= 1 + AHEAD
        assert seat.row is None
        assert next(steps).ids


def test_a_reply_whose_client_says_when_it_is_enough_is_asked_while_it_waits(pool: Pool, tiny_session: Session) -> None:
    waiting = threading.Event()
    heard: list[bool] = []

    def enough(said: str) -> bool:
        heard.append(waiting.is_set())
        return len(heard) == 8

    def slow() -> int:
        count = 0
        with asked(pool, "enough", NEVER_ENDS, enough=enough) as steps:
            while True:
                waiting.set()
                chunk = next(steps, None)
                waiting.clear()
                if chunk is None:
                    return count
                count += bool(chunk.ids)
                time.sleep(0.02)

    count, _ = at_once([slow, lambda: whole(pool, "other", GREEDY)])
    assert heard == [True] * 8
    assert count < 100


def test_an_error_in_a_shared_step_is_told_to_each_and_the_server_goes_on(
    pool: Pool, tiny_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Together) -> None:
        raise RuntimeError("out of luck")

    def ask(text: str) -> str:
        with pytest.raises(RuntimeError, match="out of luck"):
            whole(pool, text, NEVER_ENDS)
        return "told"

    with monkeypatch.context() as patch:
        patch.setattr(Together, "step", broken)
        assert at_once([lambda: ask("one"), lambda: ask("two")]) == ["told", "told"]
    assert whole(pool, "three", GREEDY) == facts(tiny_session.stream([Message("user", "three")], GREEDY))


def test_what_is_remembered_is_not_as_long_as_what_was_asked() -> None:
    remembered = Remembered(2)
    asked = ["a" * 1_000_000, "b" * 1_000_000, "half \ud800 a character"]
    for key in asked:
        assert list(remembered.through(key, lambda: iter([len(key)]))) == [len(key)]  # noqa: B023
    assert sum(map(len, remembered._results)) < 1_000
    assert list(remembered.through(asked[1], lambda: iter(()))) == [1_000_000], "known"
    assert list(remembered.through(asked[0], lambda: iter(()))) == [], "forgotten"


def test_a_client_whose_server_ends_lets_go_of_all_its_streams(pool: Pool) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client = Client(pool, Wire(ours), None, lambda: None)
        for id_ in (1, 2):
            drawing = {"sampling": NEVER_ENDS.to_json(), "grammar": None, "enough": False}
            client._answer({"op": "stream", "id": id_, "messages": [["user", "x"]], "continue_last": False} | drawing)
            client._answer({"op": "next", "id": id_})
        pool.close()
        client.close()
        assert all(inspect.getgeneratorstate(stream) == "GEN_CLOSED" for stream in client._streams.values())


def test_a_reply_that_can_not_follow_its_schema_ends_no_other(pool: Pool, tiny_session: Session) -> None:
    begun = threading.Barrier(2)

    def fail() -> str:
        with pool.session("one", None) as session:
            chunks = session.stream([Message("user", "one")], NEVER_ENDS)
            assert isinstance(chunks, Generation)
            draw = chunks.sample

            def sample(logits: Any, present: Sequence[int]) -> tuple[int, float]:
                if len(present) >= 10:  # asked only of steps that are shared
                    raise OutputError("the schema could not be followed")
                return draw(logits, present)

            chunks.sample = sample
            with contextlib.closing(pool.steps(chunks)) as steps:
                next(steps)
                begun.wait(30)
                with pytest.raises(OutputError):
                    list(steps)
        return "told"

    def go_on() -> list[tuple[Any, ...]]:
        with asked(pool, "two", GREEDY) as steps:
            first = next(steps)
            begun.wait(30)
            return facts(iter([first, *steps]))

    expected = facts(tiny_session.stream([Message("user", "two")], GREEDY))
    assert at_once([fail, go_on]) == ["told", expected]


def test_who_waits_is_told_when_the_server_ends(pool: Pool) -> None:
    caught: list[BaseException] = []

    def ask() -> None:
        try:
            whole(pool, "hello", NEVER_ENDS)
        except EngineError as error:
            caught.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(pool._crowd._seats) == 3)
    pool.close()
    for thread in threads:
        thread.join(20)
    assert [str(error.args[0]) for error in caught] == ["the server was stopped"] * 3
