"""How two canonical models differ, found without the code that wrote them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from attrs import fields

from aprhub.api import ModelIR, Provenance, Tensor, Tokenizer
from aprhub.ir.casting import widens


def differences(model: ModelIR, found: ModelIR) -> list[str]:
    """Return a line for everything that a model lost or changed on the way.

    Tensors must have the same bytes, or the same values in a wider encoding, or be
    the decoded values of a quantised one. What the found model has besides is fine,
    but for tensors.
    """
    return [
        *_tensors(model.tensors, found.tensors),
        *_config(model, found),
        *_tokenizer(model.tokenizer, found.tokenizer),
        *_sampling(model, found),
        *_provenance(model.provenance, found.provenance),
        *_carried(model.carried, found.carried),
    ]


def _tensors(
    before: Mapping[str, Tensor], after: Mapping[str, Tensor]
) -> Iterator[str]:
    for name in sorted(before.keys() ^ after.keys()):
        yield f"{name}: {'lost' if name in before else 'appeared'}"
    for name in sorted(before.keys() & after.keys()):
        one, other = before[name], after[name]
        if one.shape != other.shape:
            yield f"{name}: shape {one.shape} became {other.shape}"
        elif not _same_values(one, other):
            yield f"{name}: {one.encoding.name} became other {other.encoding.name}"


def _same_values(one: Tensor, other: Tensor) -> bool:
    if one.encoding == other.encoding:
        return one.tobytes() == other.tobytes()
    if not other.encoding.is_plain:
        return False
    if one.encoding.is_quantized:
        return one.cast(other.encoding).tobytes() == other.tobytes()
    wide = widens(one.encoding, other.encoding)
    same = one.numpy().astype(np.float64) == other.numpy().astype(np.float64)
    return wide and bool(np.all(same))


def _config(model: ModelIR, found: ModelIR) -> Iterator[str]:
    before, after = model.config.known(), found.config.known()
    for name in sorted(before.keys() - {"identity", "extra"}):
        if not _same_number(before[name], after.get(name)):
            yield f"config {name}: {before[name]} became {after.get(name)}"


def _same_number(one: Any, other: Any) -> bool:
    """Compare values; floats as f32, as which most files store them."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(_same_number(value, other.get(key)) for key, value in one.items())
    if isinstance(one, float) and isinstance(other, int | float):
        return bool(np.float32(one) == np.float32(other))
    return bool(one == other)


def _tokenizer(one: Tokenizer | None, other: Tokenizer | None) -> Iterator[str]:
    if one is None or other is None:
        if one is not other:
            yield "tokenizer: only one of both has one"
        return
    before, after = tokens(one), tokens(other)
    if after[: len(before)] != before:
        yield f"tokenizer: {len(before)} tokens became other {len(after)}"
    for role, number in one.special_ids.items():
        if other.special_ids.get(role) != number:
            yield f"tokenizer {role}: {number} became {other.special_ids.get(role)}"
    for name in ("add_bos", "add_eos", "chat_template"):
        if getattr(one, name) != getattr(other, name):
            yield f"tokenizer {name}: {getattr(one, name)!r} became another"


def tokens(tokenizer: Tokenizer) -> list[str]:
    """Return the tokens by id, from whichever form there is."""
    if tokenizer.flat is not None:
        return list(tokenizer.flat.tokens)
    program = json.loads(tokenizer.json or "{}")
    numbers = dict(program["model"]["vocab"])
    numbers |= {each["content"]: each["id"] for each in program["added_tokens"]}
    return sorted(numbers, key=lambda text: int(numbers[text]))


def _sampling(model: ModelIR, found: ModelIR) -> Iterator[str]:
    before, after = model.sampling.known(), found.sampling.known()
    for name in model.sampling.differing(found.sampling):
        yield f"sampling {name}: {before[name]} became {after.get(name)}"


def _provenance(one: Provenance, other: Provenance) -> Iterator[str]:
    for name in (each.name for each in fields(Provenance)):
        before, after = getattr(one, name), getattr(other, name)
        if before and before != after:
            yield f"provenance {name}: {before!r} became {after!r}"


def _carried(
    before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    for world, keys in before.items():
        for key, value in keys.items():
            found = after.get(world, {}).get(key)
            if found != value:
                yield f"carried {world} {key}: {value!r} became {found!r}"
