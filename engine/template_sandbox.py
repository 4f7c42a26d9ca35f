"""Renders chat templates that came with a model: jinja2's sandbox with a budget of steps and of characters.

A template is code from elsewhere. It may loop over messages and build text; it may not run for long, fill the memory or
reach anything outside. What it is refused, and what it refuses by itself, is a `TemplateRefusal`.
"""

from __future__ import annotations

import datetime
import functools
import json
import re
import threading
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, LoopControlExtension
from jinja2.sandbox import ImmutableSandboxedEnvironment

from engine.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from jinja2.parser import Parser
    from jinja2.runtime import Context

_MAX_TEMPLATE = 1_000_000
_MAX_STEPS = 200_000
_MAX_CHARACTERS = 64_000_000
_MAX_WIDTH = 1_000
_WIDE = re.compile(r"\d{4,}")
_WIDE_ARGUMENT = frozenset(
    {"ljust", "rjust", "center", "zfill", "expandtabs", "indent", "truncate", "wordwrap", "tojson"}
)


class TemplateRefusal(CheckpointError):
    """A template that can't be rendered: broken, hostile, or unwilling to take these messages."""


class ChatTemplate:
    """A compiled template. `render` may be called from several threads; one renders at a time."""

    def __init__(self, source: str) -> None:
        """Raises TemplateRefusal if it is no valid template."""
        if len(source) > _MAX_TEMPLATE:
            raise TemplateRefusal(
                f"the chat template is {len(source)} characters long, at most {_MAX_TEMPLATE} are read"
            )
        self._lock = threading.Lock()
        self._environment = _Environment()
        try:
            self._template = self._environment.from_string(source)
        except (TemplateError, RecursionError, SyntaxError, ValueError, OverflowError, MemoryError) as error:
            raise TemplateRefusal(f"the chat template is not valid: {error}") from error

    def render(self, variables: Mapping[str, Any]) -> str:
        """The text for these variables. Raises TemplateRefusal."""
        with self._lock:
            self._environment.steps = self._environment.characters = 0
            try:
                return self._template.render(**variables)
            except TemplateRefusal:
                raise
            except (TemplateError, ArithmeticError, LookupError, RecursionError, AttributeError) as error:
                raise TemplateRefusal(f"the chat template can't be rendered: {error}") from error
            except (TypeError, ValueError, AssertionError, MemoryError) as error:
                raise TemplateRefusal(f"the chat template can't be rendered: {error!r}") from error


