"""Recipes as YAML files, in the words of mergekit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aprhub.errors import near_miss
from aprhub.merging.parameters import Choice, Parameters
from aprhub.merging.recipe import (
    DTYPES,
    WORDS,
    Ingredient,
    Recipe,
    Slice,
    TokenizerPolicy,
    TokenRule,
)
from aprhub.yaml_document import Entry, read

_KEYS: Final = (
    *("merge_method", "base_model", "models", "slices", "parameters", "dtype"),
    *("out_dtype", "tokenizer", "tokenizer_source", "chat_template", "modules"),
)
_MODULE: Final = "default"
"""What mergekit calls the only module of a model that reads and writes text."""


def read_recipe(path: Path, seed: int = 0) -> Recipe:
    """Read a recipe.

    Paths in it are as on the command line: from the current folder. Raises UsageError
    with the line of what cannot be understood.
    """
    root = read(path, "recipe")
    keys = root.mapping(*_KEYS)
    if "merge_method" not in keys:
        root.refuse("merge_method is missing; add it, with a name of 'aprhub methods'")
    module = _module(root, keys)
    base = _model(keys["base_model"]) if "base_model" in keys else None
    dtype = keys.get("out_dtype", keys.get("dtype"))
    template = keys.get("chat_template")
    return Recipe(
        keys["merge_method"].text(),
        _slices(module),
        base,
        _nested(_parameters(module), _parameters(keys)),
        _dtype(dtype) if dtype else None,
        _tokenizer(root, keys),
        template.text() if template else None,
        seed,
        {"recipe": _plain(root)},
    )


def _module(root: Entry, keys: Mapping[str, Entry]) -> Mapping[str, Entry]:
    """Return the keys that say what is merged: those of the recipe or of its module."""
    _require_one(root, keys, "models", "slices", "modules")
    if "modules" not in keys:
        return {name: keys[name] for name in ("models", "slices") if name in keys}
    modules = keys["modules"].mapping(_MODULE)
    if _MODULE not in modules:
        keys["modules"].refuse(f"{_MODULE} is missing; add it, with models or slices")
    module = modules[_MODULE].mapping("models", "slices", "parameters")
    _require_one(modules[_MODULE], module, "models", "slices")
    return module


def _require_one(entry: Entry, keys: Mapping[str, Entry], *names: str) -> None:
    """Refuse an entry that has none of some keys, or more than one."""
    found = [name for name in names if name in keys]
    if len(found) != 1:
        listed = " and ".join(found) or "none of them"
        entry.refuse(f"give one of {', '.join(names)}; found {listed}")


def _nested(inner: Parameters, outer: Parameters) -> Parameters:
    """Return parameters of which the inner ones hold where they say anything."""
    names = dict.fromkeys((*inner, *outer))
    return {name: (*inner.get(name, ()), *outer.get(name, ())) for name in names}


def _slices(keys: Mapping[str, Entry]) -> tuple[Slice, ...]:
    if "models" in keys:
        return (Slice(tuple(map(_whole, keys["models"].items()))),)
    return tuple(map(_slice, keys["slices"].items()))


def _whole(entry: Entry) -> Ingredient:
    keys = _required(entry, ("model",), "parameters")
    return Ingredient(_model(keys["model"]), None, _parameters(keys))


def _slice(entry: Entry) -> Slice:
    keys = _required(entry, ("sources",), "base_model", "parameters")
    base = _model(keys["base_model"]) if "base_model" in keys else None
    parts = tuple(map(_part, keys["sources"].items()))
    depths = [len(part.layers or ()) for part in parts]
    if len({*depths}) > 1:
        listed = ", ".join(map(str, depths))
        entry.refuse(f"its sources have {listed} layers; give all of them as many")
    return Slice(parts, base, _parameters(keys))


def _part(entry: Entry) -> Ingredient:
    keys = _required(entry, ("model", "layer_range"), "parameters")
    limits = [each.whole() for each in keys["layer_range"].items()]
    if len(limits) != 2 or limits[0] >= limits[1]:
        keys["layer_range"].refuse(
            f"found {limits}; give the number of the first layer, and a larger one, of"
            " the layer after the last"
        )
    return Ingredient(_model(keys["model"]), range(*limits), _parameters(keys))


def _required(
    entry: Entry, required: tuple[str, ...], *more: str
) -> Mapping[str, Entry]:
    keys = entry.mapping(*required, *more)
    for name in required:
        if name not in keys:
            entry.refuse(f"{name} is missing; add it")
    return keys


def _model(entry: Entry) -> Path:
    return Path(entry.text()).expanduser()


def _dtype(entry: Entry) -> str:
    name = entry.text()
    if name not in DTYPES:
        near = near_miss(name, DTYPES)
        entry.refuse(f"found {name!r:.80}; give one of {', '.join(DTYPES)}{near}")
    return name


def _parameters(keys: Mapping[str, Entry]) -> Parameters:
    if "parameters" not in keys:
        return {}
    members = keys["parameters"].mapping()
    return {name: _choices(entry) for name, entry in members.items()}


def _choices(entry: Entry) -> tuple[Choice, ...]:
    """Read a value, a list of values by layer, or a list of those with filters."""
    if isinstance(entry.value, Mapping):
        return (_filtered(entry),)
    if isinstance(entry.value, tuple):
        members = entry.items()
        if any(isinstance(each.value, Mapping) for each in members):
            return tuple(map(_filtered, members))
    return (Choice(_values(entry), None, entry.where),)


def _filtered(entry: Entry) -> Choice:
    keys = _required(entry, ("value",), "filter")
    wanted = keys["filter"].text() if "filter" in keys else "*"
    return Choice(
        _values(keys["value"]), None if wanted == "*" else wanted, entry.where
    )


def _values(entry: Entry) -> tuple[object, ...]:
    members = entry.items() if isinstance(entry.value, tuple) else (entry,)
    for each in members:
        if isinstance(each.value, tuple | Mapping):
            each.refuse(f"found {each.shown}; give a single value")
    return tuple(each.value for each in members)


def _tokenizer(root: Entry, keys: Mapping[str, Entry]) -> TokenizerPolicy | None:
    if "tokenizer" in keys and "tokenizer_source" in keys:
        root.refuse(
            "tokenizer and tokenizer_source are two ways to say one thing; leave one"
            " out"
        )
    if "tokenizer_source" in keys:
        return TokenizerPolicy(_source(keys["tokenizer_source"]))
    if "tokenizer" not in keys:
        return None
    members = keys["tokenizer"].mapping("source", "tokens", "pad_to_multiple_of")
    source, multiple = members.get("source"), members.get("pad_to_multiple_of")
    rules = members["tokens"].mapping() if "tokens" in members else {}
    return TokenizerPolicy(
        _source(source) if source else "union",
        {token: _rule(entry) for token, entry in rules.items()},
        multiple.whole() if multiple else None,
    )


def _source(entry: Entry) -> Path | str:
    return entry.text() if entry.text() in WORDS else _model(entry)


def _rule(entry: Entry) -> TokenRule:
    keys = entry.mapping("source", "force")
    force = keys["force"].flag() if "force" in keys else False
    if "source" not in keys:
        return TokenRule(force=force)
    source = keys["source"]
    if not isinstance(source.value, Mapping):
        return TokenRule(_model(source), None, force)
    return _special_rule(source, force=force)


def _special_rule(source: Entry, *, force: bool) -> TokenRule:
    """Read a source of its own kind: nothing but zeros, or another token's row."""
    keys = _required(source, ("kind",), "model", "token", "token_id")
    match keys["kind"].text():
        case "zero":
            source.mapping("kind")
            return TokenRule("zero", None, force)
        case "model_token":
            keys = _required(source, ("kind", "model"), "token", "token_id")
            _require_one(source, keys, "token", "token_id")
            token = (
                keys["token"].text() if "token" in keys else keys["token_id"].whole()
            )
            return TokenRule(_model(keys["model"]), token, force)
    kind = keys["kind"]
    return kind.refuse(f"found {kind.shown}; give zero or model_token")


def _plain(entry: Entry) -> object:
    """Return the values of an entry without their places."""
    if isinstance(entry.value, Mapping):
        return {name: _plain(each) for name, each in entry.value.items()}
    if isinstance(entry.value, tuple):
        return [_plain(each) for each in entry.value]
    return entry.value
