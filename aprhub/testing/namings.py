"""NamingConformance: names and layouts that lead there and back."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve, frozen

from aprhub.api import (
    ENCODINGS,
    Encoding,
    Family,
    ModelConfig,
    Naming,
    Spelling,
    Tensor,
    Transform,
)
from aprhub.registry import Registry
from aprhub.testing.models import pico_config, random_tensor
from aprhub.testing.saving import unreadable

LAYERS = EXPERTS = 12
"""Enough layers and experts for numbers of two digits."""

PACKED = ("q8_0", "q4_0", "f16", "f64")


@frozen
class Case:
    """A transform with a shape that it is for, in the words of one family."""

    family: Family
    weight: str
    transform: Transform
    shape: tuple[int, ...]
    config: ModelConfig

    def returns(self, tensor: Tensor) -> bool:
        """Whether the tensor comes back the same from both sides, and unread."""
        lift, lower = self.transform.lift, self.transform.lower
        before = tensor.tobytes()
        ways = (
            lift(lower(tensor, self.config), self.config),
            lower(lift(tensor, self.config), self.config),
        )
        same = all(way.shape == tensor.shape for way in ways)
        return same and [_bytes(way, tensor) for way in ways] == [before, before]


def _bytes(tensor: Tensor, like: Tensor) -> bytes:
    """Return the bytes in the encoding of another; a transform may have widened it."""
    if tensor.encoding == like.encoding:
        return tensor.tobytes()
    return tensor.cast(like.encoding).tobytes()


@pytest.mark.conformance
class NamingConformance:
    """Subclass it, give `naming`, and inherit the checks.

    They are made for every installed family of which the naming knows every weight;
    give `families` to say which those are.
    """

    @pytest.fixture
    def naming(self) -> Naming:
        """Return the naming under test."""
        pytest.fail("give a fixture 'naming' that returns your Naming")

    @pytest.fixture
    def families(self, naming: Naming) -> Sequence[Family]:
        """Return the families that the naming covers."""
        installed = (each.value for each in Registry.load().families)
        return [each for each in installed if _covers(naming, each)]

    def test_its_name_is_one_word_in_lower_case(self, naming: Naming) -> None:
        """So that it can be typed after `--naming`."""
        assert naming.name.isidentifier()
        assert naming.name == naming.name.lower()

    def test_it_covers_a_family(self, families: Sequence[Family]) -> None:
        """A naming that no family can be spelt in is of no use."""
        assert families

    def test_every_name_leads_there_and_back(
        self, naming: Naming, families: Sequence[Family]
    ) -> None:
        """From canonical to stored to canonical, and from there to stored again."""
        lost = [
            (family.name, name)
            for family in families
            for name in _names(family)
            if not _returns(naming, family, name)
        ]
        assert lost == []

    def test_no_two_names_are_spelt_alike(
        self, naming: Naming, families: Sequence[Family]
    ) -> None:
        """Else one tensor would overwrite another."""
        shared = [
            (family.name, stored)
            for family in families
            for stored, count in Counter(_stored(naming, family)).items()
            if count > 1
        ]
        assert shared == []

    def test_no_two_rules_match_one_name(
        self, naming: Naming, families: Sequence[Family]
    ) -> None:
        """Else the order of the rules would decide."""
        contested = [
            (family.name, stored)
            for family in families
            for stored in _stored(naming, family)
            if len(_matches(naming, family, stored)) != 1
        ]
        assert contested == []

    def test_every_transform_undoes_itself(
        self, naming: Naming, families: Sequence[Family]
    ) -> None:
        """On plain values, to the bit."""
        assert _not_undone(_cases(naming, families), ("f32",)) == []

    def test_every_packed_transform_undoes_itself_on_packed_bytes(
        self, naming: Naming, families: Sequence[Family]
    ) -> None:
        """Where a transform says that it moves whole rows only."""
        cases = (c for c in _cases(naming, families) if c.transform.packed_safe)
        assert _not_undone(cases, PACKED) == []

    def test_packed_transforms_keep_the_encoding(
        self, naming: Naming, families: Sequence[Family]
    ) -> None:
        """They decode nothing."""
        changed = [
            case.weight
            for case in _cases(naming, families)
            for encoding in _fitting(case, PACKED)
            if case.transform.packed_safe
            and case.transform.lower(_tensor(case, encoding), case.config).encoding
            != encoding
        ]
        assert changed == []

    def test_what_is_put_together_comes_apart_again(
        self, naming: Naming, families: Sequence[Family]
    ) -> None:
        """On packed bytes: a tensor in a file is one range of it again."""
        for family in families:
            config = _config(family)
            for spelling in _several(naming, family, config):
                shapes = [part.spec.expected_shape(config) for part in spelling.parts]
                whole = _in_file(spelling, shapes, config)
                parts = [rows for _, _, rows in spelling.split(whole, config)]
                again = spelling.joined(parts)
                assert [part.shape for part in parts[: len(shapes)]] == shapes
                assert (again.shape, again.source) == (whole.shape, whole.source)

    def test_no_transform_reads_before_it_is_asked(
        self, naming: Naming, families: Sequence[Family]
    ) -> None:
        """A transform of a tensor that cannot be read is still an expression."""
        for case in _cases(naming, families):
            tensor = unreadable(case.shape, ENCODINGS["f32"])
            lowered = case.transform.lower(tensor, case.config)
            assert lowered.nbytes == case.transform.lift(tensor, case.config).nbytes

    def test_no_transform_changes_what_it_is_given(
        self, naming: Naming, families: Sequence[Family]
    ) -> None:
        """Arrays of a model may be the user's own."""
        for case in _cases(naming, families):
            values = np.ones(case.shape, np.float32)
            tensor = Tensor.of(values)
            case.transform.lower(tensor, case.config).numpy()[:] = 2
            case.transform.lift(tensor, case.config).numpy()[:] = 2
            assert np.all(values == 1)


