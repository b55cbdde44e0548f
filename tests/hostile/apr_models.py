"""APR v2 files whose metadata is broken, or that are sound containers of bad models."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import evolve

from tests.hostile import apr_file, tiny
from tests.hostile.apr_file import ROW_MAJOR, AprFile
from tests.hostile.case import Case, RawFile, broken, legal, odd, unsound

BASE: Final = apr_file.valid()
DEEP: Final = 100_000
DIMENSIONS: Final = ("hidden_size", "num_layers", "num_heads", "intermediate_size")


def cases() -> Iterator[Case]:
    """Yield every case."""
    yield from _texts()
    yield from _typed_keys()
    yield from _names()
    yield from _dimensions()
    yield from _aliases()
    yield from _tokenizers()
    yield from _shards()


def _texts() -> Iterator[Case]:
    text = BASE.metadata
    texts = {
        "empty": b"",
        "blank": b" " * 64,
        "not JSON": b"model_type: llama" * 8,
        "cut": text[:-10],
        "a list": b"[" + text + b"]",
        "a string": b'"metadata"',
        "a number": b"7",
        "null": b"null",
        "not UTF-8": text.replace(b"tiny", b"t\xffny"),
        "with a byte order mark": b"\xef\xbb\xbf" + text,
        "UTF-16": text.decode().encode("utf-16"),
        "NaN": text.replace(b"10000.0", b"NaN"),
        "Infinity": text.replace(b"10000.0", b"-Infinity"),
        "followed by more": text + b"{}",
        "deep lists": b'{"model_type":"llama","x":' + b"[" * DEEP + b"]" * DEEP + b"}",
        "deep objects": b'{"model_type":"llama","x":' + b'{"a":' * DEEP,
        "an integer of 5000 digits": text.replace(b":128,", b":1" + b"0" * 5000 + b","),
        "a lone surrogate": text.replace(b"tiny", b"\\ud800"),
    }
    for name, value in texts.items():
        kind = unsound if name in {"a lone surrogate"} else broken
        yield kind(f"metadata {name}", evolve(BASE, metadata=value))
    twice = text.replace(b'"name":"tiny"', b'"name":null,"name":"tiny"')
    why = "files with keys repeated in the text exist; the last one counts"
    yield legal("a key repeated in the text", evolve(BASE, metadata=twice), why)
    long = evolve(BASE, metadata=text[:-1] + b" " * 17 * 2**20 + b"}")
    yield odd("metadata of 17 MiB", long, "over the writers' limit is a warning")


def _typed_keys() -> Iterator[Case]:
    values: Mapping[str, Mapping[str, Any]] = {
        "model_type": {"null": None, "a number": 7, "a list": ["llama"]},
        "architecture": {"a number": 7, "a list": ["llama"], "an object": {}},
        "hf_architecture": {"a list": ["LlamaForCausalLM"]},
        "license": {"a number": 7, "a list": ["MIT"]},
        "rope_theta": {"a string": "10000", "a list": [1.0]},
        "rms_norm_eps": {"a string": "1e-5"},
        "param_count": {"a string": "1", "negative": -1},
        "quantization": {"a string": "Q4_K", "without its keys": {"bits": 4}},
        "sharding": {"a list": [], "without its keys": {"shard_count": 2}},
        "special_tokens": {"a list": ["<s>"]},
    }
    for key, each in values.items():
        for name, value in each.items():
            yield unsound(f"{key} is {name}", BASE.with_metadata(**{key: value}))
    texts = {"": "empty", "quux": "unknown", "LlamaForCausalLM": "a class name"}
    for text, name in texts.items():
        file = BASE.with_metadata(
            architecture=text, hf_architecture="", hf_model_type="", model_type=""
        )
        kind = odd if name == "a class name" else unsound
        yield kind(f"architecture {name}", file, "")
    for key in ("rope_theta", "rms_norm_eps"):
        yield unsound(f"{key} negative", BASE.with_metadata(**{key: -1.0}))
    yield unsound("rope_type 1", BASE.with_metadata(rope_type=1))


def _names() -> Iterator[Case]:
    why = "any text is legal; only printing it as it is would be wrong"
    texts = {"a terminal escape": "\x1b]0;owned\x07\x1b[31m", "a NUL": "tiny\0"}
    for name, text in texts.items():
        for key in ("name", "license", "author", "quux"):
            file = BASE.with_metadata(**{key: text})
            yield legal(f"{key} with {name}", file, why)
        yield odd(f"a key with {name}", BASE.with_metadata(**{text: 1}), why)


def _dimensions() -> Iterator[Case]:
    values = {
        "zero": 0,
        "negative": -2,
        "a float": 2.0,
        "a string": "2",
        "true": True,
        "2^63": 2**63,
        "2^64": 2**64,
        "a list": [2, 2],
    }
    for key in (*DIMENSIONS, "num_kv_heads", "vocab_size", "head_dim"):
        for name, value in values.items():
            yield unsound(f"{key} is {name}", BASE.with_metadata(**{key: value}))
    for key in DIMENSIONS:
        yield unsound(f"{key} missing", BASE.without_metadata(key))
        yield unsound(f"{key} null", BASE.with_metadata(**{key: None}))
    wrong = {
        "hidden_size": (64, 31),
        "num_layers": (1, 3, 2**31),
        "num_heads": (3, 5),
        "num_kv_heads": (1, 3, 4, 8),
        "vocab_size": (63, 65, 10**6),
        "intermediate_size": (47, 2**31),
        "head_dim": (7, 16),
    }
    for key, others in wrong.items():
        for other in others:
            yield unsound(f"{key} is {other}", BASE.with_metadata(**{key: other}))


def _aliases() -> Iterator[Case]:
    why = "the alias is null, and the canonical spelling has the value"
    null = BASE.with_metadata(num_hidden_layers=None)
    yield odd("an alias that is null", null, why)
    contradicting = BASE.with_metadata(num_hidden_layers=7)
    yield odd("an alias of another value", contradicting, "the canonical spelling wins")


def _tokenizers() -> Iterator[Case]:
    tokens: list[Any] = list(tiny.TOKENS)
    vocabularies: Mapping[str, list[Any]] = {
        "with a number": [*tokens[:-1], 7],
        "with null": [*tokens[:-1], None],
        "one too short": tokens[:-1],
        "one too long": [*tokens, "more"],
        "empty": [],
    }
    for name, value in vocabularies.items():
        file = BASE.with_metadata(tokenizer__vocabulary=value)
        yield unsound(f"a vocabulary {name}", file)
    twice = BASE.with_metadata(tokenizer__vocabulary=[*tokens[:-1], tokens[5]])
    yield odd("a vocabulary with a duplicate", twice, "runtimes run such files")
    merges: list[Any] = [f"{left} {right}" for left, right in tiny.MERGES]
    for name, extra in {
        "without a space": "ab",
        "as numbers": 7,
    }.items():
        file = BASE.with_metadata(tokenizer__merges=[*merges, extra])
        yield unsound(f"merges {name}", file)
    unused = BASE.with_metadata(tokenizer__merges=[*merges, "qq zz"])
    yield odd("merges naming unknown tokens", unused, "they are never used")
    parallel: Mapping[str, list[Any]] = {
        "tokenizer.token_type": [1] * (tiny.VOCAB - 1),
        "tokenizer.scores": [0.0] * (tiny.VOCAB + 1),
    }
    for key, value in parallel.items():
        yield unsound(f"{key} of another length", BASE.with_metadata(**{key: value}))
    for key in ("tokenizer.bos_token_id", "tokenizer.eos_token_id"):
        for other in (tiny.VOCAB, -1, 2**64, "1", 1.5):
            file = BASE.with_metadata(**{key: other})
            yield unsound(f"{key} is {other!r}", file)


def _manifest(name: str) -> RawFile:
    shards = [{"filename": name, "index": 0, "size": 1, "tensors": ["x"]}]
    manifest = {
        "version": "2.0",
        "shard_count": 1,
        "total_size": 1,
        "tensor_count": 1,
        "shards": shards,
        "weight_map": {"x": 0},
    }
    return RawFile("model.apr.json", json.dumps(manifest).encode())


def _sharded(pattern: str, count: int = 2) -> AprFile:
    sharding = {
        "shard_count": count,
        "shard_index": 0,
        "total_size": 1,
        "pattern": pattern,
    }
    file = BASE.with_metadata(sharding=sharding)
    return file.with_lies(flags=ROW_MAJOR | 0x0010)


def _shards() -> Iterator[Case]:
    names = {
        "above the folder": "../model.apr",
        "itself": "model.apr.json",
        "that is missing": "model-00001-of-00001.apr",
        "with an absolute path": "/etc/passwd",
    }
    for name, value in names.items():
        yield broken(f"a manifest with a shard {name}", _manifest(value))
    why = "the tensors in this file are a whole model"
    for pattern in ("../model-{:05d}.apr", "model.apr", "/dev/zero", "{0.__class__}"):
        yield odd(f"a shard with the pattern {pattern!r}", _sharded(pattern), why)
    many = _sharded("model-{:05d}-of-{:05d}.apr", 2**63)
    yield odd("one of 2^63 shards", many, why)
