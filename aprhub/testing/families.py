"""FamilyConformance: a table from which a model can be made, and judged."""

import re
from collections.abc import Iterator

import pytest
from attrs import evolve, fields_dict

from aprhub.api import Family, ModelConfig, ModelIR
from aprhub.check import faults
from aprhub.ir.model import EMBEDDING, HEAD
from aprhub.testing.models import pico_config, pico_model

ROLE = re.compile(
    r"(layers\.\{i\}\.(experts\.\{j\}\.)?)?[a-z0-9_]+(\.[a-z0-9_]+)*\.(weight|bias)"
)
FIELDS = fields_dict(ModelConfig)


@pytest.mark.conformance
class FamilyConformance:
    """Subclass it, give `family`, and inherit the checks."""

    @pytest.fixture
    def family(self) -> Family:
        """Return the family under test."""
        pytest.fail("give a fixture 'family' that returns your Family")

    def test_its_name_is_one_word_in_lower_case(self, family: Family) -> None:
        """So that it can be typed after `--family`."""
        assert family.name.isidentifier()
        assert family.name == family.name.lower()
        assert family.name in family.claims

    def test_every_role_is_there_once_and_spelt_like_one(self, family: Family) -> None:
        """Such as `layers.{i}.attn.q.weight`."""
        roles = [weight.role for weight in family.weights]

        assert [role for role in roles if not ROLE.fullmatch(role)] == []
        assert len(set(roles)) == len(roles)
        assert EMBEDDING in roles

    def test_its_tables_name_fields_of_the_configuration(self, family: Family) -> None:
        """A misspelt field would be a value that nobody reads."""
        flags = {weight.when for weight in family.weights if weight.when}

        assert {*family.defaults, *family.hf_defaults, *flags} <= FIELDS.keys()

    def test_every_weight_has_a_shape_that_the_configuration_determines(
        self, family: Family
    ) -> None:
        """In positive numbers."""
        config = pico_config(family)
        shapes = [weight.expected_shape(config) for weight in family.weights]

        assert all(shapes)
        assert all(size > 0 for shape in shapes for size in shape)

    def test_a_model_made_from_the_table_is_sound(self, family: Family) -> None:
        """With each of its options, and without."""
        flags = {weight.when: True for weight in family.weights if weight.when}

        assert faults(pico_model(family), family) == []
        assert faults(pico_model(family, chosen=flags), family) == []

    def test_a_model_without_one_of_its_weights_is_not(self, family: Family) -> None:
        """A fault names what is missing."""
        model = pico_model(family)
        unnoticed = [
            name
            for name in _required(family, model)
            if name
            not in [fault.subject for fault in faults(_less(model, name), family)]
        ]
        assert unnoticed == []

    def test_a_head_may_be_missing_only_where_it_is_tied(self, family: Family) -> None:
        """A tied head is not stored; an untied one must be."""
        tied = pico_model(family, chosen={"tie_embeddings": True})
        loose = evolve(tied, config=evolve(tied.config, tie_embeddings=False))

        assert HEAD not in tied.tensors
        assert faults(tied, family) == []
        assert HEAD in [fault.subject for fault in faults(loose, family)]


def _required(family: Family, model: ModelIR) -> Iterator[str]:
    for weight in family.weights:
        if not weight.optional and not weight.when:
            yield from weight.names(model.config)


def _less(model: ModelIR, name: str) -> ModelIR:
    rest = {key: tensor for key, tensor in model.tensors.items() if key != name}
    return evolve(model, tensors=rest)
