"""Makes an adapter of what tells two models of one family apart."""

from pathlib import Path

from attrs import field, frozen

from aprhub.adapters.changes import changed, compared_bytes, difference, refuse_unlike
from aprhub.adapters.truncation import truncated_svd
from aprhub.conversion import Announce, Opened
from aprhub.errors import ModelCheckError, UsageError
from aprhub.ir.adapter import Adapter
from aprhub.ir.lowrank import LowRank
from aprhub.ir.tensor import Tensor


@frozen
class AdapterExtraction:
    """Which model's difference from which base becomes an adapter, of which rank.

    `layout` names the layout that is written. With `pairs_only`, tensors that are no
    matrices are left out instead of stored whole.
    """

    base: Path = field(converter=Path)
    tuned: Path = field(converter=Path)
    rank: int
    layout: str | None = None
    pairs_only: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse a rank that is none."""
        if self.rank < 1:
            raise UsageError(f"rank is {self.rank}; give 1 or more")


@frozen
class Extracted:
    """An adapter, and the share of each change that its rank could not hold.

    That is the norm of what is missing over the norm of the change. `left_out` are
    tensors that changed and are no matrices.
    """

    adapter: Adapter
    missing: dict[str, float]
    left_out: tuple[str, ...] = ()


def extracted(
    base: Opened,
    tuned: Opened,
    request: AdapterExtraction,
    announce: Announce | None = None,
) -> Extracted:
    """Return the best adapter of a rank for the difference of two models.

    One change is in memory at a time, besides the adapter. Raises ModelCheckError for
    models that are not built alike, and for those that do not differ.
    """
    refuse_unlike(base, tuned)
    changes: dict[str, LowRank] = {}
    whole: dict[str, Tensor] = {}
    missing: dict[str, float] = {}
    progress = announce(compared_bytes(base)) if announce else None
    for name, before, after in changed(base, tuned, progress):
        if len(before.shape) != 2:
            whole[name] = after
            continue
        delta = difference(before, after)
        a, b, missing[name] = truncated_svd(delta, request.rank)
        changes[name] = LowRank(Tensor.of(a), Tensor.of(b), float(a.shape[0]))
    if not changes:
        what = (
            f"no matrix differs from that of {base.stored.path}: nothing to extract;"
            " give a model that was trained further"
        )
        raise ModelCheckError(tuned.stored.path, what)
    if request.pairs_only:
        return Extracted(Adapter(changes), missing, tuple(whole))
    return Extracted(Adapter(changes, whole), missing)
