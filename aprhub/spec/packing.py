"""Packing: how a method of quantisation spreads each weight over stored parts."""

from collections.abc import Callable, Sequence

from attrs import field, frozen

from aprhub.errors import UnrepresentableError
from aprhub.ir.tensor import Tensor
from aprhub.spec.format import PackingClaim, StoredModel


@frozen
class Packing:
    """A method by which quantised weights are stored as several tensors each.

    `name` is what files call it. `unpack` takes a model that claims it, and returns the
    model with a tensor for each weight, whose values are computed from the parts when
    they are read (see `aprhub.api.packed`). Its `fates` name every part. It raises
    UnsupportedFileError, naming what is not known, for a variant that it cannot read.
    `schemes` are those by which it can also pack. `pack(scheme, weight)` returns a
    plain matrix as `unpack` would return it from what is to be stored, or raises
    UnrepresentableError where the scheme is not for its shape. `claim(scheme, kept)` is
    what the model says then; `kept` are the matrices that are not packed.
    """

    name: str
    title: str
    unpack: Callable[[StoredModel, PackingClaim], StoredModel] = field(
        eq=False, repr=False
    )
    schemes: tuple[str, ...] = ()
    pack: Callable[[str, Tensor], Tensor] | None = field(
        default=None, eq=False, repr=False
    )
    claim: Callable[[str, Sequence[str]], PackingClaim] | None = field(
        default=None, eq=False, repr=False
    )

    def packed(self, scheme: str, weight: Tensor) -> Tensor:
        """Return a matrix packed by a scheme.

        Raises UnrepresentableError for a scheme of another method.
        """
        if self.pack is None or scheme not in self.schemes:
            listed = ", ".join(self.schemes) or "none"
            raise UnrepresentableError(
                scheme,
                f"{self.name} does not pack so; choose a scheme of its own: {listed}",
            )
        return self.pack(scheme, weight)
