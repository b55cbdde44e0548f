"""Packing: how a method of quantisation spreads each weight over stored parts."""

from collections.abc import Callable

from attrs import field, frozen

from aprhub.spec.format import PackingClaim, StoredModel


@frozen
class Packing:
    """A method by which quantised weights are stored as several tensors each.

    `name` is what files call it. `unpack` takes a model that claims it, and returns the
    model with a tensor for each weight, whose values are computed from the parts when
    they are read (see `aprhub.api.packed`). Its `fates` name every part. It raises
    UnsupportedFileError, naming what is not known, for a variant that it cannot read.
    """

    name: str
    title: str
    unpack: Callable[[StoredModel, PackingClaim], StoredModel] = field(
        eq=False, repr=False
    )
