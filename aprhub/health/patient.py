"""Patient: a model under examination, and what is known of it so far."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from attrs import evolve, frozen

from aprhub.errors import ModelCheckError
from aprhub.identity import Fit, fitted
from aprhub.ir.config import ModelConfig
from aprhub.ir.model import EMBEDDING, HEAD
from aprhub.ir.tensor import Tensor
from aprhub.lift import namings_of
from aprhub.registry import Registry
from aprhub.spec.family import Family
from aprhub.spec.format import Format, StoredModel
from aprhub.spec.health import Finding
from aprhub.spec.naming import Naming
from aprhub.spec.spelling import Spelling
from aprhub.unsaid import said_and_unsaid


@frozen
class Patient:
    """A model as it is with all mends that were found so far, and the findings."""

    stored: StoredModel
    format: Format
    registry: Registry
    naming: str | None = None
    family: Family | None = None
    findings: tuple[Finding, ...] = ()

    def told(self, found: Iterable[Finding]) -> "Patient":
        """Return the patient with more findings, and with their mends applied."""
        stored, added = self.stored, tuple(found)
        if not added:
            return self
        for finding in added:
            stored = finding.mend(stored) if finding.mend else stored
        return evolve(self, stored=stored, findings=(*self.findings, *added))

    @property
    def namings(self) -> list[Naming]:
        """The namings that its tensors may be in."""
        return namings_of(self.stored, self.registry, self.naming)

    def fit(self, family: Family) -> Fit:
        """Return how the names of its tensors fit a family."""
        return fitted(self.stored, family, self.namings)

    @cached_property
    def spellings(self) -> Mapping[str, Spelling]:
        """The tensor that each weight of the family is in, by canonical name."""
        if self.family is None:
            return {}
        shapes = self.stored.tensors
        return {
            name: spelling
            for spelling in self.fit(self.family).spellings
            for name in spelling.held(shapes[spelling.stored].shape)
        }

    @cached_property
    def alone(self) -> Mapping[str, tuple[str, Tensor]]:
        """The weights that have a tensor of their own, with its stored name."""
        return {
            name: (each.stored, self.stored.tensors[each.stored])
            for name, each in self.spellings.items()
            if len(each.parts) == 1 and not each.is_stacked
        }

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The stored names of the tensors with a row for each token."""
        alone = self.alone
        return tuple(alone[name][0] for name in (EMBEDDING, HEAD) if name in alone)

    def config(self) -> ModelConfig:
        """Return the configuration with everything that can be known of it."""
        if self.family is None:
            return self.stored.config
        try:
            return said_and_unsaid(self.stored, self.family, self.spellings)
        except ModelCheckError:  # A default needs a size that is missing.
            return self.stored.config


def configured(stored: StoredModel, values: Mapping[str, Any]) -> StoredModel:
    """Return a model with some fields of its configuration changed."""
    return evolve(stored, config=evolve(stored.config, **values))
