"""What a command loads, proved in processes of their own: quick ones load neither torch nor textual."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from cli_process import ROOT, environment

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = (
    "torch",
    "textual",
    "transformers",
    "sentencepiece",
    "gguf",
    "huggingface_hub",
    "prompt_toolkit",
    "safetensors",
)
TERMINAL = ("typer", "rich", "textual", "prompt_toolkit", "tui")
PROBE = """
import json, sys
from tui.cli.main import run
sys.argv[0] = "llm"
code = run(json.loads(sys.argv[1]))
ours = [name for name in sys.modules if name.startswith("tui.cli.")]
modules = sorted({*ours, *(name.partition(".")[0] for name in sys.modules)})
json.dump({"code": code, "modules": modules}, open(sys.argv[2], "w"))
"""


def loaded_by(home: Path, *arguments: str, **environ: str) -> tuple[int, set[str]]:
    report = home / "report.json"
    subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(arguments), str(report)],
        env=environment(home, environ),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=True,
    )
    data = json.loads(report.read_text())
    return data["code"], set(data["modules"])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["ask", "--help"], 0),
        (["chat", "-h"], 0),
        (["models", "list"], 0),
        (["models", "list", "--all", "--json"], 0),
        (["config", "show", "--origin"], 0),
        (["config", "set", "seed", "1"], 0),
        (["paths"], 0),
        (["nonsense"], 2),
        (["ask", "--nonsense"], 2),
        (["ask"], 2),
        (["ask", "hi", "--temperature", "-1"], 2),
        (["ask", "hi", "--schema", "name foo"], 2),
        (["ask", "hi", "--schema", '{"type": "string", "not": {}}'], 2),
        (["batch", "hi", "--schema", "int"], 2),
        (["ask", "hi"], 3),
        (["summarize", "--length", "tiny", "x"], 2),
        (["models"], 2),
        (["models", "rm", "nothing"], 3),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_quick_commands_load_nothing_heavy(tmp_path: Path, arguments: list[str], code: int) -> None:
    got, modules = loaded_by(tmp_path, *arguments)
    assert modules.isdisjoint(HEAVY)
    assert got == code


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--help"], 0), (["ask", "--help"], 0), (["ask", "--nonsense"], 2), (["models"], 2)]
)
def test_chinese_loads_nothing_heavy_either(tmp_path: Path, arguments: list[str], code: int) -> None:
    got, modules = loaded_by(tmp_path, *arguments, LANG="zh_CN.UTF-8")
    assert modules.isdisjoint(HEAVY)
    assert got == code


def test_the_help_imports_no_command_and_a_command_no_other(tmp_path: Path) -> None:
    frame = {"main", "lazy", "help", "console", "interrupt"}
    code, modules = loaded_by(tmp_path, "--help")
    assert code == 0
    assert {name for name in modules if name.startswith("tui.cli.")} == {f"tui.cli.{name}" for name in frame}
    _, modules = loaded_by(tmp_path, "sentiment", "hello")
    assert not modules & {f"tui.cli.{name}" for name in ("ask", "chat", "models", "examine", "evaluate", "demo")}


def test_the_help_says_of_each_command_what_its_own_help_says() -> None:
    from typer.main import get_command

    from tui.cli.main import Commands, app

    for name, entry in Commands.TABLE.items():
        command = get_command(app).commands[name]  # type: ignore[attr-defined]
        assert (command.name, command.get_short_help_str(limit=500)) == (name, entry.help)
        assert command.hidden == entry.hidden


def probed(home: Path, probe: str) -> subprocess.CompletedProcess[bytes]:
    """A program of its own, with nothing imported yet."""
    return subprocess.run(
        [sys.executable, "-c", probe], env=environment(home), cwd=ROOT, capture_output=True, timeout=60, check=False
    )


def test_a_model_is_loaded_and_answers_without_torchs_compiler(tiny_model_home: Path) -> None:
    """Drawing random weights on the meta device once imported all of torch._dynamo: a second of each start."""
    probe = (
        "import sys\n"
        "from tui.cli.main import run\n"
        "code = run(['ask', 'hello', '--max-tokens', '3'])\n"
        "sys.exit(code or 10 * ('torch' not in sys.modules) or 20 * ('torch._dynamo' in sys.modules))\n"
    )
    done = probed(tiny_model_home, probe)
    assert done.returncode == 0, done.stderr


def test_a_context_that_the_model_can_not_have_is_refused_before_it_is_loaded(tiny_model_home: Path) -> None:
    probe = (
        "import sys\n"
        "from tui.cli.main import run\n"
        "code = run(['ask', 'hello', '--ctx', '9999999'])\n"
        "sys.exit(10 * code + ('torch' in sys.modules))\n"
    )
    done = probed(tiny_model_home, probe)
    assert done.returncode == 20, done.stderr
    assert b"16 to 2048" in done.stderr


def test_completion_knows_models_and_loads_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "models" / "some-model").mkdir(parents=True)
    probe = (
        "import sys, os; sys.argv[0] = 'llm'\n"
        "from tui.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)\n"
    )
    variables = {"_LLM_COMPLETE": "complete_bash", "COMP_WORDS": "llm ask -m so", "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-c", probe],
        env=environment(tmp_path, variables),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["some-model"]
    assert not [name for name in HEAVY if f"'{name}'" in done.stderr]


def test_the_engine_loads_no_terminal_library() -> None:
    """Every module of the engine that can be imported here, at once; huggingface_hub is only imported in functions."""
    probe = (
        "import importlib, json, pkgutil, sys, engine\n"
        "for module in pkgutil.walk_packages(engine.__path__, 'engine.'):\n"
        "    try: importlib.import_module(module.name)\n"
        "    except ModuleNotFoundError as error: assert error.name == 'triton', error\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert set(json.loads(done.stdout)).isdisjoint(TERMINAL)
