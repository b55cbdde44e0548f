import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from aprhub.api import ENCODINGS
from aprhub_apr import provide_codecs
from tests.plugins.apr import disk

DECODE = {codec.name: codec.decode for codec in provide_codecs()}


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
