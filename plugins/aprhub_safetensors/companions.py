"""The texts beside the weights: read with them, and written with them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from aprhub.api import (
    HF_WORLD,
    Complaints,
    Document,
    StoredModel,
    Tokenizer,
    decoded_json,
)
from aprhub_safetensors.card import Card
from aprhub_safetensors.packing import claiming
from aprhub_safetensors.record import record_text
from aprhub_safetensors.revision import revised
from aprhub_safetensors.sampling import revised_sampling
from aprhub_safetensors.spelling import as_text, config_text
from aprhub_safetensors.tables import (
    CHAT_TEMPLATE,
    CONFIG,
    EMBEDDED,
    GENERATION,
    RECORD,
    TEXTS,
    TOKENIZER_CONFIG,
)


@frozen
class Companions:
    """Texts by file name.

    `home` is the folder they lie in, or with `embedded` the file whose metadata has
    them. `program` is the `tokenizer.json`, which is long, as bytes. `pieces` is a
    `tokenizer.model`, read where there is none.
    """

    home: Path
    texts: Mapping[str, str] = field(factory=dict, repr=False)
    program: bytes | None = field(default=None, repr=False)
    pieces: bytes | None = field(default=None, repr=False)
    card: Card = field(factory=Card)
    complaints: Complaints = field(factory=Complaints, repr=False)
    embedded: bool = False

    def document(
        self, name: str, complaints: Complaints | None = None
    ) -> Document | None:
        """Return the JSON object of a text, or None when there is no such text.

        `complaints` is told what is forgiven; without, nobody is.
        """
        text = self.texts.get(name)
        if text is None:
            return None
        said = complaints or Complaints(self.complaints.lenient)
        if self.embedded:
            return Document.parse(self.home, text, f"{EMBEDDED}{name}: ", said)
        return Document.parse(self.home / name, text, "", said)

    def carried(self) -> dict[str, str]:
        """Return the texts that travel with the model as they are."""
        return {name: text for name, text in self.texts.items() if name in TEXTS}


def written_texts(stored: StoredModel) -> dict[str, str]:
    """Return the texts to be written beside a model's weights and its tokenizer.

    Those that the model came with are kept as a whole; without them, those that
    transformers needs are made.
    """
    world = stored.carried.get(HF_WORLD, {})
    kept = {name: text for name, text in world.items() if _is_text(name, text)}
    if CONFIG in kept:
        kept[CONFIG] = revised(kept[CONFIG], stored)
        if stored.tokenizer and TOKENIZER_CONFIG not in kept:
            settings = tokenizer_config(stored, stored.tokenizer)
            kept[TOKENIZER_CONFIG] = as_text(settings)
    else:
        kept = {**dict(_made_texts(stored)), **kept}
    _put_sampling(kept, stored)
    if stored.tokenizer is not None:
        _put_templates(kept, stored.tokenizer)
    if stored.packing is not None:
        kept[CONFIG] = claiming(kept[CONFIG], stored.packing)
    record = record_text(stored)
    return {**kept, RECORD: record} if record else kept


def _is_text(name: str, text: object) -> bool:
    """Return whether a carried value is a file; names from other files are claims."""
    return name in TEXTS and isinstance(text, str)


def _made_texts(stored: StoredModel) -> Iterator[tuple[str, str]]:
    yield CONFIG, config_text(stored)
    if stored.tokenizer is not None:
        yield GENERATION, as_text(generation_keys(stored.tokenizer))
        yield TOKENIZER_CONFIG, as_text(tokenizer_config(stored, stored.tokenizer))


def generation_keys(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the special ids as the keys under which generation looks for them."""
    ids = tokenizer.special_ids
    ends = [ids[name] for name in ("eos", "eot", "eom") if name in ids]
    ends = list(dict.fromkeys(ends))
    values = {
        "bos_token_id": ids.get("bos"),
        "eos_token_id": ends if len(ends) > 1 else next(iter(ends), None),
        "pad_token_id": ids.get("pad"),
    }
    return {name: value for name, value in values.items() if value is not None}


