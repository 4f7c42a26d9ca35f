"""The tasks that can be measured, one file each; a task's code is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.evaluation.measure import Measure, Setup

TASKS = {
    "sentiment": "sentiment",
    "classify": "classify",
    "qa": "qa",
    "summarize": "summaries",
    "translate": "translations",
    "search": "searching",
    "perplexity": "text",
    "multiple-choice": "endings",
}
"""Names as people type them, and the modules here that measure them."""


def create(task: str, setup: Setup) -> Measure[Any, Any]:
    """The measure of a task by its name."""
    measure: Measure[Any, Any] = import_module(f"{__name__}.{TASKS[task]}").TaskMeasure(setup)
    return measure
