"""Hashes of a canonical model: equal wherever its values and encodings are.

What is hashed is stated, with a version, in `docs/trust.md`, so that others can compute
it; what changes there changes `VERSION`.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import numpy as np
from attrs import frozen

from aprhub.errors import UnrepresentableError
from aprhub.ir.config import ModelConfig
from aprhub.ir.encoding import F32
from aprhub.ir.model import ModelIR
from aprhub.ir.tensor import Tensor
from aprhub.ir.tokenizer import UNUSED, FlatVocabulary, Tokenizer
from aprhub.tokenizer import flattened

VERSION: Final = 1
MODEL: Final = f"aprhub-model-{VERSION}:"
VALUES: Final = f"aprhub-values-{VERSION}:"
"""What stands before the hash of a model, so that it says what it is a hash of."""

_PIECE_BYTES = 1 << 20
_CLAIMS = ("identity", "extra", "attention_bias", "mlp_bias")
"""What no hash covers: names of worlds, and what the tensors themselves say."""
_SPECIAL = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
"""The special ids that every format can state; others are guessed by some readers."""


@frozen
class TensorHash:
    """The hashes of one tensor: of its encoded bytes, and of its f32 values if asked.

    Both cover the canonical name and the shape, the first also the encoding.
    """

    name: str
    shape: tuple[int, ...]
    encoding: str
    sha256: str
    values: str | None = None


@frozen
class ModelHash:
    """The hashes of a model: of its parts, and of each tensor in order of names.

    `tokenizer` is None for a model without one; `nbytes` is how much was encoded.
    """

    tensors: tuple[TensorHash, ...]
    config: str
    tokenizer: str | None
    nbytes: int

    @property
    def model(self) -> str:
        """The hash of the whole model, with its encodings."""
        return MODEL + self._whole({each.name: each.sha256 for each in self.tensors})

    @property
    def values(self) -> str | None:
        """The hash of the whole model whatever its encodings, if it was asked for."""
        found = {each.name: each.values for each in self.tensors}
        return None if None in found.values() else VALUES + self._whole(found)

    def as_json(self) -> dict[str, Any]:
        """Return the hashes of the model and its parts as JSON-like data."""
        found = {
            "model": self.model,
            "values": self.values,
            "config": self.config,
            "tokenizer": self.tokenizer,
        }
        return {name: each for name, each in found.items() if each is not None}

    def _whole(self, tensors: Mapping[str, str | None]) -> str:
        parts = {
            "config": self.config,
            "tensors": _digest(tensors),
            "tokenizer": self.tokenizer,
        }
        return _digest(parts)


def hashed(model: ModelIR, *, values: bool = False) -> ModelHash:
    """Return the hashes of a model; reads every weight once, on all cores.

    `values` adds those of the f32 values, for which a quantised tensor is decoded:
    UnrepresentableError where no codec can. Memory is a piece for each core.
    """
    largest = sorted(model.tensors.items(), key=lambda item: -item[1].nbytes)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        work = partial(_hashed_tensor, values=values)
        found = list(pool.map(work, *zip(*largest, strict=True))) if largest else []
    return ModelHash(
        tuple(sorted(found, key=lambda each: each.name)),
        _digest(_config(model.config)),
        _digest(_vocabulary(model)) if model.tokenizer else None,
        model.nbytes,
    )


def _hashed_tensor(name: str, tensor: Tensor, *, values: bool) -> TensorHash:
    shape, encoding = tensor.shape, tensor.encoding.name
    sha256 = _tensor_digest([name, shape, encoding], tensor)
    plain = _tensor_digest([name, shape], tensor.cast(F32)) if values else None
    return TensorHash(name, shape, encoding, sha256, plain)


def _tensor_digest(described: Sequence[Any], tensor: Tensor) -> str:
    """Return a SHA-256 over a description, a line feed and the encoded bytes."""
    digest = hashlib.sha256(_canonical(described) + b"\n")
    room = np.empty(0, np.uint8)
    for start, length in tensor.chunks(_PIECE_BYTES):
        if room.size < length:
            room = np.empty(length, np.uint8)
        tensor.read_into(start, room[:length])
        digest.update(room[:length].data)
    return digest.hexdigest()


def _digest(value: Any) -> str:
    return hashlib.sha256(_canonical(value)).hexdigest()


def _canonical(value: Any) -> bytes:
    """Return JSON in ASCII, with sorted keys and without spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _config(config: ModelConfig) -> Any:
    known = config.known()
    return _exact({name: known[name] for name in known if name not in _CLAIMS})


def _exact(value: Any) -> Any:
    """Return data with its numbers as f32, which is how binary formats store them.

    One that is whole is an integer, any other the eight hexadecimal digits of its bits.
    """
    match value:
        case float():
            single = np.float32(value)
            bits = f"f32:{single.view(np.uint32):08x}"
            return int(single) if float(single).is_integer() else bits
        case Mapping():
            return {name: _exact(each) for name, each in value.items()}
        case list() | tuple():
            return [_exact(each) for each in value]
    return value


def _vocabulary(model: ModelIR) -> Any:
    """Return what is hashed of a tokenizer; one without a flat form is its program."""
    tokenizer = model.tokenizer or Tokenizer()
    try:
        whole = flattened(tokenizer, model.config.vocab_size)
    except UnrepresentableError:
        return {"json": tokenizer.json}
    flat = whole.flat or FlatVocabulary("", ())
    known = {name: whole.special_ids.get(name) for name in _SPECIAL}
    return {
        "merges": None if flat.merges is None else list(flat.merges),
        "model": flat.model,
        "special": {name: each for name, each in known.items() if each is not None},
        "tokens": list(_used(flat)),
    }


def _used(flat: FlatVocabulary) -> Iterator[str]:
    """Yield the tokens up to the last that is used; the rest fills an embedding."""
    stop = len(flat.tokens)
    if flat.types is not None:
        used = np.flatnonzero(np.asarray(flat.types) != UNUSED)
        stop = int(used[-1]) + 1 if used.size else 0
    yield from flat.tokens[:stop]
