"""Encoders: where a value stands that no block can hold."""

from pathlib import Path

import numpy as np
import pytest

from aprhub.api import ENCODINGS, Tensor, UnrepresentableError
from aprhub.encoders import Encoders
from aprhub.registry import Registry


@pytest.mark.parametrize("name", ["q8_0", "apr_q4", "apr_q8"])
def test_the_first_value_without_number_is_found_behind_the_first_piece(
    name: str,
) -> None:
    values = np.zeros((3, 1000, 1024), np.float32)
    values[2, 500, 7] = -np.inf
    values[2, 900, 0] = np.nan
    encoders = Encoders(Registry.load(), Path("target"))

    tensor = encoders.encoded("w", Tensor.of(values), ENCODINGS[name])

    with pytest.raises(UnrepresentableError, match=r"w: is -inf at \[2, 500, 7\]"):
        tensor.tobytes()


def test_an_encoding_that_nobody_makes_is_refused_before_anything_is_read() -> None:
    encoders = Encoders(Registry.load(), Path("target"))

    with pytest.raises(UnrepresentableError, match="w: no installed codec encodes"):
        encoders.encoded("w", Tensor.of(np.zeros((1, 256))), ENCODINGS["q8_k"])
