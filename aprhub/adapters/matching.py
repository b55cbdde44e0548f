"""Matches an adapter's tensors with a base's weights; each is accounted for."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from aprhub.adapters.parts import (
    BASE,
    Parts,
    Placed,
    bias_of,
    halves,
    is_pair,
    misfits,
)
from aprhub.adapters.rows import own, row_faults, single_rows
from aprhub.adapters.shares import misfit, shares
from aprhub.adapters.vocabulary import (
    grown_rows,
    missing_head,
    own_tokenizer,
)
from aprhub.conversion import Opened
from aprhub.equality import same_bytes
from aprhub.errors import Fault, IdentityError, ModelCheckError
from aprhub.ir.adapter import Adapter
from aprhub.ir.lowrank import LowRank
from aprhub.ir.model import EMBEDDING, HEAD, ModelIR
from aprhub.registry import Registry
from aprhub.spec.adapter import AdapterPart, AdapterTensor, AlphaClaim, StoredAdapter
from aprhub.spec.family import Family
from aprhub.spec.naming import Naming
from aprhub.spec.spelling import Spelling

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

    `alpha_from` says where alpha was found, None where no pair needs one, and `news`
    what its own tokenizer has that the base's has not.
    """

    adapter: Adapter
    unmatched: tuple[Fault, ...] = ()
    orphans: tuple[Fault, ...] = ()
    alpha_from: str | None = None
    news: str = ""


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
            Fault(name, "the layout has no such tensor", "name the right --layout")
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
        rows = grown_rows(groups, self.model)
        self._refuse_misfits(groups, pairs, rows)
        alphas, where = self._alphas(pairs)
        changes = {name: self._change(pairs[name], alphas[name]) for name in pairs}
        tokenizer, news = own_tokenizer(self.stored, self.model, rows)
        adapter = Adapter(changes, wholes, tokenizer, single_rows(groups, self.model))
        return Matched(adapter, tuple(unmatched), tuple(orphans), where, news)

    def _groups(self) -> tuple[dict[str, Parts], list[Fault]]:
        """Return the tensors by canonical name and part, and those without a place."""
        groups: dict[str, Parts] = {}
        unmatched: list[Fault] = []
        twice: list[Fault] = []
        for told in self.stored.tensors:
            spelling = self._spelling(told.weight)
            problem = self._problem(told, spelling)
            if spelling is None or problem:
                unmatched.append(Fault(told.stored, problem, BASE))
                continue
            shared = shares(self.stored.path, told, spelling, self.model.config)
            for canonical, tensor in shared:
                parts = groups.setdefault(canonical, {})
                if told.part in parts and not same_bytes(
                    tensor, parts[told.part].tensor
                ):
                    other = parts[told.part].told.stored
                    what = f"stored twice, also as {other}"
                    twice.append(Fault(told.stored, what, "take one of them out"))
                parts[told.part] = Placed(told, tensor)
        if twice:
            what = f"{len(twice)} tensors are there twice, under two names"
            raise ModelCheckError(self.stored.path, what, twice)
        return groups, unmatched

    def _spelling(self, weight: str) -> Spelling | None:
        found = (naming.to_ours(weight, self.family) for naming in self.namings)
        return next((each for each in found if each), None)

    def _problem(self, told: AdapterTensor, spelling: Spelling | None) -> str:
        if spelling is None:
            return f"no weight of {self.family.name} is called so"
        if spelling.is_stacked and (problem := misfit(told, self._experts)):
            return problem
        names = spelling.names(self._experts)
        missing = [each for each in names if not self._is_there(each)]
        return f"the base has no {' and no '.join(missing[:3])}" if missing else ""

    @property
    def _experts(self) -> int:
        return self.model.config.num_experts or 0

    def _is_there(self, name: str) -> bool:
        tied = name == HEAD and self.model.config.tie_embeddings is True
        return tied or name in self.model.tensors

    def _refuse_misfits(
        self,
        groups: Mapping[str, Parts],
        pairs: Mapping[str, Parts],
        rows: int | None,
    ) -> None:
        faults = [
            fault
            for name, parts in groups.items()
            for fault in misfits(self._shape(name, rows), parts, name in pairs)
        ]
        faults += row_faults(groups, self.model)
        faults += missing_head(groups, self.model, rows) if rows else ()
        faults += [
            Fault(parts[AdapterPart.BIAS].told.stored, "the base has no bias", BASE)
            for name, parts in pairs.items()
            if AdapterPart.BIAS in parts and bias_of(name) not in self.model.tensors
        ]
        if faults:
            what = f"{len(faults)} tensors do not fit the base"
            raise ModelCheckError(self.stored.path, what, faults)

    def _shape(self, name: str, rows: int | None) -> tuple[int, ...]:
        """Return the shape that a weight has when the vocabulary has grown."""
        shape = own(self.model, name).shape
        return (rows, *shape[1:]) if rows and name in (EMBEDDING, HEAD) else shape

    def _alphas(
        self, pairs: Mapping[str, Parts]
    ) -> tuple[dict[str, float], str | None]:
        """Return alpha for each pair, and where it was found for all together.

        What a pair has of its own comes before what files say of all, and not before
        what the user says.
        """
        own = {
            name: alpha
            for name, parts in pairs.items()
            if (alpha := parts[AdapterPart.A].told.alpha) is not None
            and self.options.alpha is None
        }
        if own.keys() == pairs.keys() and self.options.alpha is None:
            return own, None
        claims = (AlphaClaim("--alpha", self.options.alpha), *self.stored.alphas)
        for claim in claims:
            if claim.value is not None:
                self._refuse_no_number(claim)
                return {**dict.fromkeys(pairs, claim.value), **own}, claim.where
        looked = ", ".join(each.where for each in claims)
        raise ModelCheckError(
            self.stored.path,
            f"nothing says what alpha is (looked at: {looked}); say it with --alpha,"
            " since a wrong one scales every change wrongly",
        )

    def _refuse_no_number(self, claim: AlphaClaim) -> None:
        if claim.value is not None and not math.isfinite(claim.value):
            what = (
                f"alpha is {claim.value} ({claim.where}), expected a number; say it"
                " with --alpha"
            )
            raise ModelCheckError(self.stored.path, what)

    def _change(self, parts: Parts, alpha: float) -> LowRank:
        tensors = {part: placed.tensor for part, placed in parts.items()}
        lengths = tensors.get(AdapterPart.LENGTHS)
        return LowRank(
            tensors[AdapterPart.A],
            tensors[AdapterPart.B],
            alpha,
            self.stored.rank_stabilised,
            lengths or tensors.get(AdapterPart.MAGNITUDE),
            tensors.get(AdapterPart.BIAS),
            by_columns=lengths is not None,
        )


def _refuse_unmatched(
    stored: StoredAdapter, base: Opened, found: Matched, options: MatchOptions
) -> None:
    faults = [*found.unmatched, *found.orphans]
    if not (found.adapter.changes or found.adapter.replaced):
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
