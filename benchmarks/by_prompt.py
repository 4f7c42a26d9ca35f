"""llama.cpp given prompt by prompt, in a process of a Python that has it: the peer of `rows` and of `pages`."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.contest import ROOT

if TYPE_CHECKING:
    import argparse


def add_flags(parser: argparse.ArgumentParser) -> None:
    """What names the peer."""
    parser.add_argument("--peer-python", help="a Python with llama-cpp-python")
    parser.add_argument("--peer-model", type=Path, help="the Q8_0 GGUF of the same weights")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=1)


def seconds(arguments: argparse.Namespace, asked: dict[str, Any]) -> float | None:
    """What the peer takes for `asked` (see `benchmarks.peers.llama_cpp_prompts`); None where no peer was named."""
    if not arguments.peer_python or not arguments.peer_model:
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "asked.json")
        file.write_text(json.dumps(asked), encoding="utf-8")
        program = [arguments.peer_python, "-m", "benchmarks.peers.llama_cpp_prompts"]
        command = [*program, str(arguments.peer_model), str(arguments.threads), str(file)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])
