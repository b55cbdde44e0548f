"""Matches an adapter's tensors with a base's weights; each is accounted for."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from aprhub.adapters.parts import Parts, Placed, bias_of, halves, is_pair, misfits
from aprhub.conversion import Opened
from aprhub.errors import Fault, IdentityError, ModelCheckError
from aprhub.ir.adapter import Adapter
from aprhub.ir.lowrank import LowRank
from aprhub.ir.model import EMBEDDING, HEAD, ModelIR
from aprhub.ir.tensor import Tensor
from aprhub.registry import Registry
from aprhub.spec.adapter import AdapterPart, AdapterTensor, AlphaClaim, StoredAdapter
from aprhub.spec.family import Family
from aprhub.spec.naming import Naming
from aprhub.spec.spelling import Spelling, Transform

ZERO_MATCHED = "FALSIFY-APR-MERGE-RUNNABLE-005"
UNMATCHED = "FALSIFY-APR-MERGE-RUNNABLE-004"
UNMATCHED_GGML = "FALSIFY-APR-MERGE-RUNNABLE-004b"
"""The contract's names for what these checks prevent."""


@frozen
class MatchOptions:
    """What a user may say of an adapter.

    `alpha` comes before what the files say. With `allow_unmatched`, tensors without a
    place in the base, and halves of pairs, are left out instead of refused.
    """

    alpha: float | None = None
    allow_unmatched: bool = False


@frozen
class Matched:
    """An adapter in canonical names and layouts, and what could not become part of it.

    `alpha_from` says where alpha was found, None where no pair needs one.
    """

    adapter: Adapter
    unmatched: tuple[Fault, ...] = ()
    orphans: tuple[Fault, ...] = ()
    alpha_from: str | None = None


def matched(
    stored: StoredAdapter, base: Opened, registry: Registry, options: MatchOptions
) -> Matched:
    """Return the adapter of a stored one, for a base that it fits.

    Raises ModelCheckError with the tensors that have no place, unless that is allowed,
    and always when none has; with the shapes that do not fit; and when nothing says
    what alpha is.
    """
    family = base.found.family
    if family is None:
        what = (
            "an adapter fits a family's weights, and the names of this base were kept;"
            " leave out --naming keep"
        )
        raise IdentityError(base.stored.path, what)
    namings = [registry.naming(name) for name in stored.namings]
    found = _Matching(stored, base.found.model, family, namings, options).result()
    _refuse_unmatched(stored, base, found, options)
    return found


