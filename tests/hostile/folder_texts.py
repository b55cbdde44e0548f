"""Model folders whose weights are sound and whose texts are not."""

import json
import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.hostile import model_folder, safetensors_file, tiny
from tests.hostile.case import Case, Expected, legal, odd, unsound
from tests.hostile.model_folder import WEIGHTS, ModelFolder

BASE: Final = model_folder.valid()
CONFIG: Final = "config.json"
TOKENIZER: Final = "tokenizer.json"
GIB: Final = 2**30
HEAD: Final = "lm_head.weight"
LFS: Final = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:" + b"0" * 64 + b"\nsize 123456789\n"
)
HTML: Final = b"<!DOCTYPE html>\n<html><head><title>404</title></head></html>\n"


def pickle_that_runs(marker: str) -> bytes:
    """Return a pickle that makes a file in the working folder when it is loaded."""
    text = f"touch {marker}".encode()
    return b"cposix\nsystem\n(V" + text + b"\ntR."


def cases() -> Iterator[Case]:
    """Yield every case."""
    yield from _texts()
    yield from _architectures()
    yield from _sizes()
    yield from _ties()
    yield from _tokenizers()
    yield from _added_tokens()
    yield from _other_texts()


def _grown(folder: Path, name: str, size: int) -> None:
    os.truncate(folder / name, size)


def _texts() -> Iterator[Case]:
    for name in (CONFIG, TOKENIZER):
        texts = {
            "missing": None,
            "empty": b"",
            "not JSON": b"hidden_size: 32",
            "a list": b"[]",
            "null": b"null",
            "an empty object": b"{}",
            "not UTF-8": b'{"model_type": "\xff"}',
            "cut": BASE.files[name][:-10],
            "deep": BASE.files[name][:-1] + b',"x":' + b"[" * 100_000,
            "a Git-LFS pointer": LFS,
            "an HTML page": HTML,
        }
        for what, data in texts.items():
            bare = BASE.without_file(name)
            folder = bare if data is None else bare.with_file(name, data)
            yield unsound(f"{name} is {what}", folder)
        for size in (300 * 2**20, GIB):
            folder = BASE.then(partial(_grown, name=name, size=size))
            yield unsound(f"{name} is of {size} bytes", folder, name)


def _architectures() -> Iterator[Case]:
    values: Mapping[str, Any] = {
        "empty": [],
        "a list of lists": [["LlamaForCausalLM"]],
        "a string": "LlamaForCausalLM",
        "a number": 7,
        "null in a list": [None],
        "an object": {"LlamaForCausalLM": 1},
    }
    for name, value in values.items():
        folder = BASE.with_keys(CONFIG, architectures=value)
        why = "the model_type still says what it is"
        yield odd(f"architectures is {name}", folder, why)
        alone = folder.without_key(CONFIG, "model_type")
        yield unsound(f"architectures is {name}, and no model_type", alone)
    unknown = BASE.with_keys(CONFIG, architectures=["QuuxForCausalLM"])
    both = unknown.with_keys(CONFIG, model_type="quux")
    yield unsound("an unknown architecture and model_type", both)
    kinds: tuple[Any, ...] = (7, ["llama"], None, {})
    for value in kinds:
        folder = BASE.with_keys(CONFIG, model_type=value)
        yield odd(f"model_type is {value!r}", folder, "the class still says it")
    climbing = BASE.with_keys(CONFIG, model_type="../../llama", architectures=[])
    yield unsound("model_type is a path", climbing)


def _sizes() -> Iterator[Case]:
    wrong: Mapping[str, tuple[Any, ...]] = {
        "hidden_size": (0, -32, 31, 64, 2**31, 2**63, 32.0, "32", True, [32]),
        "num_hidden_layers": (0, -1, 1, 3, 10**9, 2**63, 2.5, "2", None),
        "num_attention_heads": (0, -4, 3, 8, 2**31, "4", None),
        "num_key_value_heads": (0, -2, 3, 4, 2**31, "2"),
        "head_dim": (-8, 16, 2**31, "8"),
        "intermediate_size": (0, -48, 47, 2**31, "48"),
        "vocab_size": (0, -64, 63, 65, 128, 2**31, "64", 64.5),
        "max_position_embeddings": (-1, "128", 2**70),
        "rms_norm_eps": (-1e-5, "1e-5", [1e-5], True),
        "rope_theta": (-1.0, "10000", [1.0]),
    }
    for key, values in wrong.items():
        for value in values:
            yield unsound(f"{key} is {value!r}", BASE.with_keys(CONFIG, **{key: value}))
    for key in ("rms_norm_eps", "rope_theta"):
        for value in (float("nan"), float("inf"), float("-inf")):
            folder = BASE.with_keys(CONFIG, **{key: value})
            yield unsound(f"{key} is {value!r}", folder)
    scalings: tuple[Any, ...] = ("linear", [1], {"rope_type": "quux", "factor": 2.0})
    huge = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "factor": 1e308}
    old = {"original_max_position_embeddings": 64, "rope_type": "llama3"}
    overflowing = BASE.with_keys(CONFIG, rope_scaling={**huge, **old})
    yield unsound("a rope factor over the largest f32", overflowing)
    for scaling in (*scalings, {"rope_type": "llama3"}, {"rope_type": "linear"}):
        folder = BASE.with_keys(CONFIG, rope_scaling=scaling)
        yield unsound(f"rope_scaling is {json.dumps(scaling)}", folder)


