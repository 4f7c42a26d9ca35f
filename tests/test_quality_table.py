"""`python -m benchmarks.quality` measures every file of a folder once, and its table is of what `llm eval` found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_process import ROOT, environment, llm

from benchmarks import quality
from benchmarks.baselines.data import EvalFile

REVIEWS = [
    {"text": "I loved every minute", "label": "positive"},
    {"text": "dull and long", "label": "negative"},
    {"text": "never again", "label": "negative"},
]
QUESTIONS = [
    {"context": "The tower was built in 1889.", "question": "When was it built?", "answers": ["1889"]},
    {"context": "The tower is tall.", "question": "Who built it?", "answers": []},
]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def table(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.quality", *arguments],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=120,
        env=environment(home, {"LOCAL_LLM_MAX_TOKENS": "8"}),
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    data.mkdir()
    write(data / "sentiment.reviews.en.jsonl", REVIEWS)
    write(data / "qa.towers.en.jsonl", QUESTIONS)
    return data


def test_the_table_is_of_what_eval_finds_and_no_run_is_made_twice(
    tiny_model_home: Path, folder: Path, tmp_path: Path
) -> None:
    keep, peers = tmp_path / "kept", tmp_path / "baselines.json"
    perfect = {"value": 1.0, "low": 1.0, "high": 1.0}
    rows = [
        {"file": "sentiment.reviews.en", "baseline": "oracle", "metrics": {"accuracy": perfect}},
        {"file": "sentiment.others.en", "baseline": "stranger", "metrics": {"accuracy": perfect}},
    ]
    peers.write_text(json.dumps(rows))
    words = ["--data", str(folder), "--model", "tiny", "--keep", str(keep), "--baselines", str(peers)]
    first = table(tiny_model_home, *words)
    assert first.returncode == 0, first.stderr
    data = folder / "sentiment.reviews.en.jsonl"
    said = json.loads(llm(tiny_model_home, "eval", "sentiment", "--data", str(data), "--json", "-m", "tiny").stdout)
    accuracy = said["metrics"]["accuracy"]
    better = f"**{quality.number(1.0)}**" if accuracy["value"] < 1 else quality.number(1.0)
    assert f"| sentiment.reviews.en | 3 | accuracy | {quality.shown(accuracy)} | oracle {better} |" in first.stdout
    assert "| qa.towers.en | 2 | refused_unanswerable |" in first.stdout
    assert "stranger" not in first.stdout
    assert f"kernels: {said['kernel']}" in first.stdout
    second = table(tmp_path / "empty", *words)  # a home without a model: nothing can be run there
    assert (second.returncode, second.stdout) == (0, first.stdout)


def test_what_failed_is_told_and_nothing_of_it_is_kept(tiny_model_home: Path, folder: Path, tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    (folder / "qa.towers.en.jsonl").write_text("no JSON")
    done = table(tiny_model_home, "--data", str(folder), "--model", "tiny", "--keep", str(keep), "--task", "qa")
    assert done.returncode == 1
    assert "llm eval ended with 1 on" in done.stderr
    assert not done.stdout
    assert not keep.exists()


def test_each_file_is_measured_as_its_task_is_used(tmp_path: Path) -> None:
    def told(name: str) -> list[str]:
        return [" ".join(run.words("", 5)[3:]) for run in quality.runs(EvalFile(tmp_path / name))]

    examples = str(quality.EXAMPLES / "sms_spam.txt")
    assert told("classify.sms_spam.en.jsonl") == [f"--example-file {examples} --limit 5 --json"]
    assert told("classify.ag_news.en.jsonl") == ["--limit 5 --json"]
    assert told("translate.flores.en-zh.jsonl") == ["--to zh --limit 5 --json", "--to en --limit 5 --json"]
    assert told("summarize.csl_test.zh.jsonl") == ["--length short --limit 5 --json", "--length 12w --limit 5 --json"]
    assert told("search.cmrc_queries.zh.jsonl") == [
        f"--passages {tmp_path / 'search.cmrc_passages.zh.jsonl'} --limit 5 --json"
    ]


def test_a_smaller_perplexity_is_the_better_one() -> None:
    run = quality.Run(EvalFile(Path("perplexity.novel.zh.txt")))
    rows = [{"file": "perplexity.novel.zh", "baseline": "n-gram", "metrics": {"perplexity_by_byte": {"value": 9.0}}}]
    assert list(quality.peers(run, "perplexity_by_byte", {"value": 4.0}, rows)) == ["n-gram 9.000"]
    assert list(quality.peers(run, "perplexity_by_byte", {"value": 10.0}, rows)) == ["n-gram **9.000**"]
    assert list(quality.peers(run, "perplexity_by_byte", {"value": 9.0}, rows)) == ["n-gram 9.000"]
    translated = quality.Run(EvalFile(Path("translate.flores.en-zh.jsonl")), ("--to", "en"))
    floors = [
        rows[0] | {"file": "translate.flores.en-zh", "baseline": f"as it is, into {to}", "metrics": {"chrf": chrf}}
        for to, chrf in (("en", {"value": 3.0}), ("zh", {"value": 5.0}))
    ]
    assert list(quality.peers(translated, "chrf", {"value": 40.0}, floors)) == ["as it is, into en 3.000"]
