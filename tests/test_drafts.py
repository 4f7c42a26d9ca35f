"""Drafts change no token and no probability, whatever they guess; and they are only made where they pay."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_decoders import CONFIGS, DecoderSource, decoder, some_ids, windowed

from engine import checkpoint, drafts
from engine.config import TOGETHER, QuantizationConfig, SamplingConfig
from engine.convert.quantize import quantize
from engine.drafts import LONGEST, Drafts
from engine.fused import FEW
from engine.generate import Drawing, decode, logits_after
from engine.kernels.native import NativeKernel
from engine.kernels.native_build import SOURCES
from engine.kernels.reference import ReferenceKernel
from engine.kv_cache import KVCache
from engine.sampling import Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine.generate import Token
    from engine.model import Decoder
    from engine.session import Session

CPU = torch.device("cpu")
NEVER: frozenset[int] = frozenset()
needs_native = pytest.mark.skipif(bool(NativeKernel().unavailable(CPU)), reason="the native library is not here")
SAMPLINGS = [SamplingConfig(), SamplingConfig(temperature=0.8, top_p=0.9, repetition_penalty=1.1, seed=3)]


def native(name: str) -> Decoder:
    config = CONFIGS[name] if name in CONFIGS else windowed(3, ("local",))
    tensors, _ = quantize(DecoderSource(decoder(config)), ReferenceKernel(), [], {}, QuantizationConfig())
    return checkpoint.build(config, QuantizationConfig(), tensors, NativeKernel(), CPU)


def test_the_border_of_few_rows_is_the_same_wherever_it_is_a_number() -> None:
    """What costs little more than one row: in native code, as a step, as a token and its draft, as rows in step."""
    [native_rows] = re.findall(r"few\(int rows\) { return rows <= (\d+); }", (SOURCES / "digits.h").read_text())
    assert int(native_rows) == FEW == 1 + LONGEST
    assert TOGETHER <= FEW


class Told(Drafts):
    """Guesses what it was told to, right or wrong."""

    def __init__(self, guesses: list[list[int]]) -> None:
        super().__init__([])
        self.guesses, self.judged = guesses, list[tuple[int, int]]()

    def propose(self) -> list[int]:
        return self.guesses.pop(0) if self.guesses else []

    def judge(self, offered: int, accepted: int, seconds: float) -> None:
        assert seconds > 0
        if offered:
            self.judged.append((offered, accepted))


def start(model: Decoder, prompt: list[int], sampling: SamplingConfig, guesser: Drafts | None) -> Iterator[Token]:
    cache = KVCache(model.config)
    drawing = Drawing(model, cache, Sampler(sampling), NEVER)
    return decode(drawing, logits_after(model, cache, prompt), guesser)


@needs_native
@pytest.mark.parametrize("sampling", SAMPLINGS, ids=["greedy", "drawn"])
@pytest.mark.parametrize("name", [*CONFIGS, "one-window"])
def test_right_wrong_and_half_right_guesses_change_nothing(name: str, sampling: SamplingConfig) -> None:
    model, prompt = native(name), some_ids(20)
    plain = list(islice(start(model, prompt, sampling, None), 60))
    ids = [token.id for token in plain]
    wrong = [(id_ + 1) % 61 for id_ in ids]
    guesses = [ids[1:5], wrong[6:9], [*ids[7:9], *wrong[9:12]], [], ids[11 : 11 + LONGEST], ids[27:28]]
    told = Told(list(guesses))
    assert list(islice(start(model, prompt, sampling, told), 60)) == plain
    assert told.judged == [(4, 4), (3, 0), (5, 2), (LONGEST, LONGEST), (1, 1)]


@needs_native
@settings(max_examples=25)
@given(data=st.data())
def test_any_guesses_change_nothing(data: st.DataObject) -> None:
    model, prompt = native("windowed"), some_ids(9)
    plain = list(islice(start(model, prompt, SamplingConfig(), None), 30))
    some = st.lists(st.sampled_from([token.id for token in plain]), max_size=FEW - 1)
    guesses = data.draw(st.lists(some, max_size=12))
    assert list(islice(start(model, prompt, SamplingConfig(), Told(guesses)), 30)) == plain


@needs_native
def test_guesses_near_the_context_s_end_change_nothing() -> None:
    model = native("plain")
    prompt = some_ids(model.config.max_context - 6)
    plain = list(start(model, prompt, SamplingConfig(), None))
    assert len(plain) == 7
    ids = [token.id for token in plain]
    assert list(start(model, prompt, SamplingConfig(), Told([ids[1:] + [3] * 8, [4] * 9]))) == plain


@needs_native
def test_a_session_s_reply_is_the_same_with_and_without(tiny_session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    judge = Drafts.judge
    monkeypatch.setattr(Drafts, "judge", lambda *given: (made.append(given[1:]), judge(*given))[1])
    text = "one two three four five six one two three four five six " * 4
    ids = [[*token.ids] for token in tiny_session.complete(text, SamplingConfig(max_tokens=80))]
    assert made
    monkeypatch.setattr(Drafts, "propose", lambda self: [])
    assert [[*token.ids] for token in tiny_session.complete(text, SamplingConfig(max_tokens=80))] == ids


def test_what_followed_the_same_tokens_last_time_is_proposed() -> None:
    guesser = Drafts([1, 2, 3, 4, 5, 6, 9, 2, 3, 4])
    assert guesser.propose() == [5, 6, 9, 2, 3, 4]
    guesser.add(5)
    assert guesser.propose() == [6, 9, 2, 3, 4, 5]
    guesser.add(7)
    assert guesser.propose() == []
    assert Drafts([1, 1, 1, 1]).propose() == [1]
    assert Drafts([]).propose() == []


def test_drafts_grow_where_they_hit_and_pause_where_they_miss() -> None:
    guesser = Drafts([*range(30), 4, 5, 6])
    guesser.judge(0, 0, 1.0)
    for _ in range(4):
        guesser.judge(len(guesser.propose()), len(guesser.propose()), 1.2)
    assert guesser.propose() == list(range(7, 7 + LONGEST))
    tries = []
    for _ in range(4 * drafts.PAUSE):  # three tokens miss, then two of them, then one
        draft = guesser.propose()
        guesser.judge(len(draft), 0, 1.2 if draft else 1.0)
        tries.append(len(draft))
    assert tries[0] == LONGEST
    assert tries[-drafts.PAUSE :].count(0) >= drafts.PAUSE - len(drafts.ORDERS)
    assert any(tries[-drafts.PAUSE :])


def test_what_a_draft_costs_is_timed() -> None:
    """One token of a draft is always right: worth a step that takes half as long again, not one that takes thrice."""
    # A plain step may wait for the disk, the first above all.
    for seconds, plain, pays in ((1.5, (9.0, 1.0), True), (3.0, (9.0, 1.0), False), (3.0, (1.0, 9.0), False)):
        guesser = Drafts([1, 2, 3, 4, 1, 2, 3])
        for one in plain:
            guesser.judge(0, 0, one)
        proposed = 0
        for _ in range(20):
            if draft := guesser.propose():
                guesser.judge(len(draft), 1, seconds)
                proposed += 1
        assert (proposed == 20) == pays
        assert pays or proposed < 10


def test_where_more_tokens_are_new_fewer_are_looked_for_and_each_number_is_judged_by_itself() -> None:
    guesser = Drafts([1, 2, 3, 4, 5, 6, 9, 3, 4])
    assert guesser.propose() == [5, 6, 9, 3, 4]
    guesser.judge(0, 0, 1.0)
    for left in ([5, 6, 9, 3], []):  # after the last token alone; then nothing
        for _ in range(20):
            guesser.judge(3, 0, 1.5)
        assert guesser.propose() == left
    guesser.add(5)
    assert guesser.propose() == [6, 9, 3, 4]  # three tokens: not judged yet


def test_drafts_are_shorter_where_a_token_costs_more() -> None:
    lengths = []
    for each in (0.01, 0.1, 0.3):
        guesser = Drafts([*range(30), 4, 5, 6])
        guesser.judge(0, 0, 1.0)
        for _ in range(30):
            offered = len(guesser.propose())
            guesser.judge(offered, min(1, offered), 1.15 + each * offered)
        lengths.append(len(guesser.propose()))
    assert lengths == sorted(lengths, reverse=True)
    assert len(set(lengths)) == 3
    assert lengths[1:] == [
        4,
        2,
    ]  # 0.6, the chance of one token more where one is right, to this power is worth 0.1, 0.3


@needs_native
def test_the_benchmark_decodes_with_drafts_only_where_it_says_so(
    tiny_model_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.speed.ours import Ours

    proposed = []
    propose = Drafts.propose
    monkeypatch.setattr(Drafts, "propose", lambda self: proposed.append(propose(self)) or proposed[-1])
    engine = Ours.open(tiny_model_home / "models" / "tiny", "cpu", 1)
    assert engine.copying(0) > 0
    assert engine.decode(0) > 0
    assert not proposed
    assert engine.copying(1) > 0
    assert proposed
