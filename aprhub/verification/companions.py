"""Companions: configuration, tokenizer, chat template and metadata of a target."""

from collections.abc import Iterator
from typing import Any

from aprhub.difference import differing
from aprhub.ir.model import ModelIR
from aprhub.ir.tokenizer import Tokenizer
from aprhub.tokenizer import PROBES, same_ids
from aprhub.verification.verdict import Finding


def companion_findings(source: ModelIR, found: ModelIR) -> Iterator[Finding]:
    """Yield what is wrong with all that is no tensor."""
    yield from _config(source, found)
    if source.tokenizer is not None:
        yield from _tokenizer(source.tokenizer, found.tokenizer)


def _config(source: ModelIR, found: ModelIR) -> Iterator[Finding]:
    for name, (left, right) in differing(source.config, found.config).items():
        cause = {"family": "architecture", "rope_scaling": "rope factors"}
        detail = f"{_shown(left)} became {_shown(right)}"
        yield Finding(name, cause.get(name, "config"), detail)
    scaling = source.config.rope_scaling
    if scaling is not None and found.config.rope_scaling is None:
        what = f"the source scales them ({scaling.kind}), the target has no factors"
        yield Finding("rope_scaling", "rope factors", what)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        value = {name: each for name, each in value.items() if each is not None}
    return f"{value!r:.120}"


def _tokenizer(source: Tokenizer, found: Tokenizer | None) -> Iterator[Finding]:
    if found is None:
        yield Finding("tokenizer", "tokenizer", "the target has none")
        return
    ids = next(iter(same_ids(source, found, PROBES)), None)
    if ids:
        yield Finding("tokenizer", "tokenizer", ids)
    for name, number in source.special_ids.items():
        other = found.special_ids.get(name)
        if other != number:
            yield Finding(name, "special ids", f"{number} became {other}")
    if source.chat_template != found.chat_template:
        before, after = source.chat_template, found.chat_template
        yield Finding("chat template", "chat template", _parting(before, after))


def _parting(before: str | None, after: str | None) -> str:
    """Say where two texts part."""
    if before is None or after is None:
        return "the target has none" if before else "the source has none"
    pairs = zip(before, after, strict=False)
    unequal = (place for place, (a, b) in enumerate(pairs) if a != b)
    place = next(unequal, min(len(before), len(after)))
    left, right = (each[place : place + 20] for each in (before, after))
    return f"from character {place} on {left!r} became {right!r}"


def metadata_kept(source: ModelIR, found: ModelIR) -> tuple[int, tuple[str, ...]]:
    """Count the keys without a canonical meaning that are kept, and name the others."""
    keys = [
        (world, key, value)
        for world, values in source.carried.items()
        for key, value in values.items()
    ]
    lost = tuple(
        f"{world}: {key}"
        for world, key, value in keys
        if found.carried.get(world, {}).get(key) != value
    )
    return len(keys) - len(lost), lost
