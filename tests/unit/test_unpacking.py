"""Who unpacks a model, and when nobody does."""

from pathlib import Path

import pytest
from attrs import evolve

from aprhub.api import Packing, PackingClaim, StoredModel, UnsupportedFileError
from aprhub.errors import ContestedNameError
from aprhub.registry import Provided
from aprhub.unpacking import unpacked
from tests.unit import toys

PLAIN = StoredModel("toy", Path("model.toy"), {})
CLAIMED = evolve(PLAIN, packing=PackingClaim("toy", {"bits": 4}, "toy.json"))


def _unpack(stored: StoredModel, claim: PackingClaim) -> StoredModel:
    return evolve(stored, notes=(f"{claim.settings['bits']} bits",))


TOY = Provided(Packing("toy", "Toy", _unpack), "toys (toys 1)", "toys")
REGISTRY = evolve(toys.INSTALLED, packings=(TOY,))


def test_a_model_that_claims_no_packing_is_left_alone() -> None:
    assert unpacked(PLAIN, REGISTRY) is PLAIN


def test_the_packing_of_the_name_unpacks() -> None:
    found = unpacked(CLAIMED, REGISTRY)

    assert found.notes == ("4 bits",)
    assert found.packing is None


def test_with_names_kept_parts_are_kept() -> None:
    found = unpacked(CLAIMED, REGISTRY, "keep")

    assert found.tensors == CLAIMED.tensors
    assert found.notes == ("packed by toy: the parts are kept as they are stored",)


def test_an_unknown_packing_is_refused_with_those_that_are_known() -> None:
    stored = evolve(CLAIMED, packing=PackingClaim("other", {}, "toy.json"))

    with pytest.raises(UnsupportedFileError) as caught:
        unpacked(stored, REGISTRY)

    assert str(caught.value) == (
        "model.toy: toy.json: weights packed by 'other' are not read (known: toy);"
        " keep the parts as they are with --naming keep"
    )


def test_a_packing_that_two_plugins_provide_is_contested() -> None:
    twice = evolve(REGISTRY, packings=(TOY, evolve(TOY, plugin="tools (tools 1)")))

    with pytest.raises(ContestedNameError, match="packing 'toy' is provided by"):
        unpacked(CLAIMED, twice)
