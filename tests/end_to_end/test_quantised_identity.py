"""Whatever a model is quantised to, it stays the model that it was (DEF-21, QNT-01)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

import aprhub
from tests.judges import deep

SCHEMES = {
    ".gguf": ("q8_0", "q4_k_m", "q5_0", "q2_k"),
    ".apr": ("q4_k_m", "q6_k", "q4", "q8"),
    "": ("w4a16", "fp8_dynamic"),
}
"""What each target is asked to hold."""
CASES = [(target, scheme) for target, names in SCHEMES.items() for scheme in names]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sources")
    found = {"": deep.deep("grouped")}
    for suffix in (".gguf", ".apr"):
        found[suffix] = folder / f"source{suffix}"
        aprhub.convert(found[""], found[suffix])
    return found


@pytest.mark.parametrize("source", ["", ".gguf", ".apr"])
@pytest.mark.parametrize(("target", "scheme"), CASES)
def test_tokenizer_metadata_and_identity_are_those_without_quantising(
    target: str, scheme: str, source: str, sources: dict[str, Path], tmp_path: Path
) -> None:
    plain, small = tmp_path / f"plain{target}", tmp_path / f"small{target}"
    aprhub.convert(sources[source], plain)

    aprhub.convert(
        sources[source],
        small,
        aprhub.ConvertOptions(quantize=scheme),
    )

    one, other = aprhub.open_model(plain), aprhub.open_model(small)
    assert other.config == one.config
    assert other.tokenizer == one.tokenizer
    for world, keys in one.carried.items():
        assert _read(other.carried[world]).items() >= _read(keys).items()
    assert evolve(other.provenance, lineage=()) == evolve(one.provenance, lineage=())
    assert other.provenance.lineage[-1].options["quantize"] == scheme
    assert {*other.tensors} == {*one.tensors}


def _read(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return keys with the configuration parsed: the claim of a packing moves lines."""
    name = "config.json"
    return {**keys, name: json.loads(keys[name])} if name in keys else {**keys}