class _Generation(Extension):
    """`{% generation %}` marks the assistant's text for training; it renders what it holds."""

    tags = {"generation"}  # noqa: RUF012  jinja2 declares it without ClassVar

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Environment(ImmutableSandboxedEnvironment):
    """Counts loops, calls, operations and characters."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[LoopControlExtension, _Generation],
            finalize=self._count_output,
        )
        self.steps = self.characters = 0
        self.filters = {name: self._bounded_filter(name, filter_) for name, filter_ in self.filters.items()}
        self.filters["tojson"] = self._bounded_filter("tojson", _to_json)
        for name in ("lipsum", "cycler", "joiner"):
            self.globals.pop(name, None)
        self.globals.update(
            raise_exception=_raise_exception,
            strftime_now=_strftime_now,
            _each=self._each,
            _joined=self._joined,
        )

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """Puts every loop and every `~` under the budget."""
        loop: Any
        tree = super()._parse(source, name, filename)
        for loop in tree.find_all(nodes.For):
            if loop.recursive:
                raise TemplateRefusal("the chat template has a recursive loop, which is not allowed")
            loop.iter = _call("_each", [loop.iter])
        return _join_under_budget(tree)

    def step(self) -> None:
        """Counts one loop, call or operation."""
        self.steps += 1
        if self.steps > _MAX_STEPS:
            raise TemplateRefusal(f"the chat template takes more than {_MAX_STEPS} steps")

    def checked(self, value: Any) -> Any:
        """The value, unless it is too large."""
        if isinstance(value, str | list | tuple | dict) and len(value) > _MAX_CHARACTERS:
            raise TemplateRefusal(f"the chat template makes more than {_MAX_CHARACTERS} characters")
        if isinstance(value, int) and value.bit_length() > 256:
            raise TemplateRefusal("the chat template makes a number of more than 256 bits")
        return value

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        self.step()
        if operator == "**" and isinstance(right, int | float) and abs(right) > 64:
            raise TemplateRefusal("the chat template raises to a power above 64")
        if operator == "%" and isinstance(left, str):
            _refuse_width(left)
        if operator == "*":
            for text, times in ((left, right), (right, left)):
                if hasattr(text, "__len__") and isinstance(times, int):
                    self._refuse_size(len(text) * times)
        return self.checked(super().call_binop(context, operator, left, right))

    def call(self, context: Context, obj: Any, *arguments: Any, **named: Any) -> Any:
        self.step()
        name = getattr(obj, "__name__", "")
        owner = getattr(getattr(obj, "__wrapped__", obj), "__self__", None)  # the sandbox wraps str.format
        self._refuse_growth(name, (owner, *arguments) if isinstance(owner, str) else arguments, named)
        return self.checked(super().call(context, obj, *arguments, **named))

    def _bounded_filter(self, name: str, filter_: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(filter_)
        def bounded(*arguments: Any, **named: Any) -> Any:
            self.step()
            given = arguments[1:] if hasattr(filter_, "jinja_pass_arg") else arguments
            self._refuse_growth(name, given, named)
            return self.checked(filter_(*arguments, **named))

        return bounded

    def _refuse_growth(self, name: str, values: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Refuses calls whose result would be far larger than what they are given."""
        if name in _WIDE_ARGUMENT and any(
            isinstance(value, int) and value > _MAX_WIDTH for value in (*values[1:], *named.values())
        ):
            raise TemplateRefusal(f"the chat template asks {name} for a width above {_MAX_WIDTH}")
        if name in {"format", "format_map"} and values and isinstance(values[0], str):
            _refuse_width(values[0])
        sizes = [len(value) for value in (*values, *named.values()) if hasattr(value, "__len__")]
        if name in {"replace", "join"} and len(sizes) > 1:
            self._refuse_size(sizes[0] * max(sizes[1:]) if max(sizes[1:]) > 64 else sizes[0])

    def _refuse_size(self, size: int) -> None:
        if size > _MAX_CHARACTERS:
            raise TemplateRefusal(f"the chat template makes more than {_MAX_CHARACTERS} characters")

    def _each(self, values: Iterable[Any]) -> Iterator[Any] | list[Any]:
        """The values of a loop, counted; a list where the template may ask for its length."""
        values = list(values) if hasattr(values, "__len__") else values
        if isinstance(values, list):
            return _Counted(values, self)
        return self._counted(values)

    def _counted(self, values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            self.step()
            yield value

    def _joined(self, *values: Any) -> str:
        texts = [str(value) for value in values]
        self.step()
        self._refuse_size(sum(map(len, texts)))
        return "".join(texts)

    def _count_output(self, value: Any) -> Any:
        self.characters += len(value) if isinstance(value, str) else 1
        self._refuse_size(self.characters)
        return value


class _Counted(list[Any]):
    """A list whose iteration is counted."""

    def __init__(self, values: list[Any], environment: _Environment) -> None:
        super().__init__(values)
        self._environment = environment

    def __iter__(self) -> Iterator[Any]:
        for value in super().__iter__():
            self._environment.step()
            yield value


def _call(name: str, arguments: list[nodes.Expr]) -> nodes.Call:
    return nodes.Call(nodes.Name(name, "load"), arguments, [], None, None)


def _join_under_budget(tree: nodes.Template) -> nodes.Template:
    """The tree with every `a ~ b` as a call of `_joined`."""
    from jinja2.visitor import NodeTransformer

    class Transformer(NodeTransformer):
        def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
            self.generic_visit(node)
            return _call("_joined", node.nodes).set_lineno(node.lineno)

    changed: Any = Transformer().visit(tree)
    return changed.set_environment(tree.environment)


def _refuse_width(template: str) -> None:
    if _WIDE.search(template):
        raise TemplateRefusal("the chat template formats with a width above 999")


def _raise_exception(message: str) -> None:
    raise TemplateRefusal(f"the chat template refuses these messages: {message}")


def _strftime_now(template: str) -> str:
    return datetime.datetime.now().strftime(template)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, sort_keys: bool = False) -> str:
    """JSON as it is, without the HTML escapes of jinja2's own filter."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, sort_keys=sort_keys)
