"""A glance is what the blocks make of each prompt alone, whatever stands beside it; judging takes it where it can."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.nn import functional

from engine import probe, shipped
from engine.errors import CheckpointError, InputError
from engine.probe import Glance, Probe
from engine.schema import Message
from engine.serving.client import Client
from engine.serving.pool import Pool
from engine.serving.remote import RemoteSession
from engine.serving.warm import _facts
from engine.serving.wire import Wire, WireError
from engine.session import Session
from engine.tasks import labels, sentiment
from tui.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from engine.model import Decoder

TEXTS = ["I loved every minute", "x", "the worst of all, and twice as long as it had to be", "loved it", "a b c"]
LONG = "so good " * 600


def asked(text: str) -> list[Message]:
    return sentiment.question("en").messages(text)


def ids(session: Session, text: str) -> list[int]:
    return session._chat.encode(asked(text))


def probe_for(session: Session, *, means: tuple[int, ...] = (1,), seed: int = 0) -> Probe:
    """One whose weights are drawn."""
    prompts = [ids(session, text) for text in ("a", "b")]
    prefix = [one for one, other in zip(*prompts, strict=True) if one == other]
    alike = [one == other for one, other in zip(*prompts, strict=True)]
    length = alike.index(False)
    weights = (1 + len(means)) * session.config.hidden_size
    drawn = torch.randn(weights, generator=torch.Generator().manual_seed(seed))
    return Probe(2, means, tuple(prefix[:length]), len(alike) - length - 1, drawn, 0.25)


def alone(model: Decoder, found: Probe, prompt: Sequence[int]) -> torch.Tensor:
    """The slow twin: no cache, no other text beside it."""
    with torch.inference_mode():
        ids = torch.tensor([list(prompt)])
        *ways, last = (model.states(ids, None, None, [depth])[0][0].float() for depth in (*found.means, found.depth))
    texts = [way[len(found.prefix) : len(prompt) - found.tail] for way in ways]
    return torch.cat((last[-1], *(functional.normalize(text, dim=1).mean(0) for text in texts)))


def flat(passes: Any) -> list[Any]:
    return list(chain.from_iterable(passes))


@pytest.mark.parametrize("means", [(), (1,)])
def test_each_text_is_seen_as_it_would_be_alone(session: Session, means: tuple[int, ...]) -> None:
    found = probe_for(session, means=means)
    prompts = [ids(session, text) for text in TEXTS * 20]  # several passes
    seen = flat(session.glance(found).features(prompts))
    assert len(seen) == len(prompts)
    for row, prompt in zip(seen[:8], prompts, strict=False):
        assert torch.allclose(row, alone(session._model, found, prompt), rtol=0.02, atol=0.02)
    assert flat(session.glance(found).log_odds(prompts))[7] == pytest.approx(
        float(seen[7] @ found.weight) + found.bias, abs=1e-4
    )


def test_the_native_glance_is_that_of_all_kernels(tiny_session: Session) -> None:
    found = probe_for(tiny_session)
    for text in TEXTS:
        (row,) = flat(tiny_session.glance(found).features([ids(tiny_session, text)]))
        twin = alone(tiny_session._model, found, ids(tiny_session, text))
        assert functional.cosine_similarity(row, twin, dim=0) > 0.999, text


def test_what_is_asked_otherwise_or_is_long_is_left_to_others(tiny_session: Session) -> None:
    found = probe_for(tiny_session)
    fits, long = ids(tiny_session, "loved it"), ids(tiny_session, LONG)
    other = tiny_session._chat.encode([Message("user", "loved it")])
    none = list(found.prefix) + fits[-found.tail :]
    glance = tiny_session.glance(found)
    said = flat(glance.log_odds([other, fits, long, [], none, fits]))
    assert [odds is None for odds in said] == [True, False, True, True, True, False]
    assert said[1] == pytest.approx(said[5], abs=0.01)
    assert flat(glance.log_odds([])) == []
    assert flat(glance.log_odds([long])) == [None]


def test_a_glance_that_was_cut_short_harms_none_after_it(tiny_session: Session) -> None:
    found = probe_for(tiny_session)
    prompts = [ids(tiny_session, text) for text in TEXTS * 30]
    whole = flat(tiny_session.glance(found).log_odds(prompts))
    glance = tiny_session.glance(found)
    cut = glance.log_odds(prompts)
    begun = next(cut)
    cut.close()
    glance._cache.truncate(3)  # as by a Ctrl-C between two steps
    assert flat(glance.log_odds(prompts)) == pytest.approx(whole, abs=0.02)
    assert begun == pytest.approx(whole[: len(begun)], abs=0.02)


def test_it_is_kept_whole(tiny_session: Session, tmp_path: Path) -> None:
    path, first, second = tmp_path / "probes", probe_for(tiny_session), probe_for(tiny_session, seed=1)
    probe.save(path, {"one": first, "two.en": second}, {"adapter": "x"})
    for key, kept in (("one", first), ("two.en", second)):
        found = probe.load(path, key)
        assert torch.equal(found.weight, kept.weight)
        for name in ("depth", "means", "prefix", "tail", "bias"):
            assert getattr(found, name) == getattr(kept, name), name


def test_damage_is_refused_by_name(tiny_session: Session, tmp_path: Path) -> None:
    path, found = tmp_path / "probes", probe_for(tiny_session)
    probe.save(path, {"one": found}, {})
    whole = path.read_bytes()
    with pytest.raises(CheckpointError, match="no probe two"):
        probe.load(path, "two")
    for damaged in (
        whole[:-9],
        whole[:20],
        b"",
        whole.replace(b'"depth', b'"death'),
        whole.replace(b'format\\": 2', b'format\\": 1'),
        whole.replace(b'means\\": [1]', b'means\\": [2]'),
    ):
        assert damaged != whole
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="damaged") as raised:
            probe.load(path, "one")
        assert raised.value.hint
    with pytest.raises(CheckpointError, match="damaged"):
        probe.load(tmp_path / "missing", "one")
    number = found.weight.numpy().tobytes()[:8]
    assert whole.count(number) == 1
    path.write_bytes(whole.replace(number, b"\x00\x00\xc0\x7f" + number[4:]))  # NaN
    with pytest.raises(CheckpointError, match="not finite"):
        probe.load(path, "one")


def test_one_of_another_model_is_refused(tiny_session: Session) -> None:
    found = probe_for(tiny_session)
    for other in (replace(found, depth=99), replace(found, weight=found.weight[:-2])):
        with pytest.raises(CheckpointError, match="another model"):
            tiny_session.glance(other)


@pytest.fixture
def probed(tiny_session: Session, tmp_path: Path) -> Session:
    """A session that has a probe for English."""
    probe.save(tmp_path / "probes", {"sentiment.en": probe_for(tiny_session)}, {})
    tiny_session.probes = {"sentiment.en": tmp_path / "probes"}
    return tiny_session


def test_a_text_is_judged_at_a_glance(probed: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    (odds,) = flat(probed.glance_many("sentiment.en", [asked("loved it")]))
    assert odds is not None
    monkeypatch.setattr(Session, "score_many", None)  # nothing is asked of a reply
    found = sentiment.judge(probed, " loved it\n")
    assert found.scores == pytest.approx(dict(zip(("positive", "negative"), labels.softmax([odds, 0]), strict=True)))
    assert found.label == ("positive" if odds > 0 else "negative")


def test_whatever_else_is_asked_is_judged_by_replies(probed: Session) -> None:
    texts = ["房间又脏又吵", LONG]
    by_glance = {text: sentiment.judge(probed, text) for text in texts}
    neutral = sentiment.judge(probed, "loved it", neutral=True)
    probed.probes = {}
    assert by_glance == {text: sentiment.judge(probed, text) for text in texts}
    assert neutral == sentiment.judge(probed, "loved it", neutral=True)


def test_many_texts_keep_their_numbers(probed: Session) -> None:
    texts = [*TEXTS, "", "房间又脏又吵", LONG, *TEXTS * 60]
    said = dict(sentiment.judge_many(probed, texts))
    assert sorted(said) == list(range(len(texts)))
    assert isinstance(said[5], InputError)
    for number, text in enumerate(texts):
        if number > 300 or number in (0, 6, 7):
            result = said[number]
            assert not isinstance(result, Exception)
            assert result.scores == pytest.approx(sentiment.judge(probed, text).scores, abs=0.01)


def test_a_file_of_rows_judged_by_replies_is_not_gone_on_with_by_a_probe(
    probed: Session, tiny_model_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("LOCAL_LLM_HOME", str(tiny_model_home))
    given = tmp_path / "in"
    given.write_text("loved it\n")
    rows = ["sentiment", "-m", "tiny", "-f", str(given), "--in", "lines", "--resume", str(tmp_path / "judged")]
    assert run(rows) == 0
    given.write_text("loved it\nso good\n")
    monkeypatch.setattr(shipped, "probes", lambda _adapter: probed.probes)
    capsys.readouterr()
    assert run(rows) == 2
    assert "was made with another probe" in capsys.readouterr().err
    assert run([*rows, "--neutral"]) == 2
    assert "another --neutral\n" in capsys.readouterr().err
    (tmp_path / "judged").unlink()
    assert [run(rows), run(rows)] == [0, 0]


def test_a_short_context_holds_for_a_glance_too(probed: Session) -> None:
    probed.context = len(ids(probed, "loved it")) - 1
    assert flat(probed.glance_many("sentiment.en", [asked("loved it")])) == [None]


def test_an_empty_text_is_refused_without_a_glance(probed: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Sequence[Message]] = []
    glance = probed.glance_many

    def noting(name: str, conversations: Sequence[Sequence[Message]]) -> Generator[list[float | None], None, None]:
        seen.extend(conversations)
        return glance(name, conversations)

    monkeypatch.setattr(probed, "glance_many", noting)
    results = dict(sentiment.judge_many(probed, ["", "loved it", " \n"]))
    assert [isinstance(results[number], InputError) for number in range(3)] == [True, False, True]
    assert seen == [asked("loved it")]


def test_forks_have_one_glance_in_common(probed: Session) -> None:
    (odds,) = flat(probed.glance_many("sentiment.en", [asked("loved it")]))
    fork = probed.fork()
    assert flat(fork.glance_many("sentiment.en", [asked("loved it")])) == [odds]
    assert isinstance(probed._glances["sentiment.en"], Glance)
    assert fork._glances is probed._glances


def test_the_warm_server_glances_as_a_session_does(probed: Session, tiny_model_home: Path) -> None:
    texts = [*TEXTS * 20, "房间又脏又吵", LONG, ""]
    conversations = [asked(text) for text in texts]
    expected = flat(probed.glance_many("sentiment.en", conversations))
    kept = Session.open(tiny_model_home / "models" / "tiny", device="cpu", threads=1)
    kept.probes = {**probed.probes, "other": probed.probes["sentiment.en"]}
    pool = Pool(lambda: kept)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        answering = threading.Thread(target=_serve, args=(Client(pool, Wire(theirs), None, lambda: None),))
        answering.start()
        warm: Any = RemoteSession(tiny_model_home, {"context": None}, Wire(ours), _facts(kept))
        assert list(warm.probes) == ["sentiment.en", "other"]
        assert flat(warm.glance_many("sentiment.en", conversations)) == expected
        begun = warm.glance_many("sentiment.en", conversations)
        next(begun)
        begun.close()
        near = sentiment.judge(warm, "loved it").scores
        assert near == pytest.approx(sentiment.judge(probed, "loved it").scores, abs=0.01)
        with pytest.raises(CheckpointError, match="no probe"):
            list(warm.glance_many("other", conversations))
        warm.close()
        answering.join(20)
        assert not answering.is_alive()
    pool.close()


def _serve(client: Client) -> None:
    with pytest.raises(WireError):
        client.serve(threading.Event())
