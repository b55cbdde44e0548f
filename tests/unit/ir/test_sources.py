"""Any span of any source equals that span of the whole, however it is computed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aprhub.api import (
    ENCODINGS,
    CorruptFileError,
    FileRange,
    Tensor,
    combined,
    concatenated,
)
from tests.unit.ir import blocks


def _plain(noise: Path) -> Tensor:
    return blocks.at(noise, 5, (7, 9), "f32").tensor


def _quantised(noise: Path) -> Tensor:
    return blocks.at(noise, 11, (6, 64), "q8_0").tensor


def _reversed(tensor: Tensor) -> Tensor:
    return tensor.taken(np.arange(tensor.shape[0])[::-1].copy())


KINDS: dict[str, Callable[[Path], Tensor]] = {
    "affine": lambda noise: _plain(noise).affine(1.0),
    "cast of a gather": lambda n: _reversed(_plain(n)).cast(ENCODINGS["f16"]),
    "cast to narrower": lambda noise: _plain(noise).cast(ENCODINGS["bf16"]),
    "cast to wider": lambda noise: _plain(noise).cast(ENCODINGS["f64"]),
    "combined": lambda noise: combined(np.add, [_plain(noise), _plain(noise)]),
    "concatenation": lambda n: concatenated([_reversed(_plain(n)), _plain(n)]),
    "decoded": lambda noise: _quantised(noise).decoded(),
    "decoded flat": lambda n: blocks.at(n, 3, (3, 7), "apr_q8").tensor.decoded(),
    "decoded gather": lambda noise: _reversed(_quantised(noise)).decoded(),
    "decoded padded rows": lambda n: blocks.at(n, 3, (5, 40), "q8_0").tensor.decoded(),
    "file range": _plain,
    "gather": lambda noise: _reversed(_plain(noise)),
    "gather of far rows": lambda n: blocks.at(n, 0, (99, 3), "f32").tensor.taken(
        np.array([98, 0, 50, 51])
    ),
    "memory": lambda noise: Tensor.of(_plain(noise).numpy()),
    "scalar": lambda _noise: Tensor.of(np.array(2.5, np.float32)).affine(1.0),
    "slice of a map": lambda noise: _quantised(noise).decoded().sliced(1, 4),
    "slice of a transposition": lambda n: _plain(n).transposed().sliced(2, 7),
    "transposed": lambda noise: _plain(noise).transposed(),
    "transposed decoded": lambda noise: _quantised(noise).transposed(),
    "unaligned slice of a gather": lambda n: (
        _reversed(_plain(n)).reshaped(21, 3).sliced(1, 20)
    ),
}


@pytest.mark.parametrize("kind", sorted(KINDS))
@given(data=st.data())
def test_any_span_equals_that_span_of_the_whole(
    noise: Path, kind: str, data: st.DataObject
) -> None:
    tensor = KINDS[kind](noise)
    start, stop = data.draw(blocks.spans(tensor.nbytes))

    with np.errstate(all="ignore"):
        whole = tensor.tobytes()

        assert blocks.read(tensor, start, stop) == whole[start:stop]


@pytest.mark.parametrize("kind", sorted(KINDS))
@given(limit=st.integers(1, 700))
def test_pieces_of_any_size_join_to_the_whole(
    noise: Path, kind: str, limit: int
) -> None:
    tensor = KINDS[kind](noise)

    with np.errstate(all="ignore"):
        joined = b"".join(piece.tobytes() for piece in tensor.pieces(limit))

        assert joined == tensor.tobytes()
    assert len(joined) == tensor.nbytes


@pytest.mark.parametrize("kind", sorted(KINDS))
@given(limit=st.integers(1, 700), first=st.integers(0, 900))
def test_chunks_follow_one_another_and_are_cut_between_units(
    noise: Path, kind: str, limit: int, first: int
) -> None:
    tensor = KINDS[kind](noise)
    granule = tensor.source.granule

    chunks = list(tensor.chunks(limit, first))

    starts = [start for start, _ in chunks]
    stops = [start + length for start, length in chunks]
    assert [0, *stops] == [*starts, tensor.nbytes]
    assert all(start % granule == 0 for start in starts)
    assert all(length <= max(limit, granule, first) for _, length in chunks)
    if first and first % granule == 0 and first < tensor.nbytes:
        assert first in starts


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_source_has_as_many_bytes_as_its_tensor(noise: Path, kind: str) -> None:
    tensor = KINDS[kind](noise)

    assert tensor.source.nbytes == tensor.nbytes


def test_a_file_that_became_shorter_is_named_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "short.bin"
    path.write_bytes(bytes(10))

    with pytest.raises(CorruptFileError, match="6 bytes early") as failure:
        blocks.read(Tensor.at(path, 0, (4,), ENCODINGS["f32"]), 0, 16)

    assert failure.value.offset == 10
    assert failure.value.path == path


def test_reading_changes_no_array_that_a_tensor_stands_on() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    before = array.copy()

    tensor = Tensor.of(array)
    for each in (tensor.affine(2.0), tensor.transposed(), tensor.sliced(1, 2)):
        each.numpy()[:] = 99

    np.testing.assert_array_equal(array, before)


def test_neighbours_in_one_file_become_one_range(noise: Path) -> None:
    parts = [Tensor.at(noise, 8 * i, (1, 8), ENCODINGS["u8"]) for i in range(5)]

    assert concatenated(parts).source == FileRange(noise, 0, 40)
