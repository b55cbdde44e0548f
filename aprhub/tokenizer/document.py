"""A `tokenizer.json`, parsed and checked as far as everybody needs it."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final

import orjson
from attrs import frozen

from aprhub.errors import CorruptFileError
from aprhub.ir.tokenizer import Program, encoded
from aprhub.tokenizer.columns import Numbered, Rules
from aprhub.tokenizer.scanning import TOKENIZER, cut_out, put_back

FILE: Final = "tokenizer.json"

KEPT: Final = "write a Hugging Face folder with --naming keep, which keeps it"
"""What to do about a tokenizer that no flat vocabulary can hold."""

_PARTS: Final = {
    "normalizer": "normalizers",
    "pre_tokenizer": "pretokenizers",
    "post_processor": "processors",
    "decoder": "decoders",
}
"""The parts of the program, with the key under which a sequence lists its steps."""

_VOCAB: Final = re.compile(rb'"vocab"\s*:')
_BEFORE_VOCAB: Final = frozenset({"added_tokens", "model", *_PARTS})


@frozen
class AddedToken:
    """A token that is matched whole in the text, before the model sees it."""

    id: int
    content: str
    special: bool

    @classmethod
    def of(cls, entry: Any, where: str) -> "AddedToken":
        """Read one entry of `added_tokens`."""
        fields = checked_object(entry, where)
        number, content = fields.get("id"), fields.get("content")
        if type(number) is not int or number < 0:
            raise fault(f"{where}.id", f"{number!r:.80} found, a token id expected")
        if not isinstance(content, str) or not content:
            raise fault(f"{where}.content", f"{content!r:.80} found, a text expected")
        return cls(number, content, fields.get("special") is True)


@frozen
class Document:
    """The members of a `tokenizer.json`; `added` are its added tokens."""

    root: Mapping[str, Any]
    model: Mapping[str, Any]
    added: tuple[AddedToken, ...]

    def steps(self, part: str) -> tuple[Mapping[str, Any], ...]:
        """Return the steps of a part in order, nested sequences laid flat."""
        return tuple(_steps(self.root.get(part), part))


@contextmanager
def parsing_once() -> Iterator[None]:
    """Have a text that is parsed again within give the same document as before.

    It takes a fourteenth of a second to parse the text of a large vocabulary, and a
    fiftieth to let go of what came of it. Only the last one is kept.
    """
    token = _LAST.set({})
    try:
        yield
    finally:
        _LAST.reset(token)


def forget_parsed() -> None:
    """Keep no document any more, until another one is parsed."""
    _LAST.get({}).clear()


def parsed(program: Program) -> Document:
    """Parse a whole `tokenizer.json`.

    Raises CorruptFileError where it is not JSON or not made like a tokenizer; the
    vocabulary and the merges are left for their readers to check.
    """
    last = _LAST.get(None)
    if last is None:
        return _document(_loaded(program))
    key = _key(program)
    if key not in last:
        last.clear()
        last[key] = _document(_loaded(program))
    return last[key]


def keep_parsed(program: bytes, root: Mapping[str, Any]) -> None:
    """Spare the parsing of a text that was written of these members.

    Raises as `parsed` does, within `parsing_once`; elsewhere nothing is kept.
    """
    last = _LAST.get(None)
    if last is not None:
        last.clear()
        last[_key(program)] = _document(root)


def _key(program: Program) -> tuple[int, int]:
    """Return what tells a text from others: to keep it takes more room."""
    return len(program), hash(program)


def _document(value: Any) -> Document:
    root = checked_object(value, "")
    added = root.get("added_tokens")
    if not isinstance(added, list | None):
        raise fault("added_tokens", f"{added!r:.80} found, a list expected")
    return Document(
        root,
        checked_object(root.get("model"), "model"),
        tuple(
            AddedToken.of(entry, f"added_tokens[{place}]")
            for place, entry in enumerate(added or ())
        ),
    )


_LAST: Final[ContextVar[dict[tuple[int, int], Document]]] = ContextVar("last")


def written(root: Mapping[str, Any]) -> bytes:
    """Return the bytes of a `tokenizer.json` with these members.

    Raises UnrepresentableError for a text that is not valid Unicode.
    """
    try:
        return orjson.dumps(root, default=_fragment)
    except TypeError:
        # What is slower knows longer numbers, and says which text is odd.
        return encoded(json.dumps(root, ensure_ascii=False, default=_plain))


def _fragment(value: Any) -> orjson.Fragment:
    """Return what is kept as columns in JSON, a part of them at a time."""
    if isinstance(value, Numbered):
        return orjson.Fragment(b"{%b}" % b",".join(map(_inner, value.blocks())))
    if isinstance(value, Rules):
        return orjson.Fragment(value.as_json())
    raise TypeError(value)


def _inner(values: Any) -> bytes:
    return orjson.dumps(values)[1:-1]


def _plain(value: Any) -> Any:
    return value.plain if isinstance(value, Numbered) else list(value)


def skimmed(program: Program) -> Document:
    """Parse a `tokenizer.json` without its vocabulary, where that can be left out.

    Files have the vocabulary last, and it is nearly all of them; one that has
    something else behind it is parsed whole.
    """
    program = encoded(program)
    found = _VOCAB.search(program)
    if found is None:
        return parsed(program)
    try:
        begin = program[: found.start()]
        document = _document(_loaded(begin + b'"vocab":{}}}'))
    except CorruptFileError:
        return parsed(program)
    return document if document.root.keys() >= _BEFORE_VOCAB else parsed(program)


def checked_object(value: Any, where: str) -> Mapping[str, Any]:
    """Return a value that has to be a JSON object."""
    if not isinstance(value, Mapping):
        raise fault(where, f"{value!r:.80} found, an object expected")
    return value


def fault(where: str, what: str) -> CorruptFileError:
    """Return the error for a place in the file."""
    return CorruptFileError(FILE, what, where=where)


def _loaded(program: Program) -> Any:
    try:
        text = program if isinstance(program, bytes) else program.encode()
        rest, found = cut_out(text, TOKENIZER)
        with suppress(ValueError):  # which says where in the rest it is
            root = orjson.loads(rest)
            model = root.get("model") if isinstance(root, dict) else None
            if put_back(model, found):
                return root
        return orjson.loads(text)
    except ValueError as error:
        raise CorruptFileError(FILE, f"this is not JSON: {error}") from error


def _steps(value: Any, part: str) -> Iterator[Mapping[str, Any]]:
    waiting = [] if value is None else [value]
    while waiting:
        step = checked_object(waiting.pop(), part)
        if not isinstance(step.get("type"), str):
            raise fault(part, f"{step!r:.80} found, a step with a type expected")
        if step["type"] != "Sequence":
            yield step
            continue
        inner = step.get(_PARTS[part])
        if not isinstance(inner, list):
            what = f"{step!r:.80} found, a sequence with {_PARTS[part]} expected"
            raise fault(part, what)
        waiting.extend(reversed(inner))
