"""Encoders: ggml's kernels and the package's numpy make the same blocks."""

from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import aprhub_ggml
from aprhub.api import (
    ENCODINGS,
    Codec,
    EnvironmentFailureError,
    UnrepresentableError,
)
from aprhub_ggml import native, provide_codecs
from aprhub_ggml.encoding import encode_by_gguf

CODECS = {each.name: each for each in provide_codecs()}
PORTABLE = ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "tq1_0", "tq2_0", "mxfp4")
SEARCHED = ("q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs", "nvfp4")
TERNARY = ("tq1_0", "tq2_0")
"""Made for weights that are -1, 0 or 1 times a scale; others lose most."""
SIZE = 2048


def _normal(scale: float) -> NDArray[np.float32]:
    values = np.random.default_rng(5).standard_normal(SIZE, np.float32)
    return values * np.float32(scale)


INPUTS = {
    "normal": _normal(1),
    "small": _normal(1e-3),
    "tiny": _normal(1e-30),
    "large": _normal(1e4),
    "zeros": np.zeros(SIZE, np.float32),
    "constant": np.full(SIZE, -0.75, np.float32),
    "sparse": np.where(np.arange(SIZE) % 37 == 0, _normal(1), 0).astype(np.float32),
}


def _blocks(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values.reshape(-1, ENCODINGS[name].block_elements)


def _encoded(codec: Codec, values: NDArray[np.float32]) -> NDArray[np.uint8]:
    assert codec.encode is not None
    return codec.encode(_blocks(codec.name, values), None)


@pytest.mark.parametrize("values", INPUTS.values(), ids=INPUTS.keys())
@pytest.mark.parametrize("name", PORTABLE)
def test_ggml_and_the_package_make_the_same_blocks(
    name: str, values: NDArray[np.float32]
) -> None:
    assert CODECS[name].encoder == "libggml-python"

    found = _encoded(CODECS[name], values)

    assert np.array_equal(found, encode_by_gguf(name, _blocks(name, values)))


@pytest.mark.parametrize("name", [*PORTABLE, *SEARCHED])
def test_blocks_decode_to_what_was_encoded_but_for_rounding(name: str) -> None:
    codec, values = CODECS[name], INPUTS["normal"]
    before = values.copy()

    blocks = _encoded(codec, values)
    again = codec.decode(blocks, np.empty(0, np.uint8)).reshape(-1)

    assert np.array_equal(values, before)
    assert blocks.dtype == np.uint8
    assert blocks.shape[1] == ENCODINGS[name].block_bytes
    bits = 8 * ENCODINGS[name].block_bytes / ENCODINGS[name].block_elements
    bound = 0.9 if name in TERNARY else 3.5 * 2.0**-bits
    assert np.sqrt(np.mean((again - values) ** 2)) < bound


@pytest.mark.parametrize("name", [*PORTABLE, *SEARCHED])
def test_no_values_are_no_blocks(name: str) -> None:
    found = _encoded(CODECS[name], np.empty(0, np.float32))

    assert found.shape == (0, ENCODINGS[name].block_bytes)


@pytest.mark.parametrize("name", aprhub_ggml.NEEDING_IMPORTANCE)
def test_what_ggml_needs_importance_for_is_refused_without(name: str) -> None:
    assert CODECS[name].needs_importance

    with pytest.raises(UnrepresentableError, match="only made with an importance"):
        _encoded(CODECS[name], INPUTS["normal"])


@pytest.mark.parametrize(("size", "weight"), [(1e14, 1.0), (1.0, 3e38), (1e10, 1e8)])
def test_sums_that_ggml_would_end_the_process_over_are_refused(
    size: float, weight: float
) -> None:
    rows = _blocks("iq3_s", INPUTS["normal"] * np.float32(size))
    weights = np.full(rows.shape[1], weight, np.float32)

    with pytest.raises(UnrepresentableError, match="cannot be searched for"):
        native.encode("iq3_s", rows, weights)


@pytest.mark.parametrize(
    ("names", "encoder"),
    [(PORTABLE, "gguf.quants"), (SEARCHED, "aprhub_ggml.portable")],
)
def test_without_the_wheel_numpy_makes_the_same_blocks(
    names: tuple[str, ...], encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aprhub_ggml, "find_spec", lambda _name: None)
    codecs = {each.name: each for each in provide_codecs()}

    for name in names:
        assert codecs[name].encoder == encoder
        made = _encoded(codecs[name], INPUTS["normal"])
        assert np.array_equal(made, _encoded(CODECS[name], INPUTS["normal"]))


@pytest.mark.parametrize("name", sorted({*CODECS} - {"q8_1", "q1_0", "q2_0"}))
def test_without_the_wheel_the_package_decodes_to_the_same_bits(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aprhub_ggml, "find_spec", lambda _name: None)
    portable = {each.name: each for each in provide_codecs()}[name]
    size = (99, ENCODINGS[name].block_bytes)
    blocks = np.random.default_rng(7).integers(0, 256, size, dtype=np.uint8)
    header = np.empty(0, np.uint8)

    values = CODECS[name].decode(blocks, header)

    assert CODECS[name].source.split(";")[0] == "libggml-python"
    assert portable.source == "gguf.quants"
    expected = portable.decode(blocks, header)
    numbers = ~np.isnan(expected)
    assert np.array_equal(numbers, ~np.isnan(values))
    assert values[numbers].tobytes() == expected[numbers].tobytes()


@pytest.mark.parametrize("wrong", [0, 1])
def test_a_library_that_packs_otherwise_is_not_used(
    wrong: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    native._verified.cache_clear()
    known = list(native._KNOWN["q4_k"])
    known[wrong] = "0" * 16
    monkeypatch.setitem(native._KNOWN, "q4_k", tuple(known))

    with pytest.raises(EnvironmentFailureError, match="q4_k otherwise than expected"):
        _encoded(CODECS["q4_k"], INPUTS["normal"])

    native._verified.cache_clear()


@pytest.mark.parametrize("content", [None, b"no library"])
def test_a_wheel_without_a_library_is_named(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ModuleSpec("libggml", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    if content is not None:
        (tmp_path / "lib").mkdir()
        (tmp_path / "lib" / "libggml-base.so").write_bytes(content)
    native._verified.cache_clear()
    monkeypatch.setattr(native, "find_spec", lambda _name: spec)

    with pytest.raises(
        EnvironmentFailureError, match=r"libggml-python: .*aprhub\[fast"
    ):
        _encoded(CODECS["q8_0"], INPUTS["normal"])

    native._verified.cache_clear()


def test_the_wheel_is_there() -> None:
    assert find_spec("libggml") is not None
