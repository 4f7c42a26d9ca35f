"""Probes are learnt from judged texts: by the best regression, people count most, and the same comes of the same."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import recipe_data
import torch
from safetensors import safe_open
from torch.nn import functional

from engine import probe, shipped
from engine.chat_format import ChatFormat
from engine.manifest import sha256_of
from engine.tasks import sentiment
from engine.tokenizer import Tokenizer
from recipes import probes, seeds
from recipes.sources import plain

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from engine.session import Session

GOOD = ["a wonderful film", "I loved it", "warm and witty", "well made, works well", "the best of the year"]
BAD = ["a dreadful film", "I hated it", "cold and dull", "broke after a day", "the worst of the year"]


def test_the_regression_is_the_best_there_is() -> None:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(200, 6, generator=generator) * torch.tensor([1, 50, 0.01, 1, 1, 1]) + 3
    positive = (rows[:, 1] + 20 * torch.randn(200, generator=generator)) > 3
    counts = torch.rand(200, generator=generator)
    weight, bias = probes.regress(rows, positive, counts)
    spread = rows.double().std(0) + 1e-6
    slope = weight.double() * spread

    def loss(slope: torch.Tensor, bias: float) -> float:
        odds = (rows.double() - rows.double().mean(0)) / spread @ slope + bias
        wrong = functional.binary_cross_entropy_with_logits(odds, positive.double(), counts.double(), reduction="sum")
        return float(wrong + probes.PENALTY * slope.square().sum())

    middle = float(bias + weight.double() @ rows.double().mean(0))
    best = loss(slope, middle)
    for channel in range(6):
        for step in (-1e-4, 1e-4):
            moved = slope.clone()
            moved[channel] += step
            assert loss(moved, middle) > best
    assert loss(slope, middle + 0.01) > best < loss(slope, middle - 0.01)
    assert int(weight.mul(spread).abs().argmax()) == 1


def test_what_is_learnt_tells_texts_apart_and_is_the_same_again(
    tiny_session: Session, tiny_model_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "DEPTH", 2)
    monkeypatch.setattr(probes, "MEANS", (1,))
    monkeypatch.setattr(probes, "PENALTY", 0.01)
    folder = tiny_model_home / "models" / "tiny"
    chat = ChatFormat.load(folder, Tokenizer.load(folder))
    judged = [(text, text in GOOD, 1.0) for text in (*GOOD, *BAD, "long " * 900)]
    told: list[tuple[int, int]] = []
    learnt = probes.learn(tiny_session, chat, judged, lambda *read: told.append(read))
    assert told[-1] == (len(judged), len(judged))
    again = probes.learn(tiny_session, chat, judged, lambda *_: None)
    assert torch.equal(learnt.weight, again.weight)
    assert learnt.bias == again.bias
    prompts = [chat.encode(sentiment.question("en").messages(text)) for text in (*GOOD, *BAD)]
    odds = [one for some in tiny_session.glance(learnt).log_odds(prompts) for one in some]
    assert [one is not None and one > 0 for one in odds] == [True] * 5 + [False] * 5


def test_people_s_judgements_count_most_and_no_text_twice(tmp_path: Path) -> None:
    data = recipe_data.write(tmp_path / "data")
    first = (data / "sft" / "uci_sentences.en.jsonl.gz").read_bytes()
    written = seeds.judged("en", name="written")
    again = [{"text": f" {written[0][0].upper()} ", "label": "negative"}]
    (data / "sft" / "uci_sentences.en.jsonl.gz").write_bytes(
        first + gzip.compress((json.dumps(again[0]) + "\n").encode())
    )
    found = probes.texts(data)
    counts = {text: (positive, count) for text, positive, count in found}
    assert counts[written[0][0].upper()] == (False, 1.0)
    assert written[0][0] not in counts
    assert counts["The soup at table 7 was wonderful, and so was the tea."] == (True, 1.0)
    assert counts[written[5][0]] == (written[5][1] == "positive", probes.OTHERS)
    assert len({plain(text) for text, _, _ in found}) == len(found)


def test_what_ships_was_learnt_over_the_adapter_that_ships() -> None:
    """That it fits the prompt of today is tested on the real weights."""
    ours = shipped.KNOWN[0]
    assert sha256_of(ours.path) == ours.sha256
    assert ours.probes
    with safe_open(ours.probes_path, framework="pt") as file:
        assert json.loads(file.metadata()[probe.KEY])["adapter"] == ours.sha256
    assert list(shipped.probes(ours.sha256)) == list(ours.probes)
    for name in ours.probes:
        found = probe.load(ours.probes_path, name)
        assert 1 <= found.depth < 24
        assert name in {sentiment.probe_of("en"), sentiment.probe_of("zh")}
    assert not shipped.probes("")
    assert not shipped.probes("0" * 64)
