"""Blocks are decoded as the `gguf` package and ggml's layouts have it."""

import subprocess
import sys

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import _type_traits as decoded_by_gguf

import aprhub_ggml
from aprhub.api import ENCODINGS, Codec, Memory, Tensor, UnrepresentableError
from aprhub.testing.codecs import CodecConformance
from aprhub_ggml import native
from aprhub_ggml.decoding import decode_by_gguf

CODECS = {codec.name: codec for codec in aprhub_ggml.provide_codecs()}
NO_HEADER = np.empty(0, np.uint8)
PLAIN = {"bf16"}
OWN = {"q8_1", "q1_0", "q2_0"}


class TestEveryCodec(CodecConformance):
    @pytest.fixture(params=sorted(CODECS))
    def codec(self, request: pytest.FixtureRequest) -> Codec:
        return CODECS[request.param]


def random_blocks(
    name: str, count: int
) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    size = ENCODINGS[name].block_bytes
    generator = np.random.default_rng(len(name))
    return generator.integers(0, 256, (count, size), dtype=np.uint8)


def test_there_is_a_codec_for_all_that_the_package_decodes() -> None:
    theirs = {kind.name.lower() for kind in decoded_by_gguf} - PLAIN

    assert {*CODECS} == theirs | OWN


@pytest.mark.parametrize("name", sorted({*CODECS} - OWN))
def test_blocks_have_the_values_of_the_package(name: str) -> None:
    blocks = random_blocks(name, 33)
    kind = GGMLQuantizationType[name.upper()]
    with np.errstate(all="ignore"):
        expected = np.concatenate(
            [gguf.quants.dequantize(each, kind) for each in blocks]
        )

    values = CODECS[name].decode(blocks, NO_HEADER)

    assert values.shape == (33, ENCODINGS[name].block_elements)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values.reshape(-1), expected)


@pytest.mark.parametrize("name", CODECS)
def test_decoding_does_not_change_the_blocks(name: str) -> None:
    blocks = random_blocks(name, 5)
    before = blocks.copy()

    CODECS[name].decode(blocks, NO_HEADER)

    np.testing.assert_array_equal(blocks, before)


@pytest.mark.parametrize("name", CODECS)
def test_no_blocks_are_no_values(name: str) -> None:
    values = CODECS[name].decode(random_blocks(name, 0), NO_HEADER)

    assert values.shape == (0, ENCODINGS[name].block_elements)


@pytest.mark.parametrize("name", CODECS)
def test_a_scale_that_is_no_number_gives_no_numbers_and_no_warning(name: str) -> None:
    blocks = np.full((2, ENCODINGS[name].block_bytes), 0xFF, np.uint8)

    assert CODECS[name].decode(blocks, NO_HEADER).shape[0] == 2


def test_q8_1_is_scale_times_quant() -> None:
    block = np.zeros((1, 36), np.uint8)
    block[0, :4] = np.array([0.5, 99.0], "<f2").view(np.uint8)
    block[0, 4:] = np.arange(-16, 16, dtype=np.int8).view(np.uint8)

    values = CODECS["q8_1"].decode(block, NO_HEADER)

    assert values.tolist() == [[number / 2 for number in range(-16, 16)]]


@pytest.mark.parametrize("name", ["q1_0", "q2_0"])
def test_what_the_package_lacks_has_the_values_of_ggmls_own_kernel(name: str) -> None:
    blocks = random_blocks(name, 99)

    values = CODECS[name].decode(blocks, NO_HEADER)

    expected = native.decode(name, blocks)
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("name", ["q4_0", "q8_0", "mxfp4", "tq2_0"])
def test_a_tensor_decodes_to_what_was_quantised(name: str) -> None:
    codec: Codec = CODECS[name]
    values = np.random.default_rng(0).standard_normal((3, 512), np.float32)
    packed = gguf.quants.quantize(values, GGMLQuantizationType[name.upper()])
    source = Memory.of(packed)

    tensor = Tensor((3, 512), ENCODINGS[name], source, codec.decode)

    expected = gguf.quants.dequantize(packed, GGMLQuantizationType[name.upper()])
    np.testing.assert_array_equal(tensor.numpy(), expected)


@pytest.mark.parametrize("name", ["q8_k", "q2_0"])
def test_what_the_package_cannot_decode_is_an_error_of_ours(name: str) -> None:
    with pytest.raises(UnrepresentableError, match="install a newer one"):
        decode_by_gguf(name, random_blocks(name, 1))


def test_listing_the_codecs_does_not_import_the_package() -> None:
    program = (
        "import sys, aprhub_ggml; list(aprhub_ggml.provide_codecs());"
        " sys.exit('gguf' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
