"""Two claims to one name are an error that names both, and says what to do."""

from collections.abc import Callable
from pathlib import Path

import pytest

import aprhub
from aprhub.registry import Registry
from aprhub.testing.models import PICOS
from tests.third_party.distributions import Program

RIVAL_FORMAT = """
from aprhub.api import Format, Magic, hookimpl

@hookimpl
def provide_formats():
    return [Format("gguf", "Rival", (".gguf",), magic=(Magic(b"GGUF"),))]
"""

RIVALS = """
from aprhub.api import Codec, Family, Naming, hookimpl

@hookimpl
def provide_namings():
    return [Naming("hf", ())]

@hookimpl
def provide_families():
    return [Family("llama", "llama", "llama", (), (), ())]

@hookimpl
def provide_codecs():
    return [Codec("q8_0", lambda blocks, header: blocks)]
"""

OURS, THEIRS = "gguf (aprhub 0.1.0)", "gguf (rival 1.0)"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    aprhub.save_model(PICOS["llama"].model(Registry.load()), path)
    return path


@pytest.fixture
def contested(program: Program, plugin: Callable[..., Path]) -> Program:
    return program.beside(plugin("rival", RIVAL_FORMAT, "gguf"))


def test_both_claims_to_a_name_are_listed(contested: Program) -> None:
    rows = contested.run("plugins", "--json").json["plugins"]

    formats = [row for row in rows if row["kind"] == "format"]
    states = {row["plugin"]: row["state"] for row in formats if row["name"] == "gguf"}
    assert states == {OURS: "contested", THEIRS: "contested"}


def test_a_file_that_two_formats_recognise_equally_well_is_nobodys(
    contested: Program, model: Path
) -> None:
    found = contested.run("inspect", model)

    assert found.code == 3
    assert f"gguf from {OURS} and gguf from {THEIRS}" in found.err
    assert "choose one with --from aprhub:gguf" in found.err


def test_a_contested_name_alone_is_not_enough(contested: Program, model: Path) -> None:
    found = contested.run("inspect", model, "--from", "gguf")

    assert found.code == 3
    assert OURS in found.err
    assert THEIRS in found.err
    assert "'DISTRIBUTION:gguf'" in found.err
    assert "APRHUB_DISABLE" in found.err


@pytest.mark.parametrize("command", ["inspect", "tensors"])
def test_a_name_with_its_distribution_is_enough(
    contested: Program, model: Path, command: str
) -> None:
    found = contested.run(command, model, "--from", "aprhub:gguf", "--json")

    assert (found.code, found.err) == (0, "")


def test_a_contested_format_is_converted_by_the_distribution_that_is_named(
    contested: Program, model: Path
) -> None:
    there = contested.run("convert", model, "m.apr", "--from", "aprhub:gguf")
    back = contested.run("convert", "m.apr", "m.gguf", "--to", "aprhub:gguf")

    assert (there.code, there.err) == (0, "")
    assert (back.code, back.err) == (0, "")


def test_a_target_whose_extension_is_contested_says_how_to_choose(
    contested: Program, model: Path
) -> None:
    found = contested.run("convert", model, "m.gguf", "--from", "aprhub:gguf")

    assert found.code == 3
    assert "--to aprhub:gguf" in found.err


def test_a_disabled_distribution_contests_nothing(
    contested: Program, model: Path
) -> None:
    assert contested.without("rival").run("inspect", model).code == 0


def test_a_contested_family_is_a_finding_for_who_only_looks(
    program: Program, plugin: Callable[..., Path], model: Path
) -> None:
    beside = program.beside(plugin("rivals", RIVALS))

    found = beside.run("inspect", model, "--json").json
    rows = beside.run("tensors", model, "--json").json["tensors"]

    assert found["family"] is None
    assert "family 'llama' is provided by" in found["findings"][0]
    assert {row["canonical"] for row in rows} == {""}


USES = {
    "naming 'hf'": ("model.gguf", "out", "--family", "aprhub:llama"),
    "family 'llama'": ("model.gguf", "m.apr"),
    "codec 'q8_0'": ("packed.gguf", "m.apr"),
}


@pytest.mark.parametrize("what", sorted(USES))
@pytest.mark.usefixtures("model")
def test_other_contested_names_are_errors_when_they_are_used(
    program: Program, plugin: Callable[..., Path], tmp_path: Path, what: str
) -> None:
    packed = PICOS["llama-quantised"].model(Registry.load())
    aprhub.save_model(packed, tmp_path / "packed.gguf")

    found = program.beside(plugin("rivals", RIVALS)).run("convert", *USES[what])

    assert found.code == 3
    assert f"{what} is provided by" in found.err
    assert "rivals (rivals 1.0)" in found.err


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("guff", "gguf"), ("safetensor", "safetensors"), ("APR", "apr")],
)
def test_a_near_miss_is_suggested(
    program: Program, model: Path, wrong: str, right: str
) -> None:
    found = program.run("convert", model, "out", "--to", wrong)

    assert found.code == 2
    assert f"no format is called {wrong!r}; did you mean {right!r}?" in found.err
    assert "give one of apr, gguf, safetensors" in found.err
