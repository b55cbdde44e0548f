"""Rules lead there and back, and match nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aprhub.api import Adjustment, Family, Naming, Rule, Transform, WeightSpec
from aprhub.spec.naming import canonical

RULE = Rule("blk.{i}.attn_q.weight", "layers.{i}.attn.q.weight")
FAMILY = Family(
    "toy",
    "toy",
    "toy",
    (),
    (),
    (
        WeightSpec("embed.weight", ("vocab_size",)),
        WeightSpec("layers.{i}.attn.q.weight", ("hidden_size",)),
        WeightSpec("layers.{i}.attn.k.weight", ("hidden_size",)),
    ),
)
TURN = Transform("turned", lambda tensor, _: tensor, lambda tensor, _: tensor)


@given(st.integers(0, 1 << 40))
def test_a_layer_number_goes_there_and_back(layer: int) -> None:
    stored = f"blk.{layer}.attn_q.weight"

    ours = RULE.to_ours(stored)

    assert ours == (f"layers.{layer}.attn.q.weight",)
    assert RULE.to_theirs(*ours) == stored


@pytest.mark.parametrize(
    "name",
    [
        "blk.00.attn_q.weight",
        "blk.01.attn_q.weight",
        "blk.-1.attn_q.weight",
        "blk.1.attn_q.weight.x",
        "xblk.1.attn_q.weight",
        "blk.\u0661.attn_q.weight",
        "blk.1.attn_q_weight",
        "blkx1.attn_q.weight",
        "blk.1.attn_q.weight\n",
    ],
)
def test_a_rule_matches_no_other_name(name: str) -> None:
    assert RULE.to_ours(name) is None


def test_rules_of_a_family_replace_those_of_the_same_role() -> None:
    own = Rule("blk.{i}.query", "layers.{i}.attn.q.weight")
    naming = Naming("n", (RULE,), {"toy": (own,)})

    there = naming.to_theirs("layers.3.attn.q.weight", FAMILY)

    assert there
    assert there.stored == "blk.3.query"
    assert naming.to_ours("blk.3.attn_q.weight", FAMILY) is None


def test_rules_for_roles_that_a_family_lacks_do_not_hold_for_it() -> None:
    naming = Naming("n", (Rule("bias", "layers.{i}.attn.q.bias"), RULE))

    assert naming.rules_for(FAMILY) == (RULE,)
    assert naming.to_ours("bias", FAMILY) is None


def test_a_prefix_may_be_missing_and_the_stored_name_is_kept() -> None:
    naming = Naming("n", (Rule("model.embed", "embed.weight"),), prefixes=("model.",))

    bare = naming.to_ours("embed", FAMILY)

    assert bare
    assert (bare.stored, bare.canonical) == ("embed", "embed.weight")


def test_a_transform_belongs_to_whole_roles_and_to_some_families() -> None:
    always = Adjustment(r"layers\.\{i\}\.attn\.q\.weight", TURN)
    never = Adjustment(r".*", TURN, lambda family: family.name == "other")
    naming = Naming("n", (RULE, Rule("e", "embed.weight")), adjustments=(always, never))

    query = naming.to_ours("blk.0.attn_q.weight", FAMILY)
    embedding = naming.to_ours("e", FAMILY)

    assert query
    assert query.parts[0].transform is TURN
    assert embedding
    assert embedding.parts[0].transform is None


def test_the_canonical_naming_spells_every_role_as_itself() -> None:
    naming = canonical(FAMILY)

    for name in ("embed.weight", "layers.7.attn.k.weight"):
        spelling = naming.to_ours(name, FAMILY)
        assert spelling
        assert spelling.canonical == name
    assert naming.to_ours("layers.7.attn.v.weight", FAMILY) is None
