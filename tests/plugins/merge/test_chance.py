"""Random numbers belong to a seed, a tensor, a model and a position; nothing else."""

import numpy as np
from numpy.typing import NDArray

from aprhub.api import Piece, Settings, Tensor
from aprhub.merging.blending import Operands
from aprhub_merge.chance import start, uniform

ZEROS = np.zeros((300, 400), np.float32)


def numbers(name: str = "a", seed: int = 0, model: int = 0) -> NDArray[np.float64]:
    group = Operands.of([Tensor.of(ZEROS)], None, Settings(), (name, seed))
    return uniform(start(group, model), Piece(0, (ZEROS,)))


def test_the_numbers_are_spread_evenly() -> None:
    found = numbers()
    counts, _ = np.histogram(found, 50, (0, 1))

    assert 0 <= found.min() < found.max() < 1
    assert abs(found.mean() - 0.5) < 0.003
    assert counts.min() > 0.92 * found.size / 50
    assert abs(np.corrcoef(found[:, :-1].ravel(), found[:, 1:].ravel())[0, 1]) < 0.01


def test_the_numbers_of_another_seed_tensor_or_model_are_others() -> None:
    first = numbers().ravel()

    for other in (numbers(seed=1), numbers(name="b"), numbers(model=1)):
        assert abs(np.corrcoef(first, other.ravel())[0, 1]) < 0.01


def test_a_part_of_the_tensor_has_the_numbers_of_its_positions() -> None:
    group = Operands.of([Tensor.of(ZEROS)], None, Settings(), ("a", 0))
    part = uniform(start(group, 0), group.piece(range(7, 9)))

    np.testing.assert_array_equal(part, numbers()[7:9])


def test_the_first_numbers_are_those_of_splitmix64() -> None:
    # The generator's author publishes it in C; seed 0 gives these.
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    found = uniform(np.uint64(0), Piece(0, (ZEROS[:1, :3],)))

    assert found.ravel().tolist() == [(each >> 11) * 2.0**-53 for each in published]
