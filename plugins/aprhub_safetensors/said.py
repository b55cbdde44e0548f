"""The keys of a model's texts, by the file that they stand in, and changes of them.

`config.json/hidden_size` is a key of a text, `__metadata__/author` one of the weight
files' own, `aprhub.json/license` a field of the provenance. A key without a file is one
of `config.json`, or of the weight file where there is no `config.json`.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import evolve, fields

from aprhub.api import (
    HF_TOKENIZER_TEXTS,
    Document,
    Provenance,
    Setting,
    Stamp,
    Tokenizer,
    UnrepresentableError,
    UsageError,
)
from aprhub_safetensors.companions import generation_keys, tokenizer_config
from aprhub_safetensors.reader import open_model
from aprhub_safetensors.record import VERSION
from aprhub_safetensors.spelling import as_text
from aprhub_safetensors.tables import (
    CHAT_TEMPLATE,
    CONFIG,
    EMBEDDED,
    GENERATION,
    METADATA,
    RECORD,
    SPECIAL_TOKENS,
    TEXTS,
    TOKENIZER,
    TOKENIZER_CONFIG,
)

_FIELDS: Final = tuple(each.name for each in fields(Provenance))
_OBJECTS: Final = (CONFIG, GENERATION, TOKENIZER_CONFIG, SPECIAL_TOKENS)
"""The texts whose keys can be set one by one."""

DERIVED: Final[Mapping[str, str]] = {
    f"{CONFIG}/torch_dtype": "it follows from the tensors",
    f"{CONFIG}/dtype": "it follows from the tensors",
    f"{CONFIG}/quantization_config": "it says how the tensors are packed",
}
"""Keys that nobody sets one by one, and why."""

Texts = dict[str, str]


def said_keys(texts: Mapping[str, str], metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return every key of a model, by the file that it stands in."""
    said: dict[str, Any] = {f"{METADATA}/{key}": text for key, text in metadata.items()}
    for name, text in texts.items():
        if name in (*_OBJECTS, RECORD):
            values = dict(_values(Path(name), name, text))
            if name == RECORD:
                values.pop("version", None)  # that of the record itself
                values |= values.pop("provenance", {})
            said |= {f"{name}/{key}": value for key, value in values.items()}
        else:
            said[name] = text
    return said


def _values(path: Path, name: str, text: str) -> Mapping[str, Any]:
    return Document.parse(path, text, f"{name}: ").values


def placed(stamp: Stamp, texts: Mapping[str, str]) -> Stamp:
    """Return a stamp in which every key has the file that it stands in.

    Raises UsageError for a key that is not set one by one.
    """
    settings = {_place(key, texts): each for key, each in stamp.settings.items()}
    record = next((key for key in settings if key.startswith(f"{RECORD}/")), None)
    if record:
        raise UsageError(
            f"{record} is not set by hand; use an option such as --license instead"
        )
    unset = tuple(_place(key, texts) for key in stamp.unset)
    return evolve(stamp, settings=settings, unset=unset)


def _place(key: str, texts: Mapping[str, str]) -> str:
    name, slash, own = key.partition("/")
    if slash and own and name in (*_OBJECTS, RECORD, METADATA):
        return key
    if slash and (name in TEXTS or name == TOKENIZER):
        raise UsageError(
            f"{key}: the keys of {name} are not set one by one; use --tokenizer or"
            " --chat-template"
        )
    return f"{CONFIG if CONFIG in texts else METADATA}/{key}"


def restated_texts(path: Path, before: Mapping[str, str], stamp: Stamp) -> Texts:
    """Return the texts of a model with a placed stamp; unchanged ones to the letter."""
    texts = dict(before)
    if stamp.tokenizer is not None:
        texts = _with_tokenizer(path, texts, stamp.tokenizer)
    if stamp.chat_template is not None:
        _put_template(path, texts, stamp.chat_template)
    if stamp.identity:
        _change(path, texts, CONFIG, _identity(path, stamp.identity))
    if stamp.provenance:
        _put_provenance(path, texts, stamp.provenance)
    _apply(path, texts, stamp)
    return texts


