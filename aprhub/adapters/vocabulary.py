"""Adapters that bring new tokens: an embedding with more rows, and its tokenizer."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from attrs import evolve

from aprhub.adapters.parts import Parts
from aprhub.errors import Fault, ModelCheckError
from aprhub.ir.model import EMBEDDING, HEAD, ModelIR
from aprhub.ir.tokenizer import Tokenizer
from aprhub.spec.adapter import AdapterPart, StoredAdapter
from aprhub.tokens import Lexicon

_BESIDE: Final = "put the tokenizer.json beside it that it was trained with"


def grown_rows(groups: Mapping[str, Parts], model: ModelIR) -> int | None:
    """Return how many rows an adapter gives the embedding, if more than the base."""
    whole = groups.get(EMBEDDING, {}).get(AdapterPart.WHOLE)
    if whole is None or len(whole.tensor.shape) != 2:
        return None
    rows = whole.tensor.shape[0]
    return rows if rows > model.tensors[EMBEDDING].shape[0] else None


def missing_head(
    groups: Mapping[str, Parts], model: ModelIR, rows: int
) -> Iterator[Fault]:
    """Yield what is wrong where the embedding grows and the head does not."""
    if HEAD in model.tensors and AdapterPart.WHOLE not in groups.get(HEAD, {}):
        before = model.tensors[HEAD].shape[0]
        what = f"the adapter has an embedding of {rows} rows and no head, which has"
        repair = "save the adapter together with its head"
        yield Fault(HEAD, f"{what} {before} in the base", repair)


def grown_tokenizer(stored: StoredAdapter, model: ModelIR, rows: int) -> Tokenizer:
    """Return the base's tokenizer with the tokens of the one beside the adapter.

    Raises ModelCheckError where that is missing, gives a token of the base another id,
    or has no token for a new row.
    """
    given, own = stored.container.tokenizer, model.tokenizer
    before = model.tensors[EMBEDDING].shape[0]
    if given is None or given.json is None or own is None:
        raise ModelCheckError(
            stored.path,
            f"it gives the embedding {rows} rows instead of {before}, and no"
            " tokenizer.json beside it says what the new tokens are; put the one there"
            " that it was trained with",
        )
    grown = evolve(
        own,
        json=given.json,
        flat=None,
        skeleton=None,
        chat_template=given.chat_template or own.chat_template,
    )
    faults = [*_token_faults(stored.path, model, grown, range(before, rows))]
    if faults:
        what = "its tokenizer does not go with its embedding and the base"
        raise ModelCheckError(stored.path, what, faults)
    return grown


def _token_faults(
    path: Path, model: ModelIR, grown: Tokenizer, new: range
) -> Iterator[Fault]:
    config = evolve(model.config, vocab_size=new.stop)
    found = Lexicon.of(path, evolve(model, config=config, tokenizer=grown)).ids
    for token, number in Lexicon.of(path, model).ids.items():
        if found.get(token) != number:
            what = f"id {number} in the base, {found.get(token, 'no id')} there"
            yield Fault(f"token {token!r:.40}", what, _BESIDE)
    untold = {*new} - {*found.values()}
    if untold:
        what = f"{len(untold)} of {len(new)} new rows have no token"
        yield Fault(EMBEDDING, f"{what}, the first is {min(untold)}", _BESIDE)
