"""`aprhub merge`: recipes and short forms, any formats, and what it leaves on disk."""

from pathlib import Path

import pytest
from attrs import evolve

import aprhub
from aprhub import ConvertOptions, Registry, Tensor, save_model
from aprhub.testing.files import contents
from tests.judges import tuned
from tests.unit.cli.program import refused, run, succeed

SLERP = ("merge", "--method", "slerp", "--t", "0.3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a base and two models, in three formats."""
    path = tmp_path_factory.mktemp("tuned")
    for model in tuned.saved(path, matrices="bf16"):
        for suffix in (".gguf", ".apr"):
            aprhub.convert(model, model.with_suffix(suffix))
    return path


@pytest.fixture(autouse=True)
def _here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def test_a_merge_says_what_it_did(tmp_path: Path) -> None:
    done = succeed(*SLERP, "one", "two", "-o", tmp_path / "out")

    assert done.out.startswith("one (safetensors, llama) -> ")
    assert "21 tensors, 0 kept bit for bit: 21 merged by slerp" in done.out
    assert "note: merged by slerp from 2 models: one, two" in done.out


@pytest.mark.parametrize(
    ("one", "two"), [("one.gguf", "two"), ("one", "two.apr"), ("one.apr", "two.gguf")]
)
def test_the_formats_of_the_models_do_not_matter(
    one: str, two: str, tmp_path: Path
) -> None:
    target, other = tmp_path / "a.gguf", tmp_path / "b.gguf"
    succeed(*SLERP, "one", "two", "-o", target)

    succeed(*SLERP, one, two, "-o", other)

    assert succeed("diff", target, other).out.startswith("21 tensors: 21 equal")


def test_a_recipe_is_the_same_as_its_short_form(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yml"
    recipe.write_text("""
merge_method: ties
base_model: base
models: [{model: one, parameters: {weight: 0.7}}, {model: two}]
parameters: {weight: 0.4, density: 0.5}
""")
    short = ("--method", "ties", "--base", "base", "--weights", "0.7,0.4")

    succeed("merge", recipe, "-o", tmp_path / "a.apr")
    words = ("--set", "density=0.5", "one", "two", "-o", tmp_path / "b.apr")
    succeed("merge", *short, *words)

    assert "equal" in succeed("diff", tmp_path / "a.apr", tmp_path / "b.apr").out


def test_a_dry_run_gives_exact_sizes_and_writes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "out.gguf"
    words = (*SLERP, "one", "two.apr", "-o", target, "--json")

    planned = succeed(*words, "--dry-run").json

    assert not target.exists()
    report = succeed(*words, "--verify=values").json
    assert planned["nbytes"] == report["nbytes"] == target.stat().st_size
    assert report["inputs"] == ["one", "two.apr"]
    assert report["verified"] == "values"
    assert {step for each in report["tensors"] for step in each["steps"]} >= {
        "merged by slerp"
    }


def test_the_result_tells_how_it_was_made(tmp_path: Path) -> None:
    target = tmp_path / "out.gguf"
    words = ("merge", "--method", "dare_linear", "--base", "base", "--weights", "0.5")
    more = ("--seed", "5", "--family", "llama")

    succeed(*words, *more, "one", "two.gguf", "-o", target)

    step = aprhub.open_model(target).provenance.lineage[-1]
    assert step.operation == "merge"
    assert sorted(step.inputs) == ["base", "one", "two.gguf"]
    assert (step.options["method"], step.options["seed"]) == ("dare_linear", 5)
    assert step.options["family"] == "llama"


def test_the_seed_decides_what_is_drawn(tmp_path: Path) -> None:
    method = ("--method", "dare_ties", "--weights", "0.5", "--density", "0.5")
    words = ("merge", *method, "--base", "base", "one", "two")
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        succeed(*words, "--seed", seed, "-o", tmp_path / f"{name}.gguf")

    files = {name: (tmp_path / f"{name}.gguf").read_bytes() for name in "abc"}
    assert files["a"] == files["b"] != files["c"]


def test_the_dtype_is_that_of_the_base_unless_asked(tmp_path: Path) -> None:
    succeed(*SLERP, "one", "two", "-o", tmp_path / "kept")
    succeed(*SLERP, "one", "two", "-o", tmp_path / "wide", "--dtype", "float32")

    kinds = [
        aprhub.open_model(tmp_path / name).tensors["head.weight"].encoding.name
        for name in ("kept", "wide")
    ]
    assert kinds == ["bf16", "f32"]


def test_quantised_models_are_decoded_and_the_report_says_so(tmp_path: Path) -> None:
    small = tmp_path / "small.gguf"
    aprhub.convert("one", small, ConvertOptions(quantize="q8_0"))

    done = succeed(*SLERP, small, "two", "-o", tmp_path / "out.apr")

    assert "16 tensors were decoded from q8_0: what quantising lost" in done.out
    words = (*SLERP, small, "two", "-o", tmp_path / "out.gguf", "--quantize", "Q8_0")
    succeed(*words)
    encoded = aprhub.open_model(tmp_path / "out.gguf").tensors["head.weight"].encoding
    assert encoded.name == "q8_0"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("one", "two"), "give one recipe (a .yaml file), or models and a --method"),
        (("none.yaml",), "none.yaml: cannot be read as a recipe"),
        (("none.yaml", "--t", "1"), "the recipe says this, not an option: parameters"),
        (("--method", "slerp", "one", "two"), "t is not given for model.embed_tokens"),
        (("--method", "slrp", "one", "two"), "did you mean 'slerp'?"),
        (("--method", "ties", "--t", "1", "one", "two"), "ties has no parameter 't'"),
        (("--method", "slerp", "--set", "t", "one", "two"), "'t' is not NAME=VALUE"),
        (("--method", "slerp", "--t", "0.5", "one", "no"), "no: "),
    ],
)
def test_what_makes_no_sense_is_refused(
    words: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    done = run("merge", *words, "-o", tmp_path / "out")

    assert done.code in (2, 3)
    assert said in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_failed_merge_leaves_what_stood_there(tmp_path: Path) -> None:
    target = tmp_path / "out.gguf"
    succeed(*SLERP, "one", "two", "-o", target)
    model = tuned.tuned("llama", 3, "bf16")
    values = model.tensors["norm.weight"].numpy().copy()
    values[0] = float("nan")
    broken = evolve(model, tensors={**model.tensors, "norm.weight": Tensor.of(values)})
    save_model(broken, tmp_path / "broken.gguf", registry=Registry.load())
    before = contents(tmp_path)

    words = (*SLERP, "one", tmp_path / "broken.gguf", "-o", target, "--force")
    said = refused(1, *words)

    assert "norm.weight: slerp gives infinite values or none" in said
    assert contents(tmp_path) == before


def test_a_damaged_model_is_refused_whichever_it_is(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.apr"
    data = bytearray(Path("two.apr").read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)

    words = (*SLERP, "one", damaged, "-o", tmp_path / "out")
    said = refused(1, *words, "--lossy")

    assert "the checksum is" in said
    assert [each.name for each in tmp_path.iterdir()] == ["damaged.apr"]
    text = succeed(*words, "--allow-damaged").out
    assert "note: damaged, and converted as it is: " in text


def test_models_of_one_name_are_told_apart(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "one"
    aprhub.convert("two", other)

    succeed(*SLERP, "one", other, "-o", tmp_path / "out.gguf")

    step = aprhub.open_model(tmp_path / "out.gguf").provenance.lineage[-1]
    assert sorted(step.inputs) == ["one", "one (1)"]


def test_an_output_is_not_replaced_unasked(tmp_path: Path) -> None:
    target = tmp_path / "out.gguf"
    target.write_bytes(b"mine")

    assert "--force" in refused(2, *SLERP, "one", "two", "-o", target)
    assert target.read_bytes() == b"mine"


def test_methods_are_listed_with_their_parameters() -> None:
    rows = {row["name"]: row for row in succeed("methods", "--json").json["methods"]}

    assert rows["slerp"]["parameters"] == ["t"]
    assert rows["ties"]["parameters"][:2] == ["[weight]", "[density]=1"]
    assert rows["ties:apr"]["base"] == "required"
    assert "ties:apr" in succeed("methods").out
