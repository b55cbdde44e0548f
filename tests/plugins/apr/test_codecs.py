from pathlib import Path

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from aprhub.api import ENCODINGS, Codec, Tensor, UnrepresentableError
from aprhub.encoders import Encoders
from aprhub.registry import Registry
from aprhub.testing.codecs import CodecConformance, EncoderConformance
from aprhub_apr import APR, provide_codecs
from tests.plugins.apr import disk, golden

CODECS = {codec.name: codec for codec in provide_codecs()}
DECODE = {name: codec.decode for name, codec in CODECS.items()}


class TestDecoders(CodecConformance):
    @pytest.fixture(params=sorted(CODECS))
    def codec(self, request: pytest.FixtureRequest) -> Codec:
        return CODECS[request.param]


class TestEncoders(EncoderConformance):
    @pytest.fixture(params=sorted(CODECS))
    def codec(self, request: pytest.FixtureRequest) -> Codec:
        return CODECS[request.param]


def _values(name: str, shape: tuple[int, ...], data: bytes) -> list[float]:
    tensor = disk.packed(shape, ENCODINGS[name], data)
    found: list[float] = evolve(tensor, decoder=DECODE[name]).numpy().tolist()
    return found


def _block(scale: float, nibbles: list[int]) -> bytes:
    pairs = zip(nibbles[::2], nibbles[1::2], strict=True)
    low_first = bytes(low | high << 4 for low, high in pairs)
    return np.float16(scale).tobytes() + low_first


def test_q8_is_bytes_times_one_scale() -> None:
    data = np.float32(0.5).tobytes() + bytes([127, 0xC0, 0])

    assert _values("apr_q8", (3,), data) == [63.5, -32.0, 0.0]


def test_q4_takes_the_low_nibble_first_and_ignores_rows() -> None:
    nibbles = [*range(16), *range(16)]
    data = _block(0.5, nibbles) + _block(2, [9, 7] + [0] * 30)

    values = np.array(_values("apr_q4", (2, 17), data)).reshape(-1)

    expected = [(nibble - 8) * 0.5 for nibble in nibbles]
    assert values.tolist() == [*expected, 2.0, -2.0]


@pytest.mark.parametrize("scale", [np.inf, np.nan, 2.0**-15])
def test_a_scale_of_q4_that_is_none_counts_as_zero(scale: float) -> None:
    assert not np.any(_values("apr_q4", (32,), _block(scale, [0] * 32)))


@pytest.mark.parametrize("name", ["apr_q4", "apr_q8"])
def test_an_empty_tensor_has_no_values(name: str) -> None:
    assert _values(name, (0,), b"") == []


@given(st.binary(min_size=36, max_size=36), st.binary(min_size=4, max_size=4))
def test_any_bytes_are_decoded_and_left_as_they_are(data: bytes, header: bytes) -> None:
    for name, width in {"apr_q4": 18, "apr_q8": 1}.items():
        blocks = np.frombuffer(data, np.uint8).reshape(-1, width)
        scale = np.frombuffer(header, np.uint8)

        values = DECODE[name](blocks, scale)

        assert values.dtype == np.float32
        assert values.shape == (len(blocks), ENCODINGS[name].block_elements)
        assert (blocks.tobytes(), scale.tobytes()) == (data, header)


def _encoded(tensor: Tensor, name: str) -> bytes:
    encoders = Encoders(Registry.load(), Path("target.apr"))
    return encoders.encoded("w", tensor, ENCODINGS[name]).tobytes()


@pytest.mark.parametrize(("file", "name"), [("aprq4", "apr_q4"), ("aprq8", "apr_q8")])
def test_the_bytes_are_those_of_the_reference_implementation(
    file: str, name: str
) -> None:
    tensors = APR.opened(golden.path(f"{file}.apr")).tensors
    expected = {key: each for key, each in tensors.items() if f"{key}.src" in tensors}

    assert len(expected) >= 7
    for key, tensor in expected.items():
        if key != "huge_scale":
            found = _encoded(tensors[f"{key}.src"], name)
            assert found == tensor.tobytes(), key


def test_a_scale_that_no_f16_holds_is_refused_though_the_reference_writes_it() -> None:
    source = APR.opened(golden.path("aprq4.apr")).tensors["huge_scale.src"]

    with pytest.raises(UnrepresentableError, match="w: has values that are as large"):
        _encoded(source, "apr_q4")


@pytest.mark.parametrize("name", ["apr_q4", "apr_q8"])
def test_pieces_of_any_size_are_those_of_the_whole(name: str) -> None:
    values = np.random.default_rng(7).standard_normal((37, 91), np.float32)
    encoders = Encoders(Registry.load(), Path("target.apr"))
    tensor = encoders.encoded("w", Tensor.of(values), ENCODINGS[name])
    whole = np.frombuffer(tensor.tobytes(), np.uint8)

    for start, stop in [(0, 1), (3, 5), (17, 400), (len(whole) - 9, len(whole))]:
        part = np.empty(stop - start, np.uint8)
        tensor.read_into(start, part)
        assert np.array_equal(part, whole[start:stop])
