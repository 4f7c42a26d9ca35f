"""PyTorch without the rules that only its compiler asks for: 0.4 seconds less at every start."""

from __future__ import annotations

import sys
from types import ModuleType

RULES = "torch._meta_registrations"
"""Registers, for hundreds of operators, the shape of their result on tensors without data."""


def skip_shape_rules() -> None:
    """For a process of our own, before torch is first imported; nothing in it may compile with torch afterwards.

    Making modules without data, as loading does, needs no rule.
    """
    if "torch" not in sys.modules:
        sys.modules.setdefault(RULES, ModuleType(RULES))
