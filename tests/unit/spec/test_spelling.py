"""One stored tensor may hold several weights; they come apart and together again."""

from pathlib import Path

import pytest

from aprhub.api import (
    ENCODINGS,
    Family,
    ModelCheckError,
    ModelConfig,
    Naming,
    Rule,
    Spelling,
    Tensor,
    WeightSpec,
)

Q, K, V = (f"layers.{{i}}.attn.{part}.weight" for part in "qkv")
GATE, UP = (f"layers.{{i}}.experts.{{j}}.ffn.{part}.weight" for part in ("gate", "up"))
FAMILY = Family(
    "toy",
    "toy",
    "toy",
    (),
    (),
    (
        WeightSpec(Q, ("num_heads * head_dim", "hidden_size")),
        WeightSpec(K, ("num_kv_heads * head_dim", "hidden_size")),
        WeightSpec(V, ("num_kv_heads * head_dim", "hidden_size")),
        WeightSpec(GATE, ("moe_intermediate_size", "hidden_size")),
        WeightSpec(UP, ("moe_intermediate_size", "hidden_size")),
    ),
)
NAMING = Naming(
    "n",
    (
        Rule("blk.{i}.qkv", (Q, K, V)),
        Rule("blk.{i}.gate_up", (GATE, UP)),
        Rule("blk.{i}.gate.{j}", GATE),
    ),
)
CONFIG = ModelConfig(
    hidden_size=256,
    num_heads=4,
    num_kv_heads=2,
    head_dim=8,
    num_experts=3,
    moe_intermediate_size=16,
)


def _spelling(stored: str) -> Spelling:
    found = NAMING.to_ours(stored, FAMILY)
    assert found
    return found


def _in_file(*shape: int, encoding: str = "q4_k") -> Tensor:
    return Tensor.at(Path("model"), 4096, shape, ENCODINGS[encoding])


def test_joined_rows_come_apart_on_packed_bytes() -> None:
    found = {
        name: (rows.shape, rows.segments())
        for name, _, rows in _spelling("blk.5.qkv").split(_in_file(64, 256), CONFIG)
    }

    row = 144
    assert list(found) == [f"layers.5.attn.{part}.weight" for part in "qkv"]
    assert [shape for shape, _ in found.values()] == [(32, 256), (16, 256), (16, 256)]
    (values,) = found["layers.5.attn.v.weight"][1] or ()
    assert (values.offset, values.nbytes) == (4096 + 48 * row, 16 * row)


def test_stacked_experts_come_apart_each_with_its_parts() -> None:
    found = list(_spelling("blk.1.gate_up").split(_in_file(3, 32, 256), CONFIG))

    assert [name for name, _, _ in found[:3]] == [
        "layers.1.experts.0.ffn.gate.weight",
        "layers.1.experts.0.ffn.up.weight",
        "layers.1.experts.1.ffn.gate.weight",
    ]
    assert {rows.shape for _, _, rows in found} == {(16, 256)}
    assert len(found) == 6


@pytest.mark.parametrize(
    ("stored", "shape"), [("blk.0.qkv", (64, 256)), ("blk.0.gate_up", (3, 32, 256))]
)
@pytest.mark.parametrize("computed", [False, True])
def test_what_was_apart_together_is_what_it_was(
    stored: str, shape: tuple[int, ...], *, computed: bool
) -> None:
    whole = _in_file(*shape, encoding="bf16")
    whole = whole.cast(ENCODINGS["f32"]) if computed else whole
    spelling = _spelling(stored)

    again = spelling.joined([rows for _, _, rows in spelling.split(whole, CONFIG)])

    assert again.source == whole.source
    assert again.shape == shape


@pytest.mark.parametrize(
    ("stored", "shape", "expected"),
    [
        ("blk.0.qkv", (48, 256), "64 rows = num_heads \\* head_dim"),
        ("blk.0.gate_up", (3, 16, 256), "32 rows"),
        ("blk.0.gate_up", (256,), "one matrix for each expert"),
        ("blk.0.gate_up", (1 << 20, 32, 256), "one matrix for each expert"),
    ],
)
def test_rows_that_are_not_the_weights_are_refused(
    stored: str, shape: tuple[int, ...], expected: str
) -> None:
    with pytest.raises(ModelCheckError, match=expected):
        list(_spelling(stored).split(_in_file(*shape), CONFIG))


def test_the_first_rule_for_a_weight_is_how_it_is_written() -> None:
    written = NAMING.to_theirs("layers.0.experts.7.ffn.gate.weight", FAMILY)
    read = NAMING.to_ours("blk.0.gate.7", FAMILY)

    assert written
    assert written.stored == "blk.0.gate_up"
    assert written.canonical == (
        "layers.0.experts.{j}.ffn.gate.weight + layers.0.experts.{j}.ffn.up.weight"
    )
    assert read
    assert read.names(None) == ("layers.0.experts.7.ffn.gate.weight",)