def _without_head() -> bytes:
    names = [name for name in tiny.SHAPES if name != HEAD]
    return safetensors_file.holding(*names).tobytes()


def _ties() -> Iterator[Case]:
    tied = BASE.with_keys(CONFIG, tie_word_embeddings=True)
    either, reported = Expected.EITHER, Expected.REPORTED
    name = "tied, with two different heads"
    yield Case(name, tied.write, either, reported, "tie")
    headless = BASE.with_file(WEIGHTS, _without_head())
    yield unsound("not tied, and no head", headless, "head")
    flags: tuple[Any, ...] = ("true", 1, [], "maybe")
    for value in flags:
        folder = BASE.with_keys(CONFIG, tie_word_embeddings=value)
        yield unsound(f"tie_word_embeddings is {value!r}", folder)
    legal_tie = headless.with_keys(CONFIG, tie_word_embeddings=True)
    yield legal("tied, and no head", legal_tie, "that is how tied models are stored")


def _with_model(**changes: Any) -> ModelFolder:
    model = {**tiny.TOKENIZER["model"], **changes}
    return BASE.with_keys(TOKENIZER, model=model)


def _tokenizers() -> Iterator[Case]:
    vocabulary: dict[str, Any] = dict(tiny.TOKENIZER["model"]["vocab"])
    last = tiny.TOKENS[-1]
    ids: Mapping[str, Any] = {
        "a duplicate id": 5,
        "a negative id": -1,
        "an id of 2^40": 2**40,
        "an id of 2^63": 2**63,
        "an id of 10^9": 10**9,
        "an id as text": "63",
        "an id as float": 63.0,
        "null for an id": None,
    }
    for name, value in ids.items():
        yield unsound(
            f"a vocabulary with {name}", _with_model(vocab={**vocabulary, last: value})
        )
    unused = {text: at for text, at in vocabulary.items() if text != "-"}
    gap = _with_model(vocab=unused)
    yield odd("a vocabulary with a gap", gap, "holes are padded")
    yield unsound("a vocabulary larger than the embedding", _larger(vocabulary))
    yield unsound("a vocabulary that is a list", _with_model(vocab=list(vocabulary)))
    merges: tuple[Any, ...] = (["qq", "zz"], ["a"], ["a", "b", "c"], "ab", 7, None)
    for extra in merges:
        pairs = [*tiny.TOKENIZER["model"]["merges"], extra]
        name = f"merges with {json.dumps(extra)}"
        yield unsound(name, _with_model(merges=pairs))
    yield unsound("merges that are an object", _with_model(merges={"a": "b"}))
    yield unsound("a model of an unknown type", _with_model(type="Quux"))
    yield unsound("a model that is a list", BASE.with_keys(TOKENIZER, model=[]))


def _larger(vocabulary: Mapping[str, Any]) -> ModelFolder:
    more = {f"more{at}": tiny.VOCAB + at for at in range(8)}
    return _with_model(vocab={**vocabulary, **more})


def _added_tokens() -> Iterator[Case]:
    first, second = tiny.TOKENIZER["added_tokens"]
    changed: Mapping[str, Any] = {
        "an id of 10^9": [first, {**second, "id": 10**9}],
        "an id of 2^63": [first, {**second, "id": 2**63}],
        "a negative id": [first, {**second, "id": -1}],
        "an id as text": [first, {**second, "id": "1"}],
        "two ids for one text": [first, {**second, "content": first["content"]}],
        "no content": [first, {"id": 1}],
        "a list in the list": [[first]],
        "an object in place of the list": {"0": first},
    }
    for name, value in changed.items():
        folder = BASE.with_keys(TOKENIZER, added_tokens=value)
        yield unsound(f"added tokens with {name}", folder)
    for key in ("bos_token_id", "eos_token_id"):
        for value in (tiny.VOCAB, -1, 2**63, "1", 1.5):
            folder = BASE.with_keys(CONFIG, **{key: value}).without_file(
                "generation_config.json"
            )
            yield odd(f"{key} is {value!r}", folder, "the tokenizer says it, too")


def _other_texts() -> Iterator[Case]:
    config = "tokenizer_config.json"
    template = "{% for x in range(10**9) %}{{ x }}{% endfor %}{{ ''.__class__ }}"
    hostile = BASE.with_keys(config, chat_template=template)
    why = "templates are text and are never rendered"
    yield legal("a hostile chat template", hostile, why)
    templates: tuple[Any, ...] = (7, {"a": "b"}, [7])
    for value in templates:
        folder = BASE.with_keys(config, chat_template=value)
        yield odd(f"chat_template is {value!r}", folder, "it is not needed")
    for name in (config, "generation_config.json"):
        for data in (b"", b"[]", b"{", b"\xff", b'{"x":' + b"[" * 100_000, LFS):
            folder = BASE.with_file(name, data)
            title = f"{name} is {data[:12]!r}"
            yield odd(title, folder, "what is in it is not needed")
    for name in ("generation_config.json", config, "chat_template.jinja"):
        folder = BASE.with_file(name, b" ").then(partial(_grown, name=name, size=GIB))
        yield odd(f"{name} is of 1 GB", folder, "what is in it is not needed")
