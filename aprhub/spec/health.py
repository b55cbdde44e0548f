"""What a format finds wrong with one of its files, and what would put it right."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from attrs import define, evolve, field, frozen

from aprhub.errors import AprhubError
from aprhub.spec.format import StoredModel

Mend = Callable[[StoredModel], StoredModel]
"""Returns a model with what it says, or how it stores it, put right."""

KEYS: Final = "DOC-KEYS-001"
KEY_TYPE: Final = "DOC-KEY-TYPE-001"
ARCHITECTURE_MISSING: Final = "DOC-ARCHITECTURE-MISSING-001"
ARCHITECTURE_WRONG: Final = "DOC-ARCHITECTURE-WRONG-001"
ARCHITECTURE_CLASS: Final = "DOC-ARCHITECTURE-CLASS-001"
SIZE_MISSING: Final = "DOC-SIZE-MISSING-001"
SIZE_WRONG: Final = "DOC-SIZE-WRONG-001"
VOCABULARY: Final = "DOC-VOCABULARY-001"
EMBEDDING_SWAPPED: Final = "DOC-EMBEDDING-SWAPPED-001"
TIED_HEAD: Final = "DOC-TIED-HEAD-001"
TOKENIZER_MISSING: Final = "DOC-TOKENIZER-MISSING-001"
TOKENIZER_PADDED: Final = "DOC-TOKENIZER-PADDED-001"
TOKENIZER_TWO: Final = "DOC-TOKENIZER-TWO-001"
QUANTIZATION_STALE: Final = "DOC-QUANTIZATION-STALE-001"
FLAGS: Final = "DOC-FLAGS-001"
FOOTER: Final = "DOC-FOOTER-001"
CHECKSUM: Final = "DOC-CHECKSUM-001"
ENCODING: Final = "DOC-ENCODING-001"
ROPE_TYPE: Final = "DOC-ROPE-TYPE-001"
MERGE_EFFECT: Final = "DOC-MERGE-EFFECT-001"
CORRUPT: Final = "DOC-CORRUPT-001"
UNSOUND: Final = "DOC-UNSOUND-001"
UNRUNNABLE: Final = "DOC-UNRUNNABLE-001"

RUNNABLE: Final = "C-APRHUB-MERGE-RUNNABLE"
LAYOUT: Final = "C-APRHUB-TENSOR-LAYOUT"
INTEROP: Final = "C-APRHUB-EXPORT-GGUF-INTEROP"
PACKAGING: Final = "C-APRHUB-CHECKPOINT-PACKAGING"
FIDELITY: Final = "C-APRHUB-MERGE-OUTPUT-FIDELITY"
ROUND_TRIP: Final = "C-APRHUB-FORMAT-ROUNDTRIP"
"""The contracts that findings are about."""


UNDECIDED: Final = (
    "nothing tells whether the bytes or the checksum changed; get the file again from"
    " where it came, or take its bytes as right with --trust-bytes"
)
"""The obstacle of a checksum that is wrong."""


@frozen
class Finding:
    """One thing that is wrong with a file.

    `where` is the key, the tensor or the part of the file; `evidence` says what in
    the file shows which of the two, `found` or `expected`, is right. `mend` repairs
    it; with an `obstacle`, which says why nothing may and what the user can do, it
    only lets other examinations go on. `covers` are the subjects of faults that
    follow from it and say nothing new.
    """

    id: str
    where: str
    found: str
    expected: str
    contract: str
    evidence: str = ""
    obstacle: str = ""
    covers: tuple[str, ...] = ()
    mend: Mend | None = field(default=None, eq=False, repr=False)

    @property
    def is_mendable(self) -> bool:
        """Whether the file has what it takes to repair this."""
        return self.mend is not None and not self.obstacle


def rewritten(stored: StoredModel) -> StoredModel:
    """Return the model as it is: the mend of what is right as soon as it is written."""
    return stored


@frozen
class Dispute:
    """Several values that a file gives for one field of the configuration.

    `where` names the keys; `field` is empty where they mean nothing to the hub.
    """

    where: str
    values: tuple[Any, ...]
    field: str = ""


@define
class Complaints:
    """What a reader says about a file: errors, or findings where it is `lenient`."""

    lenient: bool = False
    findings: list[Finding] = field(factory=list)
    disputes: list[Dispute] = field(factory=list)

    def note(self, finding: Finding) -> None:
        """Keep what is wrong and no reason to stop, lenient or not."""
        self.findings.append(finding)

    def forgive(self, error: AprhubError, found: Finding | Dispute) -> None:
        """Raise the error, or when lenient keep what was found in its place."""
        if not self.lenient:
            raise error
        if isinstance(found, Dispute):
            self.disputes.append(found)
        else:
            self.findings.append(found)


@frozen
class Examined:
    """A file as its format reads it when it forgives what it can.

    A field in dispute is None in the model.
    """

    stored: StoredModel
    findings: Sequence[Finding] = ()
    disputes: Sequence[Dispute] = ()


def meant_number(value: Any) -> Any:
    """Return the number that a text or a float without a fraction stands for."""
    if isinstance(value, str):
        text = value.strip()
        if text.isdecimal():
            return int(text)
        try:
            return float(text)
        except ValueError:
            return value
    whole = isinstance(value, float) and value.is_integer()
    return int(value) if whole else value


def without_checksums(stored: StoredModel) -> StoredModel:
    """Return the model whose bytes are taken as they are: they get new checksums."""
    return evolve(stored, checksums=())


def mistyped(where: str, found: str, value: Any) -> Finding:
    """Return the finding of a number that is stored as something else."""
    return Finding(
        KEY_TYPE,
        where,
        found,
        f"{value}",
        RUNNABLE,
        "the value has one meaning as a number",
        mend=rewritten,
    )


def respelled(keys: Sequence[str], expected: str, value: Any) -> Finding:
    """Return the finding of a field that is said under a key too many, or another."""
    listed = ", ".join(dict.fromkeys(keys))
    times = f"said {len(keys)} times" if len(keys) > 1 else "a key that others ignore"
    return Finding(
        KEYS,
        listed,
        f"{times} ({value})",
        f"{expected} once",
        RUNNABLE,
        "no two of them disagree",
        mend=rewritten,
    )
