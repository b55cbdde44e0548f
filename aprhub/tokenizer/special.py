"""The ids of special tokens, from what the files of a folder call and number them."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from aprhub.errors import CorruptFileError
from aprhub.tokenizer.templates import Frame

Config = Mapping[str, Any]

ROLES: Final = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
_END_OF_MESSAGE: Final = "<|eom_id|>"


def special_names(files: Mapping[str, Config], frame: Frame) -> dict[str, str]:
    """Return the special tokens by role; `files` are configurations by file name.

    The first file that names a role wins. A classifier's token serves as BOS and a
    separator as EOS where there is none; the token that the template puts last is the
    EOS, and what was called so before is the end of a turn.
    """
    names: dict[str, str] = {}
    for file, config in files.items():
        for role in ROLES:
            content = _content(config.get(f"{role}_token"), f"{role}_token", file)
            if content:
                names.setdefault(role, content)
    for role, stand_in in (("bos", "cls"), ("eos", "sep")):
        if stand_in in names:
            names.setdefault(role, names[stand_in])
    if frame.first:
        names.setdefault("bos", frame.first)
    if frame.last and names.setdefault("eos", frame.last) != frame.last:
        names["eot"], names["eos"] = names["eos"], frame.last
    return names


def special_ids(
    names: Mapping[str, str], files: Mapping[str, Config], contents: Mapping[str, int]
) -> dict[str, int]:
    """Return the ids of special tokens by role.

    `contents` maps tokens to ids; a name that is not among them has no id. Numbers in
    `files` count where there is no name. Of several ends, those that are not the EOS
    are the end of a message and of a turn.
    """
    ids = {role: contents[name] for role, name in names.items() if name in contents}
    ends: list[int] = []
    for file, config in _scopes(files):
        for role in ROLES:
            numbers = list(_numbers(config.get(f"{role}_token_id"), role, file))
            ends += numbers if role == "eos" else []
            if numbers:
                ids.setdefault(role, numbers[0])
    _add_ends(ids, ends, contents.get(_END_OF_MESSAGE))
    return ids


def _content(entry: Any, key: str, file: str) -> str | None:
    content = entry.get("content") if isinstance(entry, Mapping) else entry
    if content is None or isinstance(content, str):
        return content
    what = f"{entry!r:.80} found, a token expected"
    raise CorruptFileError(file, what, where=key, repair="correct it there")


def _scopes(files: Mapping[str, Config]) -> Iterator[tuple[str, Config]]:
    """Yield every configuration, then what a composed model says of its text part."""
    for file, config in files.items():
        yield file, config
        if isinstance(config.get("text_config"), Mapping):
            yield file, config["text_config"]


def _numbers(value: Any, role: str, file: str) -> Iterator[int]:
    """Yield the ids that a configuration gives; files write -1 for none."""
    for number in value if isinstance(value, list) else [value]:
        if number is not None and type(number) is not int:
            what, where = f"{value!r:.80} found, an id expected", f"{role}_token_id"
            raise CorruptFileError(file, what, where=where, repair="correct it there")
        if number is not None and number >= 0:
            yield number


def _add_ends(ids: dict[str, int], ends: list[int], end_of_message: int | None) -> None:
    others = [end for end in dict.fromkeys(ends) if end != ids.get("eos")]
    if end_of_message in others:
        ids.setdefault("eom", end_of_message)
        others.remove(end_of_message)
    if others:
        ids.setdefault("eot", others[0])
