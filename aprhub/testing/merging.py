"""MergeConformance: methods that are repeatable, whoever reads what first."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import numpy as np
import pytest
from attrs import evolve
from numpy.typing import NDArray

from aprhub.api import (
    AprhubError,
    MergeMethod,
    Number,
    Parameter,
    Settings,
    Tensor,
    UnrepresentableError,
)
from aprhub.ir.encoding import F32
from aprhub.merging.blending import Operands, blended

NAME = "layers.0.attn.q.weight"
ROWS, COLUMNS = 12, 40
ULP = 2.0**-23

_ODD = np.array([-0.0, 0.0, 1e-40, -3e38, 1.0], np.float32)

Array = NDArray[np.float32]
Merge = Callable[..., Array]


class _Unread:
    """A group that refuses to be measured."""

    def __init__(self, operands: Operands) -> None:
        self._operands = operands

    def __getattr__(self, name: str) -> Any:
        return getattr(self._operands, name)

    def folded(self, *_arguments: object, **_options: object) -> NoReturn:
        pytest.fail("a method that looks at less than the tensor measured all of it")


@pytest.mark.conformance
class MergeConformance:
    """Subclass it, give `method`, and inherit the checks.

    Whether the values are right, only another program's, or the formula once more, can
    tell: add a test with one.
    """

    @pytest.fixture
    def method(self) -> MergeMethod:
        """Return the method under test."""
        pytest.fail("give a fixture 'method' that returns your MergeMethod")

    @pytest.fixture
    def settings(self, method: MergeMethod) -> Settings:
        """Return the defaults, and one half of whatever has none."""
        values = {each.name: _value(each) for each in method.parameters}
        own = {each.name for each in method.parameters if each.per_model}
        shared = {name: values[name] for name in values if name not in own}
        each_own = {name: values[name] for name in own}
        return Settings(shared, (each_own,) * _count(method))

    @pytest.fixture
    def merge(self, method: MergeMethod, settings: Settings) -> Merge:
        """Return what merges arrays, of which the base is the last."""

        def run(*arrays: Array, seed: int = 0) -> Array:
            operands = _operands(method, settings, arrays, seed)
            values: Array = blended(NAME, method, operands, F32).numpy()
            return values

        return run

    @pytest.fixture
    def models(self, method: MergeMethod) -> list[Array]:
        """Return as many models as the method takes, and a base."""
        random = np.random.default_rng(1)
        base = random.standard_normal((ROWS, COLUMNS), np.float32)
        noise = (random.standard_normal(base.shape, np.float32) for _ in range(4))
        tuned = [base + np.float32(0.3) * each for each in noise]
        return [*tuned[: _count(method)], base]

    @pytest.mark.parametrize("shape", [(ROWS, COLUMNS), (COLUMNS,), (1, 1), (3, 1)])
    def test_equal_models_give_the_model_back(
        self, merge: Merge, shape: tuple[int, ...]
    ) -> None:
        """Bit for bit, with the negative zeros and the least of all numbers."""
        random = np.random.default_rng(2)
        model = random.standard_normal(shape, np.float32)
        model.reshape(-1)[:5] = _ODD[: model.size]

        found = merge(*[model] * 8)

        assert found.tobytes() == model.tobytes()

    def test_models_of_zeros_give_zeros(self, merge: Merge) -> None:
        """No length and no sum of them divides anything."""
        zeros = np.zeros((ROWS, COLUMNS), np.float32)

        assert not merge(*[zeros] * 8).any()

    def test_what_parameters_allow_gives_numbers_or_an_error(
        self, method: MergeMethod, settings: Settings, models: list[Array]
    ) -> None:
        """Nothing is divided by zero: by no bound, no weights, no model of zeros."""
        first, *others = models
        same = [first] * len(models)
        tried = (models, [np.zeros_like(first), *others], [others[-1], *others], same)
        for chosen in _extremes(method, settings):
            for arrays in tried:
                operands = _operands(method, chosen, arrays, 0)
                with (
                    suppress(AprhubError),
                    np.errstate(divide="raise", invalid="raise"),
                ):
                    found = blended(NAME, method, operands, F32).numpy()
                    assert np.isfinite(found).all(), chosen

    def test_the_pieces_that_are_read_do_not_matter(
        self, method: MergeMethod, settings: Settings, models: list[Array]
    ) -> None:
        """Nor do those that were read before."""
        operands = _operands(method, settings, models, 0)
        whole = blended(NAME, method, operands, F32).tobytes()
        again = blended(NAME, method, operands, F32)
        pieces = [*again.chunks(4 * COLUMNS)]
        found = {}
        for start, length in reversed(pieces):
            found[start] = np.empty(length, np.uint8)
            again.read_into(start, found[start])

        assert len(pieces) == ROWS
        assert b"".join(found[start].tobytes() for start, _ in pieces) == whole

    def test_a_symmetric_method_does_not_care_for_the_order(
        self, method: MergeMethod, merge: Merge, models: list[Array]
    ) -> None:
        """But for the last bit: sums are rounded in another order."""
        if not method.symmetric:
            pytest.skip("the method cares for the order of the models")
        *tuned, base = models
        one, other = merge(*tuned, base), merge(*reversed(tuned), base)

        np.testing.assert_allclose(one, other, rtol=4 * ULP, atol=ULP)

    def test_it_looks_at_no_more_than_it_says(
        self, method: MergeMethod, settings: Settings, models: list[Array]
    ) -> None:
        """What needs an element only does not change with the shape of the tensor."""
        if method.evaluation == "tensor":
            pytest.skip("the method looks at whole tensors")
        operands = _operands(method, settings, models, 0)
        blend = method.prepare(_Unread(operands))
        matrix = blend(operands.piece(range(ROWS)))
        flat = _operands(method, settings, [m.reshape(-1) for m in models], 0)
        row = method.prepare(_Unread(flat))(flat.piece(range(1)))

        if method.evaluation == "elements":
            np.testing.assert_array_equal(matrix.reshape(-1), row.reshape(-1))

    def test_it_gives_the_same_again(self, merge: Merge, models: list[Array]) -> None:
        """With the same seed."""
        assert merge(*models, seed=3).tobytes() == merge(*models, seed=3).tobytes()

    def test_models_of_two_shapes_are_refused(
        self, method: MergeMethod, merge: Merge, models: list[Array]
    ) -> None:
        """Before anything is read."""
        if method.models[1] == 1 and method.base == "none":
            pytest.skip("there is one model only")
        with pytest.raises(UnrepresentableError, match="shapes differ"):
            merge(models[0][1:], *models[1:], models[0], models[0])


def _value(parameter: Parameter) -> Number:
    if parameter.default is not None:
        return parameter.default
    return 0.5


def _extremes(method: MergeMethod, settings: Settings) -> Iterator[Settings]:
    """Yield the settings with one parameter at a bound; at zero, if it has none.

    That of a model is it for the first model, for two, and for all.
    """
    for each in method.parameters:
        low = each.low or 0
        for bound in {low, low if each.high is None else each.high}:
            changed = {each.name: each.kind(bound)}
            if not each.per_model:
                yield evolve(settings, shared={**settings.shared, **changed})
                continue
            for count in range(1, len(settings.own) + 1):
                first = ({**one, **changed} for one in settings.own[:count])
                yield evolve(settings, own=(*first, *settings.own[count:]))


def _count(method: MergeMethod) -> int:
    least, most = method.models
    return min(max(least, 3), most or 3)


def _operands(
    method: MergeMethod, settings: Settings, arrays: Sequence[Array], seed: int
) -> Operands:
    """Return arrays as the models that a method takes, and the last as its base."""
    for each in arrays:
        each.flags.writeable = False
    tuned = [*map(Tensor.of, arrays[: _count(method)])]
    has_base = method.base in ("required", "first")
    base = Tensor.of(arrays[-1]) if has_base else None
    return Operands.of(tuned, base, settings, (NAME, seed))
