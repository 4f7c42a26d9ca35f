"""Schemas whose values would hold each other without end are told from those that refer to themselves and end."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import UsageError
from engine.structure import compile_schema

LIST = {"type": "object", "properties": {"v": {"type": "integer"}, "next": {"$ref": "#"}}, "required": ["v", "next"]}
PARTS = {"type": "array", "items": {"$ref": "#/$defs/a~1b"}}
TREE = {"type": "object", "properties": {"parts": PARTS}, "required": ["parts"]}
FULL = TREE | {"properties": {"parts": PARTS | {"minItems": 1}}}
PAIR = {"type": "array", "prefixItems": [{"type": "integer"}, {"$ref": "#"}]}


@pytest.mark.parametrize(
    ("schema", "ends"),
    [
        (LIST, None),
        (LIST | {"required": ["v"]}, '{"v": 1}'),
        (LIST | {"type": ["object", "null"]}, '{"v": 1, "next": null}'),
        ({"anyOf": [LIST, {"type": "null"}]}, '{"v": 1, "next": null}'),
        ({"allOf": [LIST, {"type": "object"}]}, None),
        ({"$defs": {"a/b": TREE}, "$ref": "#/$defs/a~1b"}, '{"parts": [{"parts": []}]}'),
        ({"$defs": {"a/b": FULL}, "$ref": "#/$defs/a~1b"}, None),
        (PAIR | {"minItems": 2}, None),
        (PAIR | {"minItems": 1}, "[1, [2]]"),
        (PAIR | {"items": {"$ref": "#"}, "minItems": 1}, "[1]"),
        ({"type": "array", "prefixItems": [{"type": "integer"}], "items": {"$ref": "#"}, "minItems": 2}, None),
        ({"items": {"$ref": "#"}, "minItems": 1}, None),
        ({"properties": {"next": {"$ref": "#"}}, "required": ["next"]}, None),
        ({"anyOf": [LIST, {"enum": ["end"]}]}, '{"v": 1, "next": "end"}'),
        ({"$ref": "#node", "$defs": {"n": {"$anchor": "node", "type": "integer"}}}, "3"),
    ],
)
def test_a_schema_whose_values_would_hold_each_other_without_end_is_refused(
    schema: dict[str, Any], ends: str | None
) -> None:
    if ends is not None:
        assert compile_schema(schema).fits(ends)
        return
    with pytest.raises(UsageError, match="each value would need another in it") as caught:
        compile_schema(schema)
    assert "may be null" in caught.value.hint
