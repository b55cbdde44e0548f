"""Whether the two forms of one tokenizer agree."""

from collections.abc import Iterable, Iterator
from itertools import islice, zip_longest
from typing import Final

from attrs import evolve

from aprhub.errors import Fault, ModelCheckError
from aprhub.ir.texts import as_texts
from aprhub.ir.tokenizer import Tokenizer
from aprhub.tokenizer.document import parsed
from aprhub.tokenizer.fitting import SUBJECT
from aprhub.tokenizer.flattening import flattened
from aprhub.tokenizer.merges import pairs_of
from aprhub.tokenizer.placing import is_fill, model_ids

_SHOWN: Final = 5
_REPAIR: Final = "give the model the right one with 'aprhub stamp --tokenizer DIR'"


def refuse_broken_program(
    before: Tokenizer, after: Tokenizer, rows: int | None
) -> None:
    """Raise if a `tokenizer.json` that is passed on contradicts itself or the model.

    `before` is the source's tokenizer and `after`, which has such a text, the target's,
    for an embedding of `rows` rows. Of a text that the flat vocabulary was made from,
    only the merge rules are left to be looked through; one that stood beside it has to
    name the same tokens and merge rules. Raises what `flattened` does, and
    ModelCheckError.
    """
    if after.flat is not None and before.flat is None:
        if after.program is not None and after.flat.merges is not None:
            document = parsed(after.program)
            pairs_of(document, model_ids(document))
        return
    found = list(islice(disagreements(before, after, rows), _SHOWN))
    if found:
        raise ModelCheckError(
            SUBJECT, "its lists and its tokenizer.json are of two vocabularies", found
        )


def disagreements(
    lists: Tokenizer, program: Tokenizer, rows: int | None
) -> Iterator[Fault]:
    """Yield where the lists of one tokenizer and the program of another differ.

    Lists that were not given a program agree with the one that is made of them. Raises
    what `flattened` does.
    """
    read = flattened(evolve(program, flat=None), rows).flat
    listed = flattened(lists, rows).flat if lists.has_json else None
    if read and listed:
        if listed.tokens != read.tokens:
            both = map(_without_fill, (listed.tokens, read.tokens))
            yield from _differences("token", *both)
        rules = [as_texts(each.merges or ()) for each in (listed, read)]
        if rules[0] != rules[1]:
            yield from _differences("merge rule", *rules)


def _without_fill(tokens: Iterable[str]) -> Iterator[str | None]:
    """Yield tokens, None for those that only fill an id: writers name them freely."""
    for number, token in enumerate(tokens):
        yield None if is_fill(token, number) else token


def _differences(
    what: str, listed: Iterable[str | None], read: Iterable[str | None]
) -> Iterator[Fault]:
    for number, (one, other) in enumerate(zip_longest(listed, read)):
        if one != other:
            yield Fault(
                f"{what} {number}",
                f"{_shown(one)} in the lists, {_shown(other)} in the tokenizer.json",
                _REPAIR,
            )


def _shown(entry: str | None) -> str:
    return "nothing" if entry is None else f"{entry!r:.80}"
