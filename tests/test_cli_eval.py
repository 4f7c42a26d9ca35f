"""`llm eval` with a real, tiny model: the figures are of what the commands answer, and stopping keeps what is there."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import torch
from cli_process import COMMAND, environment, llm, told
from toy_sessions import open_float

from engine import kernels
from engine.errors import InputError
from engine.evaluation.measures import TASKS, create
from engine.evaluation.measures.endings import joined, score_endings
from engine.schema import Document
from tui.cli.evaluate import Task
from tui.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.session import Session

REVIEWS = [
    {"text": "I loved every minute", "label": "positive"},
    {"text": "房间又脏又吵", "label": "negative"},
    {"text": "dull and long", "label": "negative"},
    {"text": "质量很好", "label": "positive"},
]
QUESTIONS = [
    {"context": "The tower was built in 1889.", "question": "When was it built?", "answers": ["1889", "in 1889"]},
    {"context": "塔建于1889年。", "question": "谁建了塔？", "answers": []},
]
SUMMARIES = [{"text": "A long text about a tower. It was built.", "summaries": ["A tower.", "A text."]}]
ENDINGS = [
    {"context": "The sun rises in the", "endings": ["east", "refrigerator of doubt"], "label": 0},
    {"context": "太阳从", "endings": ["东方升起", "口袋里"], "label": 0},
]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


class Done(NamedTuple):
    """What a command run in this process left."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        assert self.code in {0, 6}, self.err
        return json.loads(self.out)


