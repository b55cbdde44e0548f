"""GGUF files that are sound containers of unsound models."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from attrs import evolve

from tests.hostile import gguf_file, tiny
from tests.hostile.case import Case, legal, odd, questionable, unsound
from tests.hostile.gguf_file import (
    ARRAY,
    BOOL,
    F32,
    F64,
    I32,
    STRING,
    U32,
    U64,
    GgufFile,
    Pair,
    Writer,
)

VOCAB: Final = tiny.VOCAB
W: Final = Writer()
BASE: Final = gguf_file.valid()
ARCHITECTURE: Final = "general.architecture"
EPSILON: Final = "llama.attention.layer_norm_rms_epsilon"
REQUIRED: Final = (
    "llama.context_length",
    "llama.embedding_length",
    "llama.block_count",
    "llama.feed_forward_length",
    "llama.attention.head_count",
)
TOKENS: Final = "tokenizer.ggml.tokens"
MERGES: Final = "tokenizer.ggml.merges"
NAN_HALF: Final = struct.pack("<e", float("nan"))


def cases() -> Iterator[Case]:
    """Yield every case."""
    yield from _architectures()
    yield from _hyperparameters()
    yield from _sizes()
    yield from _epsilons()
    yield from _tokens()
    yield from _special_ids()
    yield from _splits()
    yield from _names()
    yield from _contents()


def _architectures() -> Iterator[Case]:
    texts = {
        "unknown": "quux",
        "empty": "",
        "with a slash": "../../llama",
        "with a NUL": "llama\0",
        "in capitals": "LLAMA",
        "of 1 MB": "l" * 2**20,
        "with a terminal escape": "\x1b]0;owned\x07\x1b[31mllama",
    }
    for name, text in texts.items():
        file = BASE.with_pair(ARCHITECTURE, STRING, W.string(text))
        yield unsound(f"architecture {name}", file)
    missing = BASE.without_pair(ARCHITECTURE)
    yield unsound("no architecture", missing, "architecture")
    number = BASE.with_pair(ARCHITECTURE, U32, W.u32(1))
    yield unsound("architecture stored as a number", number, ARCHITECTURE)
    several = BASE.with_pair(ARCHITECTURE, ARRAY, W.strings(["llama"]))
    yield unsound("architecture stored as an array", several, ARCHITECTURE)


def _hyperparameters() -> Iterator[Case]:
    for key in REQUIRED:
        yield unsound(f"{key} missing", BASE.without_pair(key))
        values: Mapping[str, tuple[int, bytes]] = {
            "zero": (U32, W.u32(0)),
            "negative": (I32, W.i32(-1)),
            "as string": (STRING, W.string("2")),
            "as bool": (BOOL, b"\1"),
            "as float": (F32, W.f32(2.5)),
            "NaN": (F32, W.f32(float("nan"))),
            "as array of strings": (ARRAY, W.strings(["2", "2"])),
            "as array of five": (ARRAY, W.array(U32, [W.u32(2)] * 5)),
            "as an empty array": (ARRAY, W.array(U32, [])),
        }
        for name, (kind, value) in values.items():
            yield unsound(f"{key} {name}", BASE.with_pair(key, kind, value))


def _sizes() -> Iterator[Case]:
    changed = {
        "llama.block_count": (1, 3, 2**31, 2**32 - 1),
        "llama.embedding_length": (31, 64, 2**32 - 1),
        "llama.feed_forward_length": (47, 2**32 - 1),
        "llama.attention.head_count": (3, 8, 2**32 - 1),
        "llama.attention.head_count_kv": (0, 3, 4, 2**32 - 1),
        "llama.attention.key_length": (16, 2**32 - 1),
        "llama.rope.dimension_count": (2**32 - 1,),
        "llama.vocab_size": (63, 65, 2**32 - 1),
    }
    for key, values in changed.items():
        for value in values:
            file = BASE.with_pair(key, U32, W.u32(value))
            yield unsound(f"{key} {value}", file)
    wide = BASE.with_pair("llama.block_count", U64, W.u64(2**63))
    yield unsound("llama.block_count 2^63", wide)


def _epsilons() -> Iterator[Case]:
    yield unsound("no epsilon", BASE.without_pair(EPSILON))
    values = {"NaN": float("nan"), "infinite": float("inf"), "negative": -1e-5}
    for name, value in values.items():
        yield unsound(f"epsilon {name}", BASE.with_pair(EPSILON, F32, W.f32(value)))
        base = BASE.with_pair("llama.rope.freq_base", F32, W.f32(value))
        yield unsound(f"rope base {name}", base)
    text = BASE.with_pair(EPSILON, STRING, W.string("1e-5"))
    yield unsound("epsilon as string", text)
    double = BASE.with_pair(EPSILON, F64, struct.pack("<d", 1e-5))
    yield odd("epsilon as f64", double, "llama.cpp refuses it, the value is clear")


def _strings(key: str, texts: Sequence[str]) -> GgufFile:
    return BASE.with_pair(key, ARRAY, W.strings(texts))


def _tokens() -> Iterator[Case]:
    tokens = list(tiny.TOKENS)
    yield unsound("tokens: one too few", _strings(TOKENS, tokens[:-1]))
    yield unsound("tokens: one too many", _strings(TOKENS, [*tokens, "more"]))
    yield unsound("tokens: none", _strings(TOKENS, []))
    twice = _strings(TOKENS, [*tokens[:-1], tokens[5]])
    yield odd("tokens: a duplicate", twice, "llama.cpp runs such files")
    numbers = W.array(U32, [W.u32(1)] * VOCAB)
    yield unsound("tokens: numbers", BASE.with_pair(TOKENS, ARRAY, numbers))
    yield unsound("tokens: one string", BASE.with_pair(TOKENS, STRING, W.string("abc")))
    for count in (VOCAB - 1, VOCAB + 1):
        kinds = W.array(I32, [W.i32(1)] * count)
        file = BASE.with_pair("tokenizer.ggml.token_type", ARRAY, kinds)
        yield unsound(f"token types: {count} for {VOCAB} tokens", file)
        scores = W.array(F32, [W.f32(0.0)] * count)
        file = BASE.with_pair("tokenizer.ggml.scores", ARRAY, scores)
        yield unsound(f"scores: {count} for {VOCAB} tokens", file)
    kinds = W.array(I32, [W.i32(99)] * VOCAB)
    unknown = BASE.with_pair("tokenizer.ggml.token_type", ARRAY, kinds)
    yield unsound("token types: 99", unknown)
    merges = [f"{left} {right}" for left, right in tiny.MERGES]
    unused = _strings(MERGES, [*merges, "qq zz"])
    yield odd("merges: unknown tokens", unused, "llama.cpp never comes to use them")
    yield unsound("merges: no space", _strings(MERGES, [*merges, "ab"]))
    yield unsound("merges: empty", _strings(MERGES, [*merges, ""]))
    yield unsound("merges missing", BASE.without_pair(MERGES))
    model = "tokenizer.ggml.model"
    yield unsound("tokenizer model unknown", _text(model, "quux"))
    yield unsound("tokenizer model missing", BASE.without_pair(model))
    yield odd(
        "pre-tokenizer unknown",
        _text("tokenizer.ggml.pre", "quux"),
        "it can be kept as the name it is",
    )
    template = "{% for x in range(10**9) %}{{ x }}{% endfor %}{{ ''.__class__ }}"
    yield legal(
        "a hostile chat template",
        _text("tokenizer.chat_template", template),
        "templates are text and are never rendered",
    )
    for text in ("{", "[]", "null", '{"model": 1}', "[" * 100_000):
        file = _text("tokenizer.huggingface.json", text)
        name = f"tokenizer.huggingface.json {text[:20]}"
        yield questionable(name, file, "tokenizer.json")


def _text(key: str, text: str) -> GgufFile:
    return BASE.with_pair(key, STRING, W.string(text))


def _special_ids() -> Iterator[Case]:
    for name in ("bos", "eos", "unknown", "padding"):
        key = f"tokenizer.ggml.{name}_token_id"
        values = {
            "the vocabulary's size": (U32, W.u32(VOCAB)),
            "2^32-1": (U32, W.u32(2**32 - 1)),
            "-1": (I32, W.i32(-1)),
            "a string": (STRING, W.string("1")),
        }
        for what, (kind, value) in values.items():
            file = BASE.with_pair(key, kind, value)
            yield questionable(f"{name} id {what}", file, key)


def _splits() -> Iterator[Case]:
    kind = 2
    for number, count in ((0, 2), (1, 2), (0, 65535), (7, 2)):
        file = (
            BASE.with_pair("split.no", kind, struct.pack("<H", number))
            .with_pair("split.count", kind, struct.pack("<H", count))
            .with_pair("split.tensors.count", I32, W.i32(len(BASE.infos)))
        )
        named = evolve(file, file_name="model-00001-of-00002.gguf")
        yield unsound(f"part {number} of {count}, alone", named)
        yield unsound(f"part {number} of {count}, in a file of another name", file)
    whole = BASE.with_pair("split.count", kind, struct.pack("<H", 0))
    yield odd("one of 0 parts", whole, "llama.cpp takes it as not split")
    text = BASE.with_pair("split.count", STRING, W.string("2"))
    yield unsound("split.count stored as a string", text, "split.count")
    negative = BASE.with_pair("split.tensors.count", I32, W.i32(-1)).with_pair(
        "split.count", kind, struct.pack("<H", 2)
    )
    yield unsound("split.tensors.count -1", negative)


def _names() -> Iterator[Case]:
    why = "any text is legal; only printing it as it is would be wrong"
    texts = {"a terminal escape": "\x1b]0;owned\x07\x1b[31m", "a NUL": "tiny\0"}
    for name, text in texts.items():
        for key in ("general.name", "general.license", "general.quux"):
            yield legal(f"{key} with {name}", _text(key, text), why)
    escaped = BASE.plus(Pair(b"some.\x1b[31mkey", U32, W.u32(1)))
    yield odd("a key with a terminal escape", escaped, why)


def _contents() -> Iterator[Case]:
    name = "blk.0.attn_q.weight"
    why = "values are looked at by `tensors --stats` and the like"
    yield odd("NaN scales in Q8_0 blocks", gguf_file.quantised(name, NAN_HALF), why)
    zero = gguf_file.replaced(name, 0, bytes(32 * 32 * 4))
    yield odd("an all-zero weight", zero, why)
    nan = gguf_file.replaced(name, 0, W.f32(float("nan")) * 32 * 32)
    yield odd("a weight that is all NaN", nan, why)
    short = evolve(BASE, infos=BASE.infos[:-1], data=BASE.data[: -64 * 32 * 4])
    yield legal("no output weight", short, "means that the head is tied")
    first = evolve(BASE, infos=BASE.infos[1:], data=BASE.data[64 * 32 * 4 :])
    rebased = tuple(
        evolve(info, offset=info.offset - 64 * 32 * 4) for info in first.infos
    )
    yield unsound("no embedding", evolve(first, infos=rebased))
    yield unsound("no tensor and no data", evolve(BASE, infos=(), data=b""))
