"""Gives an adapter in canonical form the names and the layout that files have."""

from collections.abc import Mapping, Sequence
from typing import NoReturn

from attrs import evolve, frozen

from aprhub.adapters.rows import same_rows
from aprhub.conversion import Opened
from aprhub.equality import same_bytes
from aprhub.errors import UnrepresentableError
from aprhub.ir.adapter import Adapter, Rows
from aprhub.ir.joining import concatenated, stacked
from aprhub.ir.lowrank import LowRank
from aprhub.ir.model import EMBEDDING, HEAD
from aprhub.ir.tensor import Tensor
from aprhub.spec.family import Family
from aprhub.spec.naming import Naming
from aprhub.spec.spelling import Spelling, Transform


@frozen
class Lowering:
    """How a naming writes the weights of a base."""

    base: Opened
    family: Family
    naming: Naming

    def named(self, adapter: Adapter) -> Adapter:
        """Return an adapter in stored names and layouts.

        Raises UnrepresentableError for weights that have no name, and for those that
        are stored as one tensor where their changes together are none of low rank, or
        those of experts none of one rank.
        """
        spellings: dict[str, Spelling] = {}
        groups: dict[str, dict[str, LowRank]] = {}
        for name, change in adapter.changes.items():
            spelling = self._spelling(name)
            spellings[spelling.stored] = spelling
            lowered = self._change(change, spelling.part(name).transform, name)
            groups.setdefault(spelling.stored, {})[name] = lowered
        changes = {
            stored: self._joined(spellings[stored], group)
            for stored, group in groups.items()
        }
        whole = dict(self._whole(*each) for each in adapter.replacements.items())
        rows = dict(self._rows(*each) for each in self._own_rows(adapter))
        return Adapter(changes, whole, rows=rows)

    def _own_rows(self, adapter: Adapter) -> list[tuple[str, Rows]]:
        """Return the rows of each tensor but those that a tied head shares."""
        rows = dict(adapter.rows)
        if HEAD not in self.base.found.model.tensors and _is_shared(rows):
            del rows[HEAD]
        return [*rows.items()]

    def _rows(self, name: str, rows: Rows) -> tuple[str, Rows]:
        spelling = self._spelling(name)
        if spelling.steps or spelling.part(name).transform:
            self._refuse(f"{name} has single rows, which {spelling.stored} has not")
        return spelling.stored, rows

    def _whole(self, name: str, tensor: Tensor) -> tuple[str, Tensor]:
        spelling = self._spelling(name)
        if spelling.steps:
            self._refuse(
                f"{name} is replaced as a whole, and one of several weights in"
                f" {spelling.stored} there"
            )
        transform, config = spelling.part(name).transform, self.base.found.model.config
        lowered = transform.lower(tensor, config) if transform else tensor
        return spelling.stored, lowered

    def _spelling(self, name: str) -> Spelling:
        spelling = self.naming.to_theirs(name, self.family)
        if spelling is None:
            self._refuse(f"naming {self.naming.name} has no name for {name}")
        return spelling

    def _change(
        self, change: LowRank, transform: Transform | None, name: str
    ) -> LowRank:
        """Return a change with the rows of B, magnitude and bias in their order."""
        if transform is None:
            return change
        if not transform.packed_safe:
            self._refuse(f"{name}: {transform.name} has no form for a change")
        config = self.base.found.model.config
        magnitude = change.magnitude
        if magnitude and not change.by_columns:
            magnitude = transform.lower(magnitude, config)
        return evolve(
            change,
            b=transform.lower(change.b, config),
            magnitude=magnitude,
            bias=change.bias and transform.lower(change.bias, config),
        )

    def _joined(self, spelling: Spelling, group: Mapping[str, LowRank]) -> LowRank:
        """Return the one change of weights that are joined, and of stacked experts."""
        names = spelling.names(self.base.found.model.config.num_experts)
        missing = [name for name in names if name not in group]
        if missing:
            self._refuse(
                f"{spelling.stored} holds {spelling.canonical}, and the adapter has no"
                f" change of {' and '.join(missing)}"
            )
        parts, each = [group[name] for name in names], len(spelling.parts)
        wholes = [
            self._below_each_other(spelling, parts[at : at + each])
            for at in range(0, len(parts), each)
        ]
        return self._stack(spelling, wholes) if spelling.is_stacked else wholes[0]

    def _below_each_other(
        self, spelling: Spelling, parts: Sequence[LowRank]
    ) -> LowRank:
        """Return the change of weights that are joined, whose A they share."""
        first, *others = parts
        if not all(_go_together(first, other) for other in others):
            self._refuse(
                f"{spelling.stored} holds {spelling.canonical}, whose changes differ in"
                " A or scale, so that together they are of another rank"
            )
        return _with_rows_of(parts) if others else first

    def _stack(self, spelling: Spelling, experts: Sequence[LowRank]) -> LowRank:
        """Return the change of experts along a first dimension."""
        if len({(each.rank, each.scale) for each in experts}) > 1:
            self._refuse(
                f"{spelling.stored} holds all experts, whose changes differ in rank or"
                " scale"
            )
        if any(each.magnitude or each.bias for each in experts):
            self._refuse(f"{spelling.stored} holds all experts: no magnitude, no bias")
        return evolve(
            experts[0],
            a=stacked([each.a for each in experts]),
            b=stacked([each.b for each in experts]),
        )

    def _refuse(self, what: str) -> NoReturn:
        raise UnrepresentableError(
            self.base.stored.path,
            f"{what}; choose another layout, or merge the adapter into its base",
        )


def _is_shared(rows: Mapping[str, Rows]) -> bool:
    return HEAD in rows and same_rows(rows.get(EMBEDDING), rows[HEAD])


def _go_together(one: LowRank, other: LowRank) -> bool:
    """Return whether changes differ in nothing but in what they have for each row."""
    alike = (one.scale, one.rank_stabilised) == (other.scale, other.rank_stabilised)
    return (
        alike
        and (one.magnitude is None) is (other.magnitude is None)
        and (one.bias is None) is (other.bias is None)
        and same_bytes(one.a, other.a)
    )


def _with_rows_of(parts: Sequence[LowRank]) -> LowRank:
    magnitudes = [part.magnitude for part in parts if part.magnitude]
    biases = [part.bias for part in parts if part.bias]
    return evolve(
        parts[0],
        b=concatenated([part.b for part in parts]),
        magnitude=concatenated(magnitudes) if magnitudes else None,
        bias=concatenated(biases) if biases else None,
    )
