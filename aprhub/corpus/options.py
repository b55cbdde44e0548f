"""What a user may ask of training data."""

from pathlib import Path
from typing import Final

from attrs import field, frozen

from aprhub.errors import UsageError

TOO_LONG: Final = ("drop", "cut")
"""What can be done with an example that is longer than a sequence."""


@frozen
class SequenceOptions:
    """What training data of all kinds has.

    A sequence has `seq_len` inputs and as many targets. `validation_fraction` of the
    documents, chosen by their hash and `seed`, are kept apart. Token ids are kept in a
    folder below `cache`; None means the user's cache folder. `vocab_size` is how many
    ids the model has; None checks none.
    """

    seq_len: int
    validation_fraction: float = field(default=0.05, kw_only=True)
    seed: int = field(default=0, kw_only=True)
    cache: Path | None = field(default=None, kw_only=True)
    vocab_size: int | None = field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.seq_len <= 0:
            raise UsageError(f"seq_len is {self.seq_len}; give 1 or more")
        if not 0 <= self.validation_fraction < 1:
            raise UsageError(
                f"validation_fraction is {self.validation_fraction}; give a share from"
                " 0 to below 1"
            )


@frozen
class CorpusOptions(SequenceOptions):
    """How texts become sequences.

    `text_key` is the key or column of the text in JSONL and Parquet files. `separator`
    is the token that ends a document; None is the model's end of text.
    """

    text_key: str = field(default="text", kw_only=True)
    separator: str | None = field(default=None, kw_only=True)


@frozen
class ChatOptions(SequenceOptions):
    """How conversations become sequences.

    `too_long` says what happens to one that fills more than a sequence: it is dropped,
    or cut at the end. With `packed`, a sequence has as many as fit; else it has one.
    """

    too_long: str = field(default="drop", kw_only=True)
    packed: bool = field(default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Refuse what makes no sense."""
        super().__attrs_post_init__()
        if self.too_long not in TOO_LONG:
            listed = " or ".join(TOO_LONG)
            raise UsageError(f"too_long is {self.too_long!r}; choose {listed}")
