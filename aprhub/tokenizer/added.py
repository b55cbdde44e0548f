"""Tokens that the `tokenizer_config.json` of a folder adds to its `tokenizer.json`.

transformers adds them whenever it loads the folder (version 5.23, at the end of
`TokenizersBackend.__init__` in `tokenization_utils_tokenizers.py`), so that the model
has been trained with them. To a program that reads `tokenizer.json` alone they would be
plain text.
"""

from collections.abc import Iterator, Mapping
from itertools import count
from operator import itemgetter
from typing import Any, Final

from attrs import frozen

from aprhub.errors import CorruptFileError
from aprhub.ir.tokenizer import Program, encoded
from aprhub.tokenizer.columns import Numbered
from aprhub.tokenizer.document import Document, parsed, skimmed, written
from aprhub.tokenizer.special import ROLES

_CONFIG: Final = "tokenizer_config.json"
_DECODER: Final = "added_tokens_decoder"
_EXTRA: Final = ("additional_special_tokens", "extra_special_tokens")
_FLAGS: Final = ("single_word", "lstrip", "rstrip", "normalized", "special")
_SHOWN: Final = 5

Fields = Mapping[str, Any]


def completed_program(
    json: Program,
    tokenizer_config: Mapping[str, Any] | None,
    model_config: Mapping[str, Any] | None,
) -> tuple[bytes, tuple[str, ...]]:
    """Return a `tokenizer.json` with all tokens that transformers adds, and notes.

    Those are the tokens of `added_tokens_decoder`, whose flags count, and the special
    tokens with and without a role; one that the vocabulary does not know has the next
    id, unless the embedding of `config.json` has no row for that. The bytes are those
    that were given where nothing is missing. Raises CorruptFileError where a file says
    something of the wrong kind.
    """
    config, program = tokenizer_config or {}, encoded(json)
    known = {each["content"]: _flags(each) for each in _entries(skimmed(program))}
    changed = {
        content: flags
        for content, flags in _added(config, known).items()
        if known.get(content) != flags
    }
    if not changed:
        return program, ()
    return _Completion(parsed(program), changed, _rows(model_config)).result()


def added_entries(decoder: Any) -> list[dict[str, Any]]:
    """Return an `added_tokens_decoder` as the list in a `tokenizer.json`, by id.

    Raises CorruptFileError for anything but tokens by their ids.
    """
    try:
        entries = [
            {"id": int(number), "content": fields["content"], **_flags(fields)}
            for number, fields in (decoder or {}).items()
        ]
        if not all(map(_is_token, entries)):
            raise TypeError(_DECODER)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _wrong(_DECODER, decoder, "tokens by id") from error
    return sorted(entries, key=itemgetter("id"))


@frozen
class _Completion:
    """What is missing from a program; `rows` are those of the embedding, if known."""

    document: Document
    changed: Mapping[str, Fields]
    rows: int | None

    def result(self) -> tuple[bytes, tuple[str, ...]]:
        words = numbered(self.document)
        places = {**words, **{each.content: each.id for each in self.document.added}}
        new = [content for content in self.changed if content not in places]
        # As `tokenizers` numbers them: behind the vocabulary and what was added to it.
        first = max(len(words), *(each.id + 1 for each in self.document.added), 0)
        room = len(new) if self.rows is None else max(self.rows - first, 0)
        places.update(zip(new[:room], count(first), strict=False))
        entries = {each["content"]: each for each in _entries(self.document)}
        taken = [content for content in self.changed if content in places]
        for content in taken:
            named = {"id": places[content], "content": content}
            entries[content] = {**named, **self.changed[content]}
        listed = sorted(entries.values(), key=itemgetter("id"))
        root = {**self.document.root, "added_tokens": listed}
        return written(root), tuple(_notes(taken, new[room:]))


def numbered(document: Document) -> dict[str, int]:
    """Return the ids of the words in a vocabulary; what is no word has none."""
    vocabulary = document.model.get("vocab")
    if isinstance(vocabulary, list):
        return {
            entry[0]: number
            for number, entry in enumerate(vocabulary)
            if isinstance(entry, list) and entry and isinstance(entry[0], str)
        }
    if isinstance(vocabulary, Numbered):
        return vocabulary.plain
    if not isinstance(vocabulary, Mapping):
        return {}
    return {word: at for word, at in vocabulary.items() if type(at) is int}


def _entries(document: Document) -> list[Fields]:
    entries: list[Fields] = document.root.get("added_tokens") or []
    return entries


def _flags(fields: Fields, **others: bool) -> Fields:
    """Return all flags of a token; one that is special is not normalized by default."""
    said = {**fields, **others}
    default = {"normalized": not said.get("special")}
    return {key: said.get(key, default.get(key, False)) for key in _FLAGS}


def _added(config: Mapping[str, Any], known: Mapping[str, Fields]) -> dict[str, Fields]:
    """Return what is added or flagged anew, in the order in which that is done."""
    wanted = {
        each["content"]: _flags(each) for each in added_entries(config.get(_DECODER))
    }
    found = {
        content: flags
        for content, flags in wanted.items()
        if known.get(content) != flags
    }
    named = dict(_named(config))
    for content in named.keys() & found.keys():
        found[content] = {**found[content], "special": True}
    for content, flags in (*named.items(), *_extra(config)):
        if content not in known:
            found.setdefault(content, flags)
    return found


def _named(config: Mapping[str, Any]) -> Iterator[tuple[str, Fields]]:
    """Yield the tokens that have a role."""
    for role in ROLES:
        key = f"{role}_token"
        if config.get(key) is not None:
            yield _token(key, config[key])


def _extra(config: Mapping[str, Any]) -> Iterator[tuple[str, Fields]]:
    """Yield the special tokens that have none, or one of a model's own."""
    for key in _EXTRA:
        values = config.get(key) or ()
        if not isinstance(values, list | tuple | Mapping):
            raise _wrong(key, values, "a list of tokens")
        listed = values.values() if isinstance(values, Mapping) else values
        yield from (_token(key, each) for each in listed)


def _token(key: str, value: Any) -> tuple[str, Fields]:
    fields = value if isinstance(value, Mapping) else {"content": value}
    flags = _flags(fields, special=True)
    if not _is_token({**fields, **flags}):
        raise _wrong(key, value, "a token")
    return fields["content"], flags


def _is_token(entry: Fields) -> bool:
    flags = [entry[key] for key in _FLAGS]
    return isinstance(entry.get("content"), str) and set(map(type, flags)) == {bool}


def _rows(model_config: Mapping[str, Any] | None) -> int | None:
    config = model_config or {}
    text = config.get("text_config")
    scope = text if isinstance(text, Mapping) and "vocab_size" in text else config
    rows = scope.get("vocab_size")
    return rows if type(rows) is int else None


def _notes(taken: list[str], without_row: list[str]) -> Iterator[str]:
    if taken:
        yield (
            f"{_CONFIG} adds tokens to tokenizer.json, or flags them otherwise:"
            f" {_listed(taken)}; they are as transformers takes them"
        )
    if without_row:
        yield (
            f"{_CONFIG} names tokens that are neither in the vocabulary nor have a row"
            f" in the embedding: {_listed(without_row)}; they are left out"
        )


def _listed(contents: list[str]) -> str:
    more = len(contents) - _SHOWN
    shown = ", ".join(f"{content!r:.80}" for content in contents[:_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown


def _wrong(key: str, value: Any, expected: str) -> CorruptFileError:
    what = f"{value!r:.80} found, {expected} expected"
    repair = "correct it there"
    return CorruptFileError(_CONFIG, what, where=key, repair=repair)
