"""From stored parts to weights: every stored tensor is one of a weight's, or passes."""

import json
from collections.abc import Mapping
from typing import Any, Final

from attrs import define, evolve, field

from aprhub.api import (
    ENCODINGS,
    HF_WORLD,
    CorruptFileError,
    KeyFate,
    PackingClaim,
    StoredModel,
    Tensor,
    UnsupportedFileError,
)
from aprhub_packed.parts import FLOATS, Parts
from aprhub_packed.schemes import SCHEMES, Scheme, Weigh
from aprhub_packed.settings import Settings

CONFIG: Final = "config.json"
KEY: Final = "quantization_config"
SPARE: Final = "scales what is computed with the weight, which is not quantised here"


def unpack(method: str, stored: StoredModel, claim: PackingClaim) -> StoredModel:
    """Return a model with one tensor for each weight that a method has packed."""
    scheme = SCHEMES[method]
    weigh = scheme.reader(Settings.of(stored.path, claim))
    modules = _modules(stored.tensors, scheme)
    if not modules:
        raise UnsupportedFileError(
            stored.path,
            f"{claim.where}: says {method}, but no tensor is packed in this way; remove"
            " it from config.json, as 'aprhub doctor --fix' does",
        )
    native = claim.native or ENCODINGS["f32"]
    parts = {
        module: Parts(stored.path, module, tensors, native)
        for module, tensors in modules.items()
    }
    return _Unpacking(stored, scheme, weigh, parts).result()


def _modules(
    tensors: Mapping[str, Tensor], scheme: Scheme
) -> dict[str, dict[str, Tensor]]:
    """Return the parts of each packed weight, by its module."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        split = scheme.split(name)
        if split:
            found.setdefault(split[0], {})[split[1]] = tensor
    return {
        module: parts for module, parts in found.items() if parts.keys() - {"weight"}
    }


@define
class _Unpacking:
    """The tensors and fates of the result, while they are gathered in stored order."""

    stored: StoredModel
    scheme: Scheme
    weigh: Weigh
    parts: Mapping[str, Parts]
    tensors: dict[str, Tensor] = field(factory=dict)
    fates: list[KeyFate] = field(factory=list)

    def result(self) -> StoredModel:
        for name, tensor in self.stored.tensors.items():
            split = self.scheme.split(name)
            if split and split[0] in self.parts:
                self._part(name, split[0])
            elif name.rpartition(".")[2] in self.scheme.spare:
                self.fates.append(KeyFate(name, "dropped", why=SPARE))
            else:
                self._pass(name, tensor)
        fates = map(_told, self.stored.fates)
        return evolve(
            self.stored,
            tensors=self.tensors,
            carried=_without_key(self.stored.carried),
            fates=(*fates, *self.fates),
        )

    def _part(self, name: str, module: str) -> None:
        weight = module + self.scheme.weight
        if weight not in self.tensors:
            self.tensors[weight] = self.weigh(self.parts[module])
        why = f"decoded from {self.tensors[weight].encoding.name}"
        self.fates.append(KeyFate(name, "transformed", weight, why))

    def _pass(self, name: str, tensor: Tensor) -> None:
        """Keep a tensor that is not packed, if it is what it is called."""
        if name.removesuffix(self.scheme.weight) in self.parts:
            what = "is there, and its packed parts as well, expected one of both"
            raise CorruptFileError(self.stored.path, what, where=name)
        whole = tensor.encoding.name in (*FLOATS, "f64")
        if name.endswith(".weight") and not whole:
            what = f"is {tensor.encoding.name}, expected a float or parts that scale it"
            raise CorruptFileError(self.stored.path, what, where=name)
        self.tensors[name] = tensor


def _told(fate: KeyFate) -> KeyFate:
    if fate.key != f"{CONFIG}/{KEY}":
        return fate
    return KeyFate(fate.key, "transformed", "tensors", "the weights are decoded")


def _without_key(carried: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what is carried, the configuration without what is no longer true."""
    world = dict(carried.get(HF_WORLD, {}))
    values = json.loads(world[CONFIG])
    for scope in (values, values.get("text_config")):
        if isinstance(scope, dict):
            scope.pop(KEY, None)
    world[CONFIG] = json.dumps(values, indent=2) + "\n"
    return {**carried, HF_WORLD: world}
