"""Whatever is laid out is opened again as it was."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aprhub.api import (
    ENCODINGS,
    FlatVocabulary,
    Identity,
    LineageStep,
    ModelConfig,
    Provenance,
    StoredModel,
    Tensor,
    Tokenizer,
)
from aprhub_apr.tables import TYPE_IDS
from tests.plugins.apr import disk

TEXT = st.text(max_size=12)
COUNTS = st.none() | st.integers(0, (1 << 64) - 1)
NUMBERS = st.none() | st.floats(0, 1e30)
FLAGS = st.none() | st.booleans()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e300, 1e300) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    encoding = ENCODINGS[draw(st.sampled_from(sorted(TYPE_IDS)))]
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
    size = encoding.nbytes(shape)
    return disk.packed(shape, encoding, draw(st.binary(min_size=size, max_size=size)))


@st.composite
def configs(draw: st.DrawFn) -> ModelConfig:
    return ModelConfig(
        identity=Identity(draw(st.none() | TEXT), draw(st.none() | TEXT)),
        hidden_size=draw(COUNTS),
        num_layers=draw(COUNTS),
        vocab_size=draw(COUNTS),
        norm_eps=draw(NUMBERS),
        rope_theta=draw(NUMBERS),
        rope_local_theta=draw(NUMBERS),
        sliding_window=draw(COUNTS),
        layer_kinds=draw(st.none() | st.lists(TEXT).map(tuple)),
        tie_embeddings=draw(FLAGS),
        attention_bias=draw(FLAGS),
        activation=draw(st.none() | TEXT),
        extra=draw(st.dictionaries(TEXT, JSON, max_size=2)),
    )


@st.composite
def tokenizers(draw: st.DrawFn) -> Tokenizer:
    tokens = draw(st.lists(TEXT, min_size=1, max_size=6, unique=True))
    scores = [draw(st.floats(-9, 9, width=32)) for _ in tokens]
    types = [draw(st.integers(1, 6)) for _ in tokens]
    ids = st.integers(0, len(tokens) - 1)
    return Tokenizer(
        FlatVocabulary(
            draw(st.sampled_from(["gpt2", "llama", "t5", "other"])),
            tokens,
            draw(st.none() | TEXT),
            draw(st.sampled_from([None, np.array(scores, np.float32)])),
            draw(st.sampled_from([None, np.array(types, np.int32)])),
            draw(st.none() | st.lists(TEXT.map(" ".__add__), max_size=3)),
        ),
        special_ids=draw(st.dictionaries(st.sampled_from(["bos", "mask", "eot"]), ids)),
        add_bos=draw(FLAGS),
        chat_template=draw(st.none() | TEXT),
        chat_templates=draw(st.dictionaries(TEXT, TEXT, max_size=2)),
        skeleton=draw(st.none() | TEXT),
    )


@st.composite
def origins(draw: st.DrawFn) -> Provenance:
    steps = st.builds(
        LineageStep,
        TEXT,
        st.dictionaries(TEXT, TEXT, max_size=2),
        st.dictionaries(TEXT, JSON, max_size=2),
        st.dictionaries(TEXT, TEXT, max_size=2),
    )
    return Provenance(
        name=draw(st.none() | TEXT),
        license=draw(st.none() | TEXT),
        source=draw(st.none() | TEXT),
        lineage=tuple(draw(st.lists(steps, max_size=2))),
    )


def _worlds(own: st.SearchStrategy[str]) -> st.SearchStrategy[Mapping[str, Any]]:
    apr = st.dictionaries(own, JSON, max_size=3)
    other = st.dictionaries(TEXT, JSON, max_size=3)
    return st.fixed_dictionaries({}, optional={"apr": apr, "hf": other, "é": other})


@st.composite
def models(draw: st.DrawFn) -> StoredModel:
    return disk.model(
        draw(st.dictionaries(st.text(max_size=64), tensors(), max_size=4)),
        config=draw(configs()),
        tokenizer=draw(st.none() | tokenizers()),
        provenance=draw(origins()),
        carried=draw(_worlds(TEXT.map("own.".__add__))),
        native=draw(st.dictionaries(TEXT, TEXT, max_size=2)),
        naming=draw(st.sampled_from([None, "apr", "hf", "ggml"])),
    )


@settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(models())
def test_what_is_laid_out_is_opened_as_it_was(
    tmp_path: Path, stored: StoredModel
) -> None:
    found = disk.reopened(stored, tmp_path)

    expected = evolve(
        stored,
        path=found.path,
        tensors=found.tensors,
        carried={
            **stored.carried,
            "apr": {"model_type": "transformer_lm", **stored.carried.get("apr", {})},
        },
        fates=found.fates,
        checksums=found.checksums,
    )
    assert found == expected
    assert _content(found) == _content(stored)


def _content(stored: StoredModel) -> dict[str, tuple[tuple[int, ...], str, bytes]]:
    return {
        name: (tensor.shape, tensor.encoding.name, tensor.tobytes())
        for name, tensor in stored.tensors.items()
    }


@given(models())
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
def test_laying_out_leaves_the_model_as_it_was(stored: StoredModel) -> None:
    before = repr(stored), _content(stored)

    first, second = disk.laid_out(stored), disk.laid_out(stored)

    assert first == second
    assert (repr(stored), _content(stored)) == before
