"""What the code itself says in English: its modules read as trees, and each text as the examples of what it may be."""

from __future__ import annotations

import ast
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
Texts = dict[str, list[ast.expr]]
"""What names stand for: what variables are given, and what functions return."""
CALLED = {
    "program": ["llm"],
    "size": ["7 MB"],
    "place_of": ["cpu/x86"],
    "named_lines": ["line 7", "lines 7"],
}
NAMED = {"place": ["cpu/x86"], "unit": ["rows", "windows"]}
"""What some calls and attributes look like."""


@cache
def modules() -> dict[str, ast.Module]:
    found = {}
    for folder in ("engine", "tui"):
        for path in (ROOT / folder).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = ast.parse(path.read_text("utf-8"))
    return found


def below(start: str) -> set[str]:
    """A module and all that it imports, at once or while it works."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for node in ast.walk(modules()[name]):
            if isinstance(node, ast.Import):
                named = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                named = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            else:
                continue
            waiting += named & modules().keys()
    return seen


def calls(name: str) -> Iterator[tuple[ast.Call, Texts]]:
    """Every call in a module, with what the names around it stand for."""
    everywhere = texts_of(modules()[name])

    def walk(node: ast.AST, known: Texts) -> Iterator[tuple[ast.Call, Texts]]:
        if isinstance(node, ast.FunctionDef):
            known = known | texts_of(node)
        if isinstance(node, ast.Call):
            yield node, known
        for child in ast.iter_child_nodes(node):
            yield from walk(child, known)

    yield from walk(modules()[name], everywhere)


@cache
def texts_of(scope: ast.Module | ast.FunctionDef) -> Texts:
    """What the names of a scope stand for."""
    found: Texts = {}
    for node in ast.walk(scope) if isinstance(scope, ast.FunctionDef) else scope.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append(node.value)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and node.target.id in found:
            longer = [ast.BinOp(left=before, op=node.op, right=node.value) for before in found[node.target.id]]
            found[node.target.id] += longer
        elif isinstance(node, ast.FunctionDef) and node is not scope:
            ends = [end.value for end in ast.walk(node) if isinstance(end, ast.Return) and end.value]
            own = texts_of(node)
            found[node.name] = [ast.Constant(one) for end in ends for one in examples(end, own)]
    return found


def examples(node: ast.expr, known: Texts | None = None) -> list[str]:
    """A text as it may look, with 7 in the places of what comes from elsewhere."""
    known = known or {}
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else ["7"]
    if isinstance(node, ast.FormattedValue):
        found = examples(node.value, known)
        return [f"'{one}'" for one in found] if node.conversion == ord("r") else found
    if isinstance(node, ast.IfExp | ast.BoolOp):
        choices = [node.body, node.orelse] if isinstance(node, ast.IfExp) else node.values
        return [one for choice in choices for one in examples(choice, known)]
    if isinstance(node, ast.JoinedStr | ast.BinOp):
        return _joined(node, known)
    return _named(node, known)


def _joined(node: ast.JoinedStr | ast.BinOp, known: Texts) -> list[str]:
    """The examples of what is put together, or said or not by a number."""
    if isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Add):
        word = node.left.value if isinstance(node.left, ast.Constant) else None
        return ["", word] if isinstance(word, str) else ["7"]
    parts = node.values if isinstance(node, ast.JoinedStr) else [node.left, node.right]
    return ["".join(one) for one in product(*(examples(part, known) for part in parts))]


def _named(node: ast.expr, known: Texts) -> list[str]:
    """The examples of what is named: a variable, a call, an attribute, an item of a table."""
    inner = node.func if isinstance(node, ast.Call) else node.value if isinstance(node, ast.Subscript) else node
    name = inner.id if isinstance(inner, ast.Name) else inner.attr if isinstance(inner, ast.Attribute) else ""
    if name == "counted" and isinstance(node, ast.Call):
        return [f"7 {word}{end}" for word in examples(node.args[1], known) for end in ("", "s")]
    if not isinstance(inner, ast.Name) or name not in known:
        return (CALLED if isinstance(node, ast.Call) else NAMED).get(name, ["7"])
    values = known[name]
    if isinstance(node, ast.Subscript):
        values = [item for value in values if isinstance(value, ast.Dict) for item in value.values]
    others = {other: found for other, found in known.items() if other != name}
    return list(dict.fromkeys(one for value in values for one in examples(value, others))) or ["7"]


@cache
def every_text() -> frozenset[str]:
    """All texts of the code but those of its Chinese, whole and where they are part of another."""
    found: set[str] = set()
    for name, tree in modules().items():
        if name.startswith("tui.strings"):
            continue
        for call, known in calls(name):
            for given in [*call.args, *(word.value for word in call.keywords)]:
                if not isinstance(given, ast.Starred):
                    found.update(examples(given, known))
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr | ast.IfExp | ast.BinOp | ast.BoolOp | ast.Constant):
                found.update(examples(node, texts_of(tree)))
    return frozenset(found)
