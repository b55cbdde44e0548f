import pytest

from aprhub.api import Identity, ModelCheckError, ModelConfig, WeightSpec
from aprhub.spec.family import evaluated
from tests.unit import toys

CONFIG = ModelConfig(num_layers=3, num_heads=4, head_dim=16, hidden_size=64)


@pytest.mark.parametrize(
    ("formula", "value"),
    [("hidden_size", 64), ("num_heads * head_dim", 64), ("2 * head_dim", 32), ("7", 7)],
)
def test_a_formula_is_a_product_of_fields_and_numbers(formula: str, value: int) -> None:
    assert evaluated(formula, CONFIG) == value


def test_a_formula_with_an_unknown_size_names_it() -> None:
    with pytest.raises(ModelCheckError, match="vocab_size is not known"):
        evaluated("2 * vocab_size", CONFIG)


def test_a_weight_is_named_once_or_once_a_layer() -> None:
    norm = WeightSpec("norm.weight", ("hidden_size",))
    query = WeightSpec("layers.{i}.q", ("num_heads * head_dim", "hidden_size"))

    assert list(norm.names(CONFIG)) == ["norm.weight"]
    assert list(query.names(CONFIG)) == ["layers.0.q", "layers.1.q", "layers.2.q"]
    assert query.expected_shape(CONFIG) == (64, 64)
    assert list(query.names(ModelConfig())) == []


@pytest.mark.parametrize(
    ("identity", "families"),
    [
        (Identity("llama"), {"llama", "mistral", "mixtral"}),
        (Identity("mistral"), {"mistral"}),
        (Identity("llama", "MistralForCausalLM"), {"mistral"}),
        (Identity(None, "LlamaForCausalLM", "llama"), {"llama"}),
        (Identity(None, None, "llama"), {"llama"}),
        (Identity("qwen2", None, "llama"), set()),
        (Identity("Qwen3ForCausalLM"), {"qwen3"}),
    ],
)
def test_a_family_is_claimed_by_its_own_words_only(
    identity: Identity, families: set[str]
) -> None:
    found = (each.value for each in toys.INSTALLED.families)

    assert {each.name for each in found if each.is_claimed_by(identity)} == families


def test_canonical_names_belong_to_weights_by_their_role() -> None:
    llama = toys.INSTALLED.family("llama")

    found = llama.spec("layers.12.attn.q.weight")

    assert found
    assert found.role == "layers.{i}.attn.q.weight"
    assert llama.spec("layers.01.attn.q.weight") is None
    assert llama.spec("model.norm.weight") is None