@pytest.fixture
def command(
    tiny_model_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Runs a command as the console script does, but for the process."""
    monkeypatch.setenv("LOCAL_LLM_HOME", str(tiny_model_home))
    monkeypatch.setattr("sys.stdin", None)

    def call(*arguments: str) -> Done:
        capsys.readouterr()
        code = run([*arguments, "-m", "tiny"])
        return Done(code, *capsys.readouterr())

    return call


def answers(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_command_offers_what_can_be_measured() -> None:
    assert set(Task.__args__) == set(TASKS)


def test_sentiment_figures_are_of_what_the_command_says(command: Callable[..., Done], tmp_path: Path) -> None:
    data, out = write(tmp_path / "reviews.jsonl", REVIEWS), tmp_path / "answers.jsonl"
    found = command("eval", "sentiment", "--data", data, "--json", "--out", str(out)).report
    assert (found["task"], found["model"], found["rows"], found["rows_total"]) == ("sentiment", "tiny", 4, 4)
    assert (found["failed"], found["partial"]) == (0, False)
    assert found["rows_per_second"] > 0
    rows = answers(out)
    said = command("sentiment", "--json", *(str(row["text"]) for row in REVIEWS))
    judged = [json.loads(line) for line in said.out.splitlines()]
    assert [row["line"] for row in rows] == [1, 2, 3, 4]
    assert [row["predicted"] for row in rows] == [row["label"] for row in judged]
    for row, twin in zip(rows, judged, strict=True):
        assert row["scores"] == pytest.approx(twin["scores"], abs=0.02)
    right = sum(row["predicted"] == row["label"] for row in rows) / 4
    accuracy = found["metrics"]["accuracy"]
    assert accuracy["value"] == right
    assert accuracy["low"] <= right <= accuracy["high"]


def test_the_answer_to_a_question_is_what_ask_prints(
    command: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCAL_LLM_MAX_TOKENS", "12")
    (tmp_path / "passage").write_text(str(QUESTIONS[0]["context"]))
    data, out = write(tmp_path / "questions.jsonl", QUESTIONS), tmp_path / "answers.jsonl"
    metrics = command("eval", "qa", "--data", data, "--json", "--out", str(out)).report["metrics"]
    asked = command("ask", str(QUESTIONS[0]["question"]), "-f", "passage")
    assert answers(out)[0]["answer"] == asked.out.strip() != ""
    assert {"exact_match", "f1", "found", "refused_unanswerable"} <= set(metrics)
    assert all(0 <= metric["value"] <= 1 for metric in metrics.values())


def test_a_summary_is_what_summarize_prints(
    command: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_LLM_MAX_TOKENS", "8")
    data, out = write(tmp_path / "texts.jsonl", SUMMARIES), tmp_path / "answers.jsonl"
    (tmp_path / "text.txt").write_text(str(SUMMARIES[0]["text"]))
    done = command("eval", "summarize", "--data", data, "--out", str(out))
    title, *lines = done.out.splitlines()
    assert "texts.jsonl · 1 rows · tiny on cpu/" in title
    assert [line.split()[0] for line in lines] == ["rouge1", "rouge2", "rougeL", "length"]
    assert answers(out)[0]["summary"] == command("summarize", str(tmp_path / "text.txt")).out.strip()


def test_classify_takes_its_labels_from_the_rows_and_answers_as_the_command(
    command: Callable[..., Done], tmp_path: Path
) -> None:
    rows = [
        {"text": "You won!", "label": "spam"},
        {"text": "see you", "label": "ham"},
        {"text": "call", "label": "ham"},
    ]
    data, out = write(tmp_path / "messages.jsonl", rows), tmp_path / "answers.jsonl"
    (tmp_path / "judged.txt").write_text("Win now=spam\nhello=ham\n")
    examples = ("--example-file", str(tmp_path / "judged.txt"))
    found = command("eval", "classify", "--data", data, *examples, "--json", "--out", str(out)).report
    assert set(found["metrics"]) == {"accuracy", "macro_f1"}
    said = command("classify", "--labels", "ham,spam", *examples, "--json", *(str(row["text"]) for row in rows))
    judged = [json.loads(line) for line in said.out.splitlines()]
    assert [row["predicted"] for row in answers(out)] == [row["label"] for row in judged]
    other = command("eval", "classify", "--data", data, "--labels", "ham,eggs")
    assert (other.code, other.out) == (1, "")
    assert "messages.jsonl:1: field 'label' must be one of ham, eggs, got 'spam'" in other.err


@pytest.mark.parametrize("to", ["en", "zh"])
def test_a_translation_is_what_translate_prints(
    command: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    monkeypatch.setenv("LOCAL_LLM_MAX_TOKENS", "8")
    pair = {"en": "The tower is old.", "zh": "这座塔很古老。"}
    data, out = write(tmp_path / "pairs.jsonl", [pair, pair]), tmp_path / "answers.jsonl"
    found = command("eval", "translate", "--data", data, "--to", to, "--json", "--out", str(out)).report
    assert list(found["metrics"]) == ["bleu", "chrf", "doubtful"]
    source = pair["zh" if to == "en" else "en"]
    assert answers(out)[0]["source"] == source
    assert answers(out)[0]["translation"] == command("translate", "--to", to, "--text", source).out.strip()


PASSAGES = [
    {"id": 0, "text": "The ferry leaves at nine from the northern pier."},
    {"id": "two", "text": "单星是不和任何其他同类星体组成聚星系统的单一天体。"},
    {"id": 7, "text": "Cheese is made of milk.\n\n" + "Milk comes from cows and goats and sheep. " * 60},
]
QUERIES = [
    {"query": "When does the ferry leave?", "relevant": [0]},
    {"query": "单星的定义是什么？", "relevant": ["two"]},
    {"query": "what is cheese made of", "relevant": [7, 0]},
]


def test_search_ranks_passages_as_the_command_does(
    command: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(tmp_path.iterdir())
    passages, data = write(tmp_path / "passages.jsonl", PASSAGES), write(tmp_path / "queries.jsonl", QUERIES)
    out = tmp_path / "answers.jsonl"
    found = command("eval", "search", "--data", data, "--passages", passages, "--json", "--out", str(out)).report
    assert set(tmp_path.iterdir()) - before == {Path(passages), Path(data), out}
    rows = answers(out)
    assert [row["found"][0] for row in rows] == ["0", "two", "7"]
    metrics = {name: metric["value"] for name, metric in found["metrics"].items()}
    assert metrics["mrr"] == 1
    assert metrics["recall@1"] == pytest.approx((1 + 1 + 0.5) / 3)
    assert metrics["recall@1"] <= metrics["recall@5"] <= metrics["recall@10"]
    assert all(len(set(row["found"])) == len(row["found"]) for row in rows)


@pytest.mark.parametrize(
    ("passages", "words"),
    [
        (PASSAGES[:1], "queries.jsonl:2: no passage has the id 'two'"),
        ([*PASSAGES, PASSAGES[0]], "passages.jsonl:4: the id '0' is also that of line 1"),
        ([{"id": 0}], "passages.jsonl:1: expected a field 'text'"),
    ],
)
def test_passages_that_do_not_fit_the_queries_are_told(
    command: Callable[..., Done], tmp_path: Path, passages: list[dict[str, Any]], words: str
) -> None:
    given = write(tmp_path / "passages.jsonl", passages)
    done = command("eval", "search", "--data", write(tmp_path / "queries.jsonl", QUERIES), "--passages", given)
    assert (done.code, done.out) == (1, "")
    assert words in done.err


def test_a_text_is_measured_in_windows(command: Callable[..., Done], tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("从前有座山，山里有座庙。\nOnce upon a time.\n" * 40, encoding="utf-8")
    found = command("eval", "perplexity", "--data", str(path), "--ctx", "129", "--json").report
    metrics = found["metrics"]
    assert found["rows"] > 5
    by_byte = metrics["perplexity_by_byte"]["value"]
    assert metrics["bits_per_byte"]["value"] == pytest.approx(math.log2(by_byte), abs=1e-3)
    assert metrics["perplexity_by_token"]["value"] > by_byte > 1


def test_endings_are_chosen_by_sum_and_by_length(command: Callable[..., Done], tmp_path: Path) -> None:
    data, out = write(tmp_path / "endings.jsonl", ENDINGS), tmp_path / "answers.jsonl"
    found = command("eval", "multiple-choice", "--data", data, "--json", "--out", str(out)).report
    assert set(found["metrics"]) == {"acc", "acc_norm"}
    for row in answers(out):
        assert row["predicted"] == max((0, 1), key=lambda i: row["logprobs"][i])


def test_a_sample_is_drawn_evenly_and_the_same_again(command: Callable[..., Done], tmp_path: Path) -> None:
    data, out = write(tmp_path / "reviews.jsonl", REVIEWS * 5), tmp_path / "out.jsonl"
    lines = []
    for seed in ("0", "0", "3"):
        done = command("eval", "sentiment", "--data", data, "--limit", "4", "--seed", seed, "--out", str(out))
        assert "4 of 20 rows" in done.out
        assert "drawn evenly" in done.err
        lines.append([row["line"] for row in answers(out)])
    assert lines[0] == lines[1] != lines[2]
    assert [(line - 1) // 5 for line in lines[0]] == [0, 1, 2, 3]


def test_a_row_that_fails_is_told_and_left_out(command: Callable[..., Done], tmp_path: Path) -> None:
    rows = [*ENDINGS, ENDINGS[0] | {"context": "too long " * 400}]
    data, out = write(tmp_path / "endings.jsonl", rows), tmp_path / "answers.jsonl"
    done = command("eval", "multiple-choice", "--data", data, "--ctx", "64", "--json", "--out", str(out))
    assert (done.code, done.report["rows"], done.report["failed"]) == (6, 3, 1)
    assert "endings.jsonl:3: " in done.err
    assert "error" in answers(out)[2]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["sentiment"], 2, "--data"),
        (["poetry", "--data", "x"], 2, "poetry"),
        (["sentiment", "--data", "none.jsonl"], 1, "none.jsonl"),
        (["sentiment", "--data", "rows.jsonl", "--limit", "0"], 2, "limit"),
        (["sentiment", "--data", "rows.jsonl"], 1, "rows.jsonl:2: field 'label' must be positive"),
        (["qa", "--data", "rows.jsonl"], 1, "rows.jsonl:1: expected a field 'context'"),
        (["sentiment", "--data", "rows.jsonl", "--out", "rows.jsonl"], 2, "overwritten"),
        (["sentiment", "--data", "rows.jsonl", "--out", "no/such/out"], 2, "a folder that exists"),
        (["sentiment", "--data", "rows.jsonl", "--to", "en"], 2, "--to is not for sentiment"),
        (["qa", "--data", "rows.jsonl", "--labels", "a,b"], 2, "--labels is not for qa"),
        (["classify", "--data", "rows.jsonl", "--labels", ""], 2, "at least two different labels"),
        (["search", "--data", "rows.jsonl", "--passages", ""], 1, "file's name is empty"),
        (["search", "--data", "rows.jsonl"], 2, "--passages FILE"),
        (["classify", "--data", "one.jsonl"], 2, "at least two different labels"),
        (["perplexity", "--data", "empty.txt"], 1, "empty.txt is empty"),
        (["sentiment", "--data", "empty.txt"], 1, "empty.txt has no rows"),
        (["sentiment", "--data", "binary"], 1, "binary"),
        (["search", "--data", "rows.jsonl", "--passages", "one.jsonl", "--out", "one.jsonl"], 2, "overwritten"),
        (["classify", "--data", "rows.jsonl", "--example-file", "one.jsonl", "--out", "one.jsonl"], 2, "overwritten"),
        (["search", "--data", "-", "--passages", "-"], 2, "only once"),
        (["sentiment", "--data", "-"], 1, "stdin has no rows"),
        (["sentiment", "--data", "list.json"], 1, "each line is one JSON object"),
    ],
)
def test_what_can_not_be_measured_is_told_before_the_model_loads(
    tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    write(tmp_path / "rows.jsonl", [REVIEWS[0], {"text": "x", "label": "sad"}])
    write(tmp_path / "one.jsonl", [REVIEWS[0]])
    (tmp_path / "list.json").write_text(json.dumps(REVIEWS))
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\x00\x01")
    done = llm(tmp_path / "home-without-models", "eval", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, b"")
    assert words in done.stderr.decode()
    assert len(told(done)) <= 3


@pytest.mark.skipif(os.name != "posix", reason="signals as on Unix")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopping_prints_what_was_measured_and_says_that_it_is_partial(
    tiny_model_home: Path, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    data, out = write(tmp_path / "endings.jsonl", ENDINGS * 10_000), tmp_path / "out.jsonl"
    terminal, theirs = os.openpty()  # on which progress is shown: that is how one knows that rows are done
    process = subprocess.Popen(
        [*COMMAND, "eval", "multiple-choice", "--data", data, "-m", "tiny", "--json", "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment(tiny_model_home),
    )
    os.close(theirs)
    shown = b""
    while not re.search(rb"measuring multiple-choice [1-9]", shown):
        shown += os.read(terminal, 4096)
    process.send_signal(sent)
    answer, _ = process.communicate(timeout=60)
    with contextlib.suppress(OSError):  # as Linux says that nobody writes there any more
        while more := os.read(terminal, 4096):
            shown += more
    os.close(terminal)
    assert process.returncode == code, shown
    found = json.loads(answer)
    assert found["partial"] is True
    assert 0 < found["rows"] < found["rows_total"] == 20_000
    assert len(out.read_text(encoding="utf-8").splitlines()) == found["rows"]
    assert b"stopped after" in shown
    assert b"Traceback" not in shown


@pytest.fixture(params=["plain", "windowed"])
def float_session(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Float weights and a float cache, so that only what is computed can make a difference."""
    monkeypatch.setattr(kernels, "cache_dtype", lambda device: torch.float32)
    return open_float(str(request.param))


def naive(session: Session, ids: list[int], first: int) -> list[float]:
    """Log-probabilities of ids from `first` on, from one run over all of them without a cache."""
    with torch.inference_mode():
        logits = session._model.logits(session._model(torch.tensor([ids]))[0]).float().log_softmax(1)
    return [logits[i - 1, ids[i]].item() for i in range(first, len(ids))]


def test_scores_of_raw_tokens_are_those_of_computing_everything_again(float_session: Session) -> None:
    ids = [id_ for id_, _, _ in float_session.pieces("Once upon a time there was 一座山，山里有座庙。" * 3)]
    start = float_session._tokenizer.beginning
    for cut in (0, 1, 7, len(ids) - 1):
        rows = float_session.score_ids(ids[:cut], [ids[cut:], ids[cut : cut + 1], []])
        expected = naive(float_session, start + ids, len(start) + cut)
        assert rows[0] == pytest.approx(expected, abs=1e-3)
        assert rows[1] == pytest.approx(expected[:1], abs=1e-3)
        assert rows[2] == []


def test_the_likelihood_of_an_ending_is_that_of_all_that_it_adds(float_session: Session) -> None:
    context, endings = "The sun rises in the", [" east", " refrigerator of doubt"]
    ids = [[id_ for id_, _, _ in float_session.pieces(text)] for text in (context, *(context + e for e in endings))]
    start = float_session._tokenizer.beginning
    assert all(whole[: len(ids[0])] == ids[0] for whole in ids[1:])
    expected = [sum(naive(float_session, start + whole, len(start) + len(ids[0]))) for whole in ids[1:]]
    assert score_endings(float_session, context, endings) == pytest.approx(expected, abs=1e-2)


def test_an_ending_that_merges_with_the_context_counts_from_where_it_changes(float_session: Session) -> None:
    merged = [id_ for id_, _, _ in float_session.pieces("under")]
    split = [id_ for id_, _, _ in float_session.pieces("un")]
    assert merged[: len(split)] != split
    with pytest.raises(InputError, match="how the context begins"):
        score_endings(float_session, "un", ["der", " x"])
    whole = [id_ for id_, _, _ in float_session.pieces("the under")]
    start = float_session._tokenizer.beginning
    alone = [id_ for id_, _, _ in float_session.pieces("the un")]
    common = next(i for i in range(len(alone)) if alone[i] != whole[i])
    found = score_endings(float_session, "the un", ["der"])
    assert found == pytest.approx([sum(naive(float_session, start + whole, len(start) + common))], abs=1e-2)


def test_endings_follow_with_a_space_but_in_chinese() -> None:
    assert joined("The sun", "rises ") == " rises"
    assert joined("太阳从", "东方") == "东方"
    assert joined("用 Python", "写") == " 写"


def test_neutral_is_a_label_where_the_rows_have_it(tiny_session: Session) -> None:
    from engine.evaluation.measure import Setup

    row = json.dumps({"text": "It is a chair.", "label": "neutral"})
    measure = create("sentiment", Setup())
    [outcome] = measure.run(tiny_session, measure.read(Document("rows", row)))
    assert set(outcome.answer["scores"]) == {"positive", "negative", "neutral"}
