"""What is said of a lowering besides the fate of each tensor."""

from collections import Counter
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Final

from aprhub.ir.encoding import FLAT
from aprhub.ir.importance import Importance
from aprhub.ir.tokenizer import Tokenizer
from aprhub.lift import Lifted
from aprhub.registry import Registry
from aprhub.report import TensorFate

_BY: Final = {"decoded": attrgetter("source"), "quantised": attrgetter("encoder")}
"""What is done to blocks, and the attribute of a codec that names who does it."""


def remarks(
    fates: Sequence[TensorFate],
    lifted: Lifted,
    tokenizer: Tokenizer | None,
    registry: Registry,
) -> tuple[str, ...]:
    """Return what was lost or left to others, and whose arithmetic was at work.

    `tokenizer` is that of the lowered model.
    """
    return (
        *_requantized(fates),
        *_unweighed(fates, lifted.importance),
        *_arithmetic(fates, registry),
        *_unsaid(lifted.model.tokenizer, tokenizer),
    )


def _requantized(fates: Sequence[TensorFate]) -> Iterator[str]:
    """Say which encodings were decoded to be quantised again, which loses twice."""
    pairs = Counter(
        (fate.stored_encoding, fate.encoding)
        for fate in fates
        if {"decoded", "quantised"} <= {step.split(" ")[0] for step in fate.steps}
    )
    for (before, after), count in sorted(pairs.items()):
        yield f"requantised: {count} tensors were decoded from {before} to {after}"


def _unweighed(fates: Sequence[TensorFate], given: Importance | None) -> Iterator[str]:
    """Say which tensors an importance matrix had no part in, and why."""
    made = [
        fate
        for fate in fates
        if given and any(step.startswith("quantised") for step in fate.steps)
    ]
    known = given.entries if given else {}
    missing = dict.fromkeys(e.target for e in made if e.canonical not in known)
    if given and missing:
        listed = ", ".join(missing)
        yield f"importance: {given.path} has none of {listed}; quantised without"
    flat = dict.fromkeys(fate.target for fate in made if fate.encoding in FLAT)
    if flat:
        names, listed = " and ".join(FLAT), ", ".join(flat)
        yield f"importance: {names} take none; {listed} quantised without"


def _arithmetic(fates: Sequence[TensorFate], registry: Registry) -> Iterator[str]:
    """Say whose arithmetic decodes and encodes blocks: installations differ."""
    found: dict[str, list[str]] = {}
    for step in sorted({step for fate in fates for step in fate.steps}):
        words = step.split(" ")
        verb, name = words[0], words[-1]
        codec = registry.codec(name) if verb in _BY else None
        if codec:
            found.setdefault(f"{verb} by {_BY[verb](codec)}", []).append(name)
    for done, names in found.items():
        yield f"{', '.join(names)} {done}"


def _unsaid(before: Tokenizer | None, after: Tokenizer | None) -> Iterator[str]:
    """Say what the form of a tokenizer that was made of the other has or lacks."""
    if before is None or after is None or after.flat is None:
        return
    from aprhub.tokenizer.unsaid import guessed, unsaid

    if before.flat is None:
        yield from unsaid(after)
    elif after.has_json and not (before.has_json or before.skeleton):
        yield from guessed(after.flat)
