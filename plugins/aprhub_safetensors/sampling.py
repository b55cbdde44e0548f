"""What tokens are drawn with, as `generation_config.json` says it.

transformers takes the likeliest token where `do_sample` is false, whatever else the
file says, and draws where it is true.
"""

from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve, fields

from aprhub.api import SamplingDefaults

_DRAWS: Final = "do_sample"
_PENALTY: Final = "repetition_penalty"
_NAMES: Final = tuple(each.name for each in fields(SamplingDefaults))
"""Fields that have the names of their keys."""


def read_sampling(values: Mapping[str, Any]) -> tuple[SamplingDefaults, list[str]]:
    """Return what a configuration of generation says, and the keys that it says ill."""
    said = {name: values.get(name) for name in _NAMES}
    if values.get(_DRAWS) is False:
        said = {"temperature": 0, _PENALTY: said[_PENALTY]}
    found, odd = SamplingDefaults.of(said)
    return found, list(odd)


def revised_sampling(
    values: Mapping[str, Any], sampling: SamplingDefaults
) -> Mapping[str, Any]:
    """Return the values as a model's makers would have them; equal ones stay.

    What the model says nothing of stays, too.
    """
    said, _ = read_sampling(values)
    changes = sampling.differing(said)
    if not changes:
        return values
    known = sampling.known()
    now = evolve(said, **{name: known[name] for name in changes})
    kept = {k: v for k, v in values.items() if k not in (*_NAMES, _DRAWS)}
    return {**kept, **_spelled(now)}


def _spelled(sampling: SamplingDefaults) -> dict[str, Any]:
    known = sampling.known()
    if known.get("temperature") == 0:
        penalty = {name: each for name, each in known.items() if name == _PENALTY}
        return {_DRAWS: False, **penalty}
    draws = {_DRAWS: True} if known.keys() - {_PENALTY} else {}
    return {**draws, **known}
