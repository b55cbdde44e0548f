"""`aprhub validate` reads every byte, and finds what is no weight."""

from pathlib import Path

import numpy as np
import pytest

from tests.health import raw
from tests.health.conftest import Bases
from tests.health.plants import EMBEDDINGS, zeroed
from tests.unit.cli.program import Done, run, succeed

MATRIX = {
    ".apr": "model.layers.1.mlp.up_proj.weight",
    ".gguf": "blk.1.ffn_up.weight",
    "": "model.layers.1.mlp.up_proj.weight",
}
SUFFIXES = list(raw.OPENERS)


def validated(path: Path) -> tuple[Done, list[tuple[str, str]]]:
    done = run("validate", path, "--json")
    assert done.err == ""
    return done, [(each["id"], each["where"]) for each in done.json["findings"]]


def changed(values: np.ndarray, suffix: str, bases: Bases, folder: Path) -> Path:
    """Write a model with other values of f16 at the start of a matrix."""

    def change(parts: raw.Parts) -> None:
        stored = parts.tensors[MATRIX[suffix]]
        data = values.astype("<f2").tobytes()
        stored.data = stored.data[:130] + data + stored.data[130 + len(data) :]

    return raw.replanted(bases.of(suffix), folder / f"planted{suffix}", change)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["qwen2", "llama", "gemma3", "llama-quantised"])
def test_a_sound_model_is_valid(bases: Bases, name: str, suffix: str) -> None:
    done, found = validated(bases.of(suffix, name))

    assert (done.code, found) == (0, [])
    assert done.json["valid"]
    assert done.json["bytes"] > 10_000
    assert done.json["gigabytes_per_second"] >= 0


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_nan_is_found_with_its_tensor_and_its_place(
    bases: Bases, suffix: str, tmp_path: Path
) -> None:
    path = changed(np.array([np.nan, np.inf]), suffix, bases, tmp_path)

    done, found = validated(path)

    assert (done.code, found) == (1, [("VAL-NAN-001", MATRIX[suffix])])
    said = done.json["findings"][0]["found"]
    assert said == "1 NaN and 1 infinite of 6144 values, the first at [1, 1]"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_infinity_is_found(bases: Bases, suffix: str, tmp_path: Path) -> None:
    path = changed(np.array([-np.inf]), suffix, bases, tmp_path)

    assert validated(path)[1] == [("VAL-INFINITE-001", MATRIX[suffix])]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("value", "id"),
    [(0.0, "VAL-ZERO-001"), (-0.5, "VAL-CONSTANT-001"), (3e-6, "VAL-DENORMAL-001")],
)
def test_a_matrix_of_one_value_is_no_weight(
    bases: Bases, suffix: str, value: float, id: str, tmp_path: Path
) -> None:
    name = MATRIX[suffix]

    def change(parts: raw.Parts) -> None:
        zeroed(name, value)(parts)
        if id == "VAL-DENORMAL-001":
            parts.tensors[name].data = b"\x01\x00" + parts.tensors[name].data[2:]

    path = raw.replanted(bases.of(suffix), tmp_path / f"planted{suffix}", change)

    assert validated(path)[1] == [(id, name)]


def test_bytes_that_a_checksum_contradicts_are_found(
    bases: Bases, tmp_path: Path
) -> None:
    data = bases.of(".apr").read_bytes()
    path = tmp_path / "planted.apr"
    path.write_bytes(data[:-70] + bytes((data[-70] ^ 1,)) + data[-69:])

    _, found = validated(path)

    assert [id for id, _ in found] == ["DOC-CHECKSUM-001"]


@pytest.mark.parametrize("suffix", [".apr", ".gguf"])
def test_a_file_cut_short_is_invalid(bases: Bases, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(bases.of(suffix).read_bytes()[:-500])

    assert validated(path)[1] == [("DOC-CORRUPT-001", "file")]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_structure_is_judged_too(bases: Bases, suffix: str, tmp_path: Path) -> None:
    def change(parts: raw.Parts) -> None:
        stored = parts.tensors[EMBEDDINGS[suffix]]
        stored.shape = stored.shape[::-1]

    path = raw.replanted(bases.of(suffix), tmp_path / f"planted{suffix}", change)

    _, found = validated(path)
    assert found == [("DOC-EMBEDDING-SWAPPED-001", EMBEDDINGS[suffix])]


def test_one_worker_finds_the_same(bases: Bases) -> None:
    many, one = (
        run("validate", bases.of(".gguf"), "--json", *words).json
        for words in ((), ("--workers", 1))
    )

    assert many["findings"] == one["findings"] == []
    assert many["bytes"] == one["bytes"]


def test_the_text_tells_the_speed(bases: Bases) -> None:
    first, second = succeed("validate", bases.of(".apr")).out.splitlines()

    assert first.endswith("qwen2.apr: apr, valid")
    assert second.startswith("  27 tensors, ")
    assert second.endswith(" GB/s)")
