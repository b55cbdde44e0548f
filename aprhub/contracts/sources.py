"""A tree of Python sources: the tests in it, and the ids that its texts show."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from attrs import frozen

from aprhub.contracts.literals import shown_ids
from aprhub.errors import CorruptFileError

_LEFT_OUT: Final = ("build", "dist", "node_modules", "site-packages", "target", "venv")
_JUDGING: Final = ("raises", "warns", "deprecated_call", "fail", "assert_allclose")
_SKIPS: Final = ("skip", "skipif", "xfail", "skipUnless", "skipIf", "expectedFailure")

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@frozen
class Test:
    """A test function: where it stands, and what its source says of it.

    `skipped` is the marker that may keep it from running, or empty.
    """

    __test__ = False

    file: str
    qualname: str
    line: int
    skipped: str
    empty: bool
    asserts: bool

    @property
    def node(self) -> str:
        """The id under which pytest knows it, without parameters."""
        return f"{self.file}::{self.qualname}"

    @property
    def name(self) -> str:
        """The name of the function itself."""
        return self.qualname.rpartition("::")[2]


@frozen
class ShownId:
    """An id in a text of a source that is no test."""

    id: str
    file: str
    line: int


@frozen
class SourceTree:
    """The tests below a folder by node id, and the ids that the program shows."""

    root: Path
    tests: Mapping[str, Test]
    shown: tuple[ShownId, ...]

    @classmethod
    def of(cls, root: Path) -> "SourceTree":
        """Parse every source below a folder; raise CorruptFileError for one broken."""
        modules = {
            path.relative_to(root).as_posix(): _parsed(path) for path in _sources(root)
        }
        known = _Known.of(modules.values())
        tests = (
            test
            for file, tree in modules.items()
            if _is_test_file(file)
            for test in known.tests(file, tree)
        )
        shown = (
            ShownId(each, file, line)
            for file, tree in modules.items()
            if not _is_of_tests(file)
            for line, each in shown_ids(tree)
        )
        return cls(root, {test.node: test for test in tests}, tuple(shown))


def _sources(root: Path) -> Iterator[Path]:
    for path in sorted(root.iterdir()):
        hidden = path.name.startswith(".") or path.name in _LEFT_OUT
        if path.is_dir() and not (hidden or path.is_symlink()):
            yield from _sources(path)
        elif path.suffix == ".py":
            yield path


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except SyntaxError as error:
        what, where = f"this is not Python: {error.msg}", f"line {error.lineno}"
        repair = "correct it there"
        raise CorruptFileError(path, what, where=where, repair=repair) from error


def _is_test_file(file: str) -> bool:
    name = file.rpartition("/")[2]
    return name.startswith("test_") or name.endswith("_test.py")


def _is_of_tests(file: str) -> bool:
    return _is_test_file(file) or file.split("/")[0] in ("tests", "test")


@frozen
class _Known:
    """What is known of all modules together, by the names that others use for it.

    `classes` are those that tests may be inherited from; `judging` are functions that
    assert something, themselves or through what they call.
    """

    classes: Mapping[str, ast.ClassDef]
    judging: frozenset[str]

    @classmethod
    def of(cls, modules: Iterable[ast.Module]) -> "_Known":
        nodes = [node for tree in modules for node in ast.walk(tree)]
        classes = {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}
        functions = [node for node in nodes if isinstance(node, _Function)]
        return cls(classes, frozenset(_judging(functions)))

    def tests(self, file: str, tree: ast.Module) -> Iterator[Test]:
        """Yield the tests of a module: functions, and methods of classes of tests."""
        general = _skip(_assigned_marks(tree.body))
        for function in _functions(tree.body):
            yield self._test(file, "", function, general)
        for group in tree.body:
            if isinstance(group, ast.ClassDef) and group.name.startswith("Test"):
                marks = [*group.decorator_list, *_assigned_marks(group.body)]
                skipped = _skip(marks) or general
                for function in self._methods(group, frozenset()).values():
                    yield self._test(file, f"{group.name}::", function, skipped)

    def _methods(
        self, group: ast.ClassDef, below: frozenset[str]
    ) -> dict[str, _Function]:
        """Return the tests of a class with those of its bases, wherever these are."""
        bases = (ast.unparse(base).rpartition(".")[2] for base in group.bases)
        below |= {group.name}
        found: dict[str, _Function] = {}
        for base in bases:
            if base in self.classes and base not in below:
                found |= self._methods(self.classes[base], below)
        return found | {each.name: each for each in _functions(group.body)}

    def _test(self, file: str, group: str, function: _Function, skipped: str) -> Test:
        body = function.body[1:] if ast.get_docstring(function) else function.body
        return Test(
            file,
            group + function.name,
            function.lineno,
            _skip(function.decorator_list) or skipped,
            all(map(_is_nothing, body)),
            _judges(function) or not _called(function).isdisjoint(self.judging),
        )


def _functions(body: Iterable[ast.stmt]) -> Iterator[_Function]:
    for node in body:
        if isinstance(node, _Function) and node.name.startswith("test"):
            yield node


def _is_nothing(node: ast.stmt) -> bool:
    constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return constant or isinstance(node, ast.Pass)


def _assigned_marks(body: Iterable[ast.stmt]) -> Iterator[ast.expr]:
    """Yield what is assigned to `pytestmark`, one or a list."""
    for node in body:
        if isinstance(node, ast.Assign) and "pytestmark" in map(
            ast.unparse, node.targets
        ):
            match node.value:
                case ast.List(marks) | ast.Tuple(marks):
                    yield from marks
                case mark:
                    yield mark


def _skip(marks: Iterable[ast.expr]) -> str:
    """Return the first mark that keeps a test from running or from counting."""
    for mark in marks:
        called = mark.func if isinstance(mark, ast.Call) else mark
        name = ast.unparse(called).rpartition(".")[2]
        if name in _SKIPS:
            return name
    return ""


def _judging(functions: Iterable[_Function]) -> set[str]:
    """Return the names of functions that judge, themselves or by what they call."""
    calls: dict[str, set[str]] = {}
    judging: set[str] = set()
    for function in functions:
        calls.setdefault(function.name, set()).update(_called(function))
        judging |= {function.name} if _judges(function) else set()
    size = -1
    while size != len(judging):
        size = len(judging)
        judging |= {name for name, called in calls.items() if called & judging}
    return judging


def _judges(function: _Function) -> bool:
    return any(
        isinstance(node, ast.Assert) for node in ast.walk(function)
    ) or not _called(function).isdisjoint(_JUDGING)


def _called(function: _Function) -> set[str]:
    return {
        ast.unparse(node.func).rpartition(".")[2]
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
    }
