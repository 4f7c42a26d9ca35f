"""The mixture that our adapters are trained on: asked as the commands ask, split by passage, nothing evaluated."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import pytest
from recipe_data import ENGLISH, passage
from recipe_data import write as write_data

from engine.errors import InputError
from engine.language import language_of
from engine.tasks import answer, classify, sentiment, summarize, translate
from engine.tasks.answer import REFUSALS
from recipes import mixture, ours, second, seeds
from recipes.__main__ import write
from recipes.conversations import asking, judging
from recipes.ours import PIECE
from recipes.sources import distinct, plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from engine.schema import Language

KINDS = ("sentiment", "plain", "topics", "dialogues", "everyday")
SEEDS = [(kind, language) for kind in KINDS for language in ("en", "zh")]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def mixed(data: Path) -> mixture.Mixture:
    return mixture.build(data, seed=7)


def test_the_same_seed_gives_the_same_mixture_and_another_seed_another(data: Path, mixed: mixture.Mixture) -> None:
    again, other = mixture.build(data, seed=7), mixture.build(data, seed=8)
    assert mixture.encoded(again.train) == mixture.encoded(mixed.train)
    assert mixture.encoded(again.held) == mixture.encoded(mixed.held)
    assert mixture.encoded(other.train) != mixture.encoded(mixed.train)


def test_no_passage_is_on_both_sides_of_the_split(mixed: mixture.Mixture) -> None:
    held = {one.group for one in mixed.held} - {""}
    assert held
    assert not held & {one.group for one in mixed.train}


def test_every_kind_is_in_the_mixture_and_near_its_beginning(mixed: mixture.Mixture) -> None:
    kinds = {one.kind for one in mixed.train}
    tasks = {"sentiment", "classify", "qa", "summarize", "translate", "chat"}
    assert kinds == {f"{task}.{language}" for task in tasks for language in ("en", "zh")}
    assert len({one.kind for one in mixed.train[: len(mixed.train) // 4]}) == len(kinds)


def test_the_commands_own_templates_ask(mixed: mixture.Mixture) -> None:
    refusals = 0
    for one in mixed.train:
        task, _, language = one.kind.partition(".")
        first, last = one.messages[0].content, one.messages[-1].content
        if task == "sentiment":
            neutral = first == sentiment.question(language, neutral=True).before[0].content
            exactly = sentiment.question(language, neutral=neutral).before
            # The examples that the command gives are no rows: only what comes after them is learnt.
            assert one.every != (one.messages[: len(exactly)] == exactly)
            assert neutral or first == sentiment.question(language).before[0].content
            words = sentiment.question(language, neutral=neutral).replies
            assert {message.content for message in one.messages[2::2]} <= set(words)
        elif task == "classify":
            before, after = classify.INSTRUCTIONS[language].split("{labels}")
            assert first.startswith(before)
            offered = first.removeprefix(before).removesuffix(after).replace("、", ", ").split(", ")
            assert {message.content for message in one.messages[2::2]} <= set(offered)
        elif task == "qa":
            question = first.splitlines()[-1]
            assert first.startswith(answer.PROMPTS[language].split("{documents}")[0])
            assert question.startswith(answer.PROMPTS[language].splitlines()[-1].replace("{question}", ""))
            refusals += last == REFUSALS[language]
            assert last == REFUSALS[language] or last in one.group
        elif task == "summarize":
            assert first.endswith(summarize.WHOLE[language].rsplit("}", 1)[-1])
            assert one.source != "csl" or "个字" in first  # titles are asked for by their length alone
        elif task == "translate":
            assert first == translate.INSTRUCTIONS[language]
            assert all(language_of(message.content) == language for message in one.messages[2::2])
    asked = sum(one.kind.startswith("qa.") for one in mixed.train)
    assert 0.15 < refusals / asked < 0.35


def test_a_question_put_to_another_passage_has_no_answer_there(mixed: mixture.Mixture) -> None:
    refused = [one for one in mixed.train if one.kind == "qa.zh" and one.messages[-1].content == REFUSALS["zh"]]
    assert refused
    for one in refused:
        name = one.messages[0].content.rsplit("问题：", 1)[1].partition("港")[0]
        assert f"{name}港" not in one.group


@pytest.fixture
def ours_over(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str, str]:
    """Rows of ours about two passages of the data folder, and those passages."""
    first, second = (passage(ENGLISH, f"Port{n}", n)["context"] for n in (3, 4))
    sentence = PIECE["en"].split(first)[1]
    folder = tmp_path / "seeds"
    shutil.copytree(seeds.FOLDER, folder)
    (folder / "questions.en.txt").write_text(
        f"{seeds.digest(first)}\tWho lit the lighthouse?\n"
        f"{seeds.digest(first)}\tHow many piers are there?\ttwo piers\n"
        f"{seeds.digest('a text that nobody has')}\tWhat is missing?\n",
        encoding="utf-8",
    )
    (folder / "translations.zh.txt").write_text(f"{seeds.digest(sentence)}\t它有两座石码头。\n", encoding="utf-8")
    (folder / "summaries.en.jsonl").write_text(
        json.dumps(
            {
                "texts": [seeds.digest(first), seeds.digest(second)],
                "parts": ["Port3 has two piers.", "Port4 has two piers."],
                "short": "Both ports have piers.",
                "long": "One.\n\nTwo.\n\nThree.",
            }
        ),
        encoding="utf-8",
    )
    for name in ("questions", "translations", "summaries"):
        read = getattr(seeds, name)
        monkeypatch.setattr(ours, name, lambda language, read=read: read(language, folder))
    return data, first, second


def test_what_we_wrote_meets_the_texts_that_it_is_about(ours_over: tuple[Path, str, str]) -> None:
    data, first, second = ours_over
    texts: dict[Language, ours.Texts] = {"en": ours.Texts(data, "en"), "zh": ours.Texts(data, "zh")}
    asked = list(ours.own_questions(texts["en"], "en", ("a",), Random(0)))
    assert [(one.group, one.messages[-1].content) for one in asked] == [(first, REFUSALS["en"]), (first, "two piers")]
    there, back = (one for one in ours.own_translations(texts) if "石码头" in str(one.messages))
    assert (there.kind, back.kind) == ("translate.zh", "translate.en")
    assert there.messages[-1].content == back.messages[-2].content == "它有两座石码头。"
    assert there.messages[-2].content == back.messages[-1].content in first
    written = list(ours.own_summaries(texts["en"], "en"))
    assert {one.group for one in written} == {first}
    wanted = [(one.messages[0].content, one.messages[1].content) for one in written]
    assert [reply for _, reply in wanted] == [
        "Port3 has two piers.", "Port4 has two piers.", "Both ports have piers.", "Both ports have piers.",
        "One.\n\nTwo.\n\nThree.",
    ]  # fmt: skip
    assert [second in text for text, _ in wanted] == [False, True, False, True, True]
    assert "one sentence" in wanted[0][0]
    assert "one or two sentences" in wanted[3][0]
    assert "three paragraphs" in wanted[4][0]


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("questions.en.txt", "0123456789ab\n", lambda folder: seeds.questions("en", folder)),
        ("questions.en.txt", "0123456789ab\ta\tb\tc\n", lambda folder: seeds.questions("en", folder)),
        ("translations.zh.txt", "0123456789ab\n", lambda folder: seeds.translations("zh", folder)),
        ("summaries.en.jsonl", "{\n", lambda folder: seeds.summaries("en", folder)),
        ("summaries.en.jsonl", "3\n", lambda folder: seeds.summaries("en", folder)),
    ],
)
def test_a_line_of_another_form_is_refused(
    tmp_path: Path, name: str, text: str, read: Callable[[Path], object]
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="line 1"):
        read(tmp_path)


def test_the_second_round_is_judgements_above_all_and_the_same_by_seed(data: Path, tmp_path: Path) -> None:
    drawn = second.build(data, 3).train
    assert mixture.encoded(drawn) == mixture.encoded(second.build(data, 3).train)
    assert mixture.encoded(drawn) != mixture.encoded(second.build(data, 4).train)
    judged = [one for one in drawn if one.kind.startswith("sentiment")]
    assert all(one.every for one in judged)
    replies = sum(len(one.messages) // 2 for one in judged)
    assert replies > len(drawn) - len(judged)
    hard = {text for text, _ in seeds.judged("en")}
    assert not hard & {message.content for one in judged for message in one.messages}
    write(data, tmp_path / "out", len, seed=3, which="2")
    manifest = json.loads((tmp_path / "out/manifest.json").read_text(encoding="utf-8"))
    assert (manifest["round"], manifest["held"]) == ("2", {})


def test_refusals_are_the_words_that_the_template_asks_for() -> None:
    assert all(refusal in answer.PROMPTS[language] for language, refusal in REFUSALS.items())


def test_conversations_alternate_and_end_with_a_reply(mixed: mixture.Mixture) -> None:
    for one in (*mixed.train, *mixed.held):
        roles = [message.role for message in one.messages]
        turns = roles[1:] if roles[0] == "system" else roles
        assert turns == ["user", "assistant"] * (len(turns) // 2)
        assert all(message.content.strip() for message in one.messages)
        assert one.row()["train"] == ("all" if one.every else "last")


def test_an_evaluation_text_is_left_out_whatever_its_case_and_punctuation(data: Path, mixed: mixture.Mixture) -> None:
    assert mixture.unseen(data, mixed.train) == (mixed.train, [])
    bad = judging("en", [("a sentence that ONLY the evaluation has", "positive")])
    assert mixture.unseen(data, [*mixed.train, bad]) == (
        mixed.train,
        ["a sentence that ONLY the evaluation has"] * 2,  # as a turn, and as what its rows are known by
    )
    passage = asking("en", "A sentence that only the evaluation has!", "Who has it?", "nobody", "squad", "passage")
    assert mixture.unseen(data, [passage]) == ((), ["A sentence that only the evaluation has!"])


def test_the_command_writes_mixture_manifest_and_card(data: Path, tmp_path: Path) -> None:
    write(data, tmp_path / "out", len, seed=7)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text(encoding="utf-8"))
    lines = (tmp_path / "out/train.jsonl").read_text(encoding="utf-8").splitlines()
    assert sum(row["conversations"] for row in manifest["train"].values()) == len(lines)
    assert all(set(json.loads(line)) == {"messages", "train"} for line in lines)
    assert not set(lines) & set((tmp_path / "out/held.jsonl").read_text(encoding="utf-8").splitlines())
    card = (tmp_path / "out/DATA.md").read_text(encoding="utf-8")
    assert "CC BY-SA 4.0" in card
    assert {line.partition(":")[0] for line in card.splitlines() if line.startswith("- bo_")} == {
        "- bo_0",
        "- bo_1",
        "- bo_2",
    }
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "DATA.md", "held.jsonl", "manifest.json", "train.jsonl",
    ]  # fmt: skip


def test_contributors_are_those_of_the_pairs_that_are_used(data: Path, tmp_path: Path) -> None:
    write(data, tmp_path / "out", len, seed=7, budget=20_000)
    card = (tmp_path / "out/DATA.md").read_text(encoding="utf-8")
    used = (tmp_path / "out/train.jsonl").read_text(encoding="utf-8") + (tmp_path / "out/held.jsonl").read_text(
        encoding="utf-8"
    )
    ana = next(line for line in card.splitlines() if line.startswith("- Ana"))
    named = {int(number) - 1 for number in ana.replace(",", "").replace("#", "").split()[2:]}
    assert named == {n for n in range(400) if f"The {n}th boat" in used}


def test_a_text_of_an_evaluation_file_is_not_written_and_said_to_be_left_out(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = write_data(tmp_path / "data")
    chosen = next(one.group for one in mixture.build(copy, seed=7).train if one.kind == "qa.en")
    (copy / "eval/qa.other.en.jsonl").write_text(json.dumps({"context": chosen}) + "\n", encoding="utf-8")
    write(copy, tmp_path / "out", len, seed=7)
    assert f"left out, an evaluation file has it: {chosen!r:.70}" in capsys.readouterr().out
    texts = (tmp_path / "out/train.jsonl").read_text(encoding="utf-8")
    assert json.dumps(chosen, ensure_ascii=False)[1:-1] not in texts


def test_a_missing_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"sft.*jsonl\.gz"):
        mixture.build(tmp_path)


def test_a_budget_keeps_the_beginning(mixed: mixture.Mixture) -> None:
    kept = mixture.head(mixed.train, 5_000, len)
    assert 0 < len(kept) < len(mixed.train)
    assert kept == mixed.train[: len(kept)]
    assert sum(mixture.tokens(one, len) for one in kept) <= 5_000


def test_duplicates_are_found_whatever_their_case_and_width() -> None:
    rows = [{"text": "Good, value."}, {"text": "good value"}, {"text": "ＧＯＯＤ　value!"}, {"text": "bad value"}]
    assert list(distinct(rows, "text")) == [rows[0], rows[3]]


@pytest.mark.parametrize(("kind", "language"), SEEDS)
def test_our_rows_are_read_once_each_and_in_their_language(kind: str, language: str) -> None:
    if kind in {"dialogues", "everyday"}:  # people ask some things twice, and may be answered in other words
        keys = [plain("".join(turn.content for turn in turns)) for turns in seeds.dialogues(language, name=kind)]
    else:
        pairs = seeds.sorted_texts(language) if kind == "topics" else seeds.judged(language, name=kind)
        keys = [plain(text) for text, _ in pairs]
        assert sum(language_of(text) == language for text, _ in pairs) >= 0.97 * len(pairs)
    assert [key for key, count in Counter(keys).items() if count > 1] == []


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", ["sentiment", "plain"])
def test_judgements_are_balanced(language: str, name: str) -> None:
    labels = Counter(label for _, label in seeds.judged(language, name=name))
    assert 0.9 < labels["positive"] / labels["negative"] < 1.1


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("> Hi\n\n> Ho\n< Hum\n", "no reply to 'Hi'"),
        ("< Hi\n", "line 1"),
        ("> Hi\n> Ho\n", "line 2"),
        ("Hi\n", "line 1"),
    ],
)
def test_a_dialogue_of_another_form_is_refused(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "dialogues.en.txt").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=what):
        seeds.dialogues("en", tmp_path)


def test_lines_of_a_turn_are_kept_apart(tmp_path: Path) -> None:
    (tmp_path / "dialogues.en.txt").write_text("> Hi\n< One\n|\n| two\n", encoding="utf-8")
    assert [turn.content for turn in seeds.dialogues("en", tmp_path)[0]] == ["Hi", "One\n\ntwo"]