def _apply(path: Path, texts: Texts, stamp: Stamp) -> None:
    """Set and unset the keys of texts."""
    for key, setting in stamp.settings.items():
        name, _, own = key.partition("/")
        if name != METADATA:
            _change(path, texts, name, {own: setting.value(key)})
    for key in stamp.unset:
        name, _, own = key.partition("/")
        if name != METADATA:
            _unset(path, texts, name, own)


def restated_metadata(before: Mapping[str, str], stamp: Stamp) -> Texts:
    """Return the metadata of the weight files with a placed stamp."""
    metadata = dict(before)
    for key, setting in stamp.settings.items():
        name, _, own = key.partition("/")
        if name == METADATA:
            metadata[own] = _text(key, own, setting)
    unset = {key.removeprefix(f"{METADATA}/") for key in stamp.unset}
    return {key: text for key, text in metadata.items() if key not in unset}


def _text(key: str, own: str, setting: Setting) -> str:
    if own.startswith(EMBEDDED):
        raise UsageError(f"{key} is a file of the model; set its keys, as FILE/KEY")
    if setting.kind not in (None, "str"):
        raise UsageError(
            f"{key}: the metadata of safetensors files are all text, not"
            f" {setting.kind}; leave the type out"
        )
    return setting.text


def _identity(path: Path, identity: Mapping[str, str]) -> dict[str, Any]:
    if "architecture" in identity:
        raise UnrepresentableError(
            path,
            "Hugging Face's files have no key for an architecture; use"
            " --hf-architecture and --hf-model-type",
        )
    made: Mapping[str, Callable[[str], tuple[str, Any]]] = {
        "hf_class": lambda name: ("architectures", [name]),
        "hf_model_type": lambda name: ("model_type", name),
    }
    return dict(made[word](name) for word, name in identity.items())


def _change(path: Path, texts: Texts, name: str, values: Mapping[str, Any]) -> None:
    """Set keys of a text, which is made where that is all that it needs."""
    if name == CONFIG and CONFIG not in texts:
        raise UnrepresentableError(
            path,
            f"there is no {CONFIG} that could say {', '.join(values)}; add one, with"
            " the sizes of the model",
        )
    before = _values(path, name, texts.get(name, "{}"))
    after = {**before, **values}
    if after != before:
        texts[name] = as_text(after)


def _unset(path: Path, texts: Texts, name: str, own: str) -> None:
    values = dict(_values(path, name, texts.get(name, "{}")))
    scope = values
    if name == RECORD and own in _FIELDS:
        scope = values["provenance"] = dict(values.get("provenance", {}))
    del scope[own]
    if name == RECORD:
        _put_record(texts, values)
    else:
        texts[name] = as_text(values)


def _put_provenance(path: Path, texts: Texts, said: Mapping[str, str]) -> None:
    record = dict(_values(path, RECORD, texts.get(RECORD, "{}")))
    known = {**record.get("provenance", {}), **said}
    ordered = {name: known[name] for name in _FIELDS if name in known}
    _put_record(texts, {"version": VERSION, "provenance": ordered, **_but(record)})


def _but(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record has besides the provenance."""
    return {k: v for k, v in record.items() if k not in ("version", "provenance")}


def _put_record(texts: Texts, values: Mapping[str, Any]) -> None:
    filled = {name: value for name, value in values.items() if value}
    if filled.keys() == {"version"}:
        texts.pop(RECORD, None)
    else:
        texts[RECORD] = json.dumps(filled, indent=1) + "\n"


def _with_tokenizer(path: Path, before: Texts, tokenizer: Tokenizer) -> Texts:
    """Return the texts with another tokenizer, and none of what the old one left."""
    texts = {k: v for k, v in before.items() if k not in HF_TOKENIZER_TEXTS}
    texts[TOKENIZER] = tokenizer.json or ""
    texts[TOKENIZER_CONFIG] = as_text(tokenizer_config(open_model(path), tokenizer))
    ids = generation_keys(tokenizer)
    for name in (CONFIG, GENERATION):
        if name in texts:
            _change(path, texts, name, ids)
    return texts


def _put_template(path: Path, texts: Texts, template: str) -> None:
    """Put a chat template where the model has one, or into its tokenizer's settings."""
    if CHAT_TEMPLATE in texts:
        texts[CHAT_TEMPLATE] = template
    else:
        _change(path, texts, TOKENIZER_CONFIG, {"chat_template": template})
