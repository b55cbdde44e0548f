"""Where every byte of a safetensors model goes: a folder, or one file.

    model.safetensors                      or model-00001-of-0000N.safetensors …
    tokenizer.json, …, aprhub.json
    model.safetensors.index.json           (with several files)
    generation_config.json, tokenizer_config.json
    config.json                            (last: a reader looks for it first)

A single file has the texts in its metadata instead, under `aprhub.` and their name.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from aprhub.api import (
    Layout,
    LayoutFile,
    LayoutOptions,
    Literal,
    StoredModel,
    Tensor,
    TensorData,
    Tokenizer,
    UnrepresentableError,
    sharded,
    shown,
)
from aprhub_safetensors.companions import embedded, written_texts
from aprhub_safetensors.folder import SINGLE
from aprhub_safetensors.record import OWN_WORLD
from aprhub_safetensors.settings import SETTINGS, true_settings
from aprhub_safetensors.spelling import as_text
from aprhub_safetensors.tables import (
    INDEX,
    MAX_HEADER,
    METADATA,
    NAMES,
    SUFFIX,
    TOKENIZER,
)

ALIGNMENT: Final = 64
"""Where tensors start in a file; the format asks for nothing, readers map the file."""

LARGEST_FILE: Final = 50_000_000_000
"""How many bytes of tensors a file has when nobody asks for less: a hub's limit."""

Shard = Sequence[tuple[str, Tensor]]


def lay_out(stored: StoredModel, target: Path, options: LayoutOptions) -> Layout:
    """Return the files of a model: one file where the target's suffix asks for one.

    Raises UnrepresentableError for tensors without a dtype of the format, for a header
    over the format's limit, and for a single file that would need several.
    """
    tensors = list(stored.tensors.items())
    _refuse_unknown(tensors, target)
    if target.suffix.lower() == SUFFIX:
        return _single_file(stored, target, options)
    shards = sharded(tensors, options.shard_size or LARGEST_FILE)
    names = _shard_names(len(shards))
    metadata = _metadata(stored)
    files = [
        weight_file(target, name, shard, metadata)
        for name, shard in zip(names, shards, strict=True)
    ]
    texts = written_texts(stored)
    if len(shards) > 1:
        texts[INDEX] = _index(shards, names)
    programs = _program_files(stored.tokenizer)
    rest = {name: text for name, text in texts.items() if name not in SETTINGS}
    settings = _settings_files(texts, stored)
    others = (*programs, *text_files(rest, target), *settings)
    return Layout((*files, *others), folder=True)


def _settings_files(
    texts: Mapping[str, str], stored: StoredModel
) -> Iterator[LayoutFile]:
    """Yield texts that are settled once the tokenizer is there; `config.json` last."""
    settled = cache(partial(true_settings, texts, stored))
    for name in SETTINGS:
        if name in texts:
            data = partial(_settled_bytes, name, settled, stored.path)
            yield LayoutFile(name, (Literal(data),))


def _settled_bytes(
    name: str, texts: Callable[[], Mapping[str, str]], target: Path
) -> bytes:
    return _text_bytes(name, texts()[name], target)


def _single_file(stored: StoredModel, target: Path, options: LayoutOptions) -> Layout:
    tensors = list(stored.tensors.items())
    if len(sharded(tensors, options.shard_size)) > 1:
        what = f"one file cannot be split; give a folder, without {SUFFIX}"
        raise UnrepresentableError(target, what)
    texts = true_settings(written_texts(stored), stored)
    if stored.tokenizer is not None and stored.tokenizer.has_json:
        texts[TOKENIZER] = stored.tokenizer.json or ""
    metadata = {**_metadata(stored), **embedded(texts)}
    return Layout((weight_file(target, target.name, tensors, metadata),))


def _refuse_unknown(tensors: Shard, target: Path) -> None:
    for name, tensor in tensors:
        if tensor.encoding.name not in NAMES:
            raise UnrepresentableError(
                target,
                f"{name}: safetensors has no type for {tensor.encoding.name}; decode it"
                " with --dtype",
            )
        if name == METADATA:
            raise UnrepresentableError(
                target, f"no tensor can be called {name}; rename it in the source"
            )


def _shard_names(count: int) -> list[str]:
    if count == 1:
        return [SINGLE]
    return [f"model-{i:05d}-of-{count:05d}{SUFFIX}" for i in range(1, count + 1)]


def _metadata(stored: StoredModel) -> dict[str, str]:
    carried = stored.carried.get(OWN_WORLD, {}).get("metadata")
    texts = carried.items() if isinstance(carried, Mapping) else ()
    kept = {key: text for key, text in texts if isinstance(text, str)}
    return {**kept, "format": "pt"}


def weight_file(
    target: Path, name: str, tensors: Shard, metadata: Mapping[str, str]
) -> LayoutFile:
    """Return one file of weights."""
    header = _header(tensors, metadata, target)
    data = (TensorData(each, tensor) for each, tensor in tensors)
    return LayoutFile.of(name, (Literal(header), *data))


def _header(tensors: Shard, metadata: Mapping[str, str], target: Path) -> bytes:
    table: dict[str, Any] = {METADATA: dict(sorted(metadata.items()))}
    table.update(_entries(tensors))
    text = _encoded(table, target)
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    if len(text) > MAX_HEADER:
        what = (
            f"a header of {len(text)} bytes, but at most {MAX_HEADER} are read; write"
            " a folder, whose texts are files of their own, or more files with"
            " --shard-size"
        )
        raise UnrepresentableError(target, what)
    return len(text).to_bytes(8, "little") + text


def _encoded(table: Mapping[str, Any], target: Path) -> bytes:
    try:
        text = json.dumps(table, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UnrepresentableError(
            target,
            f"a name or text that is not valid Unicode ({error.reason}); correct"
            f" {_around(error)} in the source",
        ) from error


def _around(error: UnicodeEncodeError) -> str:
    """Return the character that cannot be encoded, with what is in front of it."""
    return shown(error.object[max(error.start - 20, 0) : error.end])


def _entries(tensors: Shard) -> Iterator[tuple[str, Any]]:
    position = 0
    for name, tensor in tensors:
        end = position + tensor.nbytes
        yield (
            name,
            {
                "dtype": NAMES[tensor.encoding.name],
                "shape": tensor.shape,
                "data_offsets": (position, end),
            },
        )
        position = end


def _index(shards: Sequence[Shard], names: Sequence[str]) -> str:
    pairs = zip(names, shards, strict=True)
    weight_map = {each: name for name, shard in pairs for each, _ in shard}
    total = sum(tensor.nbytes for shard in shards for _, tensor in shard)
    return as_text(
        {
            "metadata": {"total_size": total},
            "weight_map": dict(sorted(weight_map.items())),
        }
    )


def _program_files(tokenizer: Tokenizer | None) -> Iterator[LayoutFile]:
    """Yield the file of a tokenizer, if it has one; its text may be made late."""
    if tokenizer is not None and tokenizer.has_json:
        data = partial(_program_bytes, tokenizer)
        yield LayoutFile(TOKENIZER, (Literal(data),))


def _program_bytes(tokenizer: Tokenizer) -> bytes:
    return tokenizer.program or b""


def text_files(texts: Mapping[str, str], target: Path) -> Iterator[LayoutFile]:
    """Yield the files of texts by their names."""
    for name, text in texts.items():
        yield LayoutFile(name, (Literal(_text_bytes(name, text, target)),))


def _text_bytes(name: str, text: str, target: Path) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UnrepresentableError(
            target,
            f"{name} would not be valid Unicode ({error.reason}); correct"
            f" {_around(error)} in the source",
        ) from error