def tokenizer_config(stored: StoredModel, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return what a `tokenizer_config.json` says of a tokenizer."""
    values = {
        "add_bos_token": tokenizer.add_bos,
        "add_eos_token": tokenizer.add_eos,
        **dict(_special_tokens(tokenizer)),
        "chat_template": _templates(tokenizer),
        "clean_up_tokenization_spaces": bool(tokenizer.clean_up_spaces),
        "model_max_length": stored.config.max_position_embeddings,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    return {name: value for name, value in values.items() if value is not None}


def _special_tokens(tokenizer: Tokenizer) -> Iterator[tuple[str, str]]:
    names = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
    wanted = {name: tokenizer.special_ids.get(name) for name in names}
    tokens = _tokens(tokenizer, {at for at in wanted.values() if at is not None})
    for name, at in wanted.items():
        if at in tokens:
            yield f"{name}_token", tokens[at]


def _tokens(tokenizer: Tokenizer, ids: set[int]) -> dict[int | None, str]:
    """Return the texts of some token ids."""
    if not ids:
        return {}
    if tokenizer.flat is not None:
        tokens = tokenizer.flat.tokens
        return {at: tokens[at] for at in ids if at < len(tokens)}
    root = decoded_json(tokenizer.json or "{}")
    added = {each["id"]: each["content"] for each in root.get("added_tokens", ())}
    vocabulary = root.get("model", {}).get("vocab", {})
    listed = {at: text for text, at in vocabulary.items()} if ids - added.keys() else {}
    return {at: text for at, text in {**listed, **added}.items() if at in ids}


def _templates(tokenizer: Tokenizer) -> Any:
    """Return the chat template, or a list of them where there are named ones."""
    if not tokenizer.chat_templates:
        return tokenizer.chat_template
    named = dict(tokenizer.chat_templates)
    if tokenizer.chat_template is not None:
        named["default"] = tokenizer.chat_template
    return [{"name": name, "template": text} for name, text in sorted(named.items())]


def _put_templates(texts: dict[str, str], tokenizer: Tokenizer) -> None:
    """Put the templates of a tokenizer where the texts have others."""
    settings = values_of(texts, TOKENIZER_CONFIG)
    said = texts.get(CHAT_TEMPLATE, settings.get("chat_template"))
    true = _templates(tokenizer)
    if _by_name(said) == _by_name(true):
        return
    if CHAT_TEMPLATE in texts and isinstance(true, str):
        texts[CHAT_TEMPLATE] = true
        return
    texts.pop(CHAT_TEMPLATE, None)
    rest = {key: each for key, each in settings.items() if key != "chat_template"}
    texts[TOKENIZER_CONFIG] = as_text(
        rest if true is None else {**rest, "chat_template": true}
    )


def _put_sampling(texts: dict[str, str], stored: StoredModel) -> None:
    """Put what tokens are drawn with where the texts say otherwise."""
    values = values_of(texts, GENERATION)
    if GENERATION not in texts and stored.tokenizer is not None:
        # Where there is this file, transformers looks for special ids nowhere else.
        values = generation_keys(stored.tokenizer)
    now = revised_sampling(values, stored.sampling)
    if now is not values:
        texts[GENERATION] = as_text(now)


def _by_name(entry: Any) -> Mapping[str, Any]:
    """Return templates by name; of what is made otherwise, what there is."""
    if not isinstance(entry, list):
        return {} if entry is None else {"default": entry}
    named = [each for each in entry if isinstance(each, Mapping)]
    return {str(each.get("name")): each.get("template") for each in named}


def values_of(texts: Mapping[str, str], name: str) -> Mapping[str, Any]:
    """Return the object in a text, or an empty one; raises CorruptFileError."""
    return Document.parse(Path(name), texts.get(name, "{}")).values


def embedded(texts: Mapping[str, str]) -> dict[str, str]:
    """Return texts as metadata of a single file."""
    return {EMBEDDED + name: text for name, text in texts.items()}