@frozen
class _Matching:
    stored: StoredAdapter
    model: ModelIR
    family: Family
    namings: Sequence[Naming]
    options: MatchOptions

    def result(self) -> Matched:
        groups, unmatched = self._groups()
        unmatched += [
            Fault(name, "the layout has no such tensor")
            for name in self.stored.strangers
        ]
        pairs = {name: parts for name, parts in groups.items() if is_pair(parts)}
        orphans = [
            fault
            for name, parts in groups.items()
            if name not in pairs
            for fault in halves(parts)
        ]
        wholes = {
            name: parts[AdapterPart.WHOLE].tensor
            for name, parts in groups.items()
            if AdapterPart.WHOLE in parts
        }
        self._refuse_misfits(groups, pairs)
        alphas, where = self._alphas(pairs)
        changes = {name: self._change(pairs[name], alphas[name]) for name in pairs}
        adapter = Adapter(changes, wholes)
        return Matched(adapter, tuple(unmatched), tuple(orphans), where)

    def _groups(self) -> tuple[dict[str, Parts], list[Fault]]:
        """Return the tensors by canonical name and part, and those without a place."""
        groups: dict[str, Parts] = {}
        unmatched: list[Fault] = []
        twice: list[Fault] = []
        for told in self.stored.tensors:
            spelling = self._spelling(told.weight)
            problem = self._problem(spelling)
            if spelling is None or problem:
                unmatched.append(Fault(told.stored, problem))
                continue
            for canonical, tensor in self._apart(told, spelling):
                parts = groups.setdefault(canonical, {})
                if told.part in parts:
                    other = parts[told.part].told.stored
                    twice.append(Fault(told.stored, f"stored twice, also as {other}"))
                parts[told.part] = Placed(told, tensor)
        if twice:
            what = (
                f"{len(twice)} tensors are there twice, under two names; take one out"
            )
            raise ModelCheckError(self.stored.path, what, twice)
        return groups, unmatched

    def _spelling(self, weight: str) -> Spelling | None:
        found = (naming.to_ours(weight, self.family) for naming in self.namings)
        return next((each for each in found if each), None)

    def _problem(self, spelling: Spelling | None) -> str:
        if spelling is None:
            return f"no weight of {self.family.name} is called so"
        if spelling.is_stacked:
            return "is for experts that are stacked as one tensor"
        missing = [each for each in spelling.names(None) if not self._is_there(each)]
        return f"the base has no {' and no '.join(missing)}" if missing else ""

    def _is_there(self, name: str) -> bool:
        tied = name == HEAD and self.model.config.tie_embeddings is True
        return tied or name in self.model.tensors

    def _apart(
        self, told: AdapterTensor, spelling: Spelling
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield what a tensor is for each weight, in canonical layout.

        Layouts differ by the rows of weights, which are those of B, of the magnitude
        and of the bias, while A has the columns: weights that are joined share it.
        """
        if told.part is AdapterPart.A:
            yield from ((name, told.tensor) for name in spelling.names(None))
            return
        for name, part, rows in spelling.split(told.tensor, self.model.config):
            yield name, self._lifted(told, rows, part.transform)

    def _lifted(
        self, told: AdapterTensor, rows: Tensor, transform: Transform | None
    ) -> Tensor:
        if transform is None:
            return rows
        if told.part is not AdapterPart.WHOLE and not transform.packed_safe:
            what = f"{transform.name}: a low-rank change cannot be brought through this"
            raise ModelCheckError(self.stored.path, what, [Fault(told.stored, what)])
        return transform.lift(rows, self.model.config)

    def _refuse_misfits(
        self, groups: Mapping[str, Parts], pairs: Mapping[str, Parts]
    ) -> None:
        faults = [
            fault
            for name, parts in groups.items()
            for fault in misfits(self._base(name).shape, parts, name in pairs)
        ]
        faults += [
            Fault(parts[AdapterPart.BIAS].told.stored, "the base has no bias there")
            for name, parts in pairs.items()
            if AdapterPart.BIAS in parts and bias_of(name) not in self.model.tensors
        ]
        if faults:
            what = (
                f"{len(faults)} tensors do not fit the base: was it trained on another?"
            )
            raise ModelCheckError(self.stored.path, what, faults)

    def _base(self, name: str) -> Tensor:
        tensors = self.model.tensors
        return tensors[name] if name in tensors else tensors[EMBEDDING]

    def _alphas(
        self, pairs: Mapping[str, Parts]
    ) -> tuple[dict[str, float], str | None]:
        """Return alpha for each pair, and where it was found for all together."""
        own = {
            name: alpha
            for name, parts in pairs.items()
            if (alpha := parts[AdapterPart.A].told.alpha) is not None
        }
        if own.keys() == pairs.keys():
            return own, None
        claims = (AlphaClaim("--alpha", self.options.alpha), *self.stored.alphas)
        for claim in claims:
            if claim.value is not None:
                return {**dict.fromkeys(pairs, claim.value), **own}, claim.where
        looked = ", ".join(each.where for each in claims)
        raise ModelCheckError(
            self.stored.path,
            f"nothing says what alpha is (looked at: {looked}); say it with --alpha,"
            " since a wrong one scales every change wrongly",
        )

    def _change(self, parts: Parts, alpha: float) -> LowRank:
        return LowRank(
            parts[AdapterPart.A].tensor,
            parts[AdapterPart.B].tensor,
            alpha,
            self.stored.rank_stabilised,
            parts[AdapterPart.MAGNITUDE].tensor
            if AdapterPart.MAGNITUDE in parts
            else None,
            parts[AdapterPart.BIAS].tensor if AdapterPart.BIAS in parts else None,
        )


def _refuse_unmatched(
    stored: StoredAdapter, base: Opened, found: Matched, options: MatchOptions
) -> None:
    faults = [*found.unmatched, *found.orphans]
    if not (found.adapter.changes or found.adapter.replacements):
        raise _error(
            stored.path,
            f"none of its {_count(stored)} tensors matches a weight of"
            f" {base.stored.path} (names tried: {', '.join(stored.namings)})",
            faults,
            ZERO_MATCHED,
        )
    if faults and not options.allow_unmatched:
        ggml = base.stored.naming == "ggml"
        raise _error(
            stored.path,
            f"{len(faults)} of its {_count(stored)} tensors match nothing in"
            f" {base.stored.path}; --allow-unmatched merges the others",
            faults,
            UNMATCHED_GGML if ggml else UNMATCHED,
        )


def _count(stored: StoredAdapter) -> int:
    return len(stored.tensors) + len(stored.strangers)


def _error(
    path: Path, what: str, faults: Sequence[Fault], identifier: str
) -> ModelCheckError:
    error = ModelCheckError(path, what, faults)
    error.add_note(identifier)
    return error
