"""Adapters that bring new tokens, or another template: a tokenizer of their own."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from attrs import evolve

from aprhub.adapters.parts import Parts
from aprhub.adapters.rows import row_count
from aprhub.errors import Fault, ModelCheckError
from aprhub.ir.adapter import Adapter
from aprhub.ir.model import EMBEDDING, HEAD, ModelIR
from aprhub.ir.tokenizer import Tokenizer
from aprhub.spec.adapter import AdapterPart, StoredAdapter
from aprhub.tokens import Lexicon

_BESIDE: Final = "put the tokenizer.json beside it that it was trained with"


def grown_rows(groups: Mapping[str, Parts], model: ModelIR) -> int | None:
    """Return how many rows an adapter gives the embedding, if more than the base."""
    before = model.tensors[EMBEDDING].shape[0]
    rows = _rows(groups.get(EMBEDDING, {}), before)
    return rows if rows > before else None


def _rows(parts: Parts, before: int) -> int:
    """Return how many rows a matrix has after all that an adapter has for it."""
    whole, single = parts.get(AdapterPart.WHOLE), parts.get(AdapterPart.ROWS)
    if whole and len(whole.tensor.shape) == 2:
        before = whole.tensor.shape[0]
    return max(before, *(each + 1 for each in single.told.rows)) if single else before


def grows(adapter: Adapter, model: ModelIR) -> bool:
    """Return whether an adapter gives the embedding of its base more rows."""
    return row_count(adapter, EMBEDDING) > model.tensors[EMBEDDING].shape[0]


def missing_head(
    groups: Mapping[str, Parts], model: ModelIR, rows: int
) -> Iterator[Fault]:
    """Yield what is wrong where the embedding grows and the head does not."""
    if HEAD in model.tensors:
        before = model.tensors[HEAD].shape[0]
        if _rows(groups.get(HEAD, {}), before) < rows:
            what = f"the adapter has an embedding of {rows} rows and no head, which has"
            repair = "save the adapter together with its head"
            yield Fault(HEAD, f"{what} {before} in the base", repair)


def _grown_tokenizer(stored: StoredAdapter, model: ModelIR, rows: int) -> Tokenizer:
    """Return the base's tokenizer with the tokens of the one beside the adapter.

    Raises ModelCheckError where that is missing, gives a token of the base another id,
    or has no token for a new row.
    """
    given, own = stored.container.tokenizer, model.tokenizer
    before = model.tensors[EMBEDDING].shape[0]
    if given is None or not given.has_json or own is None:
        raise ModelCheckError(
            stored.path,
            f"it gives the embedding {rows} rows instead of {before}, and no"
            " tokenizer.json beside it says what the new tokens are; put the one there"
            " that it was trained with",
        )
    new = range(before, rows)
    grown = _with_program(own, given, new)
    grown = evolve(grown, chat_template=given.chat_template or own.chat_template)
    faults = [*_token_faults(stored.path, model, grown, new)]
    if faults:
        what = "its tokenizer does not go with its embedding and the base"
        raise ModelCheckError(stored.path, what, faults)
    return grown


def own_tokenizer(
    stored: StoredAdapter, model: ModelIR, grown: int | None
) -> tuple[Tokenizer | None, str]:
    """Return the tokenizer that an adapter was trained with, and what is new in it.

    That is None where the one beside it, if any, has no token or template that the
    base's has not. `grown` is how many rows the embedding gets, if more than it has:
    then it has to be there. Raises ModelCheckError where it gives a token of the base
    another id, or has one without a row.
    """
    if grown:
        return _grown_tokenizer(stored, model, grown), ""
    given, own = stored.container.tokenizer, model.tokenizer
    if given is None or not given.has_json or own is None:
        return None, ""
    found, news = own, []
    new = _new_tokens(stored.path, model, own, given)
    if new:
        found = _with_program(own, given, {*new.values()})
        news.append(f"{len(new)} more tokens, such as {next(iter(new))!r:.40}")
    template = given.chat_template
    if template is not None and template != own.chat_template:
        found = evolve(found, chat_template=template)
        news.append("another chat template" if own.chat_template else "a chat template")
    return (found if news else None), " and ".join(news)


def _with_program(own: Tokenizer, given: Tokenizer, new: Collection[int]) -> Tokenizer:
    """Return a tokenizer with another's program, and with the roles of new tokens."""
    roles = {
        role: number for role, number in given.special_ids.items() if number in new
    }
    ids = {**own.special_ids, **roles}
    return evolve(own, json=given.program, flat=None, skeleton=None, special_ids=ids)


def _new_tokens(
    path: Path, model: ModelIR, own: Tokenizer, given: Tokenizer
) -> dict[str, int]:
    """Return the tokens that a tokenizer has and the base's has not, with their ids."""
    if given.program == own.program:
        return {}
    here, there = (_lexicon(path, model, each) for each in (own, given))
    rows = model.tensors[EMBEDDING].shape[0]
    new = {
        token: number
        for token, number in there.ids.items()
        if here.ids.get(token) != number
        # Some tokenizers list special tokens of a larger sibling, which have no row.
        and (number < rows or not there.added.get(token, {}).get("special"))
    }
    faults = [*_contradictions(here, there), *_rowless(new, rows)]
    if faults:
        what = (
            "the tokenizer beside it is not for this base; take it out of the folder if"
            " the base's is right"
        )
        raise ModelCheckError(path, what, faults)
    return new


def _contradictions(here: Lexicon, there: Lexicon) -> Iterator[Fault]:
    """Yield the tokens of a base that have another id, or none."""
    for token, number in here.ids.items():
        found = there.ids.get(token)
        # One that was added may have been given another name.
        renamed = found is None and token in here.added
        if found != number and not renamed:
            yield _moved(token, number, found)


def _rowless(new: Mapping[str, int], rows: int) -> Iterator[Fault]:
    repair = "train the embedding along, or resize it as it was in training"
    for token, number in new.items():
        if number >= rows:
            what = f"has id {number}, of {rows} rows"
            yield Fault(f"token {token!r:.40}", what, repair)


def _lexicon(path: Path, model: ModelIR, tokenizer: Tokenizer) -> Lexicon:
    """Return the tokens of a tokenizer, with a row in a model's embedding or not."""
    config = evolve(model.config, vocab_size=None)
    return Lexicon.of(path, evolve(model, config=config, tokenizer=tokenizer))


def _token_faults(
    path: Path, model: ModelIR, grown: Tokenizer, new: range
) -> Iterator[Fault]:
    config = evolve(model.config, vocab_size=new.stop)
    found = Lexicon.of(path, evolve(model, config=config, tokenizer=grown)).ids
    for token, number in Lexicon.of(path, model).ids.items():
        if found.get(token) != number:
            yield _moved(token, number, found.get(token))
    untold = {*new} - {*found.values()}
    if untold:
        what = f"{len(untold)} of {len(new)} new rows have no token"
        yield Fault(EMBEDDING, f"{what}, the first is {min(untold)}", _BESIDE)


def _moved(token: str, before: int, after: int | None) -> Fault:
    there = "no id" if after is None else after
    return Fault(
        f"token {token!r:.40}", f"id {before} in the base, {there} there", _BESIDE
    )
