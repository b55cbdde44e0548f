"""Opening what was laid out gives the same model, whatever the model."""

import string
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
    LayoutOptions,
    LineageStep,
    Memory,
    ModelConfig,
    Provenance,
    RopeScaling,
    StoredModel,
    Tensor,
    Tokenizer,
)
from aprhub_gguf.tables import TENSOR_TYPES
from tests.plugins.gguf.disk import opened, written
from tests.plugins.gguf.test_vocabulary import IDS

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
# Keys and names must not disturb a terminal; values may hold anything.
NAME = TEXT.filter(lambda text: text.isprintable() and text != "")
WORD = st.text(string.ascii_lowercase + "_", min_size=1, max_size=8)
SIZE = st.integers(1, 1 << 20)
FINITE = st.floats(1e-30, 1e30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
    ),
    max_leaves=5,
)
LIMITS = {
    "u8": (0, 2**8 - 1),
    "i8": (-(2**7), 2**7 - 1),
    "u16": (0, 2**16 - 1),
    "i16": (-(2**15), 2**15 - 1),
    "u32": (0, 2**32 - 1),
    "i32": (-(2**31), 2**31 - 1),
    "u64": (0, 2**64 - 1),
    "i64": (-(2**63), 2**63 - 1),
}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    **{kind: st.integers(*limits) for kind, limits in LIMITS.items()},
    "f64": st.floats(allow_nan=False, allow_infinity=False),
    "f32": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "string": TEXT,
}


@st.composite
def values(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from([*VALUES]))
    if draw(st.booleans()):
        return {
            "type": "array",
            "of": kind,
            "value": draw(st.lists(VALUES[kind], max_size=4)),
        }
    value = draw(VALUES[kind])
    # A single f32 is carried as the shortest decimal that gives it.
    shown = float(str(np.float32(value))) if kind == "f32" else value
    return {"type": kind, "value": shown}


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    encoding = ENCODINGS[draw(st.sampled_from([*TENSOR_TYPES.values()]))]
    sizes = draw(st.lists(st.integers(1, 3), max_size=3))
    shape = (*sizes, draw(st.integers(1, 2)) * encoding.block_elements)
    data = np.arange(encoding.nbytes(shape)) % 253
    return Tensor(shape, encoding, Memory(data.astype(np.uint8)))


@st.composite
def configs(draw: st.DrawFn) -> ModelConfig:
    heads, size = draw(st.integers(1, 64)), draw(st.integers(1, 256))
    layers = draw(st.integers(1, 12))
    window = draw(st.none() | SIZE)
    kinds = st.lists(
        st.sampled_from(("full", "sliding")), min_size=layers, max_size=layers
    )
    maybe = st.none() | FINITE
    return ModelConfig(
        identity=Identity(
            draw(st.sampled_from(("llama", "gemma3", "qwen2", "own-1.0_x"))),
            draw(st.none() | WORD),
            draw(st.none() | WORD),
        ),
        hidden_size=draw(st.sampled_from((heads * size, heads * size + 1))),
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=draw(st.integers(1, heads)),
        head_dim=draw(st.sampled_from((size, size + 1))),
        vocab_size=draw(SIZE),
        intermediate_size=draw(st.none() | SIZE),
        max_position_embeddings=draw(st.none() | SIZE),
        norm_eps=draw(maybe),
        rope_theta=draw(maybe),
        rope_local_theta=draw(maybe),
        rope_scaling=draw(st.none() | scalings()),
        sliding_window=window,
        layer_kinds=tuple(draw(kinds)) if window else None,
        activation=draw(st.none() | WORD),
        query_scale=draw(maybe),
        attention_softcap=draw(maybe),
        final_softcap=draw(maybe),
        num_experts=draw(st.none() | SIZE),
        extra=draw(st.dictionaries(WORD, JSON, max_size=2)),
    )


