"""A lean import of PyTorch, in processes of their own: the same bits, and whole as soon as anybody asks for more."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cli_process import ROOT, environment

from engine import lean

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not lean._known(), reason="this PyTorch is imported whole")

LEAN = "from engine import lean\nlean.import_torch(lean=True)\nimport sys, torch\n"
WHOLE = "import sys, torch\n"
NAMES = """
import json
modules = sorted(name for name in sys.modules if name.partition(".")[0] == "torch")
names = {name: sorted(vars(sys.modules[name])) for name in ("torch", "torch.nn", "torch.distributed")}
print(json.dumps([modules, names, sorted(map(str, torch.ops))]))
"""
REPLIES = """
import json, pathlib, sys
from engine.config import SamplingConfig
from engine.schema import Message
from engine.session import Session

session = Session.open(pathlib.Path(sys.argv[1]), device="cpu", threads=1, lean=sys.argv[2] == "lean")
asked = [Message("user", "What is it that the tide brings, and why? " * 20)]
sampling = SamplingConfig(max_tokens=40, temperature=0.9, top_k=40, seed=7, repetition_penalty=1.1)
reply = session.stream(asked, sampling)
print(json.dumps([
    "".join(chunk.text for chunk in reply),
    [list(map(str, reply.likeliest(20)))],
    [[value.hex() for value in row] for row in session.score(asked, [" yes", " no", " it may well be"])],
    [float(value).hex() for row in session.embed(["one text", "another"]) for value in row],
    "torch._meta_registrations" in sys.modules,
]))
"""
TRAINED = """
import copy, hashlib, json
from torch import nn
torch.manual_seed(5)
model = nn.Sequential(nn.Embedding(50, 16), nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 50))
twin = copy.deepcopy(model)
steps = torch.optim.AdamW(model.parameters(), lr=0.01)
for _ in range(5):
    ids = torch.randint(50, (8, 12))
    loss = nn.functional.cross_entropy(model(ids).flatten(0, 1), ids.roll(1, 1).flatten())
    steps.zero_grad()
    loss.backward()
    steps.step()
bits = b"".join(value.numpy().tobytes() for value in (*model.state_dict().values(), *twin.state_dict().values()))
print(json.dumps(hashlib.sha256(bits).hexdigest()))
"""


def python(code: str, home: Path, *arguments: str, **variables: str) -> Any:
    """What it prints, as JSON."""
    (only,) = lines(code, home, *arguments, **variables)
    return only


def lines(code: str, home: Path, *arguments: str, **variables: str) -> list[Any]:
    """Each line that it prints, as JSON."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        env=environment(home, variables),
        cwd=ROOT,
        capture_output=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The modules and names of a plain import."""
    return python(WHOLE + NAMES, tmp_path_factory.mktemp("whole"))


def test_replies_scores_and_vectors_are_the_same_bits(tiny_model_home: Path) -> None:
    folder = str(tiny_model_home / "models" / "tiny")
    *ours, more = python(REPLIES, tiny_model_home, folder, "lean")
    *theirs, _ = python(REPLIES, tiny_model_home, folder, "whole")
    assert ours == theirs
    assert not more


def test_commands_need_nothing_of_what_is_left_out(tiny_model_home: Path) -> None:
    """One after the other: what one of them imported would be there after the next."""
    code = (
        "import contextlib, io, json, sys\n"
        "from tui.cli.main import run\n"
        "found = []\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    with contextlib.redirect_stdout(io.StringIO()): code = run(words)\n"
        "    found.append([code, 'torch' in sys.modules, 'torch._meta_registrations' in sys.modules])\n"
        "print(json.dumps(found))"
    )
    ask = ["ask", "hi"]
    commands = [ask, ["summarize", "README.md"], ["sentiment", "good"], ["embed", "x"]]
    assert python(code, tiny_model_home, json.dumps(commands)) == [[0, True, False]] * 4
    assert python(code, tiny_model_home, json.dumps([ask]), LOCAL_LLM_LEAN="off") == [[0, True, True]]


def test_no_stand_in_is_left_anywhere(tmp_path: Path) -> None:
    code = (
        "import gc, json\n"
        "gc.unfreeze()\n"
        "found = [o for o in gc.get_objects() if isinstance(o, lean._StandIn)]\n"
        "places = [n for n, m in sys.modules.items() if m is None or isinstance(m, lean._StandIn)]\n"
        "print(json.dumps([len(found), places, {'vmap', 'cond', 'export', 'compiler'} & {*vars(torch)} == set()]))"
    )
    assert python(LEAN + code, tmp_path) == [0, [], True]


TOUCHES = (
    "torch.vmap",
    "torch.export",
    "torch.nn.quantized.Linear",
    "torch.fx.passes.splitter_base",
    "torch.distributed._meta_registrations",
    "import torch._higher_order_ops.scan",
    "from torch.func import grad",
    "from torch import *",
    "import importlib.util; importlib.util.find_spec('torch.masked')",
    "lean.complete()",
    "from threading import Thread; many = [Thread(target=lambda: torch.cond) for _ in range(4)]; "
    "[t.start() for t in many]; [t.join() for t in many]",
)
FORKS = """
import json, os
for touch in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        exec(touch)
        assert lean._parts is None, touch
        import torch  # where the touch has put another thing in its name's place
        exec(names)
        sys.stdout.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, touch
"""


def test_whoever_touches_what_was_left_out_has_all_of_it(tmp_path: Path, whole: Any) -> None:
    """Each in a process that has just imported a part."""
    found = lines(f"{LEAN}names = {NAMES!r}\n{FORKS}", tmp_path, json.dumps(TOUCHES))
    for touch, (modules, spaces, operators) in zip(TOUCHES, found, strict=True):
        assert set(whole[0]) - set(modules) == set(), touch
        assert not any(set(whole[1][name]) - set(space) for name, space in spaces.items()), touch
        assert set(whole[2]) - set(operators) == set(), touch


def test_operators_on_meta_tensors_refuse_until_the_import_is_whole(tmp_path: Path) -> None:
    code = (
        "import json\n"
        "one = torch.empty(1, 2, 8, 16, device='meta')\n"
        "try: torch.nn.functional.scaled_dot_product_attention(one, one, one)\n"
        "except NotImplementedError: refused = True\n"
        "lean.complete()\n"
        "print(json.dumps([refused, list(torch.nn.functional.scaled_dot_product_attention(one, one, one).shape)]))"
    )
    assert python(LEAN + code, tmp_path) == [True, [1, 2, 8, 16]]


def test_training_copies_and_compiling_give_the_same_after_it(tmp_path: Path) -> None:
    compiling = 'assert torch.equal(torch.compile(model, backend="eager")(ids), model(ids))\n'
    assert python(LEAN + TRAINED + compiling, tmp_path) == python(WHOLE + TRAINED, tmp_path)


@pytest.mark.parametrize(
    "because", ["lean.TESTED = ()", "import os; os.environ['LOCAL_LLM_LEAN'] = 'off'", "import torch"]
)
def test_any_other_import_is_whole(tmp_path: Path, whole: Any, because: str) -> None:
    code = f"from engine import lean\n{because}\nlean.import_torch(lean=True)\n{WHOLE}\n{NAMES}"
    assert python(code, tmp_path)[:2] == whole[:2]
