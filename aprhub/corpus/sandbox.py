"""The sandbox that chat templates are rendered in: jinja2's, with bounds.

It has what templates may count on, as in transformers: blocks are trimmed, loops can
be left, `raise_exception`, `strftime_now`, a `tojson` that escapes no HTML, and
`{% generation %}` around what an assistant says.
"""

import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sized
from datetime import datetime
from typing import Any, Final, NoReturn

from aprhub.errors import EnvironmentFailureError

try:
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension
    from jinja2.parser import Parser
    from jinja2.runtime import Context
    from jinja2.sandbox import ImmutableSandboxedEnvironment
except ModuleNotFoundError as error:
    raise EnvironmentFailureError(
        "chat templates need jinja2: pip install 'aprhub[train]'"
    ) from error

LONGEST: Final = 16 << 20
"""The most characters of a template, and of what it renders."""

STEPS: Final = 1 << 17
"""The most calls and rounds of loops in one rendering."""

_SECRET: Final = secrets.token_hex(8)
OPENED: Final = f"<generation {_SECRET}>"
CLOSED: Final = f"</generation {_SECRET}>"
"""Stand around what an assistant says; no text of a conversation can know them."""

FAILURES: Final = (
    *(TemplateError, ArithmeticError, AttributeError, LookupError),
    *(MemoryError, RecursionError, TypeError, ValueError),
)
"""What a template may fail with: its own errors, and those of its expressions."""


class Sandbox(ImmutableSandboxedEnvironment):
    """Renders one template; raises one of FAILURES where it is wrong or exceeds."""

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self, source: str) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[_Generation, "jinja2.ext.loopcontrols"],
        )
        self.filters["tojson"] = _to_json
        self.filters["counted"] = self._counted
        self.globals["raise_exception"] = _refuse
        self.globals["strftime_now"] = _now
        self._steps = 0
        _refuse_longer(len(source))
        tree = self.parse(source)
        for loop in tree.find_all(nodes.For):
            counted = nodes.Filter(loop.iter, "counted", [], [], None, None)
            loop.iter = counted.set_lineno(loop.lineno)
        self._template = self.from_string(tree)

    def rendered(self, values: Mapping[str, Any]) -> str:
        """Return what the template makes of some values."""
        self._steps = 0
        parts: list[str] = []
        length = 0
        for part in self._template.generate(values):
            parts.append(part)
            length += len(part)
            _refuse_longer(length)
        return "".join(parts)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call something for the template, and count it."""
        self._spend(1)
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Multiply, unless it is a way to fill the memory."""
        if operator == "**" or not _are_numbers(left, right):
            _refuse(f"{operator} of {type(left).__name__} and {type(right).__name__}")
        return super().call_binop(context, operator, left, right)

    def _counted(self, values: Iterable[Any]) -> Iterable[Any]:
        if not isinstance(values, Sized):
            values = list(values)
        self._spend(len(values))
        return values

    def _spend(self, steps: int) -> None:
        self._steps += steps
        if self._steps > STEPS:
            _refuse(f"more than {STEPS} calls and rounds of loops")


class _Generation(Extension):
    """The block that an assistant says."""

    tags = {"generation"}  # noqa: RUF012  # jinja2 wants a set

    def parse(self, parser: Parser) -> nodes.Node:
        """Read the block up to its end; what it renders comes between marks."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        marked = self.call_method("_marked")
        return nodes.CallBlock(marked, [], [], body).set_lineno(line)

    def _marked(self, caller: Callable[[], str]) -> str:
        return f"{OPENED}{caller()}{CLOSED}"


def _are_numbers(left: Any, right: Any) -> bool:
    return all(isinstance(each, int | float) for each in (left, right))


def _refuse_longer(length: int) -> None:
    if length > LONGEST:
        _refuse(f"longer than {LONGEST} characters")


def _refuse(what: str) -> NoReturn:
    raise TemplateError(what)


def _now(form: str) -> str:
    return datetime.now().strftime(form)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
