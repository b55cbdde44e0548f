"""Encodings, configurations and models: what they know and what they refuse."""

import gguf
import numpy as np
import pytest

from aprhub.api import (
    ENCODINGS,
    LineageStep,
    ModelConfig,
    ModelIR,
    Provenance,
    RopeScaling,
    Tensor,
    opaque,
)

GGML = {
    each.name.lower(): sizes
    for each, sizes in gguf.GGML_QUANT_SIZES.items()
    if sizes[0] > 1
    and each.name.lower() in ENCODINGS
    # The package counts two f32 in a block; ggml-common.h has had two f16 since 2024.
    and each.name != "Q8_1"
}


@pytest.mark.parametrize("name", sorted(GGML))
def test_block_sizes_are_those_of_ggml(name: str) -> None:
    encoding = ENCODINGS[name]

    assert (encoding.block_elements, encoding.block_bytes) == GGML[name]


def test_most_block_types_of_ggml_are_known() -> None:
    assert len(GGML) >= 20


@pytest.mark.parametrize(
    ("name", "shape", "nbytes"),
    [
        ("f32", (), 4),
        ("f32", (0, 5), 0),
        ("bf16", (3, 5), 30),
        ("q8_0", (3, 64), 3 * 2 * 34),
        ("q8_0", (3, 33), 3 * 2 * 34),
        ("apr_q4", (3, 33), 4 * 18),
        ("apr_q8", (3, 33), 4 + 99),
        ("apr_q8", (0, 33), 0),
    ],
)
def test_sizes_in_bytes_count_blocks_rows_and_headers(
    name: str, shape: tuple[int, ...], nbytes: int
) -> None:
    assert ENCODINGS[name].nbytes(shape) == nbytes


def test_an_unknown_type_is_bytes_of_known_extent() -> None:
    unknown = opaque("ggml_type_99", 123)

    assert unknown.nbytes((7, 1000)) == 123
    assert unknown.is_quantized


def test_a_configuration_is_filled_only_where_it_is_silent() -> None:
    config = ModelConfig(hidden_size=64, norm_eps=0.0)

    filled = config.filled({"hidden_size": 1, "norm_eps": 1.0, "num_layers": 2})

    assert (filled.hidden_size, filled.norm_eps, filled.num_layers) == (64, 0.0, 2)


def test_known_fields_are_json_like_and_without_none() -> None:
    config = ModelConfig(num_heads=4, rope_scaling=RopeScaling("linear", 2.0))

    known = config.known()

    assert known["num_heads"] == 4
    assert known["rope_scaling"] == {"kind": "linear", "factor": 2.0}
    assert None not in known.values()


@pytest.mark.parametrize("value", [True, 1.0, "64"])
def test_a_size_that_is_no_integer_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        ModelConfig(hidden_size=value)  # type: ignore[arg-type]


def test_a_lineage_grows_at_its_end() -> None:
    steps = [LineageStep(name, {}) for name in ("merge", "convert")]

    provenance = Provenance(author="A").extended(steps[0]).extended(steps[1])

    assert provenance.lineage == tuple(steps)
    assert provenance.author == "A"


def test_a_model_cannot_be_changed_through_what_it_was_made_from() -> None:
    tensors = {"norm.weight": Tensor.of(np.zeros(2, np.float32))}
    model = ModelIR(ModelConfig(), tensors, carried={"gguf": {"a": 1}, "hf": {}})

    tensors.clear()

    assert model.nbytes == 8
    assert dict(model.carried) == {"gguf": {"a": 1}}
    with pytest.raises(TypeError):
        model.tensors["x"] = model.tensors["norm.weight"]  # type: ignore[index]
