"""What a falsifier's test is taken for."""

import pytest

from aprhub.contracts.bindings import BindingKind, binding

NODE = "tests/test_toy.py::TestToy::test_of_a_class"
KINDS = {
    f"pytest {NODE}": (BindingKind.PYTEST, (NODE,)),
    f"python -m pytest -q {NODE} tests/test_other.py": (
        BindingKind.PYTEST,
        (NODE, "tests/test_other.py"),
    ),
    f"pytest {NODE} && echo done": (BindingKind.PYTEST, (NODE,)),
    NODE: (BindingKind.PYTEST, (NODE,)),
    f"{NODE}[a-1]": (BindingKind.PYTEST, (f"{NODE}[a-1]",)),
    "pytest -k toy": (BindingKind.HARNESS, ()),
    "test_of_a_class": (BindingKind.NAME, ("test_of_a_class",)),
    "cargo test -p kernels softmax::tests::sums": (BindingKind.CARGO, ()),
    "": (BindingKind.PENDING, ()),
    "LIVE-PENDING: needs a GPU": (BindingKind.PENDING, ()),
    "aprhub convert a.gguf b.apr": (BindingKind.HARNESS, ()),
    "pv validate contracts/toy-v1.yaml": (BindingKind.HARNESS, ()),
    "OUT=$(apr check m.apr); echo $OUT": (BindingKind.HARNESS, ()),
    "./scripts/check.sh all": (BindingKind.HARNESS, ()),
    "the existing suite, or equivalent": (BindingKind.PROSE, ()),
    "somebody's judgement": (BindingKind.PROSE, ()),
}


@pytest.mark.parametrize("test", KINDS)
def test_a_binding_is_what_it_looks_like(test: str) -> None:
    bound = binding(test)

    assert (bound.kind, bound.cited) == KINDS[test]
