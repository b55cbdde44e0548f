"""Keys `general.sampling.*`: what a model's makers would have tokens drawn with.

llama.cpp takes them where its user says nothing else. Those of its own samplers that
no other program has (XTC, mirostat, the order of samplers) are carried.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from aprhub.api import SamplingDefaults
from aprhub_gguf.ledger import Ledger
from aprhub_gguf.values import Entry, f32_entry

_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "general.sampling.temp": "temperature",
        "general.sampling.top_k": "top_k",
        "general.sampling.top_p": "top_p",
        "general.sampling.min_p": "min_p",
        "general.sampling.penalty_repeat": "repetition_penalty",
    }
)


def read_sampling(ledger: Ledger) -> SamplingDefaults:
    """Read what tokens should be drawn with; what is no such number is carried."""
    found = {
        name: _meant(name, ledger.entries[key])
        for key, name in _KEYS.items()
        if key in ledger.entries
    }
    sampling, odd = SamplingDefaults.of(found)
    for key, name in _KEYS.items():
        if name in odd:
            ledger.carry_noted(key, "not a number that tokens can be drawn with")
        elif name in found:
            ledger.settle(key, "renamed", f"sampling.{name}")
    return sampling


def sampling_entries(sampling: SamplingDefaults) -> Iterator[tuple[str, Entry]]:
    """Yield what tokens should be drawn with, in the types that llama.cpp writes."""
    known = sampling.known()
    for key, name in _KEYS.items():
        if name == "top_k" and name in known:
            yield key, Entry("i32", known[name])
        elif name in known:
            yield key, f32_entry(key, known[name])


def _meant(name: str, entry: Entry) -> Any:
    """Return the value of an entry; llama.cpp draws from all below a `top_k` of 1."""
    value = entry.value
    if name == "top_k" and type(value) is int:
        return max(value, 0)
    return value
