"""A corpus: sequences to train on, and others to validate with."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from aprhub.corpus.encoding import refuse_outside
from aprhub.corpus.options import SequenceOptions
from aprhub.corpus.sequences import Sequences
from aprhub.corpus.shards import PARTS, Manifest
from aprhub.errors import InputError

_HASHES: Final = 1 << 64


@frozen
class Corpus:
    """Sequences to train on, and others to validate with: none, where not asked for.

    `folder` has the token ids; `manifest` says how many documents and tokens each part
    has.
    """

    train: Sequences
    validation: Sequences
    manifest: Manifest
    folder: Path

    @property
    def fingerprint(self) -> str:
        """A SHA-256 over all token ids: what a model can learn from."""
        return self.manifest.fingerprint


def part_of(document: str, options: SequenceOptions) -> str:
    """Return the part of a document: the same for equal ones, wherever they stand."""
    keyed = f"{options.seed} {document}".encode()
    digest = hashlib.blake2b(keyed, digest_size=8).digest()
    place = int.from_bytes(digest, "little") / _HASHES
    return PARTS[place < options.validation_fraction]


def corpus_of(
    sources: Sequence[Path],
    kept: tuple[Path, Manifest],
    options: SequenceOptions,
    *,
    marked: bool = False,
) -> Corpus:
    """Return the sequences of shards.

    Raises InputError where a part that is wanted fills none, ModelCheckError for ids
    that the model has not.
    """
    folder, manifest = kept
    named = ", ".join(map(str, sources))
    if not any(extent.documents for extent in manifest.parts.values()):
        raise InputError(named, _nothing(manifest))
    refuse_outside(manifest.largest, options.vocab_size)
    train, validation = (
        Sequences(manifest.tokens(folder, part), options.seq_len, marked)
        for part in PARTS
    )
    _refuse_short(named, PARTS[0], train, manifest)
    if options.validation_fraction:
        _refuse_short(named, PARTS[1], validation, manifest)
    return Corpus(train, validation, manifest, folder)


def _nothing(manifest: Manifest) -> str:
    if manifest.dropped:
        return (
            f"all {manifest.dropped} examples are too long; use longer sequences"
            " (--seq-len), or --too-long cut"
        )
    return "there is no text in it; add some"


def _refuse_short(named: str, part: str, found: Sequences, manifest: Manifest) -> None:
    if len(found):
        return
    extent = manifest.parts[part]
    what = (
        f"{extent.tokens} tokens in {extent.documents} documents for {part} are less"
        f" than one sequence, which needs {found.seq_len + 1}; add text, or use shorter"
        " sequences (--seq-len) or another validation fraction"
    )
    raise InputError(named, what)
