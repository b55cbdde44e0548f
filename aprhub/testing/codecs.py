"""CodecConformance and EncoderConformance: arithmetic that is repeatable.

Neither way of a codec changes its input, or lets blocks depend on each other.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from aprhub.api import ENCODINGS, Codec, Encoding, UnrepresentableError
from aprhub.testing.models import random_tensor

BLOCKS = 5


class _UnderTest:
    """What the suites of both directions work on."""

    @pytest.fixture
    def codec(self) -> Codec:
        """Return the codec under test."""
        pytest.fail("give a fixture 'codec' that returns your Codec")

    @pytest.fixture
    def encoding(self, codec: Codec) -> Encoding:
        """Return the encoding of the codec."""
        return ENCODINGS[codec.name]


@pytest.mark.conformance
class CodecConformance(_UnderTest):
    """Subclass it, give `codec`, and inherit the checks.

    Whether the values are right, only a sample of another program's can tell: add a
    test with one.
    """

    @pytest.fixture
    def header(self, encoding: Encoding) -> NDArray[np.uint8]:
        """Return a header: 1.0 in every f32 of it."""
        return np.ones(encoding.header_bytes // 4, "<f4").view(np.uint8)

    @pytest.fixture
    def blocks(self, encoding: Encoding) -> NDArray[np.uint8]:
        """Return random blocks whose scales are finite, which must not be written."""
        shape = (BLOCKS, encoding.block_elements)
        data = random_tensor(shape, encoding, seed=3).tobytes()[encoding.header_bytes :]
        return np.frombuffer(data, np.uint8).reshape(BLOCKS, encoding.block_bytes)

    def test_it_decodes_a_block_type_that_the_hub_knows(self, codec: Codec) -> None:
        """Under the name of the encoding."""
        assert codec.name in ENCODINGS
        assert ENCODINGS[codec.name].is_quantized

    def test_every_block_becomes_its_elements(
        self,
        codec: Codec,
        encoding: Encoding,
        blocks: NDArray[np.uint8],
        header: NDArray[np.uint8],
    ) -> None:
        """As a row of f32 each."""
        values = codec.decode(blocks, header)

        assert values.shape == (BLOCKS, encoding.block_elements)
        assert values.dtype == np.float32
        assert np.all(np.isfinite(values))

    def test_no_blocks_become_no_elements(
        self, codec: Codec, encoding: Encoding, header: NDArray[np.uint8]
    ) -> None:
        """A tensor may be empty."""
        values = codec.decode(np.empty((0, encoding.block_bytes), np.uint8), header)

        assert values.shape == (0, encoding.block_elements)

    def test_blocks_of_zero_bytes_decode_to_one_finite_value(
        self, codec: Codec, encoding: Encoding, header: NDArray[np.uint8]
    ) -> None:
        """Pruned and padded weights are stored so."""
        zeros = np.zeros((BLOCKS, encoding.block_bytes), np.uint8)

        values = codec.decode(zeros, header)

        assert np.all(np.isfinite(values))
        assert np.unique(values).size == 1

    def test_blocks_do_not_depend_on_their_neighbours(
        self, codec: Codec, blocks: NDArray[np.uint8], header: NDArray[np.uint8]
    ) -> None:
        """The hub decodes a tensor in pieces of any number of blocks."""
        alone = [codec.decode(blocks[i : i + 1], header) for i in range(BLOCKS)]
        backwards = codec.decode(np.ascontiguousarray(blocks[::-1]), header)

        np.testing.assert_array_equal(np.concatenate(alone), backwards[::-1])

    def test_decoding_twice_gives_the_same_values(
        self, codec: Codec, blocks: NDArray[np.uint8], header: NDArray[np.uint8]
    ) -> None:
        """And is not disturbed by what was done to the first result."""
        first = codec.decode(blocks, header)
        kept = first.copy()
        first.fill(0)

        np.testing.assert_array_equal(codec.decode(blocks, header), kept)

    def test_decoding_leaves_its_input_unchanged(
        self, codec: Codec, blocks: NDArray[np.uint8], header: NDArray[np.uint8]
    ) -> None:
        """The input may be the user's own array."""
        mine, head = blocks.copy(), header.copy()

        codec.decode(mine, head)

        np.testing.assert_array_equal(mine, blocks)
        np.testing.assert_array_equal(head, header)


