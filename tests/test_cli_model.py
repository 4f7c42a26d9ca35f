"""Every command with a real, tiny model: streams, keys, exit codes, pipes, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from cli_process import COMMAND, environment, llm, told

from engine.result_cache import ResultCache

if TYPE_CHECKING:
    from pathlib import Path

posix = pytest.mark.skipif(os.name != "posix", reason="signals and pipes as on Unix")
SHORT = ("-m", "tiny", "--max-tokens", "6", "--temperature", "0", "--threads", "1")
DRAWN = ("-m", "tiny", "--max-tokens", "8", "--temperature", "1", "--seed", "1")
KEYS = ["id", "model", "prompt_tokens", "output_tokens", "finish_reason", "duration_ms", "ttft_ms", "text"]


def ask(home: Path, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[bytes]:
    return llm(home, "ask", *SHORT, *arguments, **settings)


def test_the_answer_alone_is_on_stdout_and_the_rest_on_stderr(tiny_model_home: Path) -> None:
    done = ask(tiny_model_home, "hello", "--stats")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(b"\n")
    assert b"\x1b" not in done.stdout + done.stderr
    assert b"tok/s" in done.stderr
    assert b"tok/s" not in done.stdout
    assert ask(tiny_model_home, "hello", "-q", "--no-stream").stdout == done.stdout


def test_quiet_leaves_the_answer_alone(tiny_model_home: Path) -> None:
    assert ask(tiny_model_home, "hello", "-q", "--stats").stderr == b""


def test_json_has_the_stable_keys_and_the_same_text(tiny_model_home: Path) -> None:
    done = ask(tiny_model_home, "hello", "--json")
    data = json.loads(done.stdout)
    assert list(data)[:8] == KEYS
    assert (data["model"], data["finish_reason"] in {"stop", "length"}) == ("tiny", True)
    assert data["output_tokens"] <= 6
    assert data["text"].strip() == ask(tiny_model_home, "hello", "-q").stdout.decode().strip()


def test_the_same_seed_gives_the_same_text(tiny_model_home: Path) -> None:
    drawn = [
        llm(tiny_model_home, "ask", "hello", *DRAWN, fresh=fresh)
        for fresh in (False, True)  # whose hashes of strings differ
    ]
    assert drawn[0].stdout == drawn[1].stdout
    assert drawn[0].returncode == 0


def test_the_answer_goes_into_a_file_whole(tiny_model_home: Path, tmp_path: Path) -> None:
    done = ask(tiny_model_home, "hello", "-o", str(tmp_path / "out.txt"))
    assert (done.returncode, done.stdout) == (0, b"")
    assert (tmp_path / "out.txt").read_bytes() == ask(tiny_model_home, "hello").stdout
    assert len(list(tmp_path.iterdir())) == 1


def test_stdin_is_the_question_without_an_argument_and_a_document_with_one(tiny_model_home: Path) -> None:
    asked = ask(tiny_model_home, "--dry-run", stdin="你好吗".encode())
    assert "你好吗" in asked.stdout.decode()
    assert b"stdin" not in asked.stdout
    given = ask(tiny_model_home, "what?", "--dry-run", stdin=b"the document")
    text = given.stdout.decode()
    assert "stdin" in text
    assert "the document" in text
    assert text.index("the document") < text.rindex("what?")


def test_a_dry_run_counts_tokens_as_the_run_does(tiny_model_home: Path) -> None:
    dry = json.loads(ask(tiny_model_home, "hello", "--dry-run", "--json").stdout)
    wet = json.loads(ask(tiny_model_home, "hello", "--json").stdout)
    assert dry["prompt_tokens"] == wet["prompt_tokens"]


def test_an_input_that_does_not_fit_is_exit_4_with_its_size(tiny_model_home: Path) -> None:
    done = ask(tiny_model_home, "what?", "--overflow", "error", stdin=b"many words and more " * 20_000)
    assert (done.returncode, done.stdout) == (4, b"")
    assert len(told(done)) <= 3
    assert "--overflow" in done.stderr.decode()


def test_of_a_long_text_the_passages_that_matter_are_read_and_the_rest_is_named(tiny_model_home: Path) -> None:
    text = "".join(f"Paragraph {n} about nothing.\n\n" for n in range(900)) + "The keeper was Berta Quist.\n"
    done = ask(tiny_model_home, "Who was the keeper?", "--json", "--max-tokens", "5", stdin=text.encode())
    row = json.loads(done.stdout)
    assert done.returncode == 0
    assert not row["coverage"]["complete"]
    assert row["coverage"]["unread_lines"][-1][1] < 1801
    assert "not read: lines" in done.stderr.decode()


@posix
def test_a_reader_that_leaves_ends_it_silently_with_141(tiny_model_home: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "complete", "-m", "tiny", "--temperature", "1", "--seed", "1", "--max-tokens", "100000", "a"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(tiny_model_home),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert len(process.stdout.read(1)) == 1
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 141
    assert errors == b""


@posix
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_command_ends_its_line_and_says_so_by_its_exit_code(
    tiny_model_home: Path, sent: signal.Signals, code: int
) -> None:
    process = subprocess.Popen(
        [*COMMAND, "complete", "-m", "tiny", "--temperature", "1", "--seed", "1", "--max-tokens", "100000", "a"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(tiny_model_home),
    )
    assert process.stdout is not None
    first = os.read(process.stdout.fileno(), 1)
    process.send_signal(sent)
    began = time.monotonic()
    rest, errors = process.communicate(timeout=60)
    assert time.monotonic() - began < 10
    assert (process.returncode, b"Traceback" in errors) == (code, False), errors
    assert (first + rest).endswith(b"\n")


@posix
def test_a_summary_that_is_stopped_says_what_is_kept_and_goes_on_from_there(
    tiny_model_home: Path, tmp_path: Path
) -> None:
    (tmp_path / "models").symlink_to(tiny_model_home / "models")
    (tmp_path / "long.txt").write_text("\n\n".join(f"Of year {year} nothing is known. " * 40 for year in range(300)))
    words = ["summarize", "long.txt", "-m", "tiny", "--max-tokens", "2", "--threads", "1"]
    process = subprocess.Popen(
        [*COMMAND, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(tmp_path),
        cwd=tmp_path,
    )
    with ResultCache(tmp_path / "cache" / "results.db") as kept:
        assert kept._connection is not None
        while kept._connection.execute("SELECT count(*) FROM results").fetchone() < (2,):
            assert process.poll() is None
            time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"what was read is kept" in errors
    done = llm(tmp_path, *words, cwd=tmp_path)
    assert done.returncode == 0
    assert b"known from an earlier run" in done.stderr


def test_complete_continues_all_that_is_given_in_its_order(tiny_model_home: Path, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("One, ")
    given = ["-f", str(tmp_path / "one.txt"), "-f", "-", "three", "--dry-run"]
    done = llm(tiny_model_home, "complete", "-m", "tiny", *given, stdin=b"two, ")
    assert (done.returncode, done.stdout) == (0, b"One, two, three\n")


def test_a_continuation_that_the_context_ends_is_not_told_to_ask_for_more(tiny_model_home: Path) -> None:
    done = llm(
        tiny_model_home, "complete", "-m", "tiny", "--ctx", "64", "--max-tokens", "100", "--seed", "1", "w " * 40
    )
    assert done.returncode == 0
    cut = re.fullmatch(r"cut at (\d+) tokens: the context of 64 tokens is full", told(done)[-1])
    assert cut, told(done)
    assert int(cut[1]) < 64 - 40 + 1


def test_complete_continues_a_text(tiny_model_home: Path) -> None:
    done = llm(tiny_model_home, "complete", *SHORT, stdin=b"once upon")
    assert done.returncode == 0, done.stderr
    assert not done.stdout.startswith(b"once upon")


def test_sentiment_prints_label_and_probability(tiny_model_home: Path) -> None:
    done = llm(tiny_model_home, "sentiment", "-m", "tiny", stdin=b"I loved every minute")
    label, score = done.stdout.decode().rstrip("\n").split("\t")
    assert label in {"positive", "negative"}
    assert 0.5 <= float(score) <= 1


def test_sentiment_scores_sum_to_one_and_rows_keep_their_order(tiny_model_home: Path) -> None:
    done = llm(tiny_model_home, "sentiment", "-m", "tiny", "--json", "--per", "line", "-", stdin="好\nbad\n".encode())
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["text"] for row in rows] == ["好", "bad"]
    for row in rows:
        assert sum(row["scores"].values()) == pytest.approx(1)
        assert row["score"] == max(row["scores"].values())


def test_tokens_are_counted_and_listed(tiny_model_home: Path) -> None:
    count = int(llm(tiny_model_home, "tokens", "-m", "tiny", "hello 世界").stdout)
    data = json.loads(llm(tiny_model_home, "tokens", "-m", "tiny", "hello 世界", "--json", "--pieces").stdout)
    assert data["tokens"] == count == len(data["pieces"])
    assert (data["characters"], data["bytes"]) == (8, 12)


def test_summarize_says_how_much_was_read(tiny_model_home: Path) -> None:
    done = llm(tiny_model_home, "summarize", *SHORT, stdin=b"A sentence of a text.\n" * 40)
    assert done.returncode == 0, done.stderr
    assert "lines 40/40" in done.stderr.decode()


def test_a_text_too_short_to_summarize_is_given_and_said_to_be(tiny_model_home: Path) -> None:
    text = "The meeting was moved to Tuesday at three, in the small room."
    done = llm(tiny_model_home, "summarize", "-m", "tiny", stdin=text.encode())
    assert done.stdout.decode() == text + "\n"
    assert "no longer than the summary asked for: given whole (--length 30% asks for less)" in done.stderr.decode()
    assert json.loads(llm(tiny_model_home, "summarize", "-m", "tiny", "-j", stdin=text.encode()).stdout)["given_whole"]
    assert "--length" not in llm(tiny_model_home, "summarize", "-m", "tiny", stdin=b"Hello!").stderr.decode()


def test_rows_too_short_to_summarize_are_given_and_counted(tiny_model_home: Path) -> None:
    rows = ["Hello there!", "word " * 70]
    done = llm(tiny_model_home, "summarize", *SHORT, "--in", "lines", "-j", stdin="\n".join(rows).encode())
    short, long = (json.loads(line) for line in done.stdout.splitlines())
    assert (short["summary"], short["given_whole"]) == (rows[0], True)
    assert not long["given_whole"]
    assert "1 of 2 rows: no longer than the summary asked for" in done.stderr.decode()


def test_one_bad_file_among_several_is_told_in_its_row(tiny_model_home: Path, tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("A good text.")
    (tmp_path / "bad.txt").write_bytes(b"\xff")
    paths = [str(tmp_path / name) for name in ("good.txt", "bad.txt", "good.txt")]
    done = llm(tiny_model_home, "summarize", *SHORT, "--json", *paths)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 6
    assert ["error" in row for row in rows] == [False, True, False]


def test_listings_show_the_model_and_the_default(tiny_model_home: Path) -> None:
    listed = json.loads(llm(tiny_model_home, "models", "list", "--json").stdout)
    assert [row["name"] for row in listed if row["default"]] == ["tiny"]
    shown = json.loads(llm(tiny_model_home, "models", "show", "--json").stdout)
    assert shown["name"] == "tiny"
    assert llm(tiny_model_home, "models", "default").stdout == b"tiny\n"


@pytest.mark.parametrize("command", ["pull", "show", "default", "rm"])
def test_an_empty_name_is_no_missing_one(tiny_model_home: Path, command: str) -> None:
    """As where a variable in a script holds nothing: neither the default model nor the catalog's is meant."""
    done = llm(tiny_model_home, "models", command, "")
    assert (done.returncode, done.stdout) == (3, b"")
    assert "model ''" in told(done)[0]


