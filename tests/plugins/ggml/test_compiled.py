"""Loops that numba compiles give ggml's bits, and are used once that pays."""

import sys
from importlib.util import find_spec
from threading import Event, Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

import aprhub_ggml
from aprhub.api import ENCODINGS, Codec, EnvironmentFailureError
from aprhub_ggml import compiled, loops, native
from aprhub_ggml.late import LateCompiled

NO_HEADER = np.empty(0, np.uint8)
CODECS = {codec.name: codec for codec in aprhub_ggml.provide_codecs()}
COMPILED = sorted(
    name for name, codec in CODECS.items() if "; numba after" in codec.source
)

Blocks = NDArray[np.uint8]
Values = NDArray[np.float32]


def random_blocks(name: str, count: int = 64) -> Blocks:
    size = (count, ENCODINGS[name].block_bytes)
    return np.random.default_rng(1).integers(0, 256, size, dtype=np.uint8)


def assert_same_bits(values: Values, expected: Values) -> None:
    """No numbers are no numbers; their signs and other bits may be anything."""
    numbers = ~np.isnan(expected)
    assert values.shape == expected.shape
    assert np.array_equal(numbers, ~np.isnan(values))
    assert values[numbers].tobytes() == expected[numbers].tobytes()


def other_values(_name: str, blocks: Blocks) -> Values:
    return np.zeros((len(blocks), 256), np.float32)


def test_what_is_listed_is_compiled() -> None:
    assert sorted(compiled.NAMES) == COMPILED


@pytest.mark.parametrize("name", COMPILED)
def test_random_blocks_have_the_bits_of_ggml(name: str) -> None:
    blocks = random_blocks(name, 4096)

    values = compiled.decode(name, blocks)

    assert_same_bits(values, native.decode(name, blocks))


@pytest.mark.parametrize("name", COMPILED)
@settings(max_examples=40)
@given(data=st.data())
def test_any_blocks_have_the_bits_of_ggml(name: str, data: st.DataObject) -> None:
    shape = st.tuples(st.integers(0, 3), st.just(ENCODINGS[name].block_bytes))
    blocks = data.draw(arrays(np.uint8, shape))

    values = compiled.decode(name, blocks)

    assert_same_bits(values, native.decode(name, blocks))


def test_whatever_memory_blocks_are_in_a_loop_is_compiled_once() -> None:
    blocks = random_blocks("q6_k", 9)
    fixed = blocks.copy()
    fixed.flags.writeable = False

    for each in (blocks, fixed, blocks[::2]):
        values = compiled.decode("q6_k", each)
        assert_same_bits(values, native.decode("q6_k", each))

    assert len(vars(loops)["q6_k"].signatures) == 1


def test_nothing_is_compiled_until_it_pays() -> None:
    decoder = LateCompiled("q6_k", native.decode, price=60.0)

    for _ in range(3):
        decoder(random_blocks("q6_k"), NO_HEADER)

    assert decoder._compiled is None


def test_a_decoder_that_took_its_price_is_replaced() -> None:
    asked: list[int] = []

    def first(name: str, blocks: Blocks) -> Values:
        asked.append(len(blocks))
        return native.decode(name, blocks)

    decoder = LateCompiled("q6_k", first, price=0.0)

    once = decoder(random_blocks("q6_k"), NO_HEADER)
    again = decoder(random_blocks("q6_k"), NO_HEADER)

    assert len(asked) == 1
    assert_same_bits(again, once)


def test_a_loop_that_decodes_otherwise_is_an_error() -> None:
    decoder = LateCompiled("q6_k", other_values, price=0.0)

    with pytest.raises(EnvironmentFailureError, match="q6_k is decoded otherwise"):
        decoder(random_blocks("q6_k"), NO_HEADER)


def test_where_numba_cannot_be_imported_nothing_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "aprhub_ggml.compiled", None)
    decoder = LateCompiled("q6_k", native.decode, price=0.0)
    blocks = random_blocks("q6_k")

    for _ in range(2):
        assert_same_bits(decoder(blocks, NO_HEADER), native.decode("q6_k", blocks))

    assert decoder._compiled is None


def test_others_decode_while_one_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    compiling, done = Event(), Event()

    def slowly(name: str, blocks: Blocks) -> Values:
        compiling.set()
        assert done.wait(60)
        return native.decode(name, blocks)

    monkeypatch.setattr(compiled, "decode", slowly)
    decoder, blocks = LateCompiled("q6_k", native.decode, 0.0), random_blocks("q6_k")
    first, second = (
        Thread(target=decoder, args=(blocks, NO_HEADER), daemon=True) for _ in range(2)
    )
    first.start()
    assert compiling.wait(60)
    second.start()

    second.join(20)

    assert (first.is_alive(), second.is_alive()) == (True, False)
    done.set()
    first.join()


def test_without_numba_codecs_are_ggmls(monkeypatch: pytest.MonkeyPatch) -> None:
    find = find_spec
    monkeypatch.setattr(
        aprhub_ggml, "find_spec", lambda name: None if name == "numba" else find(name)
    )

    codecs: dict[str, Codec] = {
        each.name: each for each in aprhub_ggml.provide_codecs()
    }

    assert {codecs[name].source for name in COMPILED} == {"libggml-python"}
