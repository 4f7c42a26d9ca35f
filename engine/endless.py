"""Schemas whose values can have no end: an object that needs one of its own kind, which needs another, and so on."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import unquote

Schema = dict[str, Any]


def endless(schema: Schema) -> bool:
    """Whether every value of a schema, of which the grammar library has made sense, would hold another of its kind."""
    ending: dict[str, bool] = {"#": False}
    """What the schema refers to, as far as it is known, and whether its values can end."""
    before = None
    while ending != before:
        before = dict(ending)
        for reference, known in before.items():
            ending[reference] = known or _ends(_at(schema, reference), ending)
    return not ending["#"]


def _ends(schema: Any, ending: dict[str, bool]) -> bool:
    """Whether a value can end, given the references whose values can; those that were not known become so."""
    if isinstance(schema, bool) or schema.keys() & {"const", "enum"}:
        return True
    reference = schema.get("$ref", "")
    if reference.split("/")[0] == "#" and not ending.setdefault(reference, False):
        return False
    for key, enough in (("anyOf", any), ("oneOf", any), ("allOf", all)):
        if key in schema and not enough(_ends(branch, ending) for branch in schema[key]):
            return False
    named, first = schema.get("properties", {}), schema.get("prefixItems", [])
    kind = schema.get("type", "object" if named else "array" if "items" in schema else None)
    needed: list[Any] = []  # nothing where several kinds fit: another one ends
    if kind == "object":
        needed = [named[name] for name in schema.get("required", []) if name in named]
    elif kind == "array" and (least := int(schema.get("minItems", 0))):
        needed = [*first[:least], *([schema.get("items", True)] if least > len(first) else [])]
    return all(_ends(part, ending) for part in needed)


def _at(schema: Schema, reference: str) -> Any:
    """The part of a schema that a JSON pointer leads to; what ends where an `$id` has moved what it counts from."""
    part: Any = schema
    with suppress(LookupError, ValueError):
        for step in reference.split("/")[1:]:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            part = part[int(name)] if isinstance(part, list) else part[name]
        return part
    return True
