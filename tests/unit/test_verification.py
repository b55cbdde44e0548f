"""Verification notices whatever a faulty writer does to a model."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve

from aprhub.api import Format, ModelIR, StoredModel, Tensor
from aprhub.errors import UnrunnableError
from aprhub.lift import decodable
from aprhub.options import LEVELS, ConvertOptions
from aprhub.testing.models import PICOS
from aprhub.verification.operation import require_faithful
from tests.unit import toys

Change = Callable[[StoredModel], StoredModel]

NORM = "model.norm.weight"
EMBEDDING = "model.embed_tokens.weight"


def _model(pico: str) -> ModelIR:
    model = PICOS[pico].model(toys.INSTALLED)
    return evolve(model, tensors=decodable(model.tensors, toys.INSTALLED))


def _verify(
    pico: str, level: str, change: Change, naming: str = "hf", **asked: str
) -> None:
    """Verify what a format would read, had its writer made a change."""
    model = _model(pico)
    family = toys.INSTALLED.family(PICOS[pico].family)
    written = toys.stored(model, naming, hf_class=family.hf_classes[0])
    fmt = Format("toy", "Toy", (), naming=naming, open=lambda _path: change(written))
    options = ConvertOptions(verify=level, **asked)  # type: ignore[arg-type]  # names are checked by attrs
    require_faithful(
        Path("out.toy"), fmt, toys.of_memory(model), toys.INSTALLED, options
    )


def _same(stored: StoredModel) -> StoredModel:
    return stored


def _with(stored: StoredModel, name: str, tensor: Tensor) -> StoredModel:
    return evolve(stored, tensors={**stored.tensors, name: tensor})


def _nudged(name: str) -> Change:
    def change(stored: StoredModel) -> StoredModel:
        values = stored.tensors[name].numpy().copy()
        values.reshape(-1)[-1] += 1
        return _with(stored, name, Tensor.of(values))

    return change


def _halved(stored: StoredModel) -> StoredModel:
    values = stored.tensors[NORM].numpy()[:32].copy()
    return _with(stored, NORM, Tensor.of(values))


def _swapped(stored: StoredModel) -> StoredModel:
    name = "model.layers.1.self_attn.k_proj.weight"
    query = stored.tensors[name]
    order = np.arange(query.shape[0])
    order[:2] = 1, 0
    return _with(stored, name, query.taken(order))


@pytest.mark.parametrize("pico", sorted(PICOS))
@pytest.mark.parametrize("naming", ["hf", "ggml", "apr"])
def test_a_faithful_output_is_verified_by_its_bytes(pico: str, naming: str) -> None:
    _verify(pico, "bytes", _same, naming)


@pytest.mark.parametrize("level", LEVELS[:-1])
@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda stored: toys.less(stored, NORM), "norm.weight: missing"),
        (_halved, r"norm.weight: padded \(\[32\] for \[64\]: 32 rows fewer"),
    ],
)
def test_names_and_shapes_are_compared_at_every_level(
    level: str, change: Change, what: str
) -> None:
    with pytest.raises(UnrunnableError, match=what) as failure:
        _verify("llama", level, change)

    assert f"verification ({level}) failed" in str(failure.value)


@pytest.mark.parametrize("level", ["values", "bytes"])
@pytest.mark.parametrize(
    ("change", "what"),
    [
        (_nudged(NORM), "norm.weight: values .*off by up to 1"),
        (_nudged(EMBEDDING), "embed.weight: values"),
        (_swapped, "layers.1.attn.k.weight: permuted"),
    ],
)
def test_one_changed_value_is_noticed(level: str, change: Change, what: str) -> None:
    with pytest.raises(UnrunnableError, match=what):
        _verify("llama", level, change)


@pytest.mark.parametrize("naming", ["ggml", "apr"])
def test_one_changed_norm_is_noticed_where_norms_are_stored_with_an_offset(
    naming: str,
) -> None:
    spelling = toys.INSTALLED.naming(naming).to_theirs(
        "norm.weight", toys.INSTALLED.family("gemma3")
    )
    assert spelling

    with pytest.raises(UnrunnableError, match=r"norm\.weight: values"):
        _verify("gemma3", "values", _nudged(spelling.stored), naming)


def test_values_are_not_read_where_names_are_enough() -> None:
    _verify("llama", "names", _nudged(NORM))


def _narrow(stored: StoredModel) -> StoredModel:
    values = stored.tensors[EMBEDDING].numpy().astype(np.float16)
    return _with(stored, EMBEDDING, Tensor.of(values))


def test_a_cast_that_was_asked_for_passes_by_its_values_but_not_by_its_bytes() -> None:
    _verify("llama", "values", _narrow, dtype="f16")
    with pytest.raises(UnrunnableError, match=r"embed\.weight: cast"):
        _verify("llama", "bytes", _narrow, dtype="f16")


def test_a_cast_that_nobody_asked_for_is_noticed() -> None:
    with pytest.raises(UnrunnableError, match=r"embed\.weight: cast .*from f32 to f16"):
        _verify("llama", "values", _narrow)


def test_a_lost_tokenizer_is_noticed() -> None:
    with pytest.raises(
        UnrunnableError, match=r"tokenizer: tokenizer \(the target has none"
    ):
        _verify("llama", "values", lambda stored: evolve(stored, tokenizer=None))


def test_a_format_that_cannot_read_has_nothing_to_verify() -> None:
    fmt = Format("toy", "Toy", ())
    model = toys.of_memory(_model("llama"))

    with pytest.raises(Exception, match="only written"):
        require_faithful(
            Path("x"), fmt, model, toys.INSTALLED, ConvertOptions(verify="names")
        )
