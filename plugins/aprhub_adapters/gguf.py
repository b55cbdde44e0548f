"""GGUF adapters, as llama.cpp applies them: `general.type` is `adapter`.

A is `(r, in)` and B `(out, r)` of the weight as GGUF lays it out; of the embedding, A
is `(vocabulary, r)` and B `(hidden, r)`. Source: `llama-adapter.cpp` of llama.cpp. It
scales with alpha / r, and with 1 where alpha is 0 or missing; here that is not said.
"""

from pathlib import Path
from typing import Any, Final

from attrs import evolve

from aprhub.api import (
    Adapter,
    AdapterFiles,
    AdapterPart,
    AdapterTensor,
    AlphaClaim,
    CorruptFileError,
    Family,
    StoredAdapter,
    StoredModel,
    Tensor,
    UnsupportedFileError,
)
from aprhub_adapters import pairs
from aprhub_adapters.layouts import GGUF

TYPE: Final = "general.type"
KIND: Final = "adapter.type"
ALPHA: Final = "adapter.lora.alpha"
EMBEDDING: Final = "token_embd.weight"
INVOCATION: Final = "adapter.alora.invocation_tokens"


def recognises(container: StoredModel) -> bool:
    """Return whether the file says that it is an adapter."""
    return bool(_value(container, TYPE) == "adapter")


def open_gguf(container: StoredModel) -> StoredAdapter:
    """Give the tensors of a container their meaning.

    Raises UnsupportedFileError for adapters of another kind than LoRA.
    """
    if _value(container, KIND) != "lora":
        what = f"{KIND} is {_value(container, KIND)!r:.60}, only 'lora' is read"
        raise UnsupportedFileError(
            container.path, f"{what}; merge it with the program that made it"
        )
    if _value(container, INVOCATION):
        raise UnsupportedFileError(
            container.path,
            f"{INVOCATION}: it is applied to some tokens only and cannot be merged; run"
            " it with llama.cpp's --lora",
        )
    known, strangers = pairs.told(container)
    return StoredAdapter(
        container,
        tuple(map(_turned, known)),
        (GGUF.naming,),
        (AlphaClaim(f"{ALPHA} (0 counts as not said)", _alpha(container) or None),),
        strangers=strangers,
    )


def _value(container: StoredModel, key: str) -> Any:
    entry = container.carried.get(GGUF.format, {}).get(key)
    return entry["value"] if entry else None


def _alpha(container: StoredModel) -> float | None:
    value = _value(container, ALPHA)
    if value is None or isinstance(value, float):
        return value
    what = f"found {value!r:.60}, expected a finite f32"
    raise CorruptFileError(container.path, what, where=ALPHA)


def _turned(told: AdapterTensor) -> AdapterTensor:
    """Return a half of the embedding's pair as half of a change of its rows."""
    if told.weight != EMBEDDING:
        return told
    if told.part is AdapterPart.A:
        return evolve(told, part=AdapterPart.B)
    return evolve(told, part=AdapterPart.A, tensor=told.tensor.transposed())


def lay_out(adapter: Adapter, family: Family, target: Path) -> AdapterFiles:
    """Return the one file; raises UnrepresentableError as `uniform` does."""
    found = pairs.uniform(adapter, target, GGUF.name)
    ours = {name: _theirs(name, *pair) for name, pair in found.pairs.items()}
    said = {
        TYPE: {"type": "string", "value": "adapter"},
        KIND: {"type": "string", "value": "lora"},
        ALPHA: {"type": "f32", "value": found.alpha},
    }
    container = StoredModel(
        GGUF.format,
        target,
        pairs.named(ours),
        carried={GGUF.format: said},
        naming=GGUF.naming,
        family=family,
    )
    return AdapterFiles(container, notes=found.notes)


def _theirs(name: str, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    return (b, a.transposed()) if name == EMBEDDING else (a, b)