def test_a_part_of_a_name_in_the_settings_marks_its_model_as_the_default(tiny_model_home: Path) -> None:
    part = {"LOCAL_LLM_MODEL": "TIN"}
    listed = llm(tiny_model_home, "models", "list", env=part).stdout.decode()
    assert listed.startswith("* tiny ")
    assert json.loads(llm(tiny_model_home, "models", "show", "--json", env=part).stdout)["default"]
    assert "tiny (default)" in llm(tiny_model_home, "doctor", "--no-run", env=part).stdout.decode()


@pytest.fixture
def damaged_home(tiny_model_home: Path, tmp_path: Path) -> Path:
    home = tmp_path / "home"
    shutil.copytree(tiny_model_home, home)
    weights = home / "models" / "tiny" / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-100])
    return home


def test_damaged_weights_are_exit_3_with_the_way_to_mend_them(damaged_home: Path) -> None:
    done = ask(damaged_home, "hello")
    assert (done.returncode, done.stdout) == (3, b"")
    assert len(told(done)) <= 3
    assert "model.safetensors" in done.stderr.decode()


def test_the_doctor_names_what_is_damaged_and_exits_1(damaged_home: Path) -> None:
    done = llm(damaged_home, "doctor", "--json", "--no-run")
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"]) == (1, False)
    assert [check["name"] for check in report["checks"] if check["status"] == "fail"] == ["model"]