@pytest.mark.conformance
class EncoderConformance(_UnderTest):
    """Subclass it for a codec that encodes, give `codec`, and inherit the checks.

    Whether the blocks are the right ones, only another encoder can tell: add a test
    with one.
    """

    @pytest.fixture
    def values(self, encoding: Encoding) -> NDArray[np.float32]:
        """Return values for some blocks, each block of another size."""
        shape = (BLOCKS, encoding.block_elements)
        values = np.random.default_rng(4).standard_normal(shape, np.float32)
        sizes = np.exp2(np.arange(-4, BLOCKS - 4, dtype=np.float32))
        return values * sizes[:, None]

    @pytest.fixture
    def importance(self, encoding: Encoding) -> NDArray[np.float32]:
        """Return what an error in each column of the values costs."""
        random = np.random.default_rng(6).random(encoding.block_elements, np.float32)
        return random + np.float32(0.1)

    def test_it_says_who_encodes(self, codec: Codec, encoding: Encoding) -> None:
        """And fits a header to all values where, and only where, blocks have one."""
        assert codec.encoder
        assert bool(codec.encode) != bool(codec.fit)
        assert bool(codec.fit) == bool(encoding.header_bytes)

    def test_every_row_of_values_becomes_a_block(
        self, codec: Codec, encoding: Encoding, values: NDArray[np.float32]
    ) -> None:
        """As its bytes."""
        blocks = _Fitted(codec, values).encoded(values)

        assert blocks.shape == (BLOCKS, encoding.block_bytes)
        assert blocks.dtype == np.uint8

    def test_no_values_become_no_blocks(self, codec: Codec, encoding: Encoding) -> None:
        """A tensor may be empty."""
        nothing = np.empty((0, encoding.block_elements), np.float32)

        blocks = _Fitted(codec, nothing).encoded(nothing)

        assert blocks.shape == (0, encoding.block_bytes)

    def test_zeros_stay_zeros(self, codec: Codec, encoding: Encoding) -> None:
        """Of either sign."""
        for zero in (0.0, -0.0):
            zeros = np.full((BLOCKS, encoding.block_elements), zero, np.float32)

            assert not np.any(_Fitted(codec, zeros).held(zeros))

    def test_values_come_back_roughly(
        self, codec: Codec, values: NDArray[np.float32]
    ) -> None:
        """Ternary blocks of what is not ternary keep a tenth of it."""
        again = _Fitted(codec, values).held(values)

        assert np.linalg.norm(again - values) <= 0.9 * np.linalg.norm(values)

    def test_decoded_values_are_encoded_closely(
        self, codec: Codec, values: NDArray[np.float32]
    ) -> None:
        """They are among the values that a block can hold."""
        held = _Fitted(codec, values).held(values)

        again = _Fitted(codec, held).held(held)

        largest = np.abs(held).max(axis=1)
        assert np.all(np.abs(again - held).max(axis=1) <= 0.3 * largest)

    def test_encoded_blocks_do_not_depend_on_their_neighbours(
        self, codec: Codec, values: NDArray[np.float32]
    ) -> None:
        """The hub encodes a tensor in pieces of any number of blocks."""
        fitted = _Fitted(codec, values)

        alone = [fitted.encoded(values[i : i + 1]) for i in range(BLOCKS)]
        backwards = fitted.encoded(np.ascontiguousarray(values[::-1]))

        np.testing.assert_array_equal(np.concatenate(alone), backwards[::-1])

    def test_encoding_twice_gives_the_same_blocks(
        self, codec: Codec, values: NDArray[np.float32]
    ) -> None:
        """And is not disturbed by what was done to the first result."""
        fitted = _Fitted(codec, values)
        first = fitted.encoded(values)
        kept = first.copy()
        first.fill(0)

        np.testing.assert_array_equal(fitted.encoded(values), kept)

    def test_a_header_is_for_all_values_however_they_are_cut(
        self, codec: Codec, values: NDArray[np.float32]
    ) -> None:
        """The hub hands them over in pieces of any number of blocks."""
        pieces = (values[i : i + 1] for i in range(BLOCKS))

        fitted = _Fitted(codec, values)

        np.testing.assert_array_equal(fitted.header, _Fitted(codec, *pieces).header)

    def test_encoding_leaves_its_input_unchanged(
        self, codec: Codec, values: NDArray[np.float32]
    ) -> None:
        """The input may be the user's own array."""
        mine = values.copy()

        _Fitted(codec, mine).encoded(mine)

        np.testing.assert_array_equal(mine, values)

    def test_importance_is_taken_row_by_row_or_refused(
        self,
        codec: Codec,
        encoding: Encoding,
        values: NDArray[np.float32],
        importance: NDArray[np.float32],
    ) -> None:
        """And left unchanged; an encoder may raise UnrepresentableError instead."""
        mine, fitted = importance.copy(), _Fitted(codec, values)
        try:
            blocks = fitted.encoded(values, mine)
        except UnrepresentableError:
            assert not codec.needs_importance
            return
        alone = [fitted.encoded(values[i : i + 1], mine) for i in range(BLOCKS)]

        assert blocks.shape == (BLOCKS, encoding.block_bytes)
        np.testing.assert_array_equal(np.concatenate(alone), blocks)
        np.testing.assert_array_equal(mine, importance)


class _Fitted:
    """The encoder of a codec, fitted to some pieces of values if it has to be."""

    def __init__(self, codec: Codec, *pieces: NDArray[np.float32]) -> None:
        self.codec = codec
        self.header, self.encode = np.empty(0, np.uint8), codec.encode
        if codec.fit:
            self.header, self.encode = codec.fit(iter(pieces))

    def encoded(
        self,
        values: NDArray[np.float32],
        importance: NDArray[np.float32] | None = None,
    ) -> NDArray[np.uint8]:
        """Encode, with the same importance everywhere where the codec needs one."""
        assert self.encode, f"{self.codec.name}: the codec has no encoder"
        if importance is None and self.codec.needs_importance:
            importance = np.ones(values.shape[-1], np.float32)
        return self.encode(values, importance)

    def held(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the blocks of some values decode to."""
        return self.codec.decode(self.encoded(values), self.header)