def _covers(naming: Naming, family: Family) -> bool:
    rules = naming.rules_for(family)
    return {role for rule in rules for role in rule.ours} == family.roles()


def _config(family: Family, **chosen: Any) -> ModelConfig:
    return pico_config(family, {"head_dim": 32, **chosen})


def _names(family: Family) -> Iterator[str]:
    config = _config(family, num_layers=LAYERS, num_experts=EXPERTS)
    for weight in family.weights:
        yield from weight.names(config)


def _returns(naming: Naming, family: Family, name: str) -> bool:
    there = naming.to_theirs(name, family)
    back = naming.to_ours(there.stored, family) if there else None
    return there is not None and back == there and name in there.names(EXPERTS)


def _stored(naming: Naming, family: Family) -> Iterator[str]:
    for name in _names(family):
        spelling = naming.to_theirs(name, family)
        if spelling and name == spelling.names(EXPERTS)[0]:
            yield spelling.stored


def _matches(naming: Naming, family: Family, stored: str) -> list[tuple[str, ...]]:
    found = (rule.to_ours(stored) for rule in naming.rules_for(family))
    return [each for each in found if each is not None]


def _cases(naming: Naming, families: Sequence[Family]) -> Iterator[Case]:
    """Yield a case for each transform of the first layer of each family."""
    for family in families:
        config = _config(family)
        for weight in family.weights:
            name = next(weight.names(config))
            spelling = naming.to_theirs(name, family)
            transform = spelling.part(name).transform if spelling else None
            if transform:
                shape = weight.expected_shape(config)
                yield Case(family, name, transform, shape, config)


def _several(naming: Naming, family: Family, config: ModelConfig) -> Iterator[Spelling]:
    """Yield the spellings in the first layer that hold more than one weight."""
    for rule in naming.rules_for(family):
        stored = rule.theirs.format(i=0, j=0)
        spelling = naming.to_ours(stored, family)
        if spelling and spelling.steps:
            yield spelling


def _in_file(
    spelling: Spelling, shapes: Sequence[tuple[int, ...]], config: ModelConfig
) -> Tensor:
    """Return a tensor in a file that is not there, with room for all weights."""
    shape = (sum(each[0] for each in shapes), *shapes[0][1:])
    if spelling.is_stacked:
        shape = (config.num_experts or 0, *shape)
    encoding = ENCODINGS["q8_0" if len(shape) > 1 else "f32"]
    return Tensor.at(Path("none"), 64, shape, encoding)


def _fitting(case: Case, names: Sequence[str]) -> Iterator[Encoding]:
    """Yield the encodings whose blocks fit the rows of a case."""
    for name in names:
        blocked = ENCODINGS[name].block_elements > 1
        if not blocked or (len(case.shape) > 1 and not _remainder(case, name)):
            yield ENCODINGS[name]


def _remainder(case: Case, name: str) -> int:
    return case.shape[-1] % ENCODINGS[name].block_elements


def _tensor(case: Case, encoding: Encoding) -> Tensor:
    return evolve(random_tensor(case.shape, encoding, seed=1), decoder=None)


def _not_undone(cases: Iterator[Case], names: Sequence[str]) -> list[str]:
    return [
        case.weight
        for case in cases
        for encoding in _fitting(case, names)
        if not case.returns(_tensor(case, encoding))
    ]
