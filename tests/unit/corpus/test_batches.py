"""Batches: their order, their shares, their end."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aprhub.api import UsageError
from aprhub.corpus import CorpusExhausted, Sequences
from aprhub.corpus.permutation import permuted
from aprhub.corpus.sequences import NO_LOSS

COUNTED = Sequences(np.arange(10 * 4 + 3, dtype=np.uint16), 4)


@given(st.integers(1, 600), st.integers(0, 2**63), st.integers(0, 9))
def test_an_order_has_every_index_once(size: int, seed: int, epoch: int) -> None:
    order = permuted(np.arange(size), size, seed, epoch)

    assert sorted(order.tolist()) == list(range(size))


@given(st.integers(2, 2**40), st.integers(0, 99), st.data())
def test_a_place_of_an_order_needs_no_other(
    size: int, seed: int, data: st.DataObject
) -> None:
    indices = np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=1)))

    together = permuted(indices, size, seed, 0)
    alone = [
        permuted(indices[n : n + 1], size, seed, 0)[0] for n in range(len(indices))
    ]

    assert together.tolist() == alone
    assert ((together >= 0) & (together < size)).all()


def test_an_order_is_shuffled_and_its_seed_and_epoch_decide() -> None:
    size = 1000
    orders = [
        permuted(np.arange(size), size, seed, epoch)
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    ]

    for number, order in enumerate(orders):
        # Of a random order, about one place stays and neighbours are far apart.
        assert np.count_nonzero(order == np.arange(size)) < 10
        assert np.abs(np.diff(order)).mean() == pytest.approx(size / 3, rel=0.1)
        assert abs(np.corrcoef(order, orders[number - 1])[0, 1]) < 0.15


def test_an_order_is_the_same_for_ever() -> None:
    assert permuted(np.arange(10), 10, 1, 2).tolist() == [1, 0, 5, 2, 9, 7, 8, 6, 4, 3]


def test_each_token_is_a_target_once() -> None:
    found = list(COUNTED.sweep(3))

    assert [each.inputs.shape for each in found] == [(3, 4), (3, 4), (3, 4), (1, 4)]
    targets = np.concatenate([each.targets for each in found])
    inputs = np.concatenate([each.inputs for each in found])
    assert targets.ravel().tolist() == list(range(1, 41))
    assert np.array_equal(inputs + 1, targets)
    assert inputs.dtype == targets.dtype == np.int64


@pytest.mark.parametrize("world", [2, 3, 7])
def test_processes_have_each_token_once_in_as_many_batches(world: int) -> None:
    found = [list(COUNTED.sweep(3, rank, world)) for rank in range(world)]
    targets = np.concatenate([each.targets for share in found for each in share])

    assert len({len(share) for share in found}) == 1
    assert sorted(targets[targets != NO_LOSS].tolist()) == list(range(1, 41))


@pytest.mark.parametrize(("marked", "tokens"), [(False, 4 * 3 + 1), (True, 5 * 3)])
def test_a_token_too_few_is_a_sequence_less(marked: bool, tokens: int) -> None:
    ids = np.arange(tokens, dtype=np.uint32)

    assert len(Sequences(ids, 4, marked)) == 3
    assert len(Sequences(ids[:-1], 4, marked)) == 2
    assert len(Sequences(ids[:0], 4, marked)) == 0


def test_an_epoch_has_no_sequence_twice() -> None:
    batches = COUNTED.batches(3, seed=5)

    assert batches.steps_per_epoch == 3
    firsts = [batches.batch(step).inputs[:, 0] for step in range(3)]
    assert len({*np.concatenate(firsts).tolist()}) == 9


def test_a_run_goes_on_at_any_step() -> None:
    one, other = COUNTED.batches(2, seed=3), COUNTED.batches(2, seed=3)
    whole = [one.batch(step).inputs.tolist() for step in range(12)]

    assert [other.batch(step).inputs.tolist() for step in range(7, 12)] == whole[7:]
    assert whole[:5] != whole[5:10]


@pytest.mark.parametrize("world", [1, 2, 3, 6])
def test_shares_of_the_ranks_are_the_batch(world: int) -> None:
    batches = COUNTED.batches(6, seed=1)

    shares = [batches.batch(0, rank, world).targets for rank in range(world)]

    assert np.array_equal(np.concatenate(shares), batches.batch(0).targets)


def test_after_the_last_epoch_there_is_an_end_and_no_batch() -> None:
    batches = COUNTED.batches(5, seed=0, epochs=2)

    assert batches.batch(3).inputs.shape == (5, 4)
    with pytest.raises(CorpusExhausted, match="4 steps in 2 epochs, and step 4 is"):
        batches.batch(4)


def test_a_batch_that_cannot_be_filled_or_shared_is_refused() -> None:
    with pytest.raises(UsageError, match="a batch of 11 sequences, but there are 10"):
        COUNTED.batches(11, seed=0)
    with pytest.raises(UsageError, match="process 0 of 4 has no share of 6"):
        COUNTED.batches(6, seed=0).batch(0, 0, 4)


def test_tokens_are_mapped_and_not_changed(tmp_path: Path) -> None:
    np.arange(9, dtype="<u2").tofile(tmp_path / "ids")
    mapped = Sequences(np.memmap(tmp_path / "ids", "<u2", "r"), 4)

    batch = mapped.batches(2, seed=0).batch(0)
    batch.inputs[:] = 0

    assert sorted(mapped.batches(2, seed=0).batch(0).inputs[:, 0]) == [0, 4]
