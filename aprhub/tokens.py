"""The tokens of a model by their ids: those that have a row in its embedding."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from aprhub.errors import ModelCheckError
from aprhub.ir.model import ModelIR


@frozen
class Lexicon:
    """The tokens of a model: ids, and how those beside the model are matched."""

    ids: Mapping[str, int]
    added: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, path: Path, model: ModelIR) -> "Lexicon":
        """Return the tokens that have a row in the model's embedding.

        Raises ModelCheckError for a model without a tokenizer.
        """
        from aprhub.tokenizer.assembling import program_of
        from aprhub.tokenizer.document import parsed
        from aprhub.tokenizer.placing import is_fill, placed

        if model.tokenizer is None:
            raise ModelCheckError(
                path,
                "has no tokenizer, so that no token is known; give the model one with"
                " 'aprhub stamp --tokenizer'",
            )
        document = parsed(program_of(model.tokenizer))
        found = placed(document)
        empty = {*found.fill.tolist()}
        rows = model.config.vocab_size or len(found.tokens)
        ids = {
            token: number
            for number, token in enumerate(found.tokens[:rows])
            if number not in empty and not is_fill(token, number)
        }
        entries = document.root.get("added_tokens") or ()
        added = {each["content"]: each for each in entries if each["content"] in ids}
        return cls(ids, added)
