"""Labels are scored from one run over the prompt, with what scoring each by itself gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from toy_decoders import CONFIGS, decoder, some_ids, windowed

from engine.generate import prefill, score, score_all
from engine.kv_cache import KVCache
from engine.model import Decoder
from engine.schema import Message

if TYPE_CHECKING:
    from engine.session import Session

MODELS = {name: decoder(config) for name, config in CONFIGS.items()} | {"one-window": decoder(windowed(3, ("local",)))}
LABELS = [[5], [7, 8], [5, 6, 7], [7, 8], [], [60], some_ids(700, seed=4)]


def one_by_one(model: Decoder, prompt: list[int]) -> list[list[float]]:
    """The slow obvious twin: everything again for each label."""
    return [score(model, KVCache(model.config), prompt, label) for label in LABELS]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("held", [0, 1, 3, 8])
def test_scoring_labels_together_gives_what_scoring_each_gives(name: str, held: int) -> None:
    model, prompt = MODELS[name], some_ids(9)
    cache = KVCache(model.config)
    for _ in prefill(model, cache, prompt[:held]):
        pass
    together = score_all(model, cache, prompt, LABELS)
    for row, twin in zip(together, one_by_one(model, prompt), strict=True):
        torch.testing.assert_close(torch.tensor(row), torch.tensor(twin), atol=2e-4, rtol=1e-4)
    assert cache.length in {0, len(prompt)}


def test_labels_of_one_token_cost_one_run_over_the_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = MODELS["plain"], []
    forward = Decoder.forward

    def counted(self: Decoder, ids: torch.Tensor, *others: Any, **settings: Any) -> torch.Tensor:
        seen.append(ids.shape[1])
        return forward(self, ids, *others, **settings)

    monkeypatch.setattr(Decoder, "forward", counted)
    score_all(model, KVCache(model.config), some_ids(9), [[1], [2], [3]])
    assert seen == [9]


def test_a_prompt_that_is_all_cached_can_not_be_scored() -> None:
    model, prompt = MODELS["plain"], some_ids(4)
    cache = KVCache(model.config)
    for _ in prefill(model, cache, prompt):
        pass
    with pytest.raises(ValueError, match="longer than what the cache holds"):
        score_all(model, cache, prompt, [[1]])


def test_a_session_scores_replies_alike_whatever_it_ran_before(tiny_session: Session) -> None:
    labels = ["positive", "no", "正面", ""]
    fresh = tiny_session.score([Message("user", "first")], labels)
    other = tiny_session.score([Message("user", "第二个")], labels)
    again = tiny_session.score([Message("user", "first")], labels)
    assert [len(row) for row in fresh] == [tiny_session.count(label) for label in labels]
    assert all(value <= 0 for row in fresh for value in row)
    assert other != fresh
    for row, twin in zip(fresh, again, strict=True):
        assert row == pytest.approx(twin, abs=2e-4)
