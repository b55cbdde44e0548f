"""What a verification finds: a verdict on each tensor, and causes of what is wrong."""

from collections import Counter
from typing import Any, Final

from attrs import asdict, frozen

CAUSES: Final = {
    "transposed": "rows and columns exchanged",
    "permuted": "the rows in another order",
    "offset": "one added to the values, or taken off",
    "tied": "a head taken for the embedding, or the other way round",
    "padded": "rows more or fewer than the source has",
    "cast": "rounded to a float that nobody asked for",
    "requantised": "decoded from blocks, or encoded a second time",
    "scaled": "all values multiplied by one number",
    "swapped": "the values of another tensor",
    "experts": "experts in another order",
    "bias": "a bias that is gone, or all zeros",
    "constant": "the same value everywhere",
    "not finite": "infinities or NaNs that the source has not",
    "rounding": "values off by no more than rounding",
    "values": "other values, for no reason that is known here",
    "different": "other bytes; the cause was not, or could not be, looked for",
    "bytes": "the same values, but not the same bytes",
    "shape": "another shape",
    "missing": "not in the target",
    "added": "not in the source",
    "architecture": "another family",
    "config": "another value in the configuration",
    "rope factors": "the scaling of rotary frequencies",
    "tokenizer": "other ids for the same text",
    "special ids": "another id for a special token",
    "chat template": "another text",
    "unreadable": "the target cannot be brought into canonical form",
    "logits": "other logits than the source's",
}
"""The causes that a finding may name, and what each means."""

FAITHFUL: Final = {
    "named": "name and shape compared, no more",
    "equal": "the same encoded bytes, or values",
    "widened": "another encoding, every value equal",
    "rounded": "cast to a float that was asked for",
    "encoded": "the bytes that the codec makes of the source",
    "bounded": "quantised by another encoder, within the bound of the type",
    "copy": "a head that is a copy of the embedding, of a model that is tied",
}
"""The outcomes of a tensor in which nothing is wrong, and what each means."""


@frozen
class Finding:
    """One way in which the target is not the source.

    `subject` is the canonical name of a tensor, or what else is concerned; `cause` is
    one of CAUSES, and `detail` what was found.
    """

    subject: str
    cause: str
    detail: str

    def __str__(self) -> str:
        """Return the finding as one line."""
        return f"{self.subject}: {self.cause} ({self.detail})"


@frozen
class TensorVerdict:
    """How one tensor of the target came out: an outcome of FAITHFUL, or a cause."""

    name: str
    encodings: tuple[str, str]
    outcome: str
    detail: str = ""


@frozen
class LogitsVerdict:
    """How far the logits of both are apart on the probes.

    `difference` is the largest, or where narrow weights are run by another program that
    of the median position, relative to the spread of the expected ones; it must not
    exceed `tolerance`. `same_choices` is the share of positions at which both prefer
    the same token. `expected` and `found` name the programs that computed them.
    """

    expected: str
    found: str
    difference: float
    same_choices: float
    tolerance: float

    def __str__(self) -> str:
        """Return the distance as one line."""
        apart = f"{self.difference:.3g} of their spread, {self.tolerance:g} allowed"
        alike = f"{self.same_choices:.1%} of choices alike"
        return f"{self.found}'s are off {self.expected}'s by {apart}; {alike}"


@frozen
class Verification:
    """Whether `target` is a faithful conversion of `source`, judged at a level.

    `kept` counts the metadata keys without a canonical meaning that the target still
    has, and `lost` names the others; they change no number that a model computes.
    """

    source: str
    target: str
    level: str
    tensors: tuple[TensorVerdict, ...]
    findings: tuple[Finding, ...]
    kept: int = 0
    lost: tuple[str, ...] = ()
    logits: tuple[LogitsVerdict, ...] = ()

    @property
    def is_faithful(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def counts(self) -> Counter[str]:
        """Count the tensors by how they came out."""
        return Counter(each.outcome for each in self.tensors)

    def as_json(self) -> dict[str, Any]:
        """Return the verdict as JSON-like data."""
        return {"schema": 1, "faithful": self.is_faithful, **asdict(self)}
