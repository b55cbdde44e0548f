"""The schemes by name, each of which says what the parts of one weight are."""

from collections.abc import Callable, Mapping
from typing import Final

from attrs import field, frozen

from aprhub.api import Tensor
from aprhub_packed import awq, bitsandbytes, compressed, fp8, gptq, mxfp4
from aprhub_packed.parts import Parts
from aprhub_packed.settings import Settings

Weigh = Callable[[Parts], Tensor]
"""Makes a weight of its parts."""


@frozen
class Scheme:
    """How a method stores weights.

    `parts` are what may follow the name of a module, after `joint`; a weight is packed
    where there is any besides `weight`. Its own name is the module's with `weight`
    behind. `spare` are the last words of names of tensors that scale what is no weight.
    `reader` looks at the settings and returns what reads weights.
    """

    parts: tuple[str, ...]
    reader: Callable[[Settings], Weigh] = field(repr=False)
    spare: tuple[str, ...] = ()
    joint: str = "."
    weight: str = ".weight"

    def split(self, name: str) -> tuple[str, str] | None:
        """Return the module and the part that a stored name means, if any."""
        for part in self.parts:
            if name.endswith(self.joint + part):
                return name.removesuffix(self.joint + part), part
        return None


SCHEMES: Final[Mapping[str, Scheme]] = {
    "awq": Scheme(awq.PARTS, awq.reader),
    "bitsandbytes": Scheme(bitsandbytes.PARTS, bitsandbytes.reader),
    "compressed-tensors": Scheme(compressed.PARTS, compressed.reader, compressed.SPARE),
    "fp8": Scheme(fp8.PARTS, fp8.reader, fp8.SPARE),
    "gptq": Scheme(gptq.PARTS, gptq.reader),
    "mxfp4": Scheme(mxfp4.PARTS, mxfp4.reader, joint="_", weight=""),
}
