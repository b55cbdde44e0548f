"""What a Hugging Face folder says about its tokenizer, in canonical words."""

from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve

from aprhub.errors import CorruptFileError
from aprhub.ir.tokenizer import Program, Tokenizer
from aprhub.tokenizer.added import numbered
from aprhub.tokenizer.document import Document, parsed, skimmed
from aprhub.tokenizer.kinds import prefixes_space
from aprhub.tokenizer.pieces import with_added
from aprhub.tokenizer.special import Config, special_ids, special_names
from aprhub.tokenizer.templates import Frame, frame_of

_TOKENIZER_CONFIG: Final = "tokenizer_config.json"
_DEFAULT_TEMPLATE: Final = "default"


def described(
    json: Program,
    tokenizer_config: Config | None,
    special_map: Config | None,
    model_config: Config | None,
    generation_config: Config | None,
) -> Tokenizer:
    """Return the tokenizer of a folder, from the contents of its files.

    `special_map` is `special_tokens_map.json`, `model_config` is `config.json`. A
    template that has a file of its own goes into `tokenizer_config` under
    `chat_template`, where others have it. The vocabulary is left for `flattened` to
    read, unless a special token is found nowhere else.

    What the post-processor puts around a text beats the flags of `tokenizer_config`.
    Raises CorruptFileError where a file says something of the wrong kind, and
    UnrepresentableError for a kind of tokenizer that nothing but its own
    `tokenizer.json` can hold.
    """
    config = tokenizer_config or {}
    document = skimmed(json)
    frame = frame_of(document)
    names = _names(config, special_map, frame)
    numbers = _numbers(model_config, generation_config)
    default, named = _templates(config.get("chat_template"))
    return Tokenizer(
        json=json,
        special_ids=special_ids(names, numbers, _contents(names, document, json)),
        add_bos=_adds(config, "bos", frame, {names.get("bos"), names.get("cls")}),
        add_eos=_adds(config, "eos", frame, {names.get("eos")}),
        add_sep=_separates(frame, {names.get("sep"), names.get("eos")}),
        add_space_prefix=prefixes_space(document),
        clean_up_spaces=_flag(config, "clean_up_tokenization_spaces"),
        chat_template=default,
        chat_templates=named,
    )


def described_pieces(
    pieces: Tokenizer,
    tokenizer_config: Config | None,
    special_map: Config | None,
    model_config: Config | None,
    generation_config: Config | None,
) -> Tokenizer:
    """Return the tokenizer of a folder with a `tokenizer.model` alone.

    `pieces` is what `read_sentencepiece` made of that; the rest is as for `described`.
    What `tokenizer_config` says goes before what the pieces say. Raises
    CorruptFileError as `described` does, and for added tokens that do not fit.
    """
    config = tokenizer_config or {}
    flat = with_added(pieces.flat, config.get("added_tokens_decoder"))
    names = _names(config, special_map, Frame())
    contents = {token: number for number, token in enumerate(flat.tokens)}
    ids = special_ids(names, _numbers(model_config, generation_config), contents)
    add_bos, add_eos = (_flag(config, f"add_{role}_token") for role in ("bos", "eos"))
    default, named = _templates(config.get("chat_template"))
    return evolve(
        pieces,
        flat=flat,
        special_ids={**pieces.special_ids, **ids},
        add_bos=pieces.add_bos if add_bos is None else add_bos,
        add_eos=pieces.add_eos if add_eos is None else add_eos,
        clean_up_spaces=_flag(config, "clean_up_tokenization_spaces"),
        chat_template=default,
        chat_templates=named,
    )


def _names(
    config: Config, special_map: Config | None, frame: Frame
) -> Mapping[str, str]:
    files = {_TOKENIZER_CONFIG: config, "special_tokens_map.json": special_map or {}}
    return special_names(files, frame)


def _numbers(
    model_config: Config | None, generation_config: Config | None
) -> Mapping[str, Config]:
    return {
        "config.json": model_config or {},
        "generation_config.json": generation_config or {},
    }


def _contents(
    names: Mapping[str, str], document: Document, json: Program
) -> Mapping[str, int]:
    """Return the ids of the added tokens, and of all others where a name needs them."""
    added = {token.content: token.id for token in document.added}
    if all(name in added for name in names.values()):
        return added
    return {**numbered(parsed(json)), **added}


def _adds(config: Config, role: str, frame: Frame, expected: set[str | None]) -> bool:
    placed = frame.first if role == "bos" else frame.last
    if placed or frame.silent:
        return placed is not None and placed in expected
    return bool(_flag(config, f"add_{role}_token"))


def _separates(frame: Frame, separators: set[str | None]) -> bool:
    """Return whether something stands between two texts besides their own ends."""
    own = 1 if frame.last else 0
    extra = frame.between[own:]
    return bool(extra) and extra[0] in separators


def _flag(config: Config, key: str) -> bool | None:
    value = config.get(key)
    if isinstance(value, bool | None):
        return value
    raise _wrong(key, value, "true or false")


def _templates(entry: Any) -> tuple[str | None, dict[str, str]]:
    if isinstance(entry, str | None):
        return entry, {}
    if not isinstance(entry, list):
        raise _wrong("chat_template", entry, "a text or a list of named ones")
    named = dict(_named(each) for each in entry)
    return named.pop(_DEFAULT_TEMPLATE, None), named


def _named(entry: Any) -> tuple[str, str]:
    name, text = (
        (entry.get("name"), entry.get("template"))
        if isinstance(entry, Mapping)
        else (None, None)
    )
    if isinstance(name, str) and isinstance(text, str):
        return name, text
    raise _wrong("chat_template", entry, "a name and a template")


def _wrong(key: str, value: Any, expected: str) -> CorruptFileError:
    what = f"{value!r:.80} found, {expected} expected"
    repair = "correct it there"
    return CorruptFileError(_TOKENIZER_CONFIG, what, where=key, repair=repair)