def test_the_doctor_tells_every_broken_source_of_settings_and_looks_on(tiny_model_home: Path, tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(tiny_model_home / "models")
    (tmp_path / "config.toml").write_text("temperature = 0.7\nthreads = = 3\n")
    (tmp_path / ".local-llm.toml").write_text('model = "tiny"\n')
    done = llm(tmp_path, "doctor", "--json", "--no-run", env={"LOCAL_LLM_DEVICE": "toaster"})
    checks = json.loads(done.stdout)["checks"]
    assert done.returncode == 1
    assert [check["name"] for check in checks if check["status"] == "fail"] == ["settings", "settings"]
    assert "config.toml: Invalid value (at line 2, column 11)" in checks[0]["text"]
    assert checks[1]["text"].startswith("LOCAL_LLM_DEVICE: device expects auto")
    assert "tiny (default)" in next(check["text"] for check in checks if check["name"] == "model")


def test_the_doctor_finds_a_file_or_a_broken_link_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    (tmp_path / "state").symlink_to("nowhere")
    done = llm(tmp_path, "doctor", "--json", "--no-run")
    wrong = {check["name"] for check in json.loads(done.stdout)["checks"] if check["status"] == "fail"}
    assert (done.returncode, wrong) == (1, {"cache", "state"})


def test_the_doctor_misses_a_model_that_settings_name(tiny_model_home: Path) -> None:
    done = llm(tiny_model_home, "doctor", "--json", "--no-run", env={"LOCAL_LLM_CHAT_MODEL": "nosuch"})
    wrong = [check for check in json.loads(done.stdout)["checks"] if check["status"] == "fail"]
    assert done.returncode == 1
    assert [check["text"] for check in wrong] == ["LOCAL_LLM_CHAT_MODEL: no model 'nosuch' on this machine"]


def test_the_doctor_runs_the_model_with_sockets_refused(tiny_model_home: Path) -> None:
    done = llm(tiny_model_home, "doctor", "--json", "--threads", "1", timeout=120)
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 0, done.stdout
    assert checks["offline"]["status"] == "ok"
    assert checks["run"]["details"]["model"] == "tiny"
    assert {"settings", "python", "torch", "memory", "devices", "models", "state", "cache", "command"} <= set(checks)


def test_the_demo_shows_the_main_job(tiny_model_home: Path) -> None:
    done = llm(tiny_model_home, "demo", "--threads", "1", timeout=240)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert text.count("$ llm summarize") == 2
    assert text.count("--length short") == 2  # as it was asked for
    assert text.count("$ llm sentiment") == 2
    assert text.count("$ llm ask") == 1
