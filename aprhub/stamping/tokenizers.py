"""The tokenizer of a folder or of another model, in the form that a format needs."""

from pathlib import Path

from aprhub import detect
from aprhub.errors import UnrepresentableError, UsageError
from aprhub.ir.tokenizer import Tokenizer
from aprhub.registry import Registry
from aprhub.tokenizer import assembled, flattened, read_folder
from aprhub.tokenizer.folders import PROGRAM


def tokenizer_of(
    path: Path, form: str | None, rows: int | None, registry: Registry
) -> Tokenizer:
    """Return the tokenizer at a path: a folder, a `tokenizer.json`, or a model.

    `rows` is how many the embedding has. Raises UsageError for a model without one.
    """
    if form is None:
        raise UnrepresentableError(
            path, "the format has no place for a tokenizer; leave --tokenizer out"
        )
    found = _read(path, registry)
    return assembled(found) if form == "json" else flattened(found, rows)


def _read(path: Path, registry: Registry) -> Tokenizer:
    if path.is_dir():
        return read_folder(path)
    if path.name == PROGRAM:
        return read_folder(path.parent)
    tokenizer = detect.identify(path, registry).opened(path).tokenizer
    if tokenizer is None:
        raise UsageError(f"{path}: the model has no tokenizer; name one that has")
    return tokenizer
