"""What a recipe asks of each tensor: by filters, by depth, by layers; and what not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aprhub import ConvertOptions, ModelIR, Registry, open_model
from aprhub.errors import ModelCheckError, UnknownNameError, UsageError
from aprhub.merging.operation import merged
from aprhub.merging.reading import read_recipe
from tests.judges.tuned import saved
from tests.unit.merging.conftest import Write

REGISTRY = Registry.load()
Make = Callable[[str], ModelIR]


@pytest.fixture
def make(recipe: Write) -> Make:
    """Return what merges as a recipe says, in memory."""

    def run(text: str) -> ModelIR:
        wanted = read_recipe(recipe(text))
        return merged(wanted, ConvertOptions(), REGISTRY).found.model

    return run


def share(model: ModelIR, name: str, folder: Path) -> float:
    """Return how far a tensor is on the way from the one model to the two."""
    paths = (folder / "one", folder / "two")
    one, two = (open_model(path).tensors[name].numpy() for path in paths)
    moved = model.tensors[name].numpy()
    return float(np.sum((moved - one) * (two - one)) / np.sum((two - one) ** 2))


PAIR = "models: [{model: one}, {model: two, parameters: {weight: %s}}]\n"
LINEAR = "merge_method: linear\nparameters: {weight: 1}\n" + PAIR


@pytest.mark.parametrize(
    ("weight", "name", "meant"),
    [
        ("3", "embed.weight", 0.75),
        ("[1, 4]", "embed.weight", 0.5),
        ("[1, 4]", "layers.0.attn.q.weight", 0.5),
        ("[1, 4]", "layers.1.attn.q.weight", 2 / 3),
        ("[1, 4]", "layers.3.attn.q.weight", 0.8),
        ("[1, 4]", "head.weight", 0.5),
        ("[{filter: mlp, value: 3}, {value: 1}]", "layers.1.ffn.up.weight", 0.75),
        ("[{filter: mlp, value: 3}, {value: 1}]", "layers.1.attn.q.weight", 0.5),
        ("[{filter: mlp, value: 3}]", "layers.1.attn.q.weight", 0.5),
        ("[{filter: lm_head, value: [3, 9]}]", "head.weight", 0.75),
    ],
)
def test_a_parameter_holds_for_the_tensors_that_it_is_for(
    weight: str, name: str, meant: float, make: Make, folder: Path
) -> None:
    assert share(make(LINEAR % weight), name, folder) == pytest.approx(meant, abs=1e-5)


def test_stacked_layers_are_renumbered_and_copied(make: Make) -> None:
    model = make("""
merge_method: passthrough
slices:
  - sources: [{model: one, layer_range: [0, 3]}]
  - sources: [{model: two, layer_range: [1, 4]}]
""")
    one, two = open_model("one"), open_model("two")

    assert model.config.num_layers == 6
    kept = {
        "embed.weight": one.tensors["embed.weight"],
        "layers.2.attn.q.weight": one.tensors["layers.2.attn.q.weight"],
        "layers.3.attn.q.weight": two.tensors["layers.1.attn.q.weight"],
        "layers.5.ffn.down.weight": two.tensors["layers.3.ffn.down.weight"],
        "norm.weight": two.tensors["norm.weight"],
        "head.weight": two.tensors["head.weight"],
    }
    found = {name: model.tensors[name].segments() for name in kept}
    assert found == {name: tensor.segments() for name, tensor in kept.items()}


def test_the_kinds_of_layers_go_with_them(tmp_path: Path, recipe: Write) -> None:
    saved(tmp_path, "gemma3", num_layers=6, tie_embeddings=True)
    text = f"""
merge_method: passthrough
slices:
  - sources: [{{model: {tmp_path}/one, layer_range: [0, 2]}}]
  - sources: [{{model: {tmp_path}/two, layer_range: [5, 6]}}]
"""
    model = merged(read_recipe(recipe(text)), ConvertOptions(), REGISTRY).found.model

    assert model.config.layer_kinds == ("sliding", "sliding", "full")
    assert model.config.tie_embeddings is False
    two = open_model(tmp_path / "two").tensors["embed.weight"]
    assert model.tensors["head.weight"].tobytes() == two.tobytes()


TIES = "merge_method: ties\nbase_model: base\nparameters: {weight: 1}\n"

REFUSED = {
    "merge_method: nothing\n" + PAIR % 1: "no merge method is called 'nothing'",
    "merge_method: linear\n" + PAIR % 1: "weight is not given for model.embed_tokens",
    LINEAR
    % "[{filter: mpl, value: 3}]": "the filter 'mpl' is in the name of no tensor",
    LINEAR % "many": "weight is 'many'; give a number",
    LINEAR % ".inf": "weight is inf; give a number",
    LINEAR % "1" + "base_model: base": "linear compares with no base; list base among",
    "merge_method: linear\nparameters: {weight: 1, density: 1}\n"
    + PAIR % 1: "'density'; leave it out (its parameters: weight, normalize)",
    "merge_method: ties\nparameters: {weight: 1}\n" + PAIR % 1: "ties compares with a",
    TIES + "models: [{model: base, parameters: {weight: 1}}, {model: one}]": (
        "base is the base, which has no parameters of its own"
    ),
    TIES + "models: [{model: one, parameters: {lambda: 1}}]": (
        "lambda is no parameter of a single model"
    ),
    TIES + "models: [{model: one, parameters: {density: 1.5}}]": (
        "density is 1.5; give one from 0 to 1"
    ),
    "merge_method: slerp\nparameters: {t: 0.5}\nmodels: [{model: one}]": (
        "slerp merges 1 model besides the base, not 0"
    ),
    "merge_method: karcher\nparameters: {max_iter: 2.5}\n"
    "models: [{model: one}, {model: two}]": "max_iter is 2.5; give a whole number",
    TIES + "slices: [{sources: [{model: one, layer_range: [0, 2]}]}]": (
        "base is the base, but not among the sources of a slice"
    ),
    LINEAR % 1 + "chat_template: chatlm": "; did you mean 'chatml'?",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_a_method_does_not_allow_is_refused(text: str, make: Make) -> None:
    with pytest.raises((UsageError, UnknownNameError)) as caught:
        make(text)

    assert REFUSED[text] in str(caught.value)
    assert caught.value.exit_code == 2


def test_layers_that_a_model_does_not_have_are_refused(make: Make) -> None:
    text = """
merge_method: passthrough
slices: [{sources: [{model: one, layer_range: [3, 5]}]}]
"""
    said = "one: has 4 layers, but the recipe takes 3 to 4"
    with pytest.raises(ModelCheckError, match=said):
        make(text)
