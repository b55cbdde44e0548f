"""Contracts that are held against models: sound ones keep them, broken ones do not."""

from pathlib import Path

import pytest
from attrs import evolve

from aprhub import ConvertOptions, ModelIR, Registry, save_model
from aprhub.api import Format, KeyFate, LineageStep, Naming, StoredModel, UsageError
from aprhub.contracts.catalogue import contracts, named
from aprhub.contracts.checking import DEMANDS, Checked, Subject, checked
from aprhub.errors import CorruptFileError, InputError, UnknownNameError
from aprhub.lift import LiftOptions
from aprhub.registry import Provided
from aprhub.testing.models import PICOS

REGISTRY = Registry.load()
SHIPPED = contracts()
ALLOWED = ConvertOptions(allow_unrunnable=True)


def _model(name: str = "qwen2") -> ModelIR:
    return PICOS[name].model(REGISTRY)


def _saved(model: ModelIR, path: Path) -> Path:
    save_model(model, path, ALLOWED, registry=REGISTRY)
    return path


def _check(path: Path, contract: str, registry: Registry = REGISTRY) -> Checked:
    return checked(Subject(path, registry), named(contract, SHIPPED))


@pytest.mark.parametrize("suffix", [".gguf", ".apr", ""])
@pytest.mark.parametrize("contract", DEMANDS)
def test_a_sound_model_keeps_every_contract(
    contract: str, suffix: str, tmp_path: Path
) -> None:
    path = _saved(_model(), tmp_path / f"model{suffix}")

    assert _check(path, contract).faults == ()
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


SPEECHLESS = ("checkpoint-packaging", "merge-runnable", "export-gguf-interop")


@pytest.mark.parametrize("suffix", [".gguf", ".apr"])
@pytest.mark.parametrize("contract", SPEECHLESS)
def test_a_model_without_a_tokenizer_is_not_whole(
    contract: str, suffix: str, tmp_path: Path
) -> None:
    path = _saved(evolve(_model(), tokenizer=None), tmp_path / f"model{suffix}")

    (fault,) = _check(path, contract).faults

    assert "tokenizer" in str(fault)


def test_a_merge_of_no_layer_is_none(tmp_path: Path) -> None:
    model = _model()
    step = LineageStep("adapter merge", {}, {"layers_merged": 0})
    provenance = model.provenance.extended(step)
    path = _saved(evolve(model, provenance=provenance), tmp_path / "model.apr")

    (fault,) = _check(path, "merge-runnable").faults

    assert fault.problem == "the lineage says that it merged no layer"


def test_every_shape_that_does_not_fit_is_a_fault(tmp_path: Path) -> None:
    path = _saved(_model(), tmp_path / "model")
    config = path / "config.json"
    text = config.read_text()
    config.write_text(text.replace('"intermediate_size": ', '"intermediate_size": 1'))

    found = _check(path, "tensor-layout")

    assert not found.holds
    assert all("intermediate_size" in str(each) for each in found.faults)


def test_a_naming_that_spells_two_weights_alike_is_found(tmp_path: Path) -> None:
    (hf,) = (each.value for each in REGISTRY.namings if each.value.name == "hf")
    doubled = tuple(
        evolve(rule, theirs=rule.theirs.replace("k_proj", "q_proj"))
        for rule in hf.rules
    )
    wrong = Naming("doubled", doubled)
    provided = (*REGISTRY.namings, Provided(wrong, "doubled (toys 1)", "toys"))
    path = _saved(_model(), tmp_path / "model.gguf")

    found = _check(path, "naming-bijection", evolve(REGISTRY, namings=provided))

    assert any("doubled" in str(each) for each in found.faults)


def _forgetful(fmt: Format) -> Format:
    """Return a format whose reader finds another number than was written."""

    def opened(path: Path) -> StoredModel:
        stored = fmt.opened(path)
        return evolve(stored, config=evolve(stored.config, norm_eps=0.25))

    return evolve(fmt, open=opened)


def test_a_format_that_loses_a_value_does_not_bring_it_back(tmp_path: Path) -> None:
    path = _saved(_model(), tmp_path / "model.gguf")
    formats = tuple(
        evolve(each, value=_forgetful(each.value)) if each.value.name == "apr" else each
        for each in REGISTRY.formats
    )

    found = _check(path, "format-roundtrip", evolve(REGISTRY, formats=formats))

    (fault,) = found.faults
    assert fault.subject == "apr"
    assert "norm_eps: config (1e-05 became 0.25)" in fault.problem


def test_a_key_that_is_dropped_is_accounted_for_by_nobody(tmp_path: Path) -> None:
    path = _saved(_model(), tmp_path / "model.gguf")
    dropped = KeyFate("general.licence", "dropped", why="nobody asked for it")

    def with_dropped(fmt: Format) -> Format:
        opened = fmt.open
        assert opened
        return evolve(fmt, open=lambda file: evolve(opened(file), fates=(dropped,)))

    formats = tuple(
        evolve(each, value=with_dropped(each.value)) for each in REGISTRY.formats
    )

    found = _check(path, "convert-accounting", evolve(REGISTRY, formats=formats))

    assert set(map(str, found.faults)) == {
        "general.licence: dropped (nobody asked for it)"
        " (take it out with 'aprhub stamp --unset')"
    }


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Return a GGUF with a tokenizer that has no form in a folder."""
    model = _model()
    assert model.tokenizer
    assert model.tokenizer.flat
    vocabulary = evolve(model.tokenizer.flat, pre="of-no-name")
    tokenizer = evolve(model.tokenizer, flat=vocabulary, json=None)
    return _saved(evolve(model, tokenizer=tokenizer), tmp_path / "model.gguf")


def test_a_format_that_refuses_aloud_breaks_nothing(flat: Path) -> None:
    found = _check(flat, "convert-accounting")

    assert found.holds
    (refusal,) = found.refusals
    assert refusal.format == "safetensors"
    assert "no tokenizer.json can be built" in str(refusal)


def test_where_every_format_refuses_nothing_is_proved(flat: Path) -> None:
    found = _check(flat, "format-roundtrip")

    assert len(found.refusals) == 3
    (fault,) = found.faults
    assert "nothing was judged" in str(fault)


def test_what_is_no_model_is_an_error_and_no_verdict(tmp_path: Path) -> None:
    path = _saved(_model(), tmp_path / "model.gguf")
    path.write_bytes(path.read_bytes()[:100])

    with pytest.raises(CorruptFileError):
        _check(path, "tensor-layout")
    with pytest.raises(InputError, match="no such file"):
        _check(tmp_path / "none.gguf", "tensor-layout")


def test_a_contract_about_no_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="plugin-isolation cannot be run on a file"):
        _check(tmp_path, "plugin-isolation")
    with pytest.raises(UnknownNameError, match="did you mean 'merge-runnable'"):
        named("merge-runable", SHIPPED)


@pytest.mark.parametrize(
    "name", ["merge-runnable", "merge-runnable-v1", "C-APRHUB-MERGE-RUNNABLE"]
)
def test_a_contract_has_several_names(name: str) -> None:
    assert named(name, SHIPPED).name == "merge-runnable"


def test_with_names_kept_nothing_can_be_judged(tmp_path: Path) -> None:
    path = _saved(_model(), tmp_path / "model.gguf")
    subject = Subject(path, REGISTRY, LiftOptions("keep"))

    for contract in ("tensor-layout", "naming-bijection"):
        assert not checked(subject, named(contract, SHIPPED)).holds
