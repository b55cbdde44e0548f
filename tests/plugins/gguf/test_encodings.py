"""Which encoding GGUF stores a tensor in."""

import pytest

from aprhub_gguf import GGUF
from tests.plugins.gguf.models import packed

MATRIX, VECTOR = (2, 64), (64,)


@pytest.mark.parametrize(
    ("name", "encoding", "shape", "expected"),
    [
        ("blk.0.ffn_up.weight", "bf16", MATRIX, "bf16"),
        ("blk.0.ffn_up.weight", "f16", MATRIX, "f16"),
        ("blk.0.ffn_up.weight", "f32", MATRIX, "f32"),
        ("blk.0.ffn_up.weight", "f64", MATRIX, "f64"),
        ("blk.0.ffn_up.weight", "q8_0", MATRIX, "q8_0"),
        ("blk.0.ffn_up.weight", "i32", MATRIX, "i32"),
        ("blk.0.ffn_up.weight", "apr_q4", MATRIX, "f32"),
        ("blk.0.ffn_up.weight", "apr_q8", MATRIX, "f32"),
        ("blk.0.ffn_up.weight", "f8_e4m3", MATRIX, "bf16"),
        ("blk.0.ffn_up.weight", "f8_e5m2", MATRIX, "bf16"),
        ("blk.0.attn_norm.weight", "bf16", VECTOR, "f32"),
        ("blk.0.attn_norm.weight", "f16", MATRIX, "f32"),
        ("blk.0.attn_norm.weight", "f8_e4m3", VECTOR, "f32"),
        ("blk.0.attn_norm.weight", "f64", VECTOR, "f32"),
        ("blk.0.attn_q.bias", "bf16", VECTOR, "f32"),
        ("blk.0.attn_q.bias", "bf16", MATRIX, "f32"),
        ("rope_freqs.weight", "bf16", VECTOR, "f32"),
        ("odd.weight", "i64", VECTOR, "i64"),
        ("odd.weight", "apr_q8", VECTOR, "f32"),
        ("odd.weight", "q8_0", VECTOR, "q8_0"),
    ],
)
def test_vectors_and_norms_are_f32_and_the_rest_stays(
    name: str, encoding: str, shape: tuple[int, ...], expected: str
) -> None:
    assert GGUF.encoding_for(name, packed(encoding, *shape)).name == expected
