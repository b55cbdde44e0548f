"""Turns the tables into families."""

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from aprhub.api import DecoderSpec, Family, WeightSpec


@cache  # A host converts many models; the tables of an installation do not change.
def families() -> tuple[Family, ...]:
    """Return the family of each table, by file name."""
    folder = files("aprhub_families") / "tables"
    tables = sorted(folder.iterdir(), key=lambda each: each.name)
    return tuple(
        _family(tomllib.loads(table.read_text("utf-8")))
        for table in tables
        if table.name.endswith(".toml")
    )


def _family(table: Mapping[str, Any]) -> Family:
    names = table["names"]
    return Family(
        name=table["name"],
        slug=names["slug"],
        ggml_architecture=names["ggml"],
        hf_classes=tuple(names["hf_classes"]),
        hf_model_types=tuple(names["hf_model_types"]),
        aliases=tuple(names.get("aliases", ())),
        weights=tuple(_weights(table["weights"])),
        defaults=table.get("defaults", {}),
        hf_defaults=table.get("hf_defaults", {}),
        hf_constants=table.get("hf_constants", {}),
        decoder=DecoderSpec(**table["decoder"]) if "decoder" in table else None,
        **table.get("layout", {}),
    )


def _weights(table: Mapping[str, Any]) -> Iterator[WeightSpec]:
    """Yield the weights; a role is a key, its value a shape or a table with one."""
    for role, value in table.items():
        if isinstance(value, list):
            yield WeightSpec(role, tuple(value))
        else:
            shape = tuple(value["shape"])
            yield WeightSpec(
                role, shape, value.get("optional", False), value.get("when")
            )