def scalings() -> st.SearchStrategy[RopeScaling]:
    return st.builds(
        RopeScaling,
        st.sampled_from(("linear", "yarn", "longrope", "llama3", "dynamic")),
        FINITE,
        st.none() | SIZE,
        *[st.none() | FINITE] * 5,
    )


@st.composite
def tokenizers(draw: st.DrawFn) -> Tokenizer:
    tokens = draw(st.lists(TEXT, min_size=1, max_size=9, unique=True))
    count = len(tokens)
    flags = st.none() | st.booleans()
    return Tokenizer(
        flat=FlatVocabulary(
            draw(st.sampled_from(("gpt2", "llama"))),
            tokens,
            draw(st.none() | WORD),
            draw(st.sampled_from((None, np.arange(count, dtype=np.float32)))),
            draw(st.sampled_from((None, np.arange(count, dtype=np.int32) % 7))),
            draw(st.none() | st.lists(TEXT, max_size=4)),
            draw(st.none() | st.binary(max_size=9)),
            *[draw(flags) for _ in range(3)],
        ),
        json=draw(st.none() | TEXT),
        special_ids=draw(
            st.dictionaries(st.sampled_from(IDS), st.integers(0, count - 1))
        ),
        add_bos=draw(flags),
        add_space_prefix=draw(flags),
        clean_up_spaces=draw(flags),
        chat_template=draw(st.none() | TEXT),
        chat_templates=draw(st.dictionaries(WORD, TEXT, max_size=2)),
    )


PROVENANCES = st.builds(
    Provenance,
    *[st.none() | TEXT] * 10,
    st.lists(
        st.builds(
            LineageStep,
            TEXT,
            st.dictionaries(TEXT, TEXT, max_size=2),
            st.dictionaries(TEXT, JSON, max_size=2),
            st.dictionaries(TEXT, TEXT, max_size=2),
        ),
        max_size=2,
    ).map(tuple),
)


@st.composite
def models(draw: st.DrawFn) -> StoredModel:
    own = st.dictionaries(WORD.map("own.{}".format), values(), max_size=3)
    worlds: dict[str, dict[str, Any]] = {
        "gguf": draw(own),
        "hf": draw(
            st.dictionaries(TEXT | WORD.map("{}.json".format), JSON, max_size=3)
        ),
        "apr": draw(st.dictionaries(TEXT, JSON, max_size=3)),
    }
    config, provenance = draw(configs()), draw(PROVENANCES)
    tokenizer = draw(st.none() | tokenizers())
    if tokenizer and tokenizer.flat and draw(st.booleans()):
        config = evolve(config, vocab_size=len(tokenizer.flat.tokens))
    hints = (provenance.name,) if provenance.name is not None else ()
    identity = evolve(config.identity, hints=hints)
    return StoredModel(
        "gguf",
        Path("nowhere"),
        draw(st.dictionaries(NAME.filter(_is_short), tensors(), max_size=4)),
        evolve(config, identity=identity),
        tokenizer,
        provenance,
        {world: keys for world, keys in worlds.items() if keys},
        draw(st.dictionaries(WORD, WORD, max_size=2)),
    )


def _is_short(text: str) -> bool:
    return len(text.encode()) < 64


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(stored=models(), limit=st.none() | st.integers(1, 400))
def test_opening_what_was_laid_out_gives_the_same_model(
    tmp_path: Path, stored: StoredModel, limit: int | None
) -> None:
    paths = written(stored, tmp_path / "a.gguf", LayoutOptions(limit))

    found = opened(paths[-1])

    assert found.config == stored.config
    assert found.tokenizer == stored.tokenizer
    assert found.provenance == stored.provenance
    assert found.carried == stored.carried
    assert found.native == stored.native
    assert found.notes == ()
    assert [*found.tensors] == [*stored.tensors]
    for name, tensor in stored.tensors.items():
        again = found.tensors[name]
        assert (again.shape, again.encoding) == (tensor.shape, tensor.encoding)
        assert again.tobytes() == tensor.tobytes()
    for path in paths:
        path.unlink()
